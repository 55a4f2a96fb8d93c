"""Shapes of a backend that were trusted too deep: a failover while nothing was sent, a skipped field, never a 500."""

from __future__ import annotations

from typing import Any

import pytest

from ..proxy_fixture import config, one, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, data, dumps, path, reply, said
from ..sample_messages import stream as frames_of
from ..scripted_upstream import chunked, http, upstream


def chat(delta: dict[str, Any], **choice: Any) -> bytes:
    return data({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}]})


END = [chat({}, finish_reason="stop"), b"data: [DONE]\n\n"]
BROKEN_FIRST = {
    "a function that is a string": [chat({"tool_calls": [{"index": 0, "id": "c", "function": "x"}]}), *END],
    "a name that is a list": [chat({"tool_calls": [{"index": 0, "id": "c", "function": {"name": ["f"]}}]}), *END],
    "choices that are a number": [data({"choices": 7}), *END],
}
SKIPPED = {
    "logprobs that are a list": [
        chat({"content": TEXT}, logprobs={"content": [{"token": "a"}]}),
        chat({"content": ""}, logprobs=["x"]),
        *END,
    ],
    "an index that is a list": [chat({"content": TEXT}), chat({}, index=[]), *END],
}


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("name", BROKEN_FIRST)
async def test_what_cannot_be_read_fails_over(frontend: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(chunked(BROKEN_FIRST[name])) as broken, upstream(chunked(frames_of("openai-chat"))) as good:
        a = {"protocol": "openai-chat", "base_url": broken.url, "priority": 2, "relay": "never"}
        b = {"protocol": "openai-chat", "base_url": good.url}
        async with stage(config({"a": a, "b": b}, retry={"attempts": 3})) as it:
            answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    assert (answer.status, answer.whole, said(frontend, answer.body)) == (200, True, TEXT)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("name", SKIPPED)
async def test_a_field_that_cannot_be_read_is_skipped(
    frontend: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with upstream(chunked(SKIPPED[name])) as up:
        backend = {"b": {"protocol": "openai-chat", "base_url": up.url, "relay": "never"}}
        async with stage(config(backend)) as it:
            answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    assert (answer.status, answer.whole, said(frontend, answer.body)) == (200, True, TEXT)
    assert not caplog.records


SCHEMA = {"type": "object", "$defs": 5, "definitions": [1]}


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "gemini", "ollama"])
async def test_definitions_that_are_a_number(frontend: str, caplog: pytest.LogCaptureFixture) -> None:
    asked: dict[str, Any] = {
        "openai-chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        "openai-responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        "ollama": {"format": SCHEMA},
    }
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(path(frontend), ask(frontend, **asked[frontend]))
    assert answer.status in (200, 400)
    assert "Traceback" not in caplog.text
