"""Small versions of the rows of `python -m benchmarks.faults`, with the proxy in this process and its defaults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from benchmarks.fault_clients import Target, proxy_config, start_relay
from benchmarks.faults import MEASURED, ROWS, play
from benchmarks.with_names import Names, look_up
from crosswire.proxy.backends import name_resolution
from crosswire.proxy.config import load

from .proxy.proxy_fixture import stage

SCALE = 10


class _Here:
    def __init__(self, url: str) -> None:
        self.url = url
        self.pid: int | None = None


@asynccontextmanager
async def start_here(backends: Mapping[str, str], names: Names | None = None) -> AsyncIterator[Target]:
    """The proxy in this process, before these backends."""
    config = load(json.dumps({**proxy_config(backends, 1), "drain_s": 0.2}), "crosswire.yaml", {})
    with pytest.MonkeyPatch.context() as patch:
        if names is not None:
            patch.setattr(name_resolution, "look_up", lambda host: look_up(names, host, 0))
        async with stage(config) as it:
            yield _Here(it.url)


@pytest.mark.parametrize("row", [name for name in ROWS if name not in MEASURED])
async def test_nothing_is_lost(row: str) -> None:
    lost, text = await play(row, start_here, SCALE)
    assert lost == 0, text


async def test_the_relay_is_a_yardstick() -> None:
    """It runs, in a process of its own, and loses nothing where a relay need not."""
    lost, text = await play("closed", start_relay, SCALE)
    assert lost == 0, text
