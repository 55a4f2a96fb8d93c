"""Connections: of clients that send nothing, or half a head, or too much of one, or that do not read."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp.web_protocol import RequestHandler

from crosswire.proxy.server import descriptors
from crosswire.proxy.server.connection import ClientConnection
from crosswire.proxy.server.descriptors import connection_limit

from ..proxy_fixture import config, one, read_answer, read_head, request, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply
from ..sample_messages import stream as frames_of
from ..scripted_upstream import chunk, head, http, upstream

NOWHERE = one("openai-chat", "http://127.0.0.1:9")


def test_the_names_of_aiohttp_that_connections_rely_on() -> None:
    for name in (
        "_waiter",
        "_request_count",
        "_paused",
        "_handle_request",
        "_drain_helper",
        "handle_error",
        "force_close",
        "_payload_parser",
    ):
        assert hasattr(RequestHandler, name), name
    assert issubclass(ClientConnection, RequestHandler)


# ---- heads -----------------------------------------------------------------------------------------------------------


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with stage(config(NOWHERE, limits={"header_s": 0.1})) as it:
        reader, writer = await it.connect()
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_half_a_head_is_answered_and_closed(frontend: str) -> None:
    async with stage(config(NOWHERE, limits={"header_s": 0.1})) as it:
        reader, writer = await it.connect()
        writer.write(f"POST {path(frontend)} HTTP/1.1\r\nhost: localhost\r\nx-a: ".encode())
        answer = await asyncio.wait_for(read_answer(reader), 2)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert "limits.header_s" in error_text(frontend, 408, answer.body)
        assert await reader.read() == b""
        writer.close()


HTTP_ERRORS: list[tuple[str, str, int]] = [
    # what follows the path in the first line, the headers, the status
    (" HTTP/1.1\r\n", "host localhost\r\n\r\n", 400),
    (" HTTP/1.1\r\n", "host: localhost\r\ncontent-length: x\r\n\r\n", 400),
    (" HTTP/9.x\r\n", "host: localhost\r\n\r\n", 400),
    (" HTTP/1.0\r\n", "host: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (" HTTP/1.1\r\n", "host: localhost\r\n" + "x-a: " + "y" * 9000 + "\r\n\r\n", 431),
    (" HTTP/1.1\r\n", "host: localhost\r\n" + "x-a: " + "y" * 90000, 431),
]

CHAT_PATHS: list[tuple[str, str]] = [
    *((path(name), name) for name in PROTOCOLS),
    ("/api/generate", "ollama"),
    ("/api/pull", "ollama"),
    ("/v1/completions", "openai-chat"),
    ("/openai/deployments/m/chat/completions", "openai-chat"),
    ("/openai/v1/responses", "openai-responses"),
]


@pytest.mark.parametrize(("line", "rest", "status"), HTTP_ERRORS)
@pytest.mark.parametrize(("where", "frontend"), CHAT_PATHS)
async def test_broken_http_is_told_in_the_shape_of_the_path(
    where: str, frontend: str, line: str, rest: str, status: int
) -> None:
    async with stage(config(NOWHERE, limits={"header": "8 KiB"})) as it:
        reader, writer = await it.connect()
        writer.write(f"POST {where}{line}{rest}".encode())
        answer = await asyncio.wait_for(read_answer(reader), 2)
        writer.close()
    assert answer.status == status, answer
    error_text(frontend, status, answer.body)


async def test_a_kept_connection_may_be_silent_but_not_half_way() -> None:
    async with stage(config(NOWHERE, limits={"header_s": 0.15})) as it:
        reader, writer = await it.connect()
        for _ in range(2):
            writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await read_answer(reader)).status == 200
            await asyncio.sleep(0.3)  # idle for longer than a head may take
        writer.write(b"GET /live")
        answer = await asyncio.wait_for(read_answer(reader), 2)
        assert answer.status == 408
        writer.close()


async def test_a_head_that_comes_byte_by_byte_in_time() -> None:
    async with stage(config(NOWHERE)) as it:
        reader, writer = await it.connect()
        for byte in b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        assert [(await read_answer(reader)).status for _ in range(2)] == [200, 200]
        writer.close()


async def test_a_head_without_end_costs_no_memory() -> None:
    """https://github.com/aio-libs/aiohttp keeps a header until it is whole."""
    async with stage(config(NOWHERE)) as it:
        _, writer = await it.connect()
        writer.write(b"POST /v1/messages HTTP/1.1\r\n")
        sent = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - it may break at any write
            while sent < 400_000_000:
                writer.write(b"x-%d: %b\r\n" % (sent, b"a" * 60_000))
                sent += 60_000
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 20_000_000
        writer.close()


