"""The backends of a config: their keys, each with its reader. It knows of a protocol what the registry's tables say."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml

from ..ir import CAPABILITIES
from ..protocols import PROTOCOLS
from ..routing import Backend
from .address import base_url as read_url
from .nodes import UNSEEN, Reader, line_of, shown, under
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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Speech(typing.Protocol):
    """What a config must know of a protocol."""

    @property
    def capabilities(self) -> frozenset[str]: ...
    @property
    def quirks(self) -> Mapping[str, str]: ...
    @property
    def limits(self) -> Mapping[str, float]: ...


def read_backends(
    reader: Reader, node: yaml.Node, protocols: Mapping[str, Speech], settings: Settings
) -> tuple[Backend, ...]:
    """All backends in the order of the file; a model that two of them name is a mistake of the later one."""
    found = reader.mapping(node, "backends", None)
    if not found and isinstance(node, yaml.MappingNode):
        reader.complain(node, "backends", "is empty; name at least one backend")
    owners: dict[str, tuple[str, int]] = {}
    return tuple(_backend(reader, name, value, protocols, settings, owners) for name, value in found.items())


def _backend(
    reader: Reader,
    name: str,
    node: yaml.Node,
    protocols: Mapping[str, Speech],
    settings: Settings,
    owners: dict[str, tuple[str, int]],
) -> Backend:
    """One backend; where something of it is wrong a stand-in fills the place, and the complaint stops the start."""
    path = under("backends", name)
    if not _NAME.fullmatch(name):
        reader.complain(
            reader.keys["backends", name], path, "is no name for a backend; use letters, digits, '.', '_' and '-'"
        )
    found = reader.mapping(node, path, BACKEND)

    def get(key: str, read: Callable[[Reader, yaml.Node, str], T | None], default: T) -> T:
        value = read(reader, found[key], f"{path}.{key}") if key in found else None
        return default if value is None else value

    for key in ("protocol", "base_url"):
        if key not in found and isinstance(node, yaml.MappingNode):
            reader.complain(reader.keys["backends", name], f"{path}.{key}", f"is missing; {BACKEND[key]}")
    protocol = get("protocol", lambda r, n, p: r.choice(n, p, protocols), "")
    speech = protocols.get(protocol)
    base_url = get("base_url", _base_url, "")
    reader.places[name] = (line_of(found.get("base_url", node)), f"{path}.base_url")
    for end in VERSIONED.get(protocol, ()):
        if base_url.endswith(end):
            what = f"ends in {end}, which {protocol} adds to it; leave that out unless the host wants it twice"
            reader.warn(found["base_url"], f"{path}.base_url", what)
    unmapped: dict[str, str] = {}
    models = get("models", _models, unmapped)
    for model in models:
        line = reader.keys[f"{path}.models", model]
        if model in owners:
            first, where = owners[model]
            what = f"the model {shown(model)} is named by {first} on line {where} too; keep one of them"
            reader.complain(line, under(f"{path}.models", model), what)
        owners.setdefault(model, (f"backends.{name}", line))
    own = frozenset[str]() if speech is None else speech.capabilities
    listed = get("capabilities", _capabilities, own)
    keys = get("api_key", _keys, ())
    is_list = isinstance(found.get("capabilities"), yaml.SequenceNode)
    return Backend(
        name=name,
        protocol=protocol,
        provider=get("provider", plain, ""),
        base_url=base_url,
        api_key=keys[0] if keys else None,
        spare_keys=keys[1:],
        models=models,
        default_model=get("default_model", plain, None),
        capabilities=listed if is_list else own,
        capabilities_from="explicit" if is_list else "auto",
        priority=get("priority", lambda r, n, p: r.whole(n, p, None), 0),
        quirks=get("quirks", lambda r, n, p: _quirks(r, n, p, speech), frozenset()),
        limits=get("limits", lambda r, n, p: _limits(r, n, p, speech), {}),
        max_tokens=get("max_tokens", lambda r, n, p: r.whole(n, p, 1), None),
        relay=get("relay", relay, settings.relay),
        strict=get("strict", flag, settings.strict),
        headers=get("headers", _headers, {}),
    )


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


BACKEND: dict[str, str] = {
    "protocol": f"one of {', '.join(PROTOCOLS)}",
    "base_url": "give the address that the protocol's official SDK takes",
    "provider": "who mints the signatures; the backend's own name by default",
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
}
"""The keys of a backend, and what is wanted of each."""
