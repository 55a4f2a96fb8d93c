"""Encodes neutral events as chunks for a Gemini client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSequencer,
    BlockSignature,
    BlockStart,
    Citation,
    Event,
    Failure,
    HostedCall,
    Opaque,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Signature,
    Text,
    TokenLogprob,
    ToolCall,
    Usage,
)
from ...ir.losses import block_extra_losses, citation_text_losses, declare_loss, reply_field_losses
from ...ir.readable import PART_BREAK
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...wire import json_fields
from ..protocol import ReplyContext
from .errors import encode_failure
from .fields import restore_extra
from .grounding import grounding_out
from .hosted_tools import metadata_out
from .logprobs import FIELD as LOGPROBS
from .logprobs import tokens_out
from .reply_encoder import (
    call_out,
    extra_out,
    hosted_call_out,
    is_blocked,
    part_out,
    reasoning_out,
    reply_id,
    stop_losses,
    stop_out,
    usage_out,
    with_signature,
)
from .tables import NAME

_CONTENT_END = b'],"role":"model"},"index":0}]'
_TEXT = b'{"text":'
_THOUGHT = b',"thought":true}'


class StreamEncoder:
    """Encodes events as chunks with one part each; a call is sent as a whole.

    Each part is held back until the next one, because the last chunk must hold a part besides its finishReason: the
    chats of google-genai drop a reply if any of its chunks has no parts (`_validate_response` of its chats.py).
    """

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        self._first_prefix, self._prefix, self._stream_end = (
            (b"[", b",\r\n", b"]") if context.array else (b"data: ", b"data: ", b"")
        )
        self._suffix = b"" if context.array else b"\n\n"
        self._has_begun = False
        self._same = False
        self._start = ReplyStart("", None, None)
        self._chunk_end = b"}"
        self._sequencer = BlockSequencer()
        self._block: Block | None = None  # the open block
        self._last: Block | None = None  # the block that was opened last
        self._break = ""  # what separates the open thinking from the part before it
        self._fragments: list[str] = []
        self._signature: Signature | None = None
        self._waiting_part: bytes | None = None  # the part that is held back
        self._waiting_tokens: list[TokenLogprob] = []  # the log probabilities of that part
        self._texts: list[tuple[list[str], list[Citation]]] = []
        self._usage: Usage | None = None
        self._calls: list[HostedCall] = []  # of hosted tools, told in the last chunk's metadata

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the frames for these events."""
        return b"".join([self._event(event) for event in self._sequencer.feed(events)])

    def encode_texts(self, texts: Texts) -> bytes | None:
        if type(self._block) is not Text or not self._sequencer.is_open(texts.index):
            return None
        return b"".join(map(self._delta, texts.pieces))

    def _event(self, event: Event) -> bytes:
        match event:
            case BlockDelta(_, text, logprobs):
                out = self._delta(text)
                if logprobs and not self._same:  # a Gemini backend's are sent as it wrote them, at the end
                    self._waiting_tokens += logprobs
                return out
            case ReplyStart():
                return self._open_stream(event)
            case BlockStart(index, block):
                return self._open(index, block)
            case BlockSignature(_, signature):
                return self._add_signature(signature)
            case BlockCitation(index, citation):
                citations = self._texts[-1][1]
                self.losses += citation_text_losses((citation,), f"blocks[{index}]", len(citations))
                citations.append(citation)
                return b""
            case BlockEnd(index, extra):
                if extra and not self._same:
                    self.losses += reply_field_losses(extra, f"blocks[{index}]")
                return self._close(index)
            case ReplyEnd():
                return self._finish(event)
            case Failure():
                error = encode_failure(event, self._context.id)
                self.losses.tell_late(error)
                return self._write_part(None) + self._frame(json_fields.encode(error)) + self._stream_end

    def _open_stream(self, start: ReplyStart) -> bytes:
        self._start = start
        self._same = start.protocol == NAME
        self._usage = start.usage
        if not self._same:
            self.losses += reply_field_losses(start.extra, "")
        head = {"modelVersion": self._context.request.model, "responseId": reply_id(start, self._context)}
        self._chunk_end = b"," + json_fields.encode(head)[1:]
        return b""

    def _frame(self, data: bytes) -> bytes:
        prefix, self._has_begun = self._prefix if self._has_begun else self._first_prefix, True
        return prefix + data + self._suffix

    def _write_part(self, part: bytes | None) -> bytes:
        """Returns the chunk of the part that was held back, and holds back this one."""
        previous, self._waiting_part = self._waiting_part, part
        if previous is None:
            return b""
        end = _CONTENT_END
        if self._waiting_tokens:
            result = json_fields.encode(tokens_out(self._waiting_tokens))
            end, self._waiting_tokens = b'],"role":"model"},"index":0,"logprobsResult":' + result + b"}]", []
        return self._frame(b'{"candidates":[{"content":{"parts":[' + previous + end + self._chunk_end)

    def _open(self, index: int, block: Block) -> bytes:
        if not self._same:
            self.losses += block_extra_losses(block, index)
        before, self._block = self._last, block
        self._last = block
        self._fragments, self._signature = [], None
        match block:
            case Text():
                self._texts.append((self._fragments, []))
            case Refusal():
                self.losses.append(declare_loss(f"blocks[{index}]", "refusal"))
            case Reasoning():
                # the text of the block before is not kept, but only a part that has one is followed by another
                is_next = isinstance(before, Reasoning) and before.group is not None and before.group == block.group
                self._break = PART_BREAK if is_next else ""
            case ToolCall():
                pass
            case Opaque(call=HostedCall()) if not self._same:
                parts = hosted_call_out(block, index, self._calls, self.losses)
                return b"".join([self._write_part(json_fields.encode(part)) for part in parts])
            case _:
                part = part_out(block, index, self.losses)
                if part is not None:
                    if self._same and not isinstance(block, Opaque):
                        restore_extra(part, block.extra)
                    return self._write_part(json_fields.encode(part))
        return b""

    def _delta(self, text: str) -> bytes:
        if not text:
            return b""
        match self._block:
            case Text():
                self._fragments.append(text)
                return self._write_part(_TEXT + json_fields.encode(text) + b"}")
            case Reasoning():
                if self._break:
                    text, self._break = self._break + text, ""
                return self._write_part(_TEXT + json_fields.encode(text) + _THOUGHT)
            case Refusal():
                return self._write_part(_TEXT + json_fields.encode(text) + b"}")
            case ToolCall():
                self._fragments.append(text)
        return b""

    def _add_signature(self, signature: Signature) -> bytes:
        match self._block:
            case Text():
                return self._write_part(json_fields.encode(with_signature({"text": ""}, signature)))
            case Reasoning(redacted=redacted):
                return self._write_part(json_fields.encode(reasoning_out("", signature, redacted)))
            case ToolCall():
                self._signature = signature
        return b""

    def _close(self, index: int) -> bytes:
        block, self._block = self._block, None
        if not isinstance(block, ToolCall):
            return b""
        call = replace(
            block,
            arguments=block.arguments + "".join(self._fragments),
            signature=self._signature or block.signature,
        )
        part = call_out(call, index, self.losses)
        if self._same:
            restore_extra(part, block.extra)
        return self._write_part(json_fields.encode(part))

    def _finish(self, finish: ReplyEnd) -> bytes:
        self.losses += stop_losses(finish.stop, finish.matched)
        if not self._same:
            self.losses += reply_field_losses(finish.extra, "")
        parts = b"" if self._waiting_part is None else b'"parts":[' + self._waiting_part + b"],"
        candidate: dict[str, Any] = {"finishReason": stop_out(finish.stop, finish.native, self._same), "index": 0}
        texts = [("".join(fragments), citations) for fragments, citations in self._texts]
        if any(citations for _, citations in texts):
            candidate["groundingMetadata"] = grounding_out(texts)
        metadata_out(self._calls, candidate)
        if self._waiting_tokens:
            candidate[LOGPROBS] = tokens_out(self._waiting_tokens)
        body: dict[str, Any] = {}
        usage = finish.usage or self._usage
        if usage is not None:
            body["usageMetadata"] = usage_out(self._usage.merge(usage) if self._usage is not None else usage)
        if self._same:
            extra_out(finish.extra, body, candidate)
        self.losses.tell_late(body.get("usageMetadata", body))
        others = body.pop("candidates", [])
        rest = (b"," + json_fields.encode(body)[1:-1] if body else b"") + self._chunk_end
        if not parts and is_blocked(body):
            return self._frame(b"{" + rest[1:]) + self._stream_end  # a blocked prompt has no candidates
        content = candidate.pop("content", {})
        first = (
            b'{"content":{'
            + parts
            + json_fields.encode({"role": "model", **content})[1:]
            + b","
            + json_fields.encode(candidate)[1:]
        )
        others_out = b"".join([b"," + json_fields.encode(other) for other in others])
        return self._frame(b'{"candidates":[' + first + others_out + b"]" + rest) + self._stream_end
