"""The interface by which one worker asks the others of its proxy; a proxy of one process has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Peers(Protocol):
    """The other workers of this proxy, and the supervisor of all."""

    @property
    def complaints(self) -> tuple[str, ...]:
        """The lines that `/readyz` adds: which workers are missing, and why."""
        ...

    async def metrics(self, worker: str | None) -> bytes:
        """The metrics of all workers in Prometheus' text format, or those of one, by its number."""
        ...

    async def record(self, id_: str) -> tuple[str | None, dict[str, Any]] | None:
        """The client and the rendered record of a request that another worker served; None where none knows it."""
        ...

    async def view(self, path: str, id_: str, query: Mapping[str, str]) -> list[Any]:
        """The data of each other worker under a path of the page; a worker that has none is left out."""
        ...

    def tell_sessions(self, what: str, value: str) -> None:
        """Tells the others of the page's sessions: one that has ended, or an address that gave a wrong key."""
        ...
