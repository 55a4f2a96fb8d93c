"""The neutral form's laws: a reply and its stream are one, and blocks that overlap can be told in a row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ir import (
    Audio,
    Block,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Image,
    Media,
    Note,
    Opaque,
    Open,
    Reasoning,
    Refusal,
    Reply,
    Seal,
    Sequencer,
    Signature,
    Start,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    fold,
    unfold,
)

words = st.text(max_size=8)
own = st.none() | st.dictionaries(words, st.integers(), min_size=1, max_size=2)
seals = st.none() | st.builds(Signature, words, words, st.none() | words)
citations = st.lists(st.builds(Citation, words, st.none() | words), max_size=2).map(tuple)
media = st.builds(Media, st.none() | words, words)
counts = st.none() | st.integers(0, 100)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
blocks = st.one_of(
    st.builds(Text, words, citations, seals, own=own),
    st.builds(Refusal, words, own=own),
    st.builds(Reasoning, words, seals, st.booleans(), own=own),
    st.builds(ToolCall, words, words, words, seal=seals, own=own),
    st.builds(Image, media, own),
    st.builds(Document, media, own),
    st.builds(Audio, media, own),
    st.builds(lambda id_: ToolResult(id_, (Text("x"),)), words),
    st.builds(lambda kind: Opaque("gemini", kind, {"a": 1}), words),
)
replies = st.builds(
    Reply,
    dialect=words,
    id=st.none() | words,
    model=st.none() | words,
    blocks=st.lists(blocks, max_size=5).map(tuple),
    stop=st.sampled_from(("end", "length", "tool", "stop_sequence", "filter", "pause", "other")),
    matched=st.none() | words,
    native=st.none() | words,
    usage=st.none() | usages,
    own=own,
)


@st.composite
def overlapping(draw: st.DrawFn) -> tuple[Reply, list[Event]]:
    """A reply, and a stream of it in which blocks overlap: opens ascend, and each block's events keep their order."""
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
    assert isinstance(event, Open | Delta | Seal | Note | Close)
    return event.index


@given(replies)
def test_law_unfold_then_fold_is_the_reply(reply: Reply) -> None:
    assert fold(unfold(reply)) == reply


@given(overlapping())
def test_law_overlap_never_matters_to_the_fold(pair: tuple[Reply, list[Event]]) -> None:
    reply, events = pair
    assert fold(events) == reply


@given(overlapping(), st.data())
def test_law_sequenced_blocks_follow_one_another(pair: tuple[Reply, list[Event]], data: st.DataObject) -> None:
    reply, events = pair
    sequencer = Sequencer()
    out: list[Event] = []
    while events:
        size = data.draw(st.integers(1, len(events)))
        out += sequencer.feed(events[:size])
        events = events[size:]
    current: int | None = None
    opened = 0
    for event in out[1:-1]:
        if isinstance(event, Open):
            assert (current, event.index) == (None, opened)
            current, opened = event.index, opened + 1
        else:
            assert index_of(event) == current
            if isinstance(event, Close):
                current = None
    assert current is None
    assert fold(out) == reply


@given(replies)
def test_law_a_row_of_blocks_is_not_held_back(reply: Reply) -> None:
    sequencer = Sequencer()
    for event in unfold(reply):
        assert sequencer.feed([event]) == [event]


