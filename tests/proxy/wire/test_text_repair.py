"""Texts of backends become UTF-8, and lose the mark before them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.wire.text_repair import valid_utf8, without_mark


@given(st.binary())
def test_property_the_result_is_utf8_and_what_was_utf8_stays(data: bytes) -> None:
    assert valid_utf8(data).decode() == data.decode(errors="replace")


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"a\xf0\x9f\x98b", "a�b"), (b"\xed\xa0\x80", "���"), ("🦀".encode(), "🦀"), (b"", "")],
)
def test_what_is_no_utf8_is_replaced(data: bytes, text: str) -> None:
    assert valid_utf8(data) == text.encode()


def test_one_mark_is_removed() -> None:
    assert without_mark(b"\xef\xbb\xbf\xef\xbb\xbfx") == b"\xef\xbb\xbfx"
    assert without_mark(b"x\xef\xbb\xbf") == b"x\xef\xbb\xbf"
