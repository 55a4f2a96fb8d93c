"""Holds what all protocols of one backend share: connections, the key in use, requests under way, rate limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.rate_limits import RateLimit
from .transport import Transport

MODELS = 100
"""Models whose limits are kept; their names may come from clients."""


class SharedState:
    """The state of one backend, whichever of its protocols a request goes by; its connections are made at first use."""

    def __init__(self, connect: Callable[[], Transport]) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self.busy = 0
        self.key = 0
        self.rate_limits: Mapping[str, tuple[RateLimit, ...]] = {}

    def transport(self) -> Transport:
        """Returns the connections."""
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    def note_limits(self, model: str, limits: tuple[RateLimit, ...]) -> None:
        """Keeps what an answer said of the limits of this model, as the last entry."""
        older = [(name, known) for name, known in self.rate_limits.items() if name != model]
        self.rate_limits = dict([*older[-MODELS:], (model, limits)])

    async def close(self) -> None:
        """Closes the connections; twice, or before the first use, is harmless."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()
