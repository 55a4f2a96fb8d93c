"""Makes the state that a config asks for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from .interface import State
from .memory import ProcessState
from .settings import StateSettings


def make_state(settings: StateSettings, now: Callable[[], float], clock: Callable[[], float]) -> State:
    """Makes the state; it connects once it is started, or used. `now` is monotonic, `clock` unix time."""
    if settings.url is None:
        return ProcessState(now, clock)
    from .replica import ReplicaState  # with what only a shared state needs

    return ReplicaState(settings, now, clock)


def has_library() -> bool:
    """Returns whether the client library for a shared state is installed."""
    return find_spec("redis") is not None
