"""Counting tokens: asked of a backend that can, estimated and marked where none can, and an error where it must be."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from crosswire.proxy.ir import Audio, Block, Document, Image, Media, Request, Text, Tool, ToolCall, ToolResult, Turn
from crosswire.proxy.ir.token_estimate import BYTES_PER_TOKEN, IMAGE, TURN, estimate_request, estimate_text
from crosswire.proxy.server.app import gateway_of

from ..proxy_fixture import KEY, Answer, config, one, request, stage
from ..sample_messages import JSON, ask, dumps, error_text, upstream_error
from ..scripted_upstream import http, upstream

PATHS = {
    "anthropic": "/v1/messages/count_tokens",
    "openai-responses": "/v1/responses/input_tokens",
    "gemini": "/v1beta/models/m:countTokens",
}
"""Of the clients that count; the other two protocols have no such address."""

UPSTREAM_PATHS = {
    "anthropic": "/v1/messages/count_tokens",
    "openai-responses": "/responses/input_tokens",
    "gemini": "/v1beta/models/{model}:countTokens",
}

BODIES: dict[str, JSON] = {
    "anthropic": {"input_tokens": 42},
    "openai-responses": {"object": "response.input_tokens", "input_tokens": 42},
    "gemini": {"totalTokens": 42},
}
"""Each protocol's answer for a count of 42."""

BLIND = ("openai-chat", "ollama")

clients = pytest.mark.parametrize("client", PATHS)
counting = pytest.mark.parametrize(("client", "backend"), list(itertools.product(PATHS, UPSTREAM_PATHS)))
blind = pytest.mark.parametrize(("client", "backend"), list(itertools.product(PATHS, BLIND)))


def number(client: str, answer: Answer) -> int:
    """The count in an answer that is exactly of the client's shape."""
    body = json.loads(answer.body)
    key = "totalTokens" if client == "gemini" else "input_tokens"
    assert body == BODIES[client] | {key: body[key]}
    assert type(body[key]) is int
    return int(body[key])


# ---- asked of the backend --------------------------------------------------------------------------------------------


