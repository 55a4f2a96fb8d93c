"""Channels between the processes of a proxy: every question has an answer or an error, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from crosswire.proxy.workers.channel import LONGEST, Channel, ChannelError, Handler, Refusal


@contextlib.asynccontextmanager
async def channels(
    handlers: Mapping[str, Handler], others: Mapping[str, Handler] | None = None
) -> AsyncIterator[tuple[Channel, Channel]]:
    """Two ends of one connection: the first asks, the second answers with these handlers."""
    loop, (here, there) = asyncio.get_running_loop(), socket.socketpair()
    asking, answering = Channel(others or {}), Channel(handlers)
    await loop.create_connection(lambda: asking, sock=here)
    await loop.create_connection(lambda: answering, sock=there)
    try:
        yield asking, answering
    finally:
        asking.close()
        answering.close()
        await asyncio.sleep(0)


async def test_answers() -> None:
    heard: list[Any] = []

    async def slowly(text: str) -> str:
        await asyncio.sleep(0.01)
        return text.upper()

    handlers: dict[str, Handler] = {"add": lambda a, b: a + b, "slowly": slowly, "news": heard.append}
    async with channels(handlers) as (asking, _):
        asking.tell("news", {"is": [1, None, b"\0"]})
        slow = asking.begin("slowly", "later")
        assert await asking.ask("add", 1, 2) == 3
        assert not slow.done()
        assert await asking.answer_of(slow, 5) == "LATER"
        large = "x" * 300_000  # in several reads
        assert await asking.ask("add", large, large) == large * 2
    assert heard == [{"is": [1, None, b"\0"]}]


async def test_both_ends_ask() -> None:
    handlers: dict[str, Handler] = {"one": lambda: 1}
    async with channels(handlers, {"two": lambda: 2}) as (first, second):
        assert await asyncio.gather(first.ask("one"), second.ask("two")) == [1, 2]


async def test_failures_are_told(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise Refusal("not today")

    async def fail() -> None:
        raise ValueError("of course")

    handlers: dict[str, Handler] = {"refuse": refuse, "fail": fail}
    async with channels(handlers) as (asking, _):
        with pytest.raises(ChannelError, match=r"^not today$"):
            await asking.ask("refuse")
        assert not caplog.records
        with pytest.raises(ChannelError, match="ValueError: of course"):
            await asking.ask("fail")
        with pytest.raises(ChannelError, match="KeyError"):
            await asking.ask("unknown")
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_nobody_waits_for_who_is_gone() -> None:
    never = asyncio.Event()
    handlers: dict[str, Handler] = {"wait": never.wait}
    async with channels(handlers) as (asking, answering):
        with pytest.raises(ChannelError, match=r"no answer within 0\.01 s"):
            await asking.ask("wait", limit_s=0.01)
        waiting = asyncio.ensure_future(asking.ask("wait"))
        await asyncio.sleep(0)
        answering.close()
        with pytest.raises(ChannelError, match="gone"):
            await waiting
        with pytest.raises(ChannelError, match="gone"):
            await asking.ask("wait")
        asking.tell("news")  # to nobody


async def test_a_frame_without_end_ends_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    here, there = socket.socketpair()
    gone = asyncio.Event()
    channel = Channel({}, lambda channel: gone.set())
    await asyncio.get_running_loop().create_connection(lambda: channel, sock=here)
    there.sendall((LONGEST + 1).to_bytes(4, "big"))
    await asyncio.wait_for(gone.wait(), 5)
    there.close()
    assert "too long" in caplog.text
