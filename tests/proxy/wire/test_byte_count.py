"""The count of a character is that of Python, whether the character is rare or frequent."""

from __future__ import annotations

import pytest

from crosswire.proxy.wire.byte_count import SPARSE, count


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100])
@pytest.mark.parametrize("length", [0, 1, SPARSE, 3 * SPARSE, 10 * SPARSE + 7])
@pytest.mark.parametrize("place", ["first", "last", "even"])
def test_it_counts_as_python_does(number: int, length: int, place: str) -> None:
    if place == "even":
        text = ("x" * (length // (number + 1)) + ":") * number
    else:
        text = ":" * number + "x" * length if place == "first" else "x" * length + ":" * number
    assert count(text, ":") == text.count(":") == number
    assert count(text.encode(), b":") == number
