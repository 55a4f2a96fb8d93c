"""The most frequent events of a Responses stream as types, which are decoded many at once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...wire.plain_objects import plain_objects


class QuietEvent(Struct, gc=False):
    """A piece of a text, of thinking or of a call's arguments."""

    type: Literal[
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    ]
    response: UnsetType = UNSET
    model: UnsetType = UNSET
    """It names no model, which only the events of a whole response do."""


class TextEvent(Struct, gc=False, forbid_unknown_fields=True):
    """An event that holds a piece of a text and nothing else."""

    type: Literal["response.output_text.delta"]
    delta: Annotated[str, Meta(min_length=1)]
    output_index: int
    content_index: int
    item_id: str | None = None
    logprobs: tuple[()] | None = None
    sequence_number: int | None = None
    obfuscation: str | None = None


text_events = plain_objects(TextEvent)
"""Decodes objects that are all of this type."""
