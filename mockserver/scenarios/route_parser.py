"""Parses the routing keys of a story: `proxy`, the config of the proxy, and `decide`, the expected decision.

Only the keys that refer to providers are interpreted; the proxy itself reads the rest of its config.
"""

from __future__ import annotations

from typing import Any

from .story import EVERY_BACKEND, OWN_KEY, Decide, Exchange, Story
from .yaml_reader import (
    YamlDocument,
    YamlMapping,
    describe,
    did_you_mean,
    list_of,
    mapping,
    mapping_of,
    one_of,
    string,
    string_list,
    takes,
)

MODES = (
    *("pin", "prefix", "model_mapping", "pattern", "mode", "smart"),
    *("explicit", "auto", "capability", "default", "failed"),
)
"""Modes of a routing decision."""

TIERS = ("flash", "standard", "pro", "frontier")
"""Tiers of a smart model."""

SUITE_KEYS = ("protocol", "base_url")
"""Keys of a backend that the suite fills in, because they depend on the address of the mock."""


@takes(mapping, required=["backends"])
def read_proxy(doc: YamlDocument, value: Any, path: str) -> dict[str, Any]:
    """Reads the proxy config of a story; every backend names the provider that simulates it."""
    found = mapping(doc, value, path)
    if "backends" not in found:
        doc.complain(path, "`backends` is missing; define at least one, for example local: {provider: ollama}")
    for where, entry in provider_entries(found):
        keys = mapping(doc, entry, f"{path}.{where}")
        if "provider" not in keys:
            doc.complain(f"{path}.{where}", "`provider` is missing; name a provider of the scenarios")
        else:
            string(doc, keys["provider"], f"{path}.{where}.provider")
        if "api_key" in keys:
            _check_api_keys(doc, keys["api_key"], f"{path}.{where}.api_key")
        for key in (key for key in SUITE_KEYS if key in keys):
            doc.complain(f"{path}.{where}.{key}", "is set by the suite, which knows the address of the mock; remove it")
    return found


def _check_api_keys(doc: YamlDocument, value: Any, path: str) -> None:
    """Checks that a list of API keys contains the placeholder for the accepted one."""
    if OWN_KEY not in list_of(string)(doc, value, path):
        doc.complain(path, f"expected a list of keys that contains {OWN_KEY!r}, the placeholder for the accepted key")


def provider_entries(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns the path and value of every config entry that names a provider."""
    found = []
    for key in ("backends", "llm_custom_providers"):
        entries = config.get(key)
        found += [(f"{key}.{name}", entry) for name, entry in entries.items()] if isinstance(entries, dict) else []
    return found + ([("nearai", config["nearai"])] if "nearai" in config else [])


def read_decide(doc: YamlDocument, value: Any, path: str) -> Decide:
    """Reads an expected decision; `chosen` and `model` alone are short for one successful attempt."""
    keys = YamlMapping(doc, value, path)
    mode = keys.require("mode", one_of(*MODES), MODES[0])
    chosen, model = keys.take("chosen", string, None), keys.take("model", string, None)
    tried = keys.take("tried", list_of(_attempt), None)
    if (chosen is None) != (model is None):
        doc.complain(path, "`chosen` and `model` must be given together: the backend that replies, and its model name")
    if tried is None:
        if chosen is None:
            doc.complain(path, "`chosen` and `model` are missing (for a refusal write `tried: []`)")
        tried = ((chosen or "", model or ""),)
    elif chosen is not None and tried[-1:] != ((chosen, model or ""),):
        doc.complain(
            f"{path}.tried", f"must end with {{{chosen}: {model}}}, the backend and model in `chosen` and `model`"
        )
    decide = Decide(
        mode,
        tried,
        keys.take("tier", one_of(*TIERS), None),
        keys.take("because", string, None),
        keys.take("notes", string_list, ()),
    )
    keys.close()
    return decide


@takes(mapping_of(string), minProperties=1, maxProperties=1)
def _attempt(doc: YamlDocument, value: Any, path: str) -> tuple[str, str]:
    """Reads an attempt: a mapping of one backend to its model name."""
    if not isinstance(value, dict) or len(value) != 1:
        doc.complain(path, f"expected one backend and its model, for example local: llama3.2; found {describe(value)}")
        return "", ""
    ((backend, model),) = value.items()
    return backend, string(doc, model, f"{path}.{backend}")


def check_consistency(doc: YamlDocument, story: Story) -> None:
    """Reports contradictions between the routing keys of a story."""
    routed = story.proxy is not None
    if routed != story.name.startswith("route-"):
        doc.complain("$", "the name of a story must start with route- if and only if it has `proxy`")
    backends = story.backends
    for at, exchange in enumerate(story.exchanges):
        path = "$" if at == 0 else f"$.then[{at - 1}]"
        if routed and exchange.decide is None:
            doc.complain(path, "`decide` is missing: the expected routing decision")
        if routed and exchange.ask.model is None:
            doc.complain(f"{path}.ask", "`model` is missing: routing depends on it")
        if not routed and exchange.decide is not None:
            doc.complain(f"{path}.decide", "`decide` needs a `proxy` in the story")
        if routed:
            _check_backends(doc, path, exchange, backends)


def _check_backends(doc: YamlDocument, path: str, exchange: Exchange, backends: dict[str, str]) -> None:
    """Reports backends in `say` and `decide` that the story does not define."""
    named = [(f"{path}.say.{name}", name) for name in exchange.say if name != EVERY_BACKEND]
    if exchange.decide is not None:
        named += [(f"{path}.decide", name) for name, _ in exchange.decide.tried]
    for where, name in named:
        if name not in backends:
            doc.complain(where, f"unknown backend {name!r}{did_you_mean(name, backends)}")
