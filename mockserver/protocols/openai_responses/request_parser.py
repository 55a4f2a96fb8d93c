"""Parses Responses requests into protocol-neutral form; fields without a neutral counterpart go to `extra`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ...scenarios.model import (
    SAMPLING,
    AllowedTools,
    Audio,
    Block,
    Document,
    Grammar,
    Image,
    NamedTool,
    Refusal,
    ResponseFormat,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ..json_object import JsonObject
from ..message_content import parse_content
from ..protocol import MalformedRequest, ParsedRequest, parse_data_url
from .tables import HARMLESS, LOGPROBS_FIELD, SIGNATURE_FIELD

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    extra: dict[str, Any] = {}
    top = JsonObject(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns, more_tools = _parse_input(top)
    lead = 0
    while lead < len(turns) and turns[lead].role == "system":
        lead += 1
    instructions = _parse_instructions(top)
    options = top.object("stream_options")
    if options is not None:
        options.boolean("include_obfuscation")
        options.close()
    tools = _parse_tools(top.objects("tools"))
    text = top.object("text")
    parsed = ParsedRequest(
        model=top.string("model"),
        stream=top.boolean("stream") or False,
        system=(
            *instructions,
            *(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        ),
        turns=tuple(turns[lead:]),
        tools=(*tools, *more_tools),
        tool_choice=_parse_tool_choice(top),
        parallel=top.boolean("parallel_tool_calls"),
        sampling={name: value for name in SAMPLING if (value := top.number(name)) is not None},
        max_tokens=top.integer("max_output_tokens"),
        show_reasoning=_parse_show_reasoning(top),
        reasoning=_parse_reasoning(top),
        user=top.string("user"),
        logprobs=_parse_logprobs(top),
        format=None if text is None else _parse_response_format(text),
        extra=extra,
    )
    _parse_include(top)
    if text is not None:
        text.drop("verbosity", "medium")
        text.close()
    top.close()
    return parsed


# ---- input -----------------------------------------------------------------------------------------------------------


def _parse_instructions(top: JsonObject) -> tuple[str, ...]:
    return tuple(text for text in [top.string("instructions")] if text)


def _parse_input(top: JsonObject) -> tuple[list[Turn], list[Tool]]:
    """Returns the turns, and the tools in `additional_tools` items.

    Adjacent items of the assistant form one turn, as do adjacent outputs of calls.
    """
    value = top.peek("input")
    if isinstance(value, str):
        top.string("input")
        return [Turn("user", (Text(value),))], []
    turns: list[Turn] = []
    tools: list[Tool] = []
    last = ""
    for at, raw in enumerate(top.list("input") or []):
        item = JsonObject(raw, f"$.input[{at}]", top.extra)
        kind = item.string("type") or ("message" if item.peek("role") is not None else "")
        role: Role = "assistant"
        blocks: tuple[Block, ...] = ()
        item.any("id")
        item.any("status")
        match kind:
            case "message":
                given = item.require("role").string("role") or ""
                if given not in ROLES:
                    raise MalformedRequest(f"{item.path}.role", f"unknown role: {given!r}")
                role = ROLES[given]
                blocks = parse_content(item, "content", _parse_part)
            case "function_call":
                id = item.require("call_id").string("call_id") or ""
                name = item.require("name").string("name") or ""
                blocks = (ToolCall(id, name, item.string("arguments") or "", namespace=item.string("namespace")),)
            case "custom_tool_call":
                id = item.require("call_id").string("call_id") or ""
                name = item.require("name").string("name") or ""
                blocks = (ToolCall(id, name, item.string("input") or "", None, "custom", item.string("namespace")),)
            case "function_call_output" | "custom_tool_call_output":
                role = "user"
                blocks = (
                    ToolResult(
                        item.require("call_id").string("call_id") or "", parse_content(item, "output", _parse_part)
                    ),
                )
            case "reasoning":
                blocks = (_parse_reasoning_item(item),)
            case "additional_tools":
                item.any("role")
                tools.extend(_parse_tools(item.objects("tools")))
                item.close()
                last = kind
                continue
            case _:
                # Items of hosted tools and of unknown types are kept whole.
                top.extra[item.path] = raw
                last = kind
                continue
        item.close()
        if turns and blocks and _joins_last_turn(role, kind, last):
            turns[-1] = Turn(role, (*turns[-1].blocks, *blocks))
        elif blocks or kind == "message":
            turns.append(Turn(role, blocks))
        last = f"{kind} {role}"
    return turns, tools


RESULT_ITEMS = ("function_call_output", "custom_tool_call_output")
"""Types of items that hold a tool result."""


def _joins_last_turn(role: Role, kind: str, last: str) -> bool:
    """Returns whether an item belongs to the turn of the last one, given as `<type> <role>`."""
    if kind in RESULT_ITEMS:
        return last in [f"{name} user" for name in RESULT_ITEMS]
    return role == "assistant" and last.endswith(" assistant")


def _parse_reasoning_item(item: JsonObject) -> Thinking:
    """Returns the raw reasoning if the host sends it, else its summary."""
    summary = tuple(_parse_texts(item.objects("summary")))
    raw = tuple(_parse_texts(item.objects("content")))
    if raw and summary:
        item.extra[f"{item.path}.summary"] = list(summary)
    return Thinking("\n\n".join(raw or summary), item.string("encrypted_content"))


def _parse_texts(parts: Iterable[JsonObject]) -> Iterable[str]:
    for part in parts:
        part.any("type")
        yield part.string("text") or ""
        part.close()


def _parse_part(part: JsonObject) -> Block | None:
    block: Block | None = None
    match part.require("type").string("type"):
        case "input_text":
            block = Text(part.require("text").string("text") or "")
        case "output_text":
            text = part.string("text") or ""
            # Streams start a text with an empty part, which clients may send back.
            block = Text(text) if text else None
            part.drop("annotations", [])
            part.drop("logprobs", [])
        case "refusal":
            block = Refusal(part.string("refusal") or "")
        case "input_image":
            mime, data, url = parse_data_url(part.string("image_url") or "")
            block = Image(mime, data, url or None, part.string("file_id"))
            part.drop("detail", "auto")
        case "input_file":
            given = part.string("file_data")
            mime, data = (None, given) if given is None or not given.startswith("data:") else parse_data_url(given)[:2]
            name, file = part.string("filename"), part.string("file_id")
            block = Document(mime, data, part.string("file_url"), None, name, file)
            part.drop("detail", "auto")
        case "input_audio":
            inner = part.require("input_audio").object("input_audio")
            if inner is not None:
                kind = inner.string("format") or ""
                block = Audio(f"audio/{ {'mp3': 'mpeg'}.get(kind, kind) }", inner.string("data"))
                inner.close()
        case other:
            part.extra[part.path] = {"type": other}
    part.close()
    return block


# ---- settings --------------------------------------------------------------------------------------------------------


def _parse_tools(tools: Iterable[JsonObject]) -> tuple[Tool, ...]:
    """Returns functions and custom tools, with those of a namespace at its place; others go to `extra`."""
    out: list[Tool] = []
    for tool in tools:
        kind = tool.string("type")
        match kind:
            case "function" | "custom":
                out.append(_parse_tool(tool, kind == "custom"))
            case "namespace":
                name = tool.require("name").string("name") or ""
                described = tool.string("description")
                if described:
                    tool.extra[f"{tool.path}.namespace"] = described
                out.extend(replace(inner, namespace=name) for inner in _parse_tools(tool.objects("tools")))
            case _:
                tool.extra[tool.path] = {"type": kind, **{key: tool.any(key) for key in tool.keys}}
        tool.close()
    return tuple(out)


def _parse_tool(tool: JsonObject, custom: bool) -> Tool:
    name, description = tool.require("name").string("name") or "", tool.string("description")
    if not custom:
        return Tool(name, description, tool.dict("parameters"), tool.boolean("strict"))
    form = tool.object("format")
    grammar: Grammar | None = None
    if form is not None:
        if form.string("type") == "grammar":
            grammar = Grammar(form.string("syntax") or "", form.string("definition") or "")
        form.close()
    return Tool(name, description, kind="custom", grammar=grammar)


def _parse_tool_choice(top: JsonObject) -> ToolChoice | None:
    value = top.peek("tool_choice")
    if value is None or isinstance(value, str):
        return top.string("tool_choice")
    match top.any("tool_choice"):
        case {"type": "function" | "custom", "name": str(name), **rest} if not rest:
            return NamedTool(name)
        case {"type": "allowed_tools", "mode": str(mode), "tools": [*tools]} if all(
            isinstance(tool, dict) and tool.keys() == {"type", "name"} and tool["type"] in ("function", "custom")
            for tool in tools
        ):
            return AllowedTools(tuple(tool["name"] for tool in tools), mode)
    top.extra["$.tool_choice"] = value
    return None


def _parse_show_reasoning(top: JsonObject) -> bool | None:
    """Returns whether a reasoning summary is requested; its length has no neutral counterpart.

    https://platform.openai.com/docs/guides/reasoning#reasoning-summaries
    """
    wanted = top.peek("reasoning")
    return True if isinstance(wanted, dict) and wanted.get("summary") else None


def _parse_reasoning(top: JsonObject) -> str | None:
    """Takes the reasoning effort; a `summary` other than `auto` goes to `extra`."""
    wanted = top.object("reasoning")
    if wanted is None:
        return None
    effort = wanted.string("effort")
    wanted.drop("summary", "auto")
    wanted.close()
    return effort


def _parse_logprobs(top: JsonObject) -> int | None:
    """Takes the number of likely tokens; `include` alone asks for the probabilities of the chosen ones."""
    most = top.integer("top_logprobs") or None
    included = top.peek("include")
    return most or 0 if isinstance(included, list) and LOGPROBS_FIELD in included else most


def _parse_include(top: JsonObject) -> None:
    """Takes `include`; values go to `extra`, except those for signatures and log probabilities, which are parsed."""
    rest = [name for name in top.list("include") or [] if name not in (SIGNATURE_FIELD, LOGPROBS_FIELD)]
    if rest:
        top.extra["$.include"] = rest


def _parse_response_format(text: JsonObject) -> ResponseFormat | None:
    wanted = text.object("format")
    if wanted is None:
        return None
    kind = wanted.string("type")
    found: ResponseFormat | None = None
    if kind == "json_object":
        found = ResponseFormat()
    elif kind == "json_schema":
        name, strict = wanted.string("name") or "answer", wanted.boolean("strict")
        found = ResponseFormat(wanted.dict("schema"), name, strict, wanted.string("description"))
    elif kind != "text":
        text.extra[f"{wanted.path}.type"] = kind
    wanted.close()
    return found
