"""Encodes neutral requests as Ollama chat requests, and declares what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from ...ir import (
    Audio,
    Block,
    Document,
    Extra,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
    reasoning_effort,
)
from ...ir.hosted import foreign_hosted_tools, hosted_choice_losses, hosted_losses
from ...ir.losses import block_feature, declare_loss, request_extra_losses
from ...ir.model_fit import fitted
from ...ir.readable import joined, joined_thinking, readable
from ...ir.stop_sequences import said_stops
from ...ir.token_logprobs import logprobs_out
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from ...ir.tool_schema import with_fitted_tools
from ...wire import json_fields
from ..protocol import UpstreamRequest, UpstreamTarget
from ..schema_targets import OLLAMA_FUNCTION
from .fields import restore_extra
from .tables import FLOATS, INTEGERS, LEVELS, NAME, SAMPLERS, TOOL_NAME

CARRIED = frozenset(("namespace.description",))
"""Extra fields of other protocols' tools that are told in a description."""

_CUSTOM_TOOL_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Parameters of the function that stands for a custom tool."""


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    options: dict[str, Any] = {}
    if not same:
        options, rest = json_fields.renamed(request.extra, SAMPLERS)
        request = replace(request, extra=rest)
    losses = [] if same else request_extra_losses(request, CARRIED)
    if not same:
        request, named = readable(request, "all")
        losses += named + hosted_choice_losses(request)
        losses += [loss for i, tool in foreign_hosted_tools(request, NAME) for loss in hosted_losses(i, tool, {})]
    request, misfits = fitted(request, target.traits)
    losses += misfits
    if not same:
        request, misshapen = with_fitted_tools(request, OLLAMA_FUNCTION)
        losses += misshapen
    names = ToolNameMap(request, TOOL_NAME)
    builder = _MessageBuilder(request, names, losses)
    # `stream` is always sent, because its default is true
    payload: dict[str, Any] = {"model": target.model, "messages": builder.build(), "stream": request.stream}
    tools = [
        _tool_out(tool, names, f"tools[{i}]", same, losses)
        for i, tool in enumerate(request.tools)
        if isinstance(tool, Tool) and _is_offered(tool, request.tool_choice)
    ]
    if tools:
        payload["tools"] = tools
    _tool_choice_out(request, losses)
    if request.parallel is False:
        losses.append(declare_loss("parallel", "parallel_tool_calls"))
    options |= _options_out(request, losses)
    if request.reasoning is not None:
        think = _reasoning_out(request.reasoning, target, same, losses)
        if think is not None:
            payload["think"] = think
    if request.format is not None and request.format.kind != "text":
        payload["format"] = _format_out(request.format, losses)
    # "logprobs: Whether to return log probabilities of the output tokens" https://docs.ollama.com/api/chat
    payload |= logprobs_out(request.logprobs)
    if request.user is not None:
        losses.append(declare_loss("user", "user"))
    if same and request.extra:
        for key, value in request.extra.items():
            if key.startswith("options."):
                options[key[8:]] = value
            else:
                payload[key] = value
    if options:
        payload["options"] = options
    return UpstreamRequest(payload, tuple(losses), target, names.aliases)


def _options_out(request: Request, losses: list[Loss]) -> dict[str, Any]:
    sampling = request.sampling
    options = {key: value for key in (*FLOATS, *INTEGERS) if (value := getattr(sampling, key)) is not None}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if stops := said_stops(request.stop, losses):
        options["stop"] = list(stops)
    return options


def _reasoning_out(
    thinking: ReasoningConfig, target: UpstreamTarget, same: bool, losses: list[Loss]
) -> bool | str | None:
    """Returns the value of `think`; None leaves the default of the model."""
    effort = reasoning_effort.effort(thinking)
    wanted = thinking.enabled if effort is None else effort != "none"
    if wanted is None:
        return None
    if "thinking" in target.traits.refuses:
        # a model that cannot think refuses `think: true` with "does not support thinking"
        if wanted:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return None
    if same:
        return thinking.effort if thinking.effort is not None else wanted
    if "thinking_levels" not in target.traits.takes:
        # "String values are model-defined; supported names must match /api/show exactly."
        # https://docs.ollama.com/api/chat
        # /api/show is not called, so the switch is sent, which every thinking model accepts
        if wanted and effort is not None:
            losses.append(declare_loss("reasoning", "reasoning"))
        return wanted
    if effort is None:
        return None  # such a model thinks by default
    level = LEVELS.get(effort, "high")
    if level != thinking.effort:
        losses.append(declare_loss("reasoning", "reasoning"))
    return level


class _MessageBuilder:
    """Encodes the turns of one request as messages, in order."""

    def __init__(self, request: Request, names: ToolNameMap, losses: list[Loss]) -> None:
        self._request = request
        self._same = request.protocol == NAME
        self._names = names
        self._losses = losses
        self._call_names: dict[str, str] = {}  # call id -> name of the tool, which its result must repeat
        self._messages: list[dict[str, Any]] = []

    def build(self) -> list[dict[str, Any]]:
        """Returns the messages."""
        for t, turn in enumerate(self._request.turns):
            path = f"turns[{t}]"
            match turn.role:
                case "assistant":
                    self._assistant(turn, path)
                case "user":
                    self._user(turn, path)
                case "system" | "developer":  # Ollama has only the system role, which may appear anywhere
                    message = self._message("system", _with_paths(turn.blocks, path))
                    self._messages.append({**message, **self._extra_out(turn.extra)})
        if self._request.turns and not self._messages and not self._same:
            self._losses.append(declare_loss("turns", "content"))
        return self._messages

    def _extra_out(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields to restore: those of a client of this same protocol."""
        return extra if extra and self._same else {}

    def _user(self, turn: Turn, path: str) -> None:
        rest = []
        results = False
        for block_path, block in _with_paths(turn.blocks, path):
            if isinstance(block, ToolResult):
                results = True
                self._result(block, block_path)
            else:
                rest.append((block_path, block))
        if rest or not results:
            message = {**self._message("user", rest), **self._extra_out(turn.extra)}
            if message["content"] or message.keys() - {"role", "content"} or self._same:
                self._messages.append(message)  # else nothing of it is left that the target can be told

    def _result(self, result: ToolResult, path: str) -> None:
        """Appends a tool message, with the name of the tool, and the id of the call for servers that support ids."""
        media = [b for b in result.blocks if not isinstance(b, Text | Opaque) and not _is_supported(b)]
        if media:
            self._losses.append(Loss(path, "tool_result_media", "dropped"))
        blocks = _with_paths(result.blocks, path)
        supported = [(block_path, block) for block_path, block in blocks if block not in media]
        message = self._message("tool", supported)
        if result.error:
            self._losses.append(declare_loss(path, "tool_error"))
            message["content"] = f"Error: {message['content']}"
        name = result.name if result.name is not None else self._call_names.get(result.id)
        if name is not None:
            message["tool_name"] = name if result.name is None else self._names.wire(name)
        self._messages.append({**message, "tool_call_id": result.id, **self._extra_out(result.extra)})

    def _message(self, role: str, blocks: Iterable[tuple[str, Block]]) -> dict[str, Any]:
        texts: list[Text] = []
        images = []
        for path, block in blocks:
            match block:
                case Text():
                    texts.append(block)
                    if block.signature:
                        self._losses.append(declare_loss(f"{path}.seal", "signature"))
                case Image(Media(data=str(data))):
                    images.append(data)
                case Document(Media(text=str(text), name=name)):
                    texts.append(Text(text))
                    if name is not None:  # a text has no name
                        self._losses.append(declare_loss(f"{path}.media.name", "name"))
                case Opaque():
                    pass  # of another protocol; declared with the extra fields
                case _:
                    self._losses.append(Loss(path, block_feature(block), "dropped"))
        # the parts of a message are separate texts, but Ollama has one string for them
        message: dict[str, Any] = {"role": role, "content": joined(texts)}
        if images:
            message["images"] = images
        return message

    def _assistant(self, turn: Turn, path: str) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        thinking: list[str] = []
        images: list[str] = []
        calls: list[dict[str, Any]] = []
        texts: list[Text] = []
        for block_path, block in _with_paths(turn.blocks, path):
            match block:
                case Text():
                    texts.append(block)
                case Refusal(text):
                    texts.append(Text(text))
                    self._losses.append(declare_loss(block_path, "refusal"))
                case Reasoning(text):
                    thinking.append(text)
                case ToolCall():
                    calls.append(self._call(block, len(calls), block_path))
                case Image(Media(data=str(data))):
                    images.append(data)
                case Opaque():
                    pass
                case Image() | Document() | Audio() | Video() | ToolResult():
                    self._losses.append(Loss(block_path, block_feature(block), "dropped"))
            if isinstance(block, Text | Reasoning | ToolCall) and block.signature:
                self._losses.append(declare_loss(f"{block_path}.seal", "signature"))
            if isinstance(block, Text) and block.citations:
                self._losses.append(declare_loss(f"{block_path}.citations", "citations"))
        message["content"] = joined(texts)
        if any(thinking):
            message["thinking"] = joined_thinking(thinking)
        if images:
            message["images"] = images
        if calls:
            message["tool_calls"] = calls
        if message["content"] or len(message) > 2 or self._same:
            self._messages.append({**message, **self._extra_out(turn.extra)})

    def _call(self, call: ToolCall, position: int, path: str) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._call_names[call.id] = name
        arguments, is_object = arguments_out(call)
        if not is_object:
            self._losses.append(declare_loss(f"{path}.arguments", "tool_arguments"))
        function = {"index": position, "name": name, "arguments": arguments}
        out: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
        restore_extra(out, "function", self._extra_out(call.extra))
        return out


