"""The fixed clock, stopwatch and dice of every proxy of the suite."""

from __future__ import annotations

PROXY_CREATED = 1_770_000_000
"""Creation time (Unix seconds) in every reply of the proxy, fixed so that snapshots are stable."""


def fixed_dice() -> float:
    """The number by which every proxy of the suite chooses among equal targets, so that each choice is always the same.

    It is the middle of the range, where no target is probed.
    """
    return 0.5


def fixed_stopwatch() -> float:
    """A stopwatch that stands still, so that every answer takes 0 ms and a failure what it counts as."""
    return 0.0
