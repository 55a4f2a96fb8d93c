"""Frames out of bytes, whatever the chunking: Server-Sent Events, newline-delimited JSON, and one long JSON array.

A framing cuts (`cut`: the bytes of all frames that are whole by now) and parses (`parse`: those bytes as frames), so
that a relay can pass whole frames on without looking inside. It knows nothing of what the frames say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import msgspec

from . import wire
from .errors import Malformed

FRAME_LIMIT = 64 * 2**20
"""Bytes that one frame may have before it counts as garbage."""

DONE = b"[DONE]"
"""The sentinel that ends an OpenAI stream; it is the only frame in the field that is no JSON."""

_BOM = b"\xef\xbb\xbf"
# Two line ends in a row; atomic, so that CRLF never counts as two. https://html.spec.whatwg.org/multipage/server-sent-events.html
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)+")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_ARRAY_TOKEN = re.compile(rb'["{}\[\]]')
_LINE_LIKE = re.compile(rb"\xe2\x80[\xa8\xa9]|\xc2\x85")  # U+2028, U+2029 and U+0085
_STRING_TOKEN = re.compile(rb'["\\]')


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream: its data, and for an SSE frame its `event:` name where it had one."""

    data: bytes
    event: str | None = None


class Framing(Protocol):
    """What every framing can do; `rest` is asked once, at the end of the bytes."""

    def cut(self, chunk: bytes) -> bytes: ...
    def parse(self, whole: bytes) -> list[Frame]: ...
    def rest(self) -> list[Frame]: ...


class _Pending:
    """The bytes of the frame that is not whole yet; chunks without a line end are only collected, never rescanned."""

    def __init__(self, limit: int) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = limit

    def collect(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            raise Malformed("", f"a frame of more than {self._limit} bytes")

    def join(self, chunk: bytes) -> bytes:
        if not self._chunks:
            return chunk
        self._chunks.append(chunk)
        return self.take()

    def take(self) -> bytes:
        whole = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return whole


class SSE:
    """Server-Sent Events: any line ends, comments, several data lines, a missing last blank line."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)

    def cut(self, chunk: bytes) -> bytes:
        if b"\n" not in chunk and b"\r" not in chunk:
            self._pending.collect(chunk)
            return b""
        whole = self._pending.join(chunk)
        # A boundary that hides in other line ends only comes a frame later: leading blank lines mean nothing.
        end = max(whole.rfind(b"\n\n") + 2, whole.rfind(b"\n\r\n") + 3, whole.rfind(b"\r\r") + 2)
        if end <= 2:
            self._pending.collect(whole)
            return b""
        if end < len(whole):
            self._pending.collect(whole[end:])
            return whole[:end]
        return whole

    def parse(self, whole: bytes) -> list[Frame]:
        if whole.startswith(_BOM):
            whole = whole[len(_BOM) :]
        parts = whole.split(b"\n\n") if b"\r" not in whole else _BLANK_LINE.split(whole)
        return [frame for part in parts if part and (frame := _sse_frame(part))]

    def rest(self) -> list[Frame]:
        return [frame for frame in self.parse(self._pending.take()) if frame.data == DONE or _is_json(frame.data)]


def _sse_frame(part: bytes) -> Frame | None:
    """The frame of the lines between two blank lines; None where they hold no data, as comments and some pings do."""
    if part.startswith(b"data: ") and b"\n" not in part and b"\r" not in part:
        return Frame(part[6:]) if len(part) > 6 else None
    if part.startswith(b"event: ") and b"\r" not in part:
        name, mark, line = part[7:].partition(b"\ndata: ")
        if mark and line and b"\n" not in line and b"\n" not in name:  # what every named event looks like
            return Frame(line, name.decode("utf-8", "replace"))
    event = None
    data = []
    for line in part.split(b"\n") if b"\r" not in part else _LINE_END.split(part):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    whole = data[0] if len(data) == 1 else b"\n".join(data)
    return Frame(whole, event) if whole else None


class NDJSON:
    """One JSON value a line."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)

    def cut(self, chunk: bytes) -> bytes:
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._pending.collect(chunk)
            return b""
        whole = self._pending.join(chunk[:end])
        if end < len(chunk):
            self._pending.collect(chunk[end:])
        return whole

    def parse(self, whole: bytes) -> list[Frame]:
        return [Frame(line) for part in whole.split(b"\n") if (line := part.strip())]

    def rest(self) -> list[Frame]:
        return [frame for frame in self.parse(self._pending.take()) if _is_json(frame.data)]


class JSONArray:
    """One JSON array whose elements are the frames, as Gemini streams without `alt=sse`."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)
        self._depth = 0
        self._floor: int | None = None  # the depth between two elements: 1, or 0 where an object came instead
        self._in_string = False
        self._escaped = False

    def cut(self, chunk: bytes) -> bytes:
        end = self._scan(chunk)
        if not end:
            self._pending.collect(chunk)
            return b""
        whole = self._pending.join(chunk[:end])
        if end < len(chunk):
            self._pending.collect(chunk[end:])
        return whole

    def _scan(self, chunk: bytes) -> int:
        """The position after the last element that closed in this chunk, 0 where none did."""
        position = end = 0
        if self._escaped:
            self._escaped, position = False, 1
        while token := (_STRING_TOKEN if self._in_string else _ARRAY_TOKEN).search(chunk, position):
            position = token.end()
            match token.group():
                case b'"':
                    self._in_string = not self._in_string
                case b"\\":
                    self._escaped = position == len(chunk)
                    position += 1
                case b"[" | b"{" as opener:
                    if self._floor is None:
                        self._floor = 1 if opener == b"[" else 0
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._floor is None or self._depth <= self._floor:
                        end = position
        return end

    def parse(self, whole: bytes) -> list[Frame]:
        text = whole.strip().removeprefix(b"[").strip().removeprefix(b",")
        if self._depth == 0:
            text = text.rstrip().removesuffix(b"]")
        try:
            elements = msgspec.json.decode(b"[" + text.strip().removesuffix(b",") + b"]", type=list[msgspec.Raw])
        except msgspec.DecodeError as fault:
            raise Malformed("", f"not a JSON array: {fault}") from None
        return [Frame(bytes(element)) for element in elements]

    def rest(self) -> list[Frame]:
        return []


def _is_json(data: bytes) -> bool:
    try:
        wire.parse(data)
    except Malformed:
        return False
    return True


FRAMINGS: dict[str, Callable[[int], Framing]] = {"sse": SSE, "ndjson": NDJSON, "json-array": JSONArray}


def write(framing: str, frames: list[Frame]) -> bytes:
    """Frames as bytes again, in this framing."""
    if framing == "ndjson":
        return b"".join([ndjson(frame.data) for frame in frames])
    return b"".join([sse(frame.data, frame.event) for frame in frames])


def sse(data: bytes, event: str | None = None) -> bytes:
    """One SSE frame; `data` is a single line, as JSON is."""
    if event is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


def ndjson(data: bytes) -> bytes:
    """One line of newline-delimited JSON."""
    return one_line(data) + b"\n"


def one_line(data: bytes) -> bytes:
    """JSON whose strings escape what `str.splitlines` takes for a line end, as the official ollama client does."""
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        return _LINE_LIKE.sub(lambda match: b"\\u%04x" % ord(match.group().decode()), data)
    return data
