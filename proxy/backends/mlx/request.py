"""Encodes neutral requests for a local model: messages and tools for its chat template, limits, sampling, format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ...ir import (
    Block,
    Document,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    reasoning_effort,
)
from ...ir.hosted import foreign_hosted_tools, hosted_choice_losses, hosted_losses
from ...ir.losses import block_feature, declare_loss, request_extra_losses
from ...ir.readable import joined, readable
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from ...protocols.protocol import UpstreamRequest, UpstreamTarget
from ...wire import json_fields

TOOL_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
"""Allowed tool names: any line of text."""

CARRIED = frozenset(("namespace.description",))
"""Extra fields of tools that are told in a description."""

CUSTOM_TOOL_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Parameters of the function that stands for a custom tool."""


class MlxRequest(Struct, frozen=True, omit_defaults=True):
    """A request for the engine.

    The chat template lists `tools`; those named in `callable` may, or must, be called. `format` is a JSON Schema for
    the answer. A field that is None takes the default of the model.
    """

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []
    callable: list[str] = []
    calls: Literal["auto", "none", "required"] = "none"
    parallel: bool = True
    format: dict[str, Any] | None = None
    thinking: bool | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request as plain data; the result lists the losses and the renamed tools."""
    losses = request_extra_losses(request, CARRIED)
    request, named = readable(request, "all")
    losses += named + hosted_choice_losses(request)
    losses += [loss for i, tool in foreign_hosted_tools(request, "") for loss in hosted_losses(i, tool, {})]
    names = ToolNameMap(request, TOOL_NAME)
    messages = _MessageBuilder(request, names, losses).build()
    tools = [
        _tool_out(tool, names, f"tools[{i}]", losses) for i, tool in enumerate(request.tools) if isinstance(tool, Tool)
    ]
    mode, callable_ = _tool_choice_out(request, names, [tool["function"]["name"] for tool in tools])
    sampling = request.sampling
    mlx_request = MlxRequest(
        model=target.model,
        messages=messages,
        tools=tools if mode != "none" else [],
        callable=callable_,
        calls=mode,
        parallel=request.parallel is not False,
        format=_format_out(request, losses),
        thinking=_reasoning_out(request, target, losses),
        max_tokens=request.max_tokens,
        stop=list(request.stop),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=sampling.seed,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
    )
    if request.user is not None:
        losses.append(declare_loss("user", "user"))
    if request.logprobs is not None:
        losses.append(declare_loss("logprobs", "logprobs"))
    return UpstreamRequest(msgspec.to_builtins(mlx_request), tuple(losses), target, names.aliases)


def decode_request(payload: dict[str, Any]) -> MlxRequest:
    """Decodes the plain data of `encode_request`."""
    return msgspec.convert(payload, MlxRequest)


def _tool_choice_out(
    request: Request, names: ToolNameMap, tool_names: list[str]
) -> tuple[Literal["auto", "none", "required"], list[str]]:
    """Returns whether tools may or must be called, and which; the engine refuses unknown names."""
    choice = request.tool_choice
    if choice is None:
        return ("auto", tool_names) if tool_names else ("none", [])
    if choice.mode == "none" or not (tool_names or choice.names):
        return "none", []
    wanted = [names.wire(name) for name in choice.names]
    return "auto" if choice.mode == "auto" else "required", wanted or tool_names


def _format_out(request: Request, losses: list[Loss]) -> dict[str, Any] | None:
    form = request.format
    if form is None or form.kind == "text":
        return None
    if form.description is not None:
        losses.append(Loss("format.description", "json_schema", "dropped"))
    if form.kind == "json_schema" and form.schema is None:
        losses.append(declare_loss("format", "json_schema"))
    return form.schema if form.kind == "json_schema" and form.schema is not None else {"type": "object"}


def _reasoning_out(request: Request, target: UpstreamTarget, losses: list[Loss]) -> bool | None:
    """Returns whether to think, which is all that a template can be told; None leaves its default."""
    if request.reasoning is None:
        return None
    effort = reasoning_effort.effort(request.reasoning)
    wanted = request.reasoning.enabled if effort is None else effort != "none"
    if wanted and "thinking" in target.traits.refuses:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return None
    if wanted and effort is not None:
        losses.append(declare_loss("reasoning", "reasoning"))
    return wanted


def _tool_out(tool: Tool, names: ToolNameMap, path: str, losses: list[Loss]) -> dict[str, Any]:
    """Encodes a tool for a chat template: https://huggingface.co/docs/transformers/chat_extras#json-schemas"""
    function: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if (description := told_description(tool, False, custom=False)) is not None:
        function["description"] = description
    function["parameters"] = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        function["parameters"] = CUSTOM_TOOL_SCHEMA
    return {"type": "function", "function": function}


