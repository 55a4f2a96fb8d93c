"""SSE, NDJSON and JSON-array framing: writers for the mock and parsers for its clients."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

SSE = "sse"
NDJSON = "ndjson"
ARRAY = "array"
JSON = "json"

CONTENT_TYPES: dict[str, str] = {
    SSE: "text/event-stream",
    NDJSON: "application/x-ndjson",
    ARRAY: "application/json",
    JSON: "application/json",
}
"""Framing -> `content-type`."""


class Event(Struct, frozen=True):
    """One dispatched server-sent event; `event` is None when it has no `event` field."""

    data: str
    event: str | None = None


class Stream(Struct, frozen=True):
    """A parsed stream: its events, its comments, and `rest`, the text of an incomplete last event."""

    events: tuple[Event, ...]
    comments: tuple[str, ...] = ()
    rest: str = ""


def dump(value: Any) -> str:
    """Returns compact JSON without ASCII escapes, as all five providers send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sse(data: Any, event: str | None = None, *, newline: str = "\n") -> bytes:
    """Returns one server-sent event; `data` is text or a JSON value."""
    text = data if isinstance(data, str) else dump(data)
    head = f"event: {event}{newline}" if event else ""
    return f"{head}data: {text}{newline}{newline}".encode()


def ndjson(value: Any) -> bytes:
    """Returns one line of NDJSON."""
    return dump(value).encode() + b"\n"


def parse_sse(body: bytes) -> Stream:
    """Parses a complete SSE body by the rules of the standard.

    "If the line is empty (a blank line): Dispatch the event"; lines end with CRLF, LF or CR.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events: list[Event] = []
    comments: list[str] = []
    data: list[str] = []
    name: str | None = None
    pending: list[str] = []
    lines = text.split("\n")
    tail = lines.pop()
    for line in lines:
        if line == "":
            if data:
                events.append(Event("\n".join(data), name))
            data, name, pending = [], None, []
            continue
        if line.startswith(":"):
            comments.append(line[1:].strip())
            continue
        pending.append(line)
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return Stream(tuple(events), tuple(comments), "\n".join([*pending, tail]) if tail or pending else "")


def parse_ndjson(body: bytes) -> Stream:
    """Parses a complete NDJSON body; the data of each event is one line."""
    lines = body.decode("utf-8", "replace").split("\n")
    tail = lines.pop().strip("\r")
    return Stream(tuple(Event(line.strip("\r")) for line in lines if line.strip("\r")), (), tail)


def parse_array(body: bytes) -> Stream:
    """Parses a JSON array streamed element by element; `rest` is the text after the last complete element."""
    text = body.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] != "[":
        return Stream((), (), text)
    at += 1
    events: list[Event] = []
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            return Stream(tuple(events), (), text[at + 1 :].strip())
        try:
            _, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return Stream(tuple(events), (), text[at:] or "(no closing bracket)")
        events.append(Event(text[at:end]))
        at = end
