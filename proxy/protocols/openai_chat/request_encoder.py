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
    Video,
    signatures,
)
from ...ir.bounded_values import alphanumeric_digest, with_bounded_identifiers
from ...ir.hosted import foreign_hosted_tools, hosted_choice_losses, hosted_losses
from ...ir.losses import block_feature, declare_loss, extra_field_losses, is_harmless, request_extra_losses
from ...ir.media_type import file_name
from ...ir.model_fit import fitted
from ...ir.plain_turns import plain_turns
from ...ir.readable import joined, readable
from ...ir.stop_sequences import said_stops
from ...ir.strict_schema import loosened
from ...ir.token_logprobs import logprobs_out
from ...ir.tool_choice import kept_tools, remaining_choice
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from ...ir.tool_schema import with_fitted_tools
from ...traits import Traits
from ...wire import json_fields
from ...wire.json_fields import maybe
from ..openai.media import GLOBAL_DETAIL, detail_of, url_out
from ..openai.tables import JSON_HINT, RESPONSES, RESPONSES_TO_CHAT, SERVICE_TIER, SERVICE_TIERS, TOOL_NAME
from ..protocol import UpstreamRequest, UpstreamTarget
from ..schema_targets import OPENAI_FUNCTION, OPENAI_STRICT
from .hosted_tools import WEB_SEARCH, takes, web_search_out
from .reasoning_fields import put_reasoning
from .sampling_fields import put_sampling, samplers
from .signature_carrier import detail_out
from .tables import LIMITS, NAME
from .tool_pairing import LocatedBlock, pair_tool_results

_EMPTY = Text("")
CARRIED = frozenset(("detail", "mediaResolution", GLOBAL_DETAIL, "namespace.description"))
"""Extra fields of other protocols' blocks that this one has too."""


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    if not same and (plain := _encode_plain(request, target)) is not None:
        return plain
    sibling: dict[str, Any] = {}  # fields of a Responses request that chat has too
    losses: list[Loss] = []
    if target.traits.limits or target.limits:
        request = with_bounded_identifiers(request, target.limit, losses)
    if request.protocol == RESPONSES:
        sibling, rest = json_fields.renamed(request.extra, RESPONSES_TO_CHAT)
        request = replace(request, extra=rest)
    if not same:
        if (tier := SERVICE_TIERS.get(str((request.extra or {}).get(SERVICE_TIER)).lower())) is not None:
            sibling["service_tier"] = tier
            request = replace(request, extra={k: v for k, v in (request.extra or {}).items() if k != SERVICE_TIER})
        carried = CARRIED | {"cache_control"} if "cache_control" in target.traits.takes else CARRIED
        request, found = samplers(request, target)
        sibling |= found
        losses += request_extra_losses(request, carried)
        request, misshapen = with_fitted_tools(request, OPENAI_FUNCTION)
        request, loose = loosened(request, OPENAI_STRICT)
        request, named = readable(request, "all")
        losses += (*misshapen, *loose, *named)
    traits = target.traits
    request, misfits = fitted(request, traits, is_chat=True)
    losses += misfits
    names = ToolNameMap(request, TOOL_NAME, custom=True)
    messages = _MessageBuilder(request, target, names, losses).build()
    payload: dict[str, Any] = {"model": target.model, "messages": messages}
    _tools_out(request, target, names, payload, losses)
    # "'tool_choice' is only allowed when 'tools' are specified.", as the API answers
    choice, gone = remaining_choice(request, kept_tools(request, NAME))
    losses += gone
    if choice is not None and "tools" in payload:
        payload["tool_choice"] = _tool_choice_out(choice, request.tools, names)
    if request.parallel is not None and "tools" in payload:
        # "'parallel_tool_calls' is only allowed when 'tools' are specified." https://github.com/camel-ai/camel/pull/3706
        payload["parallel_tool_calls"] = request.parallel
    put_sampling(request, target, payload, losses)
    put_reasoning(request, target, payload, losses)
    if request.format is not None:
        payload["response_format"] = _format_out(request.format)
        if request.format.kind == "json_object" and not same and "json" not in str(messages).lower():
            # otherwise the API answers "'messages' must contain the word 'json' in some form"
            losses.append(declare_loss("format", "json_object"))
            others = (at for at, message in enumerate(messages) if message["role"] != "system")
            messages.insert(next(others, 0), {"role": "system", "content": JSON_HINT})
    payload |= logprobs_out(request.logprobs)
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
    if request.stream:
        _ask_usage(traits, payload)
    stops = said_stops(request.stop, [])[len(payload.get("stop", ())) :]
    return UpstreamRequest(payload, tuple(losses), target, names.aliases, stops=stops)


