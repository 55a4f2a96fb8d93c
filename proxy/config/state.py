"""Reads the key `state`: where limits and budgets are counted, and what is done where that does not answer."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import yaml
from msgspec.structs import fields as fields_of

from ..backends.transport import WayOut
from ..state.factory import has_library
from ..state.settings import SCHEMES, Fails, FailSettings, StateSettings
from .yaml_reader import ConfigReader

MEMORY = "memory"
"""The value for a state in the process."""

EXAMPLE = "valkey://:PASSWORD@HOST:6379/0"

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_DATABASE = re.compile(r"/?|/[0-9]{1,4}")


def read_state(reader: ConfigReader, node: yaml.Node, path: str) -> StateSettings | None:
    """Reads the state: `memory`, a URL, or a mapping with the URL and what goes with it."""
    if not isinstance(node, yaml.MappingNode):
        url = _read_url(reader, node, path)
        return None if url is None else StateSettings(url=url or None)
    found = reader.mapping(node, path, tuple(field.name for field in fields_of(StateSettings)))
    if "url" not in found:
        reader.complain(node, f"{path}.url", f"is missing; give `memory`, or a server's URL such as {EXAMPLE}")
        return None
    given: dict[str, Any] = {"url": _read_url(reader, found["url"], f"{path}.url") or None}
    if "ca_file" in found:
        given["ca_file"] = _read_authorities(reader, found["ca_file"], f"{path}.ca_file")
    if "prefix" in found:
        given["prefix"] = _read_prefix(reader, found["prefix"], f"{path}.prefix")
    for key, least in (("timeout_s", 0.001), ("lease_s", 1)):
        if key in found:
            given[key] = reader.number(found[key], f"{path}.{key}", least)
    if "fails" in found:
        given["fails"] = _read_fails(reader, found["fails"], f"{path}.fails")
    return StateSettings(**{key: value for key, value in given.items() if value is not None})


def _read_url(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    """Reads the URL; empty for the state in the process."""
    text = reader.text(node, path, f"give `memory`, or a server's URL such as {EXAMPLE}")
    if text is None:
        return None
    if text == MEMORY:
        return ""
    if (wrong := _url_error(text)) is not None:
        reader.complain(node, path, wrong)
        return None
    if not has_library():
        reader.complain(node, path, "needs the extra `state`: pip install 'crosswire[state]'")
        return None
    return text


def _url_error(text: str) -> str | None:
    """The mistake in a URL, without repeating it, as it may hold a password."""
    schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return f"is no URL that can be read; write {EXAMPLE}, with the password percent-encoded"
    if parts.scheme not in SCHEMES:
        return f"is neither `memory` nor the URL of a server; it begins with one of {schemes}"
    if not parts.hostname or port == 0 or any(each.isspace() for each in text):
        return f"names no host; write {EXAMPLE}"
    if not _DATABASE.fullmatch(parts.path) or parts.query or parts.fragment:
        return f"has more behind the host than the number of a database; write {EXAMPLE}"
    return None


def _read_authorities(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path)
    if text is None:
        return None
    file = str(Path(text).expanduser())
    try:
        WayOut(ca_file=file).tls_context()
    except ssl.SSLError as fault:
        reader.complain(node, path, f"is no PEM file of certificates ({fault.reason or 'PEM'})")
    except OSError as fault:
        reader.complain(node, path, f"cannot be read: {fault.strerror}")
    return file


def _read_prefix(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path)
    if text is not None and not _PREFIX.fullmatch(text):
        what = "has other characters than letters, digits and . _ : -, or more than 64"
        reader.complain(node, path, f"{what}; give the deployment a plain name")
        return None
    return text


def _read_fails(reader: ConfigReader, node: yaml.Node, path: str) -> FailSettings:
    rules: tuple[Fails, ...] = get_args(Fails)
    found = reader.mapping(node, path, tuple(field.name for field in fields_of(FailSettings)))
    read = {key: reader.choice(value, f"{path}.{key}", rules) for key, value in found.items()}
    return FailSettings(**{key: value for key, value in read.items() if value is not None})
