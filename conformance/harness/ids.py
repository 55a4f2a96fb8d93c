"""Ids of a proxy under test: they differ between requests only in a number, which can be removed from a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

_NUMBERED = re.compile(r"c0ffee[0-9a-f]{18}")


class NumberedIds(Struct, frozen=True):
    """Gives every request a source of ids, with the next of these numbers in them."""

    numbers: Iterator[int]

    def __call__(self) -> Callable[[str], str]:
        base = f"c0ffee{next(self.numbers):018x}"  # matched by _NUMBERED
        counts: dict[str, int] = {}

        def new_id(prefix: str) -> str:
            number = counts[prefix] = counts.get(prefix, -1) + 1
            return f"{prefix}{base}{number:02x}" if number else prefix + base

        return new_id


def mask_ids(text: str) -> str:
    """Replaces the numbers in the proxy's own ids, which differ from run to run, by zeros."""
    return _NUMBERED.sub("0" * 24, text)
