"""The settings of a config, that is all that is not about one backend, and the reader of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import yaml
from msgspec import Struct
from msgspec.structs import fields as fields_of

from .. import headers
from ..backends.media_fetch import FetchSettings
from ..backends.transport import NameSettings
from ..costs.budget import Budget
from ..costs.price import Price
from ..ir.loss_tables import LOSS_RULES, Action
from ..limits.bounds import LimitSet
from ..observability.trace_settings import TraceSettings
from ..resilience.circuit_breaker import BreakerSettings
from ..resilience.retry import RetrySettings
from ..state.settings import StateSettings
from ..traits import Trait
from . import fetch
from .limits import MIB, Limits
from .limits import SIZES as SIZE_LIMITS
from .prices import read_prices
from .rates import read_model_limits, read_tag_budgets
from .secret_sources import read_secret_source
from .state import read_state
from .tracing import read_tracing
from .traits import read_traits
from .urls import ascii_host, host_error, is_loopback
from .yaml_reader import FORBIDDEN_IN_NAMES, INVALID_KEY, ConfigReader, is_valid_key

Relay = Literal["auto", "never"]
Unpriced = Literal["refuse", "allow"]
Cache = Literal["agents", "auto", "off"]

SIZES: dict[str, int] = {"": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}
"""Unit to bytes."""

LISTEN = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/@]+):([0-9]{1,5})")
STORE_URL = re.compile(r"(sqlite|postgres(ql)?)(\+[a-z0-9]+)?://\S+")
_PASSWORD = re.compile(r"(//[^/:@]*):[^/]*@")
SIZE = re.compile(r"([0-9]+) ?(KiB|MiB|GiB)?")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@\\]+")

ADMIN_KEY_LENGTH = 16
"""The fewest characters of an admin key: one that cannot be guessed."""


class CorsSettings(Struct, frozen=True, kw_only=True):
    """Pages of browsers that may call the proxy from another origin."""

    origins: frozenset[str] = frozenset()
    """Their origins, as `Origin` says them: `https://app.example.org`."""


class PageSettings(Struct, frozen=True, kw_only=True):
    """The operator's page at `/ui`, which is there once there is an `admin_key`."""

    bodies: bool = False
    """True if the page shows what was said: the bodies of the last requests and answers are kept in memory."""
    memory: int = 16 * MIB
    """Bytes of all bodies that are kept; the oldest are dropped."""


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of the proxy. Times are in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 9001
    open: bool = False
    """True if the address may be one that other machines can reach, although no client needs a key."""
    hosts: frozenset[str] = frozenset()
    """Names by which clients may call the proxy, beside loopback and the address of the socket."""
    cors: CorsSettings = CorsSettings()
    hop_limit: int = 5
    """Number of proxies that a request may have come through; the next one refuses it as a loop."""
    body_limit: int = 32 * MIB
    """Maximum size of a request body."""
    body_timeout_s: float = 60
    """Time limit for a client to send its body."""
    limits: Limits = Limits()
    """Limits of requests, connections, streams and answers beside those that are keys of their own."""
    model_lists_s: float = 3600
    """Interval for asking the providers for their models; 0 means never."""
    websockets: bool = True
    """True if chats may come over a WebSocket, where their protocol has that."""
    max_in_flight: int = 2000
    """Maximum number of requests under way; beyond it new ones are refused at once. 0 means no maximum."""
    max_frame: int = 64 * MIB
    """Maximum size of a frame of an upstream stream."""
    connect_timeout_s: float = 10
    read_timeout_s: float = 300
    """Maximum time between two reads from the upstream."""
    dns: NameSettings = NameSettings()
    linger_s: float = 1
    """Time to wait for the end of an upstream response after the reply's end, so that its connection can be reused."""
    keepalive_s: float = 15
    """Time without output to a streaming client before a ping is sent."""
    drain_s: float = 10
    """Time limit for open requests at shutdown."""
    exit_s: float = 5
    """Time limit for the rest of the shutdown; after it the process ends whatever is still under way."""
    log_buffer: int = 16 * MIB
    """Bytes that may wait to be written to a log, of each log; what comes beyond is dropped and counted."""
    log_end_s: float = 1
    """Time limit at shutdown for writing what waits, of each log."""
    reload_s: float = 2
    """Interval for checking the config file for changes; 0 means only at SIGHUP."""
    reload_settle_s: float = 1
    """Time for which a changed config file must stay as it is before it is read, so that none is read half-written."""
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    records: int = 1000
    """Number of request records that are kept; 0 means none."""
    strict: bool = False
    relay: Relay = "auto"
    fetch: FetchSettings = FetchSettings()
    """From where pictures and files may be fetched for backends that take bytes only."""
    cache: Cache = "agents"
    """For whose requests providers are told what to cache: those of the known agents, all, or none."""
    traits: tuple[Trait, ...] = ()
    """Differences of single models from what the table of traits knows, for every backend."""
    ledger: Mapping[str, Action] = {}
    """Loss features whose action differs from that in LOSS_RULES."""
    response_headers: frozenset[str] = frozenset(headers.ROUTING)
    rate_limit_headers: bool = False
    """True if clients are told the limits of the backend's provider, in the headers of their own protocol."""
    store: str | None = None
    """URL of the database of mappings, settings and credentials; it may hold a password."""
    store_create: bool = False
    """True if that database may be missing; the first row makes it."""
    store_poll_s: float = 0.5
    """Interval for checking the store for changes; 0 means never."""
    state: StateSettings = StateSettings()
    """The place of limits, budgets and what replicas tell each other."""
    model_limits: tuple[tuple[str, LimitSet], ...] = ()
    """Limits of all requests for the models that fit a pattern, by pattern."""
    tag_budgets: tuple[tuple[str, tuple[Budget, ...]], ...] = ()
    """The budgets that the clients of a tag share, by tag."""
    prices: tuple[Price, ...] = ()
    """Prices that come before those that are shipped."""
    unpriced: Unpriced = "refuse"
    """The rule for a client with a budget and a model whose price is not known."""
    cost_header: bool = False
    """True if answers in one piece say what they cost, as far as the price is known."""
    usage: bool | None = None
    """True if each request has a row in the store; None means if there are clients and a store."""
    usage_days: int = 90
    """Days after which a row of the usage is deleted."""
    admin_key: str | None = None
    """Key of the operator's endpoints; without one only programs on this machine may use them."""
    ui: PageSettings = PageSettings()
    access_log: str | None = None
    """File to which a line of JSON is appended for each request; `-` is standard output, None is no log."""
    tracing: TraceSettings | None = None
    """The destination of traces; None records none."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Returns the fields with the admin key, the store's password and a log's path, which is any text, masked."""
        quote_safely = {field: getattr(self, field) for field in self.__struct_fields__}
        quote_safely["admin_key"] = None if self.admin_key is None else "…"
        quote_safely["store"] = None if self.store is None else _PASSWORD.sub(r"\1:…@", self.store)
        quote_safely["access_log"] = None if self.access_log is None else "…"
        return list(quote_safely.items())

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


