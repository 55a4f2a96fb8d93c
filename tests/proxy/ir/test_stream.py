"""Tests of `fold`, `unfold` and BlockSequencer: a reply and its stream are equivalent, overlaps are put in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import (
    Audio,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSequencer,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    Image,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    fold,
    unfold,
)

words = st.text(max_size=8)
extra = st.none() | st.dictionaries(words, st.integers(), min_size=1, max_size=2)
signatures = st.none() | st.builds(Signature, words, words, st.none() | words)
citations = st.lists(st.builds(Citation, words, st.none() | words), max_size=2).map(tuple)
media = st.builds(Media, st.none() | words, words)
counts = st.none() | st.integers(0, 100)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
blocks = st.one_of(
    st.builds(Text, words, citations, signatures, extra=extra),
    st.builds(Refusal, words, extra=extra),
    st.builds(Reasoning, words, signatures, st.booleans(), extra=extra),
    st.builds(ToolCall, words, words, words, signature=signatures, extra=extra),
    st.builds(Image, media, extra),
    st.builds(Document, media, extra),
    st.builds(Audio, media, extra),
    st.builds(lambda id_: ToolResult(id_, (Text("x"),)), words),
    st.builds(lambda kind: Opaque("gemini", kind, {"a": 1}), words),
)
replies = st.builds(
    Reply,
    protocol=words,
    id=st.none() | words,
    model=st.none() | words,
    blocks=st.lists(blocks, max_size=5).map(tuple),
    stop=st.sampled_from(("end", "length", "tool", "stop_sequence", "filter", "pause", "other")),
    matched=st.none() | words,
    native=st.none() | words,
    usage=st.none() | usages,
    extra=extra,
)


@st.composite
def overlapping(draw: st.DrawFn) -> tuple[Reply, list[Event]]:
    """A reply, and a stream of it in which blocks overlap: indexes ascend, and each block's events keep their order."""
    reply = draw(replies)
    start, *events, finish = unfold(reply)
    queues: list[list[Event]] = [[] for _ in reply.blocks]
    for event in events:
        queues[index_of(event)].append(event)
    mixed: list[Event] = [start]
    opened = 0
    while any(queues):
        ready = [n for n in range(opened) if queues[n]] + ([opened] if opened < len(queues) else [])
        chosen = draw(st.sampled_from(ready))
        opened += chosen == opened
        mixed.append(queues[chosen].pop(0))
    return reply, [*mixed, finish]


def index_of(event: Event) -> int:
    assert isinstance(event, BlockStart | BlockDelta | BlockSignature | BlockCitation | BlockEnd)
    return event.index


@given(replies)
def test_property_fold_inverts_unfold(reply: Reply) -> None:
    assert fold(unfold(reply)) == reply


@given(overlapping())
def test_property_fold_accepts_overlapping_blocks(pair: tuple[Reply, list[Event]]) -> None:
    reply, events = pair
    assert fold(events) == reply


@given(overlapping(), st.data())
def test_property_sequenced_blocks_do_not_overlap(pair: tuple[Reply, list[Event]], data: st.DataObject) -> None:
    reply, events = pair
    sequencer = BlockSequencer()
    out: list[Event] = []
    while events:
        size = data.draw(st.integers(1, len(events)))
        out += sequencer.feed(events[:size])
        events = events[size:]
    current: int | None = None
    opened = 0
    for event in out[1:-1]:
        if isinstance(event, BlockStart):
            assert (current, event.index) == (None, opened)
            current, opened = event.index, opened + 1
        else:
            assert index_of(event) == current
            if isinstance(event, BlockEnd):
                current = None
    assert current is None
    assert fold(out) == reply


@given(replies)
def test_property_ordered_blocks_are_not_buffered(reply: Reply) -> None:
    sequencer = BlockSequencer()
    for event in unfold(reply):
        assert sequencer.feed([event]) == [event]


