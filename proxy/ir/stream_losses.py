"""The losses of one streamed answer, and those among them of which the response's headers could not tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .model import Loss

EXTENSION = "crosswire_losses"
"""The key in the last event of a stream that tells of late losses; no protocol has it, and no client breaks on it."""

MOST_TOLD = 100
"""Late losses that are told singly; there are fewer words than that, so each word is told."""

LONGEST_PATH = 200
"""Characters of a loss's path that are told."""


class StreamLosses(list[Loss]):
    """The losses of one streamed answer, in order; late are those that became known after the headers went out."""

    def __init__(self) -> None:
        super().__init__()
        self._untold: tuple[Loss, ...] = ()
        self._told: int | None = None  # None: the headers are still to come, and will tell of all

    def headers_sent(self, untold: Iterable[Loss] = ()) -> None:
        """Takes note that the headers told of the losses up to now, but not of those other ones of the request."""
        self._untold, self._told = tuple(untold), len(self)

    def late(self) -> list[Loss]:
        """Returns the losses of which the headers could not tell."""
        return [] if self._told is None else [*self._untold, *self[self._told :]]

    def tell_late(self, event: dict[str, Any]) -> None:
        """Adds the late losses, if there are any, to the last event, or to the object in it that clients keep.

        Those that a proxy behind this one told there stay, after its own.
        """
        if late := self.late():
            before = event.get(EXTENSION)
            event[EXTENSION] = [*_told(late), *(before if type(before) is list else ())]


def _told(losses: list[Loss]) -> list[dict[str, Any]]:
    """Returns the losses as a client reads them; beyond the bound each word comes first, and the rest is a number."""
    left_out = len(losses) - MOST_TOLD
    if left_out > 0:
        words: set[str] = set()
        first: list[Loss] = []
        again: list[Loss] = []
        for loss in losses:
            (again if loss.feature in words else first).append(loss)
            words.add(loss.feature)
        losses = [*first, *again][:MOST_TOLD]
    told: list[dict[str, Any]] = [
        {"word": loss.feature, "path": loss.path[:LONGEST_PATH], "how": loss.how} for loss in losses
    ]
    return [*told, {"left_out": left_out}] if left_out > 0 else told