def read_settings(reader: ConfigReader, found: Mapping[str, yaml.Node]) -> Settings:
    """Reads all settings; one that is absent or invalid has its default."""
    given: dict[str, Any] = {}
    for key, read in SETTINGS.items():
        value = read(reader, found[key], key) if key in found else None
        if value is None:
            continue
        if key == "listen":
            given["host"], given["port"] = value
        elif key == "store":
            given["store"], given["store_create"] = value
        else:
            given[key] = value
    return Settings(**given)


def check_openness(
    reader: ConfigReader, found: Mapping[str, yaml.Node], settings: Settings, *, has_clients: bool
) -> None:
    """Reports an address that others can reach without a key, and `open` where clients have keys."""
    if has_clients and settings.open:
        what = "contradicts clients, which need keys; remove one of them"
        reader.complain(found["open"], "open", what)
    if not is_loopback(settings.host) and not settings.open and not has_clients:
        what = "other machines could reach it and spend the keys of these backends"
        fix = "use 127.0.0.1, give clients keys with `clients:`, or allow it with the line: open: true"
        reader.complain(found["listen"], "listen", f"{what}; {fix}")


def _read_listen(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, int] | None:
    text = reader.text(node, path, "give host:port, such as 127.0.0.1:9001")
    if text is None:
        return None
    match = LISTEN.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        reader.complain(node, path, "is not host:port; write it as 127.0.0.1:9001 or [::1]:9001")
        return None
    host = match[1].strip("[]")
    if (wrong := host_error(host)) is not None:
        reader.complain(node, path, wrong)
        return None
    return host, int(match[2])


