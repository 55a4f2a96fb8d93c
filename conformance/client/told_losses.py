"""The losses that a proxy tells in the last event of a stream: one key, in one place, and well-formed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

KEY = "crosswire_losses"
"""The key, which no protocol has; every other key that begins as it does is an unknown one."""

ACTIONS = ("dropped", "approximated")


class ToldLoss(Struct, frozen=True):
    """One loss as a stream tells it: its word, its path, and what became of what was there."""

    word: str
    path: str
    how: str


class ToldLosses(Struct, frozen=True):
    """The losses that a stream tells, and the number of those that it leaves out."""

    losses: tuple[ToldLoss, ...] = ()
    left_out: int = 0


class LossPlace(Struct, frozen=True):
    """The place of the key in a protocol's streams: the last event, but for `closing` ones, which have no content.

    `within` are keys of that event: the first that holds an object has the losses, else the event itself has them.
    """

    within: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()


def read_told_losses(value: Any, place: LossPlace, complaints: list[str]) -> ToldLosses:
    """Returns the losses told in a stream's events, or in a body, where there must be none.

    Complains about the key in any other place, and about a list that is not well-formed.
    """
    last: dict[str, Any] = {}
    if isinstance(value, tuple):
        ends = [event for event in value if isinstance(event, dict) and event.get("type") not in place.closing]
        last = ends[-1] if ends else {}
    inner = [last[key] for key in place.within if isinstance(last.get(key), dict)]
    holder = inner[0] if inner else last
    found = holder.get(KEY)
    for key, of in extension_keys(value):
        if key != KEY or of is not holder:
            complaints.append(f"losses: `{key}` comes in a place where the protocol has nothing of the kind")
    if KEY not in holder:
        return ToldLosses()
    if not isinstance(found, list) or not found:
        complaints.append(f"losses: `{KEY}` is no list with a loss: {found!r}")
        return ToldLosses()
    left_out = 0
    match found[-1]:
        case {"left_out": int(number), **others} if not others and number > 0 and not isinstance(number, bool):
            found, left_out = found[:-1], number
        case _:
            pass
    losses = []
    for loss in found:
        match loss:
            case {"word": str(word), "path": str(path), "how": str(how), **others} if not others and how in ACTIONS:
                losses.append(ToldLoss(word, path, how))
            case _:
                complaints.append(f"losses: not a word, a path and an action: {loss!r}")
    return ToldLosses(tuple(losses), left_out)


def extension_keys(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every key of a proxy's own anywhere in a JSON value, with the object that has it."""
    if isinstance(value, dict):
        yield from ((key, value) for key in value if key.startswith("crosswire"))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from extension_keys(inner)
