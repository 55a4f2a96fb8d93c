"""Losses that become known after a stream's headers went out stand in its last event; others do not."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp
import pytest

from crosswire.proxy.ir.stream_losses import EXTENSION

from ..proxy_fixture import Answer, Stage, config, one, stage
from ..sample_messages import ask, path, stream, stream_kind
from ..scripted_upstream import LAST, Step, chunk, head, upstream

JSON = dict[str, Any]


class Asked(NamedTuple):
    """A request for a stream: its address and body, the backend's protocol, a request's loss, the place of the key."""

    path: str
    body: JSON
    backend: str
    loss: tuple[str, str]
    place: tuple[str, ...]
    error_place: tuple[str, ...]


def asked(protocol: str, backend: str, loss: tuple[str, str], *places: tuple[str, ...], **more: Any) -> Asked:
    return Asked(path(protocol, stream=True), ask(protocol, stream=True, **more), backend, loss, *places)


SEED = ("seed", "sampling.seed")
TOLD_USAGE = {"stream_options": {"include_usage": True}}
PROMPT = {"model": "m", "prompt": "Say hello.", "stream": True}

ASKED: dict[str, Asked] = {
    "chat": asked("openai-chat", "anthropic", SEED, (), ("error",), seed=7),
    "chat with usage": asked("openai-chat", "anthropic", SEED, ("usage",), ("error",), seed=7, **TOLD_USAGE),
    "completions": Asked("/v1/completions", PROMPT | {"seed": 7}, "anthropic", SEED, (), ("error",)),
    "completions with usage": Asked(
        "/v1/completions", PROMPT | {"seed": 7} | TOLD_USAGE, "anthropic", SEED, ("usage",), ("error",)
    ),
    "responses": asked(
        "openai-responses", "anthropic", ("logprobs", "logprobs"), ("response",), ("response",), top_logprobs=2
    ),
    "anthropic": asked("anthropic", "openai-chat", ("top_k", "sampling.top_k"), (), (), top_k=7),
    "gemini": asked("gemini", "anthropic", SEED, ("usageMetadata",), (), generationConfig={"seed": 7}),
    "gemini's array": asked("gemini", "anthropic", SEED, ("usageMetadata",), (), generationConfig={"seed": 7})._replace(
        path="/v1beta/models/m:streamGenerateContent"
    ),
    "ollama": asked("ollama", "anthropic", SEED, (), (), options={"seed": 7}),
    "generate": Asked("/api/generate", PROMPT | {"options": {"seed": 7}}, "anthropic", SEED, (), ()),
}

cases = pytest.mark.parametrize("case", ASKED.values(), ids=ASKED)


def lossy(backend: str) -> tuple[list[bytes], list[bytes], JSON]:
    """An answer's frames, those of its end, and the loss that any client of another protocol has by them."""
    if backend == "anthropic":
        *frames, delta, stop = stream(backend)
        ended = delta.replace(b'"end_turn"', b'"stop_sequence"').replace(
            b'"stop_sequence": null', b'"stop_sequence": "END"'
        )
        return frames, [ended, stop], {"word": "matched_stop", "path": "matched", "how": "dropped"}
    *frames, finish, usage, done = stream(backend)
    tokens = b'"logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": null, "top_logprobs": []}]}'
    finish = finish.replace(b'"logprobs": null', tokens)
    return frames, [finish, usage, done], {"word": "logprobs", "path": "blocks[0].logprobs", "how": "dropped"}


def late(backend: str) -> list[Step]:
    """The same as a script: the end comes apart."""
    frames, end, _ = lossy(backend)
    return [head(stream_kind(backend)), *map(chunk, frames), 0.05, *map(chunk, end), LAST]


def events_of(answer: bytes) -> list[JSON]:
    """The JSON events of a stream in any framing."""
    if answer.lstrip().startswith(b"["):
        return list(json.loads(answer))
    lines = [line.removeprefix("data:").strip() for line in answer.decode().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def told(events: list[JSON], place: tuple[str, ...]) -> Any:
    """Returns what the last event tells there; it may stand nowhere else."""
    assert json.dumps(events).count(EXTENSION) == 1
    holder = [event for event in events if event.get("type") != "message_stop"][-1]
    for key in place:
        holder = holder[key]
    return holder[EXTENSION]


def recorded(record: JSON) -> list[JSON]:
    return [{"word": loss["feature"], "path": loss["path"], "how": loss["how"]} for loss in record["losses"]]


@cases
async def test_a_late_loss_stands_in_the_last_event(case: Asked) -> None:
    async with upstream(late(case.backend)) as up, stage(config(one(case.backend, up.url))) as it:
        answer = await it.ask(case.path, case.body)
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, True)
    loss = lossy(case.backend)[2]
    assert answer.headers["x-crosswire-loss"] == case.loss[0]
    assert told(events_of(answer.body), case.place) == [loss]
    assert [(each["word"], each["path"]) for each in recorded(record)] == [case.loss, (loss["word"], loss["path"])]


