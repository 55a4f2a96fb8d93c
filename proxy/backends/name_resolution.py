"""Resolves the names of backends' hosts, and connects to whichever of their addresses answers first.

Look-ups run in threads of their own, one for each name at a time, so that slow ones delay no other name and no other
work. Addresses are kept for a while, and while look-ups fail the last good ones are used.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias
from weakref import WeakKeyDictionary

from aiohappyeyeballs import AddrInfoType, start_connection
from msgspec import Struct

from .transport import NameNotResolved, NameSettings, NotConnected, OutOfResources

OWN_ERRORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))
"""Errors of this process or machine, which no backend is to blame for."""

# "Connection Attempt Delay: … a default value of 250 milliseconds is RECOMMENDED"
# https://www.rfc-editor.org/rfc/rfc8305#section-8
ATTEMPT_DELAY_S = 0.25
"""Seconds after which the next address is tried beside the ones before it."""

# "The client response timer, which is the maximum amount of time a recursive resolver should allow between the receipt
# of a resolution request and sending its response … a recommended value of 1.8 seconds"
# https://www.rfc-editor.org/rfc/rfc8767#section-5
STALE_WAIT_S = 1.8
"""Seconds of a look-up after which old addresses are used while it goes on."""

RECHECK_S = 5.0
"""Seconds between two connections that wait for a look-up, while look-ups fail or are slow."""

NAMES = 256
"""Names whose addresses are kept; the one that was looked up first is forgotten."""

Addresses: TypeAlias = Sequence[AddrInfoType]


class _Known(Struct):
    addresses: Addresses
    at: float
    recheck_at: float = 0.0
    """The time before which no connection waits for a look-up, because the last one failed or was slow."""


class NameResolver:
    """The addresses of host names, for one event loop."""

    def __init__(self, settings: NameSettings) -> None:
        self._settings = settings
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[Addresses]] = {}
        self._queue: deque[str] = deque()
        """Names whose look-up waits for a thread."""
        self._threads = 0

    async def addresses(self, host: str, port: int) -> Addresses:
        """The addresses of a host; raises OSError where it has none, or they cannot be found out."""
        literal = _literal(host)
        found = literal if literal is not None else await self._look_up(host)
        return [
            (family, kind, protocol, name, (address[0], port, *address[2:]))
            for family, kind, protocol, name, address in found
        ]

    def prefer(self, host: str, address: str) -> None:
        """Puts the address that answered before the others, until the name is looked up again."""
        known = self._known.get(host)
        if known is not None and known.addresses[0][4][0] != address:
            known.addresses = sorted(known.addresses, key=lambda each: each[4][0] != address)

    async def _look_up(self, host: str) -> Addresses:
        now = asyncio.get_running_loop().time()
        known = self._known.get(host)
        age = None if known is None else now - known.at
        if known is not None and age is not None:
            if age < self._settings.ttl_s:
                return known.addresses
            if now < known.recheck_at and age < self._settings.ttl_s + self._settings.stale_s:
                return known.addresses
        pending = self._under_way.get(host) or self._begin(host)
        if known is None or age is None or age >= self._settings.ttl_s + self._settings.stale_s:
            return await asyncio.shield(pending)
        await asyncio.wait({pending}, timeout=STALE_WAIT_S)
        if pending.done() and pending.exception() is None:
            return pending.result()
        known.recheck_at = now + RECHECK_S
        return known.addresses

    def _begin(self, host: str) -> asyncio.Future[Addresses]:
        future: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._under_way[host] = future
        self._queue.append(host)
        self._start_threads()
        return future

    def _start_threads(self) -> None:
        while self._queue and self._threads < max(1, self._settings.threads):
            host = self._queue.popleft()
            self._threads += 1
            # daemons: a look-up that hangs must not keep the process from ending
            arguments = (host, asyncio.get_running_loop())
            try:
                threading.Thread(target=self._work, args=arguments, name=f"look-up of {host}", daemon=True).start()
            except RuntimeError:  # no thread can be started
                self._end(host, None, OSError(errno.ENOMEM, "no thread for a look-up"))

    def _work(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        """Looks a name up, on a thread of its own."""
        found, fault = None, None
        try:
            found = look_up(host)
        except OSError as error:
            fault = error
        except (UnicodeError, ValueError) as error:  # a name that IDNA refuses
            fault = socket.gaierror(socket.EAI_NONAME, f"no host name: {error}")
        try:
            loop.call_soon_threadsafe(self._end, host, found, fault)
        except RuntimeError:
            return  # the loop was closed meanwhile

    def _end(self, host: str, found: Addresses | None, fault: OSError | None) -> None:
        self._threads -= 1
        future = self._under_way.pop(host)
        if found:
            self._known[host] = _Known(found, asyncio.get_running_loop().time())
            self._known.move_to_end(host)
            if len(self._known) > NAMES:
                self._known.popitem(last=False)
        if not future.done():
            if found:
                future.set_result(found)
            else:
                future.set_exception(fault or socket.gaierror(socket.EAI_NONAME, "the name has no address"))
        self._start_threads()


def look_up(host: str) -> Addresses:
    """Asks the system for the addresses of a name; blocks."""
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def _retrieve(future: asyncio.Future[Addresses]) -> None:
    """Keeps asyncio from logging a failure that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


