"""Marks and stops are found to the character, however the text is cut; nothing is lost, nothing follows a stop."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.backends.mlx.markup import Marks, Part, Piece, Splitter

MARKS = Marks("<think>", "</think>", "<tool_call>", "</tool_call>")


def split(
    text: str, cuts: list[int], stops: tuple[str, ...] = (), part: Part = "text"
) -> tuple[list[Piece], str | None]:
    """The pieces of a text that comes in these cuts, those of one part joined."""
    splitter = Splitter(MARKS, stops, part=part)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [piece for a, b in pairwise(places) for piece in splitter.feed(text[a:b])]
    pieces += splitter.end()
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].part == piece.part and not joined[-1].closes:
            joined[-1] = Piece(piece.part, joined[-1].text + piece.text, piece.closes)
        else:
            joined.append(piece)
    return [piece for piece in joined if piece.text or piece.closes], splitter.matched


CASES: dict[str, tuple[str, tuple[str, ...], Part, list[Piece], str | None]] = {
    "plain": ("Hello there", (), "text", [Piece("text", "Hello there")], None),
    "a stop": ("one two END three", ("END",), "text", [Piece("text", "one two ")], "END"),
    "the stop that is whole first": ("a stopper", ("stopper", "stop"), "text", [Piece("text", "a ")], "stop"),
    "a longer one that ends at the same place": ("xab", ("b", "ab"), "text", [Piece("text", "x")], "ab"),
    "a beginning that comes to nothing": ("EN EN", ("END",), "text", [Piece("text", "EN EN")], None),
    "a stop that overlaps its own beginning": ("aab", ("ab",), "text", [Piece("text", "a")], "ab"),
    "a stop in a thought is none": ("END</think>x END", ("END",), "thinking",
        [Piece("thinking", "END", True), Piece("text", "x ")], "END"),
    "a thought and an answer": ("<think>so</think>yes", (), "text",
        [Piece("thinking", "so", True), Piece("text", "yes")], None),
    "an empty thought": ("<think></think>yes", (), "text", [Piece("thinking", "", True), Piece("text", "yes")], None),
    "calls": ("a<tool_call>{1}</tool_call><tool_call>{2}</tool_call>", (), "text",
        [Piece("text", "a"), Piece("call", "{1}", True), Piece("call", "{2}", True)], None),
    "a call cut off": ("<tool_call>{1", (), "text", [Piece("call", "{1")], None),
    "a stop in a call is none": ("<tool_call>{END}</tool_call>", ("END",), "text",
        [Piece("call", "{END}", True)], None),
    "an empty stop is none": ("abc", ("",), "text", [Piece("text", "abc")], None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "stops", "part", "pieces", "matched"), CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_pieces(
    text: str, stops: tuple[str, ...], part: Part, pieces: list[Piece], matched: str | None, step: int
) -> None:
    found = split(text, list(range(step, len(text), step)), stops, part)
    assert found == (pieces, matched)


@given(
    text=st.text(alphabet="<>/ab thinktool_call", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    stops=st.lists(st.text(alphabet="ab<t", min_size=1, max_size=4), max_size=3),
)
def test_cuts_never_matter(text: str, cuts: list[int], stops: list[str]) -> None:
    assert split(text, cuts, tuple(stops)) == split(text, list(range(len(text))), tuple(stops))


@given(text=st.text(alphabet="ab c", max_size=30), stops=st.lists(st.text(alphabet="ab", min_size=1), max_size=3))
def test_a_text_ends_where_its_first_stop_is_whole(text: str, stops: list[str]) -> None:
    pieces, matched = split(text, [], tuple(stops))
    ends = {stop: text.find(stop) + len(stop) for stop in stops if stop in text}
    said = "".join(piece.text for piece in pieces)
    if matched is None:
        assert (said, ends) == (text, {})
    else:
        assert len(said) + len(matched) == min(ends.values())
        assert text.startswith(said + matched)
