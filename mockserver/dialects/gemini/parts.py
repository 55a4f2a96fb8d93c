"""Parts of a content, some of them signed, into neutral blocks; it reads no wire and judges nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from ...speech import Block, Text, Think


class Words(Struct, frozen=True):
    """A text part: `thought` tells thinking from speech, `seal` is its signature."""

    text: str
    thought: bool = False
    seal: str | None = None


Part: TypeAlias = Words | Block


def weave(parts: Iterable[Part], *, merge: bool) -> tuple[Block, ...]:
    """The blocks that the parts are; with `merge` neighbouring unsigned deltas of one kind are one block.

    A signature that comes alone after a text, as streams send it, signs that text. One on speech stands before it as an
    empty Think.
    """
    done: list[Words | Block] = []
    for part in parts:
        last = done[-1] if done else None
        if isinstance(part, Words) and isinstance(last, Words) and _joins(last, part, merge):
            done[-1] = Words(last.text + part.text, part.thought, part.seal)
        else:
            done.append(part)
    blocks: list[Block] = []
    for one in done:
        match one:
            case Words(text, True, seal):
                blocks.append(Think(text, seal))
            case Words(text, _, seal):
                if seal is not None:
                    blocks.append(Think("", seal))
                if text:
                    blocks.append(Text(text))
            case _:
                blocks.append(one)
    return tuple(blocks)


def _joins(last: Words, part: Words, merge: bool) -> bool:
    if last.thought != part.thought or last.seal is not None:
        return False
    return merge if part.seal is None else not part.text
