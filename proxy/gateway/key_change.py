"""Changes the key of a backend after one was refused or is at its limit."""

from __future__ import annotations

from collections.abc import Collection

from ..backends.backend import Backend
from ..balance.key_ring import REFUSED_S, REST_S
from ..ir import Failure
from .hints import tell_key
from .runtime import Runtime


def change_key(runtime: Runtime, backend: Backend, key: int, refused: Collection[int], failed: Failure) -> bool:
    """Lets this key rest and tells the other replicas; returns whether the backend has one that was not `refused`."""
    before = backend.key
    if (ring := backend.ring) is not None:
        now = runtime.now()
        known = REST_S if failed.kind == "rate_limit" else REFUSED_S
        ring.rest(key, now + (known if failed.retry_after is None else failed.retry_after))
        if backend.config.key_strategy != "order":
            tell_key(runtime, backend, key, failed)
            return not set(refused).issuperset(ring.up(now))  # the next attempt takes its key by the strategy
    changed = backend.next_key(refused)
    if backend.key != before:
        tell_key(runtime, backend, before, failed)
    return changed
