"""Settings of the state: where it is kept, and what is done where it does not answer."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

Fails = Literal["local", "open", "closed"]
"""The rule for a limit while the state does not answer: `local` counts it in this replica alone, `open` lets all
through, `closed` lets nothing through."""

SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
"""Scheme of a state's URL to that which the client library knows; those with an s at the end are TLS."""


_PASSWORD = re.compile(r"(//[^/:@]*):[^/]*@")


class FailSettings(Struct, frozen=True, kw_only=True):
    """The rule for each kind of limit while the state does not answer."""

    limits: Fails = "local"
    """Of requests and tokens, of clients, models and backends."""
    budgets: Fails = "local"
    concurrency: Fails = "local"


class StateSettings(Struct, frozen=True, kw_only=True):
    """The place of the state. Times are in seconds."""

    url: str | None = None
    """URL of a Valkey or Redis server; it may hold a password. None means in this process."""
    ca_file: str | None = None
    """PEM file of the authorities that are trusted for the server, beside the system's."""
    prefix: str = "crosswire"
    """The beginning of every key, by which several deployments share a server."""
    timeout_s: float = 0.25
    """Time for which a request waits for the state at most."""
    lease_s: float = 15
    """Time after which what a replica has reserved is free again, if the replica died."""
    fails: FailSettings = FailSettings()

    @property
    def place(self) -> str:
        """Host and port of the server, as logs may show them; empty where there is none."""
        if self.url is None:
            return ""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"[{host}]:{parts.port or 6379}" if ":" in host else f"{host}:{parts.port or 6379}"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Returns the fields with the password masked."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["url"] = None if self.url is None else _PASSWORD.sub(r"\1:…@", self.url)
        return list(shown.items())

    def __repr__(self) -> str:
        return f"StateSettings({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"
