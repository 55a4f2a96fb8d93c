"""Decodes the server-sent events of a Responses backend into neutral events."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, upstream_cut
from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    Extra,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
)
from ...ir.repairs import Repairs
from ...ir.stream import Texts
from ...ir.token_logprobs import add_logprobs, tokens_in
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.framing import DONE, Frame
from ...wire.json_fields import maybe, need, take
from ..openai.usage import later_usage, usage_in
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .plain_event import text_events
from .reply_decoder import extra_in, failure_in, item_in, native_in, reply_call_in, stop_in, with_tokens
from .request_decoder import PartKey, citation_in, part_in, reasoning_part_in
from .tables import DELTA_EVENTS, DONE_EVENTS, ECHO_KEY, END_EVENTS, ERROR_EVENTS, NAME, PART_EVENTS, START_EVENTS


class _Part:
    """A part of an item: its block's index, how much of it was emitted, and its extra fields."""

    def __init__(self, index: int, kind: type[Block], extra: Extra) -> None:
        self.index = index
        self.kind = kind
        self.opened_extra = extra
        self.extra: Extra = None
        self.length = 0  # characters of its text that were emitted
        self.citations = 0  # citations that were emitted
        self.tokens = 0  # log probabilities that were emitted
        self.closed = False


class _Item:
    """An output item: its parts, and its extra fields until the first part takes them."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.parts: dict[PartKey, _Part] = {}
        self.current: _Part | None = None
        self.extra: dict[str, Any] = {}
        self.unnamed = False  # arguments came of a call that was not announced
        self.is_announced = False
        self.id: str | None = None
        self.done = False


class StreamDecoder:
    """Decodes events; the whole item at its end, or at the stream's end, adds what the deltas left out.

    Hosts differ: some send no `sequence_number`, no `event:` line, no `output_item.added`, or an empty final `output`.
    A part ends where the next part of its item starts; the last ends with its item, whose signature comes only then.
    """

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next_index = 0
        self._items: dict[int, _Item] = {}  # by output_index
        self._positions: dict[str, int] = {}  # item id -> output_index, for events that have only the id
        self._has_calls = False
        self._usage: dict[str, Any] | None = None
        self._repairs = Repairs()

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not a Responses event."""
        if self.done:
            return []
        if frame.data == DONE:
            return self._marked_end()
        event = json_fields.parse_object(frame.data)
        kind = take(event, "type", str) or frame.event
        out: list[Event] = []
        if kind in DELTA_EVENTS:
            self._delta(kind, event, out)
        elif kind in START_EVENTS:
            self._start(need(event, "response", dict), out)
        elif kind == "response.output_item.added" and event.get("item") is not None:
            self._added(event, out)
        elif kind in PART_EVENTS:
            self._part(PART_EVENTS[kind], event, kind.endswith(".done"), out)
        elif kind in DONE_EVENTS:
            self._text_done(kind, event, out)
        elif kind == "response.output_text.annotation.added":
            self._annotation(event, out)
        elif kind == "response.output_item.done" and event.get("item") is not None:
            self._item_done(self._position(event), need(event, "item", dict), out)
        elif kind in END_EVENTS:
            response = need(event, "response", dict)
            if usage := take(event, "usage", dict):
                self._repairs.add("usage_place")
                self._usage = later_usage(self._usage, usage)
            self._end(response, out)
        elif kind in ERROR_EVENTS or (kind is None and is_error(event)):
            self.done = True
            out.append(error_in(error_in_body(event), None, None))
        elif kind is None and type(event.get("output")) is list:  # a whole response in one frame
            self._end(event, out)
        elif kind is None and not event.keys().isdisjoint(("response", "item", "part", "delta")):
            raise Malformed("type", "is required in an event")
        elif kind is None:
            self._repairs.add("unknown_frame")
        return out

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        events = None if self.done else text_events(objects, count)
        if events is None:
            return None
        first = events[0]
        position = first.output_index if first.item_id is None else self._positions.get(first.item_id)
        item = None if position is None else self._items.get(position)
        part = None if item is None else item.parts.get(("content", first.content_index))
        if part is None or part.kind is not Text or part.closed:
            return None
        place = first.item_id, first.output_index, first.content_index
        pieces = [e.delta for e in events if (e.item_id, e.output_index, e.content_index) == place]
        if len(pieces) != count:
            return None
        part.length += sum(map(len, pieces))
        return Texts(part.index, pieces)

    def _start(self, response: dict[str, Any], out: list[Event]) -> None:
        if usage := maybe(response, "usage", dict):
            self._usage = later_usage(self._usage, usage)
        if self._started:
            return
        self._started = True
        id_, model = take(response, "id", str), take(response, "model", str)
        echo = (extra_in(response) or {}).get(ECHO_KEY)
        out.append(ReplyStart(NAME, id_, model, extra={ECHO_KEY: echo} if echo else None))

    # ---- which item an event belongs to ------------------------------------------------------------------------------

    def _position(self, event: dict[str, Any]) -> int:
        """Returns the `output_index` of an event's item, by its id or as the last item where the event has none."""
        position, id_, item = take(event, "output_index", int), event.get("item_id"), event.get("item")
        if id_ is None and type(item) is dict:
            id_ = item.get("id")
        if type(id_) is not str:
            if position is None:
                self._repairs.add("index")
                return max(self._items, default=0)
            return position
        if id_ in self._positions:
            return self._positions[id_]
        if position is None:
            return self._positions.setdefault(id_, max(self._items, default=-1) + 1)
        return position

    def _new_position(self, position: int, id_: str | None) -> int:
        """Returns the place of an item that begins: its `output_index`, or the next where another item has that."""
        known = self._items.get(position)
        if known is not None and known.is_announced and (known.done or id_ != known.id):
            self._repairs.add("index")
            position = max(self._items) + 1
        if id_ is not None:
            self._positions[id_] = position
        return position

    def _item(self, position: int, out: list[Event]) -> _Item:
        self._start({}, out)
        item = self._items.get(position)
        if item is None:
            item = self._items[position] = _Item(len(self._items))  # some hosts skip an output_index
        return item

    # ---- items and parts ---------------------------------------------------------------------------------------------

    def _added(self, event: dict[str, Any], out: list[Event]) -> None:
        position, fields = self._position(event), need(event, "item", dict)
        id_ = maybe(fields, "id", str)
        item = self._item(self._new_position(position, id_), out)
        item.is_announced, item.id = True, id_
        match kind := take(fields, "type", str):
            case "message" | "reasoning":
                for key in ("status", "role", "content", "summary", "encrypted_content"):
                    fields.pop(key, None)
                item.extra = {f"item.{key}": value for key, value in fields.items()}
            case "function_call" | "custom_tool_call" if fields.get("name"):
                slot = "input" if kind == "custom_tool_call" else "arguments"
                text, fields[slot] = fields.get(slot), ""
                part = self._open_part(item, ("call", 0), reply_call_in(kind, fields, self._sent, self._new_id), out)
                if type(text) is str:
                    self._add_text(part, text, out)

    def _open_part(self, item: _Item, key: PartKey, block: Block, out: list[Event]) -> _Part:
        """Starts a part's block and ends the block of the item's open part."""
        if item.current is not None:
            self._close_part(item.current, out)
        if isinstance(block, Text | Refusal | Reasoning):
            block = replace(block, group=item.group, extra=item.extra or None)
            item.extra = {}
        self._has_calls |= isinstance(block, ToolCall)
        extra = None if isinstance(block, Opaque) else block.extra
        part = item.parts[key] = item.current = _Part(self._next_index, type(block), extra)
        self._next_index += 1
        out.append(BlockStart(part.index, block))
        return part

    def _close_part(self, part: _Part, out: list[Event]) -> None:
        if not part.closed:
            part.closed = True
            out.append(BlockEnd(part.index, part.extra if part.extra != part.opened_extra else None))

    def _add_text(self, part: _Part, text: str, out: list[Event]) -> None:
        if text and not part.closed:
            part.length += len(text)
            out.append(BlockDelta(part.index, text))

    def _delta(self, kind: str, event: dict[str, Any], out: list[Event]) -> None:
        list_name, template = DELTA_EVENTS[kind]
        item = self._item(self._position(event), out)
        text = need(event, "delta", str)
        key = _part_key(list_name, event)
        part = item.parts.get(key)
        if part is None:
            if template is None:  # the call was not announced: its name comes with the whole item
                item.unnamed = True
                return
            part = self._open_part(item, key, template, out)
        self._add_text(part, text, out)
        if part.kind is Text:
            self._add_logprobs(part, tokens_in(event.get("logprobs")), out)

    def _add_logprobs(self, part: _Part, tokens: tuple[TokenLogprob, ...], out: list[Event]) -> None:
        if tokens and not part.closed:
            part.tokens += len(tokens)
            add_logprobs(out, part.index, tokens)

    def _text_done(self, kind: str, event: dict[str, Any], out: list[Event]) -> None:
        list_name, text_key = DONE_EVENTS[kind]
        text = take(event, text_key, str, "")
        item = self._item(self._position(event), out)
        part = item.parts.get(_part_key(list_name, event))
        if part is not None:
            self._add_text(part, text[part.length :], out)

    def _part(self, list_name: str, event: dict[str, Any], done: bool, out: list[Event]) -> None:
        item = self._item(self._position(event), out)
        fields = need(event, "part", dict)
        key = _part_key(list_name, event)
        block: Block
        if list_name == "summary" or fields.get("type") == "reasoning_text":
            block = reasoning_part_in(fields, item.group, list_name == "summary")
        else:
            block = with_tokens(part_in(fields))
        if not isinstance(block, Text | Refusal | Reasoning):
            return  # it comes with the whole item
        part = item.parts.get(key)
        if part is None and done and len(item.parts) == 1:
            part = self._renamed(item, key, block)
        if part is None:
            empty = replace(block, text="", extra=None)
            part = self._open_part(item, key, replace(empty, citations=()) if isinstance(empty, Text) else empty, out)
        if done:
            self._catch_up(part, block, out)
            part.extra = {**(part.opened_extra or {}), **(block.extra or {})} or None

    def _annotation(self, event: dict[str, Any], out: list[Event]) -> None:
        part = self._item(self._position(event), out).parts.get(_part_key("content", event))
        citation = citation_in(event.get("annotation"))
        if citation is not None and part is not None and not part.closed:
            part.citations += 1
            out.append(BlockCitation(part.index, citation))

    def _catch_up(self, part: _Part, block: Block, out: list[Event]) -> None:
        """Emits the text and citations of a whole part that its deltas did not have."""
        if part.closed:
            return
        match block:
            case Text(text, citations):
                self._add_text(part, text[part.length :], out)
                self._add_logprobs(part, block.logprobs[part.tokens :], out)
                out += [BlockCitation(part.index, citation) for citation in citations[part.citations :]]
                part.citations = max(part.citations, len(citations))
            case Refusal(text) | Reasoning(text):
                self._add_text(part, text[part.length :], out)
            case ToolCall(arguments=text):
                self._add_text(part, text[part.length :], out)

    def _item_done(self, position: int, fields: dict[str, Any], out: list[Event]) -> None:
        item = self._item(position, out)
        if item.done:
            return
        item.done = True
        try:
            blocks = item_in(fields, item.group, self._sent, self._new_id)
        except Malformed as fault:
            raise fault.under("item") from None
        signature = None
        named = {key for key, _ in blocks}
        for key, block in blocks:
            part = item.parts.get(key) or self._renamed(item, key, block, named)
            if part is None:
                part = self._open_whole(item, key, block, out)
            self._catch_up(part, block, out)
            if isinstance(block, Reasoning) and block.signature is not None:
                signature = block.signature
            part.extra = None if isinstance(block, Opaque | Image) else block.extra
        if signature is not None and item.current is not None:
            out.append(BlockSignature(item.current.index, signature))
        for part in item.parts.values():
            self._close_part(part, out)

    def _renamed(
        self, item: _Item, key: PartKey, block: Block, named: Container[PartKey] = frozenset()
    ) -> _Part | None:
        """Returns the part that was streamed under an index which the whole item does not have, now under this one."""
        for other, part in item.parts.items():
            if other not in named and other[0] == key[0] and part.kind is type(block):
                self._repairs.add("text_twice")
                item.parts = {key if k == other else k: value for k, value in item.parts.items()}
                return part
        return None

    def _open_whole(self, item: _Item, key: PartKey, block: Block, out: list[Event]) -> _Part:
        """Starts a part that came without deltas, still without its text, citations and signature."""
        match block:
            case Text():
                empty: Block = replace(block, text="", citations=(), logprobs=())
            case Refusal():
                empty = replace(block, text="")
            case Reasoning():
                empty = replace(block, text="", signature=None)
            case ToolCall():
                empty = replace(block, arguments="")
            case _:
                empty = block
        if isinstance(block, Text | Refusal | Reasoning):
            item.extra = dict(block.extra or {})
        return self._open_part(item, key, empty, out)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _end(self, response: dict[str, Any], out: list[Event]) -> None:
        self.done = True
        if (failed := failure_in(response)) is not None:
            out.append(failed)
            return
        self._start({key: response.get(key) for key in ("id", "model")}, out)
        output = take(response, "output", list, [])
        for position, item in enumerate(output):
            known = self._items.get(position)
            if type(item) is dict and (not known.done if known else len(output) > len(self._items)):
                self._item_done(position, item, out)
        for item in self._items.values():
            if item.unnamed and not item.done:
                raise Malformed("response.output", "lacks a call whose arguments were streamed")
            for part in item.parts.values():
                self._close_part(part, out)
        if usage := take(response, "usage", dict):
            self._usage = later_usage(self._usage, usage)
        native = native_in(response)
        for key in ("id", "model"):
            response.pop(key, None)
        self._finish(native, extra_in(response), out)

    def _finish(self, native: str, extra: Extra, out: list[Event]) -> None:
        counted = usage_in(self._usage, self._repairs) if self._usage else None
        names = self._repairs.names()
        out.append(ReplyEnd(stop_in(native, self._has_calls), None, native, counted, extra, names))

    def _marked_end(self) -> list[Event]:
        """Ends the stream at a sentinel; a relayed one is cut off, because its client waits for the last event."""
        if not self._items or self.fast_forward:
            return self.close()
        self.done = True
        out: list[Event] = []
        for item in self._items.values():
            if item.unnamed and not item.done:
                return [upstream_cut()]
            for part in item.parts.values():
                self._close_part(part, out)
        self._repairs.add("stop_missing")
        self._finish("completed", None, out)
        return out

    def close(self) -> list[Event]:
        """Ends the stream: returns a Failure if the reply is incomplete."""
        if self.done:
            return []
        self.done = True
        return [upstream_cut()]


def _part_key(list_name: str, event: dict[str, Any]) -> PartKey:
    index = event.get("summary_index" if list_name == "summary" else "content_index")
    return list_name, index if type(index) is int and list_name != "call" else 0
