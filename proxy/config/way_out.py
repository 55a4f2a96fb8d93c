"""Reads how connections to a backend are made: the HTTP proxy, the trusted authorities, the own certificate."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from ..backends.transport import WayOut
from .urls import host_error, plain_address
from .yaml_reader import ConfigReader

ENVIRONMENT = "environment"
"""The value of `proxy` for the proxy of the variables."""

WAY_OUT_KEYS = ("proxy", "ca_file", "client_cert", "client_key")


def read_way_out(reader: ConfigReader, found: Mapping[str, yaml.Node], path: str, base_url: str) -> dict[str, str]:
    """Reads these keys of a backend; a file that cannot be used is an error now, before the first request."""
    given: dict[str, str] = {}
    for key in WAY_OUT_KEYS[1:]:
        text = reader.text(found[key], f"{path}.{key}") if key in found else None
        if text is not None:
            given[key] = str(Path(text).expanduser())
    if "client_key" in given and "client_cert" not in given:
        reader.complain(found["client_key"], f"{path}.client_key", "needs client_cert, the certificate of this key")
    elif given:
        _check_files(reader, found, path, given)
    text = (
        reader.text(found["proxy"], f"{path}.proxy", "give http://host:port, or environment")
        if "proxy" in found
        else None
    )
    if text == ENVIRONMENT:
        text = proxy_of_environment(reader.env, base_url)
    elif text is not None and (wrong := proxy_error(text)) is not None:
        reader.complain(found["proxy"], f"{path}.proxy", wrong)
        text = None
    if text and proxy_error(text) is not None:
        reader.complain(found["proxy"], f"{path}.proxy", f"the variable of the proxy {proxy_error(text)}")
    elif text:
        given["proxy"] = text
    return given


def _check_files(reader: ConfigReader, found: Mapping[str, yaml.Node], path: str, given: Mapping[str, str]) -> None:
    """Reports a certificate's file that cannot be read, and one that holds no certificate."""
    for key, file in given.items():
        if not Path(file).is_file():
            reader.complain(found[key], f"{path}.{key}", "is no file; give the path of a PEM file")
            return
    for key in ("ca_file", "client_cert"):
        if key not in given:
            continue
        files = {name: file for name, file in given.items() if (name == "ca_file") == (key == "ca_file")}
        try:
            WayOut(**files).tls_context()
        except ssl.SSLError as fault:
            what = "is no PEM file of certificates" if key == "ca_file" else "does not hold a certificate and its key"
            reader.complain(found[key], f"{path}.{key}", f"{what} ({fault.reason or 'PEM'})")
        except ValueError:
            what = "has an encrypted key; decrypt it, and let only this user read the file"
            reader.complain(found[key], f"{path}.{key}", what)
        except OSError as fault:
            reader.complain(found[key], f"{path}.{key}", f"cannot be read: {fault.strerror}")


def proxy_error(text: str) -> str | None:
    """Returns what is wrong with a proxy's URL, without repeating it, for it may hold a password."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL; give http://host:port"
    if parts.scheme != "http":
        return "is not an http URL; only HTTP proxies are used (CONNECT), so give http://host:port"
    if not host or port == 0 or (wrong := host_error(host)) is not None:
        return "is not a valid URL; give http://host:port" if not host or port == 0 else wrong
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "has a path; give http://host:port alone"
    return None


def proxy_of_environment(env: Mapping[str, str], base_url: str) -> str | None:
    """Returns the proxy that the variables name for this address; small letters come first, as curl has it.

    https://everything.curl.dev/usingcurl/proxies/env.html
    """
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if is_exempt(parts.hostname or "", port, exempt):
        return None
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    text = next((env[name] for name in names if env.get(name)), None)
    return text if text is None or "://" in text else f"http://{text}"


def is_exempt(host: str, port: int, exempt: str) -> bool:
    """Returns whether NO_PROXY names this host: itself, a domain above it, its network, or `*`; a port may follow."""
    address = plain_address(host)
    for word in (each.strip().lower() for each in exempt.split(",")):
        if word == "*":
            return True
        name, colon, number = word.rpartition(":")
        if colon and number.isdigit() and ("]" in name or ":" not in name):
            if int(number) != port:
                continue
            word = name
        word = word.strip("[]").lstrip(".")
        if not word:
            continue
        if address is None:
            if host.lower() == word or host.lower().endswith(f".{word}"):
                return True
            continue
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(word, strict=False):
                return True
        except ValueError:
            continue  # a name
    return False
