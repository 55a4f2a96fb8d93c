"""The connection that serves plain chats itself: what it takes, what it hands over, and that nobody notices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from crosswire.proxy.clients.client import Client
from crosswire.proxy.clients.keys import digest
from crosswire.proxy.clients.registry import ClientRegistry, KeyRow, KeyTable
from crosswire.proxy.config import Config
from crosswire.proxy.config.limits import Limits
from crosswire.proxy.config.settings import CorsSettings, Settings
from crosswire.proxy.gateway import runtime
from crosswire.proxy.gateway.runtime import Runtime
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.server import limited_server
from crosswire.proxy.server.chat_connection import EARLY
from crosswire.proxy.server.plain_chat import KnownHead, PlainChats

from ..proxy_fixture import Stage, config, one, read_answer, request, stage
from ..sample_messages import PROTOCOLS as NAMES
from ..sample_messages import ask, dumps, path, reply, stream
from ..scripted_upstream import chunked, http, upstream

SETTINGS = Settings()
CHATS = PlainChats(PROTOCOLS.values())


def head(path: str = "/v1/messages", *lines: str, length: str = "12", version: str = "1.1") -> bytes:
    given = {line.partition(":")[0].lower() for line in lines}
    usual = {"host": "localhost:9001", "content-type": "application/json", "content-length": length}
    kept = [f"{name}: {value}" for name, value in usual.items() if name not in given]
    return "\r\n".join(
        (f"POST {path} HTTP/{version}", *kept, *(line for line in lines if line[-1] != "-"), "", "")
    ).encode()


# ---- what is plain ---------------------------------------------------------------------------------------------------

PLAIN: list[tuple[bytes, str, str | None]] = [
    (head(), "anthropic", None),
    (head("/v1/messages?beta=true"), "anthropic", None),
    (head("/v1/chat/completions", "Content-Type: application/json; charset=UTF-8"), "openai-chat", None),
    (head("/openai/v1/responses", "connection: Keep-Alive"), "openai-responses", None),
    (head("/v1beta/models/gemini-2.5-pro:generateContent"), "gemini", "gemini-2.5-pro"),
    (head("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"), "gemini", "gemini-2.5-pro"),
    (head("/api/generate", "x-crosswire-strict:  1 "), "ollama", None),
]


@pytest.mark.parametrize(("data", "protocol", "model"), PLAIN)
def test_plain_chats(data: bytes, protocol: str, model: str | None) -> None:
    found = CHATS.read(data, SETTINGS)
    assert found is not None
    assert (found.protocol.name, found.url.model, found.length, found.keeps_alive) == (protocol, model, 12, True)


NEXT: dict[str, tuple[bytes, Settings, bool]] = {
    # the head of the next request, and whether the last one tells what it is
    "the same": (head(), SETTINGS, True),
    "another length": (head(length="1200"), SETTINGS, True),
    "a length of none": (head(length="0"), SETTINGS, False),
    "a length that is too much": (head(length="999999999999"), SETTINGS, False),
    "a length of more digits than are read": (head(length="1" * 5000), SETTINGS, False),
    "a length that is no number": (head(length="1-2"), SETTINGS, False),
    "no length": (head(length=""), SETTINGS, False),
    "two lengths": (head("/v1/messages", "content-length: 12\r\ncontent-length: 12"), SETTINGS, False),
    "a header within": (head(length="12\r\nexpect: 100-continue\r\nx: 1"), SETTINGS, False),
    "one more header": (head("/v1/messages", "x-crosswire-strict: 1"), SETTINGS, False),
    "another path": (head("/v1/chat/completions"), SETTINGS, False),
    "another config": (head(), Settings(), False),
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_head_on_a_connection(name: str) -> None:
    data, settings, is_known = NEXT[name]
    first = CHATS.read(head(), SETTINGS)
    assert first is not None
    known = KnownHead.of(head(), SETTINGS, None, first)
    assert known is not None
    found = known.again(data, settings, None, 0.0)
    assert (found is not None) == is_known
    if is_known:
        assert found == CHATS.read(data, settings)


def test_what_the_gateway_needs_of_a_head() -> None:
    data = head(
        "/v1/messages", "Anthropic-Beta: \t a,b \t", "x-crosswire-backend: b", "user-agent: x", "connection: close"
    )
    found = CHATS.read(data, SETTINGS)
    assert found is not None
    assert found.headers == {"anthropic-beta": "a,b", "x-crosswire-backend": "b", "user-agent": "x"}
    assert not found.keeps_alive
    found = CHATS.read(head("/models/m:streamGenerateContent?alt=sse"), SETTINGS)
    assert found is not None
    assert (found.url.method, found.url.alt) == ("streamGenerateContent", "sse")


ODD: dict[str, bytes] = {
    "another method": head().replace(b"POST", b"PUT"),
    "another path": head("/v1/models"),
    "a path beside the chat": head("/v1/messages/count_tokens"),
    "an encoded path": head("/v1%2Fmessages"),
    "a doubled slash": head("//v1/messages"),
    "an absolute address": head("http://localhost/v1/messages"),
    "a path with a deployment": head("/openai/deployments/d/chat/completions"),
    "a model with slashes": head("/v1beta/models/a/b:generateContent"),
    "a model of dots": head("/v1beta/models/..:generateContent"),
    "an encoded model": head("/v1beta/models/a%2Fb:generateContent"),
    "another operation": head("/v1beta/models/m:countTokens"),
    "another query of a method": head("/v1beta/models/m:generateContent?alt=json"),
    "HTTP/1.0": head(version="1.0"),
    "HTTP/2": head(version="2.0"),
    "no length": head("/v1/messages", "content-length:-"),
    "an empty body": head(length="0"),
    "a signed length": head(length="+12"),
    "a negative length": head(length="-12"),
    "a length in hex": head(length="0x12"),
    "a list of lengths": head(length="12, 12"),
    "two lengths": head("/v1/messages", "x: 1\r\ncontent-length: 13"),
    "two equal lengths": head("/v1/messages", "x: 1\r\ncontent-length: 12"),
    "an endless length": head(length="9" * 30),
    "a body over the limit": head(length=str(SETTINGS.body_limit + 1)),
    "chunks": head("/v1/messages", "transfer-encoding: chunked"),
    "chunks beside a length": head("/v1/messages", "x: 1\r\ntransfer-encoding: chunked"),
    "chunks in disguise": head("/v1/messages", "transfer-encoding : chunked"),
    "a compressed body": head("/v1/messages", "content-encoding: gzip"),
    "an expectation": head("/v1/messages", "expect: 100-continue"),
    "an upgrade": head("/v1/messages", "connection: upgrade", "upgrade: websocket"),
    "another upgrade": head("/v1/messages", "upgrade: h2c"),
    "a named connection header": head("/v1/messages", "connection: close, x"),
    "a form": head("/v1/messages", "content-type: application/x-www-form-urlencoded"),
    "no content type": head("/v1/messages", "content-type:-"),
    "another charset": head("/v1/messages", "content-type: application/json; charset=utf-16"),
    "no host": head("/v1/messages", "host:-"),
    "another host": head("/v1/messages", "host: elsewhere.example"),
    "two hosts": head("/v1/messages", "x: 1\r\nhost: localhost"),
    "a page": head("/v1/messages", "origin: http://localhost"),
    "a page's own sign": head("/v1/messages", "sec-fetch-site: cross-site"),
    "a header that comes twice": head("/v1/messages", "anthropic-beta: a", "anthropic-beta: b"),
    "a folded header": head("/v1/messages", "x: a\r\n b"),
    "a bare line feed": head("/v1/messages", "x: a\ny: b"),
    "a bare carriage return": head("/v1/messages", "x: a\ry: b"),
    "a zero byte": head("/v1/messages", "x: a\0b"),
    "a header without a name": head("/v1/messages", ": a"),
    "a header that is none": head("/v1/messages", "nonsense"),
    "no ASCII": head("/v1/messages", "x: é"),
    "too many headers": head("/v1/messages", *(f"x-{n}: 1" for n in range(101))),
    "a head over the limit": head("/v1/messages", "x: " + "y" * SETTINGS.limits.header),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_plain(name: str) -> None:
    assert CHATS.read(ODD[name], SETTINGS) is None


def test_a_config_for_pages_of_browsers_leaves_all_to_the_other_server() -> None:
    assert CHATS.read(head(), Settings(cors=CorsSettings(origins=frozenset(("http://page.example",))))) is None


CLIENT = Client(name="ada", expires=100.0)
CLIENTS = ClientRegistry([CLIENT], [KeyTable(b"k" * 32, [KeyRow(digest("cw-key", b"k" * 32), CLIENT)])])

KEYS: list[tuple[tuple[str, ...], float, Client | None]] = [
    (("authorization: Bearer cw-key",), 99.0, CLIENT),
    (("authorization:  bearer  cw-key ",), 99.0, CLIENT),
    (("x-api-key: cw-key",), 99.0, CLIENT),
    (("x-goog-api-key: cw-key",), 99.0, CLIENT),
    (("api-key: cw-key",), 99.0, CLIENT),
    (("authorization: Bearer other", "x-api-key: cw-key"), 99.0, CLIENT),
    ((), 99.0, None),
    (("x-api-key: cw-keys",), 99.0, None),
    (("authorization: Basic cw-key",), 99.0, None),
    (("x-api-key: cw-key",), 100.0, None),
]


@pytest.mark.parametrize(("lines", "now", "client"), KEYS)
def test_chats_of_clients(lines: tuple[str, ...], now: float, client: Client | None) -> None:
    found = CHATS.read(head("/v1/messages", *lines), SETTINGS, CLIENTS, now)
    assert (None if found is None else found.client) is client
    assert (found is None) == (client is None)


def registry(*ends: float | None, enabled: bool = True) -> ClientRegistry:
    """A registry of a client with a key for each of these times at which it ends."""
    client = Client(name="ada", expires=100.0, enabled=enabled)
    rows = [KeyRow(digest(f"cw-key-{n}", b"k" * 32), client, end) for n, end in enumerate(ends)]
    return ClientRegistry([client], [KeyTable(b"k" * 32, rows)])


REGISTRY = registry(50.0, None)

AGAIN: dict[str, tuple[str, ClientRegistry | None, float, bool]] = {
    # the key of the next request, the registry and the time then, and whether the last head tells whose it is
    "the same": ("cw-key-0", REGISTRY, 10.0, True),
    "just before its key ends": ("cw-key-0", REGISTRY, 49.9, True),
    "its key has ended": ("cw-key-0", REGISTRY, 50.0, False),
    "another key of the client": ("cw-key-1", REGISTRY, 10.0, False),
    "a key that differs in one letter": ("cw-key-x", REGISTRY, 10.0, False),
    "a longer key": ("cw-key-00", REGISTRY, 10.0, False),
    "another registry": ("cw-key-0", registry(50.0, None), 10.0, False),
    "its key was taken away": ("cw-key-0", registry(), 10.0, False),
    "it was disabled": ("cw-key-0", registry(50.0, enabled=False), 10.0, False),
    "nobody needs a key any more": ("cw-key-0", None, 10.0, False),
}


@pytest.mark.parametrize("name", AGAIN)
def test_the_next_head_of_a_client(name: str) -> None:
    key, clients, now, is_known = AGAIN[name]
    first = CHATS.read(head("/v1/messages", "x-api-key: cw-key-0"), SETTINGS, REGISTRY, 1.0)
    assert first is not None
    known = KnownHead.of(head("/v1/messages", "x-api-key: cw-key-0"), SETTINGS, REGISTRY, first)
    assert known is not None
    data = head("/v1/messages", f"x-api-key: {key}", length="1200")
    found = known.again(data, SETTINGS, clients, now)
    assert (found is not None) == is_known
    if is_known:
        assert found == CHATS.read(data, SETTINGS, clients, now)


async def test_what_ends_on_a_connection_that_stays_open() -> None:
    """The key is good until its client is disabled, and again once it is enabled."""
    body = request(path("openai-chat"), ask("openai-chat"), {"connection": "keep-alive", "x-api-key": "cw-" + "k" * 20})
    async with upstream([http(dumps(reply("openai-chat")))]) as up:

        def with_client(**grants: object) -> Config:
            return config(one("openai-chat", up.url), clients={"ada": {"key": "cw-" + "k" * 20, **grants}})

        async with stage(with_client()) as it:
            reader, writer = await it.connect()
            statuses = []
            for grants in ({}, {}, {"enabled": False}, {}):
                it.gateway.apply_config(with_client(**grants))
                for _ in range(2):
                    writer.write(body)
                    statuses.append((await read_answer(reader)).status)
            writer.close()
    assert statuses == [200, 200, 200, 200, 401, 401, 200, 200]


# ---- no difference ---------------------------------------------------------------------------------------------------


def masked(raw: bytes) -> bytes:
    """The bytes without what differs from one request to the next."""
    raw = re.sub(rb"(?i)date: [^\r]+", b"date", raw)
    return re.sub(rb"(req|msg|resp|chatcmpl|gen)[_-][0-9a-f_-]+|\"created(_at)?\":[^,]+", b"id", raw)


async def whole(it: Stage, raw: bytes) -> bytes:
    reader, writer = await it.connect()
    writer.write(raw)
    try:
        return masked(await asyncio.wait_for(reader.read(), 10))
    finally:
        writer.close()


@pytest.mark.parametrize("frontend", NAMES)
@pytest.mark.parametrize("streams", [False, True])
async def test_both_servers_write_the_same_bytes(frontend: str, streams: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = request(path(frontend, stream=streams), ask(frontend, stream=streams))
    broken = request(path(frontend, stream=streams), b"{}")
    seen = []
    for has_parser in (True, False):
        monkeypatch.setattr(limited_server, "HAS_PARSER", has_parser)
        script = chunked(stream("openai-chat")) if streams else [http(dumps(reply("openai-chat")))]
        async with upstream(script) as up, stage(config(one("openai-chat", up.url))) as it:
            seen.append([await whole(it, raw), await whole(it, broken)])
    assert seen[0] == seen[1]
    assert seen[0][0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert b" 400 Bad Request\r\n" in seen[0][1]


# ---- one connection after the other ----------------------------------------------------------------------------------


async def test_requests_of_all_kinds_on_one_connection() -> None:
    chat, live = keep(request("/v1/messages", ask("anthropic"))), b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with upstream([http(dumps(reply("openai-chat")))]) as up, stage(config(one("openai-chat", up.url))) as it:
        reader, writer = await it.connect()
        for raw in (chat, chat, live, chat, live):
            writer.write(raw)
            assert (await read_answer(reader)).status == 200
        writer.close()


def keep(raw: bytes) -> bytes:
    return raw.replace(b"connection: close\r\n", b"")


async def test_requests_that_come_before_their_turn() -> None:
    raw = keep(request("/v1/messages", ask("anthropic")))
    large = keep(request("/v1/messages", ask("anthropic") | {"metadata": {"user_id": "x" * 3 * EARLY}}))
    live = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    script = [0.02, http(dumps(reply("openai-chat")))]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url))) as it:
        reader, writer = await it.connect()
        writer.write(raw + large + raw + large + live)
        answers = [await asyncio.wait_for(read_answer(reader), 5) for _ in range(5)]
        writer.close()
    assert [answer.status for answer in answers] == [200] * 5
    assert answers[4].body == b"ok\n"


async def test_a_request_in_pieces() -> None:
    raw = keep(request("/v1/messages", ask("anthropic")))
    end = raw.index(b"\r\n\r\n") + 4
    async with upstream([http(dumps(reply("openai-chat")))]) as up, stage(config(one("openai-chat", up.url))) as it:
        for cuts in ((end,), (end, end + 1), (end - 2,), (7, end), tuple(range(end, len(raw)))):
            reader, writer = await it.connect()
            for start, stop in zip((0, *cuts), (*cuts, len(raw)), strict=True):
                writer.write(raw[start:stop])
                await asyncio.sleep(0.002)
            assert (await read_answer(reader)).status == 200
            writer.write(raw)
            assert (await read_answer(reader)).status == 200
            writer.close()


@pytest.mark.parametrize("frontend", NAMES)
async def test_a_body_that_does_not_come(frontend: str) -> None:
    raw = request(path(frontend), ask(frontend))
    async with stage(config(one("openai-chat", "http://127.0.0.1:9"), body_timeout_s=0.1)) as it:
        reader, writer = await it.connect()
        writer.write(raw[:-5])
        answer = await asyncio.wait_for(read_answer(reader), 3)
        assert (answer.status, b"body_timeout_s" in answer.body) == (408, True)
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()


async def test_a_body_that_is_no_json_is_refused_before_it_is_whole() -> None:
    body = b'{"model":"m","messages":' + b"[" * 400 + b" " * 100_000
    raw = request("/v1/messages", body)
    async with stage(config(one("openai-chat", "http://127.0.0.1:9"))) as it:
        for sent in (raw, raw[:-50_000]):
            reader, writer = await it.connect()
            writer.write(sent)
            answer = await asyncio.wait_for(read_answer(reader), 3)
            assert (answer.status, b"levels deep" in answer.body) == (400, True)
            writer.close()


async def test_a_client_that_leaves_before_the_answer_begins() -> None:
    async with upstream(["hold"]) as up, stage(config(one("openai-chat", up.url))) as it:
        _, writer = await it.connect()
        writer.write(request("/v1/messages", ask("anthropic")))
        async with asyncio.timeout(3):
            while not up.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.close()
            while "crosswire_requests_in_flight 0.0" not in await it.metrics():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_an_answer_under_way_ends_when_the_server_stops() -> None:
    async with upstream([0.1, http(dumps(reply("openai-chat")))]) as up:
        async with stage(config(one("openai-chat", up.url))) as it:
            reader, writer = await it.connect()
            idle_reader, idle_writer = await it.connect()
            writer.write(keep(request("/v1/messages", ask("anthropic"))))
            async with asyncio.timeout(3):
                while not up.requests:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert (await read_answer(reader)).status == 200
        assert await asyncio.wait_for(reader.read(), 3) == b""
        assert await asyncio.wait_for(idle_reader.read(), 3) == b""
        writer.close()
        idle_writer.close()


async def test_an_idle_connection_of_either_kind_makes_room() -> None:
    raw = keep(request("/v1/messages", ask("anthropic")))
    limits = {"connections": 2}
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), limits=limits)) as it,
    ):
        first, second = await it.connect(), await it.connect()
        first[1].write(raw)
        assert (await read_answer(first[0])).status == 200
        second[1].write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await read_answer(second[0])).status == 200
        third = await it.connect()
        third[1].write(raw)
        assert (await read_answer(third[0])).status == 200
        assert await asyncio.wait_for(first[0].read(), 3) == b""
        for _, writer in (first, second, third):
            writer.close()


async def test_no_header_splits_an_answer(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream([http(dumps(reply("openai-chat")))]) as up, stage(config(one("openai-chat", up.url))) as it:
        monkeypatch.setattr("crosswire.proxy.headers.printable", lambda text: "a\r\nset-cookie: b")
        seen = await whole(it, request("/v1/messages", ask("anthropic")))
    assert b"set-cookie" not in seen
    assert not seen or seen.startswith(b"HTTP/1.1 500 ")
    assert "ValueError" in caplog.text  # each server refuses it in its own words
    caplog.clear()


def test_the_limit_of_a_head_is_that_of_the_config() -> None:
    data = head("/v1/messages", "x: " + "y" * 4096)
    assert CHATS.read(data, SETTINGS) is not None
    assert CHATS.read(data, Settings(limits=Limits(header=4096))) is None


# ---- large bodies ----------------------------------------------------------------------------------------------------

LARGE: list[tuple[str, dict[str, object], int]] = [
    # a body, and the changes to a thread and back that it costs: for decoding, and for routing with encoding
    ("a long text", {"messages": [{"role": "user", "content": "word " * 60_000}]}, 0),
    ("a very long text", {"messages": [{"role": "user", "content": "word " * 450_000}]}, 2),
    ("many values", {"messages": [{"role": "user", "content": "Hi."}], "x": [12_345_678] * 40_000}, 2),
    ("many values in a small body", {"messages": [{"role": "user", "content": "Hi."}], "x": [1] * 9_000}, 0),
]


@pytest.mark.parametrize(("name", "body", "changes"), LARGE, ids=lambda value: value if isinstance(value, str) else "")
async def test_only_what_takes_long_leaves_the_event_loop(
    name: str, body: dict[str, object], changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = 0
    off_loop = Runtime.off_loop

    async def counted(self: Runtime, work: Callable[[], object]) -> object:
        nonlocal changed
        changed += 1
        return await off_loop(self, work)

    monkeypatch.setattr(Runtime, "off_loop", counted)
    sent = dumps({"model": "m", **body})
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url, models={"m": "m"}))) as it,
    ):
        answer = await it.ask(path("openai-chat"), sent)
        assert answer.status == 200
        assert up.requests[-1].body == sent
    if not limited_server.HAS_PARSER and len(sent) >= runtime.LARGE:
        changes = 2  # aiohttp's server does not count the values
    assert changed == changes
