"""A Gemini client's request as the neutral form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ... import wire
from ...errors import Malformed
from ...ir import (
    Block,
    Format,
    Opaque,
    Request,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...wire import each, need, take
from ..contract import Where
from .fields import camel, several, whole
from .parts import Pairs, joined, part_in
from .schema import schema_in
from .words import METHODS, MODES, NAME


def decode_request(body: dict[str, Any], where: Where) -> Request:
    if where.method not in METHODS:
        raise Malformed("", f"the method '{where.method}' is none of {', '.join(METHODS)}")
    camel(body)
    named = take(body, "model", str, "")  # the address counts; some SDKs repeat it here
    model = where.model or named.removeprefix("models/")
    if not model:
        raise Malformed("model", "is required, in the address")
    contents = several(body, "contents")
    if not contents:
        raise Malformed("contents", "must hold at least one content")
    config = take(body, "generationConfig", dict, {})
    try:
        sampling, reasoning, form = _sampling_in(config), _thinking_in(config), _format_in(config)
        max_tokens, stop = whole(config, "maxOutputTokens"), wire.strings(config, "stopSequences")
    except Malformed as fault:
        raise fault.under("generationConfig") from None
    request = Request(
        dialect=NAME,
        model=model,
        turns=_system_in(body) + _turns_in(contents),
        tools=_tools_in(body),
        tool_choice=_tool_choice_in(body),
        sampling=sampling,
        max_tokens=max_tokens,
        stop=stop,
        reasoning=reasoning,
        format=form,
        stream=METHODS[where.method],
    )
    own = {**body, **{f"generationConfig.{key}": value for key, value in config.items()}}
    return replace(request, own=own) if own else request


# ---- contents --------------------------------------------------------------------------------------------------------


def _counted() -> Callable[[], str]:
    """Ids by position, so that a history has the same ones in every later request."""
    count = 0

    def fresh() -> str:
        nonlocal count
        count += 1
        return f"call_{count}"

    return fresh


def _system_in(body: dict[str, Any]) -> tuple[Turn, ...]:
    system = body.pop("systemInstruction", None)
    if system is None:
        return ()
    if type(system) is str:
        return (Turn("system", (Text(system),)),)
    if type(system) is not dict:
        raise Malformed("systemInstruction", f"must be a content, is {wire.describe(system)}")
    system.pop("role", None)  # any word is taken here, and means nothing
    try:
        blocks = _parts_in(several(system, "parts"), Pairs(_counted()))
    except Malformed as fault:
        raise fault.under("systemInstruction") from None
    return (Turn("system", blocks, system or None),) if blocks or system else ()


def _turns_in(contents: list[Any]) -> tuple[Turn, ...]:
    pairs = Pairs(_counted())
    turns: list[Turn] = []
    for turn in each(contents, "contents", lambda content: _content_in(content, pairs)):
        last = turns[-1] if turns else None
        if last is None or last.own or turn.own or last.role != turn.role:
            turns.append(turn)
        elif turn.role == "assistant":
            # a streamed answer comes back as one content a chunk
            turns[-1] = Turn("assistant", joined((*last.blocks, *turn.blocks)))
        elif _all_results(last) and _all_results(turn):
            turns[-1] = Turn("user", last.blocks + turn.blocks)
        else:
            turns.append(turn)
    return tuple(turns)


def _all_results(turn: Turn) -> bool:
    return all(isinstance(block, ToolResult) for block in turn.blocks)


def _content_in(content: dict[str, Any], pairs: Pairs) -> Turn:
    # "role: The producer of the content. Must be either 'user' or 'model'. [...] can be left blank or unset."
    # https://ai.google.dev/api/caching#Content; `function` is how results once came
    role = take(content, "role", str, "user").lower() or "user"
    blocks = _parts_in(several(content, "parts"), pairs)
    match role:
        case "model":
            return Turn("assistant", joined(blocks), content or None)
        case "user" | "function":
            results = tuple(block for block in blocks if isinstance(block, ToolResult))
            if results:
                blocks = results + tuple(block for block in blocks if not isinstance(block, ToolResult))
            return Turn("user", blocks, content or None)
        case _:
            raise Malformed("role", f"'{role}' is none of user, model")


def _parts_in(parts: list[Any], pairs: Pairs) -> tuple[Block, ...]:
    return each(parts, "parts", lambda part: part_in(part, pairs))


# ---- tools -----------------------------------------------------------------------------------------------------------


def _tools_in(body: dict[str, Any]) -> tuple[Tool | Opaque, ...]:
    found: list[Tool | Opaque] = []

    def one(tool: dict[str, Any]) -> None:
        found.extend(each(several(tool, "functionDeclarations"), "functionDeclarations", _function_in))
        found.extend(Opaque(NAME, key, {key: value}) for key, value in tool.items() if value is not None)

    each(several(body, "tools"), "tools", one)
    return tuple(found)


def _function_in(function: dict[str, Any]) -> Tool:
    name = need(function, "name", str)
    description = take(function, "description", str)
    parameters = take(function, "parameters", dict)
    parameters = take(function, "parametersJsonSchema", dict) or parameters
    return Tool(name, description, None if parameters is None else schema_in(parameters), own=function or None)


def _tool_choice_in(body: dict[str, Any]) -> ToolChoice | None:
    config = body.get("toolConfig")
    if config is None:
        return None
    if type(config) is not dict:
        raise Malformed("toolConfig", f"must be an object, is {wire.describe(config)}")
    try:
        calling = take(config, "functionCallingConfig", dict)
    except Malformed as fault:
        raise fault.under("toolConfig") from None
    if not config:
        del body["toolConfig"]
    if calling is None:
        return None
    word = take(calling, "mode", str, "AUTO").upper()
    mode = MODES.get(word)
    if mode is None:
        raise Malformed("toolConfig.functionCallingConfig.mode", f"'{word}' is none of {', '.join(MODES)}")
    names = wire.strings(calling, "allowedFunctionNames")
    if word == "VALIDATED" and not names:
        calling["mode"] = word
    if mode == "required" and len(names) == 1:
        mode = "named"
    return ToolChoice(mode, names, calling or None)


# ---- generationConfig ------------------------------------------------------------------------------------------------


def _sampling_in(config: dict[str, Any]) -> Sampling:
    return Sampling(
        take(config, "temperature", float),
        take(config, "topP", float),
        whole(config, "topK"),
        whole(config, "seed"),
        take(config, "frequencyPenalty", float),
        take(config, "presencePenalty", float),
    )


def _thinking_in(config: dict[str, Any]) -> Thinking | None:
    fields = take(config, "thinkingConfig", dict)
    if fields is None:
        return None
    # "0 is DISABLED. -1 is AUTOMATIC." https://ai.google.dev/gemini-api/docs/thinking
    budget = whole(fields, "thinkingBudget")
    level = take(fields, "thinkingLevel", str, "").lower()
    shown = take(fields, "includeThoughts", bool)
    return Thinking(
        level if level and level != "thinking_level_unspecified" else None,
        budget if budget is not None and budget >= 0 else None,
        True if budget is not None and budget < 0 else None,
        "auto" if shown else None,
        fields or None,
    )


def _format_in(config: dict[str, Any]) -> Format | None:
    mime = config.get("responseMimeType")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if mime == "application/json" or (mime is None and type(schema) is dict):
        for key in ("responseMimeType", "responseJsonSchema", "responseSchema"):
            config.pop(key, None)
        if schema is None:
            return Format("json_object")
        if type(schema) is not dict:
            raise Malformed("responseSchema", f"must be an object, is {wire.describe(schema)}")
        return Format("json_schema", schema_in(schema))
    if mime == "text/plain":
        del config["responseMimeType"]
        return Format("text")
    return None  # an enum as plain text (text/x.enum) is Gemini's alone: it stays left over
