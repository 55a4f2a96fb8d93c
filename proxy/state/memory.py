"""State in this process: exact for it, and shared with nobody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from ..limits.state import MemoryState

MOST_FACTS = 100_000
"""Facts that are kept; the oldest are forgotten."""


class MemoryFacts:
    """Facts that this process keeps, until their time is over. `now` is monotonic."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._facts: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def put(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Keeps a fact for so long, in place of the one before."""
        self._facts[kind, key] = self._now() + ttl_s, value
        self._facts.move_to_end((kind, key))
        if len(self._facts) > MOST_FACTS:
            self._facts.popitem(last=False)

    async def get(self, kind: str, key: str) -> str | None:
        """The fact, while its time lasts."""
        return self.known(kind, key)

    def known(self, kind: str, key: str) -> str | None:
        """The fact, while its time lasts."""
        found = self._facts.get((kind, key))
        if found is None:
            return None
        if found[0] <= self._now():
            del self._facts[kind, key]
            return None
        return found[1]

    def tell(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """There is nobody to tell."""

    def listen(self, kind: str, heard: Callable[[str, str, float], None]) -> None:
        """Nobody tells anything."""


class ProcessState(MemoryState, MemoryFacts):
    """The limits and the facts of one process. `now` is monotonic, `clock` unix time."""

    complaint = None
    outcomes: Mapping[str, int] = {}

    def __init__(self, now: Callable[[], float], clock: Callable[[], float]) -> None:
        MemoryState.__init__(self, now, clock)
        MemoryFacts.__init__(self, now)

    def start(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """There is nothing to disconnect from."""
