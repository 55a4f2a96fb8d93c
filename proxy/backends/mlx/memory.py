"""Checks before loading that a model fits into the memory."""

from __future__ import annotations

import os
import re
from pathlib import Path

MIB = 1024 * 1024
MEMINFO = Path("/proc/meminfo")


def available_bytes() -> int | None:
    """Returns how much memory can be taken without swapping; all of the machine's where no more is known."""
    # "MemAvailable: An estimate of how much memory is available for starting new applications, without swapping."
    # https://docs.kernel.org/filesystems/proc.html
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def memory_complaint(nbytes: int, bound: int | None) -> str | None:
    """Returns why a model of this size must not be loaded; `bound` is the configured one."""
    if bound is not None and nbytes > bound:
        return (
            f"its weights have {_mb(nbytes)} MB, and limits.memory_mb is {_mb(bound)}; raise it or take a smaller model"
        )
    available = available_bytes()
    if available is not None and nbytes > available:
        return f"its weights have {_mb(nbytes)} MB, and {_mb(available)} MB of memory are free; take a smaller model"
    return None


def _mb(nbytes: int) -> int:
    return -(-nbytes // MIB)
