"""Faults at their place, and the framing of an answer: the actions that send it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockserver.dialects.contract import Spoken, Step
from mockserver.faults import Action, End, Sleep, Write, early, literal, play, standing
from mockserver.frames import JSON, NDJSON, SSE, Event, parse_array, parse_ndjson, parse_sse, sse
from mockserver.scenario import Raw, Wire
from mockserver.speech import Cut, Garble, Item, Pause, SayError, SayText

A, B = sse({"n": 1}), sse({"n": 2})


def spoken(*steps: Step, framing: str = SSE) -> Spoken:
    return Spoken(200, {}, steps, framing)


CASES: list[tuple[str, Spoken, Wire, list[Action]]] = [
    ("frames", spoken(A, B), Wire(), [Write(A), Write(B)]),
    ("pause", spoken(A, Pause(0.1), B), Wire(), [Write(A), Sleep(0.1), Write(B)]),
    ("cut", spoken(A, Cut("eof"), B), Wire(), [Write(A), End("eof")]),
    ("reset", spoken(A, Cut("reset"), B), Wire(), [Write(A), End("reset")]),
    ("cut-inside", spoken(A, Cut("eof", 3), B), Wire(), [Write(A), Write(B[:3]), End("eof")]),
    ("cut-at-end", spoken(A, Cut("eof", 3)), Wire(), [Write(A), End("eof")]),
    ("garble", spoken(A, Garble("<x>"), B, A), Wire(), [Write(A), Write(b"<x>\n\n"), Write(A)]),
    ("crlf", spoken(A), Wire(newline="crlf"), [Write(A.replace(b"\n", b"\r\n"))]),
    ("crlf-twice", spoken(A.replace(b"\n", b"\r\n")), Wire(newline="crlf"), [Write(A.replace(b"\n", b"\r\n"))]),
    ("comments", spoken(A, B), Wire(comments=True), [Write(A), Write(b": still here\n\n" + B)]),
    ("no-comments", spoken(b"{}\n", b"{}\n", framing=NDJSON), Wire(comments=True), [Write(b"{}\n"), Write(b"{}\n")]),
    ("writes", spoken(b"abcde", framing=JSON), Wire(write=2), [Write(b"ab"), Write(b"cd"), Write(b"e")]),
    ("json-newline", spoken(b"{\n}", framing=JSON), Wire(newline="crlf"), [Write(b"{\n}")]),
    ("json-cut", spoken(Cut("eof"), b"abcdef", framing=JSON), Wire(), [Write(b"abc"), End("eof")]),
    ("json-cut-at", spoken(Cut("eof", 1), b"abcdef", framing=JSON), Wire(), [Write(b"a"), End("eof")]),
    ("json-reset", spoken(Cut("reset"), b"abcdef", framing=JSON), Wire(), [Write(b"abc"), End("reset")]),
]


@pytest.mark.parametrize(("answer", "wire", "actions"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_an_answer_goes_out_as_its_story_says(answer: Spoken, wire: Wire, actions: list[Action]) -> None:
    assert list(play(answer, wire)) == actions


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")), max_size=5),
    write=st.none() | st.integers(1, 7),
    newline=st.sampled_from(["lf", "crlf"]),
    comments=st.booleans(),
)
def test_framing_never_changes_what_is_read(texts: list[str], write: int | None, newline: str, comments: bool) -> None:
    answer = spoken(*(sse({"t": text}, "e") for text in texts))
    sent = b"".join(action.data for action in play(answer, Wire(write, newline, comments)) if isinstance(action, Write))
    assert parse_sse(sent).events == parse_sse(answer.body).events
    assert len(parse_sse(sent).events) == len(texts)


ERROR, LATE = SayError("rate_limit"), SayError("rate_limit", in_stream=True)
TEXT = SayText(("x",))

EARLY: list[tuple[str, tuple[Item, ...], bool, tuple[SayError, float] | None]] = [
    ("none", (TEXT,), True, None),
    ("first", (ERROR,), True, (ERROR, 0)),
    ("waited", (Pause(0.2), Pause(0.3), ERROR), True, (ERROR, 0.5)),
    ("after-text", (TEXT, ERROR), True, None),
    ("in-stream", (LATE,), True, None),
    ("unary-after-text", (TEXT, ERROR), False, (ERROR, 0)),
    ("unary-in-stream", (TEXT, LATE), False, (LATE, 0)),
]


@pytest.mark.parametrize(("items", "stream", "found"), [pytest.param(*row[1:], id=row[0]) for row in EARLY])
def test_an_error_is_a_status_until_something_was_said(
    items: tuple[Item, ...], stream: bool, found: tuple[SayError, float] | None
) -> None:
    assert early(items, stream) == found


def test_a_fault_is_over_after_its_times() -> None:
    once, twice = SayError("internal", times=1), Cut(times=2)
    items: tuple[Item, ...] = (once, TEXT, twice, Pause(1))
    assert standing(items, 0) == items
    assert standing(items, 1) == (TEXT, twice, Pause(1))
    assert standing(items, 2) == (TEXT, Pause(1))


RAW: list[tuple[Raw, str, bytes, str]] = [
    (Raw(body={"a": 1}), SSE, b'{"a":1}', JSON),
    (Raw(body="<html>"), SSE, b"<html>", JSON),
    (Raw(frames=("data: x\n\n", {"a": 1})), SSE, b'data: x\n\ndata: {"a":1}\n\n', SSE),
    (Raw(frames=({"a": 1},)), NDJSON, b'{"a":1}\n', NDJSON),
]


@pytest.mark.parametrize(("raw", "framing", "body", "framed"), RAW)
def test_a_literal_reply_is_literal(raw: Raw, framing: str, body: bytes, framed: str) -> None:
    answer = literal(raw, framing)
    assert (answer.body, answer.framing) == (body, framed)


# ---- reading frames --------------------------------------------------------------------------------------------------

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
def test_sse_is_read_by_the_standard(body: bytes, events: list[Event], rest: str) -> None:
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
def test_an_array_is_read_element_by_element(body: bytes, data: list[str], rest: str) -> None:
    found = parse_array(body)
    assert [event.data for event in found.events] == data
    assert found.rest == rest


def test_ndjson_is_read_line_by_line() -> None:
    found = parse_ndjson('{"a":"\u2028"}\r\n\n{"b":1}\n{"c'.encode())
    assert [event.data for event in found.events] == ['{"a":"\u2028"}', '{"b":1}']
    assert found.rest == '{"c'
