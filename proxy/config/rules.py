"""The rules of a config: routes, prefixes, modes, smart models, and where a model without a rule goes.

It reads what is written and that every name is one; what contradicts what, the plan itself knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any

import yaml
from msgspec import Struct

from ..registry import Row
from ..routing import THRESHOLDS, TIERS, WEIGHTS, Backend, NamedMode, Route, Target
from .nodes import UNSEEN, Reader, kind_of, line_of, meant, shown, under
from .settings import flag, plain

RULES: dict[str, str] = {
    "routes": "a list of {match, backend}",
    "prefixes": "words before a model's first slash, and the backend of each, or false",
    "unmapped": "where a model without a rule goes: capability, or a backend",
    "pins": "whether clients may name a backend",
    "unlisted": "models that are served and not listed, as shell patterns",
    "mode": "the mode of requests that choose none",
    "modes": "modes by name, each with a backend, models or both",
    "smart": "virtual models by name, each with a cheap and a primary target",
}
"""The keys beside `backends` that say where a request goes, and what is wanted of each."""

ROUTE = ("match", "backend", "model", "priority", "enabled", "fallback", "to")

LOCAL_PROTOCOLS = ("mlx", "ollama")
LOCAL_PROVIDERS = ("llama.cpp", "lmstudio", "ollama", "vllm")
"""Whose backends are the user's own machine, so that `local/` may mean them."""

OPENROUTER_VENDORS = frozenset(
    (
        *(
            "ai21",
            "amazon",
            "anthropic",
            "baidu",
            "bytedance",
            "cohere",
            "deepseek",
            "google",
            "inception",
            "inflection",
        ),
        *(
            "liquid",
            "meta-llama",
            "microsoft",
            "minimax",
            "mistralai",
            "moonshotai",
            "nousresearch",
            "nvidia",
            "openai",
        ),
        *("perplexity", "qwen", "tencent", "x-ai", "z-ai"),
    )
)
"""First words of OpenRouter's own model names, such as `openai/gpt-5`: https://openrouter.ai/models"""


class Wish(Struct, frozen=True, kw_only=True):
    """A smart model as it is written: names of providers or backends that are still to be looked up, and of models."""

    name: str
    cheap_backend: str | None = None
    cheap_model: str | None = None
    primary_backend: str | None = None
    primary_model: str | None = None
    weights: Mapping[str, float] = {}
    thresholds: Mapping[str, float] = {}
    cascade: bool = False
    place: str = "smart"
    line: int = 0


class Rules(Struct, frozen=True, kw_only=True):
    """What a config says of where requests go, ready for a plan but for the wishes."""

    routes: tuple[Route, ...] = ()
    prefixes: Mapping[str, str | None] = {}
    unmapped: str | None = None
    pins: bool = True
    unlisted: tuple[str, ...] = ()
    mode: str | None = None
    modes: Mapping[str, NamedMode] = {}
    wishes: tuple[Wish, ...] = ()
    places: Mapping[str, str] = {}


def read_rules(reader: Reader, found: Mapping[str, yaml.Node], backends: Iterable[Backend]) -> Rules:
    """The rules of these keys of a config; every backend that they name must be one of these."""
    names = [backend.name for backend in backends]
    given: dict[str, Any] = {}
    readers = {
        "routes": _routes,
        "prefixes": _prefixes,
        "unmapped": _unmapped,
        "pins": lambda r, n, p, _: flag(r, n, p),
        "unlisted": lambda r, n, p, _: tuple(r.words(n, p, None)),
        "modes": _modes,
        "smart": _wishes,
    }
    for key, read in readers.items():
        value = read(reader, found[key], key, names) if key in found else None
        if value is not None:
            given["wishes" if key == "smart" else key] = value
    if "mode" in found:
        given["mode"] = reader.choice(found["mode"], "mode", given.get("modes", {}))
    places = {key: reader.origins.get(key, f"{reader.file}:{line_of(found[key])}") for key in RULES if key in found}
    return Rules(**given, places=places)


def settled(found: Mapping[str, yaml.Node]) -> frozenset[str]:
    """The single names that an enabled route decides, so that several backends may list them as their own."""
    node = found.get("routes")
    names = set()
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        keys = {key.value: value.value for key, value in item.value} if isinstance(item, yaml.MappingNode) else {}
        if isinstance(keys.get("match"), str) and keys.get("enabled") != "false":
            names.add(keys["match"])
    return frozenset(names)


