"""The Responses API over a WebSocket: several turns on one connection, its limits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import aiohttp
import openai
import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.openai_responses.socket_session import SocketSession

from ..proxy_fixture import KEY, Stage, config, one, stage
from ..sample_messages import TEXT, dumps, error_text, said, stream, stream_kind
from ..scripted_upstream import LAST, Upstream, chunk, chunked, head, http, upstream

JSON: TypeAlias = dict[str, Any]
Socket: TypeAlias = aiohttp.ClientWebSocketResponse

NOWHERE = "http://127.0.0.1:1"
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}

backends = pytest.mark.parametrize("backend", PROTOCOLS)


@contextlib.asynccontextmanager
async def connected(it: Stage, path: str = "/v1/responses") -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{it.url}{path}") as socket:
        yield socket


@contextlib.asynccontextmanager
async def talking(backend: str, *scripts: Any, **settings: Any) -> AsyncIterator[tuple[Socket, Upstream, Stage]]:
    """A connection to a proxy before an upstream that streams TEXT, unless it is told otherwise."""
    answers = scripts or (chunked(stream(backend), stream_kind(backend)),)
    async with upstream(*answers) as up, stage(config(one(backend, up.url), **settings)) as it, connected(it) as socket:
        yield socket, up, it


async def create(socket: Socket, **fields: Any) -> None:
    await socket.send_str(json.dumps({"type": "response.create", "model": "m", "store": False, **fields}))


async def events(socket: Socket) -> list[JSON]:
    """The events of one turn, up to its end."""
    found = []
    while not found or found[-1]["type"] not in ENDS:
        message = await socket.receive(5)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, found)
        found.append(json.loads(message.data))
    return found


async def turn(socket: Socket, **fields: Any) -> list[JSON]:
    await create(socket, **fields)
    return await events(socket)


def text_in(found: list[JSON]) -> str:
    return "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")


def error_in(found: list[JSON], status: int, code: str) -> str:
    """The message of a turn that is one error of this status and code."""
    (event,) = found
    assert (event["type"], event["status"], event["error"]["code"]) == ("error", status, code), event
    assert KEY not in str(event)
    return str(event["error"]["message"])


def texts_in(body: bytes) -> list[str]:
    """Every text of a conversation as any backend got it, in order."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("text", "content", "input") and isinstance(inner, str):
                    found.append(inner)
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk({key: value for key, value in json.loads(body).items() if key in ("messages", "input", "contents")})
    return found


# ---- turns -----------------------------------------------------------------------------------------------------------


@backends
async def test_a_turn_has_the_events_of_a_post(backend: str) -> None:
    script = chunked(stream(backend), stream_kind(backend))
    async with talking(backend, script, script) as (socket, up, it):
        found = await turn(socket, input="Say hello.")
        body = {"model": "m", "store": False, "input": "Say hello.", "stream": True}
        posted = await it.ask("/v1/responses", body)
    assert text_in(found) == TEXT == said("openai-responses", posted.body)
    data = [json.loads(line[6:]) for line in posted.body.decode().splitlines() if line.startswith("data: {")]
    assert [event["type"] for event in found] == [event["type"] for event in data]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert json.loads(up.requests[0].body) == json.loads(up.requests[1].body)


@backends
async def test_turns_go_on_with_each_other(backend: str) -> None:
    async with talking(backend) as (socket, up, _):
        warm = await turn(socket, input=[], generate=False, stream=True)
        assert [event["type"] for event in warm] == ["response.created", "response.in_progress", "response.completed"]
        assert warm[-1]["response"]["output"] == []
        assert up.requests == []
        first = await turn(socket, input="One.", previous_response_id=warm[-1]["response"]["id"], stream=True)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Two."}]}
        second = await turn(socket, input=[item], previous_response_id=first[-1]["response"]["id"])
        third = await turn(socket, input="Three.", previous_response_id=second[-1]["response"]["id"])
    assert [text_in(found) for found in (first, second, third)] == [TEXT] * 3
    echoed = third[-1]["response"].get("previous_response_id", "left out by the backend")
    assert echoed in (second[-1]["response"]["id"], "left out by the backend")
    assert (echoed == second[-1]["response"]["id"]) == (backend != "openai-responses")
    assert [texts_in(request.body) for request in up.requests] == [
        ["One."],
        ["One.", TEXT, "Two."],
        ["One.", TEXT, "Two.", TEXT, "Three."],
    ]
    assert all(
        b"previous_response_id" not in request.body and b"generate" not in request.body for request in up.requests
    )


