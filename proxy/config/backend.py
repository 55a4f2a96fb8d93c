"""The backends of a config: their keys, each with its reader. It knows of a protocol what the registry's tables say."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import yaml
from msgspec.structs import replace

from ..backends.mlx.speech import NAME as LOCAL
from ..ir import CAPABILITIES
from ..protocols import PROTOCOLS
from ..registry import Row
from ..routing import Backend
from .address import base_url as read_url
from .local import check_local, text_of_folder
from .nodes import UNSEEN, Reader, line_of, shown, under
from .provider import Speech, key_of
from .settings import Settings, flag, plain, relay, secret

T = TypeVar("T")

OWN_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Upstream headers that the proxy sets, or that belong to one connection."""

VERSIONED: dict[str, tuple[str, ...]] = {"anthropic": ("/v1",), "gemini": ("/v1", "/v1beta"), "ollama": ("/api", "/v1")}
"""By protocol, ends of a base URL that its official SDK adds by itself."""

NAME_OF_BACKEND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def read_backends(
    reader: Reader,
    node: yaml.Node,
    protocols: Mapping[str, Speech],
    settings: Settings,
    rows: Mapping[str, Row] = MappingProxyType({}),
    settled: frozenset[str] = frozenset(),
) -> tuple[Backend, ...]:
    """All backends in the order of the file; a model that two of them name is a mistake of the later one.

    `rows` are the registry's, by every name: a backend's `provider`, or its own name, has there what it does not say.
    `settled` are names of which a route says whose they are, so that several backends may have them.
    """
    found = reader.mapping(node, "backends", None)
    if not found and isinstance(node, yaml.MappingNode):
        reader.complain(node, "backends", "is empty; name at least one backend")
    owners: dict[str, tuple[str, int] | None] = dict.fromkeys(settled)
    return tuple(_backend(reader, name, value, protocols, settings, rows, owners) for name, value in found.items())


def _backend(
    reader: Reader,
    name: str,
    node: yaml.Node,
    protocols: Mapping[str, Speech],
    settings: Settings,
    rows: Mapping[str, Row],
    owners: dict[str, tuple[str, int] | None],
) -> Backend:
    """One backend; where something of it is wrong a stand-in fills the place, and the complaint stops the start."""
    path = under("backends", name)
    if not NAME_OF_BACKEND.fullmatch(name):
        reader.complain(
            reader.keys["backends", name], path, "is no name for a backend; use letters, digits, '.', '_' and '-'"
        )
    found = reader.mapping(node, path, BACKEND)

    def get(key: str, read: Callable[[Reader, yaml.Node, str], T | None], default: T) -> T:
        value = read(reader, found[key], f"{path}.{key}") if key in found else None
        return default if value is None else value

    provider = get("provider", plain, "")
    # a backend that gives its address is what it says it is, whatever its name
    row = rows.get((provider if provider or "base_url" in found else name).lower())
    own_place = None if row is None else row.address(reader.env)[0]
    protocol = get("protocol", lambda r, n, p: r.choice(n, p, protocols), "" if row is None else row.protocol)
    for key, known in (("protocol", row), ("base_url", own_place or protocol == LOCAL)):
        if key not in found and not known and isinstance(node, yaml.MappingNode):
            reader.complain(reader.keys["backends", name], f"{path}.{key}", f"is missing; {BACKEND[key]}")
    folder = get("folder", text_of_folder, "")
    check_local(reader, found, path, protocol, folder, reader.keys["backends", name])
    speech = protocols.get(protocol)
    base_url = get("base_url", _base_url, "") or _address(reader, row if "base_url" not in found else None)
    reader.places[name] = (line_of(found.get("base_url", node)), f"{path}.base_url")
    # what a row says of its protocol holds in that protocol, and its key goes to its own address and nowhere else
    spoken = row if row is not None and protocol == row.protocol else None
    home = row if row is not None and row.at_home(base_url, reader.env) else None
    for end in VERSIONED.get(protocol, ()) if "base_url" in found else ():
        if base_url.endswith(end):
            what = f"ends in {end}, which {protocol} adds to it; leave that out unless the host wants it twice"
            reader.warn(found["base_url"], f"{path}.base_url", what)
    unmapped: dict[str, str] = {}
    models = get("models", _models, unmapped)
    for model in models:
        line = reader.keys[f"{path}.models", model]
        if (owner := owners.get(model)) is not None:
            first, where = owner
            what = f"the model {shown(model)} is named by {first} on line {where} too; keep one of them"
            reader.complain(line, under(f"{path}.models", model), what)
        owners.setdefault(model, (f"backends.{name}", line))
    own = frozenset[str]() if speech is None else speech.capabilities
    if spoken is not None and spoken.capabilities is not None and "capabilities" not in found:
        own = spoken.capabilities
    listed = get("capabilities", _capabilities, own)
    usual = frozenset[str]() if spoken is None else spoken.quirks
    unset: tuple[str, ...] = ()
    keys = get("api_key", _keys, unset)
    if home is not None and "api_key" not in found:
        keys = tuple(filter(None, (key_of(reader, home),)))
    is_list = isinstance(found.get("capabilities"), yaml.SequenceNode)
    return Backend(
        name=name,
        protocol=protocol,
        provider=provider if row is None else row.name,
        base_url=base_url,
        api_key=keys[0] if keys else None,
        spare_keys=keys[1:],
        models=models,
        default_model=get("default_model", plain, None),
        capabilities=listed if is_list else own,
        capabilities_from="explicit" if is_list else "auto",
        priority=get("priority", lambda r, n, p: r.whole(n, p, None), 0),
        quirks=get("quirks", lambda r, n, p: _quirks(r, n, p, speech), usual),
        limits=get("limits", lambda r, n, p: _limits(r, n, p, speech), {}),
        max_tokens=get("max_tokens", lambda r, n, p: r.whole(n, p, 1), None),
        relay=get("relay", relay, settings.relay),
        strict=get("strict", flag, settings.strict),
        headers=get("headers", _headers, {}),
        betas=get("betas", _betas, None),
        needs_key=home is not None and home.needs_key,
        folder=folder,
    )