START, FINISH = Start("openai-chat", "x", "y"), Finish("tool")
ONE, TWO, WORD = ToolCall("c1", "f"), ToolCall("c2", "g"), Text("")
ORDERS: dict[str, tuple[list[Event], list[Event]]] = {
    "the second call waits for the first": (
        [START, Open(0, ONE), Open(1, TWO), Delta(1, "b"), Delta(0, "a"), Close(0), Close(1), FINISH],
        [START, Open(0, ONE), Delta(0, "a"), Close(0), Open(1, TWO), Delta(1, "b"), Close(1), FINISH],
    ),
    "what waited goes on as it comes": (
        [START, Open(0, ONE), Open(1, TWO), Close(0), Delta(1, "b"), Close(1), Open(2, WORD), Close(2), FINISH],
        [START, Open(0, ONE), Close(0), Open(1, TWO), Delta(1, "b"), Close(1), Open(2, WORD), Close(2), FINISH],
    ),
    "a failure waits for nobody": (
        [START, Open(0, ONE), Open(1, TWO), Failure("upstream_cut", "", 502)],
        [START, Open(0, ONE), Failure("upstream_cut", "", 502)],
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_sequencer(case: str) -> None:
    events, expected = ORDERS[case]
    assert Sequencer().feed(events) == expected
    single = Sequencer()
    assert [out for event in events for out in single.feed([event])] == expected


def test_a_failure_anywhere_is_the_result() -> None:
    broken = Failure("overloaded", "later", 503)
    assert fold([broken]) == broken
    assert fold([START, Open(0, WORD), Delta(0, "a"), broken, FINISH]) == broken


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([], "without Finish or Failure"),
        ([START, Open(0, WORD)], "without Finish or Failure"),
        ([START, Open(1, WORD), FINISH], "block 1 opened after 0 blocks"),
        ([START, Open(0, WORD), Open(0, WORD), FINISH], "block 0 opened after 1 blocks"),
        ([START, Open(0, Refusal("")), Seal(0, Signature("s", "d")), FINISH], "Refusal cannot be sealed"),
        ([START, Open(0, ONE), Note(0, Citation("u")), FINISH], "ToolCall cannot be cited"),
    ],
)
def test_streams_that_break_the_form(events: list[Event], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        fold(events)


def test_fold_gathers_what_comes_late() -> None:
    events: list[Event] = [
        Start("d", "x", "y", Usage(input=9, cache_read=1), {"tier": 1, "mark": "early"}),
        Open(0, Text("a", own={"kept": 1})),
        Delta(0, "b"),
        Close(0, {"last": 2}),
        Open(1, ONE),
        Delta(1, "never closed"),
        Finish("tool", None, "tool_use", Usage(output=5, cache_read=2), {"mark": "late"}),
    ]
    assert fold(events) == Reply(
        dialect="d",
        id="x",
        model="y",
        blocks=(Text("ab", own={"kept": 1, "last": 2}), ToolCall("c1", "f", "never closed")),
        stop="tool",
        native="tool_use",
        usage=Usage(input=9, output=5, cache_read=2),
        own={"tier": 1, "mark": "late"},
    )


@pytest.mark.parametrize(
    ("early", "late", "whole"),
    [
        (None, None, None),
        (Usage(input=9), None, Usage(input=9)),
        (None, Usage(output=5), Usage(output=5)),
        (Usage(9, 1), Usage(output=5), Usage(9, 5)),
    ],
)
def test_usage_may_come_early_late_or_both(early: Usage | None, late: Usage | None, whole: Usage | None) -> None:
    reply = fold([Start("d", "x", "y", early), Finish("end", usage=late)])
    assert isinstance(reply, Reply)
    assert reply.usage == whole


@pytest.mark.parametrize(
    ("usage", "prompt"),
    [
        (Usage(), None),
        (Usage(output=5), None),
        (Usage(input=3), 3),
        (Usage(cache_read=4), 4),
        (Usage(3, 5, 4, 2, 1), 9),
        (Usage(input=0), 0),
    ],
)
def test_prompt_counts_what_was_cached(usage: Usage, prompt: int | None) -> None:
    assert usage.prompt == prompt


@given(usages, usages)
def test_law_a_later_report_wins_where_it_speaks(first: Usage, later: Usage) -> None:
    merged = first.merge(later)
    for field in Usage.__struct_fields__:
        said: Any = getattr(later, field)
        assert getattr(merged, field) == (getattr(first, field) if said is None else said)


@given(st.lists(blocks, max_size=3))
def test_law_nodes_are_values(found: list[Block]) -> None:
    again = Reply(dialect="d", id=None, model=None, blocks=tuple(found), stop="end")
    assert again == Reply(dialect="d", id=None, model=None, blocks=tuple(found), stop="end")
    with pytest.raises(AttributeError):
        setattr(again, "stop", "length")  # noqa: B010 - the checker knows that it is frozen; this asks the struct
