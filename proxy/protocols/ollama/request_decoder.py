"""Decodes Ollama chat requests into neutral requests."""

from __future__ import annotations

from typing import Any

from ...errors import Malformed
from ...ir import (
    Block,
    Image,
    Media,
    Reasoning,
    ReasoningConfig,
    Request,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from ...ir.data_url import media_of
from ...ir.known_tools import KnownTools, take_tools
from ...ir.media_type import media_type, standard_base64
from ...ir.token_logprobs import logprobs_in
from ...wire import json_fields
from ...wire.json_fields import each, need, take
from ..protocol import UrlParams
from .fields import merge_extra, take_integer
from .tables import FLOATS, IMAGE_PREFIXES, INTEGERS, NAME


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    model = need(body, "model", str)
    # "If the messages array is empty, the model will be loaded into memory."
    # https://github.com/ollama/ollama/blob/main/docs/api.md#load-a-model
    messages = need(body, "messages", list)
    options = take(body, "options", dict, {})
    try:
        sampling, max_tokens, stop = _options_in(options)
    except Malformed as fault:
        raise fault.under("options") from None
    merge_extra(body, "options", options)
    return Request(
        protocol=NAME,
        model=model,
        turns=_turns_in(messages),
        tools=take_tools(body, _tools_in),
        sampling=sampling,
        max_tokens=max_tokens,
        stop=stop,
        reasoning=_reasoning_config_in(body.pop("think", None)),
        format=_format_in(body.pop("format", None)),
        # "stream: if false the response will be returned as a single response object, rather than a stream of objects"
        # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
        stream=take(body, "stream", bool, True),
        logprobs=logprobs_in(body),
        extra=body or None,
    )


def _options_in(options: dict[str, Any]) -> tuple[Sampling, int | None, tuple[str, ...]]:
    numbers: dict[str, Any] = {key: take(options, key, float) for key in FLOATS}
    numbers |= {key: take_integer(options, key) for key in INTEGERS}
    limit = take_integer(options, "num_predict")
    if limit is not None and limit <= 0:  # -1 is no limit, -2 the whole context: neither is a number of tokens
        options["num_predict"], limit = limit, None
    return Sampling(**numbers), limit, json_fields.strings(options, "stop")


class _ToolCallIds:
    """Gives calls unique ids, and finds the call of a result: by id if it has one, else by name and order."""

    def __init__(self) -> None:
        self._waiting: list[ToolCall] = []
        self._used: set[str] = set()
        self._count = 0

    def add_calls(self, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
        """Returns the calls of one message with ids, which stay the same in every later request of a conversation."""
        self._used.update(call.id for call in calls if call.id)
        with_ids = tuple(call if call.id else _with_id(call, self._new_id()) for call in calls)
        self._waiting = list(with_ids)
        return with_ids

    def match_result(self, id_: str | None, name: str | None) -> str:
        """Returns the id of the call that a result belongs to, or a new one if there is none."""
        for position, call in enumerate(self._waiting):
            if call.id == id_ if id_ else name in (None, call.name):
                del self._waiting[position]
                return call.id
        return id_ or self._new_id()

    def _new_id(self) -> str:
        while (id_ := f"call_{self._count}") in self._used:
            self._count += 1
        self._used.add(id_)
        return id_


def _with_id(call: ToolCall, id_: str) -> ToolCall:
    return ToolCall(id_, call.name, call.arguments, extra=call.extra)


def _turns_in(messages: list[Any]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    results: list[Block] = []  # consecutive tool messages become one user turn
    call_ids = _ToolCallIds()
    for message in each(messages, "messages", lambda message: _message_in(message, call_ids)):
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


def _message_in(message: dict[str, Any], call_ids: _ToolCallIds) -> Turn | ToolResult:
    role = need(message, "role", str).lower()
    match role:
        case "user" | "system" | "developer":
            return Turn(role, content_in(message), message or None)
        case "assistant":
            blocks = reasoning_in(message) + content_in(message, required=False)
            blocks += call_ids.add_calls(each(take(message, "tool_calls", list, []), "tool_calls", call_in))
            return Turn("assistant", blocks, message or None)
        case "tool":
            name = take(message, "tool_name", str) or take(message, "name", str)
            id_ = call_ids.match_result(take(message, "tool_call_id", str), name)
            return ToolResult(id_, content_in(message), name=name, extra=message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of system, user, assistant, tool")


def reasoning_in(message: dict[str, Any]) -> tuple[Block, ...]:
    """Takes the thinking of a message."""
    text = take(message, "thinking", str)
    return (Reasoning(text),) if text else ()


def content_in(message: dict[str, Any], required: bool = True) -> tuple[Block, ...]:
    """Takes the text and the images of a message; the official client omits an empty `content`."""
    text = take(message, "content", str, "")
    images = tuple(_image_in(image, position) for position, image in enumerate(take(message, "images", list, [])))
    return (Text(text), *images) if text or (required and not images) else images


def _image_in(data: Any, position: int) -> Image:
    if type(data) is not str:
        raise Malformed(f"images[{position}]", f"must be a string of base64, is {json_fields.describe(data)}")
    if data[:5].lower() == "data:":  # the API expects bare base64, but some clients send data URLs
        return Image(media_of(data))
    data = standard_base64(data)
    seen = next((mime for prefix, mime in IMAGE_PREFIXES.items() if data.startswith(prefix)), None)
    return Image(Media(media_type(seen, data), data))


def call_in(call: dict[str, Any]) -> ToolCall:
    """Decodes a tool call; its id is empty if it has none."""
    call.pop("type", None)
    id_ = take(call, "id", str, "")
    function = need(call, "function", dict)
    function.pop("index", None)  # the position in the list, which the encoder writes again
    arguments = function.pop("arguments", None)
    if type(arguments) is not str:
        arguments = json_fields.encode({} if arguments is None else arguments).decode()
    name = need(function, "name", str)
    return ToolCall(id_, name, arguments or "{}", extra=merge_extra(call, "function", function))


def _tools_in(tools: list[Any]) -> tuple[Tool, ...]:
    return each(tools, "tools", _tool_in)


KNOWN_TOOLS = KnownTools(_tools_in)


def _tool_in(tool: dict[str, Any]) -> Tool:
    tool.pop("type", None)
    function = need(tool, "function", dict)
    name = need(function, "name", str)
    description = take(function, "description", str)
    parameters = take(function, "parameters", dict)
    return Tool(name, description, parameters, extra=merge_extra(tool, "function", function))


def _reasoning_config_in(think: Any) -> ReasoningConfig | None:
    if think is None:
        return None
    if type(think) is bool:
        return ReasoningConfig(enabled=think)
    if type(think) is str:
        return ReasoningConfig(think)
    raise Malformed(
        "think", f"must be true, false, or a level such as low, medium, high; is {json_fields.describe(think)}"
    )


def _format_in(response_format: Any) -> ResponseFormat | None:
    # "format: the format to return a response in. Format can be json or a JSON schema."
    # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
    match response_format:
        case None | "":
            return None
        case "json":
            return ResponseFormat("json_object")
        case dict():
            return ResponseFormat("json_schema", response_format)
        case _:
            raise Malformed("format", 'must be "json" or a JSON schema')
