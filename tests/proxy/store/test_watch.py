"""Tests of the watcher: it sees every change of the store, and outlives an unreachable store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crosswire.proxy.store import settings
from crosswire.proxy.store.database import Store
from crosswire.proxy.store.watch import Watcher


class Served:
    """A proxy as a watcher sees it: the revision that serves, what it was told to read, and reports of the store."""

    def __init__(self, url: str | None, accepts: bool = True) -> None:
        self.url = url
        self.accepts = accepts
        self.fails = False
        self.serving = 0
        self.seen: list[int] = []
        self.reports: list[str | None] = []
        self.reported = asyncio.Event()
        self.told = asyncio.Event()

    def report(self, error: str | None) -> None:
        self.reports.append(error)
        self.reported.set()

    async def reload(self) -> bool:
        assert self.url is not None
        store = Store(self.url, {})
        revision = await store.revision()
        await store.close()
        self.report(None)
        self.seen.append(revision)
        if self.accepts and not self.fails:
            self.serving = revision
        self.told.set()
        return self.accepts

    async def again(self) -> int:
        """The revision that it read when it was told the next time."""
        await asyncio.wait_for(self.told.wait(), 20)
        self.told.clear()
        return self.seen[-1]


@asynccontextmanager
async def watching(served: Served, interval: float = 0.005) -> AsyncIterator[asyncio.Task[None]]:
    watcher = Watcher(lambda: served.url, {}, lambda: interval, lambda: served.serving, served.reload, served.report)
    task = asyncio.ensure_future(watcher.watch())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watcher_sees_each_change(store: Store, url: str) -> None:
    served = Served(url)
    async with watching(served):
        for count in (1, 2, 3):
            async with store.writing() as connection:
                await settings.add(connection, "mode", str(count))
            assert await served.again() == count
        await asyncio.sleep(0.05)
        assert served.seen == [1, 2, 3]


async def test_a_rejected_revision_is_not_tried_again(store: Store, url: str) -> None:
    served = Served(url, accepts=False)
    async with watching(served):
        for count in (1, 2):
            async with store.writing() as connection:
                await settings.add(connection, "mode", str(count))
            assert await served.again() == count
            await asyncio.sleep(0.05)
        assert served.seen == [1, 2]


async def test_a_late_older_config_is_replaced(store: Store, url: str) -> None:
    served = Served(url)
    async with watching(served):
        async with store.writing() as connection:
            await settings.add(connection, "mode", "x")
        assert await served.again() == 1
        served.serving = 0  # a reload that began before the change ended after it
        assert await served.again() == 1


async def test_a_revision_that_could_not_be_read_is_tried_again(store: Store, url: str) -> None:
    """A reload during which the store fails keeps the older snapshot, and is no refusal of the new revision."""
    served = Served(url)
    async with watching(served):
        async with store.writing() as connection:
            await settings.add(connection, "mode", "x")
        assert await served.again() == 1
        served.fails = True
        async with store.writing() as connection:
            await settings.add(connection, "mode", "y")
        assert await served.again() == 2
        assert await served.again() == 2
        served.fails = False
        while served.serving != 2:
            await served.again()


async def test_a_watcher_outlives_its_store(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    file.write_text("no database yet" * 100)
    served = Served(f"sqlite:///{file}")
    async with watching(served):
        await asyncio.wait_for(served.reported.wait(), 20)
        assert (served.seen, {"not a database" in str(report) for report in served.reports}) == ([], {True})
        file.unlink()
        writer = Store(str(served.url), {})
        async with writer.writing() as connection:
            await settings.add(connection, "mode", "eco")
        assert await served.again() == 1
        assert served.reports[-1] is None
        await writer.close()


async def test_a_watcher_follows_the_stores_url(tmp_path: Path) -> None:
    served = Served(None)
    async with watching(served):
        for name in ("a", "b"):
            writer = Store(f"sqlite:///{tmp_path}/{name}.db", {})
            for _ in range(2 if name == "b" else 1):
                async with writer.writing() as connection:
                    await settings.add(connection, "mode", "eco")
            await writer.close()
            served.url = f"sqlite:///{tmp_path}/{name}.db"
            assert await served.again() == (2 if name == "b" else 1)


async def test_a_watcher_with_interval_0_does_not_poll() -> None:
    served = Served("nonsense that would be complained of")
    async with watching(served, 0):
        await asyncio.sleep(0.05)
        assert served.seen == []
