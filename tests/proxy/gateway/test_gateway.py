"""One request's way: waiting, held open, committed; strict and the ledger; what the client and the log are told."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from typing import Any

import pytest

from crosswire.proxy.server.app import gateway_of

from ..fake_backends import Canned, KeptSink
from ..proxy_fixture import Answer, config, one, read_answer, read_chunk, read_head, request, stage
from ..sample_messages import (
    ENDS,
    JSON,
    PINGS,
    PROTOCOLS,
    TEXT,
    ask,
    data,
    dumps,
    error_text,
    handshakes,
    in_band_error,
    path,
    reply,
    said,
    stream,
    stream_kind,
    text_of,
    upstream_error,
)
from ..scripted_upstream import LAST, Script, Step, chunk, chunked, head, http, upstream

PAIRS = list(itertools.product(PROTOCOLS, PROTOCOLS))
pairs = pytest.mark.parametrize(("frontend", "backend"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
frontends = pytest.mark.parametrize("frontend", PROTOCOLS)

ABOUT = ("x-crosswire-backend", "x-crosswire-model", "x-crosswire-attempts", "x-crosswire-loss", "x-crosswire-route")


def begun(backend: str, words: int = 1) -> list[Step]:
    """The head and the frames of a stream up to so many words; 0 is its handshake alone."""
    extra = {"openai-responses": 2, "anthropic": 1}.get(backend, 0) if words else 0
    return [head(stream_kind(backend)), *(chunk(f) for f in stream(backend)[: handshakes(backend) + extra + words])]


# ---- the honest way --------------------------------------------------------------------------------------------------


@pairs
async def test_every_pair_unary_and_streaming(frontend: str, backend: str) -> None:
    scripts = [[http(dumps(reply(backend)))], chunked(stream(backend), stream_kind(backend))]
    async with upstream(*scripts) as up, stage(config(one(backend, up.url))) as it:
        unary = await it.ask(path(frontend), ask(frontend))
        streamed = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
        records = [await it.record(answer) for answer in (unary, streamed)]
    assert (unary.status, text_of(frontend, unary.body)) == (200, TEXT)
    assert (streamed.status, streamed.whole, said(frontend, streamed.body)) == (200, True, TEXT)
    assert unary.headers["content-type"] == "application/json"
    assert streamed.headers["content-type"] == stream_kind(frontend)
    assert streamed.headers["cache-control"] == "no-cache"
    for answer, record, streams in zip((unary, streamed), records, (False, True), strict=True):
        assert answer.headers["x-crosswire-backend"] == "b"
        assert answer.headers["x-crosswire-model"] == "m"
        assert answer.headers["x-crosswire-attempts"] == "1"
        assert "x-crosswire-loss" not in answer.headers
        assert record["usage"] == {
            "input": 3,
            "output": 2,
            "cache_read": record["usage"]["cache_read"],
            "cache_write": record["usage"]["cache_write"],
            "reasoning": record["usage"]["reasoning"],
        }
        assert (record["outcome"], record["status"], record["stream"]) == ("answered", 200, streams)
        assert (record["attempts"][0]["relayed"], record["attempts"][0]["outcome"]) == (frontend == backend, "answered")
        assert (record["ttft_ms"] is not None) is streams
        assert record["total_ms"] > 0


async def test_a_gemini_stream_as_one_array() -> None:
    async with upstream(chunked(stream("gemini"))) as up, stage(config(one("gemini", up.url))) as it:
        answer = await it.ask("/v1beta/models/m:streamGenerateContent", ask("gemini"))
    assert answer.headers["content-type"] == "application/json"
    elements = json.loads(answer.body)
    assert "".join(p["text"] for e in elements for p in e["candidates"][0]["content"].get("parts", ())) == TEXT


# ---- waiting ---------------------------------------------------------------------------------------------------------


def patience(name: str) -> dict[str, float]:
    """A short read timeout for the cases of silence alone: a busy machine may be slow to say anything."""
    return {"read_timeout_s": 0.05} if "silence" in name else {}


BEFORE: dict[str, tuple[list[Step], int]] = {
    "nothing but a reset": (["reset"], 502),
    "silence": (["hold"], 504),
    "silence after the head": ([head(), "hold"], 504),
    "an empty stream": ([head(), LAST], 502),
    "HTML": ([http(b"<html></html>", kind="text/html")], 502),
}


@frontends
async def test_an_error_before_anything_went_out_is_a_status(frontend: str) -> None:
    for name, (script, status) in BEFORE.items():
        async with upstream(script) as up, stage(config(one("anthropic", up.url), **patience(name))) as it:
            answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
        assert (name, answer.status) == (name, status)
        error_text(frontend, status, answer.body)


@pairs
async def test_a_handshake_is_held_back(frontend: str, backend: str) -> None:
    """An error right after it is still a status: nothing had been promised."""
    script = [*begun(backend, 0), LAST]
    async with upstream(script) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
        record = await it.record(answer)
    assert answer.status == 502
    error_text(frontend, 502, answer.body)
    assert record["backend_used"] is None
    assert record["attempts"][0]["outcome"] == record["outcome"] == "upstream_cut"


RETRY: dict[str, Any] = {"retry_after": "7"}


@pairs
async def test_upstream_errors_in_the_clients_shape(frontend: str, backend: str) -> None:
    scripts = [
        [http(upstream_error(backend, "slow down, friend", 429), "429 Slow", **RETRY)],
        [http(upstream_error(backend, "max_tokens is too large", 400), "400 Bad")],
        [http(upstream_error(backend, "your key sk-x is wrong", 401), "401 No")],
        [http(upstream_error(backend, "it broke", 500), "500 Oops")],
    ]
    expected = [
        (429, "slow down, friend"),
        (400, "max_tokens is too large"),
        (502, "credentials"),
        (502, "it broke"),
    ]
    async with upstream(*scripts) as up, stage(config(one(backend, up.url))) as it:
        for n, (status, words) in enumerate(expected):
            streams = bool(n % 2)
            answer = await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams))
            assert answer.status == status
            assert words in error_text(frontend, status, answer.body)
            assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
            assert "x-crosswire-backend" not in answer.headers
            assert answer.headers["x-crosswire-attempts"] == "1"


async def test_an_overloaded_upstream_is_529_to_anthropics_clients_and_503_to_others() -> None:
    async with upstream([http(b"{}", "503 Busy", retry_after="2")]) as up, stage(config(one("gemini", up.url))) as it:
        for frontend in PROTOCOLS:
            answer = await it.ask(path(frontend), ask(frontend))
            assert answer.status == (529 if frontend == "anthropic" else 503)
            assert answer.headers["retry-after"] == "2"


# ---- held open -------------------------------------------------------------------------------------------------------


async def pinged(frontend: str, script: list[Step], backend: str, gate: asyncio.Event, **keys: Any) -> Answer:
    """A stream whose upstream is silent until three pings were heard; the gate opens then."""
    async with (
        upstream(script) as up,
        stage(config(one(backend, up.url, **keys), keepalive_s=0.02, read_timeout_s=2)) as it,
    ):
        reader, writer = await it.connect()
        writer.write(request(path(frontend, stream=True), ask(frontend, stream=True)))
        async with asyncio.timeout(2):
            status, headers = await read_head(reader)
            assert status == 200
            for name in ABOUT:
                assert name not in headers  # they could turn false
            assert headers["x-request-id"].startswith("req_")
            pings = [await read_chunk(reader) for _ in range(3)]
            assert all(ping and PINGS[frontend] in ping for ping in pings), pings
            gate.set()
            chunks = []
            whole = True
            try:
                while (piece := await read_chunk(reader)) is not None:
                    chunks.append(piece)
            except asyncio.IncompleteReadError:
                whole = False
        writer.close()
        return Answer(status, headers, b"".join(chunks), whole)


@pairs
async def test_a_silent_stream_is_held_open_by_pings(frontend: str, backend: str) -> None:
    gate = asyncio.Event()
    answer = await pinged(frontend, [gate, *chunked(stream(backend), stream_kind(backend))], backend, gate)
    assert (answer.whole, said(frontend, answer.body)) == (True, TEXT)


@frontends
async def test_pings_come_between_words_too(frontend: str) -> None:
    gate = asyncio.Event()
    frames = stream("openai-chat")
    script = [head(), *(chunk(f) for f in frames[:3]), gate, *(chunk(f) for f in frames[3:]), LAST]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), keepalive_s=0.1)) as it:
        reader, writer = await it.connect()
        writer.write(request(path(frontend, stream=True), ask(frontend, stream=True)))
        _, headers = await read_head(reader)
        assert headers["x-crosswire-backend"] == "b"
        body = b""
        while body.count(PINGS[frontend]) < 3 or (frontend == "gemini" and b"\n\n\n" not in body):
            body += await read_chunk(reader) or b""
        gate.set()
        while (piece := await read_chunk(reader)) is not None:
            body += piece
        writer.close()
    assert said(frontend, body) == TEXT


async def test_pings_of_an_array_are_white_space() -> None:
    gate = asyncio.Event()
    script = [gate, *chunked(stream("gemini"))]
    async with upstream(script) as up, stage(config(one("gemini", up.url), keepalive_s=0.02)) as it:
        reader, writer = await it.connect()
        writer.write(request("/v1beta/models/m:streamGenerateContent", ask("gemini")))
        await read_head(reader)
        pings = [await read_chunk(reader) for _ in range(3)]
        assert pings == [b"\n"] * 3
        gate.set()
        body = b""
        while (piece := await read_chunk(reader)) is not None:
            body += piece
        writer.close()
    assert len(json.loads(body)) == 3


HELD_ERRORS: dict[str, tuple[list[Step], str]] = {
    "a status": ([http(upstream_error("openai-chat", "slow down, friend", 429), "429 Slow")], "slow down, friend"),
    "our key": ([http(b"{}", "401 No")], "credentials"),
    "a reset": (["reset"], "cannot be reached"),
    "HTML": ([http(b"<html></html>", kind="text/html")], "not of its protocol"),
    "an end without an answer": ([head(), LAST], "ended before"),
    "an error in the stream": (
        [head(), chunk(data({"error": {"message": "it broke", "code": 500}})), LAST],
        "it broke",
    ),
}


@pytest.mark.parametrize("relay", ["auto", "never"])
@frontends
async def test_an_error_once_held_open_is_in_band(frontend: str, relay: str) -> None:
    for name, (script, words) in HELD_ERRORS.items():
        gate = asyncio.Event()
        answer = await pinged(frontend, [gate, *script], "openai-chat", gate, relay=relay)
        assert not answer.whole, name
        assert words in in_band_error(frontend, answer.body), name
        assert ENDS[frontend] not in answer.body


@frontends
async def test_an_upstream_that_never_speaks_is_a_timeout_in_band(frontend: str) -> None:
    async with (
        upstream(["hold"]) as up,
        stage(config(one("ollama", up.url), keepalive_s=0.02, read_timeout_s=0.1)) as it,
    ):
        answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, False)
    assert "too long" in in_band_error(frontend, answer.body)
    assert (record["outcome"], record["status"]) == ("upstream_timeout", 200)
    assert record["attempts"][0]["outcome"] == "upstream_timeout"


# ---- committed -------------------------------------------------------------------------------------------------------

BREAKS: dict[str, list[Step]] = {
    "a clean end": [LAST],
    "a cut": ["close"],
    "a reset": [0.02, "reset"],
    "half a frame": [chunk(b'data: {"half'), "close"],
    "silence": ["hold"],
}


@pairs
async def test_a_broken_stream_never_ends_cleanly(frontend: str, backend: str) -> None:
    for name, rest in BREAKS.items():
        script = [*begun(backend, 2), 0.01, *rest]
        async with upstream(script) as up, stage(config(one(backend, up.url), **patience(name))) as it:
            answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
            record = await it.record(answer)
        assert (name, answer.status, answer.whole) == (name, 200, False)
        assert in_band_error(frontend, answer.body)
        assert said(frontend, answer.body).startswith("Hel")
        assert ENDS[frontend] not in answer.body
        assert b"half" not in answer.body
        assert record["backend_used"] == "b"
        assert record["outcome"] == record["attempts"][0]["outcome"]
        assert record["outcome"] in ("upstream_cut", "upstream_timeout")
        assert record["error"]["kind"] == record["outcome"]


async def test_a_broken_array_is_closed_after_its_error() -> None:
    async with upstream([*begun("gemini", 2), "close"]) as up, stage(config(one("gemini", up.url))) as it:
        answer = await it.ask("/v1beta/models/m:streamGenerateContent", ask("gemini"))
    assert not answer.whole
    elements = json.loads(answer.body)
    assert elements[-1]["error"]["code"] == 502


# ---- a fault of our own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_open", [False, True], ids=["before", "after the headers"])
async def test_the_last_wall(
    held_open: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours is a plain 500, or in band once the headers are out; its cause is in the log alone."""

    def fail(*_: object) -> bytes:
        raise KeyError("an inner secret")

    monkeypatch.setattr("crosswire.proxy.protocols.anthropic.stream_encoder.StreamEncoder.encode", fail)
    gate = asyncio.Event()
    if not held_open:
        gate.set()
    script = [gate, *chunked(stream("openai-chat"))]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), keepalive_s=0.2)) as it:
        reader, writer = await it.connect()
        writer.write(request("/v1/messages", ask("anthropic", stream=True)))
        if held_open:
            await asyncio.sleep(0.4)
            gate.set()
            monkeypatch.undo()
            monkeypatch.setattr("crosswire.proxy.gateway.stream_writer.StreamTranscoder.transcode", fail)
        answer = await read_answer(reader)
        writer.close()
    if held_open:
        assert not answer.whole
        assert "failed" in in_band_error("anthropic", answer.body)
    else:
        assert answer.status == 500
        assert "log" in error_text("anthropic", 500, answer.body)
    assert b"inner secret" not in answer.body
    assert "inner secret" in caplog.text


