"""Parses a provider file into a Provider."""

from __future__ import annotations

from ..protocols.names import NAMES
from .provider import Auth, Provider
from .say_parser import read_items
from .story import CAPABILITIES
from .yaml_reader import (
    Mistake,
    YamlDocument,
    YamlMapping,
    integer,
    list_of,
    mapping,
    mapping_of,
    one_of,
    string,
    takes,
)

AUTH_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
"""Headers that may carry the API key."""


def read_provider(name: str, file: str, source: str) -> tuple[Provider | None, list[Mistake]]:
    """Parses the text of a provider file; returns the provider (None if it has mistakes) and the mistakes."""
    doc = YamlDocument(file, source)
    if doc.value is None:
        return None, doc.mistakes
    provider = provider_keys(YamlMapping(doc, doc.value, "$"), name, file)
    return (None if doc.mistakes else provider), doc.mistakes


def provider_keys(top: YamlMapping, name: str = "", file: str = "") -> Provider:
    """Reads the keys of a provider file."""
    provider = Provider(
        name=name,
        protocol=top.require("protocol", one_of(*NAMES), NAMES[0]),
        dialects=top.take("dialects", list_of(one_of(*NAMES)), ()),
        base_path=top.take("base_path", _base_path, ""),
        models=top.take("models", mapping_of(string), {}),
        default_model=top.take("default_model", string, None),
        capabilities=top.take("capabilities", _capabilities, ()),
        limits=top.take("limits", mapping, {}),
        quirks=top.take("quirks", list_of(string), ()),
        priority=top.take("priority", integer, None),
        max_tokens=top.take("max_tokens", integer, None),
        auth=top.require("auth", _auth, Auth("authorization", "")),
        replies=top.take("replies", mapping_of(read_items), {}),
        habits=top.take("habits", list_of(string), ()),
        file=file,
    )
    top.take("why", string, "")
    top.close()
    if provider.default_model is not None and provider.default_model not in provider.upstream_models:
        top.doc.complain("$.default_model", f"{provider.default_model} is not an upstream name in `models`")
    return provider


def _auth(doc: YamlDocument, value: object, path: str) -> Auth:
    auth = YamlMapping(doc, value, path)
    found = Auth(auth.require("header", one_of(*AUTH_HEADERS), AUTH_HEADERS[0]), auth.require("key", string, ""))
    auth.close()
    return found


@takes(one_of("auto"), list_of(one_of(*CAPABILITIES)))
def _capabilities(doc: YamlDocument, value: object, path: str) -> tuple[str, ...]:
    """Reads a list of capabilities; `auto` (every capability of the protocol) is an empty tuple."""
    return () if value == "auto" else list_of(one_of(*CAPABILITIES))(doc, value, path)


@takes(string, pattern="^(/.*[^/])?$")
def _base_path(doc: YamlDocument, value: object, path: str) -> str:
    found = string(doc, value, path)
    if found and (not found.startswith("/") or found.endswith("/")):
        doc.complain(path, f"{found!r} must start with a slash and must not end with one")
    return found
