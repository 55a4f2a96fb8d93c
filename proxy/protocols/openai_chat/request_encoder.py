"""Encodes neutral requests as Chat Completions requests, and declares what is lost."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

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
    Refusal,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    reasoning_effort,
    signatures,
)
from ...ir.losses import block_feature, declare_loss, is_harmless, request_extra_losses
from ...ir.strict_schema import loosened
from ...ir.tool_names import ToolNameMap
from ...wire import json_fields
from ...wire.json_fields import maybe
from ..openai.media import url_out
from ..openai.tables import JSON_HINT, RESPONSES, RESPONSES_TO_CHAT, TOOL_NAME
from ..protocol import UpstreamRequest, UpstreamTarget
from .signature_carrier import detail_out
from .tables import LIMITS, NAME
from .tool_pairing import LocatedBlock, pair_tool_results

_EMPTY = Text("")


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    sibling: dict[str, Any] = {}  # fields of a Responses request that chat has too
    if request.protocol == RESPONSES:
        sibling, rest = json_fields.renamed(request.extra, RESPONSES_TO_CHAT)
        request = replace(request, extra=rest)
    losses: list[Loss] = []
    if not same:
        losses = request_extra_losses(request)
        request, loose = loosened(request)
        losses += loose
    names = ToolNameMap(request, TOOL_NAME, custom=True)
    messages = _MessageBuilder(request, target, names, losses).build()
    payload: dict[str, Any] = {"model": target.model, "messages": messages}
    tools = [_tool_out(tool, names, same) for tool in request.tools if isinstance(tool, Tool) or tool.protocol == NAME]
    if tools:
        payload["tools"] = tools
    if request.tool_choice is not None:
        payload["tool_choice"] = _tool_choice_out(request.tool_choice, request.tools, names)
    if request.parallel is not None:
        if "no_parallel_tool_calls" in target.quirks:
            losses.append(declare_loss("parallel", "parallel_tool_calls"))
        else:
            payload["parallel_tool_calls"] = request.parallel
    _sampling_out(request, target, payload, losses)
    _reasoning_out(request, target, payload, losses)
    if request.format is not None:
        payload["response_format"] = _format_out(request.format)
        if request.format.kind == "json_object" and not same and "json" not in str(messages).lower():
            # otherwise the API answers "'messages' must contain the word 'json' in some form"
            losses.append(declare_loss("format", "json_object"))
            others = (at for at, message in enumerate(messages) if message["role"] != "system")
            messages.insert(next(others, 0), {"role": "system", "content": JSON_HINT})
    if request.user is not None:
        payload["user"] = request.user
    if sibling.get("metadata") and sibling.get("store") is not True:
        # otherwise the API answers "The 'metadata' parameter is only allowed when 'store' is enabled."
        losses.append(declare_loss("metadata", "metadata"))
        del sibling["metadata"]
    payload |= {key: value for key, value in sibling.items() if not is_harmless(key, value)}
    if request.stream:
        payload["stream"] = True
    if same and request.extra:
        payload.update((key, value) for key, value in request.extra.items() if key != "functions")
    if request.stream and "no_stream_options" not in target.quirks:
        # without it a stream ends without usage, which the client's protocol may require
        payload["stream_options"] = {**(maybe(payload, "stream_options", dict) or {}), "include_usage": True}
    return UpstreamRequest(payload, tuple(losses), target, names.aliases)


def _sampling_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    for key in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if value is not None:
            payload[key] = value
    if sampling.top_k is not None:
        if "top_k" in target.quirks or request.protocol == NAME:
            payload["top_k"] = sampling.top_k
        else:
            losses.append(declare_loss("sampling.top_k", "top_k"))
    if request.max_tokens is not None:
        # "max_tokens: Deprecated in favor of max_completion_tokens, and is not compatible with o-series models."
        # https://platform.openai.com/docs/api-reference/chat/create
        key = "max_tokens" if "max_tokens" in target.quirks else "max_completion_tokens"
        payload[key] = request.max_tokens
    if request.stop:
        most = int(target.limits.get("stop", LIMITS["stop"]))
        payload["stop"] = list(request.stop[:most])
        if len(request.stop) > most:
            losses.append(declare_loss(f"stop[{most}:]", "stop"))


def _reasoning_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    if request.reasoning is None:
        return
    effort = reasoning_effort.effort(request.reasoning)
    if effort is not None and "no_reasoning_effort" not in target.quirks:
        payload["reasoning_effort"] = effort
        if request.reasoning.effort is None and effort != "none":
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None or request.reasoning.enabled:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
    if request.reasoning.summary in ("auto", "concise", "detailed"):  # the host decides what it shows
        losses.append(Loss("reasoning.summary", "reasoning", "dropped"))


class _MessageBuilder:
    """Encodes the turns of one request as messages, in order, and adds to its losses."""

    def __init__(self, request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]) -> None:
        self._request = request
        self._same = request.protocol == NAME
        self._target = target
        self._names = names
        self._losses = losses
        self._messages: list[dict[str, Any]] = []

    def build(self) -> list[dict[str, Any]]:
        turns = self._request.turns
        located = [
            [(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)] for t, turn in enumerate(turns)
        ]
        if not self._same:
            located, orphans = pair_tool_results(turns, located)
            self._losses += [declare_loss(path, "orphan") for path in orphans]
        for t, (turn, blocks) in enumerate(zip(turns, located, strict=True)):
            if turn.blocks and not blocks:
                continue  # pairing moved or removed everything in it
            if turn.role != "user" and any(isinstance(block, ToolResult) for _, block in blocks):
                self._user(Turn("user", ()), [entry for entry in blocks if isinstance(entry[1], ToolResult)])
                blocks = [entry for entry in blocks if not isinstance(entry[1], ToolResult)]
            match turn.role:
                case "assistant":
                    self._assistant(turn, blocks)
                case "user":
                    self._user(turn, blocks)
                case "system" | "developer":
                    if not self._same and all(block == _EMPTY for _, block in blocks):
                        continue
                    role = "system" if "no_developer" in self._target.quirks else turn.role
                    if role != turn.role:
                        self._losses.append(declare_loss(f"turns[{t}]", "role"))
                    self._messages.append(
                        {"role": role, "content": self._content(blocks), **self._extra_out(turn.extra)}
                    )
        if not self._messages:
            self._messages.append({"role": "user", "content": ""})  # the backend decides whether that is an error
        return self._messages

    def _extra_out(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields where the client speaks this protocol too."""
        return extra if extra and self._same else {}

    def _id(self, id_: str) -> str:
        """Shortens an id that is too long to a digest, the same in the call, its result and every turn."""
        most = int(self._target.limits.get("tool_call_id", LIMITS["tool_call_id"]))
        return id_ if len(id_) <= most else f"call_{sha256(id_.encode()).hexdigest()}"[:most]

    def _user(self, turn: Turn, blocks: list[LocatedBlock]) -> None:
        moved: list[LocatedBlock] = []  # media of results, which go into a user message after all tool messages
        results = False
        for path, block in blocks:
            if not isinstance(block, ToolResult):
                continue
            results = True
            media = [(f"{path}.blocks[{i}]", b) for i, b in enumerate(block.blocks) if not isinstance(b, Text | Opaque)]
            if media:
                self._losses.append(declare_loss(path, "tool_result_media"))
                moved += media
            texts = [inner for inner in block.blocks if isinstance(inner, Text)]
            content = "".join(text.text for text in texts)
            if media and not texts:
                content = "The result is in the next user message."
            if block.error:
                self._losses.append(declare_loss(path, "tool_error"))
                content = f"Error: {content}"
            self._messages.append(
                {"role": "tool", "tool_call_id": self._id(block.id), "content": content, **self._extra_out(block.extra)}
            )
        rest = moved + [entry for entry in blocks if not isinstance(entry[1], ToolResult)]
        if rest or not results:
            self._messages.append({"role": "user", "content": self._content(rest), **self._extra_out(turn.extra)})

    def _assistant(self, turn: Turn, blocks: list[LocatedBlock]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts = [block for _, block in blocks if isinstance(block, Text)]
        if texts:
            message["content"] = "".join(text.text for text in texts)
        refusals = [block.text for _, block in blocks if isinstance(block, Refusal)]
        if refusals:
            message["refusal"] = "".join(refusals)
        self._reasoning(blocks, message)
        calls = [self._call(block, path) for path, block in blocks if type(block) is ToolCall]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None and not refusals:
            message["content"] = ""  # content may only be absent beside tool calls or a refusal
        for path, block in blocks:
            if isinstance(block, Image | Document | Audio):
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
            elif isinstance(block, Text):
                if block.signature:
                    self._losses.append(declare_loss(f"{path}.seal", "signature"))
                if block.citations:  # an answer has a field for them, a history has none
                    self._losses.append(declare_loss(f"{path}.citations", "citations"))
        self._messages.append({**message, **self._extra_out(turn.extra)})

    def _reasoning(self, blocks: list[LocatedBlock], message: dict[str, Any]) -> None:
        """Adds the turn's thinking to the message, in the fields that the host accepts."""
        details = []
        echo = self._same and "no_reasoning_content" not in self._target.quirks
        for path, block in blocks:
            if not isinstance(block, Reasoning):
                continue
            signature = (
                signatures.for_backend(block.signature, NAME, self._target.provider) if block.signature else None
            )
            if block.text and ("reasoning_content" in self._target.quirks or echo):
                message["reasoning_content"] = message.get("reasoning_content", "") + block.text
            elif block.text and "reasoning_details" not in self._target.quirks:
                self._losses.append(declare_loss(path, "reasoning_text"))
            if "reasoning_details" in self._target.quirks or (echo and signature):
                details.append(detail_out(block, signature, self._extra_out(block.extra)))
            elif block.signature:
                signature = None
            if block.signature and signature is None:
                self._losses.append(declare_loss(f"{path}.seal", "signature"))
        if details:
            message["reasoning_details"] = details
        # "reasoning_content must be passed back": hosts with this quirk want the key beside every call
        if "reasoning_content" in self._target.quirks and any(isinstance(block, ToolCall) for _, block in blocks):
            message.setdefault("reasoning_content", "")

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        out: dict[str, Any] = {"id": self._id(call.id), "type": call.kind}
        name = self._names.wire(call.name, call.namespace)
        if call.kind == "custom":
            out["custom"] = {"name": name, "input": call.arguments}
        else:
            out["function"] = {"name": name, "arguments": call.arguments or "{}"}
        if call.signature:
            signature = signatures.for_backend(call.signature, NAME, self._target.provider)
            if signature is None:
                self._losses.append(declare_loss(f"{path}.seal", "signature"))
            else:
                out["extra_content"] = {"google": {"thought_signature": signature}}
        return {**out, **self._extra_out(call.extra)}

    def _content(self, blocks: list[LocatedBlock]) -> str | list[dict[str, Any]]:
        if len(blocks) > 1 and not self._same:  # some hosts refuse an empty part
            blocks = [entry for entry in blocks if entry[1] != _EMPTY]
        match blocks:
            case [(_, Text(text, extra=None))]:
                return text
            case []:
                return ""
        parts = []
        for path, block in blocks:
            part = self._part(block)
            if part is None and isinstance(block, Opaque):
                continue  # another protocol's, declared with the extra fields
            if part is None:
                self._losses.append(Loss(path, block_feature(block), "dropped"))
            else:
                parts.append(part)
            if isinstance(block, Document) and block.media.text is not None and block.media.name is not None:
                self._losses.append(declare_loss(f"{path}.media.name", "name"))  # it is sent as text, which has no name
        return parts

    def _part(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text, extra=extra):
                return {"type": "text", "text": text, **self._extra_out(extra)}
            case Image(media, extra) if media.data or media.url:
                detail = self._extra_out(extra)
                image = {"url": url_out(media), **{k: v for k, v in detail.items() if k == "detail"}}
                return {"type": "image_url", "image_url": image, **{k: v for k, v in detail.items() if k != "detail"}}
            case Audio(Media(mime=None, data=str(data)), extra) if self._same:
                return {"type": "input_audio", "input_audio": data, **self._extra_out(extra)}
            case Audio(Media(mime=mime, data=str(data)), extra):
                kind = (mime or "audio/wav").partition("/")[2].removeprefix("x-")
                kind = "mp3" if kind == "mpeg" else kind
                return {"type": "input_audio", "input_audio": {"data": data, "format": kind}, **self._extra_out(extra)}
            case Document(Media(mime="text/plain", text=str(text))):
                return {"type": "text", "text": text}
            case Document(media, extra) if media.data:
                # "filename: The name of the file, used when passing the file to the model as a string."
                # https://platform.openai.com/docs/api-reference/chat/create
                file: dict[str, Any] = {"file_data": url_out(media), "filename": media.name or "document.pdf"}
                return {"type": "file", "file": file, **self._extra_out(extra)}
            case Document(media, extra) if media.file_id and (self._same or media.file_id.startswith("file-")):
                # file ids are OpenAI's own and start with this prefix
                named = {"filename": media.name} if media.name is not None else {}
                return {"type": "file", "file": {"file_id": media.file_id, **named}, **self._extra_out(extra)}
            case Opaque(protocol, _, data) if protocol == NAME:
                return data
        return None


def _tool_out(tool: Tool | Opaque, names: ToolNameMap, same: bool) -> dict[str, Any]:
    if isinstance(tool, Opaque):
        return tool.data
    extra = tool.extra if same and tool.extra else {}
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            body["format"] = tool.grammar
        return {"type": "custom", "custom": body, **extra}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    if tool.strict is not None:
        body["strict"] = tool.strict
    return {"type": "function", "function": body, **extra}


def _tool_choice_out(choice: ToolChoice, tools: tuple[Tool | Opaque, ...], names: ToolNameMap) -> Any:
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.kind == "custom"}

    def entry(name: str) -> dict[str, Any]:
        kind = "custom" if name in custom else "function"
        return {"type": kind, kind: {"name": names.wire(name)}}

    if choice.mode == "named":
        return entry(choice.names[0])
    if choice.names:
        return {
            "type": "allowed_tools",
            "allowed_tools": {"mode": choice.mode, "tools": [entry(name) for name in choice.names]},
        }
    return choice.mode


def _format_out(form: ResponseFormat) -> dict[str, Any]:
    if form.kind != "json_schema":
        return {"type": form.kind}
    # "name: The name of the response format." is required. https://platform.openai.com/docs/api-reference/chat/create
    inner: dict[str, Any] = {"name": form.name or "answer"}
    for key in ("description", "schema", "strict"):
        if (value := getattr(form, key)) is not None:
            inner[key] = value
    return {"type": "json_schema", "json_schema": inner}
