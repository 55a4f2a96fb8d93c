"""An Ollama client's request as the neutral form."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed
from ...ir import (
    Block,
    Format,
    Image,
    Media,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from ...wire import each, need, take
from ..contract import Where
from .words import FLOATS, INTEGERS, MIMES, NAME


def decode_request(body: dict[str, Any], where: Where) -> Request:
    model = need(body, "model", str)
    # "If the messages array is empty, the model will be loaded into memory."
    # https://github.com/ollama/ollama/blob/main/docs/api.md#load-a-model
    messages = need(body, "messages", list)
    options = take(body, "options", dict, {})
    try:
        sampling, max_tokens, stop = _options_in(options)
    except Malformed as fault:
        raise fault.under("options") from None
    body |= {f"options.{key}": value for key, value in options.items()}
    return Request(
        dialect=NAME,
        model=model,
        turns=_turns_in(messages),
        tools=each(take(body, "tools", list, []), "tools", _tool_in),
        sampling=sampling,
        max_tokens=max_tokens,
        stop=stop,
        reasoning=_thinking_in(body.pop("think", None)),
        format=_format_in(body.pop("format", None)),
        # "stream: if false the response will be returned as a single response object, rather than a stream of objects"
        # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
        stream=take(body, "stream", bool, True),
        own=body or None,
    )


def _options_in(options: dict[str, Any]) -> tuple[Sampling, int | None, tuple[str, ...]]:
    numbers: dict[str, Any] = {key: take(options, key, float) for key in FLOATS}
    numbers |= {key: _integer(options, key) for key in INTEGERS}
    limit = _integer(options, "num_predict")
    if limit is not None and limit <= 0:  # -1 is no bound, -2 the whole context: neither is a number of tokens
        options["num_predict"], limit = limit, None
    return Sampling(**numbers), limit, wire.strings(options, "stop")


def _integer(options: dict[str, Any], key: str) -> int | None:
    """An integer, also when a client of floats wrote it as 40.0."""
    value = options.get(key)
    if type(value) is float and value.is_integer():
        options[key] = int(value)
    return take(options, key, int)


class _Calls:
    """The calls that wait for a result. Many clients keep no ids, so a result finds its call by name and order."""

    def __init__(self) -> None:
        self._waiting: list[ToolCall] = []
        self._taken: set[str] = set()
        self._count = 0

    def ask(self, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
        """The calls of one message, each with an id that is the same whenever this conversation comes again."""
        self._taken.update(call.id for call in calls if call.id)
        named = tuple(call if call.id else _with_id(call, self._fresh()) for call in calls)
        self._waiting = list(named)
        return named

    def answer(self, id_: str | None, name: str | None) -> str:
        """The id of the call that a result belongs to; one of its own where no call fits."""
        for place, call in enumerate(self._waiting):
            if call.id == id_ if id_ else name in (None, call.name):
                del self._waiting[place]
                return call.id
        return id_ or self._fresh()

    def _fresh(self) -> str:
        while (id_ := f"call_{self._count}") in self._taken:
            self._count += 1
        self._taken.add(id_)
        return id_


def _with_id(call: ToolCall, id_: str) -> ToolCall:
    return ToolCall(id_, call.name, call.arguments, own=call.own)


def _turns_in(messages: list[Any]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    results: list[Block] = []  # a run of tool messages is one user turn
    calls = _Calls()
    for message in each(messages, "messages", lambda message: _message_in(message, calls)):
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


def _message_in(message: dict[str, Any], calls: _Calls) -> Turn | ToolResult:
    role = need(message, "role", str).lower()
    match role:
        case "user" | "system" | "developer":
            return Turn(role, content_in(message), message or None)
        case "assistant":
            blocks = reasoning_in(message) + content_in(message, required=False)
            blocks += calls.ask(each(take(message, "tool_calls", list, []), "tool_calls", call_in))
            return Turn("assistant", blocks, message or None)
        case "tool":
            name = take(message, "tool_name", str) or take(message, "name", str)
            id_ = calls.answer(take(message, "tool_call_id", str), name)
            return ToolResult(id_, content_in(message), name=name, own=message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of system, user, assistant, tool")


def reasoning_in(message: dict[str, Any]) -> tuple[Block, ...]:
    text = take(message, "thinking", str)
    return (Reasoning(text),) if text else ()


def content_in(message: dict[str, Any], required: bool = True) -> tuple[Block, ...]:
    """The text and the pictures of a message; the official client leaves an empty `content` out."""
    text = take(message, "content", str, "")
    images = tuple(_image_in(image, place) for place, image in enumerate(take(message, "images", list, [])))
    return (Text(text), *images) if text or (required and not images) else images


def _image_in(data: Any, place: int) -> Image:
    if type(data) is not str:
        raise Malformed(f"images[{place}]", f"must be a string of base64, is {wire.describe(data)}")
    if data.startswith("data:"):  # the wire wants bare base64, but some clients send what browsers give them
        head, _, data = data[5:].partition(",")
        return Image(Media(head.partition(";")[0] or None, data))
    return Image(Media(next((mime for mark, mime in MIMES.items() if data.startswith(mark)), None), data))


def call_in(call: dict[str, Any]) -> ToolCall:
    """A call; its id is empty where the wire has none."""
    call.pop("type", None)
    id_ = take(call, "id", str, "")
    function = need(call, "function", dict)
    function.pop("index", None)  # its place in the list, which the encoder counts anew
    arguments = function.pop("arguments", None)
    if type(arguments) is not str:
        arguments = wire.encode({} if arguments is None else arguments).decode()
    name = need(function, "name", str)
    call |= {f"function.{key}": value for key, value in function.items()}
    return ToolCall(id_, name, arguments or "{}", own=call or None)


def _tool_in(tool: dict[str, Any]) -> Tool:
    tool.pop("type", None)
    function = need(tool, "function", dict)
    name = need(function, "name", str)
    description = take(function, "description", str)
    parameters = take(function, "parameters", dict)
    tool |= {f"function.{key}": value for key, value in function.items()}
    return Tool(name, description, parameters, own=tool or None)


def _thinking_in(think: Any) -> Thinking | None:
    if think is None:
        return None
    if type(think) is bool:
        return Thinking(enabled=think)
    if type(think) is str:
        return Thinking(think)
    raise Malformed("think", f"must be true, false, or a level such as low, medium, high; is {wire.describe(think)}")


def _format_in(form: Any) -> Format | None:
    # "format: the format to return a response in. Format can be json or a JSON schema."
    # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
    match form:
        case None | "":
            return None
        case "json":
            return Format("json_object")
        case dict():
            return Format("json_schema", form)
        case _:
            raise Malformed("format", 'must be "json" or a JSON schema')