async def test_a_warm_up_with_input_is_gone_on_with() -> None:
    async with talking("anthropic") as (socket, up, _):
        warm = await turn(socket, input="Before.", generate=False)
        await turn(socket, input="After.", previous_response_id=warm[-1]["response"]["id"])
    assert texts_in(up.requests[0].body) == ["Before.", "After."]


async def test_calls_and_their_results_go_on() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    chunks: list[JSON] = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]
    calls = chunked([*(b"data: " + dumps(each) + b"\n\n" for each in chunks), b"data: [DONE]\n\n"])
    text = chunked(stream("openai-chat"))
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]
    async with talking("openai-chat", calls, text) as (socket, up, _):
        first = await turn(socket, input="Look.", tools=tools)
        result = {"type": "function_call_output", "call_id": "call_1", "output": "seen"}
        second = await turn(socket, input=[result], previous_response_id=first[-1]["response"]["id"], tools=tools)
    assert text_in(second) == TEXT
    roles = [message["role"] for message in json.loads(up.requests[1].body)["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_the_official_sdk_talks_over_it() -> None:
    script = chunked(stream("anthropic"))
    async with upstream(script) as up, stage(config(one("anthropic", up.url))) as it:
        client = openai.AsyncOpenAI(base_url=f"{it.url}/v1", api_key="client-key")
        async with client, client.responses.connect() as connection:
            previous = None
            for text in ("One.", "Two."):
                goes_on: Any = {} if previous is None else {"previous_response_id": previous}
                await connection.response.create(model="m", input=text, **goes_on)
                async for event in connection:
                    if event.type == "response.completed":
                        previous = event.response.id
                        assert event.response.output_text == TEXT
                        break
    assert texts_in(up.requests[1].body) == ["One.", TEXT, "Two."]


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/responses", "/openai/v1/responses", "/openai/responses?api-version=x"]
)
async def test_every_address_of_responses_has_it(path: str) -> None:
    async with (
        upstream(chunked(stream("anthropic"))) as up,
        stage(config(one("anthropic", up.url))) as it,
        connected(it, path) as socket,
    ):
        assert text_in(await turn(socket, input="Hi")) == TEXT


async def test_turns_that_are_sent_at_once_are_answered_in_order() -> None:
    async with talking("openai-chat") as (socket, up, _):
        for text in ("One.", "Two.", "Three."):
            await create(socket, input=text)
        found = [text_in(await events(socket)) for _ in range(3)]
    assert found == [TEXT] * 3
    assert [texts_in(request.body) for request in up.requests] == [["One."], ["Two."], ["Three."]]


async def test_each_turn_has_its_record() -> None:
    async with talking("openai-chat") as (socket, _, it):
        await turn(socket, input="Hi")
        await turn(socket, input="Hi")
        metrics = await it.metrics()
    assert 'crosswire_requests_total{backend="b",frontend="openai-responses",outcome="answered"} 2.0' in metrics


# ---- what is wrong with a message, or with an answer -----------------------------------------------------------------

WRONG: list[tuple[bytes, str]] = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"[]", "JSON"),
    (b"\xff\xfe", "JSON"),
    (b"{}", "type"),
    (b'{"type": "response.cancel"}', "type"),
    (b'{"type": 5}', "type"),
    (b'{"type": "response.create"}', "model"),
    (b'{"type": "response.create", "model": "m"}', "input"),
    (b'{"type": "response.create", "model": "m", "input": []}', "input"),
    (b'{"type": "response.create", "model": "m", "input": 5}', "input"),
    (b'{"type": "response.create", "model": "m", "input": [5]}', "input[0]"),
    (b'{"type": "response.create", "model": "m", "input": "x", "background": true}', "background"),
    (b'{"type": "response.create", "model": "m", "input": "x", "stream_id": "a"}', "stream_id"),
    (b'{"type": "response.create", "model": "m", "input": "x", "previous_response_id": 5}', "previous_response_id"),
    (b'{"type": "response.create", "model": "m", "input": ' + b"[" * 500 + b"]" * 500 + b"}", "deep"),
]