# ---- strict and the ledger -------------------------------------------------------------------------------------------

SEEDED = ask("openai-chat", seed=7, logprobs=True)
"""A seed and logprobs are what an Anthropic backend cannot be told."""


def thoughtful() -> tuple[JSON, list[bytes]]:
    """An Anthropic answer whose thought is signed: a signature is what an Ollama client cannot be told."""
    block = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    whole = reply("anthropic") | {"content": [block, {"type": "text", "text": TEXT}]}
    frames = stream("anthropic")
    events: list[JSON] = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
    ]
    text = [frame.replace(b'"index": 0', b'"index": 1') for frame in frames[1:]]
    return whole, [frames[0], *(data(event, event["type"]) for event in events), *text]


async def test_a_request_loss_is_told_and_the_request_goes_on() -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask("/v1/chat/completions", SEEDED)
        record = await it.record(answer)
    assert answer.status == 200
    assert set(answer.headers["x-crosswire-loss"].split(",")) == {"seed", "logprobs"}
    assert {(loss["feature"], loss["how"]) for loss in record["losses"]} == {
        ("seed", "dropped"),
        ("logprobs", "dropped"),
    }
    assert "seed" not in json.loads(up.requests[0].body)


STRICT: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "by header": ({}, {}, {"x-crosswire-strict": "1"}),
    "by backend": ({"strict": True}, {}, {}),
    "by config": ({}, {"strict": True}, {}),
    "by the ledger": ({}, {"ledger": {"seed": "refuse"}}, {}),
}


