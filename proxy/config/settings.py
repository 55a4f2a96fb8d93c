"""The settings: all of a config that is not about one backend, each key with its reader. It knows no backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import yaml
from msgspec import Struct
from msgspec.structs import fields as fields_of

from ..health import BreakerSettings, RetrySettings
from ..ledger import LEDGER, Action
from .address import is_loopback
from .nodes import NO_KEY, UNSEEN, Reader, is_key

Relay = Literal["auto", "never"]
MIB = 1024 * 1024

RESPONSE_HEADERS = (
    "x-crosswire-backend",
    "x-crosswire-model",
    "x-crosswire-route",
    "x-crosswire-attempts",
    "x-crosswire-loss",
)
"""The response headers that a config may take away; the request's id always goes out."""

SIZES: dict[str, int] = {"": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}

_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/@]+):([0-9]{1,5})")
_STORE = re.compile(r"(sqlite|postgres(ql)?)(\+[a-z0-9]+)?://\S+")
_PASSWORD = re.compile(r"(//[^/:@]*):[^/]*@")
_SIZE = re.compile(r"([0-9]+) ?(KiB|MiB|GiB)?")


class Settings(Struct, frozen=True, kw_only=True):
    """All that is not about one backend. Times in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 9001
    body_limit: int = 32 * MIB
    """The largest request body."""
    body_timeout_s: float = 60
    """How long a client may take to send its body."""
    max_frame: int = 64 * MIB
    """The largest single frame of an upstream's stream."""
    connect_timeout_s: float = 10
    read_timeout_s: float = 300
    """Silence between two reads from upstream."""
    linger_s: float = 1
    """How long to wait for an upstream's last bytes after its answer's end, so that the connection can be reused."""
    keepalive_s: float = 15
    """Silence towards a streaming client before a ping."""
    drain_s: float = 10
    """How long open requests may go on at shutdown."""
    reload_s: float = 2
    """How often the config's file is looked at for a change; 0 = only at SIGHUP."""
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    records: int = 1000
    """How many requests are remembered; 0 = none."""
    strict: bool = False
    relay: Relay = "auto"
    ledger: Mapping[str, Action] = {}
    """The ledger's words with another action than its own table says."""
    response_headers: frozenset[str] = frozenset(RESPONSE_HEADERS)
    store: str | None = None
    """The database of mappings, settings and credentials, as a URL; it may hold a password."""
    store_poll_s: float = 2
    """How often a running proxy looks whether the store has changed; 0 = never."""
    admin_key: str | None = None
    """Who shows it may read the records from another machine."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["admin_key"] = None if self.admin_key is None else "…"
        shown["store"] = None if self.store is None else _PASSWORD.sub(r"\1:…@", self.store)
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


def read_settings(reader: Reader, found: Mapping[str, yaml.Node]) -> Settings:
    """What is given, and the default of each that is not or is wrong."""
    given: dict[str, Any] = {}
    for key, read in SETTINGS.items():
        value = read(reader, found[key], key) if key in found else None
        if value is None:
            continue
        if key == "listen":
            given["host"], given["port"] = value
        else:
            given[key] = value
    return Settings(**given)


def _listen(reader: Reader, node: yaml.Node, path: str) -> tuple[str, int] | None:
    text = reader.text(node, path, "give host:port, such as 127.0.0.1:9001")
    if text is None:
        return None
    match = _LISTEN.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        reader.complain(node, path, "is no host:port; write it as 127.0.0.1:9001 or [::1]:9001")
        return None
    host = match[1].strip("[]")
    if not is_loopback(host):
        what = "other machines can reach it and spend the keys of these backends; use 127.0.0.1 unless you mean that"
        reader.warn(node, path, what)
    return host, int(match[2])


def _size(reader: Reader, node: yaml.Node, path: str) -> int | None:
    text = reader.scalar(node, path, "give a number of bytes, or such as 32 MiB")
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        reader.complain(node, path, "is no size; give a number of bytes, or such as 32 MiB")
        return None
    return int(match[1]) * SIZES[match[2] or ""]


def _store(reader: Reader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path, "give a database's URL, such as sqlite:///crosswire.db")
    if text is not None and not _STORE.fullmatch(text):
        what = "is no URL of a database; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        reader.complain(node, path, what)
        return None
    return text


def _seconds(reader: Reader, node: yaml.Node, path: str) -> float | None:
    value = reader.number(node, path, 0)
    if value == 0:
        reader.complain(node, path, "is 0; give a number of seconds above 0")
    return value


def _retry(reader: Reader, node: yaml.Node, path: str) -> RetrySettings:
    return RetrySettings(**_figures(reader, node, path, RetrySettings, at_least={"attempts": 1, "deadline_s": 0.001}))


def _breaker(reader: Reader, node: yaml.Node, path: str) -> BreakerSettings:
    return BreakerSettings(**_figures(reader, node, path, BreakerSettings))


def _figures(
    reader: Reader, node: yaml.Node, path: str, kind: type[Struct], at_least: Mapping[str, float] = {}
) -> dict[str, Any]:
    """The figures of a block that has nothing else: whole ones where the default is, none below 0 or its own bound."""
    kinds = {field.name: field.type for field in fields_of(kind)}
    figures: dict[str, Any] = {}
    for name, value in reader.mapping(node, path, tuple(kinds)).items():
        low, place = at_least.get(name, 0), f"{path}.{name}"
        figure = reader.whole(value, place, int(low)) if kinds[name] is int else reader.number(value, place, low)
        if figure is not None:
            figures[name] = figure
    return figures


def _ledger(reader: Reader, node: yaml.Node, path: str) -> dict[str, Action]:
    found = reader.mapping(node, path, LEDGER)
    actions: tuple[Action, ...] = get_args(Action)
    read = {word: reader.choice(value, f"{path}.{word}", actions) for word, value in found.items()}
    return {word: action for word, action in read.items() if action is not None}


def _response_headers(reader: Reader, node: yaml.Node, path: str) -> frozenset[str] | None:
    if isinstance(node, yaml.SequenceNode):
        return frozenset(reader.words(node, path, RESPONSE_HEADERS))
    keep = reader.flag(node, path, "give true, false, or a list of headers to keep")
    return None if keep is None else frozenset(RESPONSE_HEADERS if keep else ())


def flag(reader: Reader, node: yaml.Node, path: str) -> bool | None:
    """True or false."""
    return reader.flag(node, path)


def relay(reader: Reader, node: yaml.Node, path: str) -> Relay | None:
    """Whether an equal protocol may be relayed."""
    choices: tuple[Relay, ...] = get_args(Relay)
    return reader.choice(node, path, choices)


def plain(reader: Reader, node: yaml.Node, path: str) -> str | None:
    """A name: text on one line that is not empty."""
    text = reader.text(node, path)
    if text is not None and (not text or UNSEEN.search(text)):
        reader.complain(node, path, "is empty, or has white space around it or a control character; give a plain name")
        return None
    return text


def secret(reader: Reader, node: yaml.Node, path: str) -> str | None:
    """A key; none where a reference has an empty default, as `${NAME:-}`."""
    text = reader.text(node, path)
    if text == "" and isinstance(node, yaml.ScalarNode) and ":-}" in node.value:
        return None
    if text is not None and not is_key(text):
        reader.complain(node, path, NO_KEY)
    return text


SETTINGS: dict[str, Callable[[Reader, yaml.Node, str], Any]] = {
    "listen": _listen,
    "body_limit": _size,
    "max_frame": _size,
    "body_timeout_s": _seconds,
    "connect_timeout_s": _seconds,
    "read_timeout_s": _seconds,
    "linger_s": _seconds,
    "keepalive_s": _seconds,
    "drain_s": lambda reader, node, path: reader.number(node, path, 0),
    "reload_s": lambda reader, node, path: reader.number(node, path, 0),
    "retry": _retry,
    "breaker": _breaker,
    "records": lambda reader, node, path: reader.whole(node, path, 0),
    "strict": flag,
    "relay": relay,
    "ledger": _ledger,
    "response_headers": _response_headers,
    "store": _store,
    "store_poll_s": lambda reader, node, path: reader.number(node, path, 0),
    "admin_key": secret,
}
"""The keys beside `backends`, and who reads each."""
