"""Chooses the protocol of a request among those that its backend speaks: the one that loses least.

The client's own protocol is tried first, then the backend's first one, then the others in the order of the table of
providers; one that reads less than its protocol has comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from ..errors import ClientError
from ..ir import Loss
from ..protocols import PROTOCOLS
from ..protocols.protocol import UpstreamTarget
from ..routing import BackendConfig
from .url_media import Unfetched

B = TypeVar("B")
C = TypeVar("C")

LACKING_S = 600.0
"""Seconds for which a host that answered that it has no such address is not asked there again."""


def other_protocols(backend: BackendConfig) -> tuple[BackendConfig, ...]:
    """Returns the backend as it is in each of the protocols that it speaks beside its first."""
    found = []
    for spoken in backend.speaks:
        base_url, protocol = spoken.base_url(backend.base_url), PROTOCOLS.get(spoken.protocol)
        if base_url is None or protocol is None:
            continue
        found.append(
            replace(
                backend,
                protocol=spoken.protocol,
                base_url=base_url,
                speaks=(spoken,),
                bearer=spoken.bearer,
                capabilities=backend.capabilities & protocol.capabilities,
                quirks=frozenset(),
                host=(spoken.host or backend.host) if backend.host else "",
                limits={key: value for key, value in backend.limits.items() if key in protocol.limits},
            )
        )
    return tuple(found)


def protocols_of(backend: BackendConfig) -> tuple[BackendConfig, ...]:
    """Returns the backend in each of its protocols, the first one first."""
    return (backend, *other_protocols(backend))


def in_order(backends: Iterable[B], config_of: Callable[[B], BackendConfig], frontend: str) -> list[B]:
    """Returns a backend's protocols in the order in which they are tried for a client of this protocol."""

    def rank(each: B) -> int:
        config = config_of(each)
        if is_secondary(config):
            return 2
        return 0 if config.protocol == frontend else 1

    return sorted(backends, key=rank)


def is_secondary(config: BackendConfig) -> bool:
    """Returns whether this is a protocol of which the backend reads less than there is."""
    return any(each.secondary and each.protocol == config.protocol for each in config.speaks)


def fits(config: BackendConfig, needs: frozenset[str]) -> bool:
    """Returns whether the backend has what a request needs in this protocol."""
    protocol = PROTOCOLS.get(config.protocol)
    return protocol is None or needs & config.capabilities <= protocol.capabilities


def choose_protocol(
    backends: Iterable[B], prepare: Callable[[B], C | str], losses_of: Callable[[C], Iterable[Loss]]
) -> C | str:
    """Returns the first call that loses nothing, else the first of those that lose fewest features.

    `prepare` makes the call in one of the protocols, or says why the backend cannot take it; what is behind one that
    loses nothing is not looked at. Raises the ClientError of the first where all of them raise.
    """
    chosen: C | None = None
    why: str | None = None
    wrong: ClientError | None = None
    fewest = 0
    for each in backends:
        try:
            call = prepare(each)
        except ClientError as fault:
            wrong = wrong or fault
            continue
        if isinstance(call, str):
            why = call if why is None or isinstance(call, Unfetched) else why  # what is curable is told
            continue
        lost = len({loss.feature for loss in losses_of(call)})
        if not lost:
            return call
        if chosen is None or lost < fewest:
            chosen, fewest = call, lost
    if chosen is not None:
        return chosen
    if why is None and wrong is not None:
        raise wrong
    return why or "speaks no protocol that can say this"


class Lacking:
    """The protocols that hosts turned out not to speak, each for `LACKING_S` seconds."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def note(self, config: BackendConfig, now: float) -> None:
        """The host answered that it has no such address."""
        self._until[config.name, config.protocol] = now + LACKING_S

    def has(self, config: BackendConfig, now: float) -> bool:
        """Returns whether the host is known not to speak this protocol."""
        return self._until.get((config.name, config.protocol), 0.0) > now


def target_of(config: BackendConfig, model: str) -> UpstreamTarget:
    """Returns the backend as an encoder sees it."""
    return UpstreamTarget(
        model, config.provider, config.max_tokens, config.limits, config.quirks, config.host, config.traits
    )
