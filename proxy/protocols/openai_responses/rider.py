"""Seals of other providers, carried through a Responses client in the `encrypted_content` of a reasoning item.

A seal on a call or a text rides in an empty reasoning item just before it. An empty item alone does not tell such a
rider from thinking that has no text, so the token of the latter says what it is. It knows tokens and no wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from ... import seals
from ...ir import Block, Reasoning, Signature, Text, ToolCall
from .words import NAME

Place = Literal["next", "last", "text", "empty", "redacted"]

MARKS: dict[Place, str] = {
    "next": "",  # of the call or text that follows
    "last": "\0last\0",  # of the call or text before: the provider said it late in a stream
    "text": "\0text\0",  # of a text without a word
    "empty": "\0empty\0",  # of thinking without a word
    "redacted": "\0redacted\0",  # instead of thinking
}
"""What stands before the seal inside a token; no provider's own seal holds a NUL."""


def token(seal: Signature, place: Place) -> str:
    """What the client is given for a seal: a Responses provider's own as it is, any other as a token."""
    if seal.dialect == NAME or seal.minter is None:
        return seals.for_client(seal, NAME)
    return seals.for_client(replace(seal, value=MARKS[place] + seal.value), NAME)


def thought(block: Reasoning, seal: Signature) -> str:
    """The token of a thinking block's own seal."""
    return token(seal, "next" if block.text else "redacted" if block.redacted else "empty")


def settle(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks of an assistant's turn with every rider gone and its seal where it belongs."""
    out: list[Block] = []
    waiting: Signature | None = None
    for block in blocks:
        if isinstance(block, Reasoning) and block.seal is not None and block.seal.minter is not None:
            place, seal = _read(block.seal)
            if waiting is not None:
                out.append(Text("", seal=waiting))
                waiting = None
            match place:
                case "empty" | "redacted":
                    out.append(replace(block, seal=seal, redacted=place == "redacted"))
                case "next" if block.text:
                    out.append(block)
                case "next":
                    waiting = seal
                case "last":
                    _seal_last(out, seal)
                case "text":
                    out.append(Text("", seal=seal))
            continue
        if waiting is not None:
            if isinstance(block, Text | ToolCall):
                block = replace(block, seal=waiting)
            else:
                out.append(Text("", seal=waiting))
            waiting = None
        out.append(block)
    if waiting is not None:
        out.append(Text("", seal=waiting))
    return tuple(out)


def _read(seal: Signature) -> tuple[Place, Signature]:
    for place, mark in MARKS.items():
        if mark and seal.value.startswith(mark):
            return place, replace(seal, value=seal.value[len(mark) :])
    return "next", seal


def _seal_last(blocks: list[Block], seal: Signature) -> None:
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        if isinstance(block, Text | ToolCall):
            blocks[index] = replace(block, seal=seal)
            return
    blocks.append(Text("", seal=seal))
