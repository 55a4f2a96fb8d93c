"""The most frequent chunks of a Gemini stream as types, which are decoded many at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ...wire.plain_objects import plain_objects


class _QuietCandidate(Struct, gc=False):
    finish_reason: None = field(default=None, name="finishReason")


class QuietChunk(Struct, gc=False):
    """A chunk without a finish reason, a feedback and an error; token counts are in every chunk."""

    candidates: list[_QuietCandidate]
    feedback: None = field(default=None, name="promptFeedback")
    error: None = None
    model: str | UnsetType | None = field(default=UNSET, name="modelVersion")


class _TextPart(Struct, gc=False, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1)]


class _TextContent(Struct, gc=False, forbid_unknown_fields=True):
    parts: tuple[_TextPart]
    role: str | None = None


class _TextCandidate(Struct, gc=False, forbid_unknown_fields=True):
    content: _TextContent
    index: Literal[0] | None = None


class TextChunk(Struct, gc=False, forbid_unknown_fields=True):
    """A chunk that holds one part of text, and no fields but those of every chunk."""

    candidates: tuple[_TextCandidate]
    usage: dict[str, Any] | None = field(default=None, name="usageMetadata")
    model: str | None = field(default=None, name="modelVersion")
    id: str | None = field(default=None, name="responseId")


text_chunks = plain_objects(TextChunk)
"""Decodes objects that are all of this type."""
