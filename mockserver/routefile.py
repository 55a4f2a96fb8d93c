"""What a story of routes says of the proxy before it, read into its nouns: whom it has, and what it must decide.

It knows which keys name a provider of the scenarios, and nothing of what the others mean: those the proxy reads.
"""

from __future__ import annotations

from typing import Any

from .lines import Doc, Map, did_you_mean, each, mapping, one_of, shown, text, texts
from .scenario import EVERYONE, OWN, Decide, Exchange, Story

MODES = (
    *("pin", "prefix", "model_mapping", "pattern", "mode", "smart"),
    *("explicit", "auto", "capability", "default", "failed"),
)
"""The words for how a decision came about."""

TIERS = ("flash", "standard", "pro", "frontier")
"""The words for how much a request asks of a smart model."""

GIVEN = ("protocol", "base_url")
"""Keys of a backend that the suite writes: they say where the mock is."""


def read_proxy(doc: Doc, value: Any, path: str) -> dict[str, Any]:
    """The config of the proxy as the story has it; every backend names the provider that plays it."""
    found = mapping(doc, value, path)
    if "backends" not in found:
        doc.complain(path, "`backends` is missing; name at least one, as local: {provider: ollama}")
    for where, entry in played(found):
        keys = mapping(doc, entry, f"{path}.{where}")
        if "provider" not in keys:
            doc.complain(f"{path}.{where}", "`provider` is missing; name the provider of the scenarios that plays it")
        else:
            text(doc, keys["provider"], f"{path}.{where}.provider")
        if "api_key" in keys:
            _keys(doc, keys["api_key"], f"{path}.{where}.api_key")
        for key in (key for key in GIVEN if key in keys):
            doc.complain(f"{path}.{where}.{key}", "is written by the suite, which knows where the mock is; remove it")
    return found


def _keys(doc: Doc, value: Any, path: str) -> None:
    """Several keys, of which one is the backend's own; a single one the suite writes."""
    if OWN not in each(text)(doc, value, path):
        doc.complain(path, f"a list of keys was wanted, with {OWN!r} for the one that the backend takes")


def played(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """Everything in a story's config that somebody plays, by its path."""
    found = []
    for key in ("backends", "llm_custom_providers"):
        entries = config.get(key)
        found += [(f"{key}.{name}", entry) for name, entry in entries.items()] if isinstance(entries, dict) else []
    return found + ([("nearai", config["nearai"])] if "nearai" in config else [])


def read_decide(doc: Doc, value: Any, path: str) -> Decide:
    """What must be decided; `chosen` and `model` alone are short for one that is asked and answers."""
    keys = Map(doc, value, path)
    mode = keys.need("mode", one_of(*MODES), MODES[0])
    chosen, model = keys.take("chosen", text, None), keys.take("model", text, None)
    tried = keys.take("tried", each(_tried), None)
    if (chosen is None) != (model is None):
        doc.complain(path, "`chosen` and `model` belong together: who answers, and what the model is called there")
    if tried is None:
        if chosen is None:
            doc.complain(path, "`chosen` and `model` are missing, or `tried`: [] is for a refusal")
        tried = ((chosen or "", model or ""),)
    elif chosen is not None and tried[-1:] != ((chosen, model or ""),):
        doc.complain(f"{path}.tried", f"does not end with {{{chosen}: {model}}}, which is said to answer")
    decide = Decide(
        mode,
        tried,
        keys.take("tier", one_of(*TIERS), None),
        keys.take("because", text, None),
        keys.take("notes", texts, ()),
    )
    keys.close()
    return decide


def _tried(doc: Doc, value: Any, path: str) -> tuple[str, str]:
    """A mapping of one pair: the backend, and what the model is called there."""
    if not isinstance(value, dict) or len(value) != 1:
        doc.complain(path, f"a backend and its model were wanted, as local: llama3.2; found {shown(value)}")
        return "", ""
    ((backend, model),) = value.items()
    return backend, text(doc, model, f"{path}.{backend}")


def hold_together(doc: Doc, story: Story) -> None:
    """Complain of what a story of routes says in one place and belies in another."""
    routed = story.proxy is not None
    if routed != story.name.startswith("route-"):
        doc.complain("$", "stories with `proxy` are called route-…, and no others are")
    backends = story.backends
    for at, exchange in enumerate(story.exchanges):
        path = "$" if at == 0 else f"$.then[{at - 1}]"
        if routed and exchange.decide is None:
            doc.complain(path, "`decide` is missing: what must the proxy decide here?")
        if routed and exchange.ask.model is None:
            doc.complain(f"{path}.ask", "`model` is missing: routing goes by it")
        if not routed and exchange.decide is not None:
            doc.complain(f"{path}.decide", "nothing is decided without a `proxy` of the story's own")
        if routed:
            _known(doc, path, exchange, backends)


def _known(doc: Doc, path: str, exchange: Exchange, backends: dict[str, str]) -> None:
    """Complain of words for, and decisions about, backends that the story does not have."""
    named = [(f"{path}.say.{name}", name) for name in exchange.say if name != EVERYONE]
    if exchange.decide is not None:
        named += [(f"{path}.decide", name) for name, _ in exchange.decide.tried]
    for where, name in named:
        if name not in backends:
            doc.complain(where, f"{name!r} is none of the story's backends{did_you_mean(name, backends)}")
