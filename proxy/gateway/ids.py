"""Makes the ids of requests and of what answers them."""

from __future__ import annotations

from random import getrandbits

from ..protocols.protocol import NewId


def random_ids() -> NewId:
    """Ids of one request: 24 random hex digits, and a count where one request needs several with one prefix."""
    base = f"{getrandbits(96):024x}"
    counts: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        count = counts[prefix] = counts.get(prefix, -1) + 1
        return f"{prefix}{base}{count:02x}" if count else prefix + base

    return new_id
