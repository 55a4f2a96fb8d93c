"""Decodes Chat Completions requests into neutral requests."""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import Malformed
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
    signatures,
)
from ...ir.data_url import media_of
from ...ir.known_tools import KnownTools, take_tools
from ...ir.media_type import media_type
from ...ir.repairs import Repairs
from ...ir.token_logprobs import logprobs_in
from ...wire import json_fields
from ...wire.json_fields import alias, each, maybe, need, take
from ..openai.content import arguments_in, content_in
from ..openai.media import audio_in
from ..protocol import UrlParams
from . import signature_carrier
from .hosted_tools import WEB_SEARCH, hosted_tool_in, web_search_in
from .tables import NAME


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    model = need(body, "model", str)
    messages = need(body, "messages", list)
    if not messages:
        raise Malformed("messages", "must hold at least one message")
    tools = take_tools(body, _tools_in)
    if (options := take(body, "web_search_options", dict)) is not None:
        tools += (Opaque(NAME, WEB_SEARCH, options, hosted=web_search_in(options)),)
    repairs = Repairs()
    choice = _tool_choice_in(body.pop("tool_choice", None), repairs)
    if "functions" in body or "function_call" in body:
        tools, choice = _legacy_tools_in(body, tools, choice)
    if body.get("max_tokens") is not None:
        body["max_tokens"] = need(body, "max_tokens", int)  # a wrong type is told under the client's own name
        alias(body, "max_completion_tokens", "max_tokens")
    return Request(
        protocol=NAME,
        model=model,
        turns=_turns_in(messages, repairs),
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
        max_tokens=take(body, "max_completion_tokens", int),
        stop=json_fields.strings(body, "stop"),
        reasoning=_reasoning_config_in(body),
        format=_format_in(take(body, "response_format", dict)),
        user=take(body, "user", str),
        stream=take(body, "stream", bool, False),
        logprobs=logprobs_in(body),
        extra=body or None,
        repaired=repairs.names(),
    )


def _turns_in(messages: list[Any], repairs: Repairs) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    results: list[Block] = []  # consecutive tool messages become one user turn
    legacy: dict[str, str] = {}  # function name -> the id that was made for its last call
    for message in each(messages, "messages", lambda message: _message_in(message, legacy, repairs)):
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


