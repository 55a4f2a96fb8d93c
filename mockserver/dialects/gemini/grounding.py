"""The sources of an answer in the Gemini API's form, said and heard; offsets count bytes of the whole text.

https://ai.google.dev/gemini-api/docs/google-search#understanding_the_grounding_response
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...speech import Cite, Item, SayRefusal, SayText
from ..contract import expect


def grounding(items: Iterable[Item]) -> dict[str, Any] | None:
    """`groundingMetadata` for what is said; None where nothing of it has a source."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    before = 0
    for item in items:
        if not isinstance(item, SayText | SayRefusal):
            continue
        text = "".join(item.deltas)
        after = before + len(text.encode())
        cites = item.cites if isinstance(item, SayText) else ()
        if cites:
            # "startIndex: Start index in the given Part, measured in bytes", and none where it is 0.
            # https://ai.google.dev/api/generate-content#Segment
            span = ({"startIndex": before} if before else {}) | {"endIndex": after, "text": text}
            indices = list(range(len(chunks), len(chunks) + len(cites)))
            supports.append({"segment": span, "groundingChunkIndices": indices})
            chunks += [{"web": {"uri": cite.url} | ({"title": cite.title} if cite.title else {})} for cite in cites]
        before = after
    return {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None


def cites_in(metadata: Any, text: str, complaints: list[str]) -> Iterator[Cite]:
    """The sources that have an address, each with its stretch of the text."""
    if metadata is None:
        return
    chunks = metadata.get("groundingChunks") or []
    supports = metadata.get("groundingSupports") or []
    told: set[int] = set()
    for support in supports:
        segment = support.get("segment")
        expect(segment, {"endIndex": int, "text": str}, "groundingSupports.segment", complaints)
        stretch = text.encode()[segment.get("startIndex") or 0 : segment.get("endIndex")].decode("utf-8", "replace")
        if stretch != segment.get("text"):
            complaints.append(f"groundingSupports: the segment says {segment.get('text')!r}, its bytes {stretch!r}")
        for index in support.get("groundingChunkIndices") or []:
            if not isinstance(index, int) or not 0 <= index < len(chunks):
                complaints.append(f"groundingSupports: there is no chunk {index!r}")
                continue
            told.add(index)
            yield from _cite(chunks[index], stretch, complaints)
    for index, chunk in enumerate(chunks):
        if index not in told:
            yield from _cite(chunk, None, complaints)


def sources_in(metadata: Any, text: str) -> Iterator[Cite]:
    """The sources that the model quotes unasked, each with its stretch; one without an address is a licence alone.

    https://ai.google.dev/api/generate-content#CitationMetadata
    """
    for source in (metadata or {}).get("citationSources") or (metadata or {}).get("citations") or []:
        if isinstance(source.get("uri"), str):
            start, end, whole = source.get("startIndex") or 0, source.get("endIndex") or 0, text.encode()
            stretch = whole[start:end].decode("utf-8", "replace") if 0 < end <= len(whole) else None
            yield Cite(source["uri"], source.get("title"), None, stretch)


def _cite(chunk: dict[str, Any], stretch: str | None, complaints: list[str]) -> Iterator[Cite]:
    web = chunk.get("web")
    if web is not None:
        expect(web, {"uri": str}, "groundingChunks.web", complaints)
        yield Cite(str(web.get("uri")), web.get("title"), None, stretch)
