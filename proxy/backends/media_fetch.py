"""Fetches pictures and files by their URL, within what the config allows: hosts, addresses, types, size and time.

A URL in a request is anybody's: it may point to a service that only this machine can reach. So nothing is fetched but
from listed hosts, the address that was checked is the one that is connected to, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from base64 import b64encode
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from ..ir import Media
from ..ir.media_type import media_type
from .name_resolution import shared_resolver
from .transport import NameSettings

MIB = 1024 * 1024

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that hold an IPv4 address in their last 32 bits (RFC 6052)."""


class FetchSettings(Struct, frozen=True, kw_only=True):
    """The bounds of what is fetched for backends that take bytes only; nothing where no host is listed."""

    allow: frozenset[str] = frozenset()
    """Hosts in ASCII: a name, `*.` and a name for all below it, or an address; each may have a port."""
    private: bool | tuple[Network, ...] = False
    """Networks whose addresses may be fetched from although the internet does not route them; True for private and
    loopback ones."""
    max_bytes: int = 10 * MIB
    """Maximum size of a file."""
    max_files: int = 8
    """Maximum number of files of a request."""
    timeout_s: float = 10
    """Time limit for a file, from the look-up of its host to its last byte."""
    types: tuple[str, ...] = ("image/*", "application/pdf", "text/*", "audio/*", "video/*")
    """Media types that may be fetched, as globs."""


class NotFetched(Exception):
    """A file was not fetched; the text says why, and what to do."""


async def fetch_media(url: str, settings: FetchSettings, names: NameSettings) -> Media:
    """Returns the file at a URL as data; raises NotFetched."""
    target = checked_url(url, settings)
    try:
        async with asyncio.timeout(settings.timeout_s):
            return await _fetch(target, settings, names)
    except TimeoutError:
        raise NotFetched(f"its host took longer than {settings.timeout_s:g} s (fetch.timeout_s)") from None
    except _Forbidden as fault:
        raise NotFetched(str(fault)) from None
    except aiohttp.ClientConnectorDNSError as fault:
        if isinstance(fault.os_error, _Forbidden):
            raise NotFetched(str(fault.os_error)) from None
        raise NotFetched("the name of its host could not be looked up") from None
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        raise NotFetched(f"its host could not be reached ({type(fault).__name__})") from None


def checked_url(url: str, settings: FetchSettings) -> URL:
    """Returns the URL in its parts; raises NotFetched where the config allows none from its host.

    An address in a URL is listed as such, whatever it is; the addresses of a name are checked when it is looked up.
    """
    try:
        parsed = URL(url)
        host, port = (parsed.raw_host or "").removesuffix(".").lower(), parsed.port
    except ValueError:
        raise NotFetched("it is no valid URL") from None
    if parsed.scheme not in ("http", "https") or not host:
        raise NotFetched("it is no http or https URL")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise NotFetched("it has credentials in it")
    if not any(_matches(entry, host, port) for entry in settings.allow):
        raise NotFetched("its host is not among those that the proxy may fetch from (fetch.allow)")
    return parsed.with_fragment(None)


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Returns whether an entry of the allow-list is about this host, and its port if it has one."""
    name, found, number = entry.rpartition(":")
    if found and number.isdigit() and (":" not in name or name.startswith("[")):
        if int(number) != port:
            return False
        entry = name.strip("[]")
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


class _Forbidden(OSError):
    """The host has addresses alone that may not be connected to."""


_FORBIDDEN = "its host has an address that is not on the internet (fetch.private)"


def is_permitted(address: Address, settings: FetchSettings) -> bool:
    """Returns whether an address may be connected to; one that wraps another address must be so itself and within."""
    return all(_is_permitted(each, settings.private) for each in _with_wrapped(address))


def _with_wrapped(address: Address) -> Iterable[Address]:
    """Yields the address, or what an IPv4-mapped one is, and the IPv4 addresses that its packets would go to."""
    if not isinstance(address, ipaddress.IPv6Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_permitted(address: Address, private: bool | tuple[Network, ...]) -> bool:
    if address.is_global and not address.is_multicast:
        return True
    if private is True:
        # not the link-local ones, at which clouds tell a machine its own credentials
        return (address.is_private or address.is_loopback) and not (address.is_link_local or address.is_unspecified)
    return private is not False and any(address in network for network in private)


class _CheckedResolver(AbstractResolver):
    """Looks names up, and returns the permitted addresses alone: aiohttp connects to no other."""

    def __init__(self, settings: FetchSettings, names: NameSettings) -> None:
        self._settings = settings
        self._resolver = shared_resolver(names)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in await self._resolver.addresses(host, port)
            if family in (socket.AF_UNSPEC, kind)
            and is_permitted(ipaddress.ip_address(str(address[0]).partition("%")[0]), self._settings)
        ]
        if not found:
            raise _Forbidden(_FORBIDDEN)
        return found

    async def close(self) -> None:
        """Holds nothing of its own."""


async def _fetch(url: URL, settings: FetchSettings, names: NameSettings) -> Media:
    connector = aiohttp.TCPConnector(
        resolver=_CheckedResolver(settings, names), use_dns_cache=False, force_close=True, limit=1
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,  # a small body may grow to any size
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session,
        session.get(
            url, allow_redirects=False, headers={"accept-encoding": "identity", "user-agent": "crosswire"}
        ) as answer,
    ):
        if 300 <= answer.status < 400:
            raise NotFetched("it redirects to another URL, which is not followed; give that one")
        if answer.status != 200:
            raise NotFetched(f"its host answered with the status {answer.status}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise NotFetched("its host sent it compressed, though asked not to")
        return await _media_of(answer, settings)


async def _media_of(answer: aiohttp.ClientResponse, settings: FetchSettings) -> Media:
    too_large = NotFetched(f"it has more than {settings.max_bytes} bytes (fetch.max_bytes)")
    if (answer.content_length or 0) > settings.max_bytes:
        raise too_large
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > settings.max_bytes:
            raise too_large
        chunks.append(chunk)
    if not size:
        raise NotFetched("it is empty")
    data = b64encode(b"".join(chunks)).decode()
    mime = media_type(answer.headers.get("content-type"), data)
    if mime is None or not any(fnmatchcase(mime, glob) for glob in settings.types):
        raise NotFetched(f"its media type {mime or 'is missing, and'} is not one that may be fetched (fetch.types)")
    return Media(mime, data)
