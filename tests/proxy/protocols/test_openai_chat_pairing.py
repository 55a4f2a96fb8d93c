"""Laws of a chat history's pairing: each result stands behind its call, nothing is alone, and what went is named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.ir import Block, Text, ToolCall, ToolResult, Turn
from proxy.protocols.openai_chat.pairing import Place, paired

IDS = st.sampled_from("abcd")
RESULTS = st.builds(ToolResult, IDS, st.just(()))
SAID = st.lists(st.one_of(st.builds(Text, IDS), st.builds(ToolCall, IDS, st.just("f")), RESULTS), max_size=4)
GIVEN = st.lists(st.one_of(st.builds(Text, IDS), RESULTS), max_size=4)


def unlike(blocks: list[Block]) -> tuple[Block, ...]:
    """The blocks without a second call of one id in one turn, which no provider says."""
    calls = [block.id for block in blocks if isinstance(block, ToolCall)]
    return tuple(block for block in blocks if not (isinstance(block, ToolCall) and calls.count(block.id) > 1))


TURNS = st.lists(
    st.one_of(
        st.builds(lambda blocks: Turn("assistant", unlike(blocks)), SAID),
        st.builds(lambda blocks: Turn("user", tuple(blocks)), GIVEN),
        st.builds(lambda text: Turn("system", (Text(text),)), IDS),
    ),
    max_size=6,
).map(tuple)


def places(turns: tuple[Turn, ...]) -> list[list[Place]]:
    return [[(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)] for t, turn in enumerate(turns)]


@given(TURNS)
def test_nothing_is_alone(turns: tuple[Turn, ...]) -> None:
    kept, _ = paired(turns, places(turns))
    waiting: list[str] = []
    for turn, parts in zip(turns, kept, strict=True):
        results = [block.id for _, block in parts if isinstance(block, ToolResult)]
        assert sorted(results) == sorted(waiting)
        assert all(isinstance(block, ToolResult) for _, block in parts[: len(results)])
        waiting = [block.id for _, block in parts if isinstance(block, ToolCall)] if turn.role == "assistant" else []
    assert waiting == []


@given(TURNS)
def test_what_went_is_named_and_the_rest_is_there(turns: tuple[Turn, ...]) -> None:
    before = [place for parts in places(turns) for place in parts]
    kept, lost = paired(turns, places(turns))
    after = [place for parts in kept for place in parts]
    assert sorted([path for path, _ in after] + lost) == sorted(path for path, _ in before)
    assert all(place in before for place in after)
    assert all(isinstance(block, ToolCall | ToolResult) for path, block in before if path in lost)


@given(TURNS)
def test_a_whole_history_stays_as_it_is(turns: tuple[Turn, ...]) -> None:
    kept, _ = paired(turns, places(turns))
    whole = tuple(Turn(turn.role, tuple(block for _, block in parts)) for turn, parts in zip(turns, kept, strict=True))
    assert paired(whole, places(whole)) == (places(whole), [])
