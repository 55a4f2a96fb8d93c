"""The C library's allocator: it keeps the memory of large bodies for the next ones, and gives it back in quiet times.

By default glibc asks the system for every block of a megabyte and gives it back at once, and the system clears each
page anew: two fifths of the CPU of a request with a picture.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

LARGEST = 32 * 2**20
"""Bytes of a block up to which it is kept: the most that glibc takes."""

KEPT = 64 * 2**20
"""Free bytes at the end of the heap that are kept until the next trim."""

EVERY_S = 10.0
"""Seconds between two trims."""

# https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_blocks() -> Callable[[], object] | None:
    """Keeps the memory of large blocks; returns the function that trims it, None where the C library is another."""
    try:
        library = ctypes.CDLL(None)
        set_option, trim = library.mallopt, library.malloc_trim
    except (OSError, AttributeError, TypeError):  # macOS and musl have neither, Windows has no such library
        return None
    if not (set_option(_MMAP_THRESHOLD, LARGEST) and set_option(_TRIM_THRESHOLD, KEPT)):
        return None
    return lambda: trim(0)


async def watch_memory(trim: Callable[[], object] | None, every_s: float = EVERY_S) -> None:
    """Gives free memory back to the system from time to time, for ever; ends at once where nothing is kept."""
    while trim is not None:
        await asyncio.sleep(every_s)
        trim()
