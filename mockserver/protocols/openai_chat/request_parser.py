"""Parses Chat Completions requests into protocol-neutral form; fields without a neutral counterpart go to `extra`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from .tables import HARMLESS

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    extra: dict[str, Any] = {}
    top = JsonObject(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns = _parse_turns(top.require("messages").objects("messages"))
    lead = 0
    while lead < len(turns) and turns[lead].role == "system":
        lead += 1
    options = top.object("stream_options")
    if options is not None:
        options.boolean("include_usage")
        options.boolean("include_obfuscation")
        options.close()
    sampling = {name: value for name in SAMPLING if (value := top.number(name)) is not None}
    # "max_tokens: This value is now deprecated in favor of max_completion_tokens"
    # https://platform.openai.com/docs/api-reference/chat/create
    old, new = top.integer("max_tokens"), top.integer("max_completion_tokens")
    parsed = ParsedRequest(
        model=top.string("model"),
        stream=top.boolean("stream") or False,
        system=tuple(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        turns=tuple(turns[lead:]),
        tools=(*(tool for tool in map(_parse_tool, top.objects("tools")) if tool is not None), *_parse_functions(top)),
        tool_choice=_parse_tool_choice(top) or _parse_function_choice(top),
        parallel=top.boolean("parallel_tool_calls"),
        sampling=sampling,
        max_tokens=new if new is not None else old,
        stop=top.strings("stop"),
        reasoning=_parse_reasoning(top),
        user=top.string("user"),
        logprobs=(top.integer("top_logprobs") or 0) if top.peek("logprobs") is True else None,
        format=_parse_response_format(top),
        extra=extra,
    )
    top.drop("logprobs", True)  # it is parsed with the number of likely tokens
    top.close()
    return parsed


# ---- messages --------------------------------------------------------------------------------------------------------


def _parse_turns(messages: tuple[JsonObject, ...]) -> list[Turn]:
    turns: list[Turn] = []
    in_results = False
    for message in messages:
        role = message.require("role").string("role") or ""
        if role in ("tool", "function"):
            # Consecutive results answer one turn, so they form one user turn.
            # A function message, which preceded tool messages, names the function instead of the call.
            key = "tool_call_id" if role == "tool" else "name"
            given = message.require(key).string(key) or ""
            answer = parse_content(message, "content", _parse_part)
            result = ToolResult(given, answer) if role == "tool" else ToolResult("", answer, name=given)
            if in_results:
                turns[-1] = Turn("user", (*turns[-1].blocks, result))
            else:
                turns.append(Turn("user", (result,)))
            in_results = True
        elif role in ROLES:
            blocks = (
                _parse_assistant(message) if role == "assistant" else parse_content(message, "content", _parse_part)
            )
            turns.append(Turn(ROLES[role], blocks))
            in_results = False
        else:
            raise MalformedRequest(f"{message.path}.role", f"unknown role: {role!r}")
        message.close()
    return turns


def _parse_assistant(message: JsonObject) -> tuple[Block, ...]:
    blocks: list[Block] = []
    details = message.objects("reasoning_details")
    thinking = [message.string(key) for key in ("reasoning_content", "reasoning")]
    if details:
        for detail in details:
            text = detail.string("text") or detail.string("summary") or ""
            signature, data = detail.string("signature"), detail.string("data")
            blocks.append(Thinking(text, signature or data, redacted=data is not None))
            for key in ("type", "format", "index", "id"):
                detail.any(key)
            detail.close()
    elif any(thinking):
        blocks.append(Thinking(next(text for text in thinking if text)))
    blocks.extend(parse_content(message, "content", _parse_part))
    refusal = message.string("refusal")
    if refusal:
        blocks.append(Refusal(refusal))
    for call in message.objects("tool_calls"):
        if call.peek("type") == "custom":
            blocks.append(_parse_custom_call(call))
            continue
        function = call.require("function").object("function")
        if function is None:
            continue
        google = call.object("extra_content")
        inner = google.object("google") if google is not None else None
        blocks.append(
            ToolCall(
                call.string("id") or "",
                function.require("name").string("name") or "",
                function.string("arguments") or "",
                inner.string("thought_signature") if inner is not None else None,
            )
        )
        call.drop("type", "function")
        call.any("index")
        for obj in (function, inner, google, call):
            if obj is not None:
                obj.close()
    function = message.object("function_call")
    if function is not None:
        blocks.append(ToolCall("", function.string("name") or "", function.string("arguments") or ""))
        function.close()
    return tuple(blocks)


def _parse_custom_call(call: JsonObject) -> ToolCall:
    """Reads a call of a custom tool, which takes free text."""
    custom = call.require("custom").object("custom") or JsonObject({}, f"{call.path}.custom", call.extra)
    name = custom.require("name").string("name") or ""
    found = ToolCall(call.string("id") or "", name, custom.string("input") or "", kind="custom")
    call.drop("type", "custom")
    call.any("index")
    custom.close()
    call.close()
    return found


def _parse_part(part: JsonObject) -> Block | None:
    block: Block | None = None
    match part.require("type").string("type"):
        case "text":
            block = Text(part.require("text").string("text") or "")
        case "refusal":
            block = Refusal(part.string("refusal") or "")
        case "image_url":
            # A compatible host may send the URL without an object around it.
            inner = part.object("image_url") if isinstance(part.peek("image_url"), dict) else None
            mime, data, url = parse_data_url((inner.string("url") if inner else part.string("image_url")) or "")
            block = Image(mime, data, url)
            if inner is not None:
                inner.drop("detail", "auto")
                inner.close()
        case "file":
            inner = part.require("file").object("file")
            if inner is not None:
                mime, data, url = parse_data_url(inner.string("file_data") or "")
                block = Document(mime, data, url or None, None, inner.string("filename"), inner.string("file_id"))
                inner.close()
        case "input_audio":
            # Mistral accepts the base64 without an object around it. https://docs.mistral.ai/capabilities/audio
            is_bare = isinstance(part.require("input_audio").peek("input_audio"), str)
            if is_bare:
                block = Audio(None, part.string("input_audio"))
            inner = None if is_bare else part.object("input_audio")
            if inner is not None:
                kind = inner.string("format") or ""
                block = Audio(f"audio/{ {'mp3': 'mpeg'}.get(kind, kind) }", inner.string("data"))
                inner.close()
        case other:
            part.extra[part.path] = {"type": other}
    part.close()
    return block


# ---- settings --------------------------------------------------------------------------------------------------------


def _parse_tool(tool: JsonObject) -> Tool | None:
    kind = tool.string("type")
    if kind == "custom":
        return _parse_custom_tool(tool)
    function = tool.object("function")
    if kind not in (None, "function") or function is None:
        tool.extra[tool.path] = {"type": kind, **{key: tool.any(key) for key in tool.keys}}
        return None
    strict = function.boolean("strict")
    found = Tool(
        function.require("name").string("name") or "",
        function.string("description"),
        function.dict("parameters"),
        strict if strict is not None else tool.boolean("strict"),
    )
    function.close()
    tool.close()
    return found


def _parse_custom_tool(tool: JsonObject) -> Tool | None:
    custom = tool.require("custom").object("custom")
    if custom is None:
        return None
    form = custom.object("format")
    grammar: Grammar | None = None
    if form is not None:
        form.drop("type", "text")
        inner = form.object("grammar")
        if inner is not None:
            form.drop("type", "grammar")
            grammar = Grammar(inner.string("syntax") or "", inner.string("definition") or "")
            inner.close()
        form.close()
    name = custom.require("name").string("name") or ""
    found = Tool(name, custom.string("description"), kind="custom", grammar=grammar)
    custom.close()
    tool.close()
    return found


def _parse_tool_choice(top: JsonObject) -> ToolChoice | None:
    value = top.peek("tool_choice")
    if value is None or isinstance(value, str):
        choice = top.string("tool_choice")
        # Mistral: "any": forces tool use. https://docs.mistral.ai/capabilities/function_calling
        return "required" if choice == "any" else choice
    single = _tool_name(top.any("tool_choice"))
    if single is not None:
        return NamedTool(single)
    match value:
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": [*tools]}}:
            names = [_tool_name(tool) for tool in tools]
            if None not in names:
                return AllowedTools(tuple(name for name in names if name is not None), mode)
    top.extra["$.tool_choice"] = value
    return None


def _tool_name(tool: Any) -> str | None:
    """Returns the name in `{"type": "function", "function": {"name": …}}`; None if there are other fields."""
    match tool:
        case {"type": "function", "function": {"name": str(name), **more}, **rest} if not (more or rest):
            return name
        case {"type": "custom", "custom": {"name": str(name), **more}, **rest} if not (more or rest):
            return name
    return None


def _parse_functions(top: JsonObject) -> tuple[Tool, ...]:
    """Reads the legacy tools: "functions: Deprecated in favor of tools."

    https://platform.openai.com/docs/api-reference/chat/create
    """
    found = []
    for function in top.objects("functions"):
        name, description = function.require("name").string("name") or "", function.string("description")
        found.append(Tool(name, description, function.dict("parameters")))
        function.close()
    return tuple(found)


def _parse_function_choice(top: JsonObject) -> ToolChoice | None:
    """Reads the legacy tool choice: "function_call: Deprecated in favor of tool_choice." (same page)"""
    if not isinstance(top.peek("function_call"), dict):
        return top.string("function_call")
    single = top.object("function_call")
    name = single.require("name").string("name") if single is not None else None
    return None if name is None else NamedTool(name)


def _parse_reasoning(top: JsonObject) -> str | int | None:
    effort = top.string("reasoning_effort")
    # Extension of OpenRouter. https://openrouter.ai/docs/use-cases/reasoning-tokens
    extension = top.object("reasoning") if isinstance(top.peek("reasoning"), dict) else None
    if extension is None:
        return effort
    found = extension.string("effort") or extension.integer("max_tokens")
    switch = extension.boolean("enabled")
    if switch is False or (found is None and switch is not None):
        found = "auto" if switch else "none"
    extension.close()
    return effort if effort is not None else found


def _parse_response_format(top: JsonObject) -> ResponseFormat | None:
    wanted = top.object("response_format")
    if wanted is None:
        return None
    kind = wanted.string("type")
    found: ResponseFormat | None = None
    if kind == "json_object":
        found = ResponseFormat()
    elif kind == "json_schema":
        inner = wanted.require("json_schema").object("json_schema")
        if inner is not None:
            name, strict = inner.string("name") or "answer", inner.boolean("strict")
            found = ResponseFormat(inner.dict("schema"), name, strict, inner.string("description"))
            inner.close()
    elif kind != "text":
        top.extra["$.response_format.type"] = kind
    wanted.close()
    return found
