"""Reads the backends and custom providers of a config."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import yaml
from msgspec.structs import replace

from ..backends.mlx.spec import NAME as LOCAL
from ..balance.strategy import KEY_STRATEGIES, WEIGHING, Strategy
from ..ir import CAPABILITIES
from ..protocols import PROTOCOLS
from ..providers import Provider
from ..routing import BackendConfig
from ..routing.plan import QUEUE_S
from ..traits import Trait
from .mlx import check_local_model, read_folder_text, read_load
from .provider import ProtocolSpec, capabilities_of, key_of
from .rates import read_limit_fields
from .settings import Settings, read_cache, read_flag, read_name, read_relay, read_seconds, read_secret
from .traits import read_traits
from .urls import parse_base_url
from .way_out import read_way_out
from .yaml_reader import FORBIDDEN_IN_NAMES, ConfigReader, child_path, kind_of, line_of, quote_safely

T = TypeVar("T")

RESERVED_HEADERS = frozenset(
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
"""Request headers that a config may not set, because the proxy sets them or they belong to one connection."""

BACKEND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def read_backends(
    reader: ConfigReader,
    node: yaml.Node,
    protocols: Mapping[str, ProtocolSpec],
    settings: Settings,
    providers: Mapping[str, Provider] = MappingProxyType({}),
    routed_names: frozenset[str] = frozenset(),
) -> tuple[BackendConfig, ...]:
    """Reads all backends in the order of the file; a model that two of them list is an error of the later one.

    `providers` by every name and alias supply the fields that a backend with that `provider`, or with that name, does
    not set. Names in `routed_names` are decided by a route, so several backends may list them.
    """
    found = reader.mapping(node, "backends", None)
    if not found and isinstance(node, yaml.MappingNode):
        reader.complain(node, "backends", "is empty; name at least one backend")
    owners: dict[str, tuple[str, int] | None] = dict.fromkeys(routed_names)
    return tuple(
        _read_backend(reader, name, value, protocols, settings, providers, owners) for name, value in found.items()
    )


def _read_backend(
    reader: ConfigReader,
    name: str,
    node: yaml.Node,
    protocols: Mapping[str, ProtocolSpec],
    settings: Settings,
    providers: Mapping[str, Provider],
    owners: dict[str, tuple[str, int] | None],
) -> BackendConfig:
    """Reads one backend; invalid fields get a default, and the reported error prevents the start."""
    path = child_path("backends", name)
    if not BACKEND_NAME.fullmatch(name):
        reader.complain(
            reader.key_lines["backends", name],
            path,
            "is not a valid backend name; use letters, digits, '.', '_' and '-'",
        )
    found = reader.mapping(node, path, BACKEND_KEYS)

    def get(key: str, read: Callable[[ConfigReader, yaml.Node, str], T | None], default: T) -> T:
        value = read(reader, found[key], f"{path}.{key}") if key in found else None
        return default if value is None else value

    provider_name = get("provider", read_name, "")
    # a backend with a base_url is not a provider by its name alone
    provider = providers.get((provider_name if provider_name or "base_url" in found else name).lower())
    built_in_url = None if provider is None else provider.address(reader.env)[0]
    protocol = get("protocol", lambda r, n, p: r.choice(n, p, protocols), "" if provider is None else provider.protocol)
    for key, known in (("protocol", provider), ("base_url", built_in_url or protocol == LOCAL)):
        if key not in found and not known and isinstance(node, yaml.MappingNode):
            reader.complain(reader.key_lines["backends", name], f"{path}.{key}", f"is missing; {BACKEND_KEYS[key]}")
    folder = get("folder", read_folder_text, "")
    protocol_spec = protocols.get(protocol)
    no_limits: dict[str, float] = {}
    limits = get("limits", lambda r, n, p: _read_limits(r, n, p, protocol_spec), no_limits)
    check_local_model(reader, found, path, protocol, folder, limits, reader.key_lines["backends", name])
    # with a protocol of its own a backend keeps to it
    speaks = provider.speaks if provider is not None and "protocol" not in found else ()
    base_url = get("base_url", _read_base_url, "") or _provider_url(
        reader, provider if "base_url" not in found else None
    )
    reader.locations[name] = (line_of(found.get("base_url", node)), f"{path}.base_url")
    # a provider's capabilities and quirks apply only in its own protocol; its key is sent only to its own address
    native = provider if provider is not None and protocol == provider.protocol else None
    key_provider = provider if provider is not None and provider.is_own_address(base_url, reader.env) else None
    suffixes = () if protocol_spec is None else protocol_spec.base_url_suffixes
    for end in suffixes if "base_url" in found else ():
        if base_url.endswith(end):
            what = f"ends in {end}, which {protocol} adds to it; leave that out unless the host wants it twice"
            reader.warn(found["base_url"], f"{path}.base_url", what)
    no_models: dict[str, str] = {}
    models = get("models", _read_models, no_models)
    for model in models:
        line = reader.key_lines[f"{path}.models", model]
        if (owner := owners.get(model)) is not None:
            first, where = owner
            what = f"the model {quote_safely(model)} is named by {first} on line {where} too; keep one of them"
            reader.complain(line, child_path(f"{path}.models", model), what)
        owners.setdefault(model, (f"backends.{name}", line))
    default_capabilities = frozenset[str]() if protocol_spec is None else protocol_spec.capabilities
    if native is not None and "capabilities" not in found and (native.capabilities is not None or speaks):
        default_capabilities = capabilities_of(native, protocols)
    listed = get("capabilities", _read_capabilities, default_capabilities)
    default_quirks = frozenset[str]() if native is None else native.quirks
    # quirks that are listed stand in place of all that is known of the host
    host = "" if provider is None or "quirks" in found or not provider.host_traits else provider.host_of(protocol)
    no_traits: tuple[Trait, ...] = ()
    no_keys: tuple[str, ...] = ()
    keys = get("api_key", _read_keys, no_keys)
    if key_provider is not None and "api_key" not in found:
        keys = tuple(filter(None, (key_of(reader, key_provider),)))
    key_strategy = get("key_strategy", lambda r, n, p: r.choice(n, p, KEY_STRATEGIES), KEY_STRATEGIES[0])
    no_weights: tuple[float, ...] = ()
    key_weights = get("key_weights", _read_weights, no_weights)
    _check_key_strategy(reader, found, path, key_strategy, len(keys))
    way_out = read_way_out(reader, found, path, base_url)
    is_list = isinstance(found.get("capabilities"), yaml.SequenceNode)
    return BackendConfig(
        name=name,
        protocol=protocol,
        speaks=speaks,
        provider=provider_name if provider is None else provider.name,
        base_url=base_url,
        api_key=keys[0] if keys else None,
        spare_keys=keys[1:],
        key_strategy=key_strategy,
        key_weights=key_weights,
        models=models,
        default_model=get("default_model", read_name, None),
        capabilities=listed if is_list else default_capabilities,
        capabilities_from="explicit" if is_list else "auto",
        priority=get("priority", lambda r, n, p: r.integer(n, p, None), 0),
        quirks=get("quirks", lambda r, n, p: _read_quirks(r, n, p, protocol_spec), default_quirks),
        host=host,
        traits=get("traits", read_traits, no_traits),
        limits=limits,
        max_tokens=get("max_tokens", lambda r, n, p: r.integer(n, p, 1), None),
        max_in_flight=get("max_in_flight", lambda r, n, p: r.integer(n, p, 1), None),
        rates=read_limit_fields(reader, {key: found[key] for key in ("requests", "tokens") if key in found}, path),
        queue=get("queue", lambda r, n, p: r.integer(n, p, 0), 0),
        queue_s=get("queue_s", read_seconds, QUEUE_S),
        relay=get("relay", read_relay, settings.relay),
        cache=get("cache", read_cache, settings.cache),
        strict=get("strict", read_flag, settings.strict),
        headers=get("headers", _read_headers, {}),
        betas=get("betas", _read_betas, None),
        needs_key=key_provider is not None and key_provider.needs_key,
        folder=folder,
        load=get("load", read_load, "lazy"),
        proxy=way_out.get("proxy"),
        ca_file=way_out.get("ca_file"),
        client_cert=way_out.get("client_cert"),
        client_key=way_out.get("client_key"),
        local=protocol_spec is not None and protocol_spec.local,
    )


def read_provider(
    reader: ConfigReader, node: yaml.Node, path: str, provider: Provider, protocols: Mapping[str, ProtocolSpec]
) -> Provider:
    """Reads a provider that the config defines; fields that it does not set are those of `provider`."""
    found = reader.mapping(node, path, PROVIDER_KEYS)
    for key in ("protocol", "base_url"):
        if key not in found and not getattr(provider, key) and isinstance(node, yaml.MappingNode):
            reader.complain(node, f"{path}.{key}", f"is missing; {BACKEND_KEYS[key]}")
    given: dict[str, typing.Any] = {}
    if "protocol" in found:
        wire_protocols = [name for name in protocols if name != LOCAL]
        given["protocol"] = reader.choice(found["protocol"], f"{path}.protocol", wire_protocols) or provider.protocol
        given["speaks"] = ()
    protocol_spec = protocols.get(given.get("protocol", provider.protocol))
    for key, read in (("base_url", _read_base_url), ("default_model", read_name), ("capabilities", _read_capabilities)):
        if key in found and (value := read(reader, found[key], f"{path}.{key}")) is not None:
            given[key] = value
    if "quirks" in found:
        given["quirks"] = _read_quirks(reader, found["quirks"], f"{path}.quirks", protocol_spec)
        given["host_traits"] = False
    if "api_key" in found:
        given["own_key"] = read_secret(reader, found["api_key"], f"{path}.api_key")
    return replace(provider, **given)


def _provider_url(reader: ConfigReader, provider: Provider | None) -> str:
    """Returns the provider's base URL, which its variable may override; empty if there is none."""
    given, variable = (None, "") if provider is None else provider.address(reader.env)
    if given is None:
        return ""
    url, wrong = parse_base_url(given)
    if wrong:
        reader.complain(0, variable, wrong)
    return url