def _message_in(message: dict[str, Any], legacy: dict[str, str], repairs: Repairs) -> Turn | ToolResult:
    role = need(message, "role", str)
    match role:
        case "user" | "system" | "developer":
            return Turn(role, content_in(message, "content", part_in), message or None)
        case "assistant":
            reasoning = reasoning_in(message, repairs)
            content = content_in(message, "content", part_in, required=False)
            blocks = signature_carrier.attach_signatures(reasoning, content)
            if refusal := take(message, "refusal", str):
                blocks += (Refusal(refusal),)
            blocks += each(take(message, "tool_calls", list, []), "tool_calls", call_in)
            if function := take(message, "function_call", dict):
                name = need(function, "name", str)
                legacy[name] = f"call_{name}_{len(legacy)}"
                blocks += (ToolCall(legacy[name], name, take(function, "arguments", str, "")),)
            return Turn("assistant", blocks, message or None)
        case "tool":
            id_ = need(message, "tool_call_id", str)
            return ToolResult(id_, content_in(message, "content", part_in), extra=message or None)
        case "function":
            name = need(message, "name", str)
            blocks = content_in(message, "content", part_in)
            return ToolResult(legacy.get(name, f"call_{name}"), blocks, name=name, extra=message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of system, developer, user, assistant, tool")


def part_in(part: dict[str, Any]) -> Block:
    """Decodes one part of a message's content; an unknown type is kept whole."""
    kind = take(part, "type", str, "text")
    match kind:
        case "text" | "input_text" | "output_text":  # the last two are the sibling protocol's words for it
            return Text(need(part, "text", str), extra=part or None)
        case "document_url" | "video_url" | "audio_url" | "file_url":
            return _url_part_in(kind, part)
        case "input_image":  # the sibling protocol's
            return Image(media_of(need(part, "image_url", str)), part or None)
        case "image_url":
            image = part.pop("image_url", None)
            if type(image) is str:  # some clients send the bare URL
                image = {"url": image}
            if type(image) is not dict:
                raise Malformed("image_url", "is required and must be an object with a url")
            return Image(media_of(need(image, "url", str)), {**part, **image} or None)
        case "input_audio":
            sound = part.pop("input_audio", None)
            if type(sound) is str:  # Mistral takes the bare base64
                return Audio(Media(data=sound), part or None)
            if type(sound) is not dict:
                raise Malformed("input_audio", "is required and must be an object with data and format")
            return Audio(audio_in(sound), part or None)
        case "file":
            file = need(part, "file", dict)
            data = take(file, "file_data", str)
            media = _as_data(media_of(data)) if data else Media(file_id=take(file, "file_id", str))
            return Document(msgspec.structs.replace(media, name=take(file, "filename", str)), {**part, **file} or None)
        case "input_file":  # the sibling protocol's
            name, data, url = take(part, "filename", str), take(part, "file_data", str), take(part, "file_url", str)
            file_id = take(part, "file_id", str)
            media = media_of(data) if data else media_of(url) if url else Media(file_id=file_id)
            return Document(msgspec.structs.replace(_as_data(media) if data else media, name=name), part or None)
        case "refusal":
            return Refusal(need(part, "refusal", str), extra=part or None)
        case "thinking":  # Mistral: {"type": "thinking", "thinking": [{"type": "text", "text": …}]}
            inner = each(take(part, "thinking", list, []), "thinking", lambda piece: take(piece, "text", str, ""))
            return Reasoning("".join(inner), extra=part or None)
        case "image" | "document" | "audio" | "video" if (block := _foreign_media_in(kind, part)) is not None:
            return block
        case _:
            return Opaque(NAME, kind, {"type": kind, **part})


_FOREIGN_MEDIA: dict[str, type[Image | Document | Audio | Video]] = {
    "image": Image,
    "document": Document,
    "audio": Audio,
    "video": Video,
}


def _foreign_media_in(kind: str, part: dict[str, Any]) -> Block | None:
    """Decodes a medium as other protocols and libraries write it: a `source`, a URL, or an object with a URL.

    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "…"}} is Anthropic's form, which
    clients send through to chat hosts; {"type": "image", "image": "https://…"} is that of Qwen's chat templates. None
    is returned for any other.
    """
    source = part.get("source", part.get(kind, part.get("url")))
    match {"url": source} if type(source) is str else source:
        case {"url": str(url)} if url:
            media = media_of(url)
        case {"type": "base64", "data": str(data), **rest}:
            label = rest.get("media_type")
            media = Media(media_type(label if type(label) is str else None, data), data)
        case {"type": "text", "data": str(text)}:
            media = Media("text/plain", text=text)
        case _:
            return None
    extra = {key: value for key, value in part.items() if key not in ("source", kind, "url")}
    if kind == "document" and type(extra.get("title")) is str:
        media = msgspec.structs.replace(media, name=extra.pop("title"))
    return _FOREIGN_MEDIA[kind](media, extra or None)


def _as_data(media: Media) -> Media:
    """Returns bare base64, which some clients send in place of a data URL, as data; a URL stays one."""
    if media.url is None or "://" in media.url:
        return media
    return Media(media_type(None, media.url), media.url)


def _url_part_in(kind: str, part: dict[str, Any]) -> Block:
    """Decodes a part of a kind that hosts added to the protocol: its URL alone, or in an object of the part's name.

    `document_url` is Mistral's ({"type": "document_url", "document_url": "https://…"},
    https://docs.mistral.ai/capabilities/document_ai/document_qna), `video_url` and `audio_url` are those of vLLM
    (https://docs.vllm.ai/en/latest/features/multimodal_inputs.html#online-serving).
    """
    fields = part.pop(kind, None)
    if type(fields) is str:
        fields = {"url": fields}
    if type(fields) is not dict:
        raise Malformed(kind, "is required and must be a URL or an object with a url")
    try:
        media = media_of(need(fields, "url", str))
    except Malformed as fault:
        raise fault.under(kind) from None
    name = take(part, "document_name", str) if kind == "document_url" else None
    # the part's name, for a backend of the same protocol; it says nothing that the block does not say
    extra = {"part": kind, **part, **fields}
    match kind:
        case "video_url":
            return Video(media, extra)
        case "audio_url":
            return Audio(media, extra)
        case _:
            return Document(msgspec.structs.replace(media, name=name), extra)


def _signature_in(text: str, provider: str | None) -> Signature:
    """Decodes a signature: a client's may be a proxy token, a backend's is always that provider's own."""
    return signatures.parse_token(text, NAME) if provider is None else Signature(text, NAME, provider)


def call_in(call: dict[str, Any], provider: str | None = None) -> ToolCall:
    """Decodes a call of a client's history, or with `provider` of a backend's answer."""
    kind = take(call, "type", str, "function")
    call.pop("index", None)  # the position in a stream, which some clients send back
    id_ = need(call, "id", str)
    signature = google_signature_in(call, provider)
    if kind == "custom":
        custom = need(call, "custom", dict)
        return ToolCall(
            id_, need(custom, "name", str), need(custom, "input", str), "custom", None, signature, call or None
        )
    function = need(call, "function", dict)
    arguments = arguments_in(function)
    return ToolCall(id_, need(function, "name", str), arguments, signature=signature, extra=call or None)


def google_signature_in(call: dict[str, Any], provider: str | None = None) -> Signature | None:
    """Pops the signature that Google's OpenAI-compatible endpoint puts on a call."""
    # https://ai.google.dev/gemini-api/docs/thought-signatures#openai
    extra = call.get("extra_content")
    google = extra.get("google") if type(extra) is dict else None
    signature = google.get("thought_signature") if type(google) is dict else None
    if type(signature) is not str:
        return None
    del call["extra_content"]
    return _signature_in(signature, provider)


def reasoning_in(message: dict[str, Any], repairs: Repairs, provider: str | None = None) -> tuple[Reasoning, ...]:
    """Pops a message's thinking in any of its three fields; signed details take precedence over plain text."""
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
                data = take(detail, "data", str)
                if not data:  # hosts announce one so, and never send it
                    repairs.add("part_empty")
                    continue
                signature = _signature_in(data, provider)
                blocks.append(Reasoning("", signature, redacted=True, extra=detail or None))
            case "reasoning.summary":
                blocks.append(Reasoning(take(detail, "summary", str, ""), summary=True, extra=detail or None))
            case _:
                value = take(detail, "signature", str)
                signed = _signature_in(value, provider) if value else None
                blocks.append(Reasoning(take(detail, "text", str, ""), signed, extra=detail or None))
    if text and not any(block.text for block in blocks):
        blocks.insert(0, Reasoning(text))
    return tuple(blocks)


def _tools_in(tools: list[Any]) -> tuple[Tool | Opaque, ...]:
    return each(tools, "tools", _tool_in)


KNOWN_TOOLS = KnownTools(_tools_in)


def _tool_in(tool: dict[str, Any]) -> Tool | Opaque:
    kind = take(tool, "type", str, "function")
    match kind:
        case "function":
            return _function_in(need(tool, "function", dict), tool)
        case "custom":
            custom = need(tool, "custom", dict)
            grammar = take(custom, "format", dict)
            description = take(custom, "description", str)
            return Tool(need(custom, "name", str), description, kind="custom", grammar=grammar, extra=tool or None)
        case _:
            return Opaque(NAME, kind, {"type": kind, **tool}, hosted=hosted_tool_in(kind, tool))


def _function_in(function: dict[str, Any], extra: dict[str, Any]) -> Tool:
    return Tool(
        need(function, "name", str),
        take(function, "description", str),
        take(function, "parameters", dict),
        take(function, "strict", bool),
        extra={**extra, **function} or None,
    )


def _tool_choice_in(choice: Any, repairs: Repairs) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case "any":  # Mistral's value
            return ToolChoice("required")
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]}}:
            functions = [maybe(tool, "function", dict) for tool in tools if type(tool) is dict]
            names = [maybe(function, "name", str) for function in functions if function is not None]
            if None in names:
                raise Malformed("tool_choice.allowed_tools.tools", "must name each function")
            return ToolChoice(mode, tuple(name for name in names if name is not None))
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("named", (name,))
        case (
            {"function": {"name": str(name)}}
            | {"custom": {"name": str(name)}}
            | {"type": "function" | "custom" | "tool", "name": str(name)}
        ):
            repairs.add("tool_choice")
            return ToolChoice("named", (name,))
        case {"type": "auto" | "none" | "required" | "any" as mode} if len(choice) == 1:
            repairs.add("tool_choice")
            return ToolChoice("required" if mode == "any" else mode)
        case _:
            raise Malformed("tool_choice", "must be auto, none, required, or an object that names a tool")