@pytest.mark.parametrize(("message", "word"), WRONG)
async def test_a_wrong_message_is_an_error_and_the_connection_stays(message: bytes, word: str) -> None:
    async with talking("openai-chat") as (socket, up, _):
        await socket.send_frame(message, aiohttp.WSMsgType.TEXT)
        assert word in error_in(await events(socket), 400, "bad_request")
        assert up.requests == []
        assert text_in(await turn(socket, input="Hi")) == TEXT


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses"])
async def test_an_unknown_answer_cannot_be_gone_on_with(backend: str) -> None:
    """Codex connects anew at this code and sends everything, whoever says that the answer is unknown."""
    missing = {"message": "Previous response with id 'resp_x' not found.", "type": "invalid_request_error"}
    missing |= {"param": "previous_response_id", "code": "previous_response_not_found"}
    scripts = ([http(dumps({"error": missing}), "400 Bad Request")], chunked(stream(backend), stream_kind(backend)))
    async with talking(backend, *scripts[backend == "openai-chat" :]) as (socket, up, _):
        found = await turn(socket, input="Hi", previous_response_id="resp_x")
        assert "resp_x" in error_in(found, 400, "previous_response_not_found")
        assert text_in(await turn(socket, input="Hi")) == TEXT
    assert len(up.requests) == (1 if backend == "openai-chat" else 2)


FAILURES: list[tuple[str, int, str]] = [("401 No", 502, "upstream_auth"), ("500 No", 502, "upstream_error")]


@pytest.mark.parametrize(("line", "status", "code"), FAILURES)
async def test_a_failure_of_the_backend_is_an_error(line: str, status: int, code: str) -> None:
    async with talking("openai-chat", [http(b"{}", line)], chunked(stream("openai-chat"))) as (socket, _, _):
        error_in(await turn(socket, input="Hi"), status, code)
        assert text_in(await turn(socket, input="Hi")) == TEXT


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses"])
async def test_an_answer_that_is_cut_off_fails_and_the_connection_stays(backend: str) -> None:
    cut = [head(), *(chunk(frame) for frame in stream(backend)[: 5 if backend == "openai-responses" else 3]), LAST]
    async with talking(backend, cut, chunked(stream(backend))) as (socket, _, _):
        found = await turn(socket, input="Hi")
        assert found[-1]["type"] == "response.failed"
        again = await turn(socket, input="Hi", previous_response_id=found[-1]["response"]["id"])
        assert again[-1]["type"] == "error" or text_in(again) == TEXT


async def test_an_unknown_model_is_an_error() -> None:
    backend = {"b": {"protocol": "openai-chat", "base_url": NOWHERE, "models": ["a"]}}
    async with stage(config(backend)) as it, connected(it) as socket:
        error_in(await turn(socket, input="Hi"), 404, "model_not_found")


# ---- bounds ----------------------------------------------------------------------------------------------------------


async def close_code(socket: Socket) -> int | None:
    """The code with which the proxy ends the connection, after whatever it still says."""
    while (await socket.receive(5)).type is aiohttp.WSMsgType.TEXT:
        pass
    return socket.close_code


async def test_a_message_has_the_size_of_a_body() -> None:
    async with talking("openai-chat", body_limit="100 KiB") as (socket, _, _):
        await create(socket, input="x" * 200_000)
        assert await close_code(socket) == 1009


