"""Answers cut at stop sequences by the proxy, whole and streamed in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import (
    BlockDelta,
    BlockEnd,
    BlockStart,
    Event,
    Reasoning,
    Reply,
    ReplyEnd,
    ReplyStart,
    Text,
    ToolCall,
    Usage,
    fold,
)
from crosswire.proxy.ir.stop_sequences import StopCutter, cut_at_stops

CALL = ToolCall("c", "f", "{}")


def _reply(*blocks: Text | ToolCall | Reasoning) -> Reply:
    return Reply(protocol="p", id="r", model="m", blocks=blocks, stop="end", native="stop", usage=Usage(1, 2))


@pytest.mark.parametrize(
    ("blocks", "stops", "left", "matched"),
    [
        ((Text("one END two"),), ("END",), (Text("one "),), "END"),
        ((Text("one two"),), ("END",), (Text("one two"),), None),
        ((Text("one EN"),), ("END",), (Text("one EN"),), None),
        ((Text("a#b*c"),), ("*", "#"), (Text("a"),), "#"),
        ((Text("END"),), ("END",), (Text(""),), "END"),
        ((Text("a"), CALL, Text("bENDc"), CALL), ("END",), (Text("a"), CALL, Text("b")), "END"),
        ((Reasoning("END"), Text("x")), ("END",), (Reasoning("END"), Text("x")), None),
        ((Text("xEND"), CALL), ("END", ""), (Text("x"),), "END"),
        ((Text("x"),), (), (Text("x"),), None),
    ],
)
def test_cut_at_stops(
    blocks: tuple[Text | ToolCall, ...], stops: tuple[str, ...], left: tuple[Text | ToolCall, ...], matched: str | None
) -> None:
    made = cut_at_stops(_reply(*blocks), stops)
    assert (made.blocks, made.matched, made.usage) == (left, matched, Usage(1, 2))
    assert (made.stop, made.native) == (("end", "stop") if matched is None else ("stop_sequence", None))


@given(st.lists(st.text("abE", max_size=4), max_size=8), st.lists(st.text("abE", min_size=1, max_size=3), max_size=3))
def test_property_a_stream_in_any_pieces_is_cut_like_the_whole(pieces: list[str], stops: list[str]) -> None:
    events: list[Event] = [ReplyStart("p", "r", "m"), BlockStart(0, Text(""))]
    events += [BlockDelta(0, piece) for piece in pieces]
    events += [BlockEnd(0), ReplyEnd("end", None, "stop", Usage(1, 2))]
    cutter = StopCutter(stops)
    streamed = fold([sent for event in events for sent in cutter.feed((event,))])
    assert streamed == cut_at_stops(_reply(Text("".join(pieces))), stops)


def test_what_cannot_be_the_beginning_of_a_sequence_is_not_held_back() -> None:
    cutter = StopCutter(("END",))
    assert cutter.feed([BlockStart(0, Text("")), BlockDelta(0, "oneE")])[1:] == [BlockDelta(0, "one")]
    assert cutter.feed([BlockDelta(0, "x")]) == [BlockDelta(0, "Ex")]


def test_a_call_that_began_before_the_sequence_is_kept_whole() -> None:
    cutter = StopCutter(("END",))
    events: list[Event] = [
        ReplyStart("p", "r", "m"),
        BlockStart(0, Text("")),
        BlockStart(1, ToolCall("c", "f")),
        *(BlockDelta(1, "{"), BlockDelta(0, "aENDb"), BlockDelta(1, "}"), BlockStart(2, Text("")), BlockDelta(2, "z")),
        *(BlockEnd(0), BlockEnd(1), BlockEnd(2), ReplyEnd("end")),
    ]
    made = fold(cutter.feed(events))
    assert isinstance(made, Reply)
    assert made.blocks == (Text("a"), ToolCall("c", "f", "{}"))
