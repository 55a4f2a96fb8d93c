"""Parses citations from the Gemini API's grounding and citation metadata; offsets count bytes of the whole text.

https://ai.google.dev/gemini-api/docs/google-search#understanding_the_grounding_response
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crosswire.mockserver.scenarios.model import Citation

from ..reply_checks import check_keys


def cited_sources(metadata: Any, text: str, complaints: list[str]) -> Iterator[Citation]:
    """Yields the sources of the grounding metadata, each with its span of the text."""
    if metadata is None:
        return
    chunks = metadata.get("groundingChunks") or []
    supports = metadata.get("groundingSupports") or []
    cited: set[int] = set()
    for support in supports:
        segment = support.get("segment")
        check_keys(segment, {"endIndex": int, "text": str}, "groundingSupports.segment", complaints)
        span = text.encode()[segment.get("startIndex") or 0 : segment.get("endIndex")].decode("utf-8", "replace")
        if span != segment.get("text"):
            complaints.append(f"groundingSupports: the segment says {segment.get('text')!r}, its bytes {span!r}")
        for index in support.get("groundingChunkIndices") or []:
            if not isinstance(index, int) or not 0 <= index < len(chunks):
                complaints.append(f"groundingSupports: there is no chunk {index!r}")
                continue
            cited.add(index)
            yield from _web_citation(chunks[index], span, complaints)
    for index, chunk in enumerate(chunks):
        if index not in cited:
            yield from _web_citation(chunk, None, complaints)


def quoted_sources(metadata: Any, text: str) -> Iterator[Citation]:
    """Yields the sources of the citation metadata, each with its span; those without a URI are licences and skipped.

    https://ai.google.dev/api/generate-content#CitationMetadata
    """
    for source in (metadata or {}).get("citationSources") or (metadata or {}).get("citations") or []:
        if isinstance(source.get("uri"), str):
            start, end, whole = source.get("startIndex") or 0, source.get("endIndex") or 0, text.encode()
            span = whole[start:end].decode("utf-8", "replace") if 0 < end <= len(whole) else None
            yield Citation(source["uri"], source.get("title"), None, span)


def _web_citation(chunk: dict[str, Any], span: str | None, complaints: list[str]) -> Iterator[Citation]:
    web = chunk.get("web")
    if web is not None:
        check_keys(web, {"uri": str}, "groundingChunks.web", complaints)
        yield Citation(str(web.get("uri")), web.get("title"), None, span)
