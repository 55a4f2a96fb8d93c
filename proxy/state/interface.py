"""The state that the gateway counts on, wherever it is kept: in this process, or outside of it."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..limits.state import Denied, Held, Limit, LimitGroup


class StateGone(Exception):
    """The state does not answer, and this limit is to let nothing through then."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"the state of {limit.owner} does not answer")
        self.limit = limit


class Gauge(typing.Protocol):
    """Knowledge of a limit without asking: exact where the state is in this process, else as of the last answer."""

    def used(self) -> int: ...
    def wait(self, amount: int, limit: int) -> float:
        """Seconds until the amount fits: 0 where it may fit now, infinite where it never will."""
        ...

    def whole_in(self) -> float:
        """Seconds until all of the limit is there again."""
        ...


class LimitState(typing.Protocol):
    """The state of every limit."""

    epoch: int
    """Changes when the state may have lost what was in it, so that `lacking` is to be asked again."""

    async def reserve(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> Sequence[Held] | Denied:
        """Reserves these amounts, by unit, on all limits, or on none where one does not fit: the one with the longest
        wait is returned. Where `needs` are given, they have to fit in place of the amounts.

        Raises StateGone where the state does not answer, and one of the limits is closed then.
        """
        ...

    def settle(self, held: Sequence[Held], actual: Mapping[str, int]) -> None:
        """Replaces the reserved amounts by the actual ones by unit; what has no actual one stays as it was.

        Every reservation is settled once. It may take effect later, at the latest when the state is closed.
        """
        ...

    def counter(self, limit: Limit) -> Gauge:
        """The knowledge of one limit."""
        ...

    def counters(self, group: LimitGroup) -> Sequence[tuple[Limit, Gauge, str, int]]:
        """Each limit of a group with what is known of it, its unit and its number."""
        ...

    async def lacking(self, limits: Iterable[Limit], now: float) -> Mapping[str, float]:
        """The keys of those limits that lack what was used before, each with the unix time from which it counts."""
        ...

    async def add_past(self, limit: Limit, spent: Sequence[tuple[float, int]]) -> None:
        """Adds amounts that were used at these unix times, in their order; the limit lacks its past no longer."""
        ...

    def forget_unused(self) -> None:
        """Forgets the counters of which nothing is used, so that those of former configs do not pile up."""
        ...


class Facts(typing.Protocol):
    """Small facts by kind and key that are true for some time, such as a choice or an exhausted key; none is a secret.

    They are shared sooner or later, and lost where the state is: whoever asks must do without.
    """

    def put(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Keeps a fact for so long, in place of the one before; it may be seen by others later than here."""
        ...

    async def get(self, kind: str, key: str) -> str | None:
        """The fact as the state has it, or as this process knows it where the state does not answer in time."""
        ...

    def known(self, kind: str, key: str) -> str | None:
        """The fact as this process knows it, without asking."""
        ...

    def tell(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Tells a fact to every other replica, within a second or so; it holds for so long."""
        ...

    def listen(self, kind: str, heard: Callable[[str, str, float], None]) -> None:
        """Calls this with key, value and the seconds that are left, for each fact of the kind that another told."""
        ...


class State(LimitState, Facts, typing.Protocol):
    """All state that outlives a request and may be shared."""

    @property
    def complaint(self) -> str | None:
        """The reason why the state does not answer, and what is done meanwhile; None where it does."""
        ...

    @property
    def outcomes(self) -> Mapping[str, int]:
        """The reservations by what became of them; none where the state is in this process."""
        ...

    def start(self) -> None:
        """Connects in the background; twice is harmless. It needs the running loop."""
        ...

    async def close(self) -> None:
        """Sends what waits, gives up what is held, and disconnects; twice is harmless."""
        ...
