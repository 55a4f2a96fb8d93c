"""The store's credentials, given to the backends that they are of, or made backends of their own.

A key goes where its own row says, or to its provider's own address: never to an address that only a file gave for
something else of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..registry import Row
from ..routing import Backend
from ..store.snapshot import Credential
from .address import base_url as read_url
from .nodes import NO_KEY, Reader, is_key
from .provider import Speech, made


class Keys(Struct, frozen=True):
    """A provider's keys, the first in use, and where they belong; None for the provider's own address."""

    keys: tuple[str, ...]
    base_url: str | None


def with_credentials(
    reader: Reader,
    backends: Sequence[Backend],
    credentials: Sequence[Credential],
    rows: Mapping[str, Row],
    protocols: Mapping[str, Speech],
) -> tuple[Backend, ...]:
    """The backends with the keys that the store has for them, and one more for each provider that none is of."""
    found = list(backends)
    for provider, keys in _by_provider(reader, credentials, rows).items():
        row = rows.get(provider.lower())
        takers = [place for place, backend in enumerate(found) if _takes(reader, backend, provider, keys, row)]
        for place in takers:
            found[place] = _keyed(found[place], keys)
        if takers or (new := _made(reader, provider, keys, row, protocols, found)) is None:
            continue
        found.append(new)
    return tuple(found)


def _by_provider(reader: Reader, credentials: Sequence[Credential], rows: Mapping[str, Row]) -> dict[str, Keys]:
    """The enabled credentials by the provider's one name; the one that is called `default` comes first."""
    groups: dict[str, list[Credential]] = {}
    for credential in sorted(credentials, key=lambda entry: (entry.name != "default", entry.name)):
        label = f"credential {credential.provider}/{credential.name}"
        if not credential.enabled:
            continue
        if not is_key(credential.key):
            _say(reader, f"{label}: {NO_KEY}")
            continue
        if credential.base_url is not None and (wrong := read_url(credential.base_url)[1]):
            _say(reader, f"{label}: its base_url {wrong}")
            continue
        row = rows.get(credential.provider.lower())
        group = groups.setdefault(credential.provider if row is None else row.name, [])
        if group and group[0].base_url != credential.base_url:
            _say(reader, f"{label}: is left out, for it has another base_url than {group[0].name}; disable one of them")
            continue
        group.append(credential)
    return {provider: _keys(group) for provider, group in groups.items()}


def _keys(group: Sequence[Credential]) -> Keys:
    base_url = group[0].base_url
    return Keys(tuple(dict.fromkeys(entry.key for entry in group)), base_url and base_url.rstrip("/"))


def _takes(reader: Reader, backend: Backend, provider: str, keys: Keys, row: Row | None) -> bool:
    """Whether these keys are this backend's: by its name, or by its provider at that provider's own address."""
    named = backend.name.lower() == provider.lower()
    if row is None:
        return named
    if not named and backend.provider != row.name:
        return False
    if row.at_home(backend.base_url, reader.env) or (named and keys.base_url is not None):
        return True
    if named:
        what = f"is not sent to backends.{backend.name}, whose address is not that of {row.name}"
        _say(reader, f"credential {provider}: {what}; add it with --base-url if it belongs there")
    return False


def _keyed(backend: Backend, keys: Keys) -> Backend:
    """The backend with these keys; its own go on as spares, unless the keys bring an address of their own."""
    base_url = keys.base_url or backend.base_url
    own = (backend.api_key, *backend.spare_keys) if base_url == backend.base_url else ()
    spares = dict.fromkeys(key for key in (*keys.keys[1:], *own) if key is not None and key != keys.keys[0])
    return replace(backend, api_key=keys.keys[0], spare_keys=tuple(spares), base_url=base_url)


def _made(
    reader: Reader,
    provider: str,
    keys: Keys,
    row: Row | None,
    protocols: Mapping[str, Speech],
    backends: Sequence[Backend],
) -> Backend | None:
    """The backend that a credential makes by itself: its provider's, for the rules and prefixes that name it."""
    if row is None:
        _say(reader, f"credential {provider}: no backend and no provider is called so; add it under backends")
        return None
    if row.base_url is None and keys.base_url is None:
        _say(reader, f"credential {provider}: has no address; add it again with --base-url")
        return None
    if any(backend.name == row.name for backend in backends):
        return None  # said above
    if keys.base_url is not None:
        row = replace(row, base_url=keys.base_url, base_url_variable=None)
    backend = made(reader, replace(row, key_variable=None, own_key=keys.keys[0]), protocols)
    return replace(backend, spare_keys=keys.keys[1:])


def _say(reader: Reader, what: str) -> None:
    reader.warnings.append(f"store: {what}")