@pytest.mark.parametrize(("keys", "settings", "headers"), STRICT.values(), ids=STRICT)
@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_strict_refuses_a_request_loss_by_name(
    keys: dict[str, Any], settings: dict[str, Any], headers: dict[str, str], streams: bool
) -> None:
    body = ask("openai-chat", stream=streams, seed=7)
    async with upstream([]) as up, stage(config(one("anthropic", up.url, **keys), **settings)) as it:
        answer = await it.ask("/v1/chat/completions", body, headers)
        record = await it.record(answer)
    assert answer.status == 400
    assert "seed" in error_text("openai-chat", 400, answer.body)
    assert answer.headers["x-should-retry"] == "false"
    assert not up.requests
    [candidate] = record["decision"]["considered"]
    assert (candidate["taken"], candidate["why"]) == (False, "cannot take seed (sampling.seed)")


@pytest.mark.parametrize("headers", [{}, {"x-crosswire-strict": "0"}, {"x-crosswire-strict": "yes"}])
async def test_only_1_is_strict(headers: dict[str, str]) -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        assert (await it.ask("/v1/chat/completions", SEEDED, headers)).status == 200


async def test_strict_takes_the_candidate_that_loses_nothing() -> None:
    backends = one("anthropic", "http://127.0.0.1:1", priority=9, models=["m"])
    async with upstream([http(dumps(reply("ollama")))]) as up:
        backends["c"] = {"protocol": "ollama", "base_url": up.url}
        async with stage(config(backends)) as it:
            answer = await it.ask("/v1/chat/completions", ask("openai-chat", seed=7), {"x-crosswire-strict": "1"})
            record = await it.record(answer)
    assert (answer.status, answer.headers["x-crosswire-backend"]) == (200, "c")
    assert answer.headers["x-crosswire-route"].startswith("capability; ")
    assert [c["taken"] for c in record["decision"]["considered"]] == [False, True]
    assert json.loads(up.requests[0].body)["options"]["seed"] == 7


