"""The allocator keeps the memory of large bodies, and gives it back."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from typing import Any

import pytest

from crosswire.proxy.server import allocator
from crosswire.proxy.server.allocator import keep_blocks, watch_memory

MEMORY = """
import re
from pathlib import Path
from crosswire.proxy.server.allocator import keep_blocks

def mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

trim = keep_blocks()
before = mib()
blocks = [b"x" * 2**20 for _ in range(40)]
del blocks
kept = mib() - before
trim()
print(kept > 30, mib() - before < 10)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_blocks_are_kept_until_the_trim() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert done.stdout.split() == ["True", "True"]


class OtherLibrary:
    """A C library without these functions, or one that refuses the options."""

    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)


@pytest.mark.parametrize(
    "library",
    [OtherLibrary(), OtherLibrary(mallopt=lambda option, value: 0, malloc_trim=lambda pad: 1)],
    ids=["without them", "refuses"],
)
def test_where_the_library_is_another_nothing_is_trimmed(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    assert keep_blocks() is None


async def test_it_is_trimmed_from_time_to_time() -> None:
    trims: list[int] = []
    task = asyncio.ensure_future(watch_memory(lambda: trims.append(1), 0.001))
    async with asyncio.timeout(10):
        while len(trims) < 3:  # noqa: ASYNC110 - the task counts
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_to_trim_ends_the_task() -> None:
    await asyncio.wait_for(watch_memory(None), 10)
