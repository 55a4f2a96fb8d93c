"""Validation of base URLs, and recognition of loopback hosts. No name is resolved and no socket opened."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from yarl import URL

ENDPOINTS = ("/chat/completions", "/responses", "/messages", "/api/chat")
"""Path ends that show that an endpoint was given instead of a base URL."""

LOOPBACK_NAMES = ("localhost", "ip6-localhost")
"""Host names that always mean this machine."""

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


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
    if (wrong := host_error(host)) is not None:
        return "", wrong
    url = text.rstrip("/")
    if not host.isascii():  # each library has its own rules for such names: one form for all of them
        url = str(URL(url))
    for end in ENDPOINTS:
        if parts.path.rstrip("/").endswith(end):
            return "", f"ends in the endpoint {end}; leave that out, the proxy adds it"
    return url, None


def host_error(host: str) -> str | None:
    """Returns an error message where this is neither an address nor a name that a resolver could look up.

    A name is checked in its ASCII form: labels of 1 to 63 letters, digits, `-` and `_`, at most 253 characters.
    """
    if plain_address(host) is not None:
        return None
    if not host or re.search(r"[\s:/?#@%\\\[\]]", host):
        return "is no host name; check its dots and letters"
    try:
        parsed = URL(f"http://{host}")
        name, shown = (parsed.raw_host or "").removesuffix("."), parsed.host  # `host` decodes `xn--…`
        name.encode("idna")
    except ValueError:
        return "is no host name; check its dots and letters"
    labels = name.split(".")
    if not shown or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return "is no host name; check its dots and letters"
    if _NUMBER.fullmatch(labels[-1]):
        try:
            socket.inet_aton(name)  # parses, and asks nobody
        except OSError:
            return "is no IP address; check its numbers"
    return None


def ascii_host(host: str) -> str:
    """Returns a host as clients write it in a header: lower case, in ASCII, an address in its shortest form."""
    return plain_address(host) or (URL(f"http://{host}").raw_host or host).removesuffix(".")


def plain_address(host: str) -> str | None:
    """Returns an IP address in its shortest form, without a zone, IPv4 where it is IPv4 in IPv6; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(host: str) -> bool:
    """Returns true if the host is a loopback address or one of LOOPBACK_NAMES."""
    try:
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def is_this_host(host: str) -> bool:
    """Returns true if the host is certainly this machine: loopback, or the wildcard address."""
    return is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound to