async def test_the_ledger_may_let_pass_what_it_refuses_by_itself() -> None:
    body = ask("openai-responses", previous_response_id="resp_0")
    for settings, status in (({}, 400), ({"ledger": {"previous_response_id": "drop"}}, 200)):
        async with (
            upstream([http(dumps(reply("ollama")))]) as up,
            stage(config(one("ollama", up.url), **settings)) as it,
        ):
            answer = await it.ask("/v1/responses", body)
        assert answer.status == status
        assert b"previous_response_id" in answer.body or "previous_response_id" in answer.headers["x-crosswire-loss"]


async def test_a_response_loss_is_told() -> None:
    whole, frames = thoughtful()
    async with upstream([http(dumps(whole))], chunked(frames)) as up, stage(config(one("anthropic", up.url))) as it:
        unary = await it.ask("/api/chat", ask("ollama"))
        streamed = await it.ask("/api/chat", ask("ollama", stream=True))
        records = [await it.record(answer) for answer in (unary, streamed)]
    assert (unary.status, unary.headers["x-crosswire-loss"]) == (200, "signature")
    assert (streamed.status, streamed.whole) == (200, True)
    for record in records:
        assert [loss["feature"] for loss in record["losses"]] == ["signature"]


@pytest.mark.parametrize("how", ["strict", "refuse"])
async def test_strict_and_the_response(how: str) -> None:
    """Before commitment a 502 that no SDK should repeat; after it an error in band."""
    whole, frames = thoughtful()
    late = [head(), *(chunk(f) for f in frames[:3]), 0.05, *(chunk(f) for f in frames[3:]), LAST]
    headers = {"x-crosswire-strict": "1"} if how == "strict" else {}
    settings = {"ledger": {"signature": "refuse"}} if how == "refuse" else {}
    async with upstream([http(dumps(whole))], late) as up, stage(config(one("anthropic", up.url), **settings)) as it:
        unary = await it.ask("/api/chat", ask("ollama"), headers)
        streamed = await it.ask("/api/chat", ask("ollama", stream=True), headers)
        records = [await it.record(answer) for answer in (unary, streamed)]
    assert (unary.status, unary.headers["x-should-retry"]) == (502, "false")
    assert "signature" in error_text("ollama", 502, unary.body)
    assert (streamed.status, streamed.whole) == (200, False)
    assert "signature" in in_band_error("ollama", streamed.body)
    assert ENDS["ollama"] not in streamed.body
    for record in records:
        assert record["outcome"] == record["attempts"][0]["outcome"] == "loss"
        assert [loss["feature"] for loss in record["losses"]] == ["signature"]


