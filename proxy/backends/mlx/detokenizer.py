"""Turns token ids into text while they come, a token at a time."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any

from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer

_UTF8 = getincrementaldecoder("utf-8")


def byte_table(tokenizer: Any) -> list[bytes] | None:
    """Returns the bytes of each token of a byte-level tokenizer; None for a tokenizer of another kind.

    Such a tokenizer writes each byte as one character: https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    if not isinstance(tokenizer.detokenizer, BPEStreamingDetokenizer):
        return None
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    added = {id_: text.encode() for text, id_ in tokenizer.get_added_vocab().items()}
    byte_of = _byte_of_character()
    table = []
    for id_, token in enumerate(tokens):
        written = b"" if token is None else b"".join(byte_of.get(char) or char.encode() for char in token)
        table.append(added.get(id_, written))
    return table


def _byte_of_character() -> dict[str, bytes]:
    """Returns the byte that each character stands for: printable ones for themselves, the others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    found = {chr(byte): bytes([byte]) for byte in printable}
    return found | {chr(256 + at): bytes([byte]) for at, byte in enumerate(others)}


class ByteDetokenizer:
    """Decodes the tokens of one answer by the table of a byte-level tokenizer; a cut-off character waits for its end.

    A space before the first word is no part of the answer, as in mlx-lm.
    """

    def __init__(self, table: list[bytes]) -> None:
        self._table = table
        self._decode = _UTF8("replace").decode
        self._has_begun = False

    def add(self, token: int) -> str:
        """Returns the text that is complete now."""
        text = self._decode(self._table[token] if token < len(self._table) else b"")
        if text and not self._has_begun:
            self._has_begun = True
            return text[1:] if text[0] == " " else text
        return text

    def end(self) -> str:
        """Returns what is left of a character that was cut off."""
        return self._decode(b"", True)


class LibraryDetokenizer:
    """Decodes the tokens of one answer as mlx-lm does, for all other tokenizers."""

    def __init__(self, detokenizer: Any) -> None:
        self._detokenizer = detokenizer

    def add(self, token: int) -> str:
        """Returns the text that is complete now."""
        self._detokenizer.add_token(token)
        text: str = self._detokenizer.last_segment
        return text

    def end(self) -> str:
        """Returns the text that was held back."""
        self._detokenizer.finalize()
        text: str = self._detokenizer.last_segment
        return text