def _legacy_tools_in(
    body: dict[str, Any], tools: tuple[Tool | Opaque, ...], choice: ToolChoice | None
) -> tuple[tuple[Tool | Opaque, ...], ToolChoice | None]:
    """Decodes the `functions` of 2023; the empty list left in the body makes the reply use `function_call` too."""
    functions = each(take(body, "functions", list, []), "functions", lambda function: _function_in(function, {}))
    body["functions"] = []
    legacy = body.pop("function_call", None)
    if legacy is not None and choice is not None:
        raise Malformed("function_call", "cannot be combined with tool_choice, which means the same; keep one of them")
    match legacy:
        case {"name": str(name)}:
            choice = ToolChoice("named", (name,))
        case "auto" | "none" as mode:
            choice = ToolChoice(mode)
        case None:
            pass
        case _:
            raise Malformed("function_call", "must be auto, none, or an object with a name")
    return tools + functions, choice


def _reasoning_config_in(body: dict[str, Any]) -> ReasoningConfig | None:
    # OpenRouter's object: https://openrouter.ai/docs/use-cases/reasoning-tokens
    fields = take(body, "reasoning", dict)
    if fields is None:
        effort = take(body, "reasoning_effort", str)
        return ReasoningConfig(effort) if effort is not None else None
    if body.get("reasoning_effort") is not None:
        body["reasoning_effort"] = need(body, "reasoning_effort", str)
        alias(body, "effort", "reasoning_effort", fields, "reasoning.")
    return ReasoningConfig(
        take(fields, "effort", str),
        take(fields, "max_tokens", int),
        take(fields, "enabled", bool),
        extra=fields or None,
    )


def _format_in(fields: dict[str, Any] | None) -> ResponseFormat | None:
    if fields is None:
        return None
    kind = need(fields, "type", str)
    match kind:
        case "text" | "json_object":
            return ResponseFormat(kind, extra=fields or None)
        case "json_schema":
            inner = need(fields, "json_schema", dict)
            return ResponseFormat(
                "json_schema",
                take(inner, "schema", dict),
                take(inner, "name", str),
                take(inner, "description", str),
                take(inner, "strict", bool),
                {**fields, **inner} or None,
            )
        case _:
            raise Malformed("response_format.type", f"'{kind}' is none of text, json_object, json_schema")