def _read_hosts(reader: ConfigReader, node: yaml.Node, path: str) -> frozenset[str]:
    hosts = set()
    for item, host in _read_texts(reader, node, path):
        bare = host.strip("[]")
        if (wrong := host_error(bare)) is not None:
            reader.complain(item, path, f"{wrong}, and give no port, path or wildcard")
        else:
            hosts.add(ascii_host(bare))
    return frozenset(hosts)


def _read_cors(reader: ConfigReader, node: yaml.Node, path: str) -> CorsSettings:
    found = reader.mapping(node, path, ("origins",))
    origins = set()
    for item, origin in _read_texts(reader, found["origins"], f"{path}.origins") if "origins" in found else ():
        if not ORIGIN.fullmatch(origin):
            what = "is no origin; write scheme, host and port as the browser does, such as https://app.example.org"
            reader.complain(item, f"{path}.origins", f"{what}; all pages at once cannot be allowed")
        else:
            origins.add(origin)
    return CorsSettings(origins=frozenset(origins))


def _read_texts(reader: ConfigReader, node: yaml.Node, path: str) -> list[tuple[yaml.Node, str]]:
    """Reads a list of texts, each with its node."""
    if not isinstance(node, yaml.SequenceNode):
        reader.text_list(node, path, None)  # complains
        return []
    texts = ((item, reader.text(item, f"{path}[{index}]")) for index, item in enumerate(node.value))
    return [(item, text) for item, text in texts if text is not None]


def _read_size(reader: ConfigReader, node: yaml.Node, path: str) -> int | None:
    text = reader.scalar(node, path, "give a number of bytes, or such as 32 MiB")
    if text is None:
        return None
    match = SIZE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        reader.complain(node, path, "is not a size; give a number of bytes, or such as 32 MiB")
        return None
    return int(match[1]) * SIZES[match[2] or ""]


def _read_store(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, bool] | None:
    """Reads the store's URL, and whether it may be missing: a URL, or a mapping of `url` and `create`."""
    if not isinstance(node, yaml.MappingNode):
        url = _read_store_url(reader, node, path)
        return None if url is None else (url, False)
    found = reader.mapping(node, path, ("url", "create"))
    if "url" not in found:
        reader.complain(node, f"{path}.url", "is missing; give a database's URL, such as sqlite:///crosswire.db")
        return None
    url = _read_store_url(reader, found["url"], f"{path}.url")
    create = reader.flag(found["create"], f"{path}.create") if "create" in found else None
    return None if url is None else (url, bool(create))


def _read_store_url(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path, "give a database's URL, such as sqlite:///crosswire.db")
    if text is not None and not STORE_URL.fullmatch(text):
        what = "is not a database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        reader.complain(node, path, what)
        return None
    return text


