"""Tokens become the same text as by the tokenizer itself, and no character is cut in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import local_model  # noqa: F401 - skips where the extra is not installed
from .own_model import make_model

TEXTS = ("Hello there", "çà et là", "日本語 and 🦊", "<tool_call>\n{}</tool_call>", "a  b\n\n c", "")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from mlx_lm.tokenizer_utils import load

    folder: Path = make_model(tmp_path_factory.mktemp("models") / "model")
    return load(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text(text: str, tokenizer: Any) -> None:
    from crosswire.proxy.backends.mlx.detokenizer import ByteDetokenizer, LibraryDetokenizer, byte_table

    table = byte_table(tokenizer)
    assert table is not None
    for detokenizer in (ByteDetokenizer(table), LibraryDetokenizer(tokenizer.detokenizer)):
        pieces = [detokenizer.add(token) for token in tokenizer.encode(text, add_special_tokens=False)]
        assert "".join([*pieces, detokenizer.end()]) == text
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_that_is_cut_off_at_the_end() -> None:
    from crosswire.proxy.backends.mlx.detokenizer import ByteDetokenizer

    detokenizer = ByteDetokenizer([b"\xc3", b" a"])
    assert [detokenizer.add(1), detokenizer.add(0), detokenizer.end()] == ["a", "", "\ufffd"]
