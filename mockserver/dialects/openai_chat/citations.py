"""The sources of an answer in the form of Chat Completions, said and heard; offsets count characters of the content.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...speech import Cite
from ..contract import expect


def url_citations(cites: tuple[Cite, ...], before: int, length: int) -> list[dict[str, Any]]:
    """The annotations of a stretch that begins after `before` characters of the content."""
    span = {"start_index": before, "end_index": before + length}
    return [
        {"type": "url_citation", "url_citation": span | {"title": cite.title or "", "url": cite.url}} for cite in cites
    ]


def cites_in(found: Any, text: str, complaints: list[str]) -> Iterator[Cite]:
    """The sources that have an address, each with its stretch of the text."""
    for annotation in found or []:
        if annotation.get("type") != "url_citation":
            continue
        cite = annotation.get("url_citation")
        expect(cite, {"start_index": int, "end_index": int, "title": str, "url": str}, "url_citation", complaints)
        start, end = cite.get("start_index", 0), cite.get("end_index", 0)
        if not 0 <= start <= end <= len(text):
            complaints.append(f"url_citation: {start} to {end} is no stretch of a text of {len(text)} characters")
        yield Cite(str(cite.get("url")), cite.get("title") or None, cite.get("content"), text[start:end])