async def test_the_error_in_place_of_a_lossy_end_goes_on_where_the_answer_was() -> None:
    """An event that would lose something is not sent, so the events after it continue the numbers before it."""
    *frames, delta, stop = stream("anthropic")
    ended = delta.replace(b'"end_turn"', b'"stop_sequence"').replace(
        b'"stop_sequence": null', b'"stop_sequence": "END"'
    )
    assert b'"END"' in ended
    late = [head(), *map(chunk, frames), 0.05, chunk(ended), chunk(stop), LAST]
    async with upstream(late) as up, stage(config(one("anthropic", up.url))) as it:
        asked = ask("openai-responses", stream=True)
        answer = await it.ask("/v1/responses", asked, {"x-crosswire-strict": "1"})
    assert (answer.status, answer.whole) == (200, False)
    assert "matched_stop" in in_band_error("openai-responses", answer.body)
    numbers = [int(number) for number in re.findall(rb'"sequence_number":(\d+)', answer.body)]
    assert numbers == list(range(len(numbers)))


async def test_strict_is_content_where_nothing_is_lost() -> None:
    async with (
        upstream([http(dumps(reply("gemini")))], chunked(stream("gemini"))) as up,
        stage(config(one("gemini", up.url), strict=True)) as it,
    ):
        assert (await it.ask("/v1/messages", ask("anthropic"))).status == 200
        assert (await it.ask("/v1/messages", ask("anthropic", stream=True))).whole