async def test_a_conversation_has_the_size_of_a_body() -> None:
    async with talking("openai-chat", body_limit="100 KiB") as (socket, up, _):
        first = await turn(socket, input="x" * 60_000)
        found = await turn(socket, input="y" * 60_000, previous_response_id=first[-1]["response"]["id"])
        assert "body_limit" in error_in(found, 413, "request_too_large")
    assert len(up.requests) == 1


async def test_messages_of_many_megabytes_are_no_framing() -> None:
    async with talking("openai-chat") as (socket, _, _):
        for _ in range(3):
            assert text_in(await turn(socket, input="x" * 2_000_000)) == TEXT


async def test_binary_messages_are_refused() -> None:
    async with talking("openai-chat") as (socket, _, _):
        await socket.send_bytes(b"{}")
        assert await close_code(socket) == 1003


async def test_an_idle_connection_ends() -> None:
    async with talking("openai-chat", limits={"socket_idle_s": 0.2}) as (socket, _, it):
        await turn(socket, input="Hi")
        assert await close_code(socket) == 1001
        await asyncio.sleep(0.05)
        assert it.gateway.sockets == 0


async def test_an_old_connection_ends_after_its_answer() -> None:
    release = asyncio.Event()
    frames = stream("openai-chat")
    slow = [head(), *(chunk(frame) for frame in frames[:3]), release, *(chunk(frame) for frame in frames[3:]), LAST]
    async with talking("openai-chat", slow, limits={"socket_s": 0.3}) as (socket, _, _):
        await create(socket, input="Hi")
        await asyncio.sleep(0.4)
        release.set()
        assert text_in(await events(socket)) == TEXT
        error_in(await events(socket), 400, "websocket_connection_limit_reached")
        assert await close_code(socket) == 1000


async def test_connections_have_a_number() -> None:
    async with talking("openai-chat", limits={"sockets": 1}) as (socket, _, it):
        answer = await it.get("/v1/responses", HANDSHAKE)
        assert answer.status == 503
        assert "limits.sockets" in error_text("openai-responses", 503, answer.body)
        assert answer.headers["retry-after"] == "1"
        assert text_in(await turn(socket, input="Hi")) == TEXT


def test_answers_are_kept_while_they_fit() -> None:
    session = SocketSession(400)

    def answered(id_: str, text: str) -> None:
        message = {"type": "response.create", "model": "m", "input": text}
        session.begin(dumps(message))
        session.messages(
            b"data: " + dumps({"type": "response.completed", "response": {"id": id_, "output": []}}) + b"\n\n"
        )

    for id_ in ("a", "b", "c"):
        answered(id_, "x" * 100)
    answered("d", "x" * 1000)
    known = [b"previous_response_id" not in session.begin(_going_on(id_)) for id_ in ("a", "b", "c", "d")]
    assert known == [False, False, False, True]


def test_a_conversation_may_fork() -> None:
    session = SocketSession(10_000)
    previous: JSON = {}
    for id_, text in (("a", "One."), ("b", "Two.")):
        session.begin(dumps({"type": "response.create", "model": "m", "input": text, **previous}))
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"To {id_}."}]}
        done = {"type": "response.output_item.done", "item": item}
        end = {"type": "response.completed", "response": {"id": id_, "output": []}}  # some hosts leave it empty
        session.messages(b"".join(b"data: " + dumps(each) + b"\n\n" for each in (done, end)))
        previous = {"previous_response_id": id_}
    assert texts_in(session.begin(_going_on("b"))) == ["One.", "To a.", "Two.", "To b.", "x"]
    assert texts_in(session.begin(_going_on("a"))) == ["One.", "To a.", "x"]


def _going_on(id_: str) -> bytes:
    return dumps({"type": "response.create", "model": "m", "input": "x", "previous_response_id": id_})


# ---- the upgrade -----------------------------------------------------------------------------------------------------


