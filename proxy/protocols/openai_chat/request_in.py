"""A chat client's request as the neutral form."""

from __future__ import annotations

from typing import Any

import msgspec

from ... import seals, wire
from ...errors import Malformed
from ...ir import (
    Audio,
    Block,
    Document,
    Format,
    Image,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    Sampling,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...wire import each, need, take
from ..contract import Where
from .words import EMPTY, NAME


def decode_request(body: dict[str, Any], where: Where) -> Request:
    model = need(body, "model", str)
    messages = need(body, "messages", list)
    if not messages:
        raise Malformed("messages", "must hold at least one message")
    tools = each(take(body, "tools", list, []), "tools", _tool_in)
    choice = _tool_choice_in(body.pop("tool_choice", None))
    if "functions" in body or "function_call" in body:
        tools, choice = _legacy_tools_in(body, tools, choice)
    max_tokens = take(body, "max_tokens", int)
    return Request(
        dialect=NAME,
        model=model,
        turns=_turns_in(messages),
        tools=tools,
        tool_choice=choice,
        parallel=take(body, "parallel_tool_calls", bool),
        sampling=Sampling(
            take(body, "temperature", float),
            take(body, "top_p", float),
            take(body, "top_k", int),
            take(body, "seed", int),
            take(body, "frequency_penalty", float),
            take(body, "presence_penalty", float),
        ),
        max_tokens=take(body, "max_completion_tokens", int, max_tokens),
        stop=wire.strings(body, "stop"),
        reasoning=_thinking_in(body),
        format=_format_in(take(body, "response_format", dict)),
        user=take(body, "user", str),
        stream=take(body, "stream", bool, False),
        own=body or None,
    )


def _turns_in(messages: list[Any]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    results: list[Block] = []  # a run of tool messages is one user turn
    legacy: dict[str, str] = {}  # function name -> the id that we gave its last call
    for message in each(messages, "messages", lambda message: _message_in(message, legacy)):
        if isinstance(message, ToolResult):
            results.append(message)
            continue
        if results:
            turns.append(Turn("user", tuple(results)))
            results = []
        turns.append(message)
    if results:
        turns.append(Turn("user", tuple(results)))
    return tuple(turns)


def _message_in(message: dict[str, Any], legacy: dict[str, str]) -> Turn | ToolResult:
    role = need(message, "role", str)
    match role:
        case "user" | "system" | "developer":
            return Turn(role, content_in(message), message or None)
        case "assistant":
            ridden = _ridden(reasoning_in(message), content_in(message, required=False))
            blocks: tuple[Block, ...] = tuple(map(_unmarked, ridden))
            if refusal := take(message, "refusal", str):
                blocks += (Refusal(refusal),)
            blocks += each(take(message, "tool_calls", list, []), "tool_calls", call_in)
            if function := take(message, "function_call", dict):
                name = need(function, "name", str)
                legacy[name] = f"call_{name}_{len(legacy)}"
                blocks += (ToolCall(legacy[name], name, take(function, "arguments", str, "")),)
            return Turn("assistant", blocks, message or None)
        case "tool":
            return ToolResult(need(message, "tool_call_id", str), content_in(message), own=message or None)
        case "function":
            name = need(message, "name", str)
            return ToolResult(legacy.get(name, f"call_{name}"), content_in(message), name=name, own=message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of system, developer, user, assistant, tool")


def _ridden(thoughts: tuple[Reasoning, ...], content: tuple[Block, ...]) -> tuple[Block, ...]:
    """Give the seal that rode in an empty thought back to the text that it belongs to."""
    riders = [block for block in thoughts if _rides(block)]
    if not riders:
        return (*thoughts, *content)
    kept = tuple(block for block in thoughts if block not in riders)
    texts = tuple(Text("", seal=block.seal) for block in riders)
    match content:
        case (Text() as text, *rest):
            return (*kept, *texts[:-1], msgspec.structs.replace(text, seal=riders[-1].seal), *rest)
        case _:
            return (*kept, *texts, *content)


def _unmarked(block: Block) -> Block:
    """A thought without a word as its provider gave it: signed, not redacted."""
    if not isinstance(block, Reasoning) or not block.redacted or block.seal is None or block.seal.minter is None:
        return block
    if not block.seal.value.startswith(EMPTY):
        return block
    seal = msgspec.structs.replace(block.seal, value=block.seal.value[len(EMPTY) :])
    return msgspec.structs.replace(block, seal=seal, redacted=False)


def _rides(block: Reasoning) -> bool:
    return not block.text and not block.redacted and block.seal is not None and block.seal.minter is not None


def content_in(message: dict[str, Any], required: bool = True) -> tuple[Block, ...]:
    content = message.pop("content", None)
    if type(content) is str:
        return (Text(content),) if content or required else ()
    if type(content) is list:
        return each(content, "content", part_in)
    if content is None and not required:
        return ()
    if content is None:
        raise Malformed("content", "is required and must be a string or an array of parts")
    raise Malformed("content", f"must be a string or an array of parts, is {wire.describe(content)}")


def part_in(part: dict[str, Any]) -> Block:
    kind = take(part, "type", str, "text")
    match kind:
        case "text":
            return Text(need(part, "text", str), own=part or None)
        case "image_url":
            image = part.pop("image_url", None)
            if type(image) is str:  # some clients send the bare URL
                image = {"url": image}
            if type(image) is not dict:
                raise Malformed("image_url", "is required and must be an object with a url")
            return Image(_media_in(need(image, "url", str)), {**part, **image} or None)
        case "input_audio":
            sound = part.pop("input_audio", None)
            if type(sound) is str:  # Mistral takes the bare base64
                return Audio(Media(data=sound), part or None)
            if type(sound) is not dict:
                raise Malformed("input_audio", "is required and must be an object with data and format")
            return Audio(Media(f"audio/{need(sound, 'format', str)}", need(sound, "data", str)), part or None)
        case "file":
            file = need(part, "file", dict)
            data = take(file, "file_data", str)
            media = _media_in(data) if data else Media(file_id=take(file, "file_id", str))
            return Document(msgspec.structs.replace(media, name=take(file, "filename", str)), {**part, **file} or None)
        case "refusal":
            return Refusal(need(part, "refusal", str), own=part or None)
        case "thinking":  # Mistral: {"type": "thinking", "thinking": [{"type": "text", "text": …}]}
            inner = each(take(part, "thinking", list, []), "thinking", lambda piece: take(piece, "text", str, ""))
            return Reasoning("".join(inner), own=part or None)
        case _:
            return Opaque(NAME, kind, {"type": kind, **part})


def _media_in(url: str) -> Media:
    """A data URL taken apart, or the URL as it is."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        mime, *flags = head.split(";")
        if comma and "base64" in flags:
            return Media(mime or None, data)
    return Media(url=url)


def _seal_in(text: str, provider: str | None) -> Signature:
    """A client's seal may be one of our tokens; a backend's own is minted by it, whatever it looks like."""
    return seals.read(text, NAME) if provider is None else Signature(text, NAME, provider)


def call_in(call: dict[str, Any], provider: str | None = None) -> ToolCall:
    """A call of a client's history, or with `provider` of a backend's answer."""
    kind = take(call, "type", str, "function")
    call.pop("index", None)  # a stream's book-keeping that some clients echo
    id_ = need(call, "id", str)
    seal = google_seal_in(call, provider)
    if kind == "custom":
        custom = need(call, "custom", dict)
        return ToolCall(id_, need(custom, "name", str), need(custom, "input", str), "custom", None, seal, call or None)
    function = need(call, "function", dict)
    arguments = function.pop("arguments", None) or ""
    if type(arguments) is not str:  # some hosts send the object itself
        arguments = wire.encode(arguments).decode()
    return ToolCall(id_, need(function, "name", str), arguments, seal=seal, own=call or None)


def google_seal_in(call: dict[str, Any], provider: str | None = None) -> Signature | None:
    # https://ai.google.dev/gemini-api/docs/thought-signatures#openai
    extra = call.get("extra_content")
    google = extra.get("google") if type(extra) is dict else None
    seal = google.get("thought_signature") if type(google) is dict else None
    if type(seal) is not str:
        return None
    del call["extra_content"]
    return _seal_in(seal, provider)


def reasoning_in(message: dict[str, Any], provider: str | None = None) -> tuple[Reasoning, ...]:
    """The thinking of a message, in whichever of the field's three spellings it came; signed details win over text."""
    content = take(message, "reasoning_content", str)
    plain = take(message, "reasoning", str)
    text = content or plain or ""
    details = message.pop("reasoning_details", None)
    if type(details) is not list:
        return (Reasoning(text),) if text else ()
    blocks: list[Reasoning] = []
    for detail in details:
        if type(detail) is not dict:
            raise Malformed("reasoning_details", "must be an array of objects")
        # https://openrouter.ai/docs/use-cases/reasoning-tokens#reasoning_details-array-structure
        match take(detail, "type", str):
            case "reasoning.encrypted":
                seal = _seal_in(need(detail, "data", str), provider)
                blocks.append(Reasoning("", seal, redacted=True, own=detail or None))
            case "reasoning.summary":
                blocks.append(Reasoning(take(detail, "summary", str, ""), summary=True, own=detail or None))
            case _:
                signature = take(detail, "signature", str)
                seal_ = _seal_in(signature, provider) if signature else None
                blocks.append(Reasoning(take(detail, "text", str, ""), seal_, own=detail or None))
    if text and not any(block.text for block in blocks):
        blocks.insert(0, Reasoning(text))
    return tuple(blocks)


def _tool_in(tool: dict[str, Any]) -> Tool | Opaque:
    kind = take(tool, "type", str, "function")
    match kind:
        case "function":
            return _function_in(need(tool, "function", dict), tool)
        case "custom":
            custom = need(tool, "custom", dict)
            grammar = take(custom, "format", dict)
            description = take(custom, "description", str)
            return Tool(need(custom, "name", str), description, kind="custom", grammar=grammar, own=tool or None)
        case _:
            return Opaque(NAME, kind, {"type": kind, **tool})


def _function_in(function: dict[str, Any], own: dict[str, Any]) -> Tool:
    return Tool(
        need(function, "name", str),
        take(function, "description", str),
        take(function, "parameters", dict),
        take(function, "strict", bool),
        own={**own, **function} or None,
    )


def _tool_choice_in(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case "any":  # Mistral's word
            return ToolChoice("required")
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]}}:
            names = tuple(t["function"]["name"] for t in tools if type(t) is dict and type(t.get("function")) is dict)
            return ToolChoice(mode, names)
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("named", (name,))
        case _:
            raise Malformed("tool_choice", "must be auto, none, required, or an object that names a tool")


def _legacy_tools_in(
    body: dict[str, Any], tools: tuple[Tool | Opaque, ...], choice: ToolChoice | None
) -> tuple[tuple[Tool | Opaque, ...], ToolChoice | None]:
    """The `functions` of 2023; the empty list that stays behind tells the reply to answer in the same words."""
    functions = each(take(body, "functions", list, []), "functions", lambda function: _function_in(function, {}))
    body["functions"] = []
    match body.pop("function_call", None):
        case {"name": str(name)}:
            choice = ToolChoice("named", (name,))
        case "auto" | "none" as mode:
            choice = ToolChoice(mode)
        case None:
            pass
        case _:
            raise Malformed("function_call", "must be auto, none, or an object with a name")
    return tools + functions, choice


def _thinking_in(body: dict[str, Any]) -> Thinking | None:
    word = take(body, "reasoning_effort", str)
    # OpenRouter's own object: https://openrouter.ai/docs/use-cases/reasoning-tokens
    fields = take(body, "reasoning", dict)
    if fields is None:
        return Thinking(word) if word is not None else None
    return Thinking(
        take(fields, "effort", str, word) if word else take(fields, "effort", str),
        take(fields, "max_tokens", int),
        take(fields, "enabled", bool),
        own=fields or None,
    )


def _format_in(fields: dict[str, Any] | None) -> Format | None:
    if fields is None:
        return None
    kind = need(fields, "type", str)
    match kind:
        case "text" | "json_object":
            return Format(kind, own=fields or None)
        case "json_schema":
            inner = need(fields, "json_schema", dict)
            return Format(
                "json_schema",
                take(inner, "schema", dict),
                take(inner, "name", str),
                take(inner, "description", str),
                take(inner, "strict", bool),
                {**fields, **inner} or None,
            )
        case _:
            raise Malformed("response_format.type", f"'{kind}' is none of text, json_object, json_schema")
