"""Tests of the framings: the same frames for every chunking of the same bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.errors import Malformed
from crosswire.proxy.wire.framing import (
    DONE,
    FRAME_LIMIT,
    FRAMINGS,
    SSE,
    Frame,
    JSONArray,
    ndjson,
    one_line,
    plain_frames,
    sse,
)


def frames(kind: str, chunks: list[bytes]) -> list[Frame]:
    framing = FRAMINGS[kind](FRAME_LIMIT)
    found = [frame for chunk in chunks for frame in framing.parse(framing.cut(chunk))]
    return found + framing.rest()


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[n : n + 1] for n in range(len(stream))]


A, B = Frame(b'{"a":1}'), Frame(b'{"b":2}')
STREAMS: dict[str, tuple[str, bytes, list[Frame]]] = {
    # https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    "line feeds": ("sse", b'data: {"a":1}\n\ndata: {"b":2}\n\n', [A, B]),
    "carriage returns": ("sse", b'data: {"a":1}\r\rdata: {"b":2}\r\r', [A, B]),
    "both": ("sse", b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n', [A, B]),
    "mixed": ("sse", b'data: {"a":1}\n\r\ndata: {"b":2}\r\n\n', [A, B]),
    "no blank after the colon": ("sse", b'data:{"a":1}\n\n', [A]),
    "only one blank is taken": ("sse", b"data:  x\n\n", [Frame(b" x")]),
    "event names": ("sse", b'event: ping\ndata: {"a":1}\n\n', [Frame(b'{"a":1}', "ping")]),
    "the name may follow": ("sse", b'data: {"a":1}\nevent: ping\n\n', [Frame(b'{"a":1}', "ping")]),
    "several data lines": ("sse", b'data: {"a":\ndata: 1}\n\n', [Frame(b'{"a":\n1}')]),
    "comments": ("sse", b': PROCESSING\n\n: again\ndata: {"a":1}\n\n', [A]),
    "fields nobody needs": ("sse", b'id: 7\nretry: 3\nodd\ndata: {"a":1}\n\n', [A]),
    "an event without data": ("sse", b'event: ping\n\ndata: {"a":1}\n\n', [A]),
    "a name alone is a field": ("sse", b"data\n\n", []),
    "empty data is no frame": ("sse", b'data:\n\ndata: \n\nevent: ping\ndata:\n\ndata: {"a":1}\n\n', [A]),
    "many blank lines": ("sse", b'\n\ndata: {"a":1}\n\n\n\ndata: {"b":2}\n\n', [A, B]),
    "a mark of byte order": ("sse", b'\xef\xbb\xbfdata: {"a":1}\n\n', [A]),
    "the sentinel": ("sse", b'data: {"a":1}\n\ndata: [DONE]\n\n', [A, Frame(DONE)]),
    "no blank line at the end": ("sse", b'data: {"a":1}\n\ndata: [DONE]', [A, Frame(DONE)]),
    "half a frame at the end": ("sse", b'data: {"a":1}\n\ndata: {"b"', [A]),
    "white space around the JSON": ("sse", b'data: {"a":1}  \n\n', [Frame(b'{"a":1}  ')]),
    "line ends of Unicode are none": (
        "sse",
        'data: "\u2028\x85"\n\n'.encode(),
        [Frame('"\u2028\x85"'.encode())],
    ),
    "lines": ("ndjson", b'{"a":1}\n{"b":2}\n', [A, B]),
    "lines of Windows": ("ndjson", b'{"a":1}\r\n{"b":2}\r\n', [A, B]),
    "blank lines": ("ndjson", b'\n{"a":1}\n\n \n{"b":2}\n', [A, B]),
    "no line end at the end": ("ndjson", b'{"a":1}\n{"b":2}', [A, B]),
    "half a line at the end": ("ndjson", b'{"a":1}\n{"b"', [A]),
    "an array": ("json-array", b'[{"a":1},{"b":2}]', [A, B]),
    "an array over lines": ("json-array", b'[{"a":1}\n,\r\n{"b":2}\n]\n', [A, B]),
    "an empty array": ("json-array", b"[]", []),
    "brackets in strings": (
        "json-array",
        b'[{"a":"]}\\"[{"},{"b":"\\\\"}]',
        [Frame(b'{"a":"]}\\"[{"}'), Frame(b'{"b":"\\\\"}')],
    ),
    "nested": ("json-array", b'[{"a":[{"c":[]}]},{"b":2}]', [Frame(b'{"a":[{"c":[]}]}'), B]),
    "an object instead": ("json-array", b'{"error":{"code":400}}', [Frame(b'{"error":{"code":400}}')]),
    "an array that was cut": ("json-array", b'[{"a":1},{"b"', [A]),
}


@pytest.mark.parametrize("case", STREAMS)
def test_frames_do_not_depend_on_chunking(case: str) -> None:
    kind, stream, expected = STREAMS[case]
    assert frames(kind, [stream]) == expected
    assert frames(kind, bytewise(stream)) == expected
    for cut in range(len(stream)):
        assert frames(kind, [stream[:cut], stream[cut:]]) == expected
    assert frames(kind, [b"", stream, b""]) == expected


@pytest.mark.parametrize("kind", FRAMINGS)
def test_cut_returns_all_bytes_in_order(kind: str) -> None:
    """A relay passes on what `cut` returns, so nothing may be added, lost or out of order."""
    for other, stream, _ in STREAMS.values():
        if other == kind:
            framing = FRAMINGS[kind](FRAME_LIMIT)
            passed = b"".join(framing.cut(chunk) for chunk in bytewise(stream))
            assert stream.startswith(passed)


@pytest.mark.parametrize("kind", FRAMINGS)
@pytest.mark.parametrize("write", [1, 7, 64])
def test_a_frame_has_a_limit(kind: str, write: int) -> None:
    framing = FRAMINGS[kind](100)
    junk = b'{"a":"' + b"x" * 200
    chunks = [junk[start : start + write] for start in range(0, len(junk), write)]
    with pytest.raises(Malformed, match="more than 100 bytes"):
        list(map(framing.cut, chunks))


def test_the_limit_applies_to_frames_not_streams() -> None:
    framing = SSE(100)
    assert sum(len(framing.parse(framing.cut(b'data: {"a":1}\n\n'))) for _ in range(1000)) == 1000


@pytest.mark.parametrize("junk", [b"[{]}", b'[{"a":1}{"b":2}]'])
def test_an_invalid_array_raises(junk: bytes) -> None:
    framing = JSONArray()
    with pytest.raises(Malformed, match="not a JSON array"):
        framing.parse(framing.cut(junk))


def test_write() -> None:
    assert sse(b"{}") == b"data: {}\n\n"
    assert sse(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
    assert ndjson(b"{}") == b"{}\n"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=5)


def written(kind: str, bodies: list[bytes]) -> bytes:
    match kind:
        case "sse":
            return b"".join(map(sse, bodies))
        case "ndjson":
            return b"".join(map(ndjson, bodies))
        case _:
            return b"[" + b",\r\n".join(bodies) + b"]"


@pytest.mark.parametrize("kind", FRAMINGS)
@given(found=objects, data=st.data())
def test_property_written_frames_are_parsed(kind: str, found: list[object], data: st.DataObject) -> None:
    stream = written(kind, [json.dumps(one, ensure_ascii=False).encode() for one in found])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for way in ([stream], chunks, bytewise(stream)):
        assert [json.loads(frame.data) for frame in frames(kind, way)] == found


@given(st.text())
def test_property_one_line_has_no_line_breaks(text: str) -> None:
    line = one_line(json.dumps(text, ensure_ascii=False).encode()).decode()
    assert line.splitlines() == [line]
    assert json.loads(line) == text


@pytest.mark.parametrize("case", STREAMS)
def test_frames_can_be_told_one_by_one(case: str) -> None:
    """The first frame, and those before a position, are told by the same bytes as all frames."""
    kind, stream, _ = STREAMS[case]
    framing = FRAMINGS[kind](FRAME_LIMIT)
    complete = framing.cut(stream)
    if kind == "json-array" or not complete:
        return
    expected = framing.parse(complete)
    found, rest = [], complete
    while rest:
        end = framing.end_of_first(rest)
        assert 0 < end <= len(rest)
        found += framing.parse(rest[:end])
        rest = rest[end:]
    assert found == expected
    assert framing.end_before(complete, -1) == len(complete)
    for position in range(len(complete)):
        end = framing.end_before(complete, position)
        assert end <= position
        assert framing.parse(complete[:end]) + framing.parse(complete[end:]) == expected


PLAIN: list[tuple[bytes, tuple[list[bytes], list[bytes]] | None]] = [
    (b"data: a\n\n", ([b"a"], [])),
    (b"data: a\n\ndata: b\n\n", ([b"a", b"b"], [])),
    (b"event: x\ndata: a\n\nevent: y\ndata: b\n\n", ([b"a", b"b"], [b"x", b"y"])),
    (b"data: a\r\n\r\n", None),
    (b"data: a\ndata: b\n\n", None),
    (b"data: a\n\nid: 7\n\n", None),
    (b"data: a\n\n\ndata: b\n\n", None),
    (b"data: a\n\nevent: x\ndata: b\n\n", None),
    (b"event: x\ndata: a\n\ndata: b\n\n", None),
    (b"event: x\nevent: y\n\n", None),
    (b"data:a\n\ndata: b\n\n", None),
    (b": comment\n\ndata: b\n\n", None),
]


@pytest.mark.parametrize(("complete", "expected"), PLAIN)
def test_plain_frames(complete: bytes, expected: tuple[list[bytes], list[bytes]] | None) -> None:
    assert plain_frames(complete) == expected


OBJECTS: dict[str, tuple[str, bytes, tuple[bytes, int] | None]] = {
    "one": ("sse", b'data: {"a":1}\n\n', (b'{"a":1}', 1)),
    "two": ("sse", b'data: {"a":1}\n\ndata: {"b":2}\n\n', (b'{"a":1}\t{"b":2}', 2)),
    "of one name": ("sse", b"event: x\ndata: {}\n\nevent: x\ndata: {}\n\n", (b"{}\t{}", 2)),
    "of two names": ("sse", b"event: x\ndata: {}\n\nevent: y\ndata: {}\n\n", None),
    "one without a name": ("sse", b"event: x\ndata: {}\n\ndata: {}\n\n", None),
    "more lines before the data": ("sse", b"event: x\nid: 1\ndata: {}\n\n", None),
    "another field": ("sse", b"id: 1\ndata: {}\n\n", None),
    "two lines of data": ("sse", b'data: {"a":\ndata: 1}\n\n', None),
    "a line that is no field": ("sse", b'data: {"a":\n1}\n\n', None),
    "half objects that would be one": ("sse", b'data: {"a":1,\n\ndata: "b":2}\n\n', None),
    "a comment": ("sse", b": a\n\ndata: {}\n\n", None),
    "a comment behind": ("sse", b"data: {}\n\n: a\n\n", None),
    "no object": ("sse", b"data: [DONE]\n\n", None),
    "an end": ("sse", b"data: {}\n\ndata: [DONE]\n\n", None),
    "carriage returns": ("sse", b"data: {}\r\n\r\ndata: {}\n\n", None),
    "no blank": ("sse", b"data:{}\n\n", None),
    "a blank before the object": ("sse", b"data: {}\n\ndata:  {}\n\n", None),
    "many blank lines": ("sse", b"data: {}\n\n\n\ndata: {}\n\n", None),
    "lines": ("ndjson", b"{}\n{}\n", (b"{}\n{}\n", 2)),
    "a line": ("ndjson", b"{}\n", (b"{}\n", 1)),
    "an empty line": ("ndjson", b"{}\n\n{}\n", None),
    "half objects in lines": ("ndjson", b'{"a":1,\n"b":2}\n', None),
    "an array": ("json-array", b"[{},", None),
}


@pytest.mark.parametrize(("kind", "complete", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_the_objects_of_frames_that_are_alike(kind: str, complete: bytes, expected: tuple[bytes, int] | None) -> None:
    found = FRAMINGS[kind](FRAME_LIMIT).objects(complete)
    assert found == expected
    if found is not None:
        assert [Frame(each) for each in found[0].split(b"\n" if kind == "ndjson" else b"\t") if each] == [
            Frame(frame.data) for frame in FRAMINGS[kind](FRAME_LIMIT).parse(complete)
        ]