START, FINISH = ReplyStart("openai-chat", "x", "y"), ReplyEnd("tool")
ONE, TWO, WORD = ToolCall("c1", "f"), ToolCall("c2", "g"), Text("")
ORDERS: dict[str, tuple[list[Event], list[Event]]] = {
    "the second call waits for the first": (
        [
            START,
            BlockStart(0, ONE),
            BlockStart(1, TWO),
            BlockDelta(1, "b"),
            BlockDelta(0, "a"),
            BlockEnd(0),
            BlockEnd(1),
            FINISH,
        ],
        [
            START,
            BlockStart(0, ONE),
            BlockDelta(0, "a"),
            BlockEnd(0),
            BlockStart(1, TWO),
            BlockDelta(1, "b"),
            BlockEnd(1),
            FINISH,
        ],
    ),
    "a buffered block continues unbuffered": (
        [
            START,
            BlockStart(0, ONE),
            BlockStart(1, TWO),
            BlockEnd(0),
            BlockDelta(1, "b"),
            BlockEnd(1),
            BlockStart(2, WORD),
            BlockEnd(2),
            FINISH,
        ],
        [
            START,
            BlockStart(0, ONE),
            BlockEnd(0),
            BlockStart(1, TWO),
            BlockDelta(1, "b"),
            BlockEnd(1),
            BlockStart(2, WORD),
            BlockEnd(2),
            FINISH,
        ],
    ),
    "a failure is sent at once": (
        [START, BlockStart(0, ONE), BlockStart(1, TWO), Failure("upstream_cut", "", 502)],
        [START, BlockStart(0, ONE), Failure("upstream_cut", "", 502)],
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_sequencer(case: str) -> None:
    events, expected = ORDERS[case]
    assert BlockSequencer().feed(events) == expected
    single = BlockSequencer()
    assert [out for event in events for out in single.feed([event])] == expected


def test_a_failure_anywhere_is_the_result() -> None:
    broken = Failure("overloaded", "later", 503)
    assert fold([broken]) == broken
    assert fold([START, BlockStart(0, WORD), BlockDelta(0, "a"), broken, FINISH]) == broken


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([], "without ReplyEnd or Failure"),
        ([START, BlockStart(0, WORD)], "without ReplyEnd or Failure"),
        ([START, BlockStart(1, WORD), FINISH], "block 1 opened after 0 blocks"),
        ([START, BlockStart(0, WORD), BlockStart(0, WORD), FINISH], "block 0 opened after 1 blocks"),
        (
            [START, BlockStart(0, Refusal("")), BlockSignature(0, Signature("s", "d")), FINISH],
            "Refusal cannot have a signature",
        ),
        ([START, BlockStart(0, ONE), BlockCitation(0, Citation("u")), FINISH], "ToolCall cannot have a citation"),
    ],
)
def test_fold_rejects_streams_that_break_the_grammar(events: list[Event], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        fold(events)


def test_fold_merges_late_fields() -> None:
    events: list[Event] = [
        ReplyStart("d", "x", "y", Usage(input=9, cache_read=1), {"tier": 1, "mark": "early"}),
        BlockStart(0, Text("a", extra={"kept": 1})),
        BlockDelta(0, "b"),
        BlockEnd(0, {"last": 2}),
        BlockStart(1, ONE),
        BlockDelta(1, "never closed"),
        ReplyEnd("tool", None, "tool_use", Usage(output=5, cache_read=2), {"mark": "late"}),
    ]
    assert fold(events) == Reply(
        protocol="d",
        id="x",
        model="y",
        blocks=(Text("ab", extra={"kept": 1, "last": 2}), ToolCall("c1", "f", "never closed")),
        stop="tool",
        native="tool_use",
        usage=Usage(input=9, output=5, cache_read=2),
        extra={"tier": 1, "mark": "late"},
    )


@pytest.mark.parametrize(
    ("early", "late", "merged"),
    [
        (None, None, None),
        (Usage(input=9), None, Usage(input=9)),
        (None, Usage(output=5), Usage(output=5)),
        (Usage(9, 1), Usage(output=5), Usage(9, 5)),
    ],
)
def test_usage_may_come_early_late_or_both(early: Usage | None, late: Usage | None, merged: Usage | None) -> None:
    reply = fold([ReplyStart("d", "x", "y", early), ReplyEnd("end", usage=late)])
    assert isinstance(reply, Reply)
    assert reply.usage == merged
