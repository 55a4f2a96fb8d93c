"""Validation of base URLs, and recognition of loopback hosts. No name is resolved and no socket opened."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

ENDPOINTS = ("/chat/completions", "/responses", "/messages", "/api/chat")
"""Path ends that show that an endpoint was given instead of a base URL."""

LOOPBACK_NAMES = ("localhost", "ip6-localhost")
"""Host names that always mean this machine."""


def parse_base_url(text: str) -> tuple[str, str | None]:
    """Returns a base URL without its trailing slash and None, or an empty string and an error message.

    The message repeats no part of the text, which may hold credentials.
    """
    try:
        parts = urlsplit(text)
        host, credentials = parts.hostname, parts.username is not None or parts.password is not None
        if parts.port == 0:
            host = None
    except ValueError:
        return "", "is not a valid URL; check its host and port"
    if parts.scheme not in ("http", "https"):
        return "", "is not an http or https URL; begin it with https:// or http://"
    if credentials:
        return "", "has credentials in it; put the key under api_key"
    if not host or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        return "", "is not a valid URL; check its host and port, and that it contains no white space"
    if "?" in text or "#" in text:
        return "", "has a query or a fragment, but paths are added to its end; leave it out"
    url = text.rstrip("/")
    for end in ENDPOINTS:
        if parts.path.rstrip("/").endswith(end):
            return "", f"ends in the endpoint {end}; leave that out, the proxy adds it"
    return url, None


def is_loopback(host: str) -> bool:
    """Returns true if the host is a loopback address or one of LOOPBACK_NAMES."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def is_this_host(host: str) -> bool:
    """Returns true if the host is certainly this machine: loopback, or the wildcard address."""
    return is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound to
