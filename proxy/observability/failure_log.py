"""Tells the operator of what fails at a backend: one line for each kind, and then one a minute with their number."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec import Struct

from ..ir import Failure
from ..providers import find
from ..routing import BackendConfig

log = logging.getLogger("crosswire")

INTERVAL_S = 60.0
"""Seconds after which a failure that goes on is told again."""

NAMES = 1000
"""Model names that are remembered as told; they come from clients."""

HINTS: dict[str, str] = {
    "upstream_dns": "check base_url, and this machine's resolver",
    "upstream_unreachable": "check that it runs and that base_url has the right host and port; a private authority's "
    "certificate is trusted with ca_file, and a way out that leads through an HTTP proxy is named with proxy",
    "upstream_timeout": "check that it is not overloaded; read_timeout_s and connect_timeout_s say how long is waited",
    "upstream_auth": "{key}",
    "upstream_quota": "look at the account's credit and limits; further keys may stand under api_key as a list",
    "upstream_region": "reach it through another region with proxy",
    "upstream_forbidden": "ask the provider for this model, or take it away from this backend's models",
    "upstream_garbage": "check that protocol is what this host speaks, and that base_url is no web page's",
    "upstream_cut": "something between here and there ends long answers; look at its timeouts",
    "overloaded": "retry and a fallback of the route help; max_in_flight keeps some load away from it",
    "rate_limit": "max_in_flight keeps some load away from it; further keys may stand under api_key as a list",
    "not_found": "check base_url, which for OpenAI's protocols ends in a version such as /v1, and the model's name",
    "model_not_found": "check the upstream's name of the model under models",
    "loop": "base_url leads back to this proxy",
    "out_of_resources": "raise the limit of open files (ulimit -n)",
    "upstream_error": "look at the host's own log or status page",
}
"""Every kind of failure that is told, and what to do about it. Any other is the client's own."""


class _Told(Struct):
    at: float
    more: int = 0


class FailureLog:
    """Logs what fails at backends, and the names that another vendor answers; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: dict[tuple[str, str], _Told] = {}
        self._names: set[str] = set()

    def note(self, backend: BackendConfig, failure: Failure) -> None:
        """A call of this backend failed so."""
        hint = HINTS.get(failure.kind)
        if hint is None:
            return
        now, key = self._now(), (backend.name, failure.kind)
        told = self._told.get(key)
        if told is not None and now - told.at < INTERVAL_S:
            told.more += 1
            return
        again = f" ({told.more} more since it was told last)" if told is not None and told.more else ""
        self._told[key] = _Told(now)
        where = address_of(backend)
        log.warning(
            "backend %s%s: %s: %s Hint: %s%s.",
            backend.name,
            f" at {where}" if where else "",
            failure.kind,
            failure.message,
            hint.format(key=_key_hint(backend)),
            again,
        )

    def note_name(self, model: str, note: str) -> None:
        """A client's model name leads where a rule does not; it is told once a name."""
        if model in self._names or len(self._names) >= NAMES:
            return
        self._names.add(model)
        log.warning("model %r: %s", model[:200], note)


def address_of(backend: BackendConfig) -> str:
    """Returns scheme, host and port of a backend; empty for a model in this process."""
    parts = urlsplit(backend.base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def _key_hint(backend: BackendConfig) -> str:
    """Returns where the key that was refused comes from."""
    provider = find(backend.provider)
    variable = None if provider is None else provider.key_variable
    if backend.api_key is None:
        return f"it has no api_key; give it one{'' if variable is None else f', or set {variable}'}"
    place = f"api_key of backends.{backend.name}"
    return f"check {place}{'' if variable is None else f' or the variable {variable}'}; it may be another provider's"
