"""Holds what all protocols of one backend share: connections, the key in use, requests under way, rate limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..balance.key_ring import KeyRing
from ..ir.rate_limits import RateLimit
from ..routing import BackendConfig
from .transport import Transport

MODELS = 100
"""Models whose limits are kept; their names may come from clients."""


class SharedState:
    """The state of one backend, whichever of its protocols a request goes by; its connections are made at first use."""

    def __init__(self, connect: Callable[[], Transport], ring: KeyRing | None = None) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self.busy = 0
        self.key = 0
        self.ring = ring
        self.rate_limits: Mapping[str, tuple[RateLimit, ...]] = {}

    def note_limits(self, model: str, found: tuple[RateLimit, ...]) -> None:
        """Keeps the limits that an answer names for this model, as the last entry."""
        if found:
            older = [(name, limits) for name, limits in self.rate_limits.items() if name != model]
            self.rate_limits = dict([*older[-MODELS:], (model, found)])

    def transport(self) -> Transport:
        """Returns the connections."""
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    async def close(self) -> None:
        """Closes the connections; twice, or before the first use, is harmless."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()


def ring_of(config: BackendConfig) -> KeyRing | None:
    """Makes the ring of a backend's keys; None where there is one. Keys of the store have no weights."""
    count = 1 + len(config.spare_keys)
    if count < 2 or not config.api_key:
        return None
    return KeyRing(config.key_strategy, config.key_weights if len(config.key_weights) == count else [1.0] * count)
