"""The most frequent events of an Anthropic stream as types, which are decoded many at once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...wire.plain_objects import plain_objects


class QuietEvent(Struct, gc=False):
    """An event within the content."""

    type: Literal["content_block_start", "content_block_delta", "content_block_stop", "ping"]
    message: UnsetType = UNSET
    model: UnsetType = UNSET
    """It names no model, which only the first event does."""


class _TextDelta(Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text_delta"]
    text: Annotated[str, Meta(min_length=1)]


class TextEvent(Struct, gc=False, forbid_unknown_fields=True):
    """An event that holds a piece of a text and nothing else."""

    type: Literal["content_block_delta"]
    index: int
    delta: _TextDelta


text_events = plain_objects(TextEvent)
"""Decodes objects that are all of this type."""
