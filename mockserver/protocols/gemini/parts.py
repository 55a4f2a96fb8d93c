"""Builds neutral blocks from the parts of a content, and attaches signatures to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from ...scenarios.model import Block, Text, Thinking


class TextPart(Struct, frozen=True):
    """A text part; `thought` marks reasoning."""

    text: str
    thought: bool = False
    signature: str | None = None


Part: TypeAlias = TextPart | Block
"""A part of a content; the parts other than text are blocks already."""


def build_blocks(parts: Iterable[Part], *, merge: bool) -> tuple[Block, ...]:
    """Returns the blocks of the parts; with `merge`, adjacent unsigned text deltas of one kind form one block.

    A signature on an empty part after a text, as streams send it, signs that text. The signature of a text that is not
    reasoning becomes an empty Thinking block before it.
    """
    joined: list[TextPart | Block] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, TextPart) and isinstance(last, TextPart) and _is_continuation(last, part, merge):
            joined[-1] = TextPart(last.text + part.text, part.thought, part.signature)
        else:
            joined.append(part)
    blocks: list[Block] = []
    for one in joined:
        match one:
            case TextPart(text, True, signature):
                blocks.append(Thinking(text, signature))
            case TextPart(text, _, signature):
                if signature is not None:
                    blocks.append(Thinking("", signature))
                if text:
                    blocks.append(Text(text))
            case _:
                blocks.append(one)
    return tuple(blocks)


def _is_continuation(last: TextPart, part: TextPart, merge: bool) -> bool:
    if last.thought != part.thought or last.signature is not None:
        return False
    return merge if part.signature is None else not part.text
