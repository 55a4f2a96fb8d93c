"""A reservation on limits that are counted elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..limits.state import Held, Limit
from .gauge import RemoteGauge


class Reservation(list[Held]):
    """Amounts that one request holds: at the server under this replica's name, or, while there is none, here."""

    __slots__ = ("actual", "entries", "is_moving", "local", "replica")

    def __init__(self, rows: Iterable[tuple[Limit, RemoteGauge, int]]) -> None:
        super().__init__([(limit, gauge, None, amount) for limit, gauge, amount in rows])
        self.replica: str | None = None
        """The name under which the server has it; None where it has it not."""
        self.entries: list[int] = []
        """The entry of each amount at the server."""
        self.local: list[Held] = []
        """The amounts that are counted here while the server does not answer."""
        self.is_moving = False
        """True while the server is being told of it."""
        self.actual: Mapping[str, int] | None = None
        """The actual amounts, once it is settled while it moves."""

    def held_by(self, replica: str, entries: list[int]) -> None:
        """The server has it under this name, with these entries."""
        self.replica, self.entries, self.is_moving = replica, entries, False

    def settling(self, actual: Mapping[str, int]) -> list[str]:
        """The arguments by which the script settles it."""
        found: list[str] = []
        for (limit, gauge, _, amount), entry in zip(self, self.entries, strict=True):
            used = actual.get(limit.unit)
            found += (gauge.kind, limit.key, str(entry), str(amount), "" if used is None else str(used))
        return found

    def spent(self, actual: Mapping[str, int]) -> list[tuple[RemoteGauge, int]]:
        """The amounts that stay used after its end."""
        found = []
        for limit, gauge, _, amount in self:
            used = actual.get(limit.unit, amount)
            if gauge.kind != "n" and used:
                found.append((gauge, used))
        return found
