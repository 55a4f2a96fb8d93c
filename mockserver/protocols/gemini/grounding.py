"""Renders the sources of a reply as the Gemini API's grounding metadata; offsets count bytes of the whole text.

https://ai.google.dev/gemini-api/docs/google-search#understanding_the_grounding_response
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...scenarios.model import Item, SayRefusal, SayText


def grounding_metadata(items: Iterable[Item]) -> dict[str, Any] | None:
    """Returns the `groundingMetadata` of the items, None if none of them has a source."""
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
            # "startIndex: Start index in the given Part, measured in bytes", omitted if it is 0.
            # https://ai.google.dev/api/generate-content#Segment
            span = ({"startIndex": before} if before else {}) | {"endIndex": after, "text": text}
            indices = list(range(len(chunks), len(chunks) + len(cites)))
            supports.append({"segment": span, "groundingChunkIndices": indices})
            chunks += [{"web": {"uri": cite.url} | ({"title": cite.title} if cite.title else {})} for cite in cites]
        before = after
    return {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None
