"""Difference between a sent and a received value, with the loss feature that may excuse it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

WRONG = "wrong"
"""Feature of a difference that no declared loss can excuse."""


class Difference(Struct, frozen=True):
    """One value that was received differently: the feature that may excuse it, its path, and both values."""

    feature: str
    path: str
    sent: Any
    received: Any

    def __str__(self) -> str:
        return f"{self.path} ({self.feature}): sent {shorten(self.sent)}, received {shorten(self.received)}"


def shorten(value: Any) -> str:
    """Returns the repr of a value, cut to 200 characters."""
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"