def _read_admin_key(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = read_secret(reader, node, path)
    if text is not None and is_valid_key(text) and len(text) < ADMIN_KEY_LENGTH:
        what = f"has fewer than {ADMIN_KEY_LENGTH} characters, so it can be guessed"
        reader.complain(node, path, f"{what}; make one with: openssl rand -hex {ADMIN_KEY_LENGTH}")
    return text


def _read_page(reader: ConfigReader, node: yaml.Node, path: str) -> PageSettings:
    found = reader.mapping(node, path, ("bodies", "memory"))
    bodies = reader.flag(found["bodies"], f"{path}.bodies") if "bodies" in found else None
    memory = _read_size(reader, found["memory"], f"{path}.memory") if "memory" in found else None
    return PageSettings(bodies=bool(bodies), memory=memory or PageSettings().memory)


def read_seconds(reader: ConfigReader, node: yaml.Node, path: str) -> float | None:
    """Reads a time that is not 0."""
    value = reader.number(node, path, 0)
    if value == 0:
        reader.complain(node, path, "is 0; give a number of seconds above 0")
    return value


def _read_limits(reader: ConfigReader, node: yaml.Node, path: str) -> Limits:
    kinds = {field.name: field.type for field in fields_of(Limits)}
    found: dict[str, Any] = {}
    for name, value in reader.mapping(node, path, tuple(kinds)).items():
        place = f"{path}.{name}"
        if name in SIZE_LIMITS:
            found[name] = _read_size(reader, value, place)
        elif kinds[name] is int:
            found[name] = reader.integer(value, place, 1)
        else:
            found[name] = read_seconds(reader, value, place)
    return Limits(**{name: value for name, value in found.items() if value is not None})


def _read_retry(reader: ConfigReader, node: yaml.Node, path: str) -> RetrySettings:
    return RetrySettings(
        **_read_numbers(reader, node, path, RetrySettings, at_least={"attempts": 1, "deadline_s": 0.001})
    )


def _read_breaker(reader: ConfigReader, node: yaml.Node, path: str) -> BreakerSettings:
    return BreakerSettings(**_read_numbers(reader, node, path, BreakerSettings))


def _read_dns(reader: ConfigReader, node: yaml.Node, path: str) -> NameSettings:
    return NameSettings(**_read_numbers(reader, node, path, NameSettings, at_least={"threads": 1}))


def _read_numbers(
    reader: ConfigReader, node: yaml.Node, path: str, kind: type[Struct], at_least: Mapping[str, float] = {}
) -> dict[str, Any]:
    """Reads a mapping of numbers for the fields of `kind`: integers where the field is one, none below its minimum.

    `at_least` gives the minimum of single fields; it is 0 for all others.
    """
    kinds = {field.name: field.type for field in fields_of(kind)}
    numbers: dict[str, Any] = {}
    for name, value in reader.mapping(node, path, tuple(kinds)).items():
        low, place = at_least.get(name, 0), f"{path}.{name}"
        number = reader.integer(value, place, int(low)) if kinds[name] is int else reader.number(value, place, low)
        if number is not None:
            numbers[name] = number
    return numbers


def _read_fetch(reader: ConfigReader, node: yaml.Node, path: str) -> FetchSettings:
    readers: dict[str, Callable[[ConfigReader, yaml.Node, str], Any]] = {
        "allow": fetch.read_hosts,
        "private": fetch.read_private,
        "max_bytes": _read_size,
        "max_files": lambda reader, node, path: reader.integer(node, path, 1),
        "timeout_s": read_seconds,
        "types": fetch.read_types,
    }
    found = reader.mapping(node, path, fetch.KEYS)
    settings = fetch.made_settings({key: readers[key](reader, value, f"{path}.{key}") for key, value in found.items()})
    if not settings.allow and not reader.complaints:
        reader.note(node, path, "lists no host under `allow`, so nothing is fetched")
    return settings


def _read_ledger(reader: ConfigReader, node: yaml.Node, path: str) -> dict[str, Action]:
    found = reader.mapping(node, path, LOSS_RULES)
    actions: tuple[Action, ...] = get_args(Action)
    read = {word: reader.choice(value, f"{path}.{word}", actions) for word, value in found.items()}
    return {word: action for word, action in read.items() if action is not None}


def _read_response_headers(reader: ConfigReader, node: yaml.Node, path: str) -> frozenset[str] | None:
    if isinstance(node, yaml.SequenceNode):
        return frozenset(reader.text_list(node, path, headers.ROUTING))
    keep = reader.flag(node, path, "give true, false, or a list of headers to keep")
    return None if keep is None else frozenset(headers.ROUTING if keep else ())


def read_flag(reader: ConfigReader, node: yaml.Node, path: str) -> bool | None:
    """Reads true or false."""
    return reader.flag(node, path)


def read_relay(reader: ConfigReader, node: yaml.Node, path: str) -> Relay | None:
    """Reads the value of the key `relay`."""
    choices: tuple[Relay, ...] = get_args(Relay)
    return reader.choice(node, path, choices)


def read_cache(reader: ConfigReader, node: yaml.Node, path: str) -> Cache | None:
    """Reads the value of the key `cache`."""
    choices: tuple[Cache, ...] = get_args(Cache)
    return reader.choice(node, path, choices)


def read_name(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    """Reads a name: text on one line that is not empty."""
    text = reader.text(node, path)
    if text is not None and (not text or FORBIDDEN_IN_NAMES.search(text)):
        reader.complain(node, path, "is empty, or has white space around it or a control character; give a plain name")
        return None
    return text


def read_secret(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    """Reads a secret key, or where it comes from; returns None for a reference with an empty default (`${NAME:-}`)."""
    if isinstance(node, yaml.MappingNode):
        text = read_secret_source(reader, node, path)
    else:
        text = reader.text(node, path)
    if text == "" and isinstance(node, yaml.ScalarNode) and ":-}" in node.value:
        return None
    if text is not None and not is_valid_key(text):
        reader.complain(node, path, INVALID_KEY)
    return text


SETTINGS: dict[str, Callable[[ConfigReader, yaml.Node, str], Any]] = {
    "listen": _read_listen,
    "open": read_flag,
    "hosts": _read_hosts,
    "cors": _read_cors,
    "hop_limit": lambda reader, node, path: reader.integer(node, path, 1),
    "body_limit": _read_size,
    "max_frame": _read_size,
    "body_timeout_s": read_seconds,
    "limits": _read_limits,
    "model_lists_s": lambda reader, node, path: reader.number(node, path, 0),
    "websockets": read_flag,
    "max_in_flight": lambda reader, node, path: reader.integer(node, path, 0),
    "connect_timeout_s": read_seconds,
    "read_timeout_s": read_seconds,
    "dns": _read_dns,
    "linger_s": read_seconds,
    "keepalive_s": read_seconds,
    "drain_s": lambda reader, node, path: reader.number(node, path, 0),
    "reload_s": lambda reader, node, path: reader.number(node, path, 0),
    "reload_settle_s": lambda reader, node, path: reader.number(node, path, 0),
    "exit_s": read_seconds,
    "log_buffer": _read_size,
    "log_end_s": lambda reader, node, path: reader.number(node, path, 0),
    "retry": _read_retry,
    "breaker": _read_breaker,
    "records": lambda reader, node, path: reader.integer(node, path, 0),
    "strict": read_flag,
    "relay": read_relay,
    "cache": read_cache,
    "traits": read_traits,
    "fetch": _read_fetch,
    "ledger": _read_ledger,
    "response_headers": _read_response_headers,
    "rate_limit_headers": read_flag,
    "store": _read_store,
    "state": read_state,
    "model_limits": read_model_limits,
    "tag_budgets": read_tag_budgets,
    "prices": read_prices,
    "unpriced": lambda reader, node, path: reader.choice(node, path, get_args(Unpriced)),
    "cost_header": read_flag,
    "usage": read_flag,
    "usage_days": lambda reader, node, path: reader.integer(node, path, 1),
    "store_poll_s": lambda reader, node, path: reader.number(node, path, 0),
    "admin_key": _read_admin_key,
    "ui": _read_page,
    "access_log": read_name,
    "tracing": read_tracing,
}
"""Key of the config to its reader function."""