class _MessageBuilder:
    """Encodes the turns of one request as messages for a chat template, in order."""

    def __init__(self, request: Request, names: ToolNameMap, losses: list[Loss]) -> None:
        self._request = request
        self._names = names
        self._losses = losses
        self._call_names: dict[str, str] = {}  # call id -> name of the tool, which its result repeats
        self._messages: list[dict[str, Any]] = []

    def build(self) -> list[dict[str, Any]]:
        for t, turn in enumerate(self._request.turns):
            path = f"turns[{t}]"
            match turn.role:
                case "assistant":
                    self._assistant(turn, path)
                case "user":
                    self._user(turn, path)
                case "system" | "developer":  # templates have only the system role
                    self._messages.append({"role": "system", "content": self._text(_with_paths(turn.blocks, path))})
        if self._request.turns and not self._messages:
            self._losses.append(declare_loss("turns", "content"))
        return self._messages

    def _user(self, turn: Turn, path: str) -> None:
        rest = []
        results = False
        for block_path, block in _with_paths(turn.blocks, path):
            if isinstance(block, ToolResult):
                results = True
                self._result(block, block_path)
            else:
                rest.append((block_path, block))
        if text := self._text(rest):
            self._messages.append({"role": "user", "content": text})
        elif not results and not turn.blocks:
            self._messages.append({"role": "user", "content": ""})

    def _result(self, result: ToolResult, path: str) -> None:
        media = [block for block in result.blocks if not isinstance(block, Text | Opaque) and _text_of(block) is None]
        if media:
            self._losses.append(Loss(path, "tool_result_media", "dropped"))
        blocks = _with_paths(result.blocks, path)
        text = self._text([(block_path, block) for block_path, block in blocks if block not in media])
        if result.error:
            self._losses.append(declare_loss(path, "tool_error"))
            text = f"Error: {text}"
        message = {"role": "tool", "content": text, "tool_call_id": result.id}
        name = self._names.wire(result.name) if result.name is not None else self._call_names.get(result.id)
        self._messages.append(message if name is None else {**message, "name": name})

    def _assistant(self, turn: Turn, path: str) -> None:
        texts: list[Text] = []
        thinking, calls = "", []
        for block_path, block in _with_paths(turn.blocks, path):
            match block:
                case Text():
                    texts.append(block)
                case Refusal(part):
                    texts.append(Text(part))
                    self._losses.append(declare_loss(block_path, "refusal"))
                case Reasoning(part):
                    thinking += part
                case ToolCall():
                    calls.append(self._call(block, block_path))
                case Opaque():
                    pass  # of another protocol; declared with the extra fields
                case _:
                    self._losses.append(Loss(block_path, block_feature(block), "dropped"))
            if isinstance(block, Text | Reasoning | ToolCall) and block.signature:
                self._losses.append(declare_loss(f"{block_path}.seal", "signature"))
            if isinstance(block, Text) and block.citations:
                self._losses.append(declare_loss(f"{block_path}.citations", "citations"))
        message: dict[str, Any] = {"role": "assistant", "content": joined(texts)}
        if thinking:
            message["reasoning_content"] = thinking
        if calls:
            message["tool_calls"] = calls
        if message["content"] or len(message) > 2:
            self._messages.append(message)

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._call_names[call.id] = name
        is_object, arguments = True, {"input": call.arguments}
        if call.kind == "function":
            raw, is_object = json_fields.splice(call.arguments)
            arguments = msgspec.json.decode(raw)
        if not is_object:
            self._losses.append(declare_loss(f"{path}.arguments", "tool_arguments"))
        return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _text(self, blocks: Iterable[tuple[str, Block]]) -> str:
        texts = []
        for path, block in blocks:
            text = _text_of(block)
            if text is not None:
                texts.append(text)
            elif not isinstance(block, Opaque):
                self._losses.append(Loss(path, block_feature(block), "dropped"))
            if isinstance(block, Text) and block.signature:
                self._losses.append(declare_loss(f"{path}.seal", "signature"))
            if isinstance(block, Document) and block.media.name is not None and text is not None:
                self._losses.append(declare_loss(f"{path}.media.name", "name"))
        # the parts of a message are separate texts, but a template has one string for them
        return "\n".join(text for text in texts if text)


def _with_paths(blocks: tuple[Block, ...], path: str) -> list[tuple[str, Block]]:
    """Returns the blocks of a turn or a tool result, each with its path in the neutral request."""
    return [(f"{path}.blocks[{b}]", block) for b, block in enumerate(blocks)]


def _text_of(block: Block) -> str | None:
    """Returns the text of a block; None if it has none."""
    match block:
        case Text(text) | Document(Media(text=str(text))):
            return text
        case _:
            return None
