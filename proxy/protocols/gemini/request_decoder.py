"""Decodes Gemini generateContent requests into neutral requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import (
    Block,
    Opaque,
    ReasoningConfig,
    Request,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...ir.repairs import Repairs
from ...wire import json_fields
from ...wire.json_fields import alias, each, need, take
from ..protocol import UrlParams
from .fields import camel, take_integer, take_list
from .hosted_tools import hosted_tools_in
from .json_schema import schema_in
from .parts import ToolCallIds, is_empty_part, merge_blocks, part_in
from .tables import METHODS, MODES, NAME


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    if url.method not in METHODS:
        raise Malformed("", f"the method '{url.method}' is none of {', '.join(METHODS)}")
    camel(body)
    body_model = take(body, "model", str, "")  # the model in the URL decides; some SDKs repeat it here
    model = url.model or body_model.removeprefix("models/")
    if not model:
        raise Malformed("model", "is required, in the address")
    contents = take_list(body, "contents")
    if not contents:
        raise Malformed("contents", "must hold at least one content")
    config = take(body, "generationConfig", dict, {})
    try:
        sampling, reasoning, form = _sampling_in(config), _reasoning_config_in(config), _format_in(config)
        logprobs = _logprobs_in(config)
        max_tokens, stop = take_integer(config, "maxOutputTokens"), json_fields.strings(config, "stopSequences")
    except Malformed as fault:
        raise fault.under("generationConfig") from None
    repairs = Repairs()
    tools, (choice, is_validated) = _tools_in(body), _tool_choice_in(body)
    if is_validated:
        tools = tuple(replace(tool, strict=True) if isinstance(tool, Tool) else tool for tool in tools)
    request = Request(
        protocol=NAME,
        model=model,
        turns=_system_in(body) + _turns_in(contents, repairs),
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        max_tokens=max_tokens,
        stop=stop,
        reasoning=reasoning,
        format=form,
        stream=METHODS[url.method],
        logprobs=logprobs,
    )
    extra = {**body, **{f"generationConfig.{key}": value for key, value in config.items()}}
    return replace(request, extra=extra or None, repaired=repairs.names()) if extra or repairs else request


# ---- contents --------------------------------------------------------------------------------------------------------


def _sequential_ids() -> Callable[[], str]:
    """Returns a generator of ids by position, so that a history has the same ids in every later request."""
    count = 0

    def new_id() -> str:
        nonlocal count
        count += 1
        return f"call_{count}"

    return new_id


def _system_in(body: dict[str, Any]) -> tuple[Turn, ...]:
    system = body.pop("systemInstruction", None)
    if system is None:
        return ()
    if type(system) is str:
        return (Turn("system", (Text(system),)),)
    if type(system) is not dict:
        raise Malformed("systemInstruction", f"must be a content, is {json_fields.describe(system)}")
    system.pop("role", None)  # the API accepts and ignores any role here
    try:
        blocks = _parts_in(take_list(system, "parts"), ToolCallIds(_sequential_ids()))
    except Malformed as fault:
        raise fault.under("systemInstruction") from None
    return (Turn("system", blocks, system or None),) if blocks or system else ()


def _turns_in(contents: list[Any], repairs: Repairs) -> tuple[Turn, ...]:
    call_ids = ToolCallIds(_sequential_ids())
    turns: list[Turn] = []
    for turn in each(contents, "contents", lambda content: _content_in(content, call_ids, repairs)):
        last = turns[-1] if turns else None
        if last is None or last.extra or turn.extra or last.role != turn.role:
            turns.append(turn)
        elif turn.role == "assistant":
            # clients send a streamed reply back as one content per chunk
            turns[-1] = Turn("assistant", merge_blocks((*last.blocks, *turn.blocks)))
        elif _all_results(last) and _all_results(turn):
            turns[-1] = Turn("user", last.blocks + turn.blocks)
        else:
            turns.append(turn)
    return tuple(turns)


def _all_results(turn: Turn) -> bool:
    return all(isinstance(block, ToolResult) for block in turn.blocks)


def _content_in(content: dict[str, Any], call_ids: ToolCallIds, repairs: Repairs) -> Turn:
    # "role: The producer of the content. Must be either 'user' or 'model'. [...] can be left blank or unset."
    # https://ai.google.dev/api/caching#Content; `function` is an older role of results
    role = take(content, "role", str, "user").lower() or "user"
    parts = take_list(content, "parts")
    kept = [part for part in parts if not is_empty_part(part)]
    if len(kept) < len(parts):
        repairs.add("part_empty")
    blocks = _parts_in(kept, call_ids)
    match role:
        case "model":
            return Turn("assistant", merge_blocks(blocks), content or None)
        case "user" | "function":
            results = tuple(block for block in blocks if isinstance(block, ToolResult))
            if results:
                blocks = results + tuple(block for block in blocks if not isinstance(block, ToolResult))
            return Turn("user", blocks, content or None)
        case _:
            raise Malformed("role", f"'{role}' is none of user, model")


def _parts_in(parts: list[Any], call_ids: ToolCallIds) -> tuple[Block, ...]:
    return each(parts, "parts", lambda part: part_in(part, call_ids))


# ---- tools -----------------------------------------------------------------------------------------------------------


def _tools_in(body: dict[str, Any]) -> tuple[Tool | Opaque, ...]:
    found: list[Tool | Opaque] = []

    def add(tool: dict[str, Any]) -> None:
        found.extend(each(take_list(tool, "functionDeclarations"), "functionDeclarations", _function_in))
        found.extend(one for key, value in tool.items() if value is not None for one in hosted_tools_in(key, value))

    each(take_list(body, "tools"), "tools", add)
    return tuple(found)


def _function_in(function: dict[str, Any]) -> Tool:
    name = need(function, "name", str)
    description = take(function, "description", str)
    # "This field is mutually exclusive with parameters." https://ai.google.dev/api/caching#FunctionDeclaration
    alias(function, "parametersJsonSchema", "parameters")
    parameters = take(function, "parametersJsonSchema", dict)
    return Tool(name, description, None if parameters is None else schema_in(parameters), extra=function or None)


def _tool_choice_in(body: dict[str, Any]) -> tuple[ToolChoice | None, bool]:
    """Returns the choice, and whether it says that all arguments must fit their schema.

    "VALIDATED: Model decides to predict either a function call or a natural language response, but will validate
    function calls with constrained decoding." Beside names it says no more than that the model may choose among them,
    because no other mode can. https://ai.google.dev/api/caching#Mode
    """
    config = body.get("toolConfig")
    if config is None:
        return None, False
    if type(config) is not dict:
        raise Malformed("toolConfig", f"must be an object, is {json_fields.describe(config)}")
    try:
        calling = take(config, "functionCallingConfig", dict)
    except Malformed as fault:
        raise fault.under("toolConfig") from None
    if not config:
        del body["toolConfig"]
    if calling is None:
        return None, False
    wire_mode = take(calling, "mode", str, "AUTO").upper()
    mode = MODES.get(wire_mode)
    if mode is None:
        raise Malformed("toolConfig.functionCallingConfig.mode", f"'{wire_mode}' is none of {', '.join(MODES)}")
    names = json_fields.strings(calling, "allowedFunctionNames")
    if mode == "required" and len(names) == 1:
        mode = "named"
    return ToolChoice(mode, names, calling or None), wire_mode == "VALIDATED" and not names


# ---- generationConfig ------------------------------------------------------------------------------------------------


def _sampling_in(config: dict[str, Any]) -> Sampling:
    return Sampling(
        take(config, "temperature", float),
        take(config, "topP", float),
        take_integer(config, "topK"),
        take_integer(config, "seed"),
        take(config, "frequencyPenalty", float),
        take(config, "presencePenalty", float),
    )


def _logprobs_in(config: dict[str, Any]) -> int | None:
    """Takes how many likeliest tokens are asked for at each place.

    "logprobs: Only valid if responseLogprobs=True." https://ai.google.dev/api/generate-content#generationconfig
    """
    if config.get("responseLogprobs") is not True:
        return None
    del config["responseLogprobs"]
    return take_integer(config, "logprobs") or 0


def _reasoning_config_in(config: dict[str, Any]) -> ReasoningConfig | None:
    fields = take(config, "thinkingConfig", dict)
    if fields is None:
        return None
    # "0 is DISABLED. -1 is AUTOMATIC." https://ai.google.dev/gemini-api/docs/thinking
    budget = take_integer(fields, "thinkingBudget")
    level = take(fields, "thinkingLevel", str, "").lower()
    include_thoughts = take(fields, "includeThoughts", bool)
    return ReasoningConfig(
        level if level and level != "thinking_level_unspecified" else None,
        budget if budget is not None and budget >= 0 else None,
        True if budget is not None and budget < 0 else None,
        "auto" if include_thoughts else None,
        fields or None,
    )


def _text_format_in(config: dict[str, Any]) -> None:
    """Replaces `responseFormat` by the older fields that say the same, if it is about text alone.

    "Deprecated: Use `response_format` instead" of `responseMimeType` and `responseSchema`:
    https://github.com/googleapis/python-genai/blob/main/google/genai/types.py
    """
    formats = config.get("responseFormat")
    match formats:
        case {"text": dict(text), **rest} | [{"text": dict(text), **rest}] if not any(rest.values()):
            pass
        case dict() | list() | None:
            return  # pictures, sound or several at once, which only Gemini has
        case _:
            raise Malformed("responseFormat", f"must be an array, is {json_fields.describe(formats)}")
    older = [key for key in ("responseMimeType", "responseSchema", "responseJsonSchema") if config.get(key) is not None]
    if older:
        raise Malformed("responseFormat", f"says what {older[0]} says; send one of them")
    if not text.keys() <= {"mimeType", "schema"}:
        return
    del config["responseFormat"]
    mime, schema = take(text, "mimeType", str), text.pop("schema", None)
    if mime is not None:
        config["responseMimeType"] = mime.lower().replace("_", "/", 1)  # APPLICATION_JSON, as an enum has it
    if schema is not None:
        config["responseJsonSchema"] = schema


def _format_in(config: dict[str, Any]) -> ResponseFormat | None:
    _text_format_in(config)
    mime = config.get("responseMimeType")
    # "responseJsonSchema: … If set, responseSchema must be omitted"
    # https://ai.google.dev/api/generate-content#generationconfig
    if config.get("responseJsonSchema") is not None:
        alias(config, "responseJsonSchema", "responseSchema")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if mime == "application/json" or (mime is None and type(schema) is dict):
        for key in ("responseMimeType", "responseJsonSchema", "responseSchema"):
            config.pop(key, None)
        if schema is None:
            return ResponseFormat("json_object")
        if type(schema) is not dict:
            raise Malformed("responseSchema", f"must be an object, is {json_fields.describe(schema)}")
        return ResponseFormat("json_schema", schema_in(schema))
    if mime == "text/plain":
        del config["responseMimeType"]
        return ResponseFormat("text")
    return None  # an enum as plain text (text/x.enum) exists in Gemini only: it remains an extra field
