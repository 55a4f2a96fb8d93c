"""Properties of tool pairing: a result follows its call, no orphans are left, and each removed block is reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Block, Text, ToolCall, ToolResult, Turn
from crosswire.proxy.protocols.openai_chat.tool_pairing import LocatedBlock, pair_tool_results

IDS = st.sampled_from("abcd")
RESULTS = st.builds(ToolResult, IDS, st.just(()))
ASSISTANT_BLOCKS = st.lists(
    st.one_of(st.builds(Text, IDS), st.builds(ToolCall, IDS, st.just("f")), RESULTS), max_size=4
)
USER_BLOCKS = st.lists(st.one_of(st.builds(Text, IDS), RESULTS), max_size=4)


def with_unique_calls(blocks: list[Block]) -> tuple[Block, ...]:
    """Removes calls that share an id within one turn, which no provider sends."""
    calls = [block.id for block in blocks if isinstance(block, ToolCall)]
    return tuple(block for block in blocks if not (isinstance(block, ToolCall) and calls.count(block.id) > 1))


TURNS = st.lists(
    st.one_of(
        st.builds(lambda blocks: Turn("assistant", with_unique_calls(blocks)), ASSISTANT_BLOCKS),
        st.builds(lambda blocks: Turn("user", tuple(blocks)), USER_BLOCKS),
        st.builds(lambda text: Turn("system", (Text(text),)), IDS),
    ),
    max_size=6,
).map(tuple)


def located(turns: tuple[Turn, ...]) -> list[list[LocatedBlock]]:
    return [[(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)] for t, turn in enumerate(turns)]


@given(TURNS)
def test_every_call_is_followed_by_its_result(turns: tuple[Turn, ...]) -> None:
    kept, _ = pair_tool_results(turns, located(turns))
    pending: list[str] = []
    for turn, blocks in zip(turns, kept, strict=True):
        results = [block.id for _, block in blocks if isinstance(block, ToolResult)]
        assert sorted(results) == sorted(pending)
        assert all(isinstance(block, ToolResult) for _, block in blocks[: len(results)])
        pending = [block.id for _, block in blocks if isinstance(block, ToolCall)] if turn.role == "assistant" else []
    assert pending == []


@given(TURNS)
def test_only_orphans_are_removed_and_each_is_reported(turns: tuple[Turn, ...]) -> None:
    before = [entry for blocks in located(turns) for entry in blocks]
    kept, orphans = pair_tool_results(turns, located(turns))
    after = [entry for blocks in kept for entry in blocks]
    assert sorted([path for path, _ in after] + orphans) == sorted(path for path, _ in before)
    assert all(entry in before for entry in after)
    assert all(isinstance(block, ToolCall | ToolResult) for path, block in before if path in orphans)


@given(TURNS)
def test_a_paired_history_is_unchanged(turns: tuple[Turn, ...]) -> None:
    kept, _ = pair_tool_results(turns, located(turns))
    paired = tuple(
        Turn(turn.role, tuple(block for _, block in blocks)) for turn, blocks in zip(turns, kept, strict=True)
    )
    assert pair_tool_results(paired, located(paired)) == (located(paired), [])
