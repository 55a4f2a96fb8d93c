"""The proxy's own door: bad input, paths and methods, clients that leave, what is said around the chat."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import brotli
import pytest
from aiohttp import web

from crosswire.proxy.backends.aiohttp_transport import aiohttp_transport
from crosswire.proxy.backends.transport import NameSettings, Timeouts, Transport
from crosswire.proxy.config.limits import Limits
from crosswire.proxy.gateway.stream_writer import ClientGone
from crosswire.proxy.server.chat_connection import ChatConnection

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from ..proxy_fixture import KEY, Answer, Stage, config, one, read_answer, read_chunk, read_head, request, stage
from ..sample_messages import (
    PATHS,
    PROTOCOLS,
    TEXT,
    ask,
    dumps,
    error_text,
    path,
    reply,
    said,
    stream,
    stream_kind,
    text_of,
)
from ..scripted_upstream import LAST, Upstream, chunk, chunked, head, http, upstream

LIMIT = 256 * 1024


class House:
    """A proxy before an upstream that answers every request of its protocol."""

    def __init__(self, it: Stage, up: Upstream, frontend: str) -> None:
        self.it = it
        self.up = up
        self.frontend = frontend
        self.path = path(frontend)

    async def still_serves(self) -> None:
        answer = await self.it.ask(self.path, ask(self.frontend))
        assert (answer.status, text_of(self.frontend, answer.body)) == (200, TEXT)

    def complaint(self, answer: Answer) -> str:
        """The message of an error that has the frontend's shape and gives nothing away."""
        assert 400 <= answer.status < 500, answer
        assert answer.headers["content-type"] == "application/json"
        assert KEY.encode() not in answer.body
        assert str(self.up.port).encode() not in answer.body
        assert b"Traceback" not in answer.body
        assert answer.headers["x-request-id"].startswith("req_")
        return error_text(self.frontend, answer.status, answer.body)


@pytest.fixture(params=PROTOCOLS)
def frontend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def house(frontend: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[House]:
    """An anthropic backend, or a chat one for Anthropic's clients: every request is decoded and converted."""
    protocol = "openai-chat" if frontend == "anthropic" else "anthropic"
    caplog.set_level(logging.WARNING)
    script = [http(dumps(reply(protocol)))]
    async with upstream(script) as up, stage(config(one(protocol, up.url), body_limit=str(LIMIT))) as it:
        yield House(it, up, frontend)
    assert not caplog.get_records("call"), caplog.text


# ---- bodies ----------------------------------------------------------------------------------------------------------

GOOD = (
    b'{"model":"m","stream":false,"messages":[{"role":"user","content":"hi"}],'
    b'"input":"hi","contents":[{"parts":[{"text":"hi"}]}]}'
)
"""Every frontend takes it, each with what the others need as fields unknown to it."""


def inside(value: bytes) -> bytes:
    """A request that every frontend would take, were it not for this value."""
    return GOOD[:-1] + b',"extra":' + value + b"}"


BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "blank": (b"  \n ", 400, "JSON"),
    "truncated": (GOOD[:-9], 400, "JSON"),
    "trailing": (GOOD + b"}", 400, "JSON"),
    "two values": (GOOD + GOOD, 400, "JSON"),
    "bad UTF-8": (inside(b'"\xff\xfe"'), 400, "JSON"),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400, "JSON"),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + GOOD, 400, "JSON"),
    "no JSON": (b"hello", 400, "JSON"),
    "an array": (b"[]", 400, "object"),
    "a string": (b'"hi"', 400, "object"),
    "null": (b"null", 400, "object"),
    "50,000 deep": (inside(b"[" * 50_000 + b"]" * 50_000), 400, "deep"),
    "50,000 deep, cut": (b'{"a":' * 50_000, 400, "deep"),
    "a 5,000-digit integer": (inside(b"9" * 5000), 400, "JSON"),
    "NaN": (inside(b"NaN"), 400, "JSON"),
    "Infinity": (inside(b"-Infinity"), 400, "JSON"),
    "a number out of range": (inside(b"1e999"), 400, "JSON"),
    "a lone surrogate": (inside(b'"\\ud800"'), 400, "JSON"),
    "a control character": (inside(b'"\x01"'), 400, "JSON"),
    "single quotes": (b"{'model': 'm'}", 400, "JSON"),
    "over the limit": (inside(b'"' + b"x" * LIMIT + b'"'), 413, str(LIMIT)),
}


