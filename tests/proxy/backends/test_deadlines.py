"""Deadlines of many waits, with one timer."""

from __future__ import annotations

import asyncio

import pytest

from crosswire.proxy.backends.deadlines import Deadline, DeadlineQueue


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class Wait:
    def __init__(self, expired: asyncio.Queue[Wait]) -> None:
        self._expired = expired

    def expire(self) -> None:
        self._expired.put_nowait(self)


async def test_waits_expire_in_the_order_in_which_they_began() -> None:
    queue, expired = DeadlineQueue(0.05), asyncio.Queue[Wait]()
    loop = asyncio.get_running_loop()
    first, removed, last = (Wait(expired) for _ in range(3))
    queue.add(first)
    queue.add(removed)
    await asyncio.sleep(0.02)
    queue.add(last)
    began = loop.time()
    queue.remove(removed)
    queue.remove(removed)
    assert [await expired.get(), await expired.get()] == [first, last]
    assert loop.time() - began >= 0.048
    await asyncio.sleep(0.06)
    queue.add(first)  # after a time without any
    assert await expired.get() is first


async def test_a_deadline_ends_what_takes_longer() -> None:
    queue = DeadlineQueue(0.02)
    with pytest.raises(TimeoutError), Deadline(queue) as deadline:
        await asyncio.sleep(10)
    assert deadline.has_expired
    assert not cancelling()


async def test_a_deadline_leaves_what_is_over_or_lifted() -> None:
    queue = DeadlineQueue(0.02)
    with Deadline(queue) as over:
        pass
    with Deadline(queue) as lifted:
        lifted.lift()
        await asyncio.sleep(0.04)
    assert not over.has_expired
    assert not lifted.has_expired


async def test_a_cancelled_task_is_no_timeout() -> None:
    queue = DeadlineQueue(0.02)

    async def work() -> None:
        with Deadline(queue):
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_is_cancelled_as_its_time_is_over_stays_cancelled() -> None:
    queue = DeadlineQueue(0.02)

    async def work() -> None:
        with Deadline(queue) as deadline:
            try:
                await asyncio.sleep(10)
            finally:
                assert deadline.has_expired
                asyncio.current_task().cancel()  # type: ignore[union-attr]

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


async def test_another_error_stays() -> None:
    queue = DeadlineQueue(0.01)

    async def work() -> None:
        with Deadline(queue):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        await work()
    assert not cancelling()
