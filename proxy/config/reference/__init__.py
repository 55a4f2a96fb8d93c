"""Reference of the config's keys as data: path, type, default, example and meaning of each.

`docs/configuration-keys.md` is written from it. In a path `*` is a name that the config chooses, `[]` a list's entry.
"""

from __future__ import annotations

from .backends import BACKENDS_KEYS
from .clients import CLIENTS_KEYS
from .key_info import REQUIRED, KeyInfo
from .limits import LIMITS_KEYS
from .providers import PROVIDERS_KEYS
from .routing import ROUTING_KEYS
from .settings import SETTINGS_KEYS
from .shared_state import SHARED_STATE_KEYS
from .tracing import TRACING_KEYS

__all__ = ["KEYS_REFERENCE", "REQUIRED", "SECTIONS", "KeyInfo", "section_of"]

SECTIONS: dict[str, tuple[str, str]] = {
    "": (
        "The proxy",
        "Top-level keys. Times are in seconds; a size is a number of bytes, or a number with KiB, MiB or GiB.",
    ),
    "ui": ("The page", "Keys under `ui`: the operator's page at `/ui`, which is there once there is an `admin_key`."),
    "tracing": (
        "Traces",
        "Keys under `tracing`: a span for each request and each attempt.",
    ),
    "state": (
        "Shared state",
        "Keys under `state`, where it is a mapping: see [shared state](deployment.md#shared-state).",
    ),
    "state.fails": ("Rules while the state is gone", "Keys under `state.fails`."),
    "retry": ("Retries", "Keys under `retry`: how often, how long and at whose cost a failed attempt is repeated."),
    "breaker": ("Circuit breakers", "Keys under `breaker`: when a backend that keeps failing is left alone."),
    "dns": ("Look-ups of names", "Keys under `dns`: how long answers are kept and how many look-ups run at once."),
    "fetch": (
        "Fetching media",
        "Keys under `fetch`: what the proxy may fetch by its URL for backends that take bytes only. No redirect is "
        "followed, and the address that was checked is the one that is connected to.",
    ),
    "limits": (
        "Limits",
        "Keys under `limits`, which no honest client meets: a request beyond one is a 4xx that names it, and an answer "
        "beyond one is that backend's failure.",
    ),
    "backends.*": ("Backends", "Keys of each backend, under `backends` by its name."),
    "clients.*": (
        "Clients",
        "Keys of each client, under `clients` by its name. A rate is a number in a period: `60/min`, `20/10s`, `5/h`.",
    ),
    "routes[]": ("Routes", "Keys of each entry of `routes`. Exact names come first, then priority, then specificity."),
    "modes.*": ("Modes", "Keys of each mode, under `modes` by its name."),
    "smart.*": ("Smart models", "Keys of each virtual model, under `smart` by its name."),
    "llm_custom_providers.*": ("Custom providers", "Keys of each provider, under `llm_custom_providers` by its name."),
    "nearai": ("NEAR AI", "Keys under `nearai`, which change that provider; they mean what those of a provider mean."),
}
"""Prefix of a path to the title and the introduction of its section, in the order of the page."""

KEYS_REFERENCE: tuple[KeyInfo, ...] = (
    *(*SETTINGS_KEYS, *SHARED_STATE_KEYS, *TRACING_KEYS, *CLIENTS_KEYS, *LIMITS_KEYS, *BACKENDS_KEYS),
    *(*ROUTING_KEYS, *PROVIDERS_KEYS),
)
"""Every key of the config."""


def section_of(path: str) -> str:
    """Returns the prefix in SECTIONS of a key's path; the empty prefix for a top-level key."""
    return path.rpartition(".")[0]