async def test_bad_bodies(house: House) -> None:
    for name, (body, status, words) in BODIES.items():
        answer = await house.it.ask(house.path, body)
        assert (name, answer.status) == (name, status)
        assert words in house.complaint(answer), name
    await house.still_serves()
    assert len(house.up.requests) == 1


HEADERS: dict[str, tuple[dict[str, str], bytes, int, str]] = {
    "no content type": ({"content-type": "-"}, GOOD, 415, "none"),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, GOOD, 415, "urlencoded"),
    "text": ({"content-type": "text/plain"}, GOOD, 415, "text/plain"),
    "multipart": ({"content-type": "multipart/form-data; boundary=x"}, GOOD, 415, "multipart"),
    "nonsense": ({"content-type": ";;;"}, GOOD, 415, "application/json"),
    "a bogus charset": ({"content-type": "application/json; charset=klingon"}, GOOD, 400, "utf-8"),
    "utf-16": ({"content-type": "application/json; charset=utf-16"}, GOOD, 400, "utf-8"),
    "gzip that is none": ({"content-encoding": "gzip"}, GOOD, 400, ""),
    "gzip with a bad end": ({"content-encoding": "gzip"}, gzip.compress(GOOD)[:-9] + b"x" * 9, 400, ""),
    "half a gzip": ({"content-encoding": "gzip"}, gzip.compress(GOOD)[:40], 400, ""),
    "a gzip bomb": ({"content-encoding": "gzip"}, gzip.compress(inside(b'"' + b" " * 2**26 + b'"')), 413, str(LIMIT)),
    "deflate that is none": ({"content-encoding": "deflate"}, GOOD, 400, ""),
    "an unknown encoding": ({"content-encoding": "snail"}, b"\x00\x01\x02", 415, "gzip, deflate, zstd, br"),
    "two encodings": ({"content-encoding": "gzip, br"}, GOOD, 415, "gzip, br"),
    "another expectation": ({"expect": "202-later"}, GOOD, 417, "xpect"),
    "cut gzip": ({"content-encoding": "gzip"}, gzip.compress(GOOD)[:-3], 400, "cut"),
}

WELCOME: dict[str, tuple[dict[str, str], bytes]] = {
    "a charset": ({"content-type": "application/json; charset=UTF-8"}, GOOD),
    "a quoted charset": ({"content-type": 'application/json; charset="utf-8"'}, GOOD),
    "upper case": ({"content-type": "Application/JSON"}, GOOD),
    "a +json type": ({"content-type": "application/vnd.api+json"}, GOOD),
    "gzip": ({"content-encoding": "gzip"}, gzip.compress(GOOD)),
    "deflate": ({"content-encoding": "deflate"}, zlib.compress(GOOD)),
    "zstd": ({"content-encoding": "zstd"}, zstd.compress(GOOD)),
    "br": ({"content-encoding": "br"}, brotli.compress(GOOD)),
    "none": ({"content-encoding": "identity"}, GOOD),
}


async def test_bad_headers_of_the_body(house: House) -> None:
    for name, (headers, body, status, words) in HEADERS.items():
        if house.frontend == "ollama" and name in ("no content type", "a form"):
            continue  # its documentation sends them: see test_access
        answer = await house.it.ask(house.path, body, headers)
        assert (name, answer.status) == (name, status)
        assert words in house.complaint(answer), name
    await house.still_serves()


async def test_a_body_that_is_held_back_is_asked_for(house: House) -> None:
    reader, writer = await house.it.connect()
    raw = request(house.path, GOOD, {"expect": "100-continue"})
    writer.write(raw[: -len(GOOD)])
    assert await read_head(reader) == (100, {})
    writer.write(GOOD)
    assert (await read_answer(reader)).status == 200
    writer.close()


async def test_good_headers_of_the_body(house: House) -> None:
    for name, (headers, body) in WELCOME.items():
        answer = await house.it.ask(house.path, body, headers)
        assert (name, answer.status) == (name, 200), answer