def read_provider(reader: Reader, node: yaml.Node, path: str, row: Row, protocols: Mapping[str, Speech]) -> Row:
    """A provider that the config writes itself: what it does not say stays as the row has it."""
    found = reader.mapping(node, path, PROVIDER)
    for key in ("protocol", "base_url"):
        if key not in found and not getattr(row, key) and isinstance(node, yaml.MappingNode):
            reader.complain(node, f"{path}.{key}", f"is missing; {BACKEND[key]}")
    given: dict[str, typing.Any] = {}
    if "protocol" in found:
        wires = [name for name in protocols if name != LOCAL]
        given["protocol"] = reader.choice(found["protocol"], f"{path}.protocol", wires) or row.protocol
    speech = protocols.get(given.get("protocol", row.protocol))
    for key, read in (("base_url", _base_url), ("default_model", plain), ("capabilities", _capabilities)):
        if key in found and (value := read(reader, found[key], f"{path}.{key}")) is not None:
            given[key] = value
    if "quirks" in found:
        given["quirks"] = _quirks(reader, found["quirks"], f"{path}.quirks", speech)
    if "api_key" in found:
        given["own_key"] = secret(reader, found["api_key"], f"{path}.api_key")
    return replace(row, **given)


def _address(reader: Reader, row: Row | None) -> str:
    """The address of a provider of the registry, or of the variable that moves it; empty where there is none."""
    given, variable = (None, "") if row is None else row.address(reader.env)
    if given is None:
        return ""
    url, wrong = read_url(given)
    if wrong:
        reader.complain(0, variable, wrong)
    return url


def _base_url(reader: Reader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path)
    if text is None:
        return None
    url, wrong = read_url(text)
    if wrong:
        reader.complain(node, path, wrong)
    return url


def _keys(reader: Reader, node: yaml.Node, path: str) -> tuple[str, ...]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    keys = [secret(reader, item, f"{path}[{index}]" if node is not item else path) for index, item in enumerate(nodes)]
    return tuple(key for key in keys if key is not None)