def _with_paths(blocks: tuple[Block, ...], path: str) -> list[tuple[str, Block]]:
    """Returns the blocks of a turn or a tool result, each with its path in the neutral request."""
    return [(f"{path}.blocks[{b}]", block) for b, block in enumerate(blocks)]


def _is_supported(block: Block) -> bool:
    """Returns whether a message of any role can hold this block besides its text."""
    match block:
        case Image(Media(data=str())) | Document(Media(text=str())):
            return True
        case _:
            return False


def arguments_out(call: ToolCall) -> tuple[msgspec.Raw, bool]:
    """Returns the arguments as an object, and whether they were one.

    The text of a custom tool becomes the one argument of the function that stands for it.
    """
    if call.kind == "custom":
        return msgspec.Raw(json_fields.encode({"input": call.arguments})), True
    return json_fields.splice(call.arguments)


def _is_offered(tool: Tool, choice: ToolChoice | None) -> bool:
    """Returns whether a tool is sent: without `tool_choice`, only omitting a tool forbids its use."""
    if choice is None:
        return True
    return choice.mode != "none" and (not choice.names or tool.name in choice.names)


def _tool_choice_out(request: Request, losses: list[Loss]) -> None:
    """Declares what of the tool choice is lost: a subset is sent as the only tools, but a call cannot be forced."""
    choice = request.tool_choice
    if choice is None:
        return
    fewer = any(isinstance(tool, Tool) and tool.name not in choice.names for tool in request.tools)
    if choice.names and fewer and choice.mode in ("auto", "required"):
        losses.append(declare_loss("tool_choice", "allowed_tools"))
    if choice.mode in ("required", "named"):
        losses.append(Loss("tool_choice", "tool_choice", "approximated" if choice.names else "dropped"))


def _tool_out(tool: Tool, names: ToolNameMap, path: str, same: bool, losses: list[Loss]) -> dict[str, Any]:
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if (description := told_description(tool, same, custom=False)) is not None:
        body["description"] = description
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        body["parameters"] = _CUSTOM_TOOL_SCHEMA
    elif tool.parameters is not None or not same:
        # `parameters` is required: https://docs.ollama.com/api/chat
        body["parameters"] = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    if tool.strict:
        losses.append(declare_loss(f"{path}.strict", "tool_strict"))
    out: dict[str, Any] = {"type": "function", "function": body}
    if same:
        restore_extra(out, "function", tool.extra)
    return out


def _format_out(form: ResponseFormat, losses: list[Loss]) -> Any:
    if form.kind == "json_object":
        return "json"
    if form.schema is None:
        losses.append(declare_loss("format", "json_schema"))
        return "json"
    # a format has no field for a description, but its schema has
    return {**({"description": form.description} if form.description else {}), **form.schema}
