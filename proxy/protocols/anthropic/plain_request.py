"""Reads the most frequent requests, conversations of plain text, at a fraction of what decoding costs.

Every field has one type here, and any other field or value is left to `decode_request`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ...ir import Request, Sampling, Text, Turn
from ...wire.duplicate_keys import repeats_none
from .tables import NAME

_Text = Annotated[str, Meta(min_length=1)]


class _Block(Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: _Text


_Content = _Text | Annotated[tuple[_Block, ...], Meta(min_length=1)]


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: _Content


class _Body(Struct, forbid_unknown_fields=True, gc=False):
    model: str
    messages: Annotated[tuple[_Message, ...], Meta(min_length=1)]
    system: _Content | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    temperature: int | float | UnsetType = UNSET
    top_p: int | float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    stream: bool | UnsetType = UNSET


decode = msgspec.json.Decoder(_Body).decode


def plain_request(body: bytes) -> Request | None:
    """The request; None where it is not plain."""
    try:
        found = decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not repeats_none(body, found):
        return None
    turns = [Turn(message.role, _blocks_of(message.content)) for message in found.messages]
    if found.system is not UNSET:
        turns.insert(0, Turn("system", _blocks_of(found.system)))
    return Request(
        protocol=NAME,
        model=found.model,
        turns=tuple(turns),
        sampling=Sampling(
            None if found.temperature is UNSET else found.temperature,
            None if found.top_p is UNSET else found.top_p,
            None if found.top_k is UNSET else found.top_k,
        ),
        max_tokens=None if found.max_tokens is UNSET else found.max_tokens,
        stream=found.stream is True,
    )


def _blocks_of(content: str | tuple[_Block, ...]) -> tuple[Text, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple([Text(block.text) for block in content])
