"""The neutral request as a chat backend gets it, and what that could not say."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from ... import effort, ledger, seals, wire
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
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...names import Names
from ...strict import loosened
from ..contract import Sent, Target
from .pairing import Place, paired
from .words import JSON_HINT, LIMITS, NAME, RESPONSES_FIELDS, TOOL_NAME


def encode_request(request: Request, target: Target) -> Sent:
    same = request.dialect == NAME
    kin: dict[str, Any] = {}
    if request.dialect == "openai-responses":
        kin, rest = wire.renamed(request.own, RESPONSES_FIELDS)
        request = replace(request, own=rest)
    losses: list[Loss] = []
    if not same:
        losses = ledger.request_leftovers(request)
        request, loose = loosened(request)
        losses += loose
    names = Names(request, TOOL_NAME, custom=True)
    writer = _Messages(request, target, names, losses)
    payload: dict[str, Any] = {"model": target.model, "messages": writer.messages()}
    tools = [_tool_out(tool, names, same) for tool in request.tools if isinstance(tool, Tool) or tool.dialect == NAME]
    if tools:
        payload["tools"] = tools
    if request.tool_choice is not None:
        payload["tool_choice"] = _tool_choice_out(request.tool_choice, request.tools, names)
    if request.parallel is not None:
        if "no_parallel_tool_calls" in target.quirks:
            losses.append(ledger.loss("parallel", "parallel_tool_calls"))
        else:
            payload["parallel_tool_calls"] = request.parallel
    _sampling_out(request, target, payload, losses)
    _reasoning_out(request, target, payload, losses)
    if request.format is not None:
        payload["response_format"] = _format_out(request.format)
        if request.format.kind == "json_object" and not same and "json" not in str(payload["messages"]).lower():
            # "'messages' must contain the word 'json' in some form", says the API otherwise
            losses.append(ledger.loss("format", "json_object"))
            others = (at for at, message in enumerate(payload["messages"]) if message["role"] != "system")
            payload["messages"].insert(next(others, 0), {"role": "system", "content": JSON_HINT})
    if request.user is not None:
        payload["user"] = request.user
    if kin.get("metadata") and kin.get("store") is not True:
        # "The 'metadata' parameter is only allowed when 'store' is enabled.", says the API otherwise
        losses.append(ledger.loss("metadata", "metadata"))
        del kin["metadata"]
    payload |= {key: value for key, value in kin.items() if not ledger.is_harmless(key, value)}
    if request.stream:
        payload["stream"] = True
    if same and request.own:
        payload.update((key, value) for key, value in request.own.items() if key != "functions")
    if request.stream and "no_stream_options" not in target.quirks:
        # without it a stream ends without usage, and the client's protocol may need it
        payload["stream_options"] = {**payload.get("stream_options", {}), "include_usage": True}
    return Sent(payload, tuple(losses), target, names.aliases)


def _sampling_out(request: Request, target: Target, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    for key in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if value is not None:
            payload[key] = value
    if sampling.top_k is not None:
        if "top_k" in target.quirks or request.dialect == NAME:
            payload["top_k"] = sampling.top_k
        else:
            losses.append(ledger.loss("sampling.top_k", "top_k"))
    if request.max_tokens is not None:
        # "max_tokens: Deprecated in favor of max_completion_tokens, and is not compatible with o-series models."
        # https://platform.openai.com/docs/api-reference/chat/create
        key = "max_tokens" if "max_tokens" in target.quirks else "max_completion_tokens"
        payload[key] = request.max_tokens
    if request.stop:
        most = int(target.limits.get("stop", LIMITS["stop"]))
        payload["stop"] = list(request.stop[:most])
        if len(request.stop) > most:
            losses.append(ledger.loss(f"stop[{most}:]", "stop"))


def _reasoning_out(request: Request, target: Target, payload: dict[str, Any], losses: list[Loss]) -> None:
    if request.reasoning is None:
        return
    word = effort.effort(request.reasoning)
    if word is not None and "no_reasoning_effort" not in target.quirks:
        payload["reasoning_effort"] = word
        if request.reasoning.effort is None and word != "none":
            losses.append(ledger.loss("reasoning", "reasoning"))
    elif word is not None or request.reasoning.enabled:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
    if request.reasoning.summary in ("auto", "concise", "detailed"):  # thinking is shown as the host likes
        losses.append(Loss("reasoning.summary", "reasoning", "dropped"))


class _Messages:
    """The turns of one request as messages, in order, with what they could not say."""

    def __init__(self, request: Request, target: Target, names: Names, losses: list[Loss]) -> None:
        self._request = request
        self._same = request.dialect == NAME
        self._target = target
        self._names = names
        self._losses = losses
        self._out: list[dict[str, Any]] = []

    def messages(self) -> list[dict[str, Any]]:
        turns = self._request.turns
        placed = [
            [(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)] for t, turn in enumerate(turns)
        ]
        if not self._same:
            placed, lost = paired(turns, placed)
            self._losses += [ledger.loss(path, "orphan") for path in lost]
        for t, (turn, parts) in enumerate(zip(turns, placed, strict=True)):
            if turn.blocks and not parts:
                continue  # it held nothing but what stands elsewhere now, or nowhere
            if turn.role != "user" and any(isinstance(block, ToolResult) for _, block in parts):
                self._user(Turn("user", ()), [place for place in parts if isinstance(place[1], ToolResult)])
                parts = [place for place in parts if not isinstance(place[1], ToolResult)]
            match turn.role:
                case "assistant":
                    self._assistant(turn, parts)
                case "user":
                    self._user(turn, parts)
                case "system" | "developer":
                    if not self._same and all(block == _NOTHING for _, block in parts):
                        continue
                    role = "system" if "no_developer" in self._target.quirks else turn.role
                    if role != turn.role:
                        self._losses.append(ledger.loss(f"turns[{t}]", "role"))
                    self._out.append({"role": role, "content": self._content(parts), **self._own(turn.own)})
        if not self._out:
            self._out.append({"role": "user", "content": ""})  # an empty ask is the backend's to answer
        return self._out

    def _own(self, own: Own) -> dict[str, Any]:
        return own if own and self._same else {}

    def _id(self, id_: str) -> str:
        """A call's id, or where it is too long a short one that is the same in the call, its result and every turn."""
        most = int(self._target.limits.get("tool_call_id", LIMITS["tool_call_id"]))
        return id_ if len(id_) <= most else f"call_{sha256(id_.encode()).hexdigest()}"[:most]

    def _user(self, turn: Turn, parts: list[Place]) -> None:
        beside: list[Place] = []  # what a tool message cannot hold follows the whole run in a user message
        results = False
        for path, block in parts:
            if not isinstance(block, ToolResult):
                continue
            results = True
            media = [(f"{path}.blocks[{i}]", b) for i, b in enumerate(block.blocks) if not isinstance(b, Text | Opaque)]
            if media:
                self._losses.append(ledger.loss(path, "tool_result_media"))
                beside += media
            texts = [inner for inner in block.blocks if isinstance(inner, Text)]
            content = "".join(text.text for text in texts)
            if media and not texts:
                content = "The result is in the next user message."
            if block.error:
                self._losses.append(ledger.loss(path, "tool_error"))
                content = f"Error: {content}"
            self._out.append(
                {"role": "tool", "tool_call_id": self._id(block.id), "content": content, **self._own(block.own)}
            )
        rest = beside + [place for place in parts if not isinstance(place[1], ToolResult)]
        if rest or not results:
            self._out.append({"role": "user", "content": self._content(rest), **self._own(turn.own)})

    def _assistant(self, turn: Turn, parts: list[Place]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts = [block for _, block in parts if isinstance(block, Text)]
        if texts:
            message["content"] = "".join(text.text for text in texts)
        refusals = [block.text for _, block in parts if isinstance(block, Refusal)]
        if refusals:
            message["refusal"] = "".join(refusals)
        self._thoughts(parts, message)
        calls = [self._call(block, path) for path, block in parts if type(block) is ToolCall]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None and not refusals:
            message["content"] = ""  # content may only be absent beside tool calls or a refusal
        for path, block in parts:
            if isinstance(block, Image | Document | Audio):
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
            elif isinstance(block, Text):
                if block.seal:
                    self._losses.append(ledger.loss(f"{path}.seal", "signature"))
                if block.citations:  # an answer has a place for them, a history none
                    self._losses.append(ledger.loss(f"{path}.citations", "citations"))
        self._out.append({**message, **self._own(turn.own)})

    def _thoughts(self, parts: list[Place], message: dict[str, Any]) -> None:
        details = []
        echoes = self._same and "no_reasoning_content" not in self._target.quirks
        for path, block in parts:
            if not isinstance(block, Reasoning):
                continue
            seal = seals.for_backend(block.seal, NAME, self._target.provider) if block.seal else None
            if block.text and ("reasoning_content" in self._target.quirks or echoes):
                message["reasoning_content"] = message.get("reasoning_content", "") + block.text
            elif block.text and "reasoning_details" not in self._target.quirks:
                self._losses.append(ledger.loss(path, "reasoning_text"))
            if "reasoning_details" in self._target.quirks or (echoes and seal):
                details.append(detail_out(block, seal, self._own(block.own)))
            elif block.seal:
                seal = None
            if block.seal and seal is None:
                self._losses.append(ledger.loss(f"{path}.seal", "signature"))
        if details:
            message["reasoning_details"] = details
        # "reasoning_content must be passed back": hosts with this quirk want the key beside every call
        if "reasoning_content" in self._target.quirks and any(isinstance(block, ToolCall) for _, block in parts):
            message.setdefault("reasoning_content", "")

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        out: dict[str, Any] = {"id": self._id(call.id), "type": call.kind}
        name = self._names.wire(call.name, call.namespace)
        if call.kind == "custom":
            out["custom"] = {"name": name, "input": call.arguments}
        else:
            out["function"] = {"name": name, "arguments": call.arguments or "{}"}
        if call.seal:
            seal = seals.for_backend(call.seal, NAME, self._target.provider)
            if seal is None:
                self._losses.append(ledger.loss(f"{path}.seal", "signature"))
            else:
                out["extra_content"] = {"google": {"thought_signature": seal}}
        return {**out, **self._own(call.own)}

    def _content(self, places: list[Place]) -> str | list[dict[str, Any]]:
        if len(places) > 1 and not self._same:  # an empty part says nothing, and some hosts refuse it
            places = [place for place in places if place[1] != _NOTHING]
        match places:
            case [(_, Text(text, own=None))]:
                return text
            case []:
                return ""
        parts = []
        for path, block in places:
            part = self._part(block)
            if part is None and isinstance(block, Opaque):
                continue  # another dialect's; the leftovers name it
            if part is None:
                self._losses.append(Loss(path, _feature(block), "dropped"))
            else:
                parts.append(part)
            if isinstance(block, Document) and block.media.text is not None and block.media.name is not None:
                self._losses.append(ledger.loss(f"{path}.media.name", "name"))  # it is told as a text, which has none
        return parts

    def _part(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text, own=own):
                return {"type": "text", "text": text, **self._own(own)}
            case Image(media, own) if media.data or media.url:
                detail = self._own(own)
                image = {"url": _url_out(media), **{k: v for k, v in detail.items() if k == "detail"}}
                return {"type": "image_url", "image_url": image, **{k: v for k, v in detail.items() if k != "detail"}}
            case Audio(Media(mime=None, data=str(data)), own) if self._same:
                return {"type": "input_audio", "input_audio": data, **self._own(own)}
            case Audio(Media(mime=mime, data=str(data)), own):
                kind = (mime or "audio/wav").partition("/")[2].removeprefix("x-")
                kind = "mp3" if kind == "mpeg" else kind
                return {"type": "input_audio", "input_audio": {"data": data, "format": kind}, **self._own(own)}
            case Document(Media(mime="text/plain", text=str(text))):
                return {"type": "text", "text": text}
            case Document(media, own) if media.data:
                # "filename: The name of the file, used when passing the file to the model as a string."
                # https://platform.openai.com/docs/api-reference/chat/create
                file: dict[str, Any] = {"file_data": _url_out(media), "filename": media.name or "document.pdf"}
                return {"type": "file", "file": file, **self._own(own)}
            case Document(media, own) if media.file_id and (self._same or media.file_id.startswith("file-")):
                # a file's id means something to OpenAI alone, whose ids start so
                named = {"filename": media.name} if media.name is not None else {}
                return {"type": "file", "file": {"file_id": media.file_id, **named}, **self._own(own)}
            case Opaque(dialect, _, data) if dialect == NAME:
                return data
        return None


_NOTHING = Text("")


def _feature(block: Block) -> str:
    """The ledger's word for a block that a user message cannot hold."""
    match block:
        case Image() | Document() | Audio():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case _:
            return "unknown_field"


def detail_out(block: Reasoning, seal: str | None, own: dict[str, Any]) -> dict[str, Any]:
    if block.redacted:
        return {"type": "reasoning.encrypted", "data": seal or "", **own}
    if block.summary and seal is None:
        return {"type": "reasoning.summary", "summary": block.text, **own}
    return {"type": "reasoning.text", "text": block.text, **({"signature": seal} if seal else {}), **own}


def _url_out(media: Media) -> str:
    if media.url:
        return media.url
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def _tool_out(tool: Tool | Opaque, names: Names, same: bool) -> dict[str, Any]:
    if isinstance(tool, Opaque):
        return tool.data
    own = tool.own if same and tool.own else {}
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            body["format"] = tool.grammar
        return {"type": "custom", "custom": body, **own}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    if tool.strict is not None:
        body["strict"] = tool.strict
    return {"type": "function", "function": body, **own}


def _tool_choice_out(choice: ToolChoice, tools: tuple[Tool | Opaque, ...], names: Names) -> Any:
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.kind == "custom"}

    def one(name: str) -> dict[str, Any]:
        kind = "custom" if name in custom else "function"
        return {"type": kind, kind: {"name": names.wire(name)}}

    if choice.mode == "named":
        return one(choice.names[0])
    if choice.names:
        return {
            "type": "allowed_tools",
            "allowed_tools": {"mode": choice.mode, "tools": [one(name) for name in choice.names]},
        }
    return choice.mode


def _format_out(form: Format) -> dict[str, Any]:
    if form.kind != "json_schema":
        return {"type": form.kind}
    # "name: The name of the response format." is required. https://platform.openai.com/docs/api-reference/chat/create
    inner: dict[str, Any] = {"name": form.name or "answer"}
    for key in ("description", "schema", "strict"):
        if (value := getattr(form, key)) is not None:
            inner[key] = value
    return {"type": "json_schema", "json_schema": inner}