def _models(reader: Reader, node: yaml.Node, path: str) -> dict[str, str]:
    """A mapping of the client's names to the upstream's, or a list of names that are the same on both sides."""
    models: dict[str, str] = {}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            name = plain(reader, item, f"{path}[{index}]")
            if name in models:
                what = f"is on line {reader.keys[path, name]} already; keep one of them"
                reader.complain(item, f"{path}[{index}]", what)
            elif name is not None:
                models[name] = name
                reader.keys[path, name] = line_of(item)
        return models
    for name, value in reader.mapping(node, path, None, "a mapping or a list").items():
        upstream = plain(reader, value, under(path, name))
        if UNSEEN.search(name):
            reader.complain(value, under(path, name), "has white space around it or a control character; remove it")
        models[name] = upstream or name
    return models


def _capabilities(reader: Reader, node: yaml.Node, path: str) -> frozenset[str] | None:
    """The listed words and what they rest on: `text`, and before the dot of `tools.parallel` the word `tools`."""
    if not isinstance(node, yaml.SequenceNode):
        reader.choice(node, path, ("auto",), "give auto, or a list of capabilities")
        return None
    listed = reader.words(node, path, CAPABILITIES)
    return frozenset(("text", *listed, *(word.partition(".")[0] for word in listed)))


def _quirks(reader: Reader, node: yaml.Node, path: str, speech: Speech | None) -> frozenset[str]:
    return frozenset(reader.words(node, path, None if speech is None else speech.quirks))


def _limits(reader: Reader, node: yaml.Node, path: str, speech: Speech | None) -> dict[str, float]:
    found = reader.mapping(node, path, None if speech is None else speech.limits)
    read = {name: reader.number(value, under(path, name), 0) for name, value in found.items()}
    return {name: value for name, value in read.items() if value is not None}


def _headers(reader: Reader, node: yaml.Node, path: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in reader.mapping(node, path, None).items():
        text = reader.text(value, under(path, name))
        if not _HEADER.fullmatch(name):
            reader.complain(value, under(path, name), "is no header's name; use letters, digits and '-'")
        elif name.lower() in OWN_HEADERS:
            reader.complain(value, under(path, name), "is set by the proxy itself; remove it")
        elif name.lower() in headers:
            reader.complain(value, under(path, name), "is there twice, in another case; keep one of them")
        elif text is not None and (UNSEEN.search(text) or not text.isascii()):
            reader.complain(value, under(path, name), "is no header's value; use printable ASCII on one line")
        elif text is not None:
            headers[name.lower()] = text
    return headers


def _betas(reader: Reader, node: yaml.Node, path: str) -> tuple[str, ...]:
    return tuple(reader.words(node, path, None))


PROVIDER = ("protocol", "base_url", "api_key", "default_model", "capabilities", "quirks")
"""The keys of a provider that the config writes itself; each means what it means of a backend."""

BACKEND: dict[str, str] = {
    "protocol": f"one of {', '.join((*PROTOCOLS, LOCAL))}",
    "base_url": "give the address that the protocol's official SDK takes",
    "provider": "a provider of the registry, which has every key that is not given; else who mints the signatures",
    "api_key": "the provider's key, as ${NAME}, or a list of keys: where one is refused the next is tried",
    "models": "the client's names and the upstream's",
    "default_model": "the upstream's name for any other model",
    "capabilities": "auto, or a list",
    "priority": "higher first",
    "quirks": "how this host deviates from its protocol",
    "limits": "bounds of this host that differ from its protocol's",
    "max_tokens": "the bound where the protocol requires one and the client set none",
    "relay": "auto or never",
    "strict": "true or false",
    "headers": "what every request to this host carries",
    "folder": "the folder of a local model, of protocol mlx alone; the one that is shipped where it is left out",
    "betas": "the flags of anthropic-beta that this host takes, as shell patterns; all where it is left out",
}
"""The keys of a backend, and what is wanted of each."""