def _routes(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> tuple[Route, ...]:
    if not isinstance(node, yaml.SequenceNode):
        reader.complain(node, path, f"is {kind_of(node)}; give {RULES['routes']}")
        return ()
    routes = (_route(reader, item, f"{path}[{index}]", names) for index, item in enumerate(node.value))
    return tuple(route for route in routes if route is not None)


def _route(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> Route | None:
    found = reader.mapping(node, path, ROUTE, "a mapping such as {match: gpt-*, backend: openai}")
    if not isinstance(node, yaml.MappingNode):
        return None
    if "match" not in found:
        reader.complain(node, f"{path}.match", "is missing; give a model's name, or a pattern such as gpt-*")
    if "to" not in found and "backend" not in found:
        reader.complain(node, f"{path}.backend", f"is missing; {meant('', names)}")
    for key in ("backend", "fallback"):
        if "to" in found and key in found:
            reader.complain(found[key], f"{path}.{key}", "stands beside to, which holds it; keep one of them")
    match = plain(reader, found["match"], f"{path}.match") if "match" in found else None
    targets: list[Target] = []
    if "backend" in found:
        backend = _backend(reader, found["backend"], f"{path}.backend", names)
        targets += [Target(backend)] if backend is not None else []
    for key in ("to", "fallback"):
        if key in found:
            targets += _chain(reader, found[key], f"{path}.{key}", names)
    for index, target in enumerate(targets):
        if target in targets[:index]:
            reader.complain(node, path, f"names {target.backend} twice for one model; keep one of them")
    enabled = flag(reader, found["enabled"], f"{path}.enabled") if "enabled" in found else True
    if match is None or not targets:
        return None
    return Route(
        match=match,
        targets=tuple(targets),
        model=plain(reader, found["model"], f"{path}.model") if "model" in found else None,
        priority=(reader.whole(found["priority"], f"{path}.priority", None) if "priority" in found else 0) or 0,
        enabled=enabled is not False,
        place=f"{reader.file}:{line_of(node)}: {path}",
    )


def _chain(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> list[Target]:
    """A list of targets, each a backend's name or {backend, model}."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        reader.complain(node, path, "is no list; give backends, each as a name or as {backend: …, model: …}")
        return []
    targets = (_target(reader, item, f"{path}[{index}]", names) for index, item in enumerate(node.value))
    return [target for target in targets if target is not None]


def _target(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> Target | None:
    if isinstance(node, yaml.ScalarNode):
        backend = _backend(reader, node, path, names)
        return None if backend is None else Target(backend)
    found = reader.mapping(node, path, ("backend", "model"))
    if "backend" not in found:
        reader.complain(node, f"{path}.backend", f"is missing; {meant('', names)}")
        return None
    backend = _backend(reader, found["backend"], f"{path}.backend", names)
    model = plain(reader, found["model"], f"{path}.model") if "model" in found else None
    return None if backend is None else Target(backend, model)


def _backend(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> str | None:
    """The name of a backend of this config."""
    text = plain(reader, node, path)
    if text is not None and text not in names:
        reader.complain(node, path, f"no backend is called {shown(text)}; {meant(text, names)}")
        return None
    return text


def _prefixes(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> dict[str, str | None]:
    prefixes: dict[str, str | None] = {}
    for word, value in reader.mapping(node, path, None).items():
        place = under(path, word)
        if "/" in word or UNSEEN.search(word):
            reader.complain(value, place, "is no word before a slash; leave the slash and white space out")
        elif word.lower() in prefixes:
            reader.complain(value, place, "is there twice, in another case; keep one of them")
        unbound = isinstance(value, yaml.ScalarNode) and value.style is None and value.value == "false"
        prefixes[word.lower()] = None if unbound else _backend(reader, value, place, names)
    return prefixes


def _unmapped(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> str | None:
    found = reader.choice(node, path, ("capability", *names))
    return None if found == "capability" else found


def _modes(reader: Reader, node: yaml.Node, path: str, names: Collection[str]) -> dict[str, NamedMode]:
    modes: dict[str, NamedMode] = {}
    for name, value in reader.mapping(node, path, None).items():
        here = under(path, name)
        if not name.isprintable() or not name.isascii() or UNSEEN.search(name):
            reader.complain(value, here, "is no name that a header can carry; use printable ASCII")
        found = reader.mapping(value, here, ("backend", "models"))
        if not found and isinstance(value, yaml.MappingNode):
            reader.complain(value, here, "is empty; give it a backend, models or both")
        models: dict[str, str] = {}
        if "models" in found:
            for alias, target in reader.mapping(found["models"], f"{here}.models", None).items():
                text = plain(reader, target, under(f"{here}.models", alias))
                models |= {alias: text} if text is not None else {}
        modes[name] = NamedMode(
            name=name,
            backend=_backend(reader, found["backend"], f"{here}.backend", names) if "backend" in found else None,
            models=models,
            place=f"{reader.file}:{line_of(value)}: {here}",
        )
    return modes


# ---- smart models ----------------------------------------------------------------------------------------------------


def _wishes(reader: Reader, node: yaml.Node, path: str, _: Collection[str]) -> tuple[Wish, ...]:
    found = reader.mapping(node, path, None).items()
    return tuple(_wish(reader, name, value, under(path, name)) for name, value in found)


def _wish(reader: Reader, name: str, node: yaml.Node, path: str) -> Wish:
    found = reader.mapping(node, path, ("cheap", "primary", "weights", "thresholds", "cascade"))
    given: dict[str, Any] = {}
    for part in ("cheap", "primary"):
        if part in found:
            inner = reader.mapping(found[part], f"{path}.{part}", ("backend", "model"))
            for key, value in inner.items():
                given[f"{part}_{key}"] = plain(reader, value, f"{path}.{part}.{key}")
    if "weights" in found:
        given["weights"] = _points(reader, found["weights"], f"{path}.weights", WEIGHTS)
    if "thresholds" in found:
        given["thresholds"] = _points(reader, found["thresholds"], f"{path}.thresholds", THRESHOLDS)
        whole = {**THRESHOLDS, **given["thresholds"]}
        for low, high in pairwise(TIERS[1:]):
            if whole[low] > whole[high]:
                what = f"{low} begins at {whole[low]:g} points, after {high} at {whole[high]:g}; let them ascend"
                reader.complain(found["thresholds"], f"{path}.thresholds", what)
    if "cascade" in found:
        given["cascade"] = flag(reader, found["cascade"], f"{path}.cascade") or False
    return Wish(name=name, place=f"{reader.file}:{line_of(node)}: {path}", line=line_of(node), **given)


def _points(reader: Reader, node: yaml.Node, path: str, known: Mapping[str, float]) -> dict[str, float]:
    found = reader.mapping(node, path, known)
    read = {name: reader.number(value, under(path, name), 0) for name, value in found.items()}
    return {name: value for name, value in read.items() if value is not None}


# ---- prefixes --------------------------------------------------------------------------------------------------------


def bound_prefixes(
    reader: Reader, prefixes: Mapping[str, str | None], backends: Iterable[Backend]
) -> dict[str, str | None]:
    """The prefixes with `local`: where it is not bound, the only local backend; two are a mistake."""
    bound = dict(prefixes)
    local = [
        backend
        for backend in backends
        if not backend.reserved and (backend.protocol in LOCAL_PROTOCOLS or backend.provider in LOCAL_PROVIDERS)
    ]
    if "local" in bound or not local or any(backend.name == "local" for backend in backends):
        return bound
    if len(local) == 1:
        return {**bound, "local": local[0].name}
    first, second = local[0].name, local[1].name
    line = reader.keys.get(("backends", second))
    if line is not None:  # without a file there is no place to say it, so the word stays a word
        what = f"is local, and so is {first}; say which one local/ means, as prefixes: {{local: {first}}}"
        reader.complain(line, f"backends.{second}", what)
    return bound


def provider_names(rows: Mapping[str, Row]) -> tuple[dict[str, str], dict[str, str]]:
    """Every provider's name by its aliases, and the variable of its key by its name."""
    names = {alias: row.name for alias, row in rows.items()}
    return names, {row.name: row.key_variable for row in rows.values() if row.key_variable is not None}
