"""A backend over either transport: what it makes of answers, and of everything that can go wrong on the way.

The same tables run over both transports. Times are tens of milliseconds, and no test asserts how long a thing took.
"""

from __future__ import annotations

import asyncio
import datetime
import errno
import gzip
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from benchmarks.fault_upstream import black_hole
from crosswire.proxy.backends import aiohttp_transport, httptools_transport, name_resolution
from crosswire.proxy.backends.http import HttpBackend
from crosswire.proxy.backends.retry_after import retry_after
from crosswire.proxy.backends.transport import TimedOut, Timeouts
from crosswire.proxy.errors import UpstreamError
from crosswire.proxy.ir import BlockDelta, Failure, ReplyEnd
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamRequest
from crosswire.proxy.routing import BackendConfig
from crosswire.proxy.wire.framing import FRAMINGS

from ..proxy_fixture import KEY, TRANSPORTS
from ..sample_messages import ENDS, TEXT, UPSTREAM_PATHS, data, dumps, reply, stream, upstream_error
from ..sample_messages import PROTOCOLS as NAMES
from ..scripted_upstream import LAST, Script, Step, Upstream, chunk, chunked, head, http, upstream

FRAME_LIMIT = 64 * 1024
_SHORT = 0.1
"""Seconds of patience where the upstream says nothing; everywhere else there is plenty, however busy the machine is."""
KINDS = {"ollama": "application/x-ndjson"}

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Bench:
    """One backend before one upstream."""

    def __init__(
        self, url: str, transport: str, protocol: str, limit: int, read: float, linger: float, **keys: Any
    ) -> None:
        backend = BackendConfig(name="b", protocol=protocol, base_url=url, api_key=KEY, **keys)
        pool = TRANSPORTS[transport](Timeouts(_SHORT if url.startswith("https") else 5, read))
        self.it = HttpBackend(
            backend, PROTOCOLS[protocol], pool, frame_limit=limit, linger=linger, response_limit=limit
        )
        self.protocol = protocol

    def sent(self, model: str = "m") -> UpstreamRequest:
        return UpstreamRequest({}, (), self.it.target(model))

    async def unary(self, body: bytes = b"{}", model: str = "m") -> str | Failure:
        """The text of the answer, or the failure."""
        try:
            answer, _ = await self.it.reply(self.sent(model), body, {}, _new_id)
        except UpstreamError as fault:
            return fault.failure
        return "".join(getattr(block, "text", "") for block in answer.blocks)

    async def stream(self, *, relayed: bool = False, model: str = "m") -> tuple[str, Failure | None, bytes]:
        """The text that came, the failure that ended it if one did, and the bytes that a relay would pass on."""
        text, raw = "", b""
        try:
            async for piece in self.it.stream(self.sent(model), b"{}", {}, _new_id, relayed=relayed):
                raw += piece.raw
                for event in piece.events:
                    if isinstance(event, BlockDelta):
                        text += event.text
                    if isinstance(event, Failure):
                        return text, event, raw
        except UpstreamError as fault:
            return text, fault.failure, raw
        return text, None, raw


def _new_id(prefix: str) -> str:
    return prefix + "1"


BenchOf = Callable[..., Bench]


@pytest.fixture
async def bench(transport: str) -> AsyncIterator[BenchOf]:
    made: list[Bench] = []

    def make(
        up: Upstream | str, protocol: str = "openai-chat", *, read: float = 5, linger: float = 1, **keys: Any
    ) -> Bench:
        url = up if isinstance(up, str) else up.url
        made.append(Bench(url, transport, protocol, FRAME_LIMIT, read, linger, **keys))
        return made[-1]

    yield make
    for it in made:
        await it.it.close()
        await it.it.close()  # twice is harmless


def kind(protocol: str) -> str:
    return KINDS.get(protocol, "text/event-stream")


# ---- what goes well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", NAMES)
async def test_an_answer_arrives(bench: BenchOf, protocol: str) -> None:
    async with upstream([http(dumps(reply(protocol)))]) as up:
        assert await bench(up, protocol).unary(b'{"a":1}') == TEXT
    [heard] = up.requests
    assert (heard.method, heard.target) == ("POST", UPSTREAM_PATHS[protocol].replace("{model}", "m"))
    assert heard.body == b'{"a":1}'
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["host"] == f"127.0.0.1:{up.port}"
    assert any(KEY in value for value in heard.headers.values())


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("protocol", NAMES)
async def test_a_stream_arrives(bench: BenchOf, protocol: str, relayed: bool) -> None:
    frames = stream(protocol)
    async with upstream(chunked(frames, kind(protocol))) as up:
        text, fault, raw = await bench(up, protocol).stream(relayed=relayed)
    assert fault is None
    if relayed:
        assert raw == b"".join(frames)
    else:
        assert text == TEXT


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
@pytest.mark.parametrize("protocol", NAMES)
async def test_how_the_socket_cuts_a_stream_does_not_matter(bench: BenchOf, protocol: str, cut: int) -> None:
    whole = b"".join(stream(protocol))
    pieces = [whole[at : at + cut * 50] for at in range(0, len(whole), cut * 50)]
    async with upstream(chunked(pieces, kind(protocol))) as up:
        assert await bench(up, protocol).stream() == (TEXT, None, whole)


