"""Compares citations one by one: the source, the cited words, the title and the quoted text of each."""

from __future__ import annotations

import json

from msgspec.structs import replace

from crosswire.mockserver.scenarios.model import Citation

from ..client.protocol import ParsedReply
from ..comparison import WRONG, Difference

PARTS = ("span", "title", "quote")
"""The parts of a citation besides its source."""


def citation_differences(sent: ParsedReply, received: ParsedReply, wire: str) -> list[Difference]:
    """Returns a difference for every citation that is gone, for each part that is, and for every source added.

    `wire` is the provider's reply: a source of which it says nothing was added.
    """
    gave, got = ([_normal(cite, reply) for cite in reply.cites] for reply in (sent, received))
    found: list[Difference] = []
    for c, cite in enumerate(gave):
        same = [other for other in got if _source(other) == _source(cite)]
        if not same:
            found.append(Difference("citations", f"citations[{c}]", cite, None))
            continue
        # the twin that agrees in most parts
        twin = max(same, key=lambda other: sum(getattr(other, part) == getattr(cite, part) for part in PARTS))
        for part in PARTS:
            one, other = getattr(cite, part), getattr(twin, part)
            if one is not None and one != other:
                found.append(Difference("citations", f"citations[{c}].{part}", one, other))
    sources = {_source(cite) for cite in gave}
    found += [Difference(WRONG, "citations", None, cite) for cite in got if _is_added(cite, sources, wire)]
    return found


def _is_added(cite: Citation, sources: set[str | None], wire: str) -> bool:
    source = _source(cite)
    return source not in sources and json.dumps(source, ensure_ascii=False)[1:-1] not in wire


def _source(cite: Citation) -> str | None:
    return cite.url if cite.url is not None else cite.title


def _normal(cite: Citation, reply: ParsedReply) -> Citation:
    """Returns the citation without a span that is the complete text or empty, which says no more than none."""
    return replace(cite, span=None) if not cite.span or cite.span == reply.text else cite