@cases
async def test_what_the_headers_told_is_not_told_again(case: Asked) -> None:
    frames, end, loss = lossy(case.backend)
    script = [head(stream_kind(case.backend)), chunk(b"".join([*frames, *end])), LAST]
    async with upstream(script) as up, stage(config(one(case.backend, up.url))) as it:
        answer = await it.ask(case.path, case.body)
    assert set(answer.headers["x-crosswire-loss"].split(",")) == {case.loss[0], loss["word"]}
    assert EXTENSION.encode() not in answer.body


async def held_open(case: Asked, script: list[Step], **settings: Any) -> tuple[Answer, JSON]:
    """An answer whose backend is silent for longer than the proxy waits with the headers."""
    async with (
        upstream([0.1, *script]) as up,
        stage(config(one(case.backend, up.url), keepalive_s=0.02, **settings)) as it,
    ):
        answer = await it.ask(case.path, case.body)
        return answer, await it.record(answer)


@cases
async def test_a_response_that_was_held_open_tells_of_the_request_too(case: Asked) -> None:
    answer, record = await held_open(case, late(case.backend))
    assert (answer.status, answer.whole) == (200, True)
    assert "x-crosswire-loss" not in answer.headers
    found = told(events_of(answer.body), case.place)
    assert found == recorded(record)
    assert [each["word"] for each in found] == [case.loss[0], lossy(case.backend)[2]["word"]]


@cases
async def test_an_error_in_band_tells_of_them_too(case: Asked) -> None:
    answer, record = await held_open(case, ["reset"])
    assert not answer.whole
    assert told(events_of(answer.body), case.error_place) == recorded(record) != []


@cases
async def test_the_loss_that_strict_refuses_late_stands_in_the_error(case: Asked) -> None:
    loss = lossy(case.backend)[2]
    headers = {"x-crosswire-strict": "1"}
    body = {key: value for key, value in case.body.items() if key not in (case.loss[0], case.loss[1])}
    for key in ("generationConfig", "options", "top_logprobs"):
        body.pop(key, None)
    async with upstream(late(case.backend)) as up, stage(config(one(case.backend, up.url))) as it:
        answer = await it.ask(case.path, body, headers)
    assert not answer.whole
    assert told(events_of(answer.body), case.error_place) == [loss]


@cases
async def test_who_wants_no_loss_header_gets_no_key(case: Asked) -> None:
    for script in (late(case.backend), ["reset"]):
        answer, record = await held_open(case, script, response_headers=["x-crosswire-backend"])
        assert EXTENSION.encode() not in answer.body
        assert record["losses"]


@pytest.mark.parametrize("protocol", ["openai-chat", "openai-responses", "anthropic", "gemini", "ollama"])
async def test_a_relayed_stream_is_left_as_it_is(protocol: str) -> None:
    frames = stream(protocol)
    case = Asked(path(protocol, stream=True), ask(protocol, stream=True), protocol, ("", ""), (), ())
    script = [head(stream_kind(protocol)), *map(chunk, frames[:-1]), 0.02, chunk(frames[-1]), LAST]
    async with upstream(script) as up, stage(config(one(protocol, up.url))) as it:
        answer = await it.ask(case.path, case.body)
    assert answer.body == b"".join(frames)


# ---- a WebSocket, whose messages have no headers ---------------------------------------------------------------------


async def socket_events(it: Stage, **fields: Any) -> list[JSON]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{it.url}/v1/responses") as socket:
        await socket.send_str(json.dumps({"type": "response.create", "model": "m", "input": "Say hello.", **fields}))
        found: list[JSON] = []
        async with asyncio.timeout(5):
            while not found or found[-1]["type"] not in ("response.completed", "response.failed", "error"):
                found.append((await socket.receive()).json())
        return found


@pytest.mark.parametrize("apart", [True, False])
async def test_a_turn_of_a_websocket_tells_of_every_loss(apart: bool) -> None:
    frames, end, loss = lossy("anthropic")
    whole = [head("text/event-stream"), chunk(b"".join([*frames, *end])), LAST]
    async with upstream(late("anthropic") if apart else whole) as up, stage(config(one("anthropic", up.url))) as it:
        events = await socket_events(it, top_logprobs=2)
    asked_for = {"word": "logprobs", "path": "logprobs", "how": "dropped"}
    assert told(events, ("response",)) == [asked_for, loss]


async def test_a_turn_that_fails_after_its_first_content_tells_of_every_loss() -> None:
    frames, _, _ = lossy("anthropic")
    script = [head("text/event-stream"), *map(chunk, frames), 0.02, "close"]
    async with upstream(script) as up, stage(config(one("anthropic", up.url))) as it:
        events = await socket_events(it, top_logprobs=2)
    assert events[-1]["type"] == "response.failed"
    assert told(events, ("response",)) == [{"word": "logprobs", "path": "logprobs", "how": "dropped"}]
