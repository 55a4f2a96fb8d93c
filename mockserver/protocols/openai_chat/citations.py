"""Renders the sources of a reply as Chat Completions annotations; offsets count characters of the content.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any

from ...scenarios.model import Citation


def url_citations(cites: tuple[Citation, ...], before: int, length: int) -> list[dict[str, Any]]:
    """Returns the annotations of the `length` characters of the content that start at offset `before`."""
    span = {"start_index": before, "end_index": before + length}
    return [
        {"type": "url_citation", "url_citation": span | {"title": cite.title or "", "url": cite.url}} for cite in cites
    ]
