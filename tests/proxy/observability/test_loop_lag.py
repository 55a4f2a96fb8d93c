"""The lag of the event loop is measured: nearly none while it is free, the whole block where something blocks it."""

from __future__ import annotations

import asyncio
import time

from crosswire.proxy.observability.loop_lag import watch_loop_lag
from crosswire.proxy.observability.metrics import Metrics


async def test_a_block_is_seen() -> None:
    seen: asyncio.Queue[float] = asyncio.Queue()
    task = asyncio.ensure_future(watch_loop_lag(seen.put_nowait, 0.01))
    await seen.get()
    time.sleep(0.3)  # noqa: ASYNC251 - the block that is to be seen
    assert await seen.get() > 0.25
    task.cancel()


def test_it_is_a_histogram_without_a_label() -> None:
    metrics = Metrics()
    metrics.loop_lagged(0.03)
    metrics.loop_lagged(0.3)
    text = metrics.render().decode()
    assert 'crosswire_loop_lag_seconds_bucket{le="0.05"} 1.0' in text
    assert "crosswire_loop_lag_seconds_count 2.0" in text