# ---- what is told ----------------------------------------------------------------------------------------------------

KEEPS: dict[str, tuple[Any, set[str]]] = {
    "all": (True, set(ABOUT)),
    "none": (False, set()),
    "two": (["x-crosswire-model", "x-crosswire-loss"], {"x-crosswire-model", "x-crosswire-loss"}),
}


@pytest.mark.parametrize(("setting", "kept"), KEEPS.values(), ids=KEEPS)
async def test_response_headers_may_be_taken_away(setting: Any, kept: set[str]) -> None:
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        stage(config(one("anthropic", up.url), response_headers=setting)) as it,
    ):
        answer = await it.ask("/v1/chat/completions", SEEDED)
    assert {name for name in answer.headers if name.startswith("x-crosswire")} == kept
    assert answer.headers["x-request-id"]


async def test_the_asked_and_the_upstream_name() -> None:
    """The body says the name that was asked for, the header and the record the one that served."""
    for frontend, backend in PAIRS:
        if frontend == "gemini":
            continue
        async with (
            upstream([http(dumps(reply(backend, "upstream-1")))]) as up,
            stage(config(one(backend, up.url, models={"fast": "upstream-1"}))) as it,
        ):
            answer = await it.ask(path(frontend, "fast"), ask(frontend, "fast"))
            record = await it.record(answer)
        assert json.loads(answer.body)["model"] == "fast"
        assert answer.headers["x-crosswire-model"] == record["model_used"] == "upstream-1"
        assert record["model"] == "fast"


