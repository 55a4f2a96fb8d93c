"""A body is refused as soon as it is beyond a limit, at little cost, in the client's shape."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from ..proxy_fixture import Answer, Stage, config, one, read_answer, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply
from ..scripted_upstream import http, upstream

NOWHERE = one("openai-chat", "http://127.0.0.1:9")
MIB = 2**20


def head(where: str, **fields: object) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"POST {where} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lines}\r\n".encode()


async def sent(it: Stage, *pieces: bytes) -> tuple[Answer, int]:
    """The answer to these pieces, and how many bytes went out before it came; it must come before the last."""
    reader, writer = await it.connect()
    answer = asyncio.ensure_future(read_answer(reader))
    size = 0
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            size += len(piece)
            await asyncio.sleep(0)
            if answer.done():
                break
        return await asyncio.wait_for(answer, 5), size
    finally:
        writer.close()


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_every_limit_is_a_4xx_in_the_clients_shape(frontend: str) -> None:
    limits = {"depth": 20, "elements": 2000, "containers": 1000, "key_length": 200, "encoded_body": 5000}
    big = dumps({**ask(frontend), "x": "y" * 20_000})
    cases: list[tuple[bytes, dict[str, str], int, str]] = [
        (dumps({**ask(frontend), "x": [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}), {}, 400, "20 levels"),
        (dumps({**ask(frontend), "x": [0] * 3000}), {}, 400, "2000 values"),
        (dumps({**ask(frontend), "x": [[]] * 1500}), {}, 400, "1000 arrays and objects"),
        (dumps({**ask(frontend), "k" * 201: 1}), {}, 400, "200 bytes"),
        (big, {}, 413, "body_limit"),
        (big, {"content-length": "-", "transfer-encoding": "chunked"}, 413, "body_limit"),
        (gzip.compress(big), {"content-encoding": "gzip"}, 413, "body_limit"),
        (gzip.compress(big, 0), {"content-encoding": "gzip"}, 413, "limits.encoded_body"),
        (big, {"content-encoding": "compress"}, 415, "gzip, deflate, zstd, br"),
    ]
    async with stage(config(NOWHERE, limits=limits, body_limit=10_000)) as it:
        for body, headers, status, words in cases:
            if "transfer-encoding" in headers:
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            answer = await it.ask(path(frontend), body, headers)
            assert answer.status == status, words
            assert words in error_text(frontend, status, answer.body)
            assert (answer.headers.get("accept-encoding") == "gzip, deflate, zstd, br") == (status == 415)
        text = await it.metrics()
    assert 'outcome="internal"' not in text


async def test_brackets_are_refused_after_the_first_of_them() -> None:
    piece = b"[]," * 100_000
    async with stage(config(NOWHERE)) as it:
        start = head("/v1/chat/completions", content_length=30_000_000)
        answer, size = await sent(it, start, b'{"model":"m","messages":[', *[piece] * 99)
    assert (answer.status, b"more than 100000 arrays" in answer.body) == (400, True)
    assert size < 6 * MIB  # what the buffers of two sockets hold


async def test_a_length_over_the_limit_is_refused_before_the_body() -> None:
    async with stage(config(NOWHERE)) as it:
        answer, size = await sent(it, head("/v1/messages", content_length=2**40))
    assert (answer.status, size < 1000) == (413, True)


@pytest.mark.parametrize("filling", [b" ", b"[]"])
async def test_a_bomb_costs_nothing(filling: bytes) -> None:
    """200 MB in 200 kB: refused once it has grown to 4 MiB and 100 times its size."""
    bomb = gzip.compress(filling * (200_000_000 // len(filling)), 6)
    async with stage(config(NOWHERE, body_limit=2**30)) as it:
        answer = await asyncio.wait_for(it.ask("/v1/chat/completions", bomb, {"content-encoding": "gzip"}), 20)
    assert answer.status in (400, 413)


async def test_bytes_in_chunks_of_their_own_are_refused() -> None:
    async with stage(config(NOWHERE)) as it:
        start = head("/v1/chat/completions", transfer_encoding="chunked")
        answer, size = await sent(it, start, *[b"1\r\n \r\n" * 5000] * 200)
    assert (answer.status, b"chunks" in answer.body) == (400, True)
    assert size < 6 * MIB


async def test_small_chunks_of_an_honest_client() -> None:
    body = dumps(ask("openai-chat", text="x" * 5000))
    async with upstream([http(dumps(reply("openai-chat")))]) as up, stage(config(one("openai-chat", up.url))) as it:
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[at : at + 3] for at in range(0, len(body), 3))]
        answer, _ = await sent(
            it, head("/v1/chat/completions", transfer_encoding="chunked"), b"".join(chunks), b"0\r\n\r\n"
        )
    assert answer.status == 200


async def test_a_large_honest_body_arrives_whole() -> None:
    """In pieces, and decoded off the event loop."""
    body = dumps(ask("openai-chat", text='He said "no", then\n[left].' * 100_000))
    async with upstream([http(dumps(reply("openai-chat")))] * 3) as up, stage(config(one("openai-chat", up.url))) as it:
        assert (await it.ask("/v1/chat/completions", body)).status == 200
        coded = {"content-encoding": "gzip"}
        assert (await it.ask("/v1/chat/completions", gzip.compress(body), coded)).status == 200
        converted = dumps({**json.loads(body), "max_tokens": 5})
        assert (await it.ask("/v1/messages", converted)).status == 200
    assert [json.loads(heard.body)["messages"] for heard in up.requests] == [json.loads(body)["messages"]] * 3


async def test_a_body_that_does_not_come() -> None:
    async with stage(config(NOWHERE, body_timeout_s=0.1)) as it:
        answer, _ = await sent(it, head("/v1/messages", content_length=100), b"{")
    assert (answer.status, b"body_timeout_s" in answer.body) == (408, True)