def _read_base_url(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path)
    if text is None:
        return None
    url, wrong = parse_base_url(text)
    if wrong:
        reader.complain(node, path, wrong)
    return url


def _read_keys(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, ...]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    keys = [
        read_secret(reader, item, f"{path}[{index}]" if node is not item else path) for index, item in enumerate(nodes)
    ]
    return tuple(key for key in keys if key is not None)


def _read_weights(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[float, ...]:
    if not isinstance(node, yaml.SequenceNode):
        reader.complain(node, path, f"is {kind_of(node)}; give a weight for each key of api_key, such as [3, 1]")
        return ()
    found = [reader.number(item, f"{path}[{index}]", 0) for index, item in enumerate(node.value)]
    weights = tuple(weight for weight in found if weight is not None)
    if weights and not any(weights):
        reader.complain(node, path, "has only weights of 0; give one key another weight")
    return weights


def _check_key_strategy(
    reader: ConfigReader, found: Mapping[str, yaml.Node], path: str, strategy: Strategy, keys: int
) -> None:
    """Reports what the keys for choosing among several keys of the provider say in vain."""
    if "key_weights" in found:
        node = found["key_weights"]
        if strategy not in WEIGHING:
            what = f"is looked at by {', '.join(WEIGHING)} alone; choose one as key_strategy, or remove it"
            reader.complain(node, f"{path}.key_weights", what)
        elif isinstance(node, yaml.SequenceNode) and len(node.value) != keys:
            what = f"has {len(node.value)} weights, and api_key {keys} keys; give each key a weight"
            reader.complain(node, f"{path}.key_weights", what)
    if strategy != "order" and keys < 2:
        reader.warn(found["key_strategy"], f"{path}.key_strategy", "chooses among several keys, and there is one")


def _read_models(reader: ConfigReader, node: yaml.Node, path: str) -> dict[str, str]:
    """Reads a mapping of client names to upstream names, or a list of names that are the same on both sides."""
    models: dict[str, str] = {}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            name = read_name(reader, item, f"{path}[{index}]")
            if name in models:
                what = f"duplicate, first on line {reader.key_lines[path, name]}; keep one of them"
                reader.complain(item, f"{path}[{index}]", what)
            elif name is not None:
                models[name] = name
                reader.key_lines[path, name] = line_of(item)
        return models
    for name, value in reader.mapping(node, path, None, "a mapping or a list").items():
        upstream = read_name(reader, value, child_path(path, name))
        if FORBIDDEN_IN_NAMES.search(name):
            reader.complain(
                value, child_path(path, name), "has white space around it or a control character; remove it"
            )
        models[name] = upstream or name
    return models


def _read_capabilities(reader: ConfigReader, node: yaml.Node, path: str) -> frozenset[str] | None:
    """Reads a list of capabilities, and adds those that they imply: `text`, and `tools` of `tools.parallel`."""
    if not isinstance(node, yaml.SequenceNode):
        reader.choice(node, path, ("auto",), "give auto, or a list of capabilities")
        return None
    listed = reader.text_list(node, path, CAPABILITIES)
    return frozenset(("text", *listed, *(word.partition(".")[0] for word in listed)))


def _read_quirks(
    reader: ConfigReader, node: yaml.Node, path: str, protocol_spec: ProtocolSpec | None
) -> frozenset[str]:
    return frozenset(reader.text_list(node, path, None if protocol_spec is None else protocol_spec.quirks))


def _read_limits(
    reader: ConfigReader, node: yaml.Node, path: str, protocol_spec: ProtocolSpec | None
) -> dict[str, float]:
    found = reader.mapping(node, path, None if protocol_spec is None else protocol_spec.limits)
    read = {name: reader.number(value, child_path(path, name), 0) for name, value in found.items()}
    return {name: value for name, value in read.items() if value is not None}


def _read_headers(reader: ConfigReader, node: yaml.Node, path: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in reader.mapping(node, path, None).items():
        text = reader.text(value, child_path(path, name))
        if not HEADER_NAME.fullmatch(name):
            reader.complain(value, child_path(path, name), "is not a valid header name; use letters, digits and '-'")
        elif name.lower() in RESERVED_HEADERS:
            reader.complain(value, child_path(path, name), "is set by the proxy itself; remove it")
        elif name.lower() in headers:
            reader.complain(value, child_path(path, name), "is listed twice, in another case; keep one of them")
        elif text is not None and (FORBIDDEN_IN_NAMES.search(text) or not text.isascii()):
            reader.complain(
                value, child_path(path, name), "is not a valid header value; use printable ASCII on one line"
            )
        elif text is not None:
            headers[name.lower()] = text
    return headers


def _read_betas(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, ...]:
    return tuple(reader.text_list(node, path, None))


PROVIDER_KEYS = ("protocol", "base_url", "api_key", "default_model", "capabilities", "quirks")
"""The keys of a custom provider, with the same meanings as those of a backend."""

BACKEND_KEYS: dict[str, str] = {
    "protocol": f"one of {', '.join((*PROTOCOLS, LOCAL))}",
    "base_url": "give the address that the protocol's official SDK takes",
    "provider": "a provider, which supplies every key that is not given; or else the issuer of the signatures",
    "api_key": "the provider's key, as ${NAME}, or a list: where one is refused or at its limit the next is tried",
    "key_strategy": f"which of several keys a request gets: {', '.join(KEY_STRATEGIES)}",
    "key_weights": "the weight of each key of api_key",
    "models": "the client's names and the upstream's",
    "default_model": "the upstream's name for any other model",
    "capabilities": "auto, or a list",
    "priority": "higher first",
    "quirks": "how this host deviates from its protocol",
    "traits": "how single models differ at this host, by a pattern of their names",
    "limits": "bounds of this host that differ from its protocol's",
    "max_tokens": "the bound where the protocol requires one and the client set none",
    "max_in_flight": "how many requests it gets at the same time; no maximum where it is left out",
    "queue": "how many requests may wait for a place of max_in_flight; 0 where it is left out",
    "queue_s": "how many seconds they may wait",
    "requests": "how many requests it gets in a period, such as 60/min",
    "tokens": "how many tokens they may have in a period, such as 100000/min",
    "relay": "auto or never",
    "cache": "agents, auto or off",
    "strict": "true or false",
    "headers": "what every request to this host carries",
    "folder": "the folder of a local model, of protocol mlx alone; the one that is shipped where it is left out",
    "load": "when a local model is loaded: lazy, with its first request, or start, when the proxy starts",
    "proxy": "an HTTP proxy as http://host:port, or environment for that of HTTPS_PROXY and NO_PROXY",
    "ca_file": "a PEM file of the authorities that are trusted for this host, in place of the system's",
    "client_cert": "a PEM file of the certificate that is shown to this host, with its key or client_key",
    "client_key": "a PEM file of that certificate's key",
    "betas": "the flags of anthropic-beta that this host takes, as shell patterns; all where it is left out",
}
"""The keys of a backend, and a description of each for error messages."""