# ---- how many --------------------------------------------------------------------------------------------------------


async def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    async with stage(config(NOWHERE, limits={"connections": 3})) as it:
        idle = [await it.connect() for _ in range(3)]
        for reader, writer in idle[1:]:
            writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await read_answer(reader)
        assert (await it.get("/livez")).status == 200
        assert await idle[0][0].read() == b""  # the one that has been idle longest
        idle[2][1].write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await read_answer(idle[2][0])).status == 200
        for _, writer in idle:
            writer.close()


async def test_beyond_the_limit_a_connection_is_refused_and_those_under_way_go_on() -> None:
    body = dumps(ask("openai-chat"))
    async with (
        upstream([0.3, http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), limits={"connections": 2})) as it,
    ):
        under_way = [asyncio.ensure_future(it.ask("/v1/chat/completions", body)) for _ in range(2)]
        await asyncio.sleep(0.1)
        reader, writer = await it.connect()
        refused = await read_answer(reader)
        writer.close()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert b"limits.connections" in refused.body
        assert [answer.status for answer in await asyncio.gather(*under_way)] == [200, 200]


def test_connections_take_half_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((256, 96), (1024, 480), (1_048_576, 10_000), (-1, 10_000), (50, 1)):
        monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _, soft=soft: (soft, -1))
        assert connection_limit(10_000) == most


# ---- clients that do not read ----------------------------------------------------------------------------------------


def endless(protocol: str) -> list[bytes | float | str]:
    first, second, third, *_ = frames_of(protocol)
    return [head(), chunk(first + second), *[chunk(third * 200)] * 400, "hold"]


async def stalled(port: int, raw: bytes, buffer: int = 4096) -> socket.socket:
    """A client that sends a request and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, raw)
    return client


async def test_a_reader_that_stalls_is_ended() -> None:
    raw = request("/v1/chat/completions", ask("openai-chat", stream=True))
    async with (
        upstream(endless("openai-chat")) as up,
        stage(config(one("openai-chat", up.url), limits={"write_s": 0.2})) as it,
    ):
        client = await stalled(it.port, raw)
        async with asyncio.timeout(5):
            while "crosswire_requests_in_flight 0.0" not in await it.metrics() or not up.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        client.close()


async def test_a_slow_reader_is_not() -> None:
    large = dumps(reply("openai-chat", text="x" * 8_000_000))
    async with upstream([http(large)]) as up, stage(config(one("openai-chat", up.url), limits={"write_s": 1})) as it:
        client = await stalled(it.port, request("/v1/chat/completions", ask("openai-chat")), 200_000)
        loop, got = asyncio.get_running_loop(), 0
        while data := await asyncio.wait_for(loop.sock_recv(client, 50_000), 20):
            got += len(data)
            await asyncio.sleep(0.01)
        client.close()
    assert got > 8_000_000


async def test_an_exception_outside_the_gateway_is_no_text_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    async with stage(config(NOWHERE)) as it:
        monkeypatch.setattr(it.gateway, "handle_chat", fail)
        reader, writer = await it.connect()
        writer.write(request("/v1/chat/completions", ask("openai-chat")))
        status, headers = await read_head(reader)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        writer.close()
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "secret" not in json.dumps(body)
