"""Encodes neutral events as server-sent events for an Anthropic client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import (
    Audio,
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSequencer,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Extra,
    Failure,
    HostedCall,
    Image,
    Loss,
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
from ...ir.losses import block_extra_losses, declare_loss, reply_field_losses
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...wire import json_fields
from ...wire.framing import sse
from ..protocol import ReplyContext
from .errors import encode_failure
from .hosted_tools import hosted_blocks_out
from .reply_encoder import (
    EMPTY_MESSAGE_FIELDS,
    EMPTY_MESSAGE_USAGE_FIELDS,
    EMPTY_USAGE_FIELDS,
    call_out,
    carrier_out,
    citation_out,
    citation_range_losses,
    raw_citations,
    reasoning_out,
    reply_id,
    stop_details_out,
    stop_losses,
    stop_out,
    text_out,
    usage_out,
)
from .tables import NAME

_DELTAS: dict[type[Block], tuple[bytes, bytes]] = {
    Text: (b'"text_delta"', b'"text"'),
    Reasoning: (b'"thinking_delta"', b'"thinking"'),
    ToolCall: (b'"input_json_delta"', b'"partial_json"'),
}
_DELTA_END = b"}}\n\n"
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class StreamEncoder:
    """Encodes events with one open block at a time and consecutive indexes; a block starts with its first content."""

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        self._sequencer = BlockSequencer()
        self._same = False
        self._usage: Usage | None = None
        self._refusal: list[str] = []  # sent in stop_details, outside of the content
        self._start_usage: dict[str, Any] = {}  # the extra usage fields of message_start
        self._next_wire_index = 0  # the Anthropic index of the next block
        self._index = 0  # the neutral index of the current block
        self._block: Block = Text("")
        self._has_begun = False
        self._open_index = -1  # the neutral index of the block that has begun and not ended
        self._head = b""  # the bytes of a delta up to its text
        self._signature: Signature | None = None  # of thinking or a call that has not begun
        self._signatures: dict[int, Signature] = {}  # of blocks that wait for the one before to end
        self._text_signatures: list[Signature] = []  # carried at the end: most come when their text was already sent
        self._fragments: list[str] = []
        self._improbable: set[int] = set()  # blocks whose log probabilities are lost
        self._length = 0
        self._citations: list[Citation] = []

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the frames for these events."""
        out: list[bytes] = []
        for event in events:
            if type(event) is BlockDelta and event.index == self._open_index and not event.logprobs:
                out.append(self._delta(event.text))  # fast path for most events
                continue
            if type(event) is BlockSignature:
                self._signatures[event.index] = event.signature
            out += [self._event(due) for due in self._sequencer.feed((event,))]
        return b"".join(out)

    def encode_texts(self, texts: Texts) -> bytes | None:
        if texts.index != self._open_index or type(self._block) is not Text:
            return None
        self._length += sum(map(len, texts.pieces))
        return self._head + (_DELTA_END + self._head).join(map(json_fields.encode, texts.pieces)) + _DELTA_END

    def _event(self, event: Event) -> bytes:
        match event:
            case BlockDelta(index, text, logprobs):
                if logprobs and index not in self._improbable:
                    self._improbable.add(index)
                    self.losses.append(declare_loss(f"blocks[{index}].logprobs", "logprobs"))
                return self._delta(text)
            case BlockStart(index, block):
                self._index, self._block, self._has_begun, self._signature = index, block, False, None
                self._fragments, self._length, self._citations = [], 0, []
                if not self._same:
                    self.losses += block_extra_losses(block, index)
                return b""
            case BlockEnd(_, extra):
                return self._close(extra)
            case BlockSignature(_, signature):
                return self._add_signature(signature)
            case BlockCitation(_, citation):
                self._citations.append(citation)
                return b""
            case ReplyStart():
                return self._start(event)
            case ReplyEnd():
                return self._finish(event)
            case Failure():
                error = encode_failure(event, self._context.request_id or self._context.id)
                self.losses.tell_late(error)
                return sse(json_fields.encode(error), "error")

    def _start(self, start: ReplyStart) -> bytes:
        self._same = start.protocol == NAME
        self._usage = start.usage
        message: dict[str, Any] = {
            "id": reply_id(start, self._context),
            "type": "message",
            "role": "assistant",
            "model": self._context.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **EMPTY_MESSAGE_FIELDS,
            "usage": {**EMPTY_MESSAGE_USAGE_FIELDS, **usage_out(start.usage)},
        }
        if self._same and start.extra:
            self._start_usage = start.extra.get("usage", {})
            message |= {key: value for key, value in start.extra.items() if key != "usage"}
            message["usage"] |= self._start_usage
        return sse(json_fields.encode({"type": "message_start", "message": message}), "message_start")

    def _block_extra(self) -> dict[str, Any]:
        """Returns the extra fields to restore: those of a backend of this same protocol."""
        return self._block.extra or {} if self._same and not isinstance(self._block, Opaque) else {}

    def _begin(self) -> bytes:
        """Returns the frames that start the block, after its signature carrier if it has one."""
        self._has_begun = True
        self._open_index = self._index
        out = b""
        block = self._block
        match block:
            case Text():
                shape = text_out(self._block_extra())
            case Reasoning():
                shape = {**reasoning_out("", None, False), **self._block_extra()}
            case ToolCall():
                shape = {**call_out(block), **self._block_extra()}
            case _:
                return b""
        signature = self._signature or self._signatures.get(self._index)
        if signature and isinstance(block, ToolCall):
            out = self._complete_block(carrier_out(signature))
            self._signature = signature
        number = b'"index":%d' % self._next_wire_index
        kind, key = _DELTAS[type(block)]
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta",'
            + number + b',"delta":{"type":' + kind + b"," + key + b":"
        )  # fmt: skip
        return out + self._block_start_frame(shape)

    def _block_start_frame(self, shape: dict[str, Any]) -> bytes:
        event = {"type": "content_block_start", "index": self._next_wire_index, "content_block": shape}
        return sse(json_fields.encode(event), "content_block_start")

    def _block_stop_frame(self) -> bytes:
        number = self._next_wire_index
        self._next_wire_index += 1
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % number

    def _delta_frame(self, delta: dict[str, Any]) -> bytes:
        event = {"type": "content_block_delta", "index": self._next_wire_index, "delta": delta}
        return sse(json_fields.encode(event), "content_block_delta")

    def _complete_block(self, shape: dict[str, Any]) -> bytes:
        """Returns the frames of a whole block; SDKs expect the signature of thinking as a delta."""
        if shape["type"] != "thinking":
            return self._block_start_frame(shape) + self._block_stop_frame()
        signed = {"type": "signature_delta", "signature": shape["signature"]}
        start = self._block_start_frame({**shape, "signature": ""})
        return start + self._delta_frame(signed) + self._block_stop_frame()

    def _delta(self, text: str) -> bytes:
        block = self._block
        if type(block) is ToolCall:
            self._fragments.append(text)
            if block.kind == "custom":  # the text is sent at the end, as one string in an object
                return b""
        self._length += len(text)
        if self._has_begun:
            return self._head + json_fields.encode(text) + _DELTA_END
        if type(block) is Refusal:
            self._refusal.append(text)
            return b""
        if type(block) not in _DELTAS:
            return b""
        return self._begin() + self._head + json_fields.encode(text) + _DELTA_END

    def _add_signature(self, signature: Signature) -> bytes:
        block = self._block
        if isinstance(block, Reasoning) and self._has_begun:
            return self._delta_frame({"type": "signature_delta", "signature": signatures.for_client(signature, NAME)})
        if isinstance(block, Text):
            self._text_signatures.append(signature)
        elif not self._has_begun:
            self._signature = signature
        elif self._signature is None:
            self.losses.append(declare_loss(f"blocks[{self._index}].seal", "signature"))
        return b""

    def _close(self, extra: Extra) -> bytes:
        block = self._block
        self._open_index = -1
        path = f"blocks[{self._index}]"
        if not self._same:
            self.losses += reply_field_losses(extra, path)
        match block:
            case Text():
                return self._close_text(extra, path)
            case Refusal():
                pass
            case Reasoning() if not self._has_begun:
                shape = reasoning_out("", self._signature, block.redacted)
                return self._complete_block({**shape, **self._block_extra()})
            case Reasoning():
                return self._block_stop_frame()
            case ToolCall():
                return self._close_call(block)
            case Opaque(protocol, _, data) if protocol == NAME:
                return self._close_opaque(data)
            case Opaque(call=HostedCall() as call):
                blocks = hosted_blocks_out(call, self._context.new_id(""))
                return b"".join([self._close_opaque(one) for one in blocks])
            case Image() | Document() | Audio() | Video() | ToolResult():
                self.losses.append(Loss(path, "media_out", "dropped"))
        return b""

    def _close_text(self, extra: Extra, path: str) -> bytes:
        raw = (raw_citations(extra) or raw_citations(self._block_extra())) if self._same else []
        if not raw:
            raw = [citation_out(citation) for citation in self._citations]
            for citation in self._citations:
                self.losses += citation_range_losses(citation, self._length, path)
        if not self._has_begun and not raw:
            return b""
        out = b"" if self._has_begun else self._begin()
        out += b"".join([self._delta_frame({"type": "citations_delta", "citation": citation}) for citation in raw])
        return out + self._block_stop_frame()

    def _close_call(self, call: ToolCall) -> bytes:
        out = b"" if self._has_begun else self._begin()
        text = "".join(self._fragments)
        if call.kind == "custom":
            out += self._head + json_fields.encode(json_fields.encode({"input": text}).decode()) + _DELTA_END
        elif not text:  # a call without arguments sends "{}"
            out += self._head + b'"{}"' + _DELTA_END
        # Arguments that are not JSON are sent unchanged: "there is no guarantee that the resulting stream will
        # complete in a valid JSON string".
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
        return out + self._block_stop_frame()

    def _close_opaque(self, data: dict[str, Any]) -> bytes:
        if data.get("type") != "server_tool_use" or not data.get("input"):
            return self._complete_block(data)
        arguments_delta = {"type": "input_json_delta", "partial_json": json_fields.encode(data["input"]).decode()}
        start = self._block_start_frame({**data, "input": {}})
        return start + self._delta_frame(arguments_delta) + self._block_stop_frame()

    def _finish(self, finish: ReplyEnd) -> bytes:
        out = b"".join([self._complete_block(carrier_out(signature)) for signature in self._text_signatures])
        matched = finish.matched if finish.stop == "stop_sequence" else None
        self.losses += stop_losses(finish.stop, None if matched else finish.matched)
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        usage_fields = {**EMPTY_USAGE_FIELDS, **usage_out(usage)}
        delta: dict[str, Any] = {
            "stop_reason": stop_out(finish.stop, finish.native, self._same, refused=bool(self._refusal)),
            "stop_sequence": matched,
            **EMPTY_MESSAGE_FIELDS,
        }
        event: dict[str, Any] = {"type": "message_delta", "delta": delta, "usage": usage_fields}
        delta |= stop_details_out(finish.extra if self._same else None, "".join(self._refusal))
        if not self._same:
            self.losses += reply_field_losses(finish.extra, "")
        elif finish.extra:
            extra = {key: value for key, value in finish.extra.items() if key != "stop_details"}
            usage_fields |= {k: v for k, v in extra.pop("usage", {}).items() if self._start_usage.get(k) != v}
            if "context_management" in extra:
                event["context_management"] = extra.pop("context_management")
            delta |= extra
        self.losses.tell_late(event)
        return out + sse(json_fields.encode(event), "message_delta") + _STOP
