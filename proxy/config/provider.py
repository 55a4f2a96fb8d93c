"""A provider of the registry as a backend: what its row says of it, and what the environment and the store add.

A provider's own key is sent to the provider's own address and nowhere else.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

from ..registry import Row
from ..routing import Backend
from .address import base_url as read_url
from .nodes import NO_KEY, Reader, is_key


class Speech(typing.Protocol):
    """What a config must know of a protocol."""

    @property
    def capabilities(self) -> frozenset[str]: ...
    @property
    def quirks(self) -> Mapping[str, str]: ...
    @property
    def limits(self) -> Mapping[str, float]: ...


def made(reader: Reader, row: Row, protocols: Mapping[str, Speech]) -> Backend:
    """The backend that a row makes by itself, under its name, for the rules and prefixes that name it."""
    given, variable = row.address(reader.env)
    where = variable or row.trigger or row.name
    url, wrong = read_url(given or "")
    if wrong:
        reader.complain(0, where, wrong)
    reader.places[row.name] = (0, where)
    return Backend(
        name=row.name,
        protocol=row.protocol,
        provider=row.name,
        base_url=url,
        api_key=key_of(reader, row),
        default_model=row.default_model,
        capabilities=capabilities_of(row, protocols),
        quirks=row.quirks,
        needs_key=row.needs_key,
        reserved=True,
    )


def key_of(reader: Reader, row: Row) -> str | None:
    """The key that the row's variable holds; one that cannot be sent is a complaint."""
    key = row.key(reader.env)
    if key is not None and not is_key(key):
        reader.complain(0, str(row.key_variable), NO_KEY)
    return key


def capabilities_of(row: Row, protocols: Mapping[str, Speech]) -> frozenset[str]:
    """What the row says, else all that its protocol can say."""
    speech = protocols.get(row.protocol)
    own = frozenset[str]() if speech is None else speech.capabilities
    return own if row.capabilities is None else row.capabilities
