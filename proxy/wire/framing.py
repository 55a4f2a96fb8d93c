"""Stream framing: Server-Sent Events, newline-delimited JSON, and one long JSON array, independent of chunk boundaries.

A framing works in two steps, `cut` (returns the bytes of all complete frames) and `parse` (splits those bytes into
frames), so that the relay can pass complete frames on without parsing them. The content of frames is not interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..errors import Malformed
from . import json_fields

FRAME_LIMIT = 64 * 2**20
"""Maximum size of a frame in bytes."""

NULL = b"null"
"""The data of a frame that says nothing, which some hosts send."""

DONE = b"[DONE]"
"""The sentinel that ends an OpenAI stream; it is the only frame of any protocol that is no JSON."""

_BOM = b"\xef\xbb\xbf"
# Two or more line ends in a row; atomic, so that CRLF never counts as two. https://html.spec.whatwg.org/multipage/server-sent-events.html
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)+")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_ARRAY_TOKEN = re.compile(rb'["{}\[\]]')
_LINE_LIKE = re.compile(rb"\xe2\x80[\xa8\xa9]|\xc2\x85")  # U+2028, U+2029 and U+0085
_STRING_TOKEN = re.compile(rb'["\\]')


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream: its data, and the `event:` name of an SSE frame that has one."""

    data: bytes
    event: str | None = None


class Framing(Protocol):
    """Interface of an incremental framing of one stream."""

    def cut(self, chunk: bytes) -> bytes:
        """Buffers the chunk and returns the bytes of all frames that are complete now; raises Malformed on overflow."""
        ...

    def parse(self, complete: bytes) -> list[Frame]:
        """Splits bytes that `cut` returned into frames."""
        ...

    def objects(self, complete: bytes) -> tuple[bytes, int] | None:
        """Returns the data of the frames in bytes that `cut` returned, with white space between, and their number.

        None unless all frames begin alike and hold one line that looks like an object: a quick look at most reads.
        """
        ...

    def end_of_first(self, complete: bytes) -> int:
        """Returns the end of the first frame in bytes that `cut` returned; the length where that is not easily told."""
        ...

    def end_before(self, complete: bytes, position: int) -> int:
        """Returns the end of the frames before the one at this position, 0 where that is not easily told.

        A position of -1 is behind all frames.
        """
        ...

    def start_of_last(self, complete: bytes, end: int) -> int:
        """Returns the start of the last of the frames before this position; 0 where that is not easily told."""
        ...

    def rest(self) -> list[Frame]:
        """Returns the valid frames in the remaining bytes; called once, at the end of the stream."""
        ...


