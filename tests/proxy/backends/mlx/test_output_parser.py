"""The output parser finds delimiters and stop sequences however the text is split into chunks, and loses no text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.backends.mlx.output_parser import Delimiters, Fragment, OutputParser, Part

DELIMITERS = Delimiters("<think>", "</think>", "<tool_call>", "</tool_call>")


def parse(
    text: str, cuts: list[int], stops: tuple[str, ...] = (), part: Part = "text"
) -> tuple[list[Fragment], str | None]:
    """Parses a text that is fed in chunks with these boundaries; joins the fragments of one part."""
    parser = OutputParser(DELIMITERS, stops, part=part)
    positions = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    fragments = [fragment for a, b in pairwise(positions) for fragment in parser.feed(text[a:b])]
    fragments += parser.end()
    merged: list[Fragment] = []
    for fragment in fragments:
        if merged and merged[-1].part == fragment.part and not merged[-1].closes:
            merged[-1] = Fragment(fragment.part, merged[-1].text + fragment.text, fragment.closes)
        else:
            merged.append(fragment)
    return [fragment for fragment in merged if fragment.text or fragment.closes], parser.matched


CASES: dict[str, tuple[str, tuple[str, ...], Part, list[Fragment], str | None]] = {
    "plain": ("Hello there", (), "text", [Fragment("text", "Hello there")], None),
    "a stop": ("one two END three", ("END",), "text", [Fragment("text", "one two ")], "END"),
    "the stop that is complete first": ("a stopper", ("stopper", "stop"), "text", [Fragment("text", "a ")], "stop"),
    "a longer stop that ends at the same position": ("xab", ("b", "ab"), "text", [Fragment("text", "x")], "ab"),
    "the beginning of a stop only": ("EN EN", ("END",), "text", [Fragment("text", "EN EN")], None),
    "a stop that overlaps its own beginning": ("aab", ("ab",), "text", [Fragment("text", "a")], "ab"),
    "a stop inside thinking is ignored": ("END</think>x END", ("END",), "thinking",
        [Fragment("thinking", "END", True), Fragment("text", "x ")], "END"),
    "thinking and an answer": ("<think>so</think>yes", (), "text",
        [Fragment("thinking", "so", True), Fragment("text", "yes")], None),
    "empty thinking": ("<think></think>yes", (), "text",
        [Fragment("thinking", "", True), Fragment("text", "yes")], None),
    "calls": ("a<tool_call>{1}</tool_call><tool_call>{2}</tool_call>", (), "text",
        [Fragment("text", "a"), Fragment("call", "{1}", True), Fragment("call", "{2}", True)], None),
    "a call cut off": ("<tool_call>{1", (), "text", [Fragment("call", "{1")], None),
    "a stop inside a call is ignored": ("<tool_call>{END}</tool_call>", ("END",), "text",
        [Fragment("call", "{END}", True)], None),
    "an empty stop is ignored": ("abc", ("",), "text", [Fragment("text", "abc")], None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "stops", "part", "fragments", "matched"), CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_fragments(
    text: str, stops: tuple[str, ...], part: Part, fragments: list[Fragment], matched: str | None, step: int
) -> None:
    found = parse(text, list(range(step, len(text), step)), stops, part)
    assert found == (fragments, matched)


@given(
    text=st.text(alphabet="<>/ab thinktool_call", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    stops=st.lists(st.text(alphabet="ab<t", min_size=1, max_size=4), max_size=3),
)
def test_chunk_boundaries_do_not_matter(text: str, cuts: list[int], stops: list[str]) -> None:
    assert parse(text, cuts, tuple(stops)) == parse(text, list(range(len(text))), tuple(stops))


@given(text=st.text(alphabet="ab c", max_size=30), stops=st.lists(st.text(alphabet="ab", min_size=1), max_size=3))
def test_a_text_ends_at_the_first_complete_stop_sequence(text: str, stops: list[str]) -> None:
    fragments, matched = parse(text, [], tuple(stops))
    ends = {stop: text.find(stop) + len(stop) for stop in stops if stop in text}
    output = "".join(fragment.text for fragment in fragments)
    if matched is None:
        assert (output, ends) == (text, {})
    else:
        assert len(output) + len(matched) == min(ends.values())
        assert text.startswith(output + matched)
