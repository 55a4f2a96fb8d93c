"""Parses Ollama chat requests into protocol-neutral form; fields without a neutral counterpart go to `extra`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...framing import dump
from ...scenarios.model import Block, Image, ResponseFormat, Role, Text, Thinking, Tool, ToolCall, ToolResult, Turn
from ..json_object import JsonObject
from ..protocol import MalformedRequest, ParsedRequest
from .tables import HARMLESS, OPTIONS

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    extra: dict[str, Any] = {}
    top = JsonObject(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns = _parse_turns(top.objects("messages"))
    lead = 0
    while lead < len(turns) and turns[lead].role == "system" and _is_text_only(turns[lead]):
        lead += 1
    options = top.object("options") or JsonObject({}, "$.options", extra)
    # "num_predict: … -1 = infinite generation". https://docs.ollama.com/modelfile#valid-parameters-and-values
    options.drop("num_predict", -1, -2)
    stream = top.boolean("stream")
    parsed = ParsedRequest(
        model=top.string("model"),
        stream=True if stream is None else stream,
        system=tuple(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        turns=tuple(turns[lead:]),
        tools=tuple(tool for tool in map(_parse_tool, top.objects("tools")) if tool is not None),
        sampling={name: value for name, key in OPTIONS.items() if (value := _parse_sampling(options, key)) is not None},
        max_tokens=options.integer("num_predict"),
        stop=options.strings("stop"),
        reasoning=_parse_reasoning(top),
        logprobs=(top.integer("top_logprobs") or 0) if top.peek("logprobs") is True else None,
        format=_parse_response_format(top),
        extra=extra,
    )
    options.close()
    top.drop("logprobs", True)  # it is parsed with the number of likely tokens
    top.close()
    return parsed


# ---- messages --------------------------------------------------------------------------------------------------------


def _is_text_only(turn: Turn) -> bool:
    return all(isinstance(block, Text) for block in turn.blocks)


def _parse_turns(messages: tuple[JsonObject, ...]) -> list[Turn]:
    turns: list[Turn] = []
    in_results = False
    for message in messages:
        # The server accepts roles in upper or lower case.
        role = (message.require("role").string("role") or "").lower()
        if role == "tool":
            # Consecutive results answer one turn, so they form one user turn.
            result = _parse_result(message)
            if in_results:
                turns[-1] = Turn("user", (*turns[-1].blocks, result))
            else:
                turns.append(Turn("user", (result,)))
            in_results = True
        elif role in ROLES:
            turns.append(Turn(ROLES[role], _parse_blocks(message)))
            in_results = False
        else:
            raise MalformedRequest(f"{message.path}.role", f"unknown role: {role!r}")
        message.close()
    return turns


def _parse_result(message: JsonObject) -> ToolResult:
    # `tool_name` replaced `name`. https://docs.ollama.com/capabilities/tool-calling
    name, deprecated = message.string("tool_name"), message.string("name")
    return ToolResult(
        message.string("tool_call_id") or "", _parse_content(message), False, name if name is not None else deprecated
    )


def _parse_blocks(message: JsonObject) -> tuple[Block, ...]:
    thinking = message.string("thinking")
    blocks: list[Block] = [Thinking(thinking)] if thinking else []
    blocks.extend(_parse_content(message))
    for call in message.objects("tool_calls"):
        function = call.require("function").object("function")
        if function is None:
            continue
        arguments = dump(function.dict("arguments") or {})
        blocks.append(ToolCall(call.string("id") or "", function.require("name").string("name") or "", arguments))
        function.any("index")
        call.drop("type", "function")
        function.close()
        call.close()
    return tuple(blocks)


def _parse_content(message: JsonObject) -> tuple[Block, ...]:
    text, images = message.string("content"), message.list("images") or []
    for at, image in enumerate(images):
        if not isinstance(image, str):
            raise MalformedRequest(f"{message.path}.images[{at}]", "expected base64")
    return (*((Text(text),) if text else ()), *(Image(None, image) for image in images))


# ---- settings --------------------------------------------------------------------------------------------------------


def _parse_tool(tool: JsonObject) -> Tool | None:
    kind, function = tool.string("type"), tool.object("function")
    if kind not in (None, "function") or function is None:
        tool.extra[tool.path] = {"type": kind}
        return None
    found = Tool(
        function.require("name").string("name") or "", function.string("description"), function.dict("parameters")
    )
    function.close()
    tool.close()
    return found


def _parse_sampling(options: JsonObject, key: str) -> float | int | None:
    value = options.number(key)
    if key in ("top_k", "seed") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _parse_reasoning(top: JsonObject) -> str | bool | None:
    return top.string("think") if isinstance(top.peek("think"), str) else top.boolean("think")


def _parse_response_format(top: JsonObject) -> ResponseFormat | None:
    value = top.any("format")
    match value:
        case None:
            return None
        case "json":
            return ResponseFormat()
        case dict():
            return ResponseFormat(value)
        case _:
            raise MalformedRequest("$.format", 'expected "json" or a JSON schema')
