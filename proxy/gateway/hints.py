"""Hints among replicas: a breaker that opened, a backend that asked for a wait, a key that was refused.

They hasten what a replica would learn by itself, and are bounded, so that one replica whose own network is broken does
no harm to the others: a breaker that opened elsewhere opens here with the first failure here, and not without one.
"""

from __future__ import annotations

from ..backends.backend import Backend
from ..ir import Failure
from .runtime import Runtime

BREAKER, COOLING, KEY = "breaker", "cooling", "exhausted-key"

KEY_S = 300.0
"""Seconds for which a refused key is told of, where the provider does not say when it is good again."""


def exchange_hints(runtime: Runtime) -> None:
    """Tells other replicas of this one's breakers, and listens to theirs."""
    state = runtime.limits

    def opened(name: str) -> None:
        state.tell(BREAKER, name, "open", runtime.breakers.settings.open_s)

    def heard_breaker(name: str, value: str, left: float) -> None:
        if name in runtime.backends:
            runtime.breakers.suspect(name, runtime.now())

    def heard_cooling(key: str, value: str, left: float) -> None:
        name, _, model = key.partition("\n")
        if name in runtime.backends:
            now = runtime.now()
            until = now + min(left, runtime.config.settings.retry.max_retry_after_s)
            runtime.breakers.cool(name, model, max(until, runtime.breakers.cooling(name, model, now)), now)

    def heard_key(key: str, value: str, left: float) -> None:
        name, _, index = key.partition("\n")
        backend = runtime.backends.get(name)
        if backend is None or index not in map(str, range(1 + len(backend.config.spare_keys))):
            return
        if backend.ring is not None:
            backend.ring.rest(int(index), runtime.now() + left)
        if index == str(backend.key):
            backend.next_key({backend.key})

    runtime.breakers.opened = opened
    state.listen(BREAKER, heard_breaker)
    state.listen(COOLING, heard_cooling)
    state.listen(KEY, heard_key)


def tell_cooling(runtime: Runtime, name: str, model: str, seconds: float) -> None:
    """The backend asked to be left alone with this model for so long; other replicas learn of it once."""
    if not runtime.breakers.cooling(name, model, runtime.now()):
        runtime.limits.tell(COOLING, f"{name}\n{model}", "", seconds)


def tell_key(runtime: Runtime, backend: Backend, key: int, failed: Failure) -> None:
    """The backend's key at this position was refused. Replicas have their keys in one order; no key is told."""
    runtime.limits.tell(KEY, f"{backend.config.name}\n{key}", failed.kind, failed.retry_after or KEY_S)
