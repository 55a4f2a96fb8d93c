"""Encodes neutral events as chunks for a chat client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ...ir import (
    Audio,
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Document,
    Event,
    Extra,
    Failure,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    Video,
    signatures,
)
from ...ir.losses import block_extra_losses, citation_text_losses, opaque_loss, reply_field_losses
from ...ir.readable import PART_BREAK
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...wire import json_fields
from ...wire.framing import DONE, sse
from ..openai.losses import stop_losses
from ..protocol import ReplyContext
from .errors import encode_failure
from .reply_encoder import citation_out, extra_out, image_out, is_legacy, logprobs_out, reply_id, stop_out, usage_out
from .signature_carrier import carrier_out, detail_out, foreign_detail_out
from .tables import CHUNK, NAME, USAGE


class StreamEncoder:
    """Encodes events as chunks.

    The role comes first, a call's id and name once, usage if the client requested it, [DONE] only after success.
    """

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        self._legacy = is_legacy(context)
        options = (context.request.extra or {}).get("stream_options")
        self._wants_usage = type(options) is dict and options.get("include_usage") is True
        self._same = False
        self._head = self._tail = self._before = self._after = b""
        self._blocks: dict[int, Block] = {}
        self._calls: dict[int, int] = {}  # the block's index -> the wire's, which counts calls alone
        self._without_arguments: set[int] = set()  # calls of which no arguments were sent yet
        self._offsets: dict[int, int] = {}  # characters of text that were sent before a block began
        self._cited: dict[int, int] = {}  # the position of a block's last citation among its citations
        self._length = 0  # characters of text that were sent
        self._reasoning: dict[int, list[str]] = {}  # the pieces of thinking whose detail is not sent yet
        self._details = 0
        self._has_thought = False
        self._breaks: set[int] = set()  # thinking that follows other thinking, of which nothing was sent yet
        self._images = 0
        self._unsigned: list[Reasoning] = []  # thinking that becomes a detail only if other thinking is signed
        self._usage: Usage | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the frames for these events."""
        return b"".join([self._event(event) for event in events])

    def encode_texts(self, texts: Texts) -> bytes | None:
        if type(self._blocks.get(texts.index)) is not Text:
            return None
        self._length += sum(map(len, texts.pieces))
        between = self._after + self._before
        return self._before + between.join(map(json_fields.encode, texts.pieces)) + self._after

    def _event(self, event: Event) -> bytes:
        match event:
            case BlockDelta(index, text, logprobs):
                if logprobs and not self._same:  # a chat backend's are sent as it wrote them, at the end
                    self._length += len(text)
                    return self._chunk({"content": text}, logprobs=logprobs_out(logprobs))
                return self._delta(index, text)
            case ReplyStart():
                return self._start(event)
            case BlockStart(index, block):
                return self._open(index, block)
            case BlockSignature(index, signature):
                return self._add_signature(index, signature)
            case BlockCitation(index, citation):
                nth = self._cited[index] = self._cited.get(index, -1) + 1
                self.losses += [] if self._same else citation_text_losses((citation,), f"blocks[{index}]", nth)
                before = self._offsets.get(index, 0)
                return self._chunk({"annotations": [citation_out(citation, before, self._length - before, self._same)]})
            case BlockEnd(index, extra):
                if not self._same:
                    self.losses += reply_field_losses(extra, f"blocks[{index}]")
                    if isinstance(self._blocks[index], Reasoning):
                        return self._reasoning_detail(index, None)
                if index in self._without_arguments:  # a call without arguments has the arguments "{}"
                    return self._call_chunk(index, {"function": {"arguments": "{}"}})
                return b""
            case ReplyEnd():
                return self._finish(event)
            case Failure():
                error = encode_failure(event, self._context.id)
                self.losses.tell_late(error["error"])  # the part that SDKs keep
                return sse(json_fields.encode(error))

    def _start(self, start: ReplyStart) -> bytes:
        head = {
            "id": reply_id(start, self._context),
            "object": CHUNK,
            "created": self._context.created,
            "model": self._context.request.model,
        }
        self._same = start.protocol == NAME
        self._usage = start.usage
        self._head = b"data: " + json_fields.encode(head)[:-1]
        self._tail = b',"usage":null}\n\n' if self._wants_usage else b"}\n\n"
        # nearly every chunk is a piece of text, so all the rest of it is encoded once
        self._before = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._head + b',"choices":[' + json_fields.encode(choice) + b"]" + self._tail

    def _open(self, index: int, block: Block) -> bytes:
        self._blocks[index] = block
        if not self._same:
            self.losses += block_extra_losses(block, index)
        match block:
            case ToolCall(id=id_, name=name, namespace=namespace, kind=kind):
                self._calls[index] = len(self._calls)
                name = f"{namespace}__{name}" if namespace else name
                if self._legacy:
                    return self._chunk({"function_call": {"name": name, "arguments": ""}})
                if kind == "custom":
                    return self._call_chunk(index, {"id": id_, "type": kind, "custom": {"name": name, "input": ""}})
                self._without_arguments.add(index)
                return self._call_chunk(index, {"id": id_, "type": kind, "function": {"name": name, "arguments": ""}})
            case Text():
                self._offsets[index] = self._length
            case Reasoning():
                self._reasoning[index] = []
                if self._has_thought and not self._same:
                    self._breaks.add(index)
            case Image(Media(data=str()) as media) | Image(Media(url=str()) as media):
                self._images += 1
                return self._chunk({"images": [image_out(media, self._images - 1)]})
            case Image() | Document() | Audio() | Video() | ToolResult():
                self.losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))
            case Opaque(call=HostedCall()):
                self.losses.append(opaque_loss(block, f"blocks[{index}]"))
        return b""

    def _call_chunk(self, index: int, fields: dict[str, Any]) -> bytes:
        if self._legacy:
            return self._chunk({"function_call": fields["function"]})
        return self._chunk({"tool_calls": [{"index": self._calls[index], **fields}]})

    def _delta(self, index: int, text: str) -> bytes:
        match self._blocks[index]:
            case Text():
                self._length += len(text)
                return self._before + json_fields.encode(text) + self._after
            case ToolCall(kind="custom"):
                return self._call_chunk(index, {"custom": {"input": text}})
            case ToolCall():
                self._without_arguments.discard(index)
                return self._call_chunk(index, {"function": {"arguments": text}})
            case Reasoning() as block:
                self._reasoning.setdefault(index, []).append(text)  # text may follow a signature
                delta: dict[str, Any] = {"reasoning_content": text}
                if index in self._breaks:
                    self._breaks.discard(index)
                    delta["reasoning_content"] = PART_BREAK + text
                self._has_thought = True
                if extra := self._extra_out(block):
                    delta["reasoning_details"] = [detail_out(replace(block, text=text), None, extra)]
                return self._chunk(delta)
            case Refusal():
                return self._chunk({"refusal": text})
        return b""

    def _add_signature(self, index: int, signature: Signature) -> bytes:
        match self._blocks[index]:
            case ToolCall():
                signed = {"google": {"thought_signature": signatures.for_client(signature, NAME)}}
                return self._call_chunk(index, {"extra_content": signed})
            case Reasoning() as block if self._same:
                detail = detail_out(block, signatures.for_client(signature, NAME), self._extra_out(block))
                return self._chunk({"reasoning_details": [detail]})
            case Reasoning():
                return self._reasoning_detail(index, signature)
            case _:
                return self._details_chunk(carrier_out(signature))

    def _reasoning_detail(self, index: int, signature: Signature | None) -> bytes:
        """Returns the whole detail of a thinking block, at its signature or its end.

        Clients that read details read nothing else, so once there is one all thinking must be among them.
        """
        texts, block = self._reasoning.pop(index, None), self._blocks[index]
        if texts is None or not isinstance(block, Reasoning):
            return b""  # it was sent with its signature
        block = replace(block, text="".join(texts), extra=None)
        if signature is not None:
            return self._details_chunk(foreign_detail_out(block, signature))
        if not block.text:
            return b""
        if self._details:
            return self._details_chunk(foreign_detail_out(block, None))
        self._unsigned.append(block)
        return b""

    def _details_chunk(self, detail: dict[str, Any]) -> bytes:
        """Encodes a detail, after those of the unsigned thinking before it."""
        details = [*(foreign_detail_out(block, None) for block in self._unsigned), detail]
        self._unsigned = []
        numbered = [{**one, "index": self._details + k} for k, one in enumerate(details)]
        self._details += len(details)
        return self._chunk({"reasoning_details": numbered})

    def _extra_out(self, block: Reasoning) -> dict[str, Any]:
        return block.extra if block.extra and self._same else {}

    def _finish(self, finish: ReplyEnd) -> bytes:
        self.losses += stop_losses(finish.stop, finish.matched)
        if not self._same:
            self.losses += reply_field_losses(finish.extra, "")
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        extra = finish.extra if self._same else None
        if extra and USAGE in extra:  # the host sent it unasked, so that clients of the host expect it there
            extra = {key: value for key, value in extra.items() if key != USAGE}
            if usage is not None and not self._wants_usage:
                extra[USAGE] = usage_out(usage)
        out = self._finish_chunk(stop_out(finish.stop, self._context), extra, self._wants_usage and usage is not None)
        if self._wants_usage and usage is not None:  # no usage is not a usage of zero
            counted = usage_out(usage)
            self.losses.tell_late(counted)
            out += self._head + b',"choices":[],"usage":' + json_fields.encode(counted) + b"}\n\n"
        return out + sse(DONE)

    def _finish_chunk(self, finish: str, extra: Extra, is_followed: bool) -> bytes:
        """Encodes the chunk with the finish reason, and the extra fields of a chat backend's answer."""
        if not extra and (is_followed or not self.losses.late()):
            return self._chunk({}, finish)
        delta: dict[str, Any] = {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        body: dict[str, Any] = {"choices": [choice]}
        kept = {key: value for key, value in (extra or {}).items() if key not in ("object", "created")}
        extra_out(kept, body, choice, delta)
        if not is_followed:
            self.losses.tell_late(body.get(USAGE, body))
        return self._head + b"," + json_fields.encode(body)[1:-1] + self._tail