def _encode_plain(request: Request, target: UpstreamTarget) -> UpstreamRequest | None:
    """Encodes a conversation of plain text; None for any other."""
    traits = target.traits
    if traits.renames or (said := plain_turns(request)) is None:
        return None
    request, losses = fitted(request, traits, is_chat=True)
    if request.reasoning is not None:
        return None
    messages = [{"role": role, "content": text} for role, text in said]
    payload: dict[str, Any] = {"model": target.model, "messages": messages}
    put_sampling(request, target, payload, losses)
    if request.stream:
        payload["stream"] = True
        _ask_usage(traits, payload)
    return UpstreamRequest(payload, tuple(losses), target)


def _ask_usage(traits: Traits, payload: dict[str, Any]) -> None:
    """Asks for the usage, without which a stream ends unless it is asked for, and which the client may need."""
    if "stream_options" not in traits.refuses:
        payload["stream_options"] = {**(maybe(payload, "stream_options", dict) or {}), "include_usage": True}


def _tools_out(
    request: Request, target: UpstreamTarget, names: ToolNameMap, payload: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.protocol == NAME
    tools = []
    for tool in request.tools:
        if isinstance(tool, Opaque) and tool.protocol == NAME and tool.kind == WEB_SEARCH:
            payload[WEB_SEARCH] = tool.data
        elif isinstance(tool, Tool) or tool.protocol == NAME:
            tools.append(_tool_out(tool, names, same, {} if same else _tool_mark(tool, target)))
    if tools:
        payload["tools"] = tools
    hosted = foreign_hosted_tools(request, NAME)
    if hosted:
        taken = takes(target)
        for i, found in hosted:
            losses += hosted_losses(i, found, taken)
            if found.kind in taken:
                payload[WEB_SEARCH] = web_search_out(found)
    if not same:
        losses += hosted_choice_losses(request)


class _MessageBuilder:
    """Encodes the turns of one request as messages, in order, and adds to its losses."""

    def __init__(self, request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]) -> None:
        self._request = request
        self._same = request.protocol == NAME
        self._request_extra = request.extra
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
                    role = self._target.traits.renames.get(turn.role, turn.role)
                    if role != turn.role:
                        self._losses.append(declare_loss(f"turns[{t}]", "role"))
                    self._messages.append(
                        {"role": role, "content": self._content(blocks), **self._extra_out(turn.extra)}
                    )
        if not self._messages:
            self._messages.append({"role": "user", "content": ""})
            if turns:  # all that was said is lost; without any turn the backend decides whether that is an error
                self._losses.append(declare_loss("turns", "content"))
        return self._messages

    def _extra_out(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields where the client speaks this protocol too."""
        return extra if extra and self._same else {}

    def _mark(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields of a part or tool: all of the same protocol, else a cache mark for hosts with it."""
        if self._same:
            return extra or {}
        return cache_mark(extra, self._target)

    def _id(self, id_: str) -> str:
        """Shortens an id that is too long to a digest, the same in the call, its result and every turn."""
        exact = self._target.limit("alphanumeric_call_id")
        if exact is not None:
            return id_ if len(id_) == exact and id_.isascii() and id_.isalnum() else alphanumeric_digest(id_, exact)
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
            content: str | list[dict[str, Any]] = joined(texts)
            marks = cache_mark(block.extra, self._target) if not self._same else {}
            if any(self._mark(text.extra) for text in texts) or marks:
                content = [{"type": "text", "text": text.text, **self._mark(text.extra)} for text in texts]
                if content and marks:
                    content[-1] |= marks
            if media and not texts:
                content = "The result is in the next user message."
            if block.error:
                self._losses.append(declare_loss(path, "tool_error"))
                if type(content) is list:
                    content = [{"type": "text", "text": "Error:"}, *content]
                else:
                    content = f"Error: {content}"
            self._messages.append(
                {"role": "tool", "tool_call_id": self._id(block.id), "content": content, **self._extra_out(block.extra)}
            )
        rest = moved + [entry for entry in blocks if not isinstance(entry[1], ToolResult)]
        content_ = self._content(rest) if rest or not results else ""
        if content_ or (self._same and not results):  # else nothing of it is left that the target can be told
            self._messages.append({"role": "user", "content": content_, **self._extra_out(turn.extra)})

    def _assistant(self, turn: Turn, blocks: list[LocatedBlock]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts = [block for _, block in blocks if isinstance(block, Text)]
        if texts:
            message["content"] = joined(texts) if not self._same else "".join(text.text for text in texts)
        refusals = [block.text for _, block in blocks if isinstance(block, Refusal)]
        if refusals:
            message["refusal"] = "".join(refusals)
        self._reasoning(blocks, message)
        calls = [self._call(block, path) for path, block in blocks if type(block) is ToolCall]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None and not refusals:
            message["content"] = ""  # content may only be absent beside tool calls or a refusal
        is_empty = not (message["content"] or calls or refusals or message.keys() - {"role", "content"})
        for path, block in blocks:
            if isinstance(block, Image | Document | Audio | Video):
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
            elif isinstance(block, Text):
                if block.signature:
                    self._losses.append(declare_loss(f"{path}.seal", "signature"))
                if block.citations:  # an answer has a field for them, a history has none
                    self._losses.append(declare_loss(f"{path}.citations", "citations"))
        if is_empty and not self._same:
            return
        self._messages.append({**message, **self._extra_out(turn.extra)})

    def _reasoning(self, blocks: list[LocatedBlock], message: dict[str, Any]) -> None:
        """Adds the turn's thinking to the message, in the fields that the host accepts."""
        details = []
        traits = self._target.traits
        echo = self._same and "reasoning_content" not in traits.refuses
        for path, block in blocks:
            if not isinstance(block, Reasoning):
                continue
            signature = (
                signatures.for_backend(block.signature, NAME, self._target.provider) if block.signature else None
            )
            if block.text and ("reasoning_content" in traits.takes or echo):
                message["reasoning_content"] = message.get("reasoning_content", "") + block.text
            elif block.text and "reasoning_details" not in traits.takes:
                self._losses.append(declare_loss(path, "reasoning_text"))
            if "reasoning_details" in traits.takes or (echo and (signature or block.extra)):
                details.append(detail_out(block, signature, self._extra_out(block.extra)))
            elif block.signature:
                signature = None
            if block.signature and signature is None:
                self._losses.append(declare_loss(f"{path}.seal", "signature"))
        if details:
            message["reasoning_details"] = details
        # "reasoning_content must be passed back": hosts with this quirk want the key beside every call
        if "reasoning_content" in traits.takes and any(isinstance(block, ToolCall) for _, block in blocks):
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
        if not self._same and cache_mark(call.extra, self._target):  # a call is no part of a content
            self._losses.append(declare_loss(f"{path}.cache_control", "cache_control"))
        return {**out, **self._extra_out(call.extra)}

    def _content(self, blocks: list[LocatedBlock]) -> str | list[dict[str, Any]]:
        if len(blocks) > 1 and not self._same:  # some hosts refuse an empty part
            blocks = [entry for entry in blocks if entry[1] != _EMPTY]
        match blocks:
            case [(_, Text(text, extra=extra))] if not self._mark(extra):
                return text
            case []:
                return ""
        if "content_parts" in self._target.traits.refuses and all(type(block) is Text for _, block in blocks):
            return self._joined(blocks)
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

    def _joined(self, blocks: list[LocatedBlock]) -> str:
        """Returns texts as one string, a blank line between them, for hosts that take no list of parts."""
        texts = []
        for path, block in blocks:
            if isinstance(block, Text):
                texts.append(block.text)
                if self._same:
                    self._losses += extra_field_losses(block.extra, path)
        return "\n\n".join(texts)

    def _part(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text, extra=extra):
                return {"type": "text", "text": text, **self._mark(extra)}
            case Image(media, extra) if media.data or (media.url and "image_url" not in self._target.traits.refuses):
                fields = dict(self._mark(extra))
                image: dict[str, Any] = {"url": url_out(media)}
                if (detail := fields.pop("detail", None) or detail_of(extra, self._request_extra)) is not None:
                    image["detail"] = detail
                return {"type": "image_url", "image_url": image, **fields}
            case Video(media, extra) | Audio(media, extra) | Document(media, extra) if (
                self._same and extra and "part" in extra
            ):
                kind = str(extra["part"])
                return {"type": kind, kind: {"url": url_out(media)}, **_without(extra, "part")}
            case Video(media, extra) if "video_url" in self._target.traits.takes and (media.data or media.url):
                return {"type": "video_url", "video_url": {"url": url_out(media)}}
            case Audio(Media(mime=None, data=str(data)), extra) if self._same:
                return {"type": "input_audio", "input_audio": data, **self._extra_out(extra)}
            case Audio(Media(mime=mime, data=str(data)), extra):
                kind = (mime or "audio/wav").partition("/")[2].removeprefix("x-")
                kind = "mp3" if kind == "mpeg" else kind
                return {"type": "input_audio", "input_audio": {"data": data, "format": kind}, **self._extra_out(extra)}
            case Document(Media(text=str(text), data=None), extra):
                return {"type": "text", "text": text, **cache_mark(extra, self._target)}
            case Document(media, extra) if media.data:
                # "filename: The name of the file, used when passing the file to the model as a string."
                # https://platform.openai.com/docs/api-reference/chat/create
                file: dict[str, Any] = {"file_data": url_out(media), "filename": media.name or file_name(media.mime)}
                return {"type": "file", "file": file, **self._mark(extra)}
            case Document(media, extra) if media.file_id and (self._same or media.file_id.startswith("file-")):
                # file ids are OpenAI's own and start with this prefix
                named = {"filename": media.name} if media.name is not None else {}
                return {"type": "file", "file": {"file_id": media.file_id, **named}, **self._extra_out(extra)}
            case Opaque(protocol, _, data) if protocol == NAME:
                return data
        return None


def _without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


def _tool_mark(tool: Tool | Opaque, target: UpstreamTarget) -> dict[str, Any]:
    return {} if isinstance(tool, Opaque) else cache_mark(tool.extra, target)


def cache_mark(extra: Extra, target: UpstreamTarget) -> dict[str, Any]:
    """Returns the cache mark of a block or tool for hosts that take one.

    "you can use cache_control breakpoints", in the text parts of messages and in tools:
    https://openrouter.ai/docs/features/prompt-caching
    """
    mark = extra.get("cache_control") if extra else None
    return {"cache_control": mark} if mark is not None and "cache_control" in target.traits.takes else {}


def _tool_out(tool: Tool | Opaque, names: ToolNameMap, same: bool, mark: dict[str, Any]) -> dict[str, Any]:
    if isinstance(tool, Opaque):
        return tool.data
    extra = tool.extra if same and tool.extra else mark
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if (description := told_description(tool, same)) is not None:
        body["description"] = description
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
