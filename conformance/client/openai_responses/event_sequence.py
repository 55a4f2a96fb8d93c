"""Checks the event sequence of a Responses stream, and that deltas add up; response objects are checked elsewhere.

Order of the events: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

from crosswire.mockserver.framing import parse_sse

from ..reply_checks import parse_json
from .tables import EVENTS, HOSTED_EVENTS, PART_TEXT, TERMINAL

CONTENT_PARTS: dict[str, tuple[str, ...]] = {
    "message": ("output_text", "refusal"),
    "reasoning": ("reasoning_text",),
}
"""Item type -> the content parts that it may hold."""

STREAMED_KEYS: dict[str, str] = {"function_call": "arguments", "custom_tool_call": "input"}
"""Item type -> the key whose text is streamed."""


class _Part:
    """A content or summary part of a stream."""

    def __init__(self, kind: str, start: dict[str, Any]) -> None:
        self.kind = kind
        self.start = start
        self.text = ""
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []
        self.text_is_done = False
        self.closed = False

    def value(self) -> dict[str, Any]:
        annotations = {"annotations": self.annotations} if self.annotations else {}
        return self.start | {"type": self.kind, PART_TEXT.get(self.kind, "text"): self.text} | annotations


class _Item:
    """An output item of a stream; `final` is the item of its `output_item.done`."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.kind = str(value.get("type"))
        self.content: list[_Part] = []
        self.summary: list[_Part] = []
        self.text = ""
        self.text_is_done = False
        self.final: dict[str, Any] | None = None

    def current_value(self) -> dict[str, Any]:
        """Returns the item as received so far."""
        if self.final is not None:
            return self.final
        out = dict(self.value)
        if self.kind in STREAMED_KEYS:
            out[STREAMED_KEYS[self.kind]] = self.text
        for key, parts in (("content", self.content), ("summary", self.summary)):
            if parts:
                out[key] = [part.value() for part in parts]
        return out


