"""A request as a local model gets it: messages and tools for its template, bounds, sampling, and the answer's form.

It knows no model's marks; what a local model cannot be told is a loss, as with any backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ... import ledger, wire
from ...effort import effort
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
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
)
from ...names import Names
from ...protocols.contract import Sent, Target

NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
"""What may be the name of a tool: any line of text."""

CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The parameters of the function that plays a free-text tool."""


class Job(Struct, frozen=True, omit_defaults=True):
    """What the engine is asked. The template shows `tools`; of them those in `callable` may, or must, be called.

    `format` is a JSON Schema that the answer must fit; what is None is left to the model's own defaults.
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


def encode_request(request: Request, target: Target) -> Sent:
    """The job as plain data, and what a local model cannot be told of the request."""
    losses = ledger.request_leftovers(request)
    names = Names(request, NAME)
    messages = _Messages(request, names, losses).messages()
    tools = [
        _tool_out(tool, names, f"tools[{i}]", losses) for i, tool in enumerate(request.tools) if isinstance(tool, Tool)
    ]
    mode, callable_ = _choice_out(request, names, [tool["function"]["name"] for tool in tools])
    sampling = request.sampling
    job = Job(
        model=target.model,
        messages=messages,
        tools=tools if mode != "none" else [],
        callable=callable_,
        calls=mode,
        parallel=request.parallel is not False,
        format=_format_out(request, losses),
        thinking=_thinking_out(request, target, losses),
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
        losses.append(ledger.loss("user", "user"))
    return Sent(msgspec.to_builtins(job), tuple(losses), target, names.aliases)


def decode_job(payload: dict[str, Any]) -> Job:
    """The job that this plain data says."""
    return msgspec.convert(payload, Job)


def _choice_out(
    request: Request, names: Names, offered: list[str]
) -> tuple[Literal["auto", "none", "required"], list[str]]:
    """Whether tools may or must be called, and which; a name that none has stays, for the engine to refuse."""
    choice = request.tool_choice
    if choice is None:
        return ("auto", offered) if offered else ("none", [])
    if choice.mode == "none" or not (offered or choice.names):
        return "none", []
    wanted = [names.wire(name) for name in choice.names]
    return "auto" if choice.mode == "auto" else "required", wanted or offered


def _format_out(request: Request, losses: list[Loss]) -> dict[str, Any] | None:
    form = request.format
    if form is None or form.kind == "text":
        return None
    if form.description is not None:
        losses.append(Loss("format.description", "json_schema", "dropped"))
    if form.kind == "json_schema" and form.schema is None:
        losses.append(ledger.loss("format", "json_schema"))
    return form.schema if form.kind == "json_schema" and form.schema is not None else {"type": "object"}


def _thinking_out(request: Request, target: Target, losses: list[Loss]) -> bool | None:
    """Whether to think: a template knows no more than on and off. None leaves the template's own default."""
    if request.reasoning is None:
        return None
    word = effort(request.reasoning)
    wanted = request.reasoning.enabled if word is None else word != "none"
    if wanted and "no_think" in target.quirks:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return None
    if wanted and word is not None:
        losses.append(ledger.loss("reasoning", "reasoning"))
    return wanted


def _tool_out(tool: Tool, names: Names, path: str, losses: list[Loss]) -> dict[str, Any]:
    """A tool as templates know it: https://huggingface.co/docs/transformers/chat_extras#json-schemas"""
    function: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    if tool.kind == "custom":
        losses.append(ledger.loss(path, "custom_tool"))
        function["parameters"] = CUSTOM
    return {"type": "function", "function": function}


class _Messages:
    """The turns of one request as messages for a template, in order, with what they could not say."""

    def __init__(self, request: Request, names: Names, losses: list[Loss]) -> None:
        self._request = request
        self._names = names
        self._losses = losses
        self._called: dict[str, str] = {}  # a call's id -> the name that its result repeats
        self._out: list[dict[str, Any]] = []

    def messages(self) -> list[dict[str, Any]]:
        for t, turn in enumerate(self._request.turns):
            path = f"turns[{t}]"
            match turn.role:
                case "assistant":
                    self._assistant(turn, path)
                case "user":
                    self._user(turn, path)
                case "system" | "developer":  # templates have one word for both
                    self._out.append({"role": "system", "content": self._text(_placed(turn.blocks, path))})
        return self._out

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
            self._out.append({"role": "user", "content": self._text(rest)})

    def _result(self, result: ToolResult, path: str) -> None:
        media = [block for block in result.blocks if not isinstance(block, Text | Opaque) and _plain(block) is None]
        if media:
            self._losses.append(Loss(path, "tool_result_media", "dropped"))
        text = self._text([(place, block) for place, block in _placed(result.blocks, path) if block not in media])
        if result.error:
            self._losses.append(ledger.loss(path, "tool_error"))
            text = f"Error: {text}"
        message = {"role": "tool", "content": text, "tool_call_id": result.id}
        name = self._names.wire(result.name) if result.name is not None else self._called.get(result.id)
        self._out.append(message if name is None else {**message, "name": name})

    def _assistant(self, turn: Turn, path: str) -> None:
        text, thinking, calls = "", "", []
        for place, block in _placed(turn.blocks, path):
            match block:
                case Text(said):
                    text += said
                case Refusal(said):
                    text += said
                    self._losses.append(ledger.loss(place, "refusal"))
                case Reasoning(thought):
                    thinking += thought
                case ToolCall():
                    calls.append(self._call(block, place))
                case Opaque():
                    pass  # another dialect's; the leftovers name it
                case _:
                    self._losses.append(Loss(place, _feature(block), "dropped"))
            if isinstance(block, Text | Reasoning | ToolCall) and block.seal:
                self._losses.append(ledger.loss(f"{place}.seal", "signature"))
            if isinstance(block, Text) and block.citations:
                self._losses.append(ledger.loss(f"{place}.citations", "citations"))
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["reasoning_content"] = thinking
        if calls:
            message["tool_calls"] = calls
        self._out.append(message)

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._called[call.id] = name
        exact, arguments = True, {"input": call.arguments}
        if call.kind == "function":
            raw, exact = wire.splice(call.arguments)
            arguments = msgspec.json.decode(raw)
        if not exact:
            self._losses.append(ledger.loss(f"{path}.arguments", "tool_arguments"))
        return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _text(self, blocks: Iterable[tuple[str, Block]]) -> str:
        texts = []
        for path, block in blocks:
            text = _plain(block)
            if text is not None:
                texts.append(text)
            elif not isinstance(block, Opaque):
                self._losses.append(Loss(path, _feature(block), "dropped"))
            if isinstance(block, Text) and block.seal:
                self._losses.append(ledger.loss(f"{path}.seal", "signature"))
            if isinstance(block, Document) and block.media.name is not None and text is not None:
                self._losses.append(ledger.loss(f"{path}.media.name", "name"))
        # parts of one message are separate things to a reader; a template has one string for them
        return "\n".join(text for text in texts if text)


def _placed(blocks: tuple[Block, ...], path: str) -> list[tuple[str, Block]]:
    return [(f"{path}.blocks[{b}]", block) for b, block in enumerate(blocks)]


def _plain(block: Block) -> str | None:
    """The text that stands for this block, None where it is none."""
    match block:
        case Text(text) | Document(Media(mime="text/plain", text=str(text))):
            return text
        case _:
            return None


def _feature(block: Block) -> str:
    """The ledger's word for a block that a message cannot hold."""
    match block:
        case Image() | Document() | Audio():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case ToolResult():
            return "orphan"
        case _:
            return "unknown_field"
