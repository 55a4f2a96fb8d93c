"""Reads the key `fetch`: from where the proxy may fetch pictures and files for backends that take bytes only."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import yaml

from ..backends.media_fetch import FetchSettings, Network
from .urls import ascii_host, host_error
from .yaml_reader import ConfigReader

KEYS = ("allow", "private", "max_bytes", "max_files", "timeout_s", "types")

_HOST = re.compile(
    r"(?P<below>\*\.)?(?:(?P<bare>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
    r"|(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?)"
)
"""A name or an address, with a port or not; an IPv6 address with a port is in brackets."""
MEDIA_TYPE = re.compile(r"[a-z0-9.+*-]+/[a-z0-9.+*-]+")


def read_hosts(reader: ConfigReader, node: yaml.Node, path: str) -> frozenset[str]:
    """Reads the hosts that may be fetched from, each as `host`, `*.host`, an address, or one of these with a port."""
    hosts = set()
    for item, text in _texts(reader, node, path):
        found = _HOST.fullmatch(text)
        bare = "" if found is None else found["bare"] or found["host"].strip("[]")
        if found is None or host_error(bare) is not None or int(found["port"] or 1) not in range(1, 65536):
            reader.complain(
                item, path, "is no host; write a name, *.example.com or an address, with a :port or without"
            )
            continue
        host = ascii_host(bare)
        shown = f"[{host}]" if ":" in host and found["port"] else host
        hosts.add(f"{found['below'] or ''}{shown}" + (f":{found['port']}" if found["port"] else ""))
    return frozenset(hosts)


def read_private(reader: ConfigReader, node: yaml.Node, path: str) -> bool | tuple[Network, ...] | None:
    """Reads true, false, or a list of addresses and networks."""
    if not isinstance(node, yaml.SequenceNode):
        return reader.flag(node, path, "give true, false, or a list of networks such as 10.0.0.0/8")
    networks = []
    for item, text in _texts(reader, node, path):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            reader.complain(item, path, "is no address or network; write it as 10.1.2.3 or 10.0.0.0/8")
    return tuple(networks)


def read_types(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, ...] | None:
    """Reads media types, in which a * stands for anything."""
    types = []
    for item, text in _texts(reader, node, path):
        if not MEDIA_TYPE.fullmatch(text):
            reader.complain(item, path, "is no media type; write it as image/png or image/*")
        types.append(text)
    return tuple(types) or None


def _texts(reader: ConfigReader, node: yaml.Node, path: str) -> list[tuple[yaml.Node, str]]:
    if not isinstance(node, yaml.SequenceNode):
        reader.text_list(node, path, None)  # complains
        return []
    texts = ((item, reader.text(item, f"{path}[{index}]")) for index, item in enumerate(node.value))
    return [(item, text) for item, text in texts if text is not None]


def made_settings(found: dict[str, Any]) -> FetchSettings:
    """Returns the settings; a key that is absent or invalid has its default."""
    return FetchSettings(**{key: value for key, value in found.items() if value is not None})
