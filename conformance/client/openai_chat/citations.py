"""Parses citations from Chat Completions annotations; offsets count characters of the content.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crosswire.mockserver.scenarios.model import Citation

from ..reply_checks import check_keys


def cited_sources(annotations: Any, text: str, complaints: list[str]) -> Iterator[Citation]:
    """Yields the sources that have a URL, each with its span of the text."""
    for annotation in annotations or []:
        if annotation.get("type") != "url_citation":
            continue
        cite = annotation.get("url_citation")
        check_keys(cite, {"start_index": int, "end_index": int, "title": str, "url": str}, "url_citation", complaints)
        start, end = cite.get("start_index", 0), cite.get("end_index", 0)
        if not 0 <= start <= end <= len(text):
            complaints.append(f"url_citation: {start} to {end} is no stretch of a text of {len(text)} characters")
        yield Citation(str(cite.get("url")), cite.get("title") or None, cite.get("content"), text[start:end])
