"""The registry of clients: finds the client of a credential, and says why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hmac import compare_digest
from math import inf
from typing import Any

from msgspec import Struct

from ..errors import failure
from ..ir import Failure
from .client import Client
from .keys import LONGEST, credentials_in, digest
from .tokens import TokenChecker, looks_like_token

_BUCKET = 8
"""Bytes of a digest by which its row is found; the rest is compared in constant time."""

_LATEST = 2**53
"""A unix time that no token outlives."""

HOW = "send its key as the SDK does: `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key` or `?key=`"


class KeyRow(Struct, frozen=True):
    """A client's key as it is kept: its digest, and the unix time at which it ends, None for never."""

    digest: bytes
    client: Client
    ends: float | None = None


class Known(Struct, frozen=True):
    """The client of a credential, and the unix time until which the credential is surely its own."""

    client: Client
    until: float


class KeyTable:
    """The keys that are hashed with one hash key."""

    def __init__(self, hash_key: bytes, rows: Iterable[KeyRow]) -> None:
        self._hash_key = hash_key
        self._rows: dict[bytes, list[KeyRow]] = {}
        for row in rows:
            self._rows.setdefault(row.digest[:_BUCKET], []).append(row)

    def __repr__(self) -> str:
        return f"KeyTable({sum(map(len, self._rows.values()))} keys)"

    def find(self, key: str) -> KeyRow | None:
        """The row of this key. A caller cannot choose the digest, so the look-up of the bucket reveals no key."""
        found = digest(key, self._hash_key)
        for row in self._rows.get(found[:_BUCKET], ()):
            if compare_digest(row.digest, found):
                return row
        return None


class ClientRegistry:
    """All clients, their keys, and the checker of tokens."""

    def __init__(
        self, clients: Iterable[Client], tables: Iterable[KeyTable] = (), tokens: TokenChecker | None = None
    ) -> None:
        self.clients: Mapping[str, Client] = {client.name: client for client in clients}
        self._tables = tuple(tables)
        self._tokens = tokens
        self._by_claims = tuple(client for client in self.clients.values() if client.claims)

    def __repr__(self) -> str:
        return f"ClientRegistry({', '.join(self.clients)})"

    def identify(self, headers: Mapping[str, str], query: Mapping[str, str], now: float) -> Client | Failure:
        """The client of a request at this unix time, or the failure that says why there is none."""
        found = self.look_up(headers, query, now)
        return found.client if isinstance(found, Known) else found

    def look_up(self, headers: Mapping[str, str], query: Mapping[str, str], now: float) -> Known | Failure:
        """The same, with the time until which this registry would say the same of these headers and this query.

        The first credential that is known counts: SDKs may send a second one of their environment.
        """
        refused: Failure | None = None
        given = False
        for credential in credentials_in(headers, query):
            given = True
            found = self._client_of(credential, now)
            if isinstance(found, Known):
                return found
            refused = refused or found
        if refused is not None:
            return refused
        if given:
            return failure("authentication", f"The key is not that of a client of this proxy; {HOW}.")
        return failure("authentication", f"This proxy serves its clients only; {HOW}.")

    def _client_of(self, credential: str, now: float) -> Known | Failure | None:
        if len(credential) > LONGEST:
            return None
        for table in self._tables:
            if (row := table.find(credential)) is not None:
                return _usable(row.client, inf if row.ends is None else row.ends, now)
        if self._tokens is not None and looks_like_token(credential):
            claims = self._tokens.check(credential, now)
            if isinstance(claims, Failure):
                return claims
            for client in self._by_claims:
                if all(_has(claims.get(name), value) for name, value in client.claims.items()):
                    return _usable(client, inf, now, _expiry(claims))
            return failure("authentication", "The token is valid, and no client of this proxy has its claims.")
        return None


def _usable(client: Client, ends: float, now: float, sure: float = inf) -> Known | Failure:
    """The client, if it and its key have not ended; what is known of it is `sure` until this time at most."""
    if not client.enabled:
        return failure("authentication", f"The client {client.name} is disabled.")
    until = ends if client.expires is None else min(ends, client.expires)
    if now >= until:
        return failure("authentication", f"The key of the client {client.name} has expired.")
    return Known(client, min(until, sure))


def _expiry(claims: Mapping[str, Any]) -> float:
    """The time at which a token ends; from then on the checker is asked each time, which knows of leeway."""
    expiry = claims.get("exp")
    return float(expiry) if isinstance(expiry, int | float) and 0 <= expiry < _LATEST else 0.0


def _has(claim: object, value: str) -> bool:
    """Returns whether a claim is this text, or a list that holds it."""
    return value in claim if isinstance(claim, list) else claim == value
