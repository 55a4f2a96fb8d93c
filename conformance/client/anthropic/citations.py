"""Parses citations of Anthropic content blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crosswire.mockserver.scenarios.model import Citation

from ..reply_checks import check_keys


def cited_sources(part: dict[str, Any], complaints: list[str]) -> Iterator[Citation]:
    """Yields the sources of a content block; each belongs to its complete text.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations and
    https://platform.claude.com/docs/en/build-with-claude/citations#response-structure
    """
    for cite in part.get("citations") or []:
        check_keys(cite, {"type": str, "cited_text": str}, "citation", complaints)
        url, title = None, cite.get("document_title")
        if cite.get("type") == "web_search_result_location":
            check_keys(cite, {"url": str, "encrypted_index": str}, "citation", complaints)
            url, title = str(cite.get("url")), cite.get("title")
        elif cite.get("type") == "search_result_location":
            url, title = str(cite.get("source")), cite.get("title")
        yield Citation(url, title, cite.get("cited_text") or None, str(part.get("text")))