REQUIRED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "openai-chat": [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "x"}, "messages"),
        ({"model": 7, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ],
    "openai-responses": [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": 5}, "input"),
        ({"model": None, "input": "x"}, "model"),
    ],
    "anthropic": [
        ({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m", "max_tokens": 5}, "messages"),
        ({"model": "m", "max_tokens": 5, "messages": []}, "messages"),
        ({"model": "m", "max_tokens": "5", "messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
        ({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ],
    "gemini": [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": [5]}, "contents[0]"),
    ],
    "ollama": [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m", "messages": 5}, "messages"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "no"}, "stream"),
    ],
}


async def test_what_is_required(house: House) -> None:
    for body, words in REQUIRED[house.frontend]:
        answer = await house.it.ask(house.path, body)
        assert answer.status == 400, body
        assert words in house.complaint(answer)
    await house.still_serves()


async def test_a_client_that_leaves_within_its_body(house: House) -> None:
    for cut in (b"", b'{"model"', b"x" * 70_000):
        _, writer = await house.it.connect()
        writer.write(request(house.path, b"x" * 100_000).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + cut)
        await writer.drain()
        writer.close()
    reader, writer = await house.it.connect()
    writer.write(f"POST {house.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode())
    writer.write(b'transfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\nzz\r\n')
    assert (await read_answer(reader)).status == 400
    writer.close()
    await house.still_serves()


async def test_a_client_that_does_not_send_its_body(house: House) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:9"), body_timeout_s=0.05)) as it:
        reader, writer = await it.connect()
        writer.write(request(house.path, b"x" * 100_000).partition(b"\r\n\r\n")[0] + b"\r\n\r\n{")
        async with asyncio.timeout(5):
            answer = await read_answer(reader)
        writer.close()
    assert answer.status == 408
    assert "body_timeout_s" in house.complaint(answer)
    assert answer.headers["server"] == "crosswire"


async def test_a_huge_header_and_other_broken_http(house: House) -> None:
    post = b"POST " + house.path.encode() + b" HTTP/1.1\r\nhost: x\r\n"
    for raw, status in (
        (request(house.path, GOOD, {"x-big": "h" * 100_000}), 431),
        (request(house.path, GOOD, {f"x-{n}": "h" * 1000 for n in range(80)}), 431),
        (b"POST " + b"/x" * 50_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (post + b"content-length: 9\r\ncontent-length: 5\r\n\r\n{}", 400),
        (post + b"content-length: -1\r\n\r\n", 400),
        (post.replace(b"/1.1", b"/1.0") + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (post + b"x-evil<script>\r\n\r\n", 400),
    ):
        reader, writer = await house.it.connect()
        writer.write(raw)
        async with asyncio.timeout(2):
            answer = await read_answer(reader)
        assert answer.status == status
        assert answer.headers["server"] == "crosswire"
        # no parser's text, which repeats the client's bytes
        assert not any(word in answer.body for word in (b"Traceback", b"hhhh", b"/x/x", b"evil", b"\\x", b"aiohttp"))
        assert await reader.read() == b""
        writer.close()
    await house.still_serves()


# ---- model names -----------------------------------------------------------------------------------------------------

NAMES = (
    "a\r\nx-evil: 1",
    "a\nb",
    "m\x00",
    "mödel 模 🦀",
    "x" * 5000,
    "../../admin",
    "a/b:c",
    "50%",
    "\u2028",
    "a,b;c=d",
    "",
)


NO_NAMES = ("a\r\nx-evil: 1", "a\nb", "m\x00", "../../admin", "\u2028")


async def test_model_names_never_break_a_header(frontend: str) -> None:
    backend = "openai-chat" if frontend == "anthropic" else "anthropic"
    async with upstream([http(dumps(reply(backend)))]) as up, stage(config(one(backend, up.url))) as it:
        for name in NAMES:
            where = path(frontend)
            if frontend == "gemini":
                where = path(frontend, quote(name, safe=""))
            answer = await it.ask(where, ask(frontend, name))
            if not name:
                assert answer.status in (200, 400)
                continue
            if len(name) > Limits().name_length:
                assert (answer.status, "name_length" in answer.body.decode()) == (400, True)
                continue
            if name in NO_NAMES:
                assert (answer.status, "no model's name" in answer.body.decode()) == (400, True), name
                continue
            assert answer.status == 200, (name, answer)
            assert "x-evil" not in answer.headers
            assert answer.headers["x-crosswire-model"].isprintable()
            assert json.loads(up.requests[-1].body)["model"] == name
            field = "modelVersion" if frontend == "gemini" else "model"
            assert json.loads(answer.body)[field] == name


# ---- paths and methods -----------------------------------------------------------------------------------------------

UNKNOWN: dict[str, tuple[str, dict[str, str]]] = {
    "/v1/chat/nowhere": ("openai-chat", {}),
    "//": ("openai-chat", {}),
    "/v1/images/generations": ("openai-chat", {}),
    "/v1/images/generations?key=k": ("gemini", {}),
    "/v1/nowhere": ("anthropic", {"anthropic-version": "2023-06-01"}),
    "/v1/complete": ("anthropic", {"x-api-key": "k"}),
    "/v1/responses/resp_1/nowhere": ("openai-responses", {}),
    "/v1/messages/batches": ("anthropic", {}),
    "/v1beta/files": ("gemini", {}),
    "/v1/files": ("gemini", {"x-goog-api-key": "k"}),
    "/api/push": ("ollama", {}),
    "/v1/../../etc/passwd": ("openai-chat", {}),
}


@pytest.mark.parametrize(("where", "family"), [(where, family) for where, (family, _) in UNKNOWN.items()])
async def test_unknown_paths(where: str, family: str) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        for method in ("POST", "GET", "DELETE", "PUT"):
            answer = await it.ask(where, b"{}", UNKNOWN[where][1], method=method)
            assert answer.status == 404, method
            assert "No such path" in error_text(family, 404, answer.body)


async def test_wrong_methods(house: House) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = await house.it.ask(house.path, GOOD, method=method)
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"
        assert "POST" in house.complaint(answer)
    head_only = await house.it.ask(house.path, None, method="HEAD")
    assert (head_only.status, head_only.body) == (405, b"")
    await house.still_serves()


async def test_wrong_methods_around_the_chat() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        for where in ("/livez", "/readyz", "/metrics", "/crosswire/requests/x"):
            answer = await it.ask(where, b"{}", method="POST")
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_websocket_is_sent_back_to_post() -> None:
    """No client of the other protocols asks for one."""
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        reader, writer = await it.connect()
        writer.write(request("/v1/messages", None, upgrade))
        answer = await read_answer(reader)
        writer.close()
    assert answer.status == 426
    assert "POST" in error_text("anthropic", 426, answer.body)


@pytest.mark.parametrize("where", ["computeTokens", "predict", "", "generateContent:x"])
async def test_gemini_methods_that_are_none(where: str) -> None:
    async with stage(config(one("gemini", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(f"/v1beta/models/m:{where}", ask("gemini"))
        assert answer.status in (400, 404)
        error_text("gemini", answer.status, answer.body)


@pytest.mark.parametrize("frontend_path", ["/v1beta/models/", "/v1/models/", "/models/"])
@pytest.mark.parametrize("model", ["m", "models/m", "a/b:free", "tuned%2Fm"])
async def test_gemini_models_with_slashes_and_colons(frontend_path: str, model: str) -> None:
    async with upstream([http(dumps(reply("gemini")))]) as up, stage(config(one("gemini", up.url))) as it:
        answer = await it.ask(f"{frontend_path}{model}:generateContent", ask("gemini"))
        assert answer.status == 200
        record = await it.record(answer)
    assert record["model"] == model.replace("%2F", "/")


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p != "gemini"])
async def test_paths_with_and_without_the_version(protocol: str) -> None:
    async with upstream([http(dumps(reply(protocol)))]) as up, stage(config(one(protocol, up.url))) as it:
        for where in (PATHS[protocol], PATHS[protocol].removeprefix("/v1")):
            assert (await it.ask(where, ask(protocol))).status == 200


# ---- clients that leave, or are slow ---------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_client_that_leaves_before_the_first_byte(
    frontend: str, streams: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with upstream(["hold"]) as up, stage(config(one(frontend, up.url))) as it:
        _, writer = await it.connect()
        writer.write(request(path(frontend, stream=streams), ask(frontend, stream=streams)))
        await up.heard.wait()
        await asyncio.sleep(0.05)
        writer.close()
        async with asyncio.timeout(1):
            await up.left.wait()
        text = await it.metrics()
    outcome = f'crosswire_requests_total{{backend="none",frontend="{frontend}",outcome="aborted"}} 1.0'
    assert outcome in text
    assert 'crosswire_attempts_total{backend="b",outcome="aborted"} 1.0' in text
    assert not caplog.records


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
async def test_a_client_that_leaves_midway(frontend: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    frames = stream(backend)[:4]
    async with upstream([head(), *(chunk(f) for f in frames), "hold"]) as up, stage(config(one(backend, up.url))) as it:
        reader, writer = await it.connect()
        writer.write(request(path(frontend, stream=True), ask(frontend, stream=True)))
        status, headers = await read_head(reader)
        assert status == 200
        assert await read_chunk(reader)
        writer.close()
        async with asyncio.timeout(1):
            await up.left.wait()
        record = await it.record(Answer(200, headers, b"", False))
    assert (record["outcome"], record["attempts"][0]["outcome"]) == ("aborted", "aborted")
    assert record["error"] is None
    assert record["backend_used"] == "b"
    assert not caplog.records


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
async def test_a_client_that_leaves_while_it_is_written_to(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """A reset by the client must not look like a fault of the proxy or of the backend."""
    caplog.set_level(logging.WARNING)
    begin, word = stream(backend)[:-6], stream(backend, words=("x" * 2000,))
    many = [chunk(word[-4 if backend == "openai-chat" else 2])] * 500
    script = [head(), *(chunk(f) for f in begin), *many, "hold"]
    async with upstream(script) as up, stage(config(one(backend, up.url))) as it:
        reader, writer = await it.connect()
        writer.write(request(path("openai-chat", stream=True), ask("openai-chat", stream=True)))
        _, headers = await read_head(reader)
        writer.transport.abort()
        async with asyncio.timeout(1):
            await up.left.wait()
        record = await it.record(Answer(200, headers, b"", False))
    assert record["outcome"] == "aborted"
    assert not caplog.records, caplog.text


LEAVING: dict[str, tuple[type, type[Exception]]] = {
    # the server: what writes there, and what that raises
    "httptools": (ChatConnection, ClientGone),
    "aiohttp": (web.StreamResponse, ConnectionResetError),
}


async def test_a_client_whose_leaving_is_seen_by_a_write_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, server: str
) -> None:
    """The socket may say so before the server cancels the handler."""
    caplog.set_level(logging.WARNING)

    writer_class, error = LEAVING[server]

    async def write(self: object, data: bytes) -> None:
        raise error

    monkeypatch.setattr(writer_class, "write", write)
    async with upstream(chunked(stream("anthropic"))) as up, stage(config(one("anthropic", up.url))) as it:
        reader, writer = await it.connect()
        writer.write(request("/v1/chat/completions", ask("openai-chat", stream=True)))
        _, headers = await read_head(reader)
        await asyncio.sleep(0.05)
        writer.close()
        monkeypatch.undo()
        record = await it.record(Answer(200, headers, b"", False))
    assert (record["outcome"], record["attempts"][0]["outcome"]) == ("aborted", "aborted")
    assert not caplog.records, caplog.text


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
async def test_a_client_that_leaves_after_the_end_was_answered(backend: str) -> None:
    """The upstream lingers after its end; the client has all that it wanted, and goes."""
    script = [head(), *(chunk(f) for f in stream(backend)), 0.2, LAST, "hold"]
    async with upstream(script) as up, stage(config(one(backend, up.url), linger_s=5)) as it:
        reader, writer = await it.connect()
        writer.write(request("/v1/messages", ask("anthropic", stream=True)))
        _, headers = await read_head(reader)
        while b"message_stop" not in (await read_chunk(reader) or b""):
            pass
        writer.close()
        await asyncio.sleep(0.3)
        record = await it.record(Answer(200, headers, b"", False))
    assert record["outcome"] == "answered"
    assert record["status"] == 200


async def test_a_slow_client_holds_the_upstream_back() -> None:
    word = chunk(stream("openai-chat", words=("x" * 16_000,))[1])
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.transport.set_write_buffer_limits(high=65536)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head())
            for _ in range(10_000):
                writer.write(word)
                written += len(word)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with stage(config(one("openai-chat", url), read_timeout_s=0.1)) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port, limit=4096)
            writer.write(request("/api/chat", ask("ollama", stream=True)))
            await read_head(reader)
            await asyncio.sleep(0.4)
            stopped_at = written
            await asyncio.sleep(0.1)
            assert written == stopped_at  # nothing moves while nobody reads
            assert stopped_at < 64 * 2**20
            assert len(await reader.readexactly(stopped_at // 2)) == stopped_at // 2  # and all of it is there
            writer.transport.abort()


async def test_many_clients_at_once(frontend: str) -> None:
    async with upstream(chunked(stream("openai-chat"))) as up, stage(config(one("openai-chat", up.url))) as it:
        body, where = ask(frontend, stream=True), path(frontend, stream=True)
        answers = await asyncio.gather(*(it.ask(where, body) for _ in range(60)))
        text = await it.metrics()
    assert [(a.status, a.whole, said(frontend, a.body)) for a in answers] == [(200, True, TEXT)] * 60
    assert len({a.headers["x-request-id"] for a in answers}) == 60
    assert "crosswire_requests_in_flight 0.0" in text


async def test_one_connection_for_many_requests(frontend: str) -> None:
    """From the client to the proxy, and from the proxy to the upstream."""
    scripts = [[http(dumps(reply("anthropic")))], chunked(stream("anthropic"))] * 3
    async with upstream(*scripts) as up, stage(config(one("anthropic", up.url))) as it:
        reader, writer = await it.connect()
        for n in range(6):
            streams = bool(n % 2)
            where, body = path(frontend, stream=streams), ask(frontend, stream=streams)
            writer.write(request(where, body, {"connection": "keep-alive"}))
            answer = await read_answer(reader)
            assert (answer.status, answer.whole) == (200, True)
            assert (said if streams else text_of)(frontend, answer.body) == TEXT
        writer.close()
    assert up.connections == 1


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_without_the_extra_speed_aiohttps_client_serves(streams: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crosswire.proxy.backends.httptools_transport", None)
    made: list[Timeouts] = []

    def noted(timeouts: Timeouts, names: NameSettings) -> Callable[[], Transport]:
        made.append(timeouts)
        return aiohttp_transport(timeouts, names)

    monkeypatch.setattr("crosswire.proxy.gateway.backend_factory.aiohttp_transport", noted)
    script = chunked(stream("gemini")) if streams else [http(dumps(reply("gemini")))]
    async with upstream(script) as up, stage(config(one("gemini", up.url))) as it:
        for frontend in PROTOCOLS:
            answer = await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams))
            assert (said if streams else text_of)(frontend, answer.body) == TEXT
    assert len(made) == 1


# ---- what is passed on -----------------------------------------------------------------------------------------------

CREDENTIALS = {
    "authorization": "Bearer clients-own-1",
    "x-api-key": "clients-own-2",
    "x-goog-api-key": "clients-own-3",
    "api-key": "clients-own-4",
    "cookie": "session=clients-own-5",
    "proxy-authorization": "Basic clients-own-6",
    "x-forwarded-for": "clients-own-7",
    "user-agent": "clients-own-8",
    "openai-organization": "clients-own-9",
}


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_a_clients_credentials_never_go_upstream(frontend: str, backend: str, streams: bool) -> None:
    script = chunked(stream(backend), stream_kind(backend)) if streams else [http(dumps(reply(backend)))]
    async with upstream(script) as up, stage(config(one(backend, up.url))) as it:
        where = path(frontend, stream=streams)
        where += ("&" if "?" in where else "?") + "key=clients-own-0&beta=true"
        answer = await it.ask(where, ask(frontend, stream=streams), CREDENTIALS)
    assert answer.status == 200
    [heard] = up.requests
    everything = f"{heard.target} {heard.headers} {heard.body.decode()}"
    assert "clients-own" not in everything
    assert KEY in everything


FORWARDED = {"anthropic-beta": "a-1,b-2", "anthropic-version": "2024-01-01", "openai-beta": "x=v1"}
OWN_HEADERS = {
    "openai-chat": {*FORWARDED},
    "openai-responses": {"openai-beta"},
    "anthropic": {"anthropic-beta", "anthropic-version"},
    "gemini": set(),
    "ollama": set(),
}


@pytest.mark.parametrize("relay", ["auto", "never"])
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_headers_pass_between_equal_protocols_alone(frontend: str, backend: str, relay: str) -> None:
    async with upstream([http(dumps(reply(backend)))]) as up, stage(config(one(backend, up.url, relay=relay))) as it:
        assert (await it.ask(path(frontend), ask(frontend), FORWARDED)).status == 200
    received = up.requests[0].headers
    forwarded = {name: received[name] for name in FORWARDED if name in received}
    if frontend == backend:
        assert forwarded == {name: FORWARDED[name] for name in OWN_HEADERS[frontend]}
    else:
        assert forwarded == ({"anthropic-version": "2023-06-01"} if backend == "anthropic" else {})


async def test_a_header_that_came_twice_goes_on_whole_and_one_with_odd_bytes_not() -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        raw = request("/v1/messages", ask("anthropic"), {"anthropic-beta": "a-1", "openai-beta": "\xff\xfe"})
        reader, writer = await it.connect()
        writer.write(raw.replace(b"anthropic-beta: a-1", b"anthropic-beta: a-1\r\nanthropic-beta: b-2"))
        assert (await read_answer(reader)).status == 200
        writer.close()
    assert up.requests[0].headers["anthropic-beta"] == "a-1, b-2"
    assert "openai-beta" not in up.requests[0].headers


async def test_an_upstreams_headers_stay_with_the_proxy(frontend: str) -> None:
    odd: dict[str, Any] = {
        "set_cookie": "a=b",
        "x_ratelimit": "7",
        "server": "secret-host",
        "x_request_id": "theirs",
        "location": "/x",
    }
    async with upstream([http(dumps(reply(frontend)), **odd)]) as up, stage(config(one(frontend, up.url))) as it:
        answer = await it.ask(path(frontend), ask(frontend))
    assert answer.headers.keys() <= {
        "content-type",
        "content-length",
        "x-request-id",
        "request-id",
        "x-crosswire-backend",
        "x-crosswire-model",
        "x-crosswire-route",
        "x-crosswire-attempts",
        "date",
        "server",
        "connection",
    }
    assert "secret-host" not in answer.headers["server"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert ("request-id" in answer.headers) is (frontend == "anthropic")
    assert int(answer.headers["content-length"]) == len(answer.body)


# ---- around the chat -------------------------------------------------------------------------------------------------


async def test_livez_readyz_and_metrics() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        assert ((await it.get("/livez")).status, (await it.get("/livez")).body) == (200, b"ok\n")
        assert ((await it.get("/readyz")).status, (await it.get("/readyz")).body) == (200, b"ready\n")
        for where in ("/health", "/healthz"):
            health = await it.get(where)
            assert (health.status, json.loads(health.body)) == (200, {"status": "ok"})
        it.gateway.draining = True
        assert ((await it.get("/health")).status, (await it.get("/livez")).status) == (503, 200)
        it.gateway.draining = False
        metrics = await it.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"crosswire_requests_in_flight 0.0" in metrics.body


async def test_models_are_every_mapped_name() -> None:
    backends = one("ollama", "http://127.0.0.1:1", models={"fast": "m-1", "slow": "m-2"})
    backends["c"] = {"protocol": "gemini", "base_url": "http://127.0.0.1:1", "models": ["gem"]}
    async with stage(config(backends)) as it:
        found = json.loads((await it.get("/v1/models")).body)
    assert found["object"] == "list"
    assert [(m["id"], m["object"], m["owned_by"]) for m in found["data"]] == [
        ("fast", "model", "b"),
        ("slow", "model", "b"),
        ("gem", "model", "c"),
    ]


# ---- the admin's door ------------------------------------------------------------------------------------------------


async def test_explain_is_the_decision_that_serves() -> None:
    backends = {
        **one("ollama", "http://127.0.0.1:9", models={"small": "small"}),
        "c": {"protocol": "anthropic", "base_url": "http://127.0.0.1:9", "models": {"big": "big"}},
    }
    once = {"attempts": 1}
    async with stage(config(backends, breaker={"failures": 1, "open_s": 60}, retry=once)) as it:
        found = json.loads((await it.ask("/admin/explain", {"model": "small", "prompt": "Hello!"})).body)
        answer = await it.ask("/v1/chat/completions", ask("openai-chat", "small"))
        decided = (await it.record(answer))["decision"]
        after = json.loads((await it.ask("/admin/explain", {"model": "small"})).body)
    assert found["model"] == "small"
    assert {key: found[key] for key in decided} == decided
    assert after["refusal"]["kind"] == "overloaded"
    assert after["considered"][0]["why"] == "its breaker is open"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "model"),
        ({"promt": "x", "model": "x"}, "did you mean prompt?"),
        ({"model": 5}, "model"),
        (b"[]", "object"),
        (b"{", "JSON"),
        (b'{"a":' + b"[" * 50_000, "deep"),
    ],
)
async def test_explain_what_is_no_question(body: Any, words: str) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:9"))) as it:
        answer = await it.ask("/admin/explain", body)
    assert answer.status == 400
    assert words in answer.body.decode()
