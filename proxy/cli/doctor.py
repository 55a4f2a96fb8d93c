"""`crosswire doctor`: looks whether what the proxy needs is there, and says what to do where it is not."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import platform
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ..backends.backend import Backend
from ..config import Config, configured_store
from ..config.source import config_file
from ..errors import ConfigError
from ..gateway.backend_factory import make_backend
from ..gateway.model_lists import Unlisted, ask_models
from ..gateway.protocol_choice import protocols_of
from .config_source import add_config_arguments, config_of, counted
from .exit_codes import FAILED, OK, USAGE

MARKS = {"good": "✓", "warning": "!", "bad": "✗"}

CLOCK_S = 120.0
"""Seconds by which the clock may be wrong before hosts refuse what is signed or dated by it."""

LOOK_S = 20.0
"""Time limit in seconds for all that is asked of one backend."""

OPTIONAL = {
    "uvloop": "the event loop is slower: pip install 'crosswire[speed]'",
    "httptools": "the HTTP client is slower: pip install 'crosswire[speed]'",
    "redis": "there is no state that replicas share: pip install 'crosswire[state]'",
    "sqlalchemy": "there is no store: pip install 'crosswire[store]'",
}
"""Libraries of the extras, and what is not there without them."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: how it is, and a hint where something is to be done."""

    what: str
    level: str
    said: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--port", type=int, help="the port that `serve` shall listen on, if not the config's")
    parser.add_argument("--offline", action="store_true", help="ask no backend")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    findings = [*versions()]
    try:
        config = config_of(args)
    except ConfigError as fault:
        findings += [Finding("config", "bad", line, "crosswire check shows all mistakes") for line in fault.complaints]
        _print(findings, as_json=args.json)
        return USAGE
    file = config_file(args.config)
    named = "the environment alone" if file is None else str(file)
    findings.append(Finding("config", "good", f"{named}; {counted(len(config.plan.backends), 'backend')}"))
    findings += [Finding("config", "warning", warning) for warning in config.warnings]
    findings += [port_finding(config), store_finding(config), *key_findings(config)]
    if not args.offline:
        findings += asyncio.run(backend_findings(config))
    _print(findings, as_json=args.json)
    return FAILED if any(finding.level == "bad" for finding in findings) else OK


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
        return
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        hint = f"; {finding.hint}" if finding.hint else ""
        print(f"{MARKS[finding.level]} {finding.what:{width}}  {finding.said}{hint}")


# ---- on this machine -------------------------------------------------------------------------------------------------


def versions() -> Iterator[Finding]:
    """Yields the versions of the program and of what it runs on, and which extras are not there."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "version", "good", f"crosswire {version('crosswire')}, Python {python}, {platform.platform(terse=True)}"
    )
    for name, missing in OPTIONAL.items():
        try:
            version(name)
        except PackageNotFoundError:
            yield Finding("version", "warning", f"{name} is not installed", missing)


def port_finding(config: Config) -> Finding:
    """Returns whether the address can be listened on."""
    host, port = config.settings.host, config.settings.port
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(info[0], info[1]) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(info[4])
    except OSError as fault:
        if _is_crosswire(host, port):
            return Finding("port", "warning", f"a Crosswire listens on {host}:{port} already", "another needs a --port")
        what = f"{host}:{port} cannot be listened on: {fault.strerror or fault}"
        return Finding("port", "bad", what, "another program has it; choose another with --port")
    return Finding("port", "good", f"{host}:{port} is free")


def _is_crosswire(host: str, port: int) -> bool:
    """Returns whether the program that has this address is a proxy like this one."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().getheader("server", "").startswith("crosswire")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def store_finding(config: Config) -> Finding:
    """Returns whether the store, which was read with the config, is there."""
    address = configured_store(config.settings)
    if address is None:
        return Finding("store", "good", "none is configured")
    if address.url.startswith("sqlite:///"):
        file = Path(address.url.removeprefix("sqlite:///"))
        if file.is_file() and not os.access(file, os.W_OK):
            return Finding("store", "warning", f"{file} is read-only", "commands cannot change it")
        if not file.is_file():
            return Finding("store", "warning", f"{file} is not there yet", "the first row makes it")
    return Finding("store", "good", f"could be read; revision {config.revision}")


