"""Tests of shell patterns: matches, captures, specificity, and shadowed patterns."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.routing.patterns import (
    Patterns,
    fill_placeholders,
    is_pattern,
    literal_length,
    literal_prefix,
    placeholders,
    wildcard_count,
)


@pytest.mark.parametrize(
    ("pattern", "name", "caught"),
    [
        pytest.param("gpt-4", "gpt-4", (), id="a name"),
        pytest.param("gpt-4", "gpt-4o", None, id="a name is whole"),
        pytest.param("gpt-4", "GPT-4", None, id="a name's case"),
        pytest.param("gpt.4", "gpt-4", None, id="a dot is a dot"),
        pytest.param("gpt-*", "gpt-4o", ("4o",), id="an end"),
        pytest.param("gpt-*", "gpt-", ("",), id="an empty end"),
        pytest.param("gpt-*", "my-gpt-4", None, id="not within"),
        pytest.param("*-turbo", "gpt-3.5-turbo", ("gpt-3.5",), id="a beginning"),
        pytest.param("*-turbo", "gpt-turbo-x", None, id="not a beginning"),
        pytest.param("claude-*-opus", "claude-3-opus", ("3",), id="a middle"),
        pytest.param("claude-*-opus", "claude-opus", None, id="no middle"),
        pytest.param("claude-*-opus", "claude--opus", ("",), id="an empty middle"),
        pytest.param("claude-3-?-*", "claude-3-5-sonnet", ("5", "sonnet"), id="one character"),
        pytest.param("claude-3-?-*", "claude-3-10-sonnet", None, id="not two characters"),
        pytest.param("o[0-9]*", "o3-mini", ("3", "-mini"), id="a class"),
        pytest.param("o[0-9]*", "olmo", None, id="outside a class"),
        pytest.param("o[!0-9]*", "olmo", ("l", "mo"), id="a class turned round"),
        pytest.param("[]a]b", "]b", ("]",), id="a bracket in a class"),
        pytest.param("[b-a]", "a", None, id="an empty class"),
        pytest.param("a[b", "a[b", (), id="a bracket that stays open"),
        pytest.param("*/*", "meta-llama/llama-3", ("meta-llama", "llama-3"), id="a slash"),
        pytest.param("*", "a/b/c", ("a/b/c",), id="everything"),
        pytest.param("**", "ab", ("ab",), id="two stars are one"),
        pytest.param("*a*b", "xaxab", ("x", "xa"), id="the first place that fits"),
        pytest.param("*", "two\nlines", ("two\nlines",), id="a line end"),
        pytest.param("gpt-4", "gpt-4\n", None, id="no line end after a name"),
    ],
)
def test_match_and_captures(pattern: str, name: str, caught: tuple[str, ...] | None) -> None:
    patterns = Patterns([pattern])
    assert (patterns.first_match(name) == 0) is (caught is not None)
    if caught is not None:
        assert patterns.captures(0, name) == caught


@pytest.mark.parametrize(
    ("pattern", "spelled", "wild", "before"),
    [
        ("gpt-4", 5, 0, "gpt-4"),
        ("gpt-*", 4, 1, "gpt-"),
        ("claude-3-?-*", 10, 2, "claude-3-"),
        ("o[0-9]*", 1, 2, "o"),
        ("a[b", 3, 0, "a[b"),
        ("*", 0, 1, ""),
        ("", 0, 0, ""),
    ],
)
def test_pattern_parts(pattern: str, spelled: int, wild: int, before: str) -> None:
    assert (literal_length(pattern), wildcard_count(pattern), literal_prefix(pattern)) == (spelled, wild, before)
    assert is_pattern(pattern) is (wild > 0)


@pytest.mark.parametrize(
    ("text", "caught", "whole"),
    [
        ("gpt-5", ("x",), "gpt-5"),
        ("{1}", ("x",), "x"),
        ("{2}/{1}-{1}", ("a", "b"), "b/a-a"),
        ("{0}{x}{}", ("a",), "{0}{x}{}"),
        ("{1}", ("{1}",), "{1}"),
    ],
)
def test_fill(text: str, caught: tuple[str, ...], whole: str) -> None:
    assert fill_placeholders(text, caught) == whole
    assert max(placeholders(text), default=0) <= len(caught)


@pytest.mark.parametrize(
    ("patterns", "hidden"),
    [
        pytest.param(["*", "gpt-*"], {1: 0}, id="all"),
        pytest.param(["gpt-*", "gpt-4*"], {1: 0}, id="wider"),
        pytest.param(["gpt-4*", "gpt-*"], {}, id="narrower first"),
        pytest.param(["gpt-*", "*-mini"], {}, id="they overlap"),
        pytest.param(["gpt-?", "gpt-*"], {}, id="one is not any"),
        pytest.param(["gpt-*", "gpt-?"], {1: 0}, id="any is one"),
        pytest.param(["gpt-?", "gpt-[45]"], {1: 0}, id="one of a class is one"),
        pytest.param(["gpt-[45]", "gpt-?"], {}, id="one is more than a class"),
        pytest.param(["gpt-[!45]", "gpt-?"], {}, id="nor is it a class turned round"),
        pytest.param(["a*", "b*", "*", "c?d"], {3: 2}, id="the third of four"),
        pytest.param(["gpt-*", "gpt-*"], {}, id="an equal one hides none"),
        pytest.param(["*-*", "a-b-c-*"], {1: 0}, id="several places"),
        pytest.param([], {}, id="none"),
    ],
)
def test_shadowed_patterns(patterns: list[str], hidden: dict[int, int]) -> None:
    assert Patterns(patterns).shadowed() == hidden


pattern_texts = st.text("ab*?[]!-/", max_size=6)
name_texts = st.text("ab-/[]!", max_size=6)


@given(pattern_texts, name_texts)
def test_property_patterns_match_like_fnmatch(pattern: str, name: str) -> None:
    patterns = Patterns([pattern])
    assert (patterns.first_match(name) == 0) == fnmatchcase(name, pattern)
    if patterns.first_match(name) == 0:
        assert len(patterns.captures(0, name)) == wildcard_count(pattern)


@given(st.lists(pattern_texts, max_size=6), name_texts)
def test_property_first_match(patterns: list[str], name: str) -> None:
    fits = [index for index, pattern in enumerate(patterns) if fnmatchcase(name, pattern)]
    assert Patterns(patterns).first_match(name) == (fits[0] if fits else None)


@given(st.lists(pattern_texts, max_size=5), name_texts)
def test_property_a_shadowed_pattern_is_never_the_first_match(patterns: list[str], name: str) -> None:
    found = Patterns(patterns)
    assert found.first_match(name) not in found.shadowed()


def test_long_names_are_matched_fast() -> None:
    """Would take for ever with an expression that looks further after a star has found its place."""
    assert Patterns(["*a*a*a*a*a*a*a*a*b"]).first_match("a" * 3000) is None