class _Pending:
    """Buffer of the incomplete frame; chunks without a line end are appended and not scanned again."""

    def __init__(self, limit: int) -> None:
        self.chunks: list[bytes] = []
        self._size = 0
        self._limit = limit

    def collect(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            raise Malformed("", f"a frame of more than {self._limit} bytes")

    def join(self, chunk: bytes) -> bytes:
        if not self.chunks:
            return chunk
        self.chunks.append(chunk)
        return self.take()

    def take(self) -> bytes:
        complete = b"".join(self.chunks)
        self.chunks.clear()
        self._size = 0
        return complete


class SSE:
    """Server-Sent Events, with any line ends, comments, several data lines, and a missing last blank line."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)

    def cut(self, chunk: bytes) -> bytes:
        if not self._pending.chunks and chunk.endswith(b"\n\n") and len(chunk) > 2:
            return chunk  # as most hosts write and flush
        if b"\n" not in chunk and b"\r" not in chunk:
            self._pending.collect(chunk)
            return b""
        complete = self._pending.join(chunk)
        if len(complete) > 2 and complete.endswith(b"\n\n"):
            return complete
        # A boundary of mixed line ends is only found one frame later, which is safe: leading blank lines are ignored.
        end = max(complete.rfind(b"\n\n") + 2, complete.rfind(b"\n\r\n") + 3, complete.rfind(b"\r\r") + 2)
        if end <= 2:
            self._pending.collect(complete)
            return b""
        if end < len(complete):
            self._pending.collect(complete[end:])
            return complete[:end]
        return complete

    def parse(self, complete: bytes) -> list[Frame]:
        if (plain := plain_frames(complete)) is not None:
            data, names = plain
            if not names:
                return [Frame(each) for each in data if each]
            return [
                Frame(each, name.decode("utf-8", "replace")) for each, name in zip(data, names, strict=True) if each
            ]
        if complete.startswith(_BOM):
            complete = complete[len(_BOM) :]
        parts = complete.split(b"\n\n") if b"\r" not in complete else _BLANK_LINE.split(complete)
        return [frame for part in parts if part and (frame := _sse_frame(part))]

    def objects(self, complete: bytes) -> tuple[bytes, int] | None:
        start = complete.find(b"data: {") + 6
        if start < 6 or not complete.endswith(b"}\n\n") or complete.find(b"\r") >= 0:
            return None
        lead = complete[:start]
        if start > 6 and not (lead.startswith(b"event: ") and lead.find(b"\n") == start - 7):
            return None
        values = complete[start:-2]
        if values.find(b"\n") < 0:
            return values, 1
        # No JSON value has `}` and `{` with only a tab between them, nor a tab in a string: no two parts become one.
        parts = values.split(b"}\n\n" + lead + b"{")
        values = b"}\t{".join(parts)
        return (values, len(parts)) if values.find(b"\n") < 0 else None

    def end_of_first(self, complete: bytes) -> int:
        return len(complete) if b"\r" in complete else complete.find(b"\n\n") + 2

    def end_before(self, complete: bytes, position: int) -> int:
        if position < 0:
            return len(complete)
        end = complete.rfind(b"\n\n", 0, position)
        return 0 if end < 0 or b"\r" in complete else end + 2

    def start_of_last(self, complete: bytes, end: int) -> int:
        start = complete.rfind(b"\n\n", 0, end - 2)
        return 0 if start < 0 else start + 2

    def rest(self) -> list[Frame]:
        return [frame for frame in self.parse(self._pending.take()) if frame.data == DONE or _is_json(frame.data)]


def plain_frames(complete: bytes) -> tuple[list[bytes], list[bytes]] | None:
    """The data of frames that are all one line of data, or all an event's name and one line; and the names, if any.

    None for any others. It costs a quarter of what telling frame by frame does.
    """
    if b"\r" in complete:
        return None
    if complete.startswith(b"data: ") and complete.find(b"\n") == len(complete) - 2:
        return [complete[6:-2]], []
    lines = complete.split(b"\n")
    size = 3 if complete.startswith(b"event: ") else 2
    data, names = lines[size - 2 : -1 : size], lines[:-1:3] if size == 3 else []
    if len(lines) != size * len(data) + 1 or any(lines[size - 1 :: size]) or lines[-1]:
        return None
    if not all([line.startswith(b"data: ") for line in data]):
        return None
    if not all([line.startswith(b"event: ") for line in names]):
        return None
    return [line[6:] for line in data], [line[7:] for line in names]


def _sse_frame(part: bytes) -> Frame | None:
    """Parses the lines between two blank lines; returns None where they hold no data (comments, some pings)."""
    if part.startswith(b"data: ") and b"\n" not in part and b"\r" not in part:
        return Frame(part[6:]) if len(part) > 6 else None
    if part.startswith(b"event: ") and b"\r" not in part:
        name, mark, line = part[7:].partition(b"\ndata: ")
        # fast path: one event line and one data line
        if mark and line and b"\n" not in line and b"\n" not in name:
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
    joined = data[0] if len(data) == 1 else b"\n".join(data)
    return Frame(joined, event) if joined else None


class NDJSON:
    """Newline-delimited JSON: one value per line."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)

    def cut(self, chunk: bytes) -> bytes:
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._pending.collect(chunk)
            return b""
        complete = self._pending.join(chunk[:end])
        if end < len(chunk):
            self._pending.collect(chunk[end:])
        return complete

    def parse(self, complete: bytes) -> list[Frame]:
        return [Frame(line) for part in complete.split(b"\n") if (line := part.strip())]

    def objects(self, complete: bytes) -> tuple[bytes, int] | None:
        count = complete.count(b"\n")
        return (complete, count) if complete.count(b"}\n{") == count - 1 else None

    def end_of_first(self, complete: bytes) -> int:
        return complete.find(b"\n") + 1

    def end_before(self, complete: bytes, position: int) -> int:
        return len(complete) if position < 0 else complete.rfind(b"\n", 0, position) + 1

    def start_of_last(self, complete: bytes, end: int) -> int:
        return complete.rfind(b"\n", 0, end - 1) + 1

    def rest(self) -> list[Frame]:
        return [frame for frame in self.parse(self._pending.take()) if _is_json(frame.data)]


class JSONArray:
    """One JSON array whose elements are the frames, as Gemini sends without `alt=sse`."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._pending = _Pending(limit)
        self._depth = 0
        self._floor: int | None = None  # the depth between two elements: 1, or 0 where the body is a single object
        self._in_string = False
        self._escaped = False

    def cut(self, chunk: bytes) -> bytes:
        end = self._scan(chunk)
        if not end:
            self._pending.collect(chunk)
            return b""
        complete = self._pending.join(chunk[:end])
        if end < len(chunk):
            self._pending.collect(chunk[end:])
        return complete

    def _scan(self, chunk: bytes) -> int:
        """Returns the position after the last element that ends in this chunk; 0 where none does."""
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

    def parse(self, complete: bytes) -> list[Frame]:
        text = complete.strip().removeprefix(b"[").strip().removeprefix(b",")
        if self._depth == 0:
            text = text.rstrip().removesuffix(b"]")
        try:
            elements = msgspec.json.decode(b"[" + text.strip().removesuffix(b",") + b"]", type=list[msgspec.Raw])
        except msgspec.DecodeError as fault:
            raise Malformed("", f"not a JSON array: {fault}") from None
        return [Frame(bytes(element)) for element in elements]

    def objects(self, complete: bytes) -> tuple[bytes, int] | None:
        return None

    def end_of_first(self, complete: bytes) -> int:
        return len(complete)

    def end_before(self, complete: bytes, position: int) -> int:
        return len(complete) if position < 0 else 0

    def start_of_last(self, complete: bytes, end: int) -> int:
        return 0

    def rest(self) -> list[Frame]:
        return []


def _is_json(data: bytes) -> bool:
    try:
        json_fields.parse(data)
    except Malformed:
        return False
    return True


FRAMINGS: dict[str, Callable[[int], Framing]] = {"sse": SSE, "ndjson": NDJSON, "json-array": JSONArray}


def write(framing: str, frames: list[Frame]) -> bytes:
    """Encodes frames as bytes in this framing; `json-array` is written as SSE."""
    if framing == "ndjson":
        return b"".join([ndjson(frame.data) for frame in frames])
    return b"".join([sse(frame.data, frame.event) for frame in frames])


def sse(data: bytes, event: str | None = None) -> bytes:
    """Encodes one SSE frame; `data` must be a single line."""
    if event is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


def ndjson(data: bytes) -> bytes:
    """Encodes one line of newline-delimited JSON."""
    return one_line(data) + b"\n"


def one_line(data: bytes) -> bytes:
    """Escapes U+2028, U+2029 and U+0085 in JSON text.

    The official ollama client splits lines with `str.splitlines`, which treats them as line ends.
    """
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        return _LINE_LIKE.sub(lambda match: b"\\u%04x" % ord(match.group().decode()), data)
    return data
