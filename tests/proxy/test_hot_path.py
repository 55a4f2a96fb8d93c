"""The cost of the most frequent requests, counted and not timed: calls of the proxy's functions, and memory.

A bound that is passed means that a request does more than it did; raise it only for what most requests need.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest

import crosswire.proxy
from crosswire.proxy.observability import tracing
from crosswire.proxy.observability.request_record import BATCH
from crosswire.proxy.observability.usage_log import UsageLog

from .proxy_fixture import config, one, request, stage
from .sample_messages import ask, dumps, path, reply, stream
from .scripted_upstream import LAST, chunk, head, http, upstream

OWN = crosswire.proxy.__path__[0]

INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")
"""Functions that only older versions of Python call."""

CALLS: list[tuple[str, str, int]] = [
    # frontend, backend, the most calls of one request that does not stream
    ("openai-chat", "openai-chat", 148),
    ("anthropic", "anthropic", 152),
    ("openai-chat", "anthropic", 173),
    ("anthropic", "openai-chat", 178),
]

MORE_CALLS = 50
"""The most calls by which a client with limits, a row of usage and a trace add to those of a request."""

CALLS_OF_A_DELTA: list[tuple[str, str, int]] = [
    # frontend, backend, the most calls for one more word that comes by itself
    ("openai-chat", "openai-chat", 18),
    ("anthropic", "anthropic", 18),
    ("openai-chat", "anthropic", 16),
    ("anthropic", "openai-chat", 16),
]

LEFT_BEHIND = 1024
"""Bytes that one request may leave behind, where no more records are kept than before."""


async def calls_during(work: Callable[[], Awaitable[object]]) -> int:
    """The calls of functions of the proxy while this runs; each time that a coroutine goes on is one."""
    count = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        code = frame.f_code
        count += event == "call" and code.co_filename.startswith(OWN) and code.co_name not in INLINED

    sys.setprofile(note)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return count


async def read_unary(reader: asyncio.StreamReader) -> None:
    fields = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


@pytest.mark.parametrize(("frontend", "backend", "most"), CALLS)
async def test_the_calls_of_a_request(frontend: str, backend: str, most: int) -> None:
    raw = request(path(frontend), ask(frontend), {"connection": "keep-alive"})
    async with (
        upstream([http(dumps(reply(backend)))]) as up,
        stage(config(one(backend, up.url, models={"m": "m"}))) as it,
    ):
        reader, writer = await it.connect()

        async def exchange() -> None:
            writer.write(raw)
            await read_unary(reader)

        for _ in range(3):
            await exchange()
        counts = [await calls_during(exchange) for _ in range(3)]
        writer.close()
    assert most * 0.8 < min(counts) <= most  # a bound that is too wide guards nothing


async def test_the_calls_for_clients_limits_usage_and_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without those of the threads that encode spans and write rows, which take many at a time."""

    class Sender:
        def send(self, message: bytes) -> bool:
            return True

        def close(self) -> None:
            pass

    async def write(rows: object) -> None:
        pass

    monkeypatch.setattr(tracing, "_otlp_sender", lambda settings: Sender())
    key = "cw-0123456789abcdef"
    fields = {"connection": "keep-alive", "x-api-key": key}
    raw = request(path("openai-chat"), ask("openai-chat"), fields)
    limits = {"requests": "1000/min", "tokens": "1000000/min", "concurrent": 10}
    more = {"clients": {"ada": {"key": key, **limits}}, "tracing": {"endpoint": "http://127.0.0.1:1/v1/traces"}}
    counts = []
    for settings in ({}, more):
        async with (
            upstream([http(dumps(reply("openai-chat")))]) as up,
            stage(config(one("openai-chat", up.url, models={"m": "m"}), **settings)) as it,
        ):
            if settings:
                it.gateway.ledger = UsageLog(write)
            reader, writer = await it.connect()

            async def exchange(reader: asyncio.StreamReader = reader, writer: asyncio.StreamWriter = writer) -> None:
                writer.write(raw)
                await read_unary(reader)

            for _ in range(3):
                await exchange()
            counts.append(min([await calls_during(exchange) for _ in range(3)]))
            writer.close()
    assert MORE_CALLS * 0.8 < counts[1] - counts[0] <= MORE_CALLS


@pytest.mark.parametrize(("frontend", "backend", "most"), CALLS_OF_A_DELTA)
async def test_the_calls_of_a_delta(frontend: str, backend: str, most: int) -> None:
    raw = request(path(frontend, stream=True), ask(frontend, stream=True), {"connection": "keep-alive"})

    async def of_stream(words: int) -> int:
        frames = stream(backend, words=("word ",) * words)
        parts: list[object] = [head()]
        for frame in frames:
            parts += [chunk(frame), 0.002]  # each comes by itself
        async with (
            upstream([*parts, LAST]) as up,
            stage(config(one(backend, up.url, models={"m": "m"}))) as it,
        ):
            reader, writer = await it.connect()

            async def exchange() -> None:
                writer.write(raw)
                await reader.readuntil(b"\r\n0\r\n\r\n")

            await exchange()
            count = await calls_during(exchange)
            writer.close()
        return count

    more = await of_stream(60) - await of_stream(20)
    assert most * 0.6 < more / 40 <= most


async def test_what_a_request_leaves_behind() -> None:
    raw = request(path("openai-chat"), ask("openai-chat"), {"connection": "keep-alive"})
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url, models={"m": "m"}), records=8)) as it,
    ):
        reader, writer = await it.connect()

        async def exchange(times: int) -> None:
            for _ in range(times):
                writer.write(raw)
                await read_unary(reader)

        await exchange(BATCH)  # so that as many records wait to be sorted in after the next ones
        up.requests.clear()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await exchange(BATCH)
            up.requests.clear()
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        writer.close()
    assert after - before < BATCH * LEFT_BEHIND
