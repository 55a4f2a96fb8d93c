"""Parses citations from Responses annotations; offsets count characters of the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from crosswire.mockserver.scenarios.model import Citation

from ..reply_checks import check_types, objects_in


def cited_sources(items: Iterable[dict[str, Any]], complaints: list[str]) -> Iterator[Citation]:
    """Yields the sources of all messages, each with its span of the text.

    https://platform.openai.com/docs/guides/tools-web-search#output-and-citations
    """
    keys: dict[str, tuple[type, ...]] = {"url": (str,), "title": (str,), "start_index": (int,), "end_index": (int,)}
    parts = [part for item in items if item.get("type") == "message" for part in objects_in(item.get("content"))]
    for part in parts:
        text = str(part.get("text") or "")
        for cite in objects_in(part.get("annotations")):
            if cite.get("type") != "url_citation":
                yield Citation(None, cite.get("filename"))
                continue
            check_types(cite, keys, "url_citation", complaints)
            start, end = cite.get("start_index", 0), cite.get("end_index", 0)
            if not 0 <= start <= end <= len(text):
                complaints.append(f"url_citation: {start} to {end} is no stretch of a text of {len(text)} characters")
            yield Citation(str(cite.get("url")), cite.get("title") or None, None, text[start:end])
