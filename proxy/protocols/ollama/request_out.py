"""The neutral request as an Ollama backend gets it, and what that could not say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ... import effort, ledger, wire
from ...ir import (
    Audio,
    Block,
    Document,
    Format,
    Image,
    Loss,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...names import Names
from ..contract import Sent, Target
from .words import FLOATS, INTEGERS, LEVELLED, LEVELS, NAME, TOOL_NAME

_CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def encode_request(request: Request, target: Target) -> Sent:
    same = request.dialect == NAME
    losses = [] if same else ledger.request_leftovers(request)
    names = Names(request, TOOL_NAME)
    writer = _Messages(request, names, losses)
    # Unsaid, `stream` is true.
    payload: dict[str, Any] = {"model": target.model, "messages": writer.messages(), "stream": request.stream}
    tools = [
        _tool_out(tool, names, f"tools[{i}]", same, losses)
        for i, tool in enumerate(request.tools)
        if isinstance(tool, Tool) and _is_offered(tool, request.tool_choice)
    ]
    if tools:
        payload["tools"] = tools
    _tool_choice_out(request, losses)
    if request.parallel is False:
        losses.append(ledger.loss("parallel", "parallel_tool_calls"))
    options = _options_out(request)
    if request.reasoning is not None:
        think = _think_out(request.reasoning, target, same, losses)
        if think is not None:
            payload["think"] = think
    if request.format is not None and request.format.kind != "text":
        payload["format"] = _format_out(request.format, losses)
    if request.user is not None:
        losses.append(ledger.loss("user", "user"))
    if same and request.own:
        for key, value in request.own.items():
            if key.startswith("options."):
                options[key[8:]] = value
            else:
                payload[key] = value
    if options:
        payload["options"] = options
    return Sent(payload, tuple(losses), target, names.aliases)


def _options_out(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    options = {key: value for key in (*FLOATS, *INTEGERS) if (value := getattr(sampling, key)) is not None}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _think_out(thinking: Thinking, target: Target, same: bool, losses: list[Loss]) -> bool | str | None:
    """The value of `think`; None leaves the model's default alone."""
    word = effort.effort(thinking)
    wanted = thinking.enabled if word is None else word != "none"
    if wanted is None:
        return None
    if "no_think" in target.quirks:
        # A model that cannot think refuses `think: true` with "does not support thinking".
        if wanted:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return None
    if same:
        return thinking.effort if thinking.effort is not None else wanted
    if "think_levels" not in target.quirks and not LEVELLED.search(target.model):
        # "String values are model-defined; supported names must match /api/show exactly."
        # https://docs.ollama.com/api/chat
        # Nothing here asks /api/show, so what every thinking model knows is sent: the switch.
        if wanted and word is not None:
            losses.append(ledger.loss("reasoning", "reasoning"))
        return wanted
    if word is None:
        return None  # such a model thinks unasked
    level = LEVELS.get(word, "high")
    if level != thinking.effort:
        losses.append(ledger.loss("reasoning", "reasoning"))
    return level


