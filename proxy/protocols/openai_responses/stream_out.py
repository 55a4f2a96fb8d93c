"""Neutral events as events for a Responses client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ... import ledger, wire
from ...errors import Malformed
from ...framing import Frame
from ...ir import (
    Audio,
    Block,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Image,
    Loss,
    Note,
    Opaque,
    Open,
    Own,
    Reasoning,
    Refusal,
    Seal,
    Sequencer,
    Signature,
    Start,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked
from .failure import stream_error
from .items import citation_out, continues, split_own
from .reply_out import (
    broken_off,
    called_out,
    message_out,
    output_part,
    reply_id,
    response_out,
    rider_out,
    stop_losses,
    stop_out,
    thinking_out,
    usage_out,
)
from .words import NAME


class _Said:
    """The block that is being said, and all of it so far."""

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.block = block
        self.begun = False  # its item, or its part of one, is announced
        self.place = 0  # among the parts of its item
        self.texts: list[str] = []
        self.notes: list[Citation] = []
        self.head = self.tail = b""  # of a delta's frame, around its sequence number and its text


class StreamEncoder:
    """Events to the ladder of Responses events, numbered from 0; one item at a time.

    An item ends where the next begins, or with the stream: only then it is known whether another part belongs to it,
    and whether the answer broke off in it.
    """

    def __init__(self, asked: Asked) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._sequencer = Sequencer()
        self._number = 0
        self._same = False
        self._id = ""
        self._usage: Usage | None = None
        self._said: _Said | None = None
        self._seals: dict[int, Signature] = {}  # as they come, which is before the sequencer lets their block go
        self._output: list[dict[str, Any]] = []
        self._item: list[Block] = []  # the finished blocks of the item that is open
        self._item_id: str | None = None  # None: no item is open

    def encode(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if type(event) is Seal:
                self._seals[event.index] = event.seal
        out: list[bytes] = []
        for event in self._sequencer.feed(events):
            self._event(event, out)
        return b"".join(out)

    def resume(self, frames: Sequence[Frame]) -> None:
        """Take up a stream of which these frames were relayed, to end it: its response's id, and the next number."""
        for frame in frames:
            try:
                fields = wire.parse_object(frame.data)
            except Malformed:
                continue
            number, response = fields.get("sequence_number"), fields.get("response")
            if type(number) is int:
                self._number = number + 1
            if type(response) is dict and type(response.get("id")) is str:
                self._id = response["id"]

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Delta(_, text):
                self._delta(text, out)
            case Start():
                self._start(event, out)
            case Open(index, block):
                self._open(index, block, out)
            case Note(index, citation):
                notes = self._current().notes
                self.losses += ledger.quote_losses((citation,), f"blocks[{index}]", len(notes))
                notes.append(citation)
            case Seal():
                pass  # it is known since `encode`
            case Close(_, own):
                self._close(own, out)
            case Finish():
                self._finish(event, out)
            case Failure():
                self._fail(event, out)

    # ---- frames ------------------------------------------------------------------------------------------------------

    def _frame(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{self._number},'.encode()
        self._number += 1
        out += (head, wire.encode(fields)[1:], b"\n\n")

    def _part_fields(self, said: _Said) -> dict[str, Any]:
        index = "summary_index" if self._is_summary(said.block) else "content_index"
        return {"item_id": self._item_id, "output_index": len(self._output), index: said.place}

    def _call_fields(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": len(self._output)}

    def _is_summary(self, block: Block) -> bool:
        return isinstance(block, Reasoning) and (block.summary or not self._same)

    def _current(self) -> _Said:
        assert self._said is not None  # noqa: S101 - the sequencer opens before it says
        return self._said

    # ---- items -------------------------------------------------------------------------------------------------------

    def _whole(self, item: dict[str, Any], out: list[bytes]) -> None:
        """An item that comes at once."""
        place = len(self._output)
        self._frame("response.output_item.added", {"output_index": place, "item": item}, out)
        self._frame("response.output_item.done", {"output_index": place, "item": item}, out)
        self._output.append(item)

    def _begin_item(self, block: Block, out: list[bytes]) -> None:
        item: dict[str, Any] = {}
        match block:
            case Text() | Refusal():
                item = {**message_out([block], self._asked.new_id, self._same), "content": []}
            case Reasoning():
                item = thinking_out([replace(block, text="", seal=None)], self._asked.new_id, self._same)
                item["summary"] = []  # its parts are announced one by one
            case ToolCall():
                item = called_out(replace(block, arguments=""), self._asked.new_id, self._same)
                if block.kind == "function":
                    item["arguments"] = ""
        self._item_id = item["id"]
        if "status" in item:
            item["status"] = "in_progress"
        self._frame("response.output_item.added", {"output_index": len(self._output), "item": item}, out)

    def _end_item(self, out: list[bytes], broken: bool = False) -> None:
        id_ = self._item_id
        if id_ is None:
            return

        def known(prefix: str) -> str:
            return id_

        item: dict[str, Any] = {}
        match self._item[0]:
            case Text() | Refusal():
                said = [block for block in self._item if isinstance(block, Text | Refusal)]
                item = message_out(said, known, self._same)
            case Reasoning():
                thoughts = [block for block in self._item if isinstance(block, Reasoning)]
                item = thinking_out(thoughts, known, self._same)
            case ToolCall() as call:
                item = called_out(call, known, self._same)
        item["id"] = id_  # whatever the last word about it said
        item = broken_off(item) if broken else item
        self._frame("response.output_item.done", {"output_index": len(self._output), "item": item}, out)
        self._output.append(item)
        self._item = []
        self._item_id = None

    # ---- blocks ------------------------------------------------------------------------------------------------------

    def _open(self, index: int, block: Block, out: list[bytes]) -> None:
        if not self._same:
            self.losses += ledger.block_leftovers(block, index)
        if self._item_id is not None and not continues(self._item[-1], block):
            self._end_item(out)
        self._said = _Said(index, block)
        match block:
            case Opaque(dialect, _, data) if dialect == NAME:
                self._whole(data, out)
            case Image() | Document() | Audio() | ToolResult():
                self.losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))

    def _begin(self, said: _Said, out: list[bytes]) -> None:
        """Announce the block: late, because a seal on it, which may follow its opening, must stand before it."""
        said.begun = True
        block, seal = said.block, self._seals.get(said.index)
        if isinstance(block, Text | ToolCall) and seal is not None:
            self._end_item(out)
            self._whole(rider_out(seal, "next", self._asked.new_id), out)
            del self._seals[said.index]
            said.block = block = replace(block, seal=seal)  # nothing joins a sealed block's item
        if self._item_id is None:
            self._begin_item(block, out)
        said.place = len(self._item)
        match block:
            case Text() | Refusal():
                self._frame("response.content_part.added", {**self._part_fields(said), "part": _part(block)}, out)
                kind = "response.output_text.delta" if isinstance(block, Text) else "response.refusal.delta"
                self._prepare(said, kind, self._part_fields(said), isinstance(block, Text))
            case Reasoning() if self._is_summary(block):
                part = {"type": "summary_text", "text": ""}
                self._frame("response.reasoning_summary_part.added", {**self._part_fields(said), "part": part}, out)
                self._prepare(said, "response.reasoning_summary_text.delta", self._part_fields(said))
            case Reasoning():
                part = {"type": "reasoning_text", "text": ""}
                self._frame("response.content_part.added", {**self._part_fields(said), "part": part}, out)
                self._prepare(said, "response.reasoning_text.delta", self._part_fields(said))
            case ToolCall(kind="custom"):
                self._prepare(said, "response.custom_tool_call_input.delta", self._call_fields())
            case ToolCall():
                self._prepare(said, "response.function_call_arguments.delta", self._call_fields())

    def _prepare(self, said: _Said, kind: str, fields: dict[str, Any], logprobs: bool = False) -> None:
        said.head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
        said.tail = b"," + wire.encode(fields)[1:-1] + (b',"logprobs":[],"delta":' if logprobs else b',"delta":')

    def _delta(self, text: str, out: list[bytes]) -> None:
        said = self._current()
        if not said.begun:
            self._begin(said, out)
        if not said.head:
            return  # a block that this wire cannot say
        said.texts.append(text)
        out += (said.head, str(self._number).encode(), said.tail, wire.encode(text), b"}\n\n")
        self._number += 1

    def _close(self, own: Own, out: list[bytes]) -> None:
        said = self._current()
        self._said = None
        if not self._same:
            self.losses += ledger.leftovers(own, f"blocks[{said.index}]")
        text = "".join(said.texts)
        block, seal = said.block, self._seals.get(said.index)
        match block:
            case Text() if seal is not None and not text and not said.begun:
                self._end_item(out)
                self._whole(rider_out(seal, "text", self._asked.new_id), out)
                return
            case Text() | Refusal():
                if not said.begun:
                    self._begin(said, out)
                self._close_text(said, text, own, out)
            case Reasoning():
                if block.summary and self._same and not said.begun:
                    self._begin(said, out)
                self._close_thought(said, text, own, out)
            case ToolCall():
                if not said.begun:
                    self._begin(said, out)
                self._close_call(said, text, own, out)
            case _:
                return
        late = self._seals.get(said.index)
        if late is not None and isinstance(block, Text | ToolCall):
            self._end_item(out)
            self._whole(rider_out(late, "last", self._asked.new_id), out)

    def _close_text(self, said: _Said, text: str, own: Own, out: list[bytes]) -> None:
        block = said.block
        fields = self._part_fields(said)
        if isinstance(block, Text):
            block = replace(block, text=text, citations=tuple(said.notes), own=self._merged(block.own, own))
            for n, citation in enumerate(said.notes):
                added = {**fields, "annotation_index": n, "annotation": citation_out(citation, text)}
                self._frame("response.output_text.annotation.added", added, out)
            part = output_part(block, split_own(block.own or {})[0])
            self._frame(
                "response.output_text.done", {**fields, "text": text, "logprobs": part.get("logprobs") or []}, out
            )
        elif isinstance(block, Refusal):
            block = replace(block, text=text, own=self._merged(block.own, own))
            part = output_part(block, split_own(block.own or {})[0])
            self._frame("response.refusal.done", {**fields, "refusal": text}, out)
        else:
            return
        self._frame("response.content_part.done", {**fields, "part": part}, out)
        self._item.append(block)

    def _close_thought(self, said: _Said, text: str, own: Own, out: list[bytes]) -> None:
        block = said.block
        if not isinstance(block, Reasoning):
            return
        block = replace(block, text=text, seal=self._seals.get(said.index), own=self._merged(block.own, own))
        if said.begun:
            fields = self._part_fields(said)
            summary = self._is_summary(block)
            kind = "summary_text" if summary else "reasoning_text"
            self._frame(
                f"response.reasoning_{kind}.done" if summary else f"response.{kind}.done", {**fields, "text": text}, out
            )
            done = "response.reasoning_summary_part.done" if summary else "response.content_part.done"
            self._frame(done, {**fields, "part": {"type": kind, "text": text}}, out)
        elif self._item_id is None:
            self._begin_item(block, out)
        self._item.append(block)

    def _close_call(self, said: _Said, text: str, own: Own, out: list[bytes]) -> None:
        block = said.block
        if not isinstance(block, ToolCall):
            return
        if block.kind == "custom":
            self._frame("response.custom_tool_call_input.done", {**self._call_fields(), "input": text}, out)
        else:
            if not text:  # "{}" is what a call without arguments says
                text = "{}"
                out += (said.head, str(self._number).encode(), said.tail, b'"{}"}\n\n')
                self._number += 1
            fields = {**self._call_fields(), "name": block.name, "arguments": text}
            self._frame("response.function_call_arguments.done", fields, out)
        self._item.append(replace(block, arguments=text, own=self._merged(block.own, own)))

    def _merged(self, opened: Own, closed: Own) -> Own:
        """A block's left-over fields, of an equal dialect only."""
        return {**(opened or {}), **(closed or {})} or None if self._same else None

    # ---- the stream's own events -------------------------------------------------------------------------------------

    def _start(self, start: Start, out: list[bytes]) -> None:
        self._same = start.dialect == NAME
        self._id = reply_id(start, self._asked)
        self._usage = start.usage
        if not self._same:
            self.losses += ledger.leftovers(start.own, "")
        response = response_out(self._asked, self._id, "in_progress", start.own if self._same else None)
        self._frame("response.created", {"response": response}, out)
        self._frame("response.in_progress", {"response": response}, out)

    def _finish(self, finish: Finish, out: list[bytes]) -> None:
        if not self._same:
            self.losses += stop_losses(finish.stop, finish.matched)
            self.losses += ledger.leftovers(finish.own, "")
        status, reason = stop_out(finish.stop, finish.native if self._same else None)
        self._end_item(out, status == "incomplete")
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        response = response_out(self._asked, self._id, status, finish.own if self._same else None)
        response |= {"output": self._output, "usage": usage_out(usage) if usage is not None else None}
        if reason is not None:
            response["incomplete_details"] = {"reason": reason}
        kind = "response.incomplete" if status == "incomplete" else "response.completed"
        self._frame(kind, {"response": response}, out)

    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        response = response_out(self._asked, self._id or f"resp_{self._asked.id}", "failed", None)
        response |= {"output": self._output, "error": stream_error(failure)}
        self._frame("response.failed", {"response": response}, out)


def _part(block: Text | Refusal) -> dict[str, Any]:
    """A part before its first word."""
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": ""}
    return {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
