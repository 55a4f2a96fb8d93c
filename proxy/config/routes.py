"""Reads the routing rules of a config: routes, prefixes, modes, smart models, and the target of models without a rule.

It checks each value and that backend names exist; contradictions between rules are found by the plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any

import yaml
from msgspec import Struct
from msgspec.structs import replace

from ..balance.strategy import STRATEGIES, WEIGHING, Balance, Hedge, StickyBy
from ..providers import LOCAL_PROVIDERS, Provider
from ..routing import THRESHOLDS, TIERS, WEIGHTS, BackendConfig, NamedMode, Route, RouteTarget, is_pattern
from .settings import read_flag, read_name, read_seconds
from .yaml_reader import FORBIDDEN_IN_NAMES, ConfigReader, child_path, did_you_mean, kind_of, line_of, quote_safely

RULE_KEYS: dict[str, str] = {
    "routes": "a list of {match, backend}",
    "prefixes": "words before a model's first slash, and the backend of each, or false",
    "unmapped": "where a model without a rule goes: capability, refuse, or a backend",
    "aliases": "names or patterns that stand for another name, such as {claude-*: gpt-5}",
    "pins": "whether clients may name a backend",
    "unlisted": "models that are served and not listed, as shell patterns",
    "mode": "the mode of requests that choose none",
    "modes": "modes by name, each with a backend, models or both",
    "smart": "virtual models by name, each with a cheap and a primary target",
}
"""The keys of routing rules, and a description of each for error messages."""

ROUTE_KEYS = (
    *("match", "backend", "model", "priority", "enabled", "fallback", "to"),
    *("strategy", "sticky_by", "hedge"),
)
TARGET_KEYS = ("backend", "model", "weight")
HEDGE_KEYS = ("after_s", "whole_after_s", "budget")
MODE_KEYS = ("backend", "models")
SMART_KEYS = ("cheap", "primary", "weights", "thresholds", "cascade")
"""The keys of a route, of a target, of hedged requests, of a mode, and of a smart model."""


STICKY_BY: tuple[StickyBy, ...] = ("conversation", "client")
"""The things that `sticky` holds together."""

CAPABILITY, REFUSE = "capability", "refuse"
"""The values of `unmapped` that are no backend."""


class SmartModelSpec(Struct, frozen=True, kw_only=True):
    """A smart model as written in the config: its provider or backend names are not resolved yet."""

    name: str
    cheap_backend: str | None = None
    cheap_model: str | None = None
    primary_backend: str | None = None
    primary_model: str | None = None
    weights: Mapping[str, float] = {}
    thresholds: Mapping[str, float] = {}
    cascade: bool = False
    location: str = "smart"
    line: int = 0


class RoutingRules(Struct, frozen=True, kw_only=True):
    """The routing rules of a config, ready for a plan except for the smart models, which must be resolved."""

    routes: tuple[Route, ...] = ()
    prefixes: Mapping[str, str | None] = {}
    unmapped: str | None = None
    refuses_unmapped: bool = False
    aliases: Mapping[str, str] = {}
    pins: bool = True
    unlisted: tuple[str, ...] = ()
    mode: str | None = None
    modes: Mapping[str, NamedMode] = {}
    smart_models: tuple[SmartModelSpec, ...] = ()
    locations: Mapping[str, str] = {}


def read_rules(reader: ConfigReader, found: Mapping[str, yaml.Node], backends: Iterable[BackendConfig]) -> RoutingRules:
    """Reads the routing rules; every backend that they name must be one of `backends`."""
    names = [backend.name for backend in backends]
    given: dict[str, Any] = {}
    readers = {
        "routes": _read_routes,
        "prefixes": _read_prefixes,
        "unmapped": _read_unmapped,
        "aliases": _read_aliases,
        "pins": lambda r, n, p, _: read_flag(r, n, p),
        "unlisted": lambda r, n, p, _: tuple(r.text_list(n, p, None)),
        "modes": _read_modes,
        "smart": _read_smart_models,
    }
    for key, read in readers.items():
        value = read(reader, found[key], key, names) if key in found else None
        if value is not None:
            given["smart_models" if key == "smart" else key] = value
    given["refuses_unmapped"] = given.get("unmapped") == REFUSE
    if given.get("unmapped") in (CAPABILITY, REFUSE):
        del given["unmapped"]
    if "mode" in found:
        given["mode"] = reader.choice(found["mode"], "mode", given.get("modes", {}))
    locations = {
        key: reader.origins.get(key, f"{reader.file}:{line_of(found[key])}") for key in RULE_KEYS if key in found
    }
    return RoutingRules(**given, locations=locations)


def routed_names(found: Mapping[str, yaml.Node]) -> frozenset[str]:
    """Returns the `match` texts of the enabled routes; several backends may list such a name in their `models`."""
    node = found.get("routes")
    names = set()
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        keys = {key.value: value.value for key, value in item.value} if isinstance(item, yaml.MappingNode) else {}
        if isinstance(keys.get("match"), str) and keys.get("enabled") != "false":
            names.add(keys["match"])
    return frozenset(names)


def _read_routes(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> tuple[Route, ...]:
    if not isinstance(node, yaml.SequenceNode):
        reader.complain(node, path, f"is {kind_of(node)}; give {RULE_KEYS['routes']}")
        return ()
    routes = (_read_route(reader, item, f"{path}[{index}]", names) for index, item in enumerate(node.value))
    return tuple(route for route in routes if route is not None)


def _read_route(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> Route | None:
    found = reader.mapping(node, path, ROUTE_KEYS, "a mapping such as {match: gpt-*, backend: openai}")
    if not isinstance(node, yaml.MappingNode):
        return None
    if "match" not in found:
        reader.complain(node, f"{path}.match", "is missing; give a model's name, or a pattern such as gpt-*")
    if "to" not in found and "backend" not in found:
        reader.complain(node, f"{path}.backend", f"is missing; {did_you_mean('', names)}")
    balance = _read_balance(reader, found, path)
    is_balanced = balance is not None and balance.strategy != "order"
    for key in ("backend", "fallback"):
        if "to" in found and key in found and not (key == "fallback" and is_balanced):
            what = "cannot be combined with to; keep one of them"
            what += ", or add a strategy that balances to" if key == "fallback" else ""
            reader.complain(found[key], f"{path}.{key}", what)
    if is_balanced and "to" not in found:
        what = "balances the targets in `to`, and there are none; write to: [BACKEND, BACKEND]"
        reader.complain(found["strategy"], f"{path}.strategy", what)
    match = read_name(reader, found["match"], f"{path}.match") if "match" in found else None
    targets: list[RouteTarget] = []
    if "backend" in found:
        backend = _read_backend(reader, found["backend"], f"{path}.backend", names)
        targets += [RouteTarget(backend)] if backend is not None else []
    for key in ("to", "fallback"):
        if key in found:
            targets += _read_targets(reader, found[key], f"{path}.{key}", names)
    equals = len(_targets_in(found.get("to"))) if is_balanced else 0
    if equals and targets and not any(target.weight for target in targets[:equals]):
        reader.complain(found["to"], f"{path}.to", "has only targets of weight 0; give one another weight")
    strategy = balance.strategy if balance is not None else "order"
    if strategy not in WEIGHING and any(target.weight != 1 for target in targets):
        what = f"has weights, which the strategy {strategy} does not look at; choose {', '.join(WEIGHING)}"
        reader.warn(node, path, f"{what}, or leave them out")
    for index, target in enumerate(targets):
        if (target.backend, target.model) in {(each.backend, each.model) for each in targets[:index]}:
            reader.complain(node, path, f"names {target.backend} twice for one model; keep one of them")
    enabled = read_flag(reader, found["enabled"], f"{path}.enabled") if "enabled" in found else True
    if match is None or not targets:
        return None
    return Route(
        match=match,
        targets=tuple(targets),
        model=read_name(reader, found["model"], f"{path}.model") if "model" in found else None,
        priority=(reader.integer(found["priority"], f"{path}.priority", None) if "priority" in found else 0) or 0,
        enabled=enabled is not False,
        location=f"{reader.file}:{line_of(node)}: {path}",
        balance=None if balance is None else replace(balance, name=match),
        equals=equals,
    )


def _targets_in(node: yaml.Node | None) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _read_balance(reader: ConfigReader, found: Mapping[str, yaml.Node], path: str) -> Balance | None:
    """Reads how a route balances; None where it keeps the order of its targets and hedges nothing."""
    strategy = reader.choice(found["strategy"], f"{path}.strategy", STRATEGIES) if "strategy" in found else None
    sticky_by = None
    if "sticky_by" in found:
        sticky_by = reader.choice(found["sticky_by"], f"{path}.sticky_by", STICKY_BY)
        if strategy is not None and strategy != "sticky":
            what = f"belongs to the strategy sticky, and this one is {strategy}; remove it, or choose sticky"
            reader.complain(found["sticky_by"], f"{path}.sticky_by", what)
        elif "strategy" not in found:
            reader.complain(found["sticky_by"], f"{path}.sticky_by", "does nothing alone; add strategy: sticky")
    hedge = _read_hedge(reader, found["hedge"], f"{path}.hedge") if "hedge" in found else None
    if hedge is None and strategy in (None, "order"):
        return None
    return Balance(strategy or "order", sticky_by or "conversation", hedge)


def _read_hedge(reader: ConfigReader, node: yaml.Node, path: str) -> Hedge | None:
    found = reader.mapping(node, path, HEDGE_KEYS, "a mapping such as {after_s: 2, budget: 0.05}")
    if not isinstance(node, yaml.MappingNode):
        return None
    read = {key: read_seconds(reader, found[key], f"{path}.{key}") for key in HEDGE_KEYS[:2] if key in found}
    if not read:
        what = "is missing; give the seconds after which a first word is late"
        reader.complain(node, f"{path}.after_s", what)
    budget: float | None = Hedge().budget
    if "budget" in found:
        budget = reader.number(found["budget"], f"{path}.budget", 0)
        if budget is not None and not 0 < budget <= 1:
            what = f"is {budget:g}; give the share of requests that may be sent twice, above 0 and at most 1"
            reader.complain(found["budget"], f"{path}.budget", what)
    return Hedge(read.get("after_s"), read.get("whole_after_s"), budget or Hedge().budget)


def _read_targets(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> list[RouteTarget]:
    """Reads a list of targets, each a backend's name or {backend, model}."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        reader.complain(node, path, "is not a list of backends; give each as a name or as {backend: …, model: …}")
        return []
    targets = (_read_target(reader, item, f"{path}[{index}]", names) for index, item in enumerate(node.value))
    return [target for target in targets if target is not None]


