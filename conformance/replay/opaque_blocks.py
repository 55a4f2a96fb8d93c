"""Checks that what a provider's own tool did is told to a client of another protocol, in that protocol's own form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from crosswire.proxy.ir import Opaque, Reply

TOLD_KEYS = ("query", "queries", "code", "url", "output")
"""Names of the fields that say what a tool was asked, and what came of it."""


def untold_blocks(answer: Reply, values: Sequence[Any]) -> list[str]:
    """Returns an error for each block of a hosted tool that the client's reply does not tell, as no loss declares it.

    `values` are the JSON values of that reply.
    """
    wire = json.dumps(values, ensure_ascii=False)
    wire += wire.replace("\\\\", "\\").replace('\\"', '"')  # what a stream sends as pieces of JSON in a text
    found: list[str] = []
    for block in answer.blocks:
        if isinstance(block, Opaque):
            missing = [text for text in _told(block.data, "") if json.dumps(text, ensure_ascii=False)[1:-1] not in wire]
            if missing:
                found.append(f"opaque blocks without a declared loss: {block.kind}: {missing[0][:80]!r} is not told")
    return found


def _told(value: Any, key: str) -> Iterator[str]:
    """Yields the texts of a block that another protocol can tell."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _told(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _told(inner, key)
    elif isinstance(value, str) and value and key in TOLD_KEYS:
        yield value
