"""Send actions of a reply (faults, newlines, writes), and the framing parsers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.mockserver.faults import (
    Action,
    End,
    Sleep,
    Write,
    active_items,
    error_before_content,
    literal_reply,
    reply_actions,
)
from crosswire.mockserver.framing import JSON, NDJSON, SSE, Event, parse_array, parse_ndjson, parse_sse, sse
from crosswire.mockserver.protocols.reply_context import RenderedReply, ReplyPart
from crosswire.mockserver.scenarios.model import Cut, Garble, Item, Pause, SayError, SayText
from crosswire.mockserver.scenarios.story import Raw, Wire

A, B = sse({"n": 1}), sse({"n": 2})


def rendered(*steps: ReplyPart, framing: str = SSE) -> RenderedReply:
    return RenderedReply(200, {}, steps, framing)


CASES: list[tuple[str, RenderedReply, Wire, list[Action]]] = [
    ("frames", rendered(A, B), Wire(), [Write(A), Write(B)]),
    ("pause", rendered(A, Pause(0.1), B), Wire(), [Write(A), Sleep(0.1), Write(B)]),
    ("cut", rendered(A, Cut("eof"), B), Wire(), [Write(A), End("eof")]),
    ("reset", rendered(A, Cut("reset"), B), Wire(), [Write(A), End("reset")]),
    ("cut-inside", rendered(A, Cut("eof", 3), B), Wire(), [Write(A), Write(B[:3]), End("eof")]),
    ("cut-at-end", rendered(A, Cut("eof", 3)), Wire(), [Write(A), End("eof")]),
    ("garble", rendered(A, Garble("<x>"), B, A), Wire(), [Write(A), Write(b"<x>\n\n"), Write(A)]),
    ("crlf", rendered(A), Wire(newline="crlf"), [Write(A.replace(b"\n", b"\r\n"))]),
    ("crlf-twice", rendered(A.replace(b"\n", b"\r\n")), Wire(newline="crlf"), [Write(A.replace(b"\n", b"\r\n"))]),
    ("comments", rendered(A, B), Wire(comments=True), [Write(A), Write(b": still here\n\n" + B)]),
    ("no-comments", rendered(b"{}\n", b"{}\n", framing=NDJSON), Wire(comments=True), [Write(b"{}\n"), Write(b"{}\n")]),
    ("writes", rendered(b"abcde", framing=JSON), Wire(write=2), [Write(b"ab"), Write(b"cd"), Write(b"e")]),
    ("whole", rendered(A, B), Wire(write="whole"), [Write(A + B)]),
    ("whole-pause", rendered(A, A, Pause(0.1), B), Wire(write="whole"), [Write(A + A), Sleep(0.1), Write(B)]),
    ("whole-cut", rendered(A, Cut("eof", 3), B), Wire(write="whole"), [Write(A + B[:3]), End("eof")]),
    ("json-newline", rendered(b"{\n}", framing=JSON), Wire(newline="crlf"), [Write(b"{\n}")]),
    ("json-cut", rendered(Cut("eof"), b"abcdef", framing=JSON), Wire(), [Write(b"abc"), End("eof")]),
    ("json-cut-at", rendered(Cut("eof", 1), b"abcdef", framing=JSON), Wire(), [Write(b"a"), End("eof")]),
    ("json-reset", rendered(Cut("reset"), b"abcdef", framing=JSON), Wire(), [Write(b"abc"), End("reset")]),
]


@pytest.mark.parametrize(("answer", "wire", "actions"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_reply_actions(answer: RenderedReply, wire: Wire, actions: list[Action]) -> None:
    assert list(reply_actions(answer, wire)) == actions


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")), max_size=5),
    write=st.integers(1, 7) | st.sampled_from(["whole", "frame"]),
    newline=st.sampled_from(["lf", "crlf"]),
    comments=st.booleans(),
)
def test_wire_settings_do_not_change_the_events(
    texts: list[str], write: int | str, newline: str, comments: bool
) -> None:
    answer = rendered(*(sse({"t": text}, "e") for text in texts))
    sent = b"".join(
        action.data for action in reply_actions(answer, Wire(write, newline, comments)) if isinstance(action, Write)
    )
    assert parse_sse(sent).events == parse_sse(answer.body).events
    assert len(parse_sse(sent).events) == len(texts)


ERROR, LATE = SayError("rate_limit"), SayError("rate_limit", in_stream=True)
TEXT = SayText(("x",))

ERRORS: list[tuple[str, tuple[Item, ...], bool, tuple[SayError, float] | None]] = [
    ("none", (TEXT,), True, None),
    ("first", (ERROR,), True, (ERROR, 0)),
    ("waited", (Pause(0.2), Pause(0.3), ERROR), True, (ERROR, 0.5)),
    ("after-text", (TEXT, ERROR), True, None),
    ("in-stream", (LATE,), True, None),
    ("unary-after-text", (TEXT, ERROR), False, (ERROR, 0)),
    ("unary-in-stream", (TEXT, LATE), False, (LATE, 0)),
]


@pytest.mark.parametrize(("items", "stream", "found"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_error_before_content_is_a_status(
    items: tuple[Item, ...], stream: bool, found: tuple[SayError, float] | None
) -> None:
    assert error_before_content(items, stream) == found


def test_fault_stops_after_its_times() -> None:
    once, twice = SayError("internal", times=1), Cut(times=2)
    items: tuple[Item, ...] = (once, TEXT, twice, Pause(1))
    assert active_items(items, 0) == items
    assert active_items(items, 1) == (TEXT, twice, Pause(1))
    assert active_items(items, 2) == (TEXT, Pause(1))


RAW: list[tuple[Raw, str, bytes, str]] = [
    (Raw(body={"a": 1}), SSE, b'{"a":1}', JSON),
    (Raw(body="<html>"), SSE, b"<html>", JSON),
    (Raw(frames=("data: x\n\n", {"a": 1})), SSE, b'data: x\n\ndata: {"a":1}\n\n', SSE),
    (Raw(frames=({"a": 1},)), NDJSON, b'{"a":1}\n', NDJSON),
]


@pytest.mark.parametrize(("raw", "framing", "body", "framed"), RAW)
def test_literal_reply_is_sent_unchanged(raw: Raw, framing: str, body: bytes, framed: str) -> None:
    answer = literal_reply(raw, framing)
    assert (answer.body, answer.framing) == (body, framed)


# ---- framing parsers -------------------------------------------------------------------------------------------------

STREAMS: list[tuple[str, bytes, list[Event], str]] = [
    ("one", b"data: x\n\n", [Event("x")], ""),
    ("no-space", b"data:x\n\n", [Event("x")], ""),
    ("two-spaces", b"data:  x\n\n", [Event(" x")], ""),
    ("many-lines", b"data: a\ndata: b\n\n", [Event("a\nb")], ""),
    ("event", b"event: e\ndata: x\n\n", [Event("x", "e")], ""),
    ("crlf", b"event: e\r\ndata: x\r\n\r\n", [Event("x", "e")], ""),
    ("cr", b"data: x\r\rdata: y\r\r", [Event("x"), Event("y")], ""),
    ("comment", b": c\n\ndata: x\n: d\n\n", [Event("x")], ""),
    ("separators", "data: a\u2028b\x85c\n\n".encode(), [Event("a\u2028b\x85c")], ""),
    ("bom", b"\xef\xbb\xbfdata: x\n\n", [Event("x")], ""),
    ("unfinished", b"data: x\n\ndata: y\n", [Event("x")], "data: y\n"),
    ("half-line", b"data: x\n\ndat", [Event("x")], "dat"),
    ("empty", b"", [], ""),
]


@pytest.mark.parametrize(("body", "events", "rest"), [pytest.param(*row[1:], id=row[0]) for row in STREAMS])
def test_parse_sse(body: bytes, events: list[Event], rest: str) -> None:
    found = parse_sse(body)
    assert list(found.events) == events
    assert found.rest == rest


@pytest.mark.parametrize(
    ("body", "data", "rest"),
    [
        (b'[{"a":1},\r\n{"b":[2]}]', ['{"a":1}', '{"b":[2]}'], ""),
        (b'[{"a":1}\n,', ['{"a":1}'], "(no closing bracket)"),
        (b'[{"a":1},{"b', ['{"a":1}'], '{"b'),
        (b"[]", [], ""),
        (b"[]x", [], "x"),
        (b"{}", [], "{}"),
        (b"", [], ""),
    ],
)
def test_parse_array(body: bytes, data: list[str], rest: str) -> None:
    found = parse_array(body)
    assert [event.data for event in found.events] == data
    assert found.rest == rest


def test_parse_ndjson() -> None:
    found = parse_ndjson('{"a":"\u2028"}\r\n\n{"b":1}\n{"c'.encode())
    assert [event.data for event in found.events] == ['{"a":"\u2028"}', '{"b":1}']
    assert found.rest == '{"c'
