"""A Responses backend's events as neutral events."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import wire
from ...errors import Malformed
from ...framing import DONE, Frame
from ...ir import (
    Block,
    Close,
    Delta,
    Event,
    Finish,
    Note,
    Opaque,
    Open,
    Own,
    Reasoning,
    Refusal,
    Seal,
    Start,
    Text,
    ToolCall,
)
from ...wire import need, take
from ..contract import NewId, Sent
from .failure import cut, error_in
from .reply_in import called_in, item_in, native_in, own_in, stop_in, usage_in
from .request_in import Key, citation_in, part_in, thought_in
from .words import DELTAS, DONES, ECHO_KEY, ENDS, FAULTS, NAME, PARTS, STARTS


class _Part:
    """A part that is being said: its block's index, how much of it is out, and what its last word left over."""

    def __init__(self, index: int, own: Own) -> None:
        self.index = index
        self.opened_own = own
        self.own: Own = None
        self.said = 0
        self.notes = 0
        self.closed = False


class _Item:
    """An output item that is being said: its parts by their place, and its own fields for the first of them."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.parts: dict[Key, _Part] = {}
        self.current: _Part | None = None
        self.own: dict[str, Any] = {}
        self.unsaid = False  # pieces came of a call that has no name yet
        self.done = False


class StreamDecoder:
    """Events to events. The whole item at an item's end, or at the stream's, adds what the pieces left unsaid.

    Hosts differ: some send no `sequence_number`, no `event:` line, no `output_item.added`, or an empty final `output`.
    A part closes where the next of its item begins, and with the item, because only then the item's seal is known.
    """

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self.done = False
        self.skims = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next = 0
        self._items: dict[int, _Item] = {}  # by output_index
        self._places: dict[str, int] = {}  # item ids, for events that have no output_index
        self._called = False

    def feed(self, frame: Frame) -> list[Event]:
        if self.done:
            return []
        if frame.data == DONE:
            return self.close()
        event = wire.parse_object(frame.data)
        kind = take(event, "type", str) or frame.event
        out: list[Event] = []
        if kind in DELTAS:
            self._delta(kind, event, out)
        elif kind in STARTS:
            self._start(need(event, "response", dict), out)
        elif kind == "response.output_item.added":
            self._added(event, out)
        elif kind in PARTS:
            self._part(PARTS[kind], event, kind.endswith(".done"), out)
        elif kind in DONES:
            self._text_done(kind, event, out)
        elif kind == "response.output_text.annotation.added":
            self._annotation(event, out)
        elif kind == "response.output_item.done":
            self._item_done(self._place(event), need(event, "item", dict), out)
        elif kind in ENDS:
            self._end(need(event, "response", dict), out)
        elif kind in FAULTS or (kind is None and event.get("error") is not None):
            self.done = True
            fields = event.get("error")
            out.append(error_in(event if fields is None else fields, None, None))
        elif kind is None:
            raise Malformed("type", "is required in an event")
        return out

    def _start(self, response: dict[str, Any], out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        id_, model = take(response, "id", str), take(response, "model", str)
        echo = (own_in(response) or {}).get(ECHO_KEY)
        out.append(Start(NAME, id_, model, own={ECHO_KEY: echo} if echo else None))

    # ---- where an event belongs --------------------------------------------------------------------------------------

    def _place(self, event: dict[str, Any]) -> int:
        place, id_, item = take(event, "output_index", int), event.get("item_id"), event.get("item")
        if id_ is None and type(item) is dict:
            id_ = item.get("id")
        if type(id_) is not str:
            return max(self._items, default=0) if place is None else place
        if place is None:
            return self._places.setdefault(id_, max(self._items, default=-1) + 1)
        return place

    def _item(self, place: int, out: list[Event]) -> _Item:
        self._start({}, out)
        item = self._items.get(place)
        if item is None:
            item = self._items[place] = _Item(len(self._items))  # some hosts skip an output_index
        return item

    # ---- items and parts ---------------------------------------------------------------------------------------------

    def _added(self, event: dict[str, Any], out: list[Event]) -> None:
        place, fields = self._place(event), need(event, "item", dict)
        item = self._item(place, out)
        if type(fields.get("id")) is str:
            self._places[fields["id"]] = place
        match kind := take(fields, "type", str):
            case "message" | "reasoning":
                for key in ("status", "role", "content", "summary", "encrypted_content"):
                    fields.pop(key, None)
                item.own = {f"item.{key}": value for key, value in fields.items()}
            case "function_call" | "custom_tool_call" if fields.get("name"):
                slot = "input" if kind == "custom_tool_call" else "arguments"
                text, fields[slot] = fields.get(slot), ""
                part = self._open(item, ("call", 0), called_in(kind, fields, self._sent, self._new_id), out)
                if type(text) is str:
                    self._say(part, text, out)

    def _open(self, item: _Item, key: Key, block: Block, out: list[Event]) -> _Part:
        """Begin a part; the one of the same item that was being said ends."""
        if item.current is not None:
            self._close(item.current, out)
        if isinstance(block, Text | Refusal | Reasoning):
            block = replace(block, group=item.group, own=item.own or None)
            item.own = {}
        self._called |= isinstance(block, ToolCall)
        own = None if isinstance(block, Opaque) else block.own
        part = item.parts[key] = item.current = _Part(self._next, own)
        self._next += 1
        out.append(Open(part.index, block))
        return part

    def _close(self, part: _Part, out: list[Event]) -> None:
        if not part.closed:
            part.closed = True
            out.append(Close(part.index, part.own if part.own != part.opened_own else None))

    def _say(self, part: _Part, text: str, out: list[Event]) -> None:
        if text and not part.closed:
            part.said += len(text)
            out.append(Delta(part.index, text))

    def _delta(self, kind: str, event: dict[str, Any], out: list[Event]) -> None:
        where, template = DELTAS[kind]
        item = self._item(self._place(event), out)
        text = need(event, "delta", str)
        key = _key(where, event)
        part = item.parts.get(key)
        if part is None:
            if template is None:  # a call that nobody announced: its name comes with the whole item
                item.unsaid = True
                return
            part = self._open(item, key, template, out)
        self._say(part, text, out)

    def _text_done(self, kind: str, event: dict[str, Any], out: list[Event]) -> None:
        where, name = DONES[kind]
        text = take(event, name, str, "")
        item = self._item(self._place(event), out)
        part = item.parts.get(_key(where, event))
        if part is not None:
            self._say(part, text[part.said :], out)

    def _part(self, where: str, event: dict[str, Any], done: bool, out: list[Event]) -> None:
        item = self._item(self._place(event), out)
        fields = need(event, "part", dict)
        key = _key(where, event)
        block: Block
        if where == "summary" or fields.get("type") == "reasoning_text":
            block = thought_in(fields, item.group, where == "summary")
        else:
            block = part_in(fields)
        if not isinstance(block, Text | Refusal | Reasoning):
            return  # it comes whole, with its item
        part = item.parts.get(key)
        if part is None:
            empty = replace(block, text="", own=None)
            part = self._open(item, key, replace(empty, citations=()) if isinstance(empty, Text) else empty, out)
        if done:
            self._catch_up(part, block, out)
            part.own = {**(part.opened_own or {}), **(block.own or {})} or None

    def _annotation(self, event: dict[str, Any], out: list[Event]) -> None:
        part = self._item(self._place(event), out).parts.get(_key("content", event))
        citation = citation_in(event.get("annotation"))
        if citation is not None and part is not None and not part.closed:
            part.notes += 1
            out.append(Note(part.index, citation))

    def _catch_up(self, part: _Part, block: Block, out: list[Event]) -> None:
        """Say what the whole part has beyond its pieces."""
        if part.closed:
            return
        match block:
            case Text(text, citations):
                self._say(part, text[part.said :], out)
                out += [Note(part.index, citation) for citation in citations[part.notes :]]
                part.notes = max(part.notes, len(citations))
            case Refusal(text) | Reasoning(text):
                self._say(part, text[part.said :], out)
            case ToolCall(arguments=text):
                self._say(part, text[part.said :], out)

    def _item_done(self, place: int, fields: dict[str, Any], out: list[Event]) -> None:
        item = self._item(place, out)
        if item.done:
            return
        item.done = True
        try:
            blocks = item_in(fields, item.group, self._sent, self._new_id)
        except Malformed as fault:
            raise fault.under("item") from None
        seal = None
        for key, block in blocks:
            part = item.parts.get(key)
            if part is None:
                part = self._whole(item, key, block, out)
            self._catch_up(part, block, out)
            if isinstance(block, Reasoning) and block.seal is not None:
                seal = block.seal
            part.own = None if isinstance(block, Opaque) else block.own
        if seal is not None and item.current is not None:
            out.append(Seal(item.current.index, seal))
        for part in item.parts.values():
            self._close(part, out)

    def _whole(self, item: _Item, key: Key, block: Block, out: list[Event]) -> _Part:
        """Begin a part that came at once, still without its text, notes and seal."""
        match block:
            case Text():
                empty: Block = replace(block, text="", citations=())
            case Refusal():
                empty = replace(block, text="")
            case Reasoning():
                empty = replace(block, text="", seal=None)
            case ToolCall():
                empty = replace(block, arguments="")
            case _:
                empty = block
        if isinstance(block, Text | Refusal | Reasoning):
            item.own = dict(block.own or {})
        return self._open(item, key, empty, out)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _end(self, response: dict[str, Any], out: list[Event]) -> None:
        self.done = True
        error = response.get("error")
        if error or response.get("status") == "failed":
            out.append(error_in(error or {}, None, None))
            return
        self._start({key: response.get(key) for key in ("id", "model")}, out)
        output = take(response, "output", list, [])
        for place, item in enumerate(output):
            known = self._items.get(place)
            if type(item) is dict and (not known.done if known else len(output) > len(self._items)):
                self._item_done(place, item, out)
        for item in self._items.values():
            if item.unsaid and not item.done:
                raise Malformed("response.output", "lacks a call whose arguments were streamed")
            for part in item.parts.values():
                self._close(part, out)
        usage = take(response, "usage", dict)
        native = native_in(response)
        for key in ("id", "model"):
            response.pop(key, None)
        counted = usage_in(usage) if usage else None
        out.append(Finish(stop_in(native, self._called), None, native, counted, own_in(response)))

    def close(self) -> list[Event]:
        if self.done:
            return []
        self.done = True
        return [cut()]


def _key(where: str, event: dict[str, Any]) -> Key:
    index = event.get("summary_index" if where == "summary" else "content_index")
    return where, index if type(index) is int and where != "call" else 0
