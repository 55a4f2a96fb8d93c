"""Tests of the neutral form's values: token counts, equality, immutability."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Reply, Text, Usage

counts = st.none() | st.integers(0, 100)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


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
def test_prompt_includes_cached_tokens(usage: Usage, prompt: int | None) -> None:
    assert usage.prompt == prompt


@given(usages, usages)
def test_property_merge_prefers_the_later_report(first: Usage, later: Usage) -> None:
    merged = first.merge(later)
    for field in Usage.__struct_fields__:
        reported: Any = getattr(later, field)
        assert getattr(merged, field) == (getattr(first, field) if reported is None else reported)


@given(st.text())
def test_values_are_equal_and_frozen(text: str) -> None:
    reply = Reply(protocol="d", id=None, model=None, blocks=(Text(text),), stop="end")
    assert reply == Reply(protocol="d", id=None, model=None, blocks=(Text(text),), stop="end")
    with pytest.raises(AttributeError):
        setattr(reply, "stop", "length")  # noqa: B010 - mypy knows that it is frozen; this tests the struct