@lru_cache(maxsize=NAMES)
def _literal(host: str) -> Addresses | None:
    """The address that an IP address is; None for a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


_RESOLVERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[NameSettings, NameResolver]] = WeakKeyDictionary()


def shared_resolver(settings: NameSettings) -> NameResolver:
    """The resolver of the running loop, shared by all its backends."""
    of_loop = _RESOLVERS.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = NameResolver(settings)
    return of_loop[settings]


def open_descriptor(info: AddrInfoType, failed: list[int]) -> socket.socket:
    """Makes the socket for an address; notes an error of our own, which a failure at another address may hide."""
    try:
        return socket.socket(info[0], info[1], info[2])
    except OSError as fault:
        if fault.errno in OWN_ERRORS:
            failed.append(fault.errno)
        raise


async def connect(resolver: NameResolver, host: str, port: int) -> socket.socket:
    """A connected socket to the first address that answers; raises NotConnected."""
    try:
        addresses = await resolver.addresses(host, port)
    except OSError as fault:
        raise not_resolved(fault) from None
    failed: list[int] = []
    try:
        connected = await start_connection(
            addresses,
            happy_eyeballs_delay=ATTEMPT_DELAY_S,
            socket_factory=lambda info: open_descriptor(info, failed),
        )
    except (OSError, RuntimeError) as fault:
        raise not_connected(fault, failed) from None
    if len(addresses) > 1:
        resolver.prefer(host, connected.getpeername()[0])
    return connected


def not_resolved(fault: OSError) -> NotConnected:
    """The failure for a look-up that failed."""
    if fault.errno in OWN_ERRORS:
        return OutOfResources(errno.errorcode[fault.errno])
    if isinstance(fault, socket.gaierror):
        return NameNotResolved(fault.strerror or "look-up failed")
    return NameNotResolved(type(fault).__name__)


def not_connected(fault: BaseException, failed: Sequence[int] = ()) -> NotConnected:
    """The failure for a connection that was not made; `failed` are the errors of our own that were met."""
    own = [number for number in (*failed, getattr(fault, "errno", None)) if number in OWN_ERRORS]
    return OutOfResources(errno.errorcode[own[0]]) if own else NotConnected(cause_of(fault))


def cause_of(fault: BaseException) -> str:
    """Returns why no connection was made, in words; without an address, for clients read it too."""
    match fault:
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be verified: {fault.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {(fault.reason or 'handshake').replace('_', ' ').lower()}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
    return type(fault).__name__
