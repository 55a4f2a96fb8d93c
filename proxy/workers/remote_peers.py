"""The other workers, as one of them asks them: through the supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..observability import metrics_sum
from .channel import Channel, ChannelError

ANSWER_S = 5.0
"""Seconds that all workers together may take for an answer."""


class RemotePeers:
    """The other workers of this proxy, and the supervisor of all; `own` is the name of this worker."""

    def __init__(self, channel: Channel, own: str) -> None:
        self._channel = channel
        self._own = own
        self.complaints: tuple[str, ...] = ()

    async def metrics(self, worker: str | None) -> bytes:
        """The metrics of all workers, or of one; of one that does not answer, as it was when it was asked last."""
        workers, past, starts = await self._channel.ask("all metrics", limit_s=ANSWER_S)
        if worker is not None:
            return metrics_sum.render(workers.get(worker, ()))
        every = metrics_sum.add_up((*workers.values(), past))
        return metrics_sum.render((*every, *metrics_sum.by_worker(workers, starts)))

    async def record(self, id_: str) -> tuple[str | None, dict[str, Any]] | None:
        """The client and the rendered record of a request that another worker served; None where none knows it."""
        try:
            found = await self._channel.ask("any", "record", [id_], limit_s=ANSWER_S)
        except ChannelError:
            return None
        return (found[0][0], found[0][1]) if found else None

    async def view(self, path: str, id_: str, query: Mapping[str, str]) -> list[Any]:
        """The data of each other worker under a path of the page; a worker that has none is left out."""
        try:
            found: list[Any] = await self._channel.ask("any", "view", [path, id_, dict(query)], limit_s=ANSWER_S)
        except ChannelError:
            return []
        return found

    def tell_sessions(self, what: str, value: str) -> None:
        """Tells the others of the page's sessions."""
        self._channel.tell("spread", "session", [what, value])