BODIES: dict[str, Step] = {
    "in one piece": http(dumps(reply("openai-chat"))),
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    + http(dumps(reply("openai-chat"))),
    "in chunks": b"".join([head("application/json"), *(chunk(bytes([b])) for b in dumps(reply("openai-chat"))), LAST]),
    "with a trailer": head("application/json") + chunk(dumps(reply("openai-chat"))) + b"0\r\nx-sum: 1\r\n\r\n",
    "gzipped under its old name": http(gzip.compress(dumps(reply("openai-chat"))), content_encoding="x-gzip"),
    "gzipped although told not to": http(gzip.compress(dumps(reply("openai-chat"))), content_encoding="gzip"),
    "deflated although told not to": http(zlib.compress(dumps(reply("openai-chat"))), content_encoding="deflate"),
    "with 12 KiB of headers": http(dumps(reply("openai-chat")), x_policy="p" * 12 * 1024),
    "as text/plain": http(dumps(reply("openai-chat")), kind="text/plain"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_the_ways_of_sending_one_body(bench: BenchOf, body: bytes) -> None:
    async with upstream([body]) as up:
        assert await bench(up).unary() == TEXT


async def test_a_body_may_end_with_the_connection(bench: BenchOf) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + dumps(
        reply("openai-chat")
    )
    async with upstream([answer, "close"]) as up:
        assert await bench(up).unary() == TEXT


async def test_a_compressed_stream_is_read_as_it_comes(bench: BenchOf) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    parts = [packer.compress(f) + packer.flush(zlib.Z_SYNC_FLUSH) for f in stream("openai-chat")] + [packer.flush()]
    top = head().replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    async with upstream([top, *(chunk(part) for part in parts), LAST]) as up:
        text, fault, raw = await bench(up).stream(relayed=True)
    assert (fault, raw) == (None, b"".join(stream("openai-chat"))), text


async def test_a_request_of_several_megabytes_goes_up(bench: BenchOf) -> None:
    body = b'{"a":"' + b"x" * (3 * 2**20) + b'"}'
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        assert await bench(up).unary(body) == TEXT
    assert up.requests[0].body == body


# ---- what goes wrong -------------------------------------------------------------------------------------------------

CHAT = stream("openai-chat")
CUT = [head(), *(chunk(frame) for frame in CHAT[:3])]
"""A chat stream up to its second word."""

UNARY_FAULTS: dict[str, tuple[Script, str]] = {
    "reset before the head": (["reset"], "upstream_unreachable"),
    "closed before the head": (["close"], "upstream_unreachable"),
    "reset within the head": ([b"HTTP/1.1 200 OK\r\ncontent-", "reset"], "upstream_unreachable"),
    "closed within the head": ([b"HTTP/1.1 200 OK\r\ncontent-", "close"], "upstream_unreachable"),
    "no HTTP at all": ([b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "hold"], "upstream_unreachable"),
    "switching protocols": ([b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], "upstream_"),
    "silence before the head": (["hold"], "upstream_timeout"),
    "silence within the head": ([b"HTTP/1.1 200 OK\r\n", "hold"], "upstream_timeout"),
    "silence within the body": ([http(b'{"a":', length=50), "hold"], "upstream_timeout"),
    "content-length too long": ([http(dumps(reply("openai-chat")), length=100_000), "close"], "upstream_cut"),
    "content-length too short": ([http(dumps(reply("openai-chat")), length=40), "close"], "upstream_"),
    "an unfinished chunk": ([head("application/json"), b"ff\r\n{", "close"], "upstream_cut"),
    "no last chunk": ([head("application/json"), chunk(b'{"a":1'), "close"], "upstream_cut"),
    "a chunk of no size": ([head("application/json"), b"zz\r\n{}\r\n", "hold"], "upstream_"),
    "reset within the body": ([http(b'{"a":', length=50), 0.02, "reset"], "upstream_cut"),
    "an empty 200": ([http(b"")], "upstream_garbage"),
    "a 204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], "upstream_garbage"),
    "HTML": ([http(b"<html><body>Sign in</body></html>", kind="text/html")], "upstream_garbage"),
    "a JSON array": ([http(b"[]")], "upstream_garbage"),
    "JSON of no known shape": ([http(b'{"ok":true}')], "upstream_garbage"),
    "JSON nested 50,000 deep": ([http(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}")], "upstream_garbage"),
    "a stream that nobody asked for": ([*chunked(CHAT)], "upstream_garbage"),
    "a body over the limit": ([http(b'{"a":"' + b"x" * FRAME_LIMIT + b'"}')], "upstream_garbage"),
    "an endless body": ([head("application/json"), *([chunk(b" " * 8192)] * 20), "hold"], "upstream_garbage"),
    "gzip that is none": ([http(b"{}", content_encoding="gzip"), "hold"], "upstream_"),
    "a gzip bomb": ([http(gzip.compress(b" " * 32 * 2**20), content_encoding="gzip"), "hold"], "upstream_"),
    "a gzip bomb under its old name": (
        [http(gzip.compress(b" " * 32 * 2**20), content_encoding="x-gzip"), "hold"],
        "upstream_",
    ),
    "an encoding nobody has": ([http(b"\x1b\x00", content_encoding="compress")], "upstream_garbage"),
    "200 KiB of headers": ([http(b"{}", x_big="h" * 200 * 1024), "hold"], "upstream_unreachable"),
}


_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"

CUT_BODIES: dict[str, Callable[[bytes, bytes], Script]] = {
    "less than its length": lambda whole, part: [http(part, length=len(whole)), "close"],
    "nothing of its length": lambda whole, part: [http(b"", length=len(whole)), "close"],
    "no last chunk": lambda whole, part: [head("application/json"), chunk(part), "close"],
    "all of it, and no last chunk": lambda whole, part: [head("application/json"), chunk(whole), "close"],
    "within a chunk": lambda whole, part: [head("application/json"), b"%x\r\n%b" % (len(whole), part), "close"],
    "reset": lambda whole, part: [http(part, length=len(whole)), 0.02, "reset"],
    # of these only the JSON tells: something in between cut the answer, and ended the body as it should
    "a last chunk too early": lambda whole, part: [head("application/json"), chunk(part), LAST],
    "the length of the part": lambda whole, part: [http(part)],
    "the end of the connection": lambda whole, part: [_CLOSE + part, "close"],
    "half of the gzip": lambda whole, part: [http(gzip.compress(whole)[:-20], content_encoding="gzip")],
}
"""The ways in which the body of an answer ends too early."""


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "where a stream was asked for"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_a_body_that_is_cut(bench: BenchOf, protocol: str, streams: bool) -> None:
    whole = dumps(reply(protocol))
    for name, make in CUT_BODIES.items():
        async with upstream(make(whole, whole[: len(whole) // 2])) as up:
            it = bench(up, protocol)
            fault = (await it.stream())[1] if streams else await it.unary()
        assert isinstance(fault, Failure), (name, fault)
        assert (name, fault.kind, fault.status) == (name, "upstream_cut", 502)


@pytest.mark.parametrize(("script", "expected"), UNARY_FAULTS.values(), ids=UNARY_FAULTS)
async def test_an_answer_that_is_none(bench: BenchOf, script: Script, expected: str) -> None:
    async with upstream(script) as up:
        fault = await bench(up, read=_SHORT if "timeout" in expected else 5).unary()
        assert isinstance(fault, Failure), fault
        assert fault.kind.startswith(expected)
        assert fault.status in (502, 504)
        assert str(up.port) not in fault.message
        assert KEY not in fault.message


STREAM_FAULTS: dict[str, tuple[Script, str, str]] = {
    "reset before the head": (["reset"], "upstream_unreachable", ""),
    "silence before the head": (["hold"], "upstream_timeout", ""),
    "silence before the first frame": ([head(), "hold"], "upstream_timeout", ""),
    "silence midway": ([*CUT, "hold"], "upstream_timeout", "Hello "),
    "reset midway": ([*CUT, 0.02, "reset"], "upstream_cut", "Hello "),
    "an end without the last chunk": ([*CUT, "close"], "upstream_cut", "Hello "),
    "a clean end without the protocol's": ([*CUT, LAST], "upstream_cut", "Hello "),
    "a clean end within a frame": ([*CUT, chunk(CHAT[3][:20]), LAST], "upstream_cut", "Hello "),
    "a clean end within the first frame": ([head(), chunk(CHAT[0][:20]), LAST], "upstream_cut", ""),
    "an end before any frame": ([head(), LAST], "upstream_", ""),
    "an empty 200": ([http(b"", kind="text/event-stream")], "upstream_", ""),
    "a 204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], "upstream_", ""),
    "HTML": ([http(b"<html><p>Sign in\n\n</p></html>", kind="text/html; charset=utf-8")], "upstream_garbage", ""),
    "JSON of another kind where a stream was asked for": ([http(dumps({"choices": 7}))], "upstream_garbage", ""),
    "a JSON error where a stream was asked for": ([http(dumps({"error": {"code": 404}}))], "not_found", ""),
    "an oversized frame": ([*CUT, 0.05, *([chunk(b"x" * 8192)] * 10), "hold"], "upstream_garbage", "Hello "),
    "an error in the stream": (
        [*CUT, chunk(b'data: {"error": {"message": "m", "code": 500}}\n\n'), LAST],
        "upstream_error",
        "Hello ",
    ),
}


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize(("script", "expected", "before"), STREAM_FAULTS.values(), ids=STREAM_FAULTS)
async def test_a_stream_that_breaks(bench: BenchOf, script: Script, expected: str, before: str, relayed: bool) -> None:
    async with upstream(script) as up:
        text, fault, raw = await bench(up, read=_SHORT if "timeout" in expected else 5).stream(relayed=relayed)
    assert fault is not None
    assert fault.kind.startswith(expected)
    if relayed:
        # only whole frames that are no error go on
        assert raw == (b"".join(CHAT[:3]) if before else b"")
    else:
        assert text == before
    assert ENDS["openai-chat"] not in raw


GARBAGE = {"no JSON": b"data: {oops\n\n", "of the wrong shape": b'data: {"choices": 7}\n\n', "HTML": b"<p>\n\n<b>\n\n"}


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["at once", "later"])
@pytest.mark.parametrize("frame", [GARBAGE["no JSON"], GARBAGE["of the wrong shape"]])
async def test_a_garbage_frame(bench: BenchOf, frame: bytes, pause: float) -> None:
    """The frames before it count, however the socket cut them; a relay checks that a frame after the first content is
    JSON, and no more."""
    async with upstream([*CUT, pause, chunk(frame), LAST]) as up:
        text, fault, _ = await bench(up).stream()
        assert (text, fault and fault.kind) == ("Hello ", "upstream_garbage")
        _, fault, raw = await bench(up).stream(relayed=True)
        assert raw == b"".join([*CHAT[:3], *([frame] if frame == GARBAGE["of the wrong shape"] else [])])
        assert fault is not None
        assert fault.kind in ("upstream_cut", "upstream_garbage")


@pytest.mark.parametrize("frame", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
async def test_a_stream_of_garbage_alone(bench: BenchOf, frame: bytes, relayed: bool) -> None:
    async with upstream([head(), chunk(frame), LAST]) as up:
        text, fault, _ = await bench(up).stream(relayed=relayed)
    assert text == ""
    assert fault is not None
    assert fault.kind in ("upstream_garbage", "upstream_cut")


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_a_stream_without_its_end_is_a_failure(bench: BenchOf, protocol: str, relayed: bool) -> None:
    """Every SDK takes a clean end of the connection for success, so the proxy must not."""
    frames = [frame for frame in stream(protocol) if not any(word in frame for word in _ENDINGS)]
    async with upstream(chunked(frames, kind(protocol))) as up:
        _, fault, _ = await bench(up, protocol).stream(relayed=relayed)
    assert fault is not None
    assert fault.kind == "upstream_cut"


_ENDINGS = (
    *(b"[DONE]", b'"finish_reason": "stop"', b"response.completed", b"message_stop", b"message_delta"),
    *(b"finishReason", b'"done": true'),
)


async def test_nobody_listens(bench: BenchOf) -> None:
    async with upstream(["close"]) as up:
        pass
    for it in (bench(up), bench(up, "anthropic")):
        fault = await it.unary()
        assert isinstance(fault, Failure)
        assert (fault.kind, fault.status) == ("upstream_unreachable", 502)
        assert "'b'" in fault.message
        assert str(up.port) not in fault.message


@pytest.mark.parametrize("script", [["hold"], [b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "close"]])
async def test_tls_to_a_plain_port(bench: BenchOf, script: Script) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            if script[0] == "hold":
                await reader.read()
            else:
                writer.writelines([part for part in script if isinstance(part, bytes)])
        finally:
            writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        fault = await bench(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}").unary()
    assert isinstance(fault, Failure)
    assert fault.kind in ("upstream_unreachable", "upstream_timeout")


async def test_a_host_without_an_address(bench: BenchOf) -> None:
    fault = await bench("http://no-such-host.invalid:1").unary()
    assert isinstance(fault, Failure)
    assert (fault.kind, fault.status) == ("upstream_dns", 502)
    assert "no-such-host" not in fault.message


# ---- statuses --------------------------------------------------------------------------------------------------------

OURS = "says what upstream must not"

STATUSES: dict[int, tuple[str, int, bool]] = {
    301: ("upstream_error", 502, False),
    302: ("upstream_error", 502, False),
    307: ("upstream_error", 502, False),
    308: ("upstream_error", 502, False),
    400: ("bad_request", 400, True),
    401: ("upstream_auth", 502, False),
    402: ("upstream_quota", 502, False),
    403: ("upstream_auth", 502, False),
    404: ("not_found", 404, True),
    408: ("upstream_timeout", 504, False),
    409: ("upstream_error", 502, True),
    413: ("too_large", 413, True),
    422: ("unprocessable", 422, True),
    429: ("rate_limit", 429, True),
    500: ("upstream_error", 502, True),
    501: ("upstream_error", 502, True),
    502: ("upstream_error", 502, True),
    503: ("overloaded", 503, True),
    504: ("upstream_timeout", 504, False),
    529: ("overloaded", 503, True),
}
"""Status to the kind, the client's status, and whether the upstream's own words go on."""


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_statuses(bench: BenchOf, protocol: str, streams: bool) -> None:
    scripts = [[http(upstream_error(protocol, "the upstream's words", status), f"{status} No")] for status in STATUSES]
    async with upstream(*scripts) as up:
        it = bench(up, protocol)
        for status, (kind, told, passed_on) in STATUSES.items():
            fault = (await it.stream())[1] if streams else await it.unary()
            assert isinstance(fault, Failure), status
            assert (fault.kind.removeprefix("model_"), fault.status) == (kind, told), status
            assert ("the upstream's words" in fault.message) is passed_on, status


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("body", [b"", b"<html>oops</html>", b"[]", b'"text"', b"null", b'{"error":null}', b"\xff\xfe"])
async def test_error_bodies_of_any_shape(bench: BenchOf, protocol: str, body: bytes) -> None:
    async with upstream([http(body, "400 Bad")], [http(body, "503 Busy")]) as up:
        it = bench(up, protocol)
        first, second = await it.unary(), await it.unary()
    assert isinstance(first, Failure)
    assert isinstance(second, Failure)
    assert (first.status, second.status) == (400, 503)
    assert first.message
    assert "<html>" not in first.message


@pytest.mark.parametrize("script", [["close"], ["hold"], [b"x" * 100, "reset"], [b" " * 2 * 2**20, "hold"]])
async def test_an_error_whose_body_never_comes_keeps_its_status(bench: BenchOf, script: list[Step]) -> None:
    top = b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n"
    async with upstream([top, *script]) as up:
        fault = await bench(up, read=_SHORT).unary()
    assert isinstance(fault, Failure)
    assert (fault.kind, fault.retry_after) == ("rate_limit", 7.0)


WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "7"}, 7.0),
    "milliseconds": ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    "a date long gone": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    "negative": ({"retry-after": "-3"}, 0.0),
    "no number": ({"retry-after": "soon"}, None),
    "infinite": ({"retry-after": "inf"}, None),
    "not a number": ({"retry-after": "nan"}, None),
    "beyond all years": ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
    "bad milliseconds, good seconds": ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
    "absent": ({}, None),
}


@pytest.mark.parametrize(("headers", "expected"), WAITS.values(), ids=WAITS)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers) == expected


def test_retry_after_a_date_to_come() -> None:
    wait = retry_after({"retry-after": "Fri, 21 Oct 2235 07:28:00 GMT"})
    assert wait is not None
    assert wait > 1e9


@pytest.mark.parametrize("protocol", NAMES)
async def test_retry_after_reaches_the_failure(bench: BenchOf, protocol: str) -> None:
    async with upstream([http(upstream_error(protocol, "slow", 429), "429 Slow", retry_after="7")]) as up:
        fault = await bench(up, protocol).unary()
    assert isinstance(fault, Failure)
    assert fault.retry_after == 7.0


@pytest.mark.parametrize("protocol", NAMES)
async def test_a_redirect_is_not_followed_and_no_key_goes_elsewhere(bench: BenchOf, protocol: str) -> None:
    async with upstream([http(dumps(reply(protocol)))]) as elsewhere:
        for status in ("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"):
            async with upstream([http(b"", status, location=elsewhere.url + "/steal")]) as up:
                assert isinstance(await bench(up, protocol).unary(), Failure)
        assert elsewhere.connections == 0


# ---- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", NAMES)
async def test_an_error_that_repeats_our_key_and_address_is_scrubbed(bench: BenchOf, protocol: str) -> None:
    async with upstream([]) as up:
        words = f"key {KEY} and header s3cret-header-value at http://127.0.0.1:{up.port}/v1 and 127.0.0.1 are wrong"
        up.scripts = [[http(upstream_error(protocol, words, 400), "400 Bad")]]
        fault = await bench(up, protocol, headers={"x-tenant": "s3cret-header-value", "x-short": "key"}).unary()
    assert isinstance(fault, Failure)
    assert fault.message == "key *** and header *** at http://***/v1 and *** are wrong"


async def test_code_and_param_are_scrubbed_too(bench: BenchOf) -> None:
    body = dumps({"error": {"message": "no", "type": "invalid_request_error", "param": f"p-{KEY}", "code": f"c-{KEY}"}})
    async with upstream([http(body, "400 Bad")]) as up:
        fault = await bench(up).unary()
    assert isinstance(fault, Failure)
    assert (fault.param, fault.code) == ("p-***", "c-***")


async def test_an_error_in_a_stream_is_scrubbed(bench: BenchOf) -> None:
    frame = data({"error": {"message": f"quota of {KEY}", "code": 429}})
    async with upstream([*CUT, chunk(frame), LAST]) as up:
        _, fault, raw = await bench(up).stream(relayed=True)
    assert fault is not None
    assert fault.message == "quota of ***"
    assert KEY.encode() not in raw


async def test_a_hosts_name_that_is_a_word_stays_in_texts(bench: BenchOf) -> None:
    it = bench("http://ollama:11434")
    told = it.it._scrubbed(Failure("bad_request", "ollama: no such model at ollama:11434", 400))
    assert told.message == "ollama: no such model at ***"


# ---- beside the chat -------------------------------------------------------------------------------------------------

BESIDE: list[tuple[str, str, bytes | None]] = [
    ("GET", "/responses/resp_1?limit=2", None),
    ("DELETE", "/responses/resp_1", None),
    ("POST", "/responses/resp_1/cancel", b""),
    ("POST", "/responses/compact", b'{"model":  "m"}'),
]


async def test_every_method_goes_out_and_its_bytes_come_back(bench: BenchOf) -> None:
    said = b'{"id":  "resp_1"}'
    async with upstream([http(said)]) as up:
        backend = bench(up, "openai-responses")
        for method, path, body in BESIDE:
            assert await backend.it.send(method, path, body, {"openai-beta": "x"}) == said
            heard = up.requests[-1]
            assert (heard.method, heard.target, heard.body) == (method, path, body or b"")
            assert (heard.headers["openai-beta"], heard.headers["authorization"]) == ("x", f"Bearer {KEY}")
            assert body is None or heard.headers["content-length"] == str(len(body))
    assert up.connections == 1, "a bodyless request lets the connection live on"
    assert backend.it.busy == 0


@pytest.mark.parametrize(("method", "path", "body"), BESIDE)
async def test_what_goes_wrong_beside_the_chat(bench: BenchOf, method: str, path: str, body: bytes | None) -> None:
    scripts: dict[str, Script] = {
        "not_found": [http(b'{"error": {"message": "gone"}}', "404 Not Found")],
        "upstream_auth": [http(b"{}", "401 No")],
        "upstream_cut": [http(b"{}", length=99), "close"],
        "upstream_unreachable": ["close"],
        "upstream_timeout": ["hold"],
        "upstream_garbage": [http(b"x" * (FRAME_LIMIT + 1))],
    }
    for kind_, script in scripts.items():
        async with upstream(script) as up:
            backend = bench(up, "openai-responses", read=0.1)
            with pytest.raises(UpstreamError) as fault:
                await backend.it.send(method, path, body, {})
        assert fault.value.failure.kind == kind_
        assert backend.it.busy == 0


# ---- models in paths -------------------------------------------------------------------------------------------------

CLIMBERS: dict[str, str] = {
    "../../admin": "..%2F..%2Fadmin",
    "..": "..",
    "a/b:free": "a%2Fb%3Afree",
    "50%": "50%25",
    "%2e%2e%2f": "%252e%252e%252f",
    "x?key=y#z": "x%3Fkey%3Dy%23z",
    "mödel 模": "m%C3%B6del%20%E6%A8%A1",
    "a\r\nx-evil: 1": "a%0D%0Ax-evil%3A%201",
    "\\..\\": "%5C..%5C",
}


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_no_model_climbs_out_of_its_path(bench: BenchOf, protocol: str, streams: bool) -> None:
    async with upstream(chunked(stream(protocol), kind(protocol)) if streams else [http(dumps(reply(protocol)))]) as up:
        it = bench(f"{up.url}/base", protocol)
        for model, quoted in CLIMBERS.items():
            if streams:
                assert (await it.stream(model=model))[1] is None
            else:
                assert await it.unary(model=model) == TEXT
            path = UPSTREAM_PATHS[protocol].replace("{model}", quoted)
            if streams and protocol == "gemini":
                path = path.replace("generateContent", "streamGenerateContent") + "?alt=sse"
            assert up.requests[-1].target == "/base" + path
            assert "x-evil" not in up.requests[-1].headers


# ---- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", NAMES)
async def test_one_connection_for_many_requests(bench: BenchOf, protocol: str) -> None:
    """Unary and streams in turn, the ends of a stream included: what follows `[DONE]` must be read too."""
    many = 10
    scripts = [[http(dumps(reply(protocol)))], chunked(stream(protocol), kind(protocol))] * (many // 2)
    async with upstream(*scripts) as up:
        it = bench(up, protocol)
        for n in range(many):
            if n % 2:
                assert (await it.stream())[1] is None
            else:
                assert await it.unary() == TEXT
    assert up.connections == 1
    assert len(up.requests) == many


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
async def test_what_follows_the_end_in_its_own_write_is_read(bench: BenchOf, relayed: bool) -> None:
    script = [head(), *(chunk(frame) for frame in CHAT), 0.01, LAST]
    async with upstream(script) as up:
        it = bench(up)
        for _ in range(3):
            assert (await it.stream(relayed=relayed))[1] is None
    assert up.connections == 1


@pytest.mark.parametrize(
    "last", [["hold"], [*[0.02, chunk(b": comment\n\n")] * 50, "hold"]], ids=["silence", "comments"]
)
async def test_a_host_that_does_not_end_after_the_end_loses_its_connection(bench: BenchOf, last: list[Step]) -> None:
    async with upstream([head(), *(chunk(frame) for frame in CHAT), *last]) as up:
        it = bench(up, linger=0.05)
        for _ in range(2):
            async with asyncio.timeout(2):  # far above the 50 ms of lingering, far below fifty comments
                assert (await it.stream())[1] is None
    assert up.connections == 2


async def test_an_error_leaves_the_connection_usable(bench: BenchOf) -> None:
    async with upstream([http(b'{"error":{"message":"no"}}', "400 Bad")], [http(dumps(reply("openai-chat")))]) as up:
        it = bench(up)
        assert isinstance(await it.unary(), Failure)
        assert await it.unary() == TEXT
    assert up.connections == 1


async def test_an_idle_connection_that_upstream_closed_is_not_used(bench: BenchOf) -> None:
    async with upstream([http(dumps(reply("openai-chat"))), "close"]) as up:
        it = bench(up)
        for _ in range(3):
            assert await it.unary() == TEXT
            await asyncio.sleep(0.02)  # the peer's goodbye arrives
    assert up.connections == 3


async def test_connection_close_is_heeded(bench: BenchOf) -> None:
    async with upstream([http(dumps(reply("openai-chat")), connection="close"), "close"]) as up:
        it = bench(up)
        assert await it.unary() == TEXT
        assert await it.unary() == TEXT
    assert up.connections == 2


async def test_a_second_answer_that_nobody_asked_for_poisons_nothing(bench: BenchOf) -> None:
    good, evil = http(dumps(reply("openai-chat"))), http(dumps(reply("openai-chat", text="evil")))
    async with upstream([good + evil], [good], [good]) as up:
        it = bench(up)
        assert [await it.unary() for _ in range(3)] == [TEXT] * 3


async def test_a_broken_answer_gives_no_connection_back(bench: BenchOf) -> None:
    async with upstream([http(b"{", length=9), "hold"], [http(dumps(reply("openai-chat")))]) as up:
        it = bench(up, read=0.3)
        assert isinstance(await it.unary(), Failure)
        assert await it.unary() == TEXT
    assert up.connections == 2
    assert up.left.is_set()


async def test_many_at_once(bench: BenchOf) -> None:
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        it = bench(up, read=5)
        answers = await asyncio.gather(*(it.unary(b'{"n":%d}' % n) for n in range(200)))
    assert answers == [TEXT] * 200
    assert {heard.body for heard in up.requests} == {b'{"n":%d}' % n for n in range(200)}


@pytest.mark.parametrize("script", [["hold"], [head(), "hold"], [*CUT, "hold"]], ids=["head", "frame", "midway"])
async def test_cancelling_leaves_the_upstream(bench: BenchOf, script: Script) -> None:
    async with upstream(script) as up:
        it = bench(up, read=60)
        task = asyncio.ensure_future(it.stream())
        await up.heard.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1):
            await up.left.wait()


async def test_a_slow_reader_holds_the_upstream_back(bench: BenchOf) -> None:
    """Memory is bounded by what waits unread, not by what the upstream could send."""
    frame = data({"choices": [{"index": 0, "delta": {"content": "x" * 16_000}}]})
    written = 0
    stop = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.transport.set_write_buffer_limits(high=65536)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head())
            while not stop.is_set() and written < 256 * 2**20:
                writer.write(chunk(frame))
                written += len(frame)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        it = bench(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", read=0.1)
        pieces = it.it.stream(it.sent(), b"{}", {}, _new_id, relayed=True)
        await anext(pieces)
        await asyncio.sleep(0.4)  # longer than the read timeout: our own slowness is not the upstream's silence
        so_far = written
        faults = []
        for _ in range(50):  # more than what had been waiting
            faults += [event for event in (await anext(pieces)).events if isinstance(event, Failure)]
        stop.set()
        await pieces.aclose()
    assert faults == []
    assert so_far < 32 * 2**20


async def test_the_client_is_made_at_first_use_and_closed_once(transport: str) -> None:
    made = 0

    def connect() -> Any:
        nonlocal made
        made += 1
        return TRANSPORTS[transport](Timeouts(1, 1))()

    backend = BackendConfig(name="b", protocol="ollama", base_url="http://127.0.0.1:1")
    it = HttpBackend(backend, PROTOCOLS["ollama"], connect, frame_limit=FRAME_LIMIT, linger=0.05)
    await it.close()
    assert made == 0
    async with upstream([http(dumps(reply("ollama")))]) as up:
        it = HttpBackend(
            msgspec.structs.replace(backend, base_url=up.url),
            PROTOCOLS["ollama"],
            connect,
            frame_limit=FRAME_LIMIT,
            linger=0.05,
        )
        sent = UpstreamRequest({}, (), it.target("m"))
        for _ in range(2):
            await it.reply(sent, b"{}", {}, _new_id)
        await it.close()
        await it.close()
    assert made == 1


async def test_no_authorization_where_there_is_no_key(bench: BenchOf) -> None:
    async with upstream([http(dumps(reply("ollama")))]) as up:
        it = bench(up, "ollama")
        it.it = HttpBackend(
            msgspec.structs.replace(it.it.config, api_key=None),
            PROTOCOLS["ollama"],
            it.it._shared._connect,
            frame_limit=FRAME_LIMIT,
            linger=0.05,
        )
        assert await it.unary() == TEXT
        await it.it.close()
    assert "authorization" not in up.requests[0].headers


def test_the_samples_end_as_their_protocol_does() -> None:
    """The streams of this file's tables are whole ones: their own decoders say so."""
    for protocol in NAMES:
        it = PROTOCOLS[protocol].stream_decoder(
            UpstreamRequest({}, (), Bench("http://x", "httptools", protocol, 1, 1, 1).it.target("m")), _new_id
        )
        framing = FRAMINGS[PROTOCOLS[protocol].framing](FRAME_LIMIT)
        events = [event for frame in framing.parse(framing.cut(b"".join(stream(protocol)))) for event in it.feed(frame)]
        assert isinstance((events + it.close())[-1], ReplyEnd)


# ---- connections of the pool -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_dead_connection_of_the_pool_costs_nothing(bench: BenchOf, streams: bool, end: str) -> None:
    """The server ends the idle connection as the next request comes: it is sent once more, on a new one."""
    answer = chunked(stream("openai-chat")) if streams else [http(dumps(reply("openai-chat")))]
    async with upstream(answer, [end], answer) as up:
        it = bench(up)
        for _ in range(2):
            assert (await it.stream())[:2] == (TEXT, None) if streams else await it.unary() == TEXT
    assert [heard.connection for heard in up.requests] == [1, 1, 2]


async def test_it_is_sent_once_more_and_not_twice(bench: BenchOf) -> None:
    async with upstream([http(dumps(reply("openai-chat")))], ["reset"]) as up:
        it = bench(up)
        await it.unary()
        fault = await it.unary()
    assert isinstance(fault, Failure)
    assert fault.kind == "upstream_unreachable"
    assert len(up.requests) == 3


async def test_a_request_that_was_worked_on_is_not_sent_again(bench: BenchOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of the pool breaks too late for one that the server had closed before."""
    for transport in (httptools_transport, aiohttp_transport):
        monkeypatch.setattr(transport, "STALE_S", 0.02)
    async with upstream([http(dumps(reply("openai-chat")))], [0.1, "reset"]) as up:
        it = bench(up)
        await it.unary()
        assert isinstance(await it.unary(), Failure)
    assert len(up.requests) == 2


async def test_an_answer_that_began_is_not_asked_for_again(bench: BenchOf) -> None:
    scripts: list[Script] = [[http(dumps(reply("openai-chat")))], [b"HTTP/1.1 200 OK\r\ncontent-", 0.02, "close"]]
    async with upstream(*scripts) as up:
        it = bench(up)
        await it.unary()
        assert isinstance(await it.unary(), Failure)
    assert len(up.requests) == 2


async def test_a_new_connection_that_breaks_is_not_used_again(bench: BenchOf) -> None:
    async with upstream(["reset"], [http(dumps(reply("openai-chat")))]) as up:
        assert isinstance(await bench(up).unary(), Failure)
    assert len(up.requests) == 1


# ---- trouble of our own ----------------------------------------------------------------------------------------------


async def test_no_descriptor_is_left(bench: BenchOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        it = bench(up)
        with monkeypatch.context() as patch:
            patch.setattr(name_resolution, "open_descriptor", refuse)
            patch.setattr(aiohttp_transport, "open_descriptor", refuse)
            with pytest.raises(UpstreamError) as raised:
                await it.it.reply(it.sent(), b"{}", {}, _new_id)
        assert (raised.value.failure.kind, raised.value.failure.status) == ("out_of_resources", 503)
        assert "EMFILE" in raised.value.failure.message
        assert not raised.value.was_sent
        assert await it.unary() == TEXT


@pytest.mark.parametrize("host", ["a..b", "xn--zzzzzz"])
async def test_a_host_that_idna_refuses(bench: BenchOf, host: str) -> None:
    fault = await bench(f"http://{host}:1/v1").unary()
    assert isinstance(fault, Failure)
    assert (fault.kind, fault.status) == ("upstream_dns", 502)


async def test_all_addresses_of_a_name_are_tried(bench: BenchOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (at, 0)) for at in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(name_resolution, "look_up", look_up)
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        with black_hole("127.0.0.2", up.port):
            assert await bench(f"http://two.test:{up.port}").unary() == TEXT


async def test_a_connection_that_never_comes_up(transport: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = TRANSPORTS[transport](Timeouts(0.05, 5))()
    with black_hole("127.0.0.1", port), pytest.raises(TimedOut) as raised:
        await pool.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert not raised.value.was_sent
    await pool.close()


async def test_a_look_up_that_hangs_is_a_timeout(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(name_resolution, "look_up", lambda host: gate.wait(10) and [])
    pool = TRANSPORTS[transport](Timeouts(0.05, 5))()
    with pytest.raises(TimedOut) as raised:
        await pool.post("http://slow.test/", {}, b"{}")
    assert not raised.value.was_sent
    gate.set()
    await pool.close()


# ---- keys and waits --------------------------------------------------------------------------------------------------


def test_each_key_is_tried_once(bench: BenchOf) -> None:
    it = bench("http://127.0.0.1:1", spare_keys=("second-key-0", "third-key-00")).it
    refused: set[int] = set()
    tried = []
    while True:
        tried.append(it.key)
        refused.add(it.key)
        if not it.next_key(refused):
            break
    assert (tried, it.key) == ([0, 1, 2], 0)
    it._shared.key = 1  # another request switched meanwhile
    assert it.next_key({0})
    assert it.key == 1
    assert it.next_key({1})
    assert it.key == 2


@pytest.mark.parametrize(("told", "kept"), [("1e9", 3600), ("3601", 3600), ("3600", 3600), ("7", 7)])
async def test_a_huge_wait_is_capped(bench: BenchOf, told: str, kept: float) -> None:
    async with upstream([http(b"{}", "429 Slow", retry_after=told)]) as up:
        fault = await bench(up).unary()
    assert isinstance(fault, Failure)
    assert fault.retry_after == kept


async def test_a_quota_that_ends_at_a_known_time(bench: BenchOf) -> None:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=30)
    text = f"You have reached your specified API usage limits. You will regain access on {at:%Y-%m-%d at %H:%M} UTC."
    body = dumps({"type": "error", "error": {"type": "invalid_request_error", "message": text}})
    async with upstream([http(body, "400 Bad")]) as up:
        fault = await bench(up, "anthropic").unary()
    assert isinstance(fault, Failure)
    assert (fault.kind, fault.status) == ("upstream_quota", 503)
    assert fault.retry_after is not None
    assert 28 * 60 <= fault.retry_after <= 30 * 60


# ---- what is no part of an answer ------------------------------------------------------------------------------------

NOISE: dict[str, dict[str, bytes]] = {
    "openai-chat": {
        "unknown": b'data: {"object":"ping"}\n\n',
        "null": b"data: null\n\n",
        "number": b"data: 7\n\n",
        "list": b'data: [{"ping":1}]\n\n',
    },
    "openai-responses": {"null": b"event: x\ndata: null\n\n", "text": b'event: x\ndata: "queued"\n\n'},
    "anthropic": {
        "null": b"data: null\n\n",
        "true": b"data: true\n\n",
        "list": b"data: []\n\n",
    },
    "gemini": {
        "unknown": b'data: {"ping":1}\r\n\r\n',
        "null": b"data: null\r\n\r\n",
        "list": b"data: []\r\n\r\n",
    },
    "ollama": {"unknown": b'{"status":"pulling"}\n', "null": b"null\n", "blank": b"\n", "text": b'"queued"\n'},
}


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize("place", [0, 3, -2], ids=["first", "within", "before the end"])
@pytest.mark.parametrize(("protocol", "name"), [(protocol, name) for protocol in NAMES for name in NOISE[protocol]])
async def test_what_is_no_part_of_the_answer_is_skipped(
    bench: BenchOf, protocol: str, name: str, place: int, relayed: bool
) -> None:
    frames = stream(protocol)
    at = place % len(frames)
    noisy = [*frames[:at], NOISE[protocol][name], *frames[at:]]
    for pieces in ([b"".join(noisy)], noisy):
        async with upstream(chunked(pieces, kind(protocol))) as up:
            text, fault, raw = await bench(up, protocol).stream(relayed=relayed)
        assert (text if not relayed else text[:5], fault) == (TEXT if not relayed else text[:5], None)
        assert not relayed or NOISE[protocol][name].strip() not in raw or name == "blank"
        assert not relayed or ENDS[protocol].replace(b" ", b"") in raw.replace(b" ", b"")


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_a_byte_order_mark_costs_no_event(bench: BenchOf, protocol: str, relayed: bool) -> None:
    """The official SDKs drop the first event behind one in silence."""
    whole = b"".join(stream(protocol))
    for pieces in ([b"\xef\xbb\xbf" + whole], [b"\xef", b"\xbb\xbf", whole]):
        async with upstream(chunked(pieces, kind(protocol))) as up:
            _, fault, raw = await bench(up, protocol).stream(relayed=relayed)
        assert (fault, raw) == (None, whole)
    async with upstream([http(b"\xef\xbb\xbf" + dumps(reply(protocol)))]) as up:
        assert await bench(up, protocol).unary() == TEXT


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_bytes_that_are_no_utf8_become_replacement_characters(
    bench: BenchOf, protocol: str, relayed: bool
) -> None:
    frames = [frame.replace(b"there", b"\xffthere\xf0\x9f") for frame in stream(protocol)]
    async with upstream(chunked(frames, kind(protocol))) as up:
        text, fault, raw = await bench(up, protocol).stream(relayed=relayed)
    assert fault is None
    assert relayed or "\ufffdthere\ufffd" in text
    assert "\ufffdthere\ufffd" in raw.decode()
    async with upstream([http(dumps(reply(protocol)).replace(b"there", b"\xffthere"))]) as up:
        assert "\ufffdthere" in str(await bench(up, protocol).unary())


BEHIND = {
    "openai-chat": b'data: {"choices":[{"index":0,"delta":{"content":"more"}}]}\n\n',
    "openai-responses": b'event: x\ndata: {"type":"response.output_text.delta","delta":"more"}\n\n',
    "anthropic": b'event: x\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"more"}}\n\n',
    "gemini": b"data: [DONE]\r\n\r\n",
    "ollama": b'{"message":{"content":"more"},"done":false}\n',
}


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["at once", "later"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_frames_behind_the_end_are_dropped(bench: BenchOf, protocol: str, pause: float) -> None:
    whole = b"".join(stream(protocol))
    pieces = [head(kind(protocol)), chunk(whole + (b"" if pause else BEHIND[protocol]))]
    pieces += [pause, chunk(BEHIND[protocol])] if pause else []
    async with upstream([*pieces, LAST]) as up:
        _, fault, raw = await bench(up, protocol).stream(relayed=True)
    assert (fault, raw) == (None, whole)


@pytest.mark.parametrize("relayed", [False, True], ids=["converted", "relayed"])
@pytest.mark.parametrize("protocol", NAMES)
async def test_an_answer_that_repeats_our_key(bench: BenchOf, protocol: str, relayed: bool) -> None:
    frames = [frame.replace(b"there", KEY.encode()) for frame in stream(protocol)]
    async with upstream(chunked(frames, kind(protocol))) as up:
        text, fault, raw = await bench(up, protocol).stream(relayed=relayed)
    assert fault is None
    assert KEY not in text + raw.decode()
    async with upstream([http(dumps(reply(protocol, text=f"It is {KEY}.")))]) as up:
        assert await bench(up, protocol).unary() == "It is ***."