class EventSequence:
    """Collects the events of a stream and complains about wrong order, numbers and sums.

    `snapshots` are the pairs (event type, response) in order, `end` the terminal event, `error` the `error` event.
    """

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.events: list[Any] = []
        self.items: list[_Item] = []
        self.snapshots: list[tuple[str, dict[str, Any]]] = []
        self.end: str | None = None
        self.error: dict[str, Any] | None = None
        self._number: int | None = None

    def parse(self, body: bytes) -> None:
        """Parses a complete stream."""
        parsed = parse_sse(body)
        for event in parsed.events:
            if event.data == "[DONE]":
                self._complain("stream: [DONE]; this protocol has none")
                continue
            value = parse_json(event.data.encode())
            self.events.append(value)
            if not isinstance(value, dict) or not isinstance(value.get("type"), str):
                self._complain(f"stream: an event without a `type`: {event.data[:60]!r}")
                continue
            if event.event is None:
                self._complain(f"stream: {value['type']} has no `event:` line")
            elif event.event != value["type"]:
                self._complain(f"stream: {value['type']} comes as `event: {event.event}`")
            self._add(value["type"], value)
        if parsed.rest:
            self._complain(f"stream: an unfinished event at the end: {parsed.rest[:60]!r}")

    def current_items(self) -> list[dict[str, Any]]:
        """Returns the items as received so far."""
        return [item.current_value() for item in self.items]

    def _complain(self, what: str) -> None:
        if what not in self.complaints:
            self.complaints.append(what)

    # ---- every event -------------------------------------------------------------------------------------------------

    def _add(self, kind: str, value: dict[str, Any]) -> None:
        self._check_number(kind, value.get("sequence_number"))
        if self.end is not None:
            self._complain(f"stream: {kind} after {self.end}")
            return
        if self.error is not None and kind != "response.failed":
            self._complain(f"stream: {kind} after an error")
        if len(self.events) == 1 and kind not in ("response.created", "error"):
            self._complain(f"stream: begins with {kind}, not with response.created")
        if kind == "error":
            self.error = value
            return
        if kind.startswith(HOSTED_EVENTS):
            return
        if kind not in EVENTS:
            self._complain(f"stream: no such event: {kind}")
            return
        for key, type_ in EVENTS[kind].items():
            if key not in value:
                self._complain(f"{kind}: `{key}` is missing")
            elif not isinstance(value[key], type_) or isinstance(value[key], bool):
                self._complain(f"{kind}: `{key}` is not {type_.__name__}: {value[key]!r}")
        match kind.removeprefix("response.").split("."):
            case ["created" | "queued" | "in_progress" | "completed" | "incomplete" | "failed"]:
                self._snapshot(kind, value.get("response"))
            case ["output_item", "added"]:
                self._item_added(value)
            case ["output_item", "done"]:
                self._item_done(value)
            case ["content_part", event_type]:
                self._content_part(event_type, value)
            case ["reasoning_summary_part", event_type]:
                self._summary_part(event_type, value)
            case ["output_text", "annotation", "added"]:
                self._content(kind, value, "output_text").annotations.append(value.get("annotation"))
            case ["output_text" | "refusal" | "reasoning_text" as name, event_type]:
                self._text(kind, event_type, value, self._content(kind, value, name))
            case ["reasoning_summary_text", event_type]:
                self._text(kind, event_type, value, self._summary(kind, value))
            case ["function_call_arguments", event_type]:
                self._streamed_text(kind, event_type, value, "function_call")
            case ["custom_tool_call_input", event_type]:
                self._streamed_text(kind, event_type, value, "custom_tool_call")

    def _check_number(self, kind: str, number: Any) -> None:
        if not isinstance(number, int) or isinstance(number, bool):
            self._complain(f"{kind}: `sequence_number` is missing")
            return
        if self._number is None and number not in (0, 1):
            self._complain(f"{kind}: sequence_number begins with {number}, not with 0 or 1")
        if self._number is not None and number != self._number + 1:
            self._complain(f"{kind}: sequence_number {number} follows {self._number}")
        self._number = number

    # ---- the response ------------------------------------------------------------------------------------------------

    def _snapshot(self, kind: str, response: Any) -> None:
        if not isinstance(response, dict):
            return
        before = [name for name, _ in self.snapshots]
        if kind == "response.created" and before:
            self._complain("stream: response.created comes again")
        if kind not in TERMINAL:
            if self.items:
                self._complain(f"stream: {kind} after the first item")
            if response.get("output"):
                self._complain(f"{kind}: `output` is not empty yet")
        if self.snapshots and response.get("id") != self.snapshots[0][1].get("id"):
            self._complain(f"{kind}: the id of the response changes within the stream")
        self.snapshots.append((kind, response))
        if kind not in TERMINAL:
            return
        self.end = kind
        if kind == "response.failed":
            return
        for at, item in enumerate(self.items):
            if item.final is None:
                self._complain(f"{kind}: item {at} has had no response.output_item.done")
        streamed = [_comparable(item.current_value()) for item in self.items]
        output = response.get("output")
        if [_comparable(item) for item in output or [] if isinstance(item, dict)] != streamed:
            self._complain(f"{kind}: `response.output` is not what was streamed")

    # ---- items -------------------------------------------------------------------------------------------------------

    def _item_added(self, value: dict[str, Any]) -> None:
        item = _Item(value["item"] if isinstance(value.get("item"), dict) else {})
        where = "response.output_item.added"
        if value.get("output_index") != len(self.items):
            self._complain(f"{where}: output_index is {value.get('output_index')}, {len(self.items)} was due")
        if not isinstance(item.value.get("id"), str):
            self._complain(f"{where}: the item has no `id`")
        elif item.value["id"] in [other.value.get("id") for other in self.items]:
            self._complain(f"{where}: two items have the id {item.value['id']}")
        if not isinstance(item.value.get("type"), str):
            self._complain(f"{where}: the item has no `type`")
        for key, empty in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
            is_streamed = item.kind in ("message", "reasoning", *STREAMED_KEYS)
            if is_streamed and item.value.get(key, empty) not in (empty, None):
                self._complain(f"{where}: `{key}` of a {item.kind} is not empty yet")
        for key in ("call_id", "name") if item.kind in STREAMED_KEYS else ():
            if not item.value.get(key):
                self._complain(f"{where}: a {item.kind} without `{key}`")
        if item.kind == "message" and not isinstance(item.value.get("content"), list):
            self._complain(f"{where}: a message without `content`")
        self.items.append(item)

    def _item(self, kind: str, value: dict[str, Any], wanted: str | None) -> _Item:
        """Returns the item of an event; an item that was never added is complained about and added."""
        index = value.get("output_index")
        if not isinstance(index, int) or not 0 <= index < len(self.items):
            self._complain(f"{kind}: output_index {index} has had no response.output_item.added")
            self.items.append(_Item({"type": wanted or "message", "id": value.get("item_id")}))
            return self.items[-1]
        item = self.items[index]
        if "item_id" in value and value["item_id"] != item.value.get("id"):
            self._complain(
                f"{kind}: item_id {value['item_id']!r} is not that of item {index}, {item.value.get('id')!r}"
            )
        if item.final is not None:
            self._complain(f"{kind}: item {index} is already done")
        if wanted is not None and item.kind != wanted:
            self._complain(f"{kind}: item {index} is a {item.kind}, not a {wanted}")
        return item

    def _item_done(self, value: dict[str, Any]) -> None:
        where = "response.output_item.done"
        final = value["item"] if isinstance(value.get("item"), dict) else {}
        index = value.get("output_index")
        if not isinstance(index, int) or not 0 <= index < len(self.items):
            self._item_added({"output_index": index, "item": final})
            self._complain(f"{where}: output_index {index} has had no response.output_item.added")
            self.items[-1].final = final
            return
        item = self._item(where, value, None)
        for part in (*item.content, *item.summary):
            if not part.closed:
                self._complain(f"{where}: a part of item {index} has had no done event")
        if item.kind in STREAMED_KEYS and not item.text_is_done:
            self._complain(f"{where}: the {STREAMED_KEYS[item.kind]} of item {index} have had no done event")
        for key in ("id", "type", "call_id", "name"):
            if final.get(key) != item.value.get(key):
                was, now = item.value.get(key), final.get(key)
                self._complain(f"{where}: `{key}` of item {index} was {was!r}, is now {now!r}")
        known = item.current_value()
        for key in ("content", "summary") if item.kind in ("message", "reasoning") else ():
            if _text_keys(final.get(key)) != _text_keys(known.get(key)):
                self._complain(f"{where}: the {key} of item {index} is not what was streamed")
        if item.kind in STREAMED_KEYS and final.get(STREAMED_KEYS[item.kind]) != item.text:
            self._complain(f"{where}: the {STREAMED_KEYS[item.kind]} of item {index} is not what was streamed")
        item.final = final

    def _streamed_text(self, kind: str, event_type: str, value: dict[str, Any], wanted: str) -> None:
        item = self._item(kind, value, wanted)
        if event_type == "delta":
            if item.text_is_done:
                self._complain(f"{kind}: after its done event")
            item.text += str(value.get("delta", ""))
            return
        item.text_is_done = True
        full_text = value.get(STREAMED_KEYS[wanted])
        if full_text != item.text:
            self._complain(f"{kind}: {full_text!r} is not what the deltas say, {item.text!r}")
        if "name" in value and value["name"] != item.value.get("name"):
            self._complain(f"{kind}: `name` is {value['name']!r}, the item's is {item.value.get('name')!r}")

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _content_part(self, event_type: str, value: dict[str, Any]) -> None:
        kind = f"response.content_part.{event_type}"
        part = value["part"] if isinstance(value.get("part"), dict) else {}
        name = str(part.get("type"))
        if event_type == "done":
            self._part_done(kind, part, self._content(kind, value, name))
            return
        item = self._item(kind, value, "reasoning" if name == "reasoning_text" else "message")
        if name not in CONTENT_PARTS.get(item.kind, ()):
            self._complain(f"{kind}: a {item.kind} cannot hold {name}")
        self._part_added(kind, "content_index", value, item.content, _Part(name, part))

    def _summary_part(self, event_type: str, value: dict[str, Any]) -> None:
        kind = f"response.reasoning_summary_part.{event_type}"
        part = value["part"] if isinstance(value.get("part"), dict) else {}
        if event_type == "done":
            self._part_done(kind, part, self._summary(kind, value))
            return
        item = self._item(kind, value, "reasoning")
        self._part_added(kind, "summary_index", value, item.summary, _Part("summary_text", part))

    def _part_added(self, kind: str, key: str, value: dict[str, Any], parts: list[_Part], part: _Part) -> None:
        if value.get(key) != len(parts):
            self._complain(f"{kind}: {key} is {value.get(key)}, {len(parts)} was due")
        if parts and not parts[-1].closed:
            self._complain(f"{kind}: the part before is still open")
        if part.start.get(PART_TEXT.get(part.kind, "text")) != "":
            self._complain(f"{kind}: the text of the part is not empty yet")
        parts.append(part)

    def _content(self, kind: str, value: dict[str, Any], name: str) -> _Part:
        item = self._item(kind, value, "reasoning" if name == "reasoning_text" else "message")
        return self._part(kind, "content_index", value, item.content, name)

    def _summary(self, kind: str, value: dict[str, Any]) -> _Part:
        item = self._item(kind, value, "reasoning")
        return self._part(kind, "summary_index", value, item.summary, "summary_text")

    def _part(self, kind: str, key: str, value: dict[str, Any], parts: list[_Part], name: str) -> _Part:
        """Returns the part of an event; a part that was never added is complained about and added."""
        index = value.get(key)
        if not isinstance(index, int) or not 0 <= index < len(parts):
            added = "response.reasoning_summary_part.added" if key == "summary_index" else "response.content_part.added"
            self._complain(f"{kind}: {key} {index} has had no {added}")
            parts.append(_Part(name, {}))
            return parts[-1]
        part = parts[index]
        if part.kind != name:
            self._complain(f"{kind}: the part is {part.kind}, not {name}")
        if part.closed:
            self._complain(f"{kind}: the part is already done")
        return part

    def _text(self, kind: str, event_type: str, value: dict[str, Any], part: _Part) -> None:
        if event_type == "delta":
            if part.text_is_done:
                self._complain(f"{kind}: after its done event")
            part.text += str(value.get("delta", ""))
            part.logprobs += value.get("logprobs") or []
            return
        part.text_is_done = True
        full_text = value.get(PART_TEXT.get(part.kind, "text"))
        if full_text != part.text:
            self._complain(f"{kind}: {full_text!r} is not what the deltas say, {part.text!r}")

    def _part_done(self, kind: str, value: dict[str, Any], part: _Part) -> None:
        if not part.text_is_done:
            self._complain(f"{kind}: the text of the part has had no done event")
        if value.get(PART_TEXT.get(part.kind, "text")) != part.text:
            self._complain(f"{kind}: the part is not what the deltas say")
        if (value.get("annotations") or []) != part.annotations:
            self._complain(f"{kind}: the annotations of the part are not those that were added")
        if _tokens(value.get("logprobs")) != _tokens(part.logprobs):
            self._complain(f"{kind}: the log probabilities of the part are not those of the deltas")
        part.closed = True


def _tokens(logprobs: Any) -> list[tuple[Any, Any]]:
    return [(token.get("token"), token.get("logprob")) for token in logprobs or ()]


def _text_keys(parts: Any) -> list[tuple[Any, Any]]:
    """Returns type and text of each part; an absent list equals an empty one."""
    found = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [(part.get("type"), part.get(PART_TEXT.get(str(part.get("type")), "text"))) for part in found]


def _comparable(item: dict[str, Any]) -> dict[str, Any]:
    """Returns an item without its encrypted content, which differs each time the service sends it."""
    encrypted = item.get("encrypted_content") is not None
    return {key: value for key, value in item.items() if key != "encrypted_content"} | {"encrypted_content": encrypted}
