"""The most frequent lines of an Ollama stream as types, which are decoded many at once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from ...wire.plain_objects import plain_objects


class QuietLine(Struct, gc=False):
    """A line of a chat that is neither the last nor an error."""

    message: Raw
    done: Literal[False] | None = None
    error: None = None
    model: str | UnsetType | None = UNSET


class QuietGenerateLine(Struct, gc=False):
    """The same of a generated text."""

    response: Raw
    done: Literal[False] | None = None
    error: None = None
    model: str | UnsetType | None = UNSET


class _TextMessage(Struct, gc=False, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1)]
    role: str | None = None


class TextLine(Struct, gc=False, forbid_unknown_fields=True):
    """A line that holds a piece of the chat's text and nothing else."""

    message: _TextMessage
    model: str | None = None
    created_at: str | None = None
    done: Literal[False] | None = None


text_lines = plain_objects(TextLine)
"""Decodes objects that are all of this type."""
