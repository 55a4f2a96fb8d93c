"""Encodes neutral events as server-sent events for a Responses client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
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
    Media,
    Opaque,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Signature,
    Text,
    TokenLogprob,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from ...ir.losses import block_extra_losses, citation_text_losses, reply_field_losses
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...ir.token_logprobs import tokens_out
from ...wire import json_fields
from ...wire.framing import Frame
from ..openai.losses import stop_losses
from ..protocol import ReplyContext
from .client_tools import vendor_of
from .errors import stream_error
from .hosted_tools import hosted_item_out
from .items import same_item, split_item_extra
from .reply_encoder import (
    carrier_out,
    image_item_out,
    incomplete_item,
    output_part,
    reply_call_out,
    reply_id,
    reply_message_out,
    reply_reasoning_out,
    response_out,
    stop_out,
    usage_out,
)
from .signature_carrier import Signed
from .tables import NAME


class _OpenBlock:
    """The block that is being written, and what was written of it."""

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.block = block
        self.announced = False  # its item, or its part of one
        self.position = 0  # among the parts of its item
        self.texts: list[str] = []
        self.citations: list[Citation] = []
        self.tokens: list[TokenLogprob] = []
        self.whole = False  # it is written at its end, without deltas
        self.head = self.tail = b""  # a delta's frame before its sequence number and between that and its text


class StreamEncoder:
    """Encodes events as the sequence of Responses events, numbered from 0, one item at a time.

    An item ends where the next starts, or with the stream: only then it is known whether another part belongs to it,
    and whether the answer was cut off in it.
    """

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        self._sequencer = BlockSequencer()
        self._number = 0
        self._same = False
        self._id = ""
        self._usage: Usage | None = None
        self._block: _OpenBlock | None = None
        self._signatures: dict[int, Signature] = {}  # known until now, some before the sequencer releases their block
        self._behind: tuple[Signature, Signed] | None = None  # to be carried behind the item that is open
        self._output: list[dict[str, Any]] = []
        self._item: list[Block] = []  # the finished blocks of the item that is open
        self._item_id: str | None = None  # None: no item is open

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the frames for these events."""
        out: list[bytes] = []
        if any(type(event) is BlockSignature for event in events):
            # one by one: what comes later, if only in the same read, must not change what goes before it
            for event in events:
                if type(event) is BlockSignature:
                    self._signatures[event.index] = event.signature
                for due in self._sequencer.feed((event,)):
                    self._event(due, out)
        else:
            for due in self._sequencer.feed(events):
                self._event(due, out)
        return b"".join(out)

    def encode_texts(self, texts: Texts) -> bytes | None:
        current = self._block
        if current is None or type(current.block) is not Text or not self._sequencer.is_open(texts.index):
            return None
        out: list[bytes] = []
        for piece in texts.pieces:
            self._delta(piece, (), out)
        return b"".join(out)

    def resume_after_relay(self, frames: Sequence[Frame]) -> None:
        """Takes the response's id and the next sequence number from relayed frames, to end their stream."""
        for frame in frames:
            try:
                fields = json_fields.parse_object(frame.data)
            except Malformed:
                continue
            number, response = fields.get("sequence_number"), fields.get("response")
            if type(number) is int:
                self._number = number + 1
            if type(response) is dict and type(response.get("id")) is str:
                self._id = response["id"]

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case BlockDelta(_, text, logprobs):
                self._delta(text, logprobs, out)
            case ReplyStart():
                self._start(event, out)
            case BlockStart(index, block):
                self._open(index, block, out)
            case BlockCitation(index, citation):
                citations = self._current().citations
                self.losses += citation_text_losses((citation,), f"blocks[{index}]", len(citations))
                citations.append(citation)
            case BlockSignature():
                pass  # `encode` kept it
            case BlockEnd(_, extra):
                self._close(extra, out)
            case ReplyEnd():
                self._finish(event, out)
            case Failure():
                self._fail(event, out)

    # ---- frames ------------------------------------------------------------------------------------------------------

    def _frame(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{self._number},'.encode()
        self._number += 1
        out += (head, json_fields.encode(fields)[1:], b"\n\n")

    def _part_fields(self, current: _OpenBlock) -> dict[str, Any]:
        index = "summary_index" if self._is_summary(current.block) else "content_index"
        return {"item_id": self._item_id, "output_index": len(self._output), index: current.position}

    def _call_fields(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": len(self._output)}

    def _is_summary(self, block: Block) -> bool:
        return isinstance(block, Reasoning) and (block.summary or not self._same)

    def _current(self) -> _OpenBlock:
        assert self._block is not None  # noqa: S101 - the sequencer starts a block before its deltas
        return self._block

    # ---- items -------------------------------------------------------------------------------------------------------

    def _whole_item(self, item: dict[str, Any], out: list[bytes]) -> None:
        """Writes an item without deltas."""
        position = len(self._output)
        self._frame("response.output_item.added", {"output_index": position, "item": item}, out)
        self._frame("response.output_item.done", {"output_index": position, "item": item}, out)
        self._output.append(item)

    def _start_item(self, block: Block, out: list[bytes]) -> None:
        item: dict[str, Any] = {}
        match block:
            case Text() | Refusal():
                item = {**reply_message_out([block], self._context.new_id, self._same), "content": []}
            case Reasoning():
                item = reply_reasoning_out([replace(block, text="", signature=None)], self._context.new_id, self._same)
                item["summary"] = []  # its parts are announced singly
            case ToolCall():
                item = reply_call_out(replace(block, arguments=""), self._context.new_id, self._same)
                if block.kind == "function":
                    item["arguments"] = ""
        self._item_id = item["id"]
        if "status" in item:
            item["status"] = "in_progress"
        self._frame("response.output_item.added", {"output_index": len(self._output), "item": item}, out)

    def _end_item(self, out: list[bytes], incomplete: bool = False) -> None:
        id_ = self._item_id
        if id_ is None:
            return

        def same_id(prefix: str) -> str:
            return id_

        item: dict[str, Any] = {}
        match self._item[0]:
            case Text() | Refusal():
                parts = [block for block in self._item if isinstance(block, Text | Refusal)]
                item = reply_message_out(parts, same_id, self._same)
            case Reasoning():
                reasoning = [block for block in self._item if isinstance(block, Reasoning)]
                item = reply_reasoning_out(reasoning, same_id, self._same)
            case ToolCall() as call:
                item = reply_call_out(call, same_id, self._same)
        item["id"] = id_  # even where the extra fields have another
        item = incomplete_item(item) if incomplete else item
        self._frame("response.output_item.done", {"output_index": len(self._output), "item": item}, out)
        self._output.append(item)
        self._item = []
        self._item_id = None
        if self._behind is not None:
            self._whole_item(carrier_out(*self._behind, self._context.new_id), out)
            self._behind = None

    # ---- blocks ------------------------------------------------------------------------------------------------------

    def _open(self, index: int, block: Block, out: list[bytes]) -> None:
        if not self._same:
            self.losses += block_extra_losses(block, index)
        if self._item_id is not None and (self._behind is not None or not same_item(self._item[-1], block)):
            self._end_item(out)
        self._block = _OpenBlock(index, block)
        match block:
            case ToolCall(name=name) if not self._same and vendor_of(name, self._context.request.tools):
                self._block.whole = True
            case Opaque(protocol, _, data) if protocol == NAME:
                self._whole_item(data, out)
            case Opaque(call=HostedCall() as call):
                self._whole_item(hosted_item_out(call, self._context.new_id("")), out)
            case Image(Media(data=str()) as media, extra):
                self._whole_item(image_item_out(media, self._context.new_id, extra if self._same else None), out)
            case Image() | Document() | Audio() | Video() | ToolResult():
                self.losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))

    def _announce(self, current: _OpenBlock, out: list[bytes]) -> None:
        """Announces the block; not at its start, because the signature of a call, which comes later, goes before it."""
        current.announced = True
        block, signature = current.block, self._signatures.get(current.index)
        if isinstance(block, ToolCall) and signature is not None:
            self._whole_item(carrier_out(signature, "next", self._context.new_id), out)
            del self._signatures[current.index]
        if self._item_id is None:
            self._start_item(block, out)
        current.position = len(self._item)
        match block:
            case Text() | Refusal():
                self._frame(
                    "response.content_part.added", {**self._part_fields(current), "part": _empty_part(block)}, out
                )
                kind = "response.output_text.delta" if isinstance(block, Text) else "response.refusal.delta"
                self._prepare(current, kind, self._part_fields(current), isinstance(block, Text))
            case Reasoning() if self._is_summary(block):
                part = {"type": "summary_text", "text": ""}
                self._frame("response.reasoning_summary_part.added", {**self._part_fields(current), "part": part}, out)
                self._prepare(current, "response.reasoning_summary_text.delta", self._part_fields(current))
            case Reasoning():
                part = {"type": "reasoning_text", "text": ""}
                self._frame("response.content_part.added", {**self._part_fields(current), "part": part}, out)
                self._prepare(current, "response.reasoning_text.delta", self._part_fields(current))
            case ToolCall(kind="custom"):
                self._prepare(current, "response.custom_tool_call_input.delta", self._call_fields())
            case ToolCall():
                self._prepare(current, "response.function_call_arguments.delta", self._call_fields())

    def _prepare(self, current: _OpenBlock, kind: str, fields: dict[str, Any], logprobs: bool = False) -> None:
        current.head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
        current.tail = (
            b"," + json_fields.encode(fields)[1:-1] + (b',"logprobs":[],"delta":' if logprobs else b',"delta":')
        )

    def _delta(self, text: str, logprobs: tuple[TokenLogprob, ...], out: list[bytes]) -> None:
        current = self._current()
        if current.whole:
            current.texts.append(text)
            return
        if not current.announced:
            self._announce(current, out)
        if not current.head:
            return  # a block that the protocol cannot express
        current.texts.append(text)
        if logprobs:
            current.tokens += logprobs
            fields = {**self._part_fields(current), "logprobs": tokens_out(logprobs), "delta": text}
            self._frame("response.output_text.delta", fields, out)
            return
        out += (current.head, str(self._number).encode(), current.tail, json_fields.encode(text), b"}\n\n")
        self._number += 1

    def _close(self, extra: Extra, out: list[bytes]) -> None:
        current = self._current()
        self._block = None
        if not self._same:
            self.losses += reply_field_losses(extra, f"blocks[{current.index}]")
        text = "".join(current.texts)
        block, signature = current.block, self._signatures.get(current.index)
        match block:
            case ToolCall() if current.whole:
                if signature is not None:
                    self._whole_item(carrier_out(signature, "next", self._context.new_id), out)
                call = replace(block, arguments=block.arguments + text)
                tools = self._context.request.tools
                self._whole_item(reply_call_out(call, self._context.new_id, self._same, tools), out)
                return
            case Text() if signature is not None and not text and not current.announced:
                if self._item_id is None:
                    self._whole_item(carrier_out(signature, "text", self._context.new_id), out)
                else:
                    self._behind = signature, "text"
                return
            case Text() | Refusal():
                if not current.announced:
                    self._announce(current, out)
                self._close_text(current, text, extra, out)
            case Reasoning():
                if block.summary and self._same and not current.announced:
                    self._announce(current, out)
                self._close_reasoning(current, text, extra, out)
            case ToolCall():
                if not current.announced:
                    self._announce(current, out)
                self._close_call(current, text, extra, out)
            case _:
                return
        late = self._signatures.get(current.index)
        if late is not None and isinstance(block, Text | ToolCall):
            self._behind = late, "last"  # where its item ends, which an answer that was cut off marks

    def _close_text(self, current: _OpenBlock, text: str, extra: Extra, out: list[bytes]) -> None:
        block = current.block
        fields = self._part_fields(current)
        if isinstance(block, Text):
            block = replace(
                block,
                text=text,
                citations=tuple(current.citations),
                logprobs=tuple(current.tokens),
                extra=self._merged_extra(block.extra, extra),
            )
            part = output_part(block, split_item_extra(block.extra or {})[0])
            for n, annotation in enumerate(part["annotations"]):
                added = {**fields, "annotation_index": n, "annotation": annotation}
                self._frame("response.output_text.annotation.added", added, out)
            self._frame(
                "response.output_text.done", {**fields, "text": text, "logprobs": part.get("logprobs") or []}, out
            )
        elif isinstance(block, Refusal):
            block = replace(block, text=text, extra=self._merged_extra(block.extra, extra))
            part = output_part(block, split_item_extra(block.extra or {})[0])
            self._frame("response.refusal.done", {**fields, "refusal": text}, out)
        else:
            return
        self._frame("response.content_part.done", {**fields, "part": part}, out)
        self._item.append(block)

    def _close_reasoning(self, current: _OpenBlock, text: str, extra: Extra, out: list[bytes]) -> None:
        block = current.block
        if not isinstance(block, Reasoning):
            return
        block = replace(
            block,
            text=text,
            signature=self._signatures.get(current.index),
            extra=self._merged_extra(block.extra, extra),
        )
        if current.announced:
            fields = self._part_fields(current)
            summary = self._is_summary(block)
            kind = "summary_text" if summary else "reasoning_text"
            self._frame(
                f"response.reasoning_{kind}.done" if summary else f"response.{kind}.done", {**fields, "text": text}, out
            )
            done = "response.reasoning_summary_part.done" if summary else "response.content_part.done"
            self._frame(done, {**fields, "part": {"type": kind, "text": text}}, out)
        elif self._item_id is None:
            self._start_item(block, out)
        self._item.append(block)

    def _close_call(self, current: _OpenBlock, text: str, extra: Extra, out: list[bytes]) -> None:
        block = current.block
        if not isinstance(block, ToolCall):
            return
        if block.kind == "custom":
            self._frame("response.custom_tool_call_input.done", {**self._call_fields(), "input": text}, out)
        else:
            if not text:  # a call without arguments has the arguments "{}"
                text = "{}"
                out += (current.head, str(self._number).encode(), current.tail, b'"{}"}\n\n')
                self._number += 1
            fields = {**self._call_fields(), "name": block.name, "arguments": text}
            self._frame("response.function_call_arguments.done", fields, out)
        self._item.append(replace(block, arguments=text, extra=self._merged_extra(block.extra, extra)))

    def _merged_extra(self, opened: Extra, closed: Extra) -> Extra:
        """Returns a block's extra fields, if the backend speaks this protocol too."""
        return {**(opened or {}), **(closed or {})} or None if self._same else None

    # ---- the stream's own events -------------------------------------------------------------------------------------

    def _start(self, start: ReplyStart, out: list[bytes]) -> None:
        self._same = start.protocol == NAME
        self._id = reply_id(start, self._context)
        self._usage = start.usage
        if not self._same:
            self.losses += reply_field_losses(start.extra, "")
        response = response_out(self._context, self._id, "in_progress", start.extra if self._same else None)
        self._frame("response.created", {"response": response}, out)
        self._frame("response.in_progress", {"response": response}, out)

    def _finish(self, finish: ReplyEnd, out: list[bytes]) -> None:
        if not self._same:
            self.losses += stop_losses(finish.stop, finish.matched)
            self.losses += reply_field_losses(finish.extra, "")
        status, reason = stop_out(finish.stop, finish.native if self._same else None)
        self._end_item(out, status == "incomplete")
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        response = response_out(self._context, self._id, status, finish.extra if self._same else None)
        response |= {"output": self._output, "usage": usage_out(usage) if usage is not None else None}
        if reason is not None:
            response["incomplete_details"] = {"reason": reason}
        self.losses.tell_late(response)
        kind = "response.incomplete" if status == "incomplete" else "response.completed"
        self._frame(kind, {"response": response}, out)

    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        response = response_out(self._context, self._id or f"resp_{self._context.id}", "failed", None)
        response |= {"output": self._output, "error": stream_error(failure)}
        self.losses.tell_late(response)
        self._frame("response.failed", {"response": response}, out)


def _empty_part(block: Text | Refusal) -> dict[str, Any]:
    """Returns a part as it is announced, without a text."""
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": ""}
    return {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
