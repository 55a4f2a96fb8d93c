"""Asks the providers in the background which models they have, so that lists of models are theirs.

They are asked from the first time that a client wants a list; without a config file from the start, because requests
are routed by the lists too. A backend whose `models` the config names is not asked. What is found is kept until it is
asked for again, and longer where the provider cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from ..backends.backend import Backend
from ..config import Config
from ..errors import BODY_ENDED, Malformed, UpstreamError
from ..protocols import PROTOCOLS
from ..routing import NameFamily, Plan
from ..wire import json_fields

log = logging.getLogger("crosswire")

MOST_MODELS = 5000
"""Models of one backend that are kept."""

MOST_PAGES = 10
"""Pages of one list that are asked for."""

LONGEST_NAME = 200
"""Characters of a model's name; longer ones are left out."""

ASK_S = 15.0
"""Time limit in seconds for one backend's whole list."""

FIRST_S = 2.0
"""Seconds for which a client's list waits for the providers' at most, the first time that one is wanted."""

AGAIN_S = 60.0
"""Seconds after which a backend that could not be asked is asked again, once it has failed several times."""

SOON_S = 2.0
"""Seconds until it is asked for the second time, for it may be starting as the proxy is; each further wait is twice as
long."""


class Unlisted(Struct, frozen=True):
    """The reason why a backend could not be asked for its models: the kind of failure, and a text."""

    kind: str
    why: str


async def ask_models(backend: Backend) -> tuple[str, ...] | Unlisted:
    """Returns the names of the models that a backend lists, or why it could not be asked."""
    protocol = PROTOCOLS.get(backend.config.protocol)
    if protocol is None or protocol.provider_models is None:
        return Unlisted("not_found", "It has no list of models.")
    names: dict[str, None] = {}
    path: str | None = protocol.provider_models.path
    raw = b""
    try:
        async with asyncio.timeout(ASK_S):
            for _ in range(MOST_PAGES):
                if path is None or len(names) >= MOST_MODELS:
                    break
                raw = await backend.send("GET", path, None, {})
                body = json_fields.parse_object(raw)
                found, path = protocol.provider_models.read(body)
                names |= dict.fromkeys(name for name in found if 0 < len(name) <= LONGEST_NAME)
    except UpstreamError as error:
        return Unlisted(error.failure.kind, error.failure.message)
    except Malformed as fault:
        if json_fields.is_cut(raw):
            return Unlisted("upstream_cut", BODY_ENDED)
        return Unlisted("upstream_garbage", f"It answered with no list of models ({fault}).")
    except TimeoutError:
        return Unlisted("upstream_timeout", f"It did not list its models within {ASK_S:g} s.")
    return tuple(names)[:MOST_MODELS]


def with_models(config: Config, offered: Mapping[str, tuple[str, ...]]) -> Config:
    """Returns the config whose lists of models have these names too.

    Without a config file they are also routed by: a provider without a family of names is asked for the models that it
    lists, unless another one's family has the name.
    """
    here = {name: models for name, models in offered.items() if name in config.plan.by_name}
    if not here:
        return config
    return replace(config, plan=replace(config.plan, offered=here, families=_families(config, here)))


def _families(config: Config, offered: Mapping[str, tuple[str, ...]]) -> tuple[NameFamily, ...]:
    plan = config.plan
    if not config.is_from_environment:
        return plan.families
    owned = [family.pattern for family in plan.families if family.pattern.strip("*")]
    own: dict[str, str] = {}
    for backend in plan.backends:
        if backend.reserved:
            for name in offered.get(backend.name, ()):
                if not any(fnmatchcase(name, pattern) for pattern in owned):
                    own.setdefault(name, backend.name)
    return (*(NameFamily(_literal(name), backend) for name, backend in own.items()), *plan.families)


def _literal(name: str) -> str:
    """The pattern of exactly this name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


class ModelLists:
    """Keeps the lists of the backends up to date by `watch`; `changed` is called with all of them."""

    def __init__(
        self,
        config: Callable[[], Config],
        backends: Callable[[], Mapping[str, Backend]],
        changed: Callable[[Mapping[str, tuple[str, ...]]], None],
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._backends = backends
        self._changed = changed
        self._now = now
        self._due: dict[str, tuple[object, float]] = {}
        """The config of each backend when it was asked last, and the time at which it is asked again."""
        self._waits: dict[str, float] = {}
        """The seconds until each backend that could not be asked is asked again."""
        self._first: asyncio.Future[None] | None = None
        """The first time that the providers are asked; None until somebody wants a list."""
        self._is_watching = False
        self.offered: dict[str, tuple[str, ...]] = {}
        self.complaints: dict[str, str] = {}
        """The reason why a backend could not be asked, by its name."""

    async def watch(self) -> None:
        """Asks for ever once the lists are wanted, each backend every `model_lists_s` seconds, at once where its config
        is new."""
        self._is_watching = True
        while True:
            if self._first is None and self._config().is_from_environment:
                self._first = asyncio.ensure_future(self._refresh_safely())
            elif self._first is not None and self._first.done():
                await self._refresh_safely()
            await asyncio.sleep(1.0)

    async def wanted(self) -> None:
        """Says that a client looks at the lists; the first time this waits for them, up to FIRST_S."""
        if not self._is_watching:
            return
        if self._first is None:
            self._first = asyncio.ensure_future(self._refresh_safely())
        if not self._first.done():
            await asyncio.wait((self._first,), timeout=FIRST_S)

    async def _refresh_safely(self) -> None:
        try:
            await self.refresh()
        except Exception:
            log.exception("the models could not be asked for; they are asked for again")

    async def refresh(self) -> None:
        """Asks those backends whose turn it is, at the same time."""
        interval = self._config().settings.model_lists_s
        if not interval:
            return
        backends, now = self._backends(), self._now()
        due = [backend for backend in backends.values() if self._is_asked(backend) and self._is_due(backend, now)]
        if not due:
            return
        found = await asyncio.gather(*(ask_models(backend) for backend in due))
        before = dict(self.offered)
        for backend, models in zip(due, found, strict=True):
            name = backend.config.name
            wait = interval
            if isinstance(models, Unlisted):
                wait = self._waits[name] = min(self._waits.get(name, SOON_S / 2) * 2, AGAIN_S, interval)
                self._failed(name, models.why)
            else:
                self._waits.pop(name, None)
                self.offered[name] = models
                if self.complaints.pop(name, None) is not None:
                    log.warning("the models of backend '%s' are known now: %d", name, len(models))
            self._due[name] = backend.config, self._now() + wait
        if self.offered != before:
            self._changed(self.offered)

    def _failed(self, name: str, why: str) -> None:
        if self.complaints.get(name) != why:
            kept = "those it listed before stay listed" if name in self.offered else "no list has them until then"
            log.warning("the models of backend '%s' are not known: %s It is asked again; %s.", name, why, kept)
        self.complaints[name] = why

    def _is_due(self, backend: Backend, now: float) -> bool:
        config, due = self._due.get(backend.config.name, (None, 0.0))
        return config != backend.config or now >= due

    def _is_asked(self, backend: Backend) -> bool:
        config = backend.config
        return not config.models and config.protocol in PROTOCOLS and config.missing_key is None


def offered_models(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yields each model that a backend lists with that backend, in the order of the config."""
    for backend in plan.backends:
        for name in plan.offered.get(backend.name, ()):
            yield name, backend.name
