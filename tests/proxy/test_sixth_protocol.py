"""A protocol is a folder and a line: a sixth one is registered, and served in every way that the five are."""

from __future__ import annotations

import json

import pytest

from crosswire.proxy.protocols import PROTOCOLS

from . import toy_protocol
from .proxy_fixture import KEY, config, one, stage
from .sample_messages import TEXT, ask, dumps, path, reply, said, stream, stream_kind, text_of
from .scripted_upstream import chunked, http, upstream

TOY_REPLY = {"by": "m", "text": TEXT}
TOY_STREAM = [b'{"by": "m", "part": "Hello"}\n', b'{"by": "m", "part": " from the model."}\n', b'{"done": true}\n']


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "toy", toy_protocol.PROTOCOL)


def toy_text(body: bytes) -> str:
    return "".join(json.loads(line).get("part", "") for line in body.splitlines())


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic", "gemini"])
async def test_its_clients_reach_every_backend(backend: str) -> None:
    scripts = [[http(dumps(reply(backend)))], chunked(stream(backend), stream_kind(backend))]
    async with upstream(*scripts) as up, stage(config(one(backend, up.url))) as it:
        unary = await it.ask("/toy/chat", {"of": "m", "text": "Say hello."})
        streamed = await it.ask("/toy/chat", {"of": "m", "text": "Say hello.", "flow": True})
    assert (unary.status, json.loads(unary.body)) == (200, TOY_REPLY)
    assert (streamed.status, streamed.headers["content-type"]) == (200, "application/x-ndjson")
    assert toy_text(streamed.body) == TEXT
    assert streamed.body.endswith(b'{"done":true}\n')


@pytest.mark.parametrize("frontend", ["openai-chat", "anthropic", "gemini", "ollama", "openai-responses"])
async def test_its_backends_serve_every_client(frontend: str) -> None:
    scripts = [[http(dumps(TOY_REPLY))], chunked(TOY_STREAM, "application/x-ndjson")]
    async with upstream(*scripts) as up, stage(config(one("toy", up.url))) as it:
        unary = await it.ask(path(frontend), ask(frontend))
        streamed = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    assert (unary.status, text_of(frontend, unary.body)) == (200, TEXT)
    assert (streamed.status, said(frontend, streamed.body)) == (200, "Hello from the model.")
    assert json.loads(up.requests[0].body) == {"of": "m", "text": "Say hello.", "flow": False}
    assert up.requests[0].headers["x-toy-key"] == KEY


async def test_equal_ends_are_relayed() -> None:
    keys = {"models": {"m": "upstreams-name"}}
    scripts = [[http(b'{"by":"upstreams-name",  "text":"hi"}')], chunked(TOY_STREAM, "application/x-ndjson")]
    async with upstream(*scripts) as up, stage(config(one("toy", up.url, **keys))) as it:
        unary = await it.ask("/toy/chat", {"of": "m", "text": "hi", "unknown": 1})
        streamed = await it.ask("/toy/chat", {"of": "m", "text": "hi", "flow": True})
        record = await it.record(unary)
    assert record["attempts"][0]["relayed"]
    assert json.loads(up.requests[0].body) == {"of": "upstreams-name", "text": "hi", "unknown": 1}
    assert json.loads(unary.body) == {"by": "m", "text": "hi"}
    assert toy_text(streamed.body) == "Hello from the model."


async def test_its_models_are_listed() -> None:
    async with stage(config(one("openai-chat", "http://127.0.0.1:1", models={"m": "m"}))) as it:
        own = await it.get("/toy/models")
        shared = await it.get("/v1/models", {"x-toy-key": "k"})
        shown = await it.get("/v1/models/m", {"x-toy-key": "k"})
    assert json.loads(own.body) == json.loads(shared.body) == {"toys": ["m"]}
    assert json.loads(shown.body) == {"toy": "m"}


async def test_its_errors_have_its_shape() -> None:
    async with upstream([http(b"slow down", "429 No")]) as up, stage(config(one("toy", up.url))) as it:
        answers = {
            400: await it.ask("/toy/chat", {"of": "m"}),
            404: await it.get("/toy/nothing"),
            405: await it.get("/toy/chat"),
            429: await it.ask("/toy/chat", {"of": "m", "text": "hi"}),
        }
    for status, answer in answers.items():
        assert answer.status == status
        assert list(json.loads(answer.body)) == ["oops"]
    assert json.loads(answers[429].body) == {"oops": "slow down"}


async def test_its_broken_stream_ends_in_band() -> None:
    cut = chunked(TOY_STREAM[:1], "application/x-ndjson")
    async with upstream(cut) as up, stage(config(one("toy", up.url))) as it:
        answer = await it.ask("/toy/chat", {"of": "m", "text": "hi", "flow": True})
    assert not answer.whole
    assert "oops" in json.loads(answer.body.splitlines()[-1])