def _read_target(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> RouteTarget | None:
    if isinstance(node, yaml.ScalarNode):
        backend = _read_backend(reader, node, path, names)
        return None if backend is None else RouteTarget(backend)
    found = reader.mapping(node, path, TARGET_KEYS)
    if "backend" not in found:
        reader.complain(node, f"{path}.backend", f"is missing; {did_you_mean('', names)}")
        return None
    backend = _read_backend(reader, found["backend"], f"{path}.backend", names)
    model = read_name(reader, found["model"], f"{path}.model") if "model" in found else None
    weight = reader.number(found["weight"], f"{path}.weight", 0) if "weight" in found else 1.0
    return None if backend is None else RouteTarget(backend, model, 1.0 if weight is None else weight)


def _read_backend(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> str | None:
    """Reads the name of a backend of this config."""
    text = read_name(reader, node, path)
    if text is not None and text not in names:
        reader.complain(node, path, f"no backend is called {quote_safely(text)}; {did_you_mean(text, names)}")
        return None
    return text


def _read_prefixes(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> dict[str, str | None]:
    prefixes: dict[str, str | None] = {}
    for word, value in reader.mapping(node, path, None).items():
        location = child_path(path, word)
        if "/" in word or FORBIDDEN_IN_NAMES.search(word):
            reader.complain(value, location, "is not a valid prefix; leave out the slash and white space")
        elif word.lower() in prefixes:
            reader.complain(value, location, "is listed twice, in another case; keep one of them")
        unbound = isinstance(value, yaml.ScalarNode) and value.style is None and value.value == "false"
        prefixes[word.lower()] = None if unbound else _read_backend(reader, value, location, names)
    return prefixes


def _read_aliases(reader: ConfigReader, node: yaml.Node, path: str, _: Collection[str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for name, value in reader.mapping(node, path, None).items():
        here = child_path(path, name)
        means = read_name(reader, value, here)
        if FORBIDDEN_IN_NAMES.search(name):
            reader.complain(value, here, "has white space around it or a control character; remove it")
        elif means is not None and is_pattern(means):
            reader.complain(value, here, "stands for a pattern; give one model's name")
        elif means is not None:
            aliases[name] = means
    for name, means in aliases.items():
        if means in aliases and means != name:
            what = f"stands for {quote_safely(means)}, which is an alias too; give the name that this one stands for"
            reader.complain(node, child_path(path, name), what)
    return aliases


def _read_unmapped(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> str | None:
    return reader.choice(node, path, (CAPABILITY, REFUSE, *names))


def _read_modes(reader: ConfigReader, node: yaml.Node, path: str, names: Collection[str]) -> dict[str, NamedMode]:
    modes: dict[str, NamedMode] = {}
    for name, value in reader.mapping(node, path, None).items():
        here = child_path(path, name)
        if not name.isprintable() or not name.isascii() or FORBIDDEN_IN_NAMES.search(name):
            reader.complain(
                value, here, "is not a valid mode name; clients send it in a header, so use printable ASCII"
            )
        found = reader.mapping(value, here, MODE_KEYS)
        if not found and isinstance(value, yaml.MappingNode):
            reader.complain(value, here, "is empty; give it a backend, models or both")
        models: dict[str, str] = {}
        if "models" in found:
            for alias, target in reader.mapping(found["models"], f"{here}.models", None).items():
                text = read_name(reader, target, child_path(f"{here}.models", alias))
                models |= {alias: text} if text is not None else {}
        modes[name] = NamedMode(
            name=name,
            backend=_read_backend(reader, found["backend"], f"{here}.backend", names) if "backend" in found else None,
            models=models,
            location=f"{reader.file}:{line_of(value)}: {here}",
        )
    return modes


# ---- smart models ----------------------------------------------------------------------------------------------------


def _read_smart_models(
    reader: ConfigReader, node: yaml.Node, path: str, _: Collection[str]
) -> tuple[SmartModelSpec, ...]:
    found = reader.mapping(node, path, None).items()
    return tuple(_read_smart_model(reader, name, value, child_path(path, name)) for name, value in found)


def _read_smart_model(reader: ConfigReader, name: str, node: yaml.Node, path: str) -> SmartModelSpec:
    found = reader.mapping(node, path, SMART_KEYS)
    given: dict[str, Any] = {}
    for part in ("cheap", "primary"):
        if part in found:
            inner = reader.mapping(found[part], f"{path}.{part}", ("backend", "model"))
            for key, value in inner.items():
                given[f"{part}_{key}"] = read_name(reader, value, f"{path}.{part}.{key}")
    if "weights" in found:
        given["weights"] = _read_points(reader, found["weights"], f"{path}.weights", WEIGHTS)
    if "thresholds" in found:
        given["thresholds"] = _read_points(reader, found["thresholds"], f"{path}.thresholds", THRESHOLDS)
        merged = {**THRESHOLDS, **given["thresholds"]}
        for low, high in pairwise(TIERS[1:]):
            if merged[low] > merged[high]:
                what = f"{low} begins at {merged[low]:g} points, after {high} at {merged[high]:g}; let them ascend"
                reader.complain(found["thresholds"], f"{path}.thresholds", what)
    if "cascade" in found:
        given["cascade"] = read_flag(reader, found["cascade"], f"{path}.cascade") or False
    return SmartModelSpec(name=name, location=f"{reader.file}:{line_of(node)}: {path}", line=line_of(node), **given)


def _read_points(reader: ConfigReader, node: yaml.Node, path: str, known: Mapping[str, float]) -> dict[str, float]:
    found = reader.mapping(node, path, known)
    read = {name: reader.number(value, child_path(path, name), 0) for name, value in found.items()}
    return {name: value for name, value in read.items() if value is not None}


# ---- prefixes --------------------------------------------------------------------------------------------------------


def bound_prefixes(
    reader: ConfigReader, prefixes: Mapping[str, str | None], backends: Iterable[BackendConfig]
) -> dict[str, str | None]:
    """Adds the prefix `local`, bound to the only local backend, unless it is bound; two local backends are an error."""
    bound = dict(prefixes)
    local = [
        backend
        for backend in backends
        if not backend.reserved and (backend.local or backend.provider in LOCAL_PROVIDERS)
    ]
    if "local" in bound or not local or any(backend.name == "local" for backend in backends):
        return bound
    if len(local) == 1:
        return {**bound, "local": local[0].name}
    first, second = local[0].name, local[1].name
    line = reader.key_lines.get(("backends", second))
    if line is not None:  # without a file there is no line to report, and `local` is no prefix
        what = f"is local, and so is {first}; choose one for the prefix local/, as prefixes: {{local: {first}}}"
        reader.complain(line, f"backends.{second}", what)
    return bound


def provider_names(providers: Mapping[str, Provider]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns alias to provider name, and provider name to the variable of its key."""
    names = {alias: provider.name for alias, provider in providers.items()}
    return names, {
        provider.name: provider.key_variable for provider in providers.values() if provider.key_variable is not None
    }