LINES: dict[str, tuple[dict[str, Any], JSON, list[str]]] = {
    "mapped": (
        {"models": {"fast": "up-1"}},
        ask("openai-chat", "fast"),
        [
            "OpenAI chat completions request for model: fast",
            "✓ Model 'fast' mapped to backend 'b'",
            "✓ Backend 'b' supports required capabilities",
            "Routing fast to b",
            "Anthropic Request: up-1",
            "Anthropic Success: up-1",
        ],
    ),
    "not mapped": (
        {},
        ask("openai-chat"),
        [
            "OpenAI chat completions request for model: m",
            "No mapping for m, using b",
            "✓ Backend 'b' supports required capabilities",
            "Routing m to b",
            "Anthropic Request: m",
            "Anthropic Success: m",
        ],
    ),
    "mapped, and not capable": (
        {"models": {"fast": "up-1"}, "capabilities": ["text"]},
        ask("openai-chat", "fast", tools=[{"type": "function", "function": {"name": "f"}}]),
        [
            "OpenAI chat completions request for model: fast",
            "✓ Model 'fast' mapped to backend 'b'",
            "✗ Backend 'b' lacks required capabilities: tools",
            "✗ no backend that serves this model has the capabilities",
        ],
    ),
    "unknown": (
        {"models": {"fast": "up-1"}},
        ask("openai-chat", "slow"),
        ["OpenAI chat completions request for model: slow", "✗ no backend serves this model"],
    ),
    "a name that would forge a line is no name": ({}, ask("openai-chat", "m\n2026-01-01 Anthropic Success: x"), []),
}


@pytest.mark.parametrize(("keys", "body", "lines"), LINES.values(), ids=LINES)
async def test_the_log_lines_of_a_request(
    keys: dict[str, Any], body: JSON, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for level, expected in ((logging.INFO, lines), (logging.WARNING, [])):
        caplog.clear()
        caplog.set_level(level)
        keys = {"provider": "anthropic", **keys}
        async with (
            upstream([http(dumps(reply("anthropic")))]) as up,
            stage(config(one("anthropic", up.url, **keys))) as it,
        ):
            await it.ask("/v1/chat/completions", body)
        assert [record.getMessage() for record in caplog.records] == expected


TITLES = {
    "openai-chat": "OpenAI chat completions request for model: m",
    "openai-responses": "OpenAI responses request for model: m",
    "anthropic": "Anthropic messages request for model: m",
    "gemini": "Gemini generateContent request for model: m",
    "ollama": "Ollama chat request for model: m",
}


@frontends
async def test_each_frontend_has_its_name_in_the_log(frontend: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        upstream(chunked(stream("ollama"), stream_kind("ollama"))) as up,
        stage(config(one("ollama", up.url, provider="openrouter"))) as it,
    ):
        await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == TITLES[frontend]
    assert lines[-2:] == ["OpenRouter Request: m", "OpenRouter Success: m"]


async def test_no_success_is_logged_for_a_stream_that_broke(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with upstream([*begun("anthropic", 2), LAST]) as up, stage(config(one("anthropic", up.url))) as it:
        await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert not [record for record in caplog.records if "Success" in record.getMessage()]


# ---- shutting down ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["anthropic", "openai-chat"])
async def test_a_stream_that_has_ended_when_the_proxy_stops_gets_no_second_answer(backend: str) -> None:
    it = Canned(config(one(backend, "http://up.test")))

    class StoppedAtTheEnd(KeptSink):
        async def end(self) -> None:
            await super().end()
            it.gateway.end_all()
            await asyncio.sleep(0)

    answer, sink = await it.ask("anthropic", dumps(ask("anthropic", stream=True)), stream=True, sink=StoppedAtTheEnd())
    assert (answer, sink.ended, said("anthropic", sink.body)) == (None, True, TEXT)


@frontends
async def test_draining(frontend: str) -> None:
    script: Script = [http(dumps(reply("ollama")))]
    async with upstream(script) as up, stage(config(one("ollama", up.url))) as it:
        gateway = gateway_of(it.app)
        assert gateway.idle.is_set()
        gateway.draining = True
        answer = await it.ask(path(frontend), ask(frontend))
        ready = await it.get("/readyz")
        assert gateway.idle.is_set()
    assert answer.status == (529 if frontend == "anthropic" else 503)
    assert "shutting down" in error_text(frontend, answer.status, answer.body)
    assert (ready.status, ready.body) == (503, b"draining\n")
    assert not up.requests
