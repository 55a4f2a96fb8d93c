"""The number of files that the process may open, of which every connection takes one."""

from __future__ import annotations

import resource
from contextlib import suppress

RESERVED = 64
"""Descriptors that are not for connections: logs, listeners, the event loop, the store."""


def raise_descriptor_limit() -> None:
    """Raises the soft limit to the hard one, as programs that use no `select` may.

    http://0pointer.net/blog/file-descriptor-limits.html
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):  # some systems refuse their own hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connection_limit(wanted: int) -> int:
    """The most connections of clients: half of the descriptors are for the connections to backends."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - RESERVED) // 2))
