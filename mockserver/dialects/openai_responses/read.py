"""What a Responses request means in neutral terms; what has no noun is listed, nothing is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ...speech import (
    SAMPLING,
    Allowed,
    Audio,
    Block,
    Call,
    Choice,
    Document,
    Format,
    Grammar,
    Image,
    Named,
    Refuse,
    Result,
    Role,
    Text,
    Think,
    Tool,
    Turn,
)
from ..body import Obj, named
from ..contract import Malformed, Understood, data_url
from .words import HARMLESS, SEALS

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def read(path: str, headers: Mapping[str, str], body: Any) -> Understood:
    """Raises `Malformed`; `extra` lists every part of the body that is not in the other fields."""
    extra: dict[str, Any] = {}
    top = Obj(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns, more_tools = _input(top)
    lead = 0
    while lead < len(turns) and turns[lead].role == "system":
        lead += 1
    instructions = _instructions(top)
    options = top.obj("stream_options")
    if options is not None:
        options.flag("include_obfuscation")
        options.close()
    tools = _tools(top.objs("tools"))
    text = top.obj("text")
    understood = Understood(
        model=top.text("model"),
        stream=top.flag("stream") or False,
        system=(
            *instructions,
            *(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        ),
        turns=tuple(turns[lead:]),
        tools=(*tools, *more_tools),
        tool_choice=_choice(top),
        parallel=top.flag("parallel_tool_calls"),
        sampling={word: value for word in SAMPLING if (value := top.number(word)) is not None},
        max_tokens=top.whole("max_output_tokens"),
        shown=_shown(top),
        reasoning=_reasoning(top),
        user=top.text("user"),
        format=None if text is None else _format(text),
        extra=extra,
    )
    _include(top)
    if text is not None:
        text.drop("verbosity", "medium")
        text.close()
    top.close()
    return understood


# ---- input -----------------------------------------------------------------------------------------------------------


def _instructions(top: Obj) -> tuple[str, ...]:
    return tuple(text for text in [top.text("instructions")] if text)


def _input(top: Obj) -> tuple[list[Turn], list[Tool]]:
    """The turns, and the tools that arrive among them.

    Neighbouring items of the assistant are one turn, as are neighbouring outputs of calls.
    """
    value = top.peek("input")
    if isinstance(value, str):
        top.text("input")
        return [Turn("user", (Text(value),))], []
    turns: list[Turn] = []
    tools: list[Tool] = []
    last = ""
    for at, raw in enumerate(top.list("input") or []):
        item = Obj(raw, f"$.input[{at}]", top.extra)
        kind = item.text("type") or ("message" if item.peek("role") is not None else "")
        role: Role = "assistant"
        blocks: tuple[Block, ...] = ()
        item.any("id")
        item.any("status")
        match kind:
            case "message":
                said = item.need("role").text("role") or ""
                if said not in ROLES:
                    raise Malformed(f"{item.path}.role", f"no such role: {said!r}")
                role = ROLES[said]
                blocks = _content(item, "content")
            case "function_call":
                id = item.need("call_id").text("call_id") or ""
                name = item.need("name").text("name") or ""
                blocks = (Call(id, name, item.text("arguments") or "", namespace=item.text("namespace")),)
            case "custom_tool_call":
                id = item.need("call_id").text("call_id") or ""
                name = item.need("name").text("name") or ""
                blocks = (Call(id, name, item.text("input") or "", None, "custom", item.text("namespace")),)
            case "function_call_output" | "custom_tool_call_output":
                role = "user"
                blocks = (Result(item.need("call_id").text("call_id") or "", _content(item, "output")),)
            case "reasoning":
                blocks = (_thought(item),)
            case "additional_tools":
                item.any("role")
                tools.extend(_tools(item.objs("tools")))
                item.close()
                last = kind
                continue
            case _:
                # What a hosted tool did, or an item that is unknown today.
                top.extra[item.path] = raw
                last = kind
                continue
        item.close()
        if turns and blocks and _together(role, kind, last):
            turns[-1] = Turn(role, (*turns[-1].blocks, *blocks))
        elif blocks or kind == "message":
            turns.append(Turn(role, blocks))
        last = f"{kind} {role}"
    return turns, tools


OUTPUTS = ("function_call_output", "custom_tool_call_output")


def _together(role: Role, kind: str, last: str) -> bool:
    if kind in OUTPUTS:
        return last in [f"{word} user" for word in OUTPUTS]
    return role == "assistant" and last.endswith(" assistant")


def _thought(item: Obj) -> Think:
    """The raw reasoning where the host shows it, else its summary."""
    summary = tuple(_texts(item.objs("summary")))
    raw = tuple(_texts(item.objs("content")))
    if raw and summary:
        item.extra[f"{item.path}.summary"] = list(summary)
    return Think("\n\n".join(raw or summary), item.text("encrypted_content"))


def _texts(parts: Iterable[Obj]) -> Iterable[str]:
    for part in parts:
        part.any("type")
        yield part.text("text") or ""
        part.close()


def _content(item: Obj, key: str) -> tuple[Block, ...]:
    value = item.any(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if not isinstance(value, list):
        raise Malformed(f"{item.path}.{key}", f"a string or an array of parts was wanted, found {named(value)}")
    return tuple(
        block
        for at, part in enumerate(value)
        if (block := _part(Obj(part, f"{item.path}.{key}[{at}]", item.extra))) is not None
    )


def _part(part: Obj) -> Block | None:
    block: Block | None = None
    match part.need("type").text("type"):
        case "input_text":
            block = Text(part.need("text").text("text") or "")
        case "output_text":
            text = part.text("text") or ""
            # An empty part is how an answer begins; it says nothing.
            block = Text(text) if text else None
            part.drop("annotations", [])
            part.drop("logprobs", [])
        case "refusal":
            block = Refuse(part.text("refusal") or "")
        case "input_image":
            mime, data, url = data_url(part.text("image_url") or "")
            block = Image(mime, data, url or None, part.text("file_id"))
            part.drop("detail", "auto")
        case "input_file":
            given = part.text("file_data")
            mime, data = (None, given) if given is None or not given.startswith("data:") else data_url(given)[:2]
            name, file = part.text("filename"), part.text("file_id")
            block = Document(mime, data, part.text("file_url"), None, name, file)
            part.drop("detail", "auto")
        case "input_audio":
            inner = part.need("input_audio").obj("input_audio")
            if inner is not None:
                kind = inner.text("format") or ""
                block = Audio(f"audio/{ {'mp3': 'mpeg'}.get(kind, kind) }", inner.text("data"))
                inner.close()
        case other:
            part.extra[part.path] = {"type": other}
    part.close()
    return block


# ---- settings --------------------------------------------------------------------------------------------------------


def _tools(tools: Iterable[Obj]) -> tuple[Tool, ...]:
    """The functions and the tools that take free text, those of a namespace at its place; any other is listed."""
    out: list[Tool] = []
    for tool in tools:
        kind = tool.text("type")
        match kind:
            case "function" | "custom":
                out.append(_tool(tool, kind == "custom"))
            case "namespace":
                name = tool.need("name").text("name") or ""
                described = tool.text("description")
                if described:
                    tool.extra[f"{tool.path}.namespace"] = described
                out.extend(replace(inner, namespace=name) for inner in _tools(tool.objs("tools")))
            case _:
                tool.extra[tool.path] = {"type": kind, **{key: tool.any(key) for key in tool.keys}}
        tool.close()
    return tuple(out)


def _tool(tool: Obj, custom: bool) -> Tool:
    name, description = tool.need("name").text("name") or "", tool.text("description")
    if not custom:
        return Tool(name, description, tool.dict("parameters"), tool.flag("strict"))
    form = tool.obj("format")
    grammar: Grammar | None = None
    if form is not None:
        if form.text("type") == "grammar":
            grammar = Grammar(form.text("syntax") or "", form.text("definition") or "")
        form.close()
    return Tool(name, description, kind="custom", grammar=grammar)


def _choice(top: Obj) -> Choice | None:
    value = top.peek("tool_choice")
    if value is None or isinstance(value, str):
        return top.text("tool_choice")
    match top.any("tool_choice"):
        case {"type": "function" | "custom", "name": str(name), **rest} if not rest:
            return Named(name)
        case {"type": "allowed_tools", "mode": str(mode), "tools": [*tools]} if all(
            isinstance(tool, dict) and tool.keys() == {"type", "name"} and tool["type"] in ("function", "custom")
            for tool in tools
        ):
            return Allowed(tuple(tool["name"] for tool in tools), mode)
    top.extra["$.tool_choice"] = value
    return None


def _shown(top: Obj) -> bool | None:
    """Whether a summary of the thoughts is asked for; how long a one has no noun.

    https://platform.openai.com/docs/guides/reasoning#reasoning-summaries
    """
    wanted = top.peek("reasoning")
    return True if isinstance(wanted, dict) and wanted.get("summary") else None


def _reasoning(top: Obj) -> str | None:
    """A wish for a summary is part of asking for reasoning; only what differs from `auto` is listed."""
    wanted = top.obj("reasoning")
    if wanted is None:
        return None
    effort = wanted.text("effort")
    wanted.drop("summary", "auto")
    wanted.close()
    return effort


def _include(top: Obj) -> None:
    """A wish for seals has no noun and is no loss; every other word is listed."""
    rest = [word for word in top.list("include") or [] if word != SEALS]
    if rest:
        top.extra["$.include"] = rest


def _format(text: Obj) -> Format | None:
    wanted = text.obj("format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    found: Format | None = None
    if kind == "json_object":
        found = Format()
    elif kind == "json_schema":
        name, strict = wanted.text("name") or "answer", wanted.flag("strict")
        found = Format(wanted.dict("schema"), name, strict, wanted.text("description"))
    elif kind != "text":
        text.extra[f"{wanted.path}.type"] = kind
    wanted.close()
    return found