class _Messages:
    """The turns of one request as messages, in order, with what they could not say."""

    def __init__(self, request: Request, names: Names, losses: list[Loss]) -> None:
        self._request = request
        self._same = request.dialect == NAME
        self._names = names
        self._losses = losses
        self._called: dict[str, str] = {}  # a call's id -> the name that its result must repeat
        self._out: list[dict[str, Any]] = []

    def messages(self) -> list[dict[str, Any]]:
        for t, turn in enumerate(self._request.turns):
            path = f"turns[{t}]"
            match turn.role:
                case "assistant":
                    self._assistant(turn, path)
                case "user":
                    self._user(turn, path)
                case "system" | "developer":  # Ollama's only word for either is system; it may stand anywhere
                    message = self._message("system", _placed(turn.blocks, path))
                    self._out.append({**message, **self._own(turn.own)})
        return self._out

    def _own(self, own: Own) -> dict[str, Any]:
        return own if own and self._same else {}

    def _user(self, turn: Turn, path: str) -> None:
        rest = []
        results = False
        for place, block in _placed(turn.blocks, path):
            if isinstance(block, ToolResult):
                results = True
                self._result(block, place)
            else:
                rest.append((place, block))
        if rest or not results:
            self._out.append({**self._message("user", rest), **self._own(turn.own)})

    def _result(self, result: ToolResult, path: str) -> None:
        """A tool message; it names the tool for every server, and the call for those that know ids."""
        media = [b for b in result.blocks if not isinstance(b, Text | Opaque) and not _is_sayable(b)]
        if media:
            self._losses.append(Loss(path, "tool_result_media", "dropped"))
        sayable = [(place, block) for place, block in _placed(result.blocks, path) if block not in media]
        message = self._message("tool", sayable)
        if result.error:
            self._losses.append(ledger.loss(path, "tool_error"))
            message["content"] = f"Error: {message['content']}"
        name = result.name if result.name is not None else self._called.get(result.id)
        if name is not None:
            message["tool_name"] = name if result.name is None else self._names.wire(name)
        self._out.append({**message, "tool_call_id": result.id, **self._own(result.own)})

    def _message(self, role: str, blocks: Iterable[tuple[str, Block]]) -> dict[str, Any]:
        texts = []
        images = []
        for path, block in blocks:
            match block:
                case Text(text):
                    texts.append(text)
                    if block.seal:
                        self._losses.append(ledger.loss(f"{path}.seal", "signature"))
                case Image(Media(data=str(data))):
                    images.append(data)
                case Document(Media(mime="text/plain", text=str(text), name=name)):
                    texts.append(text)
                    if name is not None:  # which a text has not
                        self._losses.append(ledger.loss(f"{path}.media.name", "name"))
                case Opaque():
                    pass  # another dialect's; the leftovers name it
                case _:
                    self._losses.append(Loss(path, _feature(block), "dropped"))
        # Parts of one message are separate things to a reader; the wire has one string for them.
        message: dict[str, Any] = {"role": role, "content": "\n".join(text for text in texts if text)}
        if images:
            message["images"] = images
        return message

    def _assistant(self, turn: Turn, path: str) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        thinking: list[str] = []
        images: list[str] = []
        calls: list[dict[str, Any]] = []
        for place, block in _placed(turn.blocks, path):
            match block:
                case Text(text):
                    message["content"] += text
                case Refusal(text):
                    message["content"] += text
                    self._losses.append(ledger.loss(place, "refusal"))
                case Reasoning(text):
                    thinking.append(text)
                case ToolCall():
                    calls.append(self._call(block, len(calls), place))
                case Image(Media(data=str(data))):
                    images.append(data)
                case Opaque():
                    pass
                case Image() | Document() | Audio() | ToolResult():
                    self._losses.append(Loss(place, _feature(block), "dropped"))
            if isinstance(block, Text | Reasoning | ToolCall) and block.seal:
                self._losses.append(ledger.loss(f"{place}.seal", "signature"))
            if isinstance(block, Text) and block.citations:
                self._losses.append(ledger.loss(f"{place}.citations", "citations"))
        if any(thinking):
            message["thinking"] = "".join(thinking)
        if images:
            message["images"] = images
        if calls:
            message["tool_calls"] = calls
        self._out.append({**message, **self._own(turn.own)})

    def _call(self, call: ToolCall, place: int, path: str) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._called[call.id] = name
        arguments, exact = arguments_out(call)
        if not exact:
            self._losses.append(ledger.loss(f"{path}.arguments", "tool_arguments"))
        function = {"index": place, "name": name, "arguments": arguments}
        out: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
        for key, value in self._own(call.own).items():
            if key.startswith("function."):
                function[key[9:]] = value
            else:
                out[key] = value
        return out


def _placed(blocks: tuple[Block, ...], path: str) -> list[tuple[str, Block]]:
    return [(f"{path}.blocks[{b}]", block) for b, block in enumerate(blocks)]


def _is_sayable(block: Block) -> bool:
    """Whether a message of any role can hold this beside its text."""
    match block:
        case Image(Media(data=str())) | Document(Media(mime="text/plain", text=str())):
            return True
        case _:
            return False


def arguments_out(call: ToolCall) -> tuple[msgspec.Raw, bool]:
    """The arguments as an object; a custom tool's free text is the one argument of the function that plays it."""
    if call.kind == "custom":
        return msgspec.Raw(wire.encode({"input": call.arguments})), True
    return wire.splice(call.arguments)


def _feature(block: Block) -> str:
    """The ledger's word for a block that a message cannot hold; a picture is one by address, which nobody fetches."""
    match block:
        case Image() | Document() | Audio():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case ToolResult():
            return "orphan"
        case _:
            return "unknown_field"


def _is_offered(tool: Tool, choice: ToolChoice | None) -> bool:
    """There is no `tool_choice` on this wire, but a tool that is not told of cannot be called."""
    if choice is None:
        return True
    return choice.mode != "none" and (not choice.names or tool.name in choice.names)


def _tool_choice_out(request: Request, losses: list[Loss]) -> None:
    """The offer shrinks to the tools that were named; that one of them must be called stays unsaid."""
    choice = request.tool_choice
    if choice is None:
        return
    fewer = any(isinstance(tool, Tool) and tool.name not in choice.names for tool in request.tools)
    if choice.names and fewer and choice.mode in ("auto", "required"):
        losses.append(ledger.loss("tool_choice", "allowed_tools"))
    if choice.mode in ("required", "named"):
        losses.append(Loss("tool_choice", "tool_choice", "approximated" if choice.names else "dropped"))


def _tool_out(tool: Tool, names: Names, path: str, same: bool, losses: list[Loss]) -> dict[str, Any]:
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        losses.append(ledger.loss(path, "custom_tool"))
        body["parameters"] = _CUSTOM
    elif tool.parameters is not None or not same:
        # `parameters` is required: https://docs.ollama.com/api/chat
        body["parameters"] = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    if tool.strict:
        losses.append(ledger.loss(f"{path}.strict", "tool_strict"))
    out: dict[str, Any] = {"type": "function", "function": body}
    if same and tool.own:
        for key, value in tool.own.items():
            if key.startswith("function."):
                body[key[9:]] = value
            else:
                out[key] = value
    return out


def _format_out(form: Format, losses: list[Loss]) -> Any:
    if form.description is not None:
        losses.append(Loss("format.description", "json_schema", "dropped"))
    if form.kind == "json_object":
        return "json"
    if form.schema is None:
        losses.append(ledger.loss("format", "json_schema"))
        return "json"
    return form.schema
