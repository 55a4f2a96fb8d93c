"""Converts between Gemini's grounding and citation metadata and neutral URL citations.

Gemini counts offsets in bytes of UTF-8, the neutral form in characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...ir import Citation
from ...wire.json_fields import maybe


class AnswerText:
    """The text of an answer, its last block, with the place of each part of the content in it.

    "partIndex: The index of a Part object within its parent Content object. startIndex: Start index in the given Part,
    measured in bytes." https://ai.google.dev/api/generate-content#Segment
    """

    def __init__(self, text: str, parts: Mapping[int, tuple[int, int]] | None = None) -> None:
        self.text = text
        self.parts = parts or {}
        """Index of a part to the characters of the text at which it begins and ends."""

    def span(self, segment: dict[str, Any]) -> tuple[int | None, int | None, str | None]:
        """Returns start and end of a segment in characters, and its quote if it is not found in the text."""
        index = segment.get("partIndex")
        if type(index) is int and index in self.parts:
            start, end = self.parts[index]
            first, last, quote = _span(self.text[start:end], segment)
            if first is not None and last is not None:
                return first + start, last + start, quote
        return _span(self.text, segment)


def citations_in(candidate: dict[str, Any], text: AnswerText) -> tuple[Citation, ...]:
    """Takes the citations of this text, the last block of the reply, out of a candidate; other metadata remains.

    https://ai.google.dev/api/generate-content#GroundingMetadata and #CitationMetadata
    """
    return _grounding_in(candidate, text) + _sources_in(candidate, text)


def _grounding_in(candidate: dict[str, Any], text: AnswerText) -> tuple[Citation, ...]:
    metadata = candidate.get("groundingMetadata")
    if type(metadata) is not dict:
        return ()
    chunks, supports = metadata.get("groundingChunks") or [], metadata.get("groundingSupports") or []
    sources = [_source(chunk) for chunk in chunks] if type(chunks) is list else [None]
    if (sources and not any(sources)) or type(supports) is not list:
        return ()  # nothing that has an address
    found: list[Citation] = []
    cited: set[int] = set()
    for support in supports:
        match support:
            case {"segment": dict(segment), "groundingChunkIndices": list(indices)}:
                start, end, quote = text.span(segment)
                for index in indices:
                    source = sources[index] if type(index) is int and 0 <= index < len(sources) else None
                    if source is not None:
                        found.append(Citation(source[0], source[1], quote, start, end))
                        cited.add(index)
    found += [Citation(*source) for index, source in enumerate(sources) if source is not None and index not in cited]
    if None not in sources and all(type(chunk) is dict and "web" in chunk for chunk in chunks):
        del candidate["groundingMetadata"]
    elif None not in sources:
        # the citations say all of it, but not that the sources are places or files
        candidate["nativeGrounding"] = candidate.pop("groundingMetadata")
        metadata = {}
    else:
        return tuple(found)  # what has no address stays, and is lost elsewhere
    for key, value in metadata.items():
        if key not in ("groundingChunks", "groundingSupports") and value not in ({}, [], None):
            candidate[f"groundingMetadata.{key}"] = value
    return tuple(found)


def _source(chunk: Any) -> tuple[str, str | None] | None:
    """Returns address and title of a source: a page, a place on the map, or a file with an address."""
    match chunk:
        case {"web": {"uri": str(uri)} as source} | {"maps": {"uri": str(uri)} as source}:
            return uri, maybe(source, "title", str)
        case {"retrievedContext": {"uri": str(uri)} as source} if uri.startswith(("http://", "https://")):
            return uri, maybe(source, "title", str)
    return None


def _sources_in(candidate: dict[str, Any], text: AnswerText) -> tuple[Citation, ...]:
    metadata = candidate.get("citationMetadata")
    if type(metadata) is not dict:
        return ()
    key = "citationSources" if "citationSources" in metadata else "citations"
    sources = metadata.get(key) or []
    if type(sources) is not list or any(not _is_url_citation(source) for source in sources):
        return ()
    found = []
    for source in sources:
        start, end, _ = _span(text.text, source)
        found.append(Citation(source["uri"], maybe(source, "title", str), None, start, end))
    del candidate["citationMetadata"]
    return tuple(found)


def _is_url_citation(source: Any) -> bool:
    """Returns whether a citation has only a URL, a title and a range, which the neutral form can hold."""
    if type(source) is not dict or type(source.get("uri")) is not str:
        return False
    return not any(value for key, value in source.items() if key not in ("uri", "title", "startIndex", "endIndex"))


def _span(text: str, segment: dict[str, Any]) -> tuple[int | None, int | None, str | None]:
    """Returns start and end of a segment in characters, and its quote if it is not found in the text.

    If the byte offsets do not match the quote, the quote is searched in the text.
    """
    first, last, quote = segment.get("startIndex") or 0, segment.get("endIndex"), segment.get("text")
    if type(first) is int and type(last) is int:
        raw = text.encode()
        segment_text = raw[first:last].decode("utf-8", "ignore")
        if (quote is None or segment_text == quote) and last <= len(raw):
            start = len(raw[:first].decode("utf-8", "ignore"))
            return start, start + len(segment_text), None
    if type(quote) is str and quote:
        found_at = text.find(quote)
        return (found_at, found_at + len(quote), None) if found_at >= 0 else (None, None, quote)
    return None, None, None


def grounding_out(texts: Sequence[tuple[str, Sequence[Citation]]]) -> dict[str, Any]:
    """Returns the grounding metadata for the texts of a reply with their citations; offsets count over all texts."""
    chunks: dict[tuple[str, str | None], int] = {}
    supports: list[dict[str, Any]] = []
    offset = 0
    for text, citations in texts:
        for citation in citations:
            index = chunks.setdefault((citation.url, citation.title), len(chunks))
            if citation.end is not None:
                start = citation.start or 0
                segment = {
                    "startIndex": offset + len(text[:start].encode()),
                    "endIndex": offset + len(text[: citation.end].encode()),
                    "text": text[start : citation.end],
                }
                if supports and supports[-1]["segment"] == segment:
                    supports[-1]["groundingChunkIndices"].append(index)
                else:
                    supports.append({"segment": segment, "groundingChunkIndices": [index]})
        offset += len(text.encode())
    web_sources = [{"web": {"uri": url, **({"title": title} if title else {})}} for url, title in chunks]
    out: dict[str, Any] = {"groundingChunks": web_sources}
    if supports:
        out["groundingSupports"] = supports
    return out
