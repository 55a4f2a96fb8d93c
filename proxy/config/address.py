"""Addresses: what may be a base URL, and which hosts are this machine. It resolves no name and opens no socket."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

ENDPOINTS = ("/chat/completions", "/responses", "/messages", "/api/chat")
"""Ends of an address that is an endpoint, where the address above it is wanted."""

LOOPBACK_NAMES = ("localhost", "ip6-localhost")


def base_url(text: str) -> tuple[str, str | None]:
    """A base URL without its trailing slash, or an empty one and what is wrong; never a part of the text itself."""
    try:
        parts = urlsplit(text)
        host, credentials = parts.hostname, parts.username is not None or parts.password is not None
        if parts.port == 0:
            host = None
    except ValueError:
        return "", "is no URL; check its host and port"
    if parts.scheme not in ("http", "https"):
        return "", "is no http or https URL; begin it with https:// or http://"
    if credentials:
        return "", "has credentials in it; put the key under api_key"
    if not host or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        return "", "is no URL; check its host and port, and that it holds no white space"
    if "?" in text or "#" in text:
        return "", "has a query or a fragment, but paths are added to its end; leave it out"
    url = text.rstrip("/")
    for end in ENDPOINTS:
        if parts.path.rstrip("/").endswith(end):
            return "", f"ends in the endpoint {end}; leave that out, the proxy adds it"
    return url, None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this host, by its number or by the names that always mean it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def is_own(host: str) -> bool:
    """Whether this host is certainly this machine: loopback, or what means every address of it."""
    return is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound to