@counting
async def test_a_backend_that_counts_is_asked(client: str, backend: str) -> None:
    body = ask(client, text="How long is a harbour wall?")
    async with (
        upstream([http(dumps(BODIES[backend]))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask(PATHS[client], body)
        record = await it.record(answer)
        metrics = await it.metrics()
    assert (answer.status, number(client, answer)) == (200, 42)
    assert "x-crosswire-estimate" not in answer.headers
    about = {name: answer.headers[f"x-crosswire-{name}"] for name in ("backend", "model", "attempts")}
    assert about == {"backend": "b", "model": "up-1", "attempts": "1"}
    assert "model_mapping" in answer.headers["x-crosswire-route"]
    assert (record["what"], record["outcome"], record["model"]) == ("count", "answered", "m")
    assert f'crosswire_requests_total{{backend="b",frontend="{client}",outcome="answered"}} 1.0' in metrics
    (heard,) = up.requests
    assert heard.target == UPSTREAM_PATHS[backend].format(model="up-1")
    assert b"How long is a harbour wall?" in heard.body
    assert (b"up-1" in heard.body) or (client == backend == "gemini")  # where the address alone names it
    assert KEY in str(heard.headers)


@clients
async def test_an_equal_protocol_gets_the_clients_own_bytes(client: str) -> None:
    body = dumps(ask(client)).replace(b'"Say hello."', b'  "Say \\u0068ello."')
    async with upstream([http(dumps(BODIES[client]))]) as up, stage(config(one(client, up.url))) as it:
        await it.ask(PATHS[client], body)
    assert up.requests[0].body == body


SENT: list[tuple[str, set[str]]] = [
    ("anthropic", {"model", "messages", "system", "tools", "tool_choice"}),
    ("openai-responses", {"model", "input", "instructions", "tools", "tool_choice"}),
    ("gemini", {"generateContentRequest"}),
]


@pytest.mark.parametrize(("backend", "keys"), SENT)
async def test_only_what_counts_is_sent(backend: str, keys: set[str]) -> None:
    """Anthropic refuses max_tokens here, OpenAI store: "Unknown parameter: 'store'."."""
    client = "gemini" if backend != "gemini" else "anthropic"
    tools: dict[str, Any] = {
        "anthropic": {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "system": "Be brief."},
        "gemini": {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {"temperature": 0.5, "maxOutputTokens": 5, "stopSequences": ["x"]},
        },
    }
    async with upstream([http(dumps(BODIES[backend]))]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(PATHS[client], ask(client) | tools[client])
    assert number(client, answer) == 42
    assert set(json.loads(up.requests[0].body)) == keys


WRAPPED = {"generateContentRequest": {"model": "models/m", **ask("gemini")}}


@pytest.mark.parametrize("key", ["generateContentRequest", "generate_content_request"])
@pytest.mark.parametrize("backend", UPSTREAM_PATHS)
async def test_gemini_may_wrap_the_request(backend: str, key: str) -> None:
    body = {key: WRAPPED["generateContentRequest"]}
    async with (
        upstream([http(dumps(BODIES[backend]))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask(PATHS["gemini"], body)
    assert number("gemini", answer) == 42
    assert b"Say hello." in up.requests[0].body
    assert b"up-1" in up.requests[0].body
    assert b"models/m" not in up.requests[0].body


# ---- estimated -------------------------------------------------------------------------------------------------------


@blind
async def test_an_estimate_is_marked(client: str, backend: str) -> None:
    long = "A harbour wall is long. " * 40
    async with stage(config(one(backend, "http://127.0.0.1:1"))) as it:
        short, more = [await it.ask(PATHS[client], ask(client, text=text)) for text in ("Hi", long)]
        record = await it.record(short)
    for answer in (short, more):
        assert answer.status == 200
        assert answer.headers["x-crosswire-estimate"] == "1"
        assert answer.headers["x-crosswire-backend"] == "b"
        assert "x-crosswire-attempts" not in answer.headers
    assert number(client, more) - number(client, short) == estimate_text(long) - estimate_text("Hi")
    assert (record["what"], record["attempts"]) == ("count", [])


ABSENT = [404, 405, 500, 501]


@pytest.mark.parametrize("status", ABSENT)
@counting
async def test_a_host_without_the_endpoint_gives_an_estimate(client: str, backend: str, status: int) -> None:
    gone = http(upstream_error(backend, "no such thing", 404 if backend == "gemini" else status), f"{status} Gone")
    async with upstream([gone]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(PATHS[client], ask(client))
        record = await it.record(answer)
    assert (answer.status, answer.headers["x-crosswire-estimate"]) == (200, "1")
    assert number(client, answer) > 0
    assert record["attempts"][0]["outcome"] in ("not_found", "model_not_found", "upstream_error")


def request_of(*blocks: Block, tools: tuple[Tool, ...] = ()) -> Request:
    return Request(protocol="anthropic", model="m", turns=(Turn("user", blocks),), tools=tools)


ESTIMATES: dict[str, tuple[Request, int]] = {
    "nothing": (Request(protocol="anthropic", model="m", turns=()), 1),
    "a word": (request_of(Text("word")), TURN + 1),
    "a word and a letter": (request_of(Text("words")), TURN + 2),
    "bytes, not characters": (request_of(Text("漢字漢字")), TURN + 12 // BYTES_PER_TOKEN),
    "an image": (request_of(Image(Media(mime="image/png", data="AAAA"))), TURN + IMAGE),
    "an image by its URL": (request_of(Image(Media(url="http://h/i.png"))), TURN + IMAGE),
    "a short document": (request_of(Document(Media(mime="application/pdf", data="A" * 1000))), TURN + 2000),
    "a longer document": (request_of(Document(Media(mime="application/pdf", data="A" * 200_000))), TURN + 3 * 2000),
    "a document's text": (request_of(Document(Media(mime="text/plain", text="word" * 10))), TURN + 10),
    "ten seconds": (request_of(Audio(Media(mime="audio/mp3", data="A" * 213_400))), TURN + 10 * 32),
    "a call": (request_of(ToolCall("c", "weather", '{"city":"Oslo"}')), TURN + TURN + 2 + 4),
    "a result": (request_of(ToolResult("c", (Text("word"), Image(Media(url="u"))))), TURN + TURN + 1 + IMAGE),
    "a tool": (request_of(tools=(Tool("f", "word"),)), TURN + TURN + estimate_text('["f","word",null,null]')),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_rule_of_the_estimate(name: str) -> None:
    request, wanted = ESTIMATES[name]
    assert estimate_request(request) == wanted


# ---- refused ---------------------------------------------------------------------------------------------------------

BAD_BODIES: list[tuple[str, bytes]] = [
    ("anthropic", b"{"),
    ("anthropic", b"[]"),
    ("anthropic", b'{"model": "m"}'),
    ("anthropic", b'{"model": 5, "messages": []}'),
    ("anthropic", b'{"messages": [{"role": "user", "content": "x"}]}'),
    ("anthropic", b'{"model": "m", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ("openai-responses", b'{"input": "x"}'),
    ("openai-responses", b'{"model": null, "input": "x"}'),
    ("openai-responses", b'{"model": "m", "input": 5}'),
    ("gemini", b"{}"),
    ("gemini", b'{"contents": 5}'),
    ("gemini", b'{"generateContentRequest": 5}'),
    ("gemini", b'{"generateContentRequest": {}}'),
]


@pytest.mark.parametrize(("client", "body"), BAD_BODIES)
async def test_a_bad_body_is_the_clients_fault(client: str, body: bytes) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS[client], body)
    assert answer.status == 400
    error_text(client, 400, answer.body)


async def test_responses_may_count_instructions_alone() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS["openai-responses"], {"model": "m", "instructions": "word" * 10})
    assert number("openai-responses", answer) >= 10


FAULTS: list[tuple[int, int]] = [(400, 400), (401, 502), (403, 502), (422, 422), (429, 429), (503, 503)]
"""Errors of a backend that has the endpoint, and the status that the client gets."""


@pytest.mark.parametrize(("status", "told"), FAULTS)
@clients
async def test_a_backends_error_is_an_error(client: str, status: int, told: int) -> None:
    told = 529 if (client, told) == ("anthropic", 503) else told
    said = http(upstream_error("anthropic", "prompt is too odd", status), f"{status} No")
    async with upstream([said]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(PATHS[client], ask(client))
    assert answer.status == told
    assert KEY not in answer.body.decode()
    assert ("prompt is too odd" in error_text(client, told, answer.body)) == (status in (400, 422, 429, 503))


GARBAGE = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"input_tokens": "many"}',
    b'{"input_tokens": null}',
    b'{"input_tokens": 1.5}',
]


@pytest.mark.parametrize("body", GARBAGE)
async def test_garbage_is_no_count(body: bytes) -> None:
    async with upstream([http(body)]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(PATHS["gemini"], ask("gemini"))
    assert answer.status == 502
    error_text("gemini", 502, answer.body)


@clients
async def test_unreachable_is_an_error(client: str) -> None:
    async with stage(config(one("anthropic", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS[client], ask(client))
    assert answer.status == 502


async def test_a_model_that_nobody_serves() -> None:
    async with stage(config(one("anthropic", "http://127.0.0.1:1", models=["other"]))) as it:
        answer = await it.ask(PATHS["anthropic"], ask("anthropic"))
    assert answer.status == 404
    assert "'m'" in error_text("anthropic", 404, answer.body)


async def test_what_the_chat_would_refuse_is_refused_here() -> None:
    picture = {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}
    body = {"contents": [{"role": "user", "parts": [{"text": "Read."}, picture]}]}
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS["gemini"], body)
    assert answer.status == 400
    assert "documents" in error_text("gemini", 400, answer.body)


# ---- who is asked ----------------------------------------------------------------------------------------------------


async def test_the_next_backend_counts_where_the_first_is_down() -> None:
    busy = http(upstream_error("anthropic", "busy", 529), "529 Overloaded")
    counted = http(dumps(BODIES["gemini"]))
    async with upstream([busy]) as first, upstream([counted]) as second:
        backends = one("anthropic", first.url, priority=9) | {"c": one("gemini", second.url)["b"]}
        async with stage(config(backends, retry={"attempts": 2})) as it:
            answer = await it.ask(PATHS["anthropic"], ask("anthropic"))
            record = await it.record(answer)
    assert number("anthropic", answer) == 42
    assert (answer.headers["x-crosswire-backend"], answer.headers["x-crosswire-attempts"]) == ("c", "2")
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["overloaded", "answered"]


async def test_the_next_key_where_one_is_refused() -> None:
    refused = http(upstream_error("anthropic", "who?", 401), "401 No")
    async with (
        upstream([refused], [http(dumps(BODIES["anthropic"]))]) as up,
        stage(config(one("anthropic", up.url, api_key=["key-one", "key-two"]), retry={"attempts": 2})) as it,
    ):
        answer = await it.ask(PATHS["anthropic"], ask("anthropic"))
    assert number("anthropic", answer) == 42
    assert [heard.headers["x-api-key"] for heard in up.requests] == ["key-one", "key-two"]


async def test_a_pin_is_heeded() -> None:
    async with upstream([http(dumps(BODIES["gemini"]))]) as up:
        backends = one("ollama", "http://127.0.0.1:1", priority=9) | {"c": one("gemini", up.url)["b"]}
        async with stage(config(backends)) as it:
            answer = await it.ask(PATHS["anthropic"], ask("anthropic"), {"x-crosswire-backend": "c"})
    assert (number("anthropic", answer), answer.headers["x-crosswire-backend"]) == (42, "c")


async def test_strict_holds_for_a_count() -> None:
    body = ask("anthropic") | {"top_k": 4}
    async with stage(config(one("openai-chat", "http://127.0.0.1:1"))) as it:
        plain = await it.ask(PATHS["anthropic"], body)
        strict = await it.ask(PATHS["anthropic"], body, {"x-crosswire-strict": "1"})
    assert (plain.status, plain.headers["x-crosswire-loss"]) == (200, "top_k")
    assert strict.status == 400
    assert "top_k" in error_text("anthropic", 400, strict.body)


async def test_claude_codes_query_is_no_matter() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS["anthropic"] + "?beta=true", ask("anthropic"))
    assert answer.status == 200


# ---- beside the chat -------------------------------------------------------------------------------------------------


async def test_the_want_of_the_address_opens_no_breaker() -> None:
    gone = http(upstream_error("anthropic", "no such thing", 501), "501 Not Implemented")
    breaker = {"failures": 2, "window_s": 60, "open_s": 60}
    async with (
        upstream([gone]) as up,
        stage(config(one("anthropic", up.url), breaker=breaker)) as it,
    ):
        answers = [await it.ask(PATHS["anthropic"], ask("anthropic", text=f"number {n}")) for n in range(5)]
        metrics = await it.metrics()
    assert [answer.status for answer in answers] == [200] * 5
    assert len(up.requests) == 5
    assert 'crosswire_breaker_state{backend="b"} 0.0' in metrics


async def test_a_backends_failure_opens_it() -> None:
    busy = http(upstream_error("anthropic", "busy", 529), "529 Overloaded")
    breaker = {"failures": 2, "window_s": 60, "open_s": 60}
    async with (
        upstream([busy]) as up,
        stage(config(one("anthropic", up.url), breaker=breaker)) as it,
    ):
        answers = [await it.ask(PATHS["anthropic"], ask("anthropic", text=f"number {n}")) for n in range(4)]
        state = (await it.metrics()).count('crosswire_breaker_state{backend="b"} 2.0')
    assert [answer.status for answer in answers] == [529] * 4
    assert state == 1
    assert [b"its breaker is open" in answer.body for answer in answers] == [False, False, True, True]
    assert len(up.requests) == 4  # nobody else is there to be called


async def test_a_count_is_under_way_until_it_is_answered() -> None:
    gate = asyncio.Event()
    async with (
        upstream([gate, http(dumps(BODIES["anthropic"]))]) as up,
        stage(config(one("anthropic", up.url))) as it,
    ):
        gateway = gateway_of(it.app)
        asked = asyncio.ensure_future(it.ask(PATHS["anthropic"], ask("anthropic")))
        await up.heard.wait()
        under_way = gateway.metrics.in_flight, gateway.idle.is_set()
        gateway.draining = True
        late = await it.ask(PATHS["anthropic"], ask("anthropic"))
        gate.set()
        answer = await asked
        after = gateway.metrics.in_flight, gateway.idle.is_set()
    assert (under_way, after) == ((1, False), (0, True))
    assert (answer.status, late.status) == (200, 529)
    assert "shutting down" in error_text("anthropic", 529, late.body)


async def test_a_client_that_leaves_cuts_the_upstream() -> None:
    async with upstream(["hold"]) as up, stage(config(one("anthropic", up.url))) as it:
        _, writer = await it.connect()
        writer.write(request(PATHS["gemini"], ask("gemini")))
        await up.heard.wait()
        writer.close()
        await asyncio.wait_for(up.left.wait(), 2)
        await asyncio.wait_for(gateway_of(it.app).idle.wait(), 2)


async def test_a_mistake_of_ours_is_a_plain_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> int:
        raise KeyError("an inner secret")

    monkeypatch.setattr("crosswire.proxy.endpoints.token_count.estimate_request", fail)
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(PATHS["anthropic"], ask("anthropic"))
    assert answer.status == 500
    assert "secret" not in error_text("anthropic", 500, answer.body)
    assert "inner secret" in caplog.text


async def test_the_deadline_holds() -> None:
    async with (
        upstream(["hold"]) as up,
        stage(config(one("anthropic", up.url), retry={"attempts": 1, "deadline_s": 0.1})) as it,
    ):
        answer = await it.ask(PATHS["openai-responses"], ask("openai-responses"))
    assert answer.status == 504
    assert "0.1 s" in error_text("openai-responses", 504, answer.body)
