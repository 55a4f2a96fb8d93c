"""Decodes content, arguments and annotations, which have the same rules in both protocols and other field names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import Malformed
from ...ir import Block, Citation, Text
from ...wire import json_fields


def content_in(
    fields: dict[str, Any], key: str, part_in: Callable[[dict[str, Any]], Block], required: bool = True
) -> tuple[Block, ...]:
    """Pops content, a string or an array of parts; an empty string that is not required gives no block."""
    content = fields.pop(key, None)
    if type(content) is str:
        return (Text(content),) if content or required else ()
    if type(content) is list:
        return json_fields.each(content, key, part_in)
    if content is None and not required:
        return ()
    if content is None:
        raise Malformed(key, "is required and must be a string or an array of parts")
    raise Malformed(key, f"must be a string or an array of parts, is {json_fields.describe(content)}")


def arguments_in(fields: dict[str, Any]) -> str:
    """Pops a call's arguments as JSON text; some hosts send the object itself."""
    arguments = fields.pop("arguments", None) or ""
    return arguments if type(arguments) is str else json_fields.encode(arguments).decode()


def split_annotations(
    annotations: list[Any], citation_in: Callable[[Any], Citation | None]
) -> tuple[tuple[Citation, ...], list[Any]]:
    """Returns the annotations that are citations, decoded, and the others as they are."""
    citations: list[Citation] = []
    others: list[Any] = []
    for annotation in annotations:
        citation = citation_in(annotation)
        if citation is None:
            others.append(annotation)
        else:
            citations.append(citation)
    return tuple(citations), others
