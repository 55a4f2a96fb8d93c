"""The most frequent chunks of a chat stream as types, which are decoded many at once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...wire.plain_objects import plain_objects


class _QuietDelta(Struct, gc=False):
    usage: None = None


class _QuietChoice(Struct, gc=False):
    delta: _QuietDelta | None = None
    finish_reason: None = None
    usage: None = None
    error: None = None


class QuietChunk(Struct, gc=False):
    """A chunk without usage, stop reason and error, wherever hosts put them."""

    choices: list[_QuietChoice]
    usage: None = None
    x_groq: None = None
    error: None = None
    model: str | UnsetType | None = UNSET


class _TextDelta(Struct, gc=False, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1)]
    role: str | None = None


class _TextChoice(Struct, gc=False, forbid_unknown_fields=True):
    delta: _TextDelta
    index: Literal[0] | None = None
    finish_reason: None = None
    logprobs: None = None
    native_finish_reason: str | None = None


class TextChunk(Struct, gc=False, forbid_unknown_fields=True):
    """A chunk that holds a piece of the first choice's text, and nothing that the first chunk did not hold."""

    choices: tuple[_TextChoice]
    id: str | None = None
    object: str | None = None
    created: int | float | None = None
    model: str | None = None
    usage: None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    obfuscation: str | None = None
    provider: str | None = None


text_chunks = plain_objects(TextChunk)
"""Decodes objects that are all of this type."""