def key_findings(config: Config) -> Iterator[Finding]:
    """Yields whether each backend that needs a key has one."""
    for backend in config.plan.backends:
        if (missing := backend.missing_key) is not None:
            variable = config.plan.key_variables.get(backend.provider)
            hint = f"set {variable}" if variable else "give it an api_key"
            yield Finding(backend.name, "bad", missing, hint)
        elif backend.api_key is not None:
            more = f" and {len(backend.spare_keys)} more" if backend.spare_keys else ""
            yield Finding(backend.name, "good", f"a key of {len(backend.api_key)} characters{more}")


# ---- at the backends -------------------------------------------------------------------------------------------------


async def backend_findings(config: Config) -> list[Finding]:
    """Returns what each backend says, asked at the same time."""
    asked = [backend for backend in config.plan.backends if backend.base_url and backend.missing_key is None]
    found = await asyncio.gather(*(_look_at(make_backend(each, config)) for each in asked))
    return [finding for findings in found for finding in findings]


async def _look_at(backend: Backend) -> list[Finding]:
    try:
        async with asyncio.timeout(LOOK_S):
            return [finding async for finding in _findings_of(backend)]
    except TimeoutError:
        return [Finding(backend.config.name, "bad", f"did not answer within {LOOK_S:g} s", "is its address right?")]
    finally:
        await backend.close()


async def _findings_of(backend: Backend) -> AsyncIterator[Finding]:
    """Yields whether its name resolves, whether it answers with a list of models, and whether the clocks agree."""
    config = backend.config
    url = urlsplit(config.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    # behind a proxy only its own name is resolved here
    first = url if config.proxy is None else urlsplit(config.proxy)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            first.hostname, first.port or port, type=socket.SOCK_STREAM
        )
    except OSError as fault:
        yield Finding(
            config.name, "bad", f"{first.hostname} cannot be resolved: {fault}", "is the address right, is DNS up?"
        )
        return
    addresses = ", ".join(dict.fromkeys(str(each[4][0]) for each in found))
    if config.proxy is not None:
        addresses = f"by the proxy {first.hostname}, {addresses}"
    started = time.monotonic()
    models = await ask_models(backend)
    took = (time.monotonic() - started) * 1000
    if isinstance(models, Unlisted):
        yield Finding(config.name, "bad", f"{url.hostname} ({addresses}): {models.why}", _hint(models))
    else:
        spoken = ", ".join(each.protocol for each in protocols_of(config))
        said = f"{url.hostname} ({addresses}) answers in {took:.0f} ms, lists {counted(len(models), 'model')}; {spoken}"
        yield Finding(config.name, "good", said)
        missing = [upstream for upstream in config.models.values() if models and upstream not in models]
        if missing:
            yield Finding(config.name, "warning", f"does not list {', '.join(missing)}", "is the name right?")
    if url.scheme != "https" or config.proxy is not None:  # no connection goes past the proxy
        return
    off = await _clock_error(url.hostname or "", port)
    if off is not None and off > CLOCK_S:
        yield Finding(config.name, "warning", f"the clocks differ by {off:.0f} s", "set this machine's clock")


def _hint(failed: Unlisted) -> str:
    """Returns what is to be done about a failure of this kind."""
    if failed.kind == "upstream_unreachable" and CERTIFICATE.search(failed.why):
        return "is the clock right, does a proxy in between bring its own certificate? ca_file names who signed it"
    return HINTS.get(failed.kind, "the provider's documentation or its status page may tell more")


CERTIFICATE = re.compile("certificate|ssl|tls", re.IGNORECASE)

_ADDRESS = "is the base_url right? most of OpenAI's protocols end in /v1"
_KEY = "is the key right, and one of this provider?"

HINTS: dict[str, str] = {
    "upstream_auth": _KEY,
    "upstream_forbidden": _KEY,
    "upstream_quota": "the account has used up what it may",
    "upstream_dns": "is the address right, is DNS up?",
    "upstream_unreachable": "does it run there? a firewall or a proxy may stand in between",
    "upstream_timeout": "does it run there? a firewall may drop what is sent",
    "upstream_garbage": _ADDRESS,
    "not_found": _ADDRESS,
    "model_not_found": _ADDRESS,
}
"""The kinds of failures, and what they point to."""


async def _clock_error(host: str, port: int) -> float | None:
    """The seconds by which this clock differs from a host's; None where the host says no time."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=True), 5)
        try:
            writer.write(f"HEAD / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1")
        finally:
            writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    dates = [line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith("date:")]
    try:
        return abs(parsedate_to_datetime(dates[0]).timestamp() - time.time()) if dates else None
    except ValueError:
        return None
