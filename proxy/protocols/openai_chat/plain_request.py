"""Reads the most frequent requests, conversations of plain text, at a fraction of what decoding costs.

Every field has one type here, and any other field or value is left to `decode_request`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ...ir import Request, Sampling, Text, Turn
from ...wire.duplicate_keys import repeats_none
from .tables import NAME

_Text = Annotated[str, Meta(min_length=1)]


class _Part(Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: _Text


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "developer", "user", "assistant"]
    content: _Text | Annotated[tuple[_Part, ...], Meta(min_length=1)]


class _Body(Struct, forbid_unknown_fields=True, gc=False):
    model: str
    messages: Annotated[tuple[_Message, ...], Meta(min_length=1)]
    temperature: int | float | UnsetType = UNSET
    top_p: int | float | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    frequency_penalty: int | float | UnsetType = UNSET
    presence_penalty: int | float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    user: str | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    stream_options: dict[str, Any] | UnsetType = UNSET


decode = msgspec.json.Decoder(_Body).decode


def plain_request(body: bytes) -> Request | None:
    """The request; None where it is not plain."""
    try:
        found = decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    limit = found.max_completion_tokens
    if limit is UNSET:
        limit = found.max_tokens
    elif found.max_tokens is not UNSET and found.max_tokens != limit:
        return None
    if not repeats_none(body, found):
        return None
    return Request(
        protocol=NAME,
        model=found.model,
        turns=tuple([_turn_of(message) for message in found.messages]),
        sampling=Sampling(
            None if found.temperature is UNSET else found.temperature,
            None if found.top_p is UNSET else found.top_p,
            None,
            None if found.seed is UNSET else found.seed,
            None if found.frequency_penalty is UNSET else found.frequency_penalty,
            None if found.presence_penalty is UNSET else found.presence_penalty,
        ),
        max_tokens=None if limit is UNSET else limit,
        user=None if found.user is UNSET else found.user,
        stream=found.stream is True,
        extra=None if found.stream_options is UNSET else {"stream_options": found.stream_options},
    )


def _turn_of(message: _Message) -> Turn:
    content = message.content
    if isinstance(content, str):
        return Turn(message.role, (Text(content),))
    return Turn(message.role, tuple([Text(part.text) for part in content]))