async def test_it_can_be_turned_off() -> None:
    """Codex asks for a WebSocket first, and falls back to a POST at 426."""
    async with stage(config(one("openai-chat", NOWHERE), websockets=False)) as it:
        answer = await it.get("/v1/responses", HANDSHAKE)
    assert answer.status == 426
    assert "POST" in error_text("openai-responses", 426, answer.body)


REFUSED: list[tuple[dict[str, str], int]] = [
    ({"sec-websocket-key": "-"}, 400),
    ({"sec-websocket-key": "short"}, 400),
    ({"sec-websocket-version": "12"}, 400),
    ({"origin": "https://evil.example"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"host": "evil.example"}, 421),
]


@pytest.mark.parametrize(("fields", "status"), REFUSED)
async def test_an_upgrade_that_may_not_be(fields: dict[str, str], status: int) -> None:
    async with stage(config(one("openai-chat", NOWHERE))) as it:
        answer = await it.get("/v1/responses", HANDSHAKE | fields)
    assert answer.status == status
    error_text("openai-responses", status, answer.body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_what_asks_for_no_upgrade_is_told_the_methods(method: str) -> None:
    async with stage(config(one("openai-chat", NOWHERE))) as it:
        answer = await it.ask("/v1/responses", None, method=method)
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


# ---- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_a_client_that_leaves_ends_its_request(how: str) -> None:
    held = [head(), *(chunk(frame) for frame in stream("openai-chat")[:3]), "hold"]
    async with talking("openai-chat", held) as (socket, up, it):
        await create(socket, input="Hi")
        await socket.receive(5)
        if how == "close":
            await asyncio.wait_for(socket.close(), 5)
        else:
            assert socket._response.connection is not None
            assert socket._response.connection.transport is not None
            socket._response.connection.transport.abort()
        await asyncio.wait_for(up.left.wait(), 5)
        await asyncio.wait_for(it.gateway.idle.wait(), 5)
        await asyncio.sleep(0.05)
        assert (it.gateway.metrics.in_flight, it.gateway.streams, it.gateway.sockets) == (0, 0, 0)


async def test_an_idle_connection_ends_when_the_proxy_drains() -> None:
    async with talking("openai-chat") as (socket, _, it):
        await turn(socket, input="Hi")
        it.gateway.draining = True
        assert await close_code(socket) == 1001
        assert (await it.get("/v1/responses", HANDSHAKE)).status == 503


async def test_an_answer_is_finished_when_the_proxy_drains() -> None:
    release = asyncio.Event()
    frames = stream("openai-chat")
    slow = [head(), *(chunk(frame) for frame in frames[:3]), release, *(chunk(frame) for frame in frames[3:]), LAST]
    async with talking("openai-chat", slow) as (socket, up, it):
        await create(socket, input="Hi")
        await up.heard.wait()
        await socket.receive(5)
        it.gateway.draining = True
        release.set()
        assert text_in(await events(socket)) == TEXT
        assert await close_code(socket) == 1001


async def test_an_answer_is_cut_off_at_the_end_of_the_drain() -> None:
    held = [head(), *(chunk(frame) for frame in stream("openai-chat")[:3]), "hold"]
    async with talking("openai-chat", held) as (socket, up, it):
        await create(socket, input="Hi")
        await up.heard.wait()
        await socket.receive(5)
        it.gateway.draining = True
        it.gateway.cancel_all()
        assert await close_code(socket) == 1001


async def test_a_silent_answer_keeps_the_connection() -> None:
    """A ping of the stream is a ping of the connection, and no message."""
    release = asyncio.Event()
    frames = stream("openai-chat")
    slow = [head(), *(chunk(frame) for frame in frames[:1]), release, *(chunk(frame) for frame in frames[1:]), LAST]
    async with talking("openai-chat", slow, keepalive_s=0.05) as (socket, _, _):
        await create(socket, input="Hi")
        asyncio.get_running_loop().call_later(0.3, release.set)
        assert text_in(await events(socket)) == TEXT
