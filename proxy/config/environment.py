"""The backends that the environment makes where there is no config file. It reads the mapping that it is given."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from ..routing import Backend, Family
from .address import base_url
from .backend import Speech
from .nodes import NO_KEY, Reader, is_key


class Origin(Struct, frozen=True, kw_only=True):
    """A backend that the environment makes: there when `variable` is set, for the models of its name families."""

    name: str
    variable: str
    protocol: str
    base_url: str | None
    base_url_variable: str | None = None
    key_variable: str
    families: tuple[str, ...]


# What the official SDKs read: the keys' and base URLs' names, and the default addresses, are theirs.
ENVIRONMENT: tuple[Origin, ...] = (
    Origin(
        name="openai",
        variable="OPENAI_API_KEY",
        key_variable="OPENAI_API_KEY",
        protocol="openai-chat",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        families=("gpt-*", "o[0-9]*", "chatgpt-*"),
    ),
    Origin(
        name="anthropic",
        variable="ANTHROPIC_API_KEY",
        key_variable="ANTHROPIC_API_KEY",
        protocol="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        families=("claude-*",),
    ),
    Origin(
        name="gemini",
        variable="GEMINI_API_KEY",
        key_variable="GEMINI_API_KEY",
        protocol="gemini",
        base_url="https://generativelanguage.googleapis.com",
        base_url_variable="GOOGLE_GEMINI_BASE_URL",
        families=("gemini-*",),
    ),
    Origin(
        name="openrouter",
        variable="OPENROUTER_API_KEY",
        key_variable="OPENROUTER_API_KEY",
        protocol="openai-chat",
        base_url="https://openrouter.ai/api/v1",
        families=("*/*",),
    ),
    Origin(
        name="ollama",
        variable="OLLAMA_HOST",
        key_variable="OLLAMA_API_KEY",
        protocol="ollama",
        base_url=None,  # OLLAMA_HOST says it
        families=("*",),
    ),
)
"""In the order in which the families are tried: the first that fits a name has it."""


def read_environment(reader: Reader, protocols: Mapping[str, Speech]) -> tuple[tuple[Backend, ...], tuple[Family, ...]]:
    """The backends whose variables are set, and their name families; an empty variable counts as unset."""
    backends: list[Backend] = []
    families: list[Family] = []
    for origin in ENVIRONMENT:
        if not reader.env.get(origin.variable):
            continue
        if origin.base_url is None:
            where, address = origin.variable, ollama_address(reader.env[origin.variable])
        else:
            given = reader.env.get(origin.base_url_variable or "")
            where, address = origin.variable, origin.base_url
            if given:
                where, address = str(origin.base_url_variable), given
        url, wrong = base_url(address)
        if wrong:
            reader.complain(0, where, wrong)
        reader.places[origin.name] = (0, where)
        key = reader.env.get(origin.key_variable) or None
        if key is not None and not is_key(key):
            reader.complain(0, origin.key_variable, NO_KEY)
        families += [Family(pattern, origin.name) for pattern in origin.families]
        backends.append(
            Backend(
                name=origin.name,
                protocol=origin.protocol,
                base_url=url,
                api_key=key,
                capabilities=protocols[origin.protocol].capabilities,
            )
        )
    if not backends:
        variables = ", ".join(origin.variable for origin in ENVIRONMENT)
        reader.complain(0, "", f"no backend: none of {variables} is set; set one of them, or give --config FILE")
    return tuple(backends), tuple(families)


def ollama_address(text: str) -> str:
    """The URL that OLLAMA_HOST means: a host, `:port`, host:port or a URL, as ollama's own client reads it.

    A bare host has port 11434, a URL its scheme's own. An address to bind to is, for who calls it, this machine.
    Source: https://github.com/ollama/ollama-python/blob/main/ollama/_client.py (_parse_host)
    """
    scheme, mark, rest = text.strip(" \"'").partition("://")
    if not mark:
        scheme, rest = "http", scheme
    place, slash, path = rest.partition("/")
    if place.startswith(":") or not place:
        place = f"127.0.0.1{place}"
    if not mark and not re.search(r":[0-9]+$", re.sub(r"\[.*\]", "", place)):
        place += ":11434"
    for bound, dialled in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - read, not bound to
        if place == bound or place.startswith(f"{bound}:"):
            place = dialled + place[len(bound) :]
    return f"{scheme}://{place}{slash}{path}"
