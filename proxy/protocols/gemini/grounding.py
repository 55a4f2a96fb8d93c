"""The sources of a text: Gemini's grounding and citation metadata, and citations of the URL kind.

It knows both wire forms and how they count: in bytes of UTF-8, where the neutral form counts characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import Citation


def citations_in(candidate: dict[str, Any], text: str) -> tuple[Citation, ...]:
    """Take the URL citations of this text, the answer's last block, out of a candidate; what is of another kind stays.

    https://ai.google.dev/api/generate-content#GroundingMetadata and #CitationMetadata
    """
    return _grounding_in(candidate, text) + _sources_in(candidate, text)


def _grounding_in(candidate: dict[str, Any], text: str) -> tuple[Citation, ...]:
    metadata = candidate.get("groundingMetadata")
    if type(metadata) is not dict:
        return ()
    chunks, supports = metadata.get("groundingChunks") or [], metadata.get("groundingSupports") or []
    webs = [_web(chunk) for chunk in chunks] if type(chunks) is list else [None]
    if None in webs or type(supports) is not list:
        return ()  # maps, files: their supports count them too, so all of it stays together
    found: list[Citation] = []
    named: set[int] = set()
    for support in supports:
        match support:
            case {"segment": dict(segment), "groundingChunkIndices": list(indices)}:
                start, end, quote = _span(text, segment)
                for index in indices:
                    if type(index) is int and 0 <= index < len(webs) and (web := webs[index]) is not None:
                        found.append(Citation(web[0], web[1], quote, start, end))
                        named.add(index)
    found += [Citation(*web) for index, web in enumerate(webs) if web is not None and index not in named]
    del candidate["groundingMetadata"]
    for key, value in metadata.items():
        if key not in ("groundingChunks", "groundingSupports") and value not in ({}, [], None):
            candidate[f"groundingMetadata.{key}"] = value
    return tuple(found)


def _web(chunk: Any) -> tuple[str, str | None] | None:
    match chunk:
        case {"web": {"uri": str(uri)} as web}:
            title = web.get("title")
            return uri, title if type(title) is str else None
    return None


def _sources_in(candidate: dict[str, Any], text: str) -> tuple[Citation, ...]:
    metadata = candidate.get("citationMetadata")
    if type(metadata) is not dict:
        return ()
    key = "citationSources" if "citationSources" in metadata else "citations"
    sources = metadata.get(key) or []
    if type(sources) is not list or any(not _is_plain(source) for source in sources):
        return ()
    found = []
    for source in sources:
        start, end, _ = _span(text, source)
        found.append(Citation(source["uri"], source.get("title"), None, start, end))
    del candidate["citationMetadata"]
    return tuple(found)


def _is_plain(source: Any) -> bool:
    """Whether a citation says nothing that the neutral form cannot hold."""
    if type(source) is not dict or type(source.get("uri")) is not str:
        return False
    return not any(value for key, value in source.items() if key not in ("uri", "title", "startIndex", "endIndex"))


def _span(text: str, segment: dict[str, Any]) -> tuple[int | None, int | None, str | None]:
    """Where in the text a segment lies, in characters; where it does not fit, its words are looked for."""
    first, last, quote = segment.get("startIndex") or 0, segment.get("endIndex"), segment.get("text")
    if type(first) is int and type(last) is int:
        raw = text.encode()
        piece = raw[first:last].decode("utf-8", "ignore")
        if (quote is None or piece == quote) and last <= len(raw):
            start = len(raw[:first].decode("utf-8", "ignore"))
            return start, start + len(piece), None
    if type(quote) is str and quote:
        at = text.find(quote)
        return (at, at + len(quote), None) if at >= 0 else (None, None, quote)
    return None, None, None


def grounding_out(texts: Sequence[tuple[str, Sequence[Citation]]]) -> dict[str, Any]:
    """The grounding metadata for the texts of an answer, each with its citations; offsets count all of them as one."""
    chunks: dict[tuple[str, str | None], int] = {}
    supports: list[dict[str, Any]] = []
    before = 0
    for text, citations in texts:
        for citation in citations:
            index = chunks.setdefault((citation.url, citation.title), len(chunks))
            if citation.end is not None:
                start = citation.start or 0
                segment = {
                    "startIndex": before + len(text[:start].encode()),
                    "endIndex": before + len(text[: citation.end].encode()),
                    "text": text[start : citation.end],
                }
                if supports and supports[-1]["segment"] == segment:
                    supports[-1]["groundingChunkIndices"].append(index)
                else:
                    supports.append({"segment": segment, "groundingChunkIndices": [index]})
        before += len(text.encode())
    webs = [{"web": {"uri": url, **({"title": title} if title else {})}} for url, title in chunks]
    out: dict[str, Any] = {"groundingChunks": webs}
    if supports:
        out["groundingSupports"] = supports
    return out
