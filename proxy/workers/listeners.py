"""The listening sockets, which the supervisor opens and keeps, so that a successor gets what waits in them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

BACKLOG = 2048
"""Connections that may wait in each socket; the system may allow fewer (net.core.somaxconn)."""

Sharing: TypeAlias = Literal["each", "one"]
"""A socket for each worker, among which the system spreads the connections, or one from which all accept."""

SPREADS = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")
"""True where the system spreads connections over the sockets of one port, which not every one does.

"This option can be used to distribute accept(2) load across multiple threads or processes"
https://man7.org/linux/man-pages/man7/socket.7.html
"""

DEFAULT_SHARING: Sharing = "each" if SPREADS else "one"


async def open_listeners(host: str, port: int, workers: int, sharing: Sharing) -> list[list[socket.socket]]:
    """Opens the sockets, for each worker one for every address of the host, or for all of them together.

    Port 0 takes a free one for all. Raises OSError where it cannot listen.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    opened: list[list[socket.socket]] = [[] for _ in range(workers if sharing == "each" else 1)]
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if sharing == "each":
                # with the option it would share the port with another program of this user; without it that is told
                _listen(family, (address[0], port, *address[2:]), spreads=False).close()
            for slot in opened:
                slot.append(_listen(family, (address[0], port, *address[2:]), spreads=sharing == "each"))
                port = slot[-1].getsockname()[1]
    except BaseException:
        close_all(opened)
        raise
    return opened


def _listen(family: int, address: tuple[Any, ...], *, spreads: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spreads:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setblocking(False)
        opened.bind(address)
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def close_all(slots: Iterable[Iterable[socket.socket]]) -> None:
    """Closes the sockets; what waits in them is refused."""
    for slot in slots:
        for each in slot:
            each.close()
