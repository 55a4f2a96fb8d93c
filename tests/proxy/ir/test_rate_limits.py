"""The limits in providers' headers, for the operator and, if the config wants it, for clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from crosswire.proxy.ir.rate_limits import RateLimit, parse_reset
from crosswire.proxy.protocols import PROTOCOLS

from ..proxy_fixture import config, one, stage
from ..sample_messages import ask, dumps, path, reply, stream
from ..scripted_upstream import LAST, chunk, http, upstream

NOW = 1_760_000_000.0

RESETS: list[tuple[str | None, float | None]] = [
    ("12ms", NOW + 0.012),
    ("0s", NOW),
    ("10.682s", NOW + 10.682),
    ("6m0s", NOW + 360),
    ("1h2m3.5s", NOW + 3723.5),
    ("30", NOW + 30),
    ("1760000060", 1_760_000_060),
    ("1760000060000", 1_760_000_060),
    ("2025-10-09T08:54:20Z", datetime(2025, 10, 9, 8, 54, 20, tzinfo=UTC).timestamp()),
    ("2025-10-09T10:54:20+02:00", datetime(2025, 10, 9, 8, 54, 20, tzinfo=UTC).timestamp()),
    (None, None),
    ("", None),
    ("soon", None),
    ("nan", None),
    ("inf", None),
    ("1" * 50, None),
]


@pytest.mark.parametrize(("text", "wanted"), RESETS)
def test_a_reset_in_every_form(text: str | None, wanted: float | None) -> None:
    found = parse_reset(text, NOW)
    assert found == (None if wanted is None else pytest.approx(wanted))


OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-limit-tokens": "800000",
    "x-ratelimit-remaining-tokens": "799973",
    "x-ratelimit-reset-tokens": "6m0s",
}
CLAUDE = {
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-08-19T14:41:09Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1",
    "anthropic-ratelimit-input-tokens-reset": "2026-08-19T14:41:10Z",
}
MISTRAL = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"}
OPENROUTER = {"x-ratelimit-limit": "1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1760000060000"}

READ: list[tuple[str, dict[str, str], list[RateLimit]]] = [
    (
        "openai-chat",
        OPENAI,
        [RateLimit("requests", 5000, 4999, NOW + 0.012), RateLimit("tokens", 800000, 799973, NOW + 360)],
    ),
    ("openai-responses", MISTRAL, [RateLimit("requests", 60, 59)]),
    ("openai-chat", OPENROUTER, [RateLimit("requests", 1, 0, NOW + 60)]),
    ("openai-chat", {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "inf"}, []),
    (
        "anthropic",
        CLAUDE,
        [
            RateLimit("requests", 4000, 3999, datetime(2026, 8, 19, 14, 41, 9, tzinfo=UTC).timestamp()),
            RateLimit("input-tokens", 2000000, 1, datetime(2026, 8, 19, 14, 41, 10, tzinfo=UTC).timestamp()),
        ],
    ),
    ("gemini", OPENAI, []),
    ("ollama", OPENAI, []),
]


@pytest.mark.parametrize(("protocol", "fields", "wanted"), READ)
def test_what_headers_say(protocol: str, fields: dict[str, str], wanted: list[RateLimit]) -> None:
    assert list(PROTOCOLS[protocol].read_rate_limits(fields, NOW)) == wanted


@pytest.mark.parametrize(
    ("protocol", "fields"), [("openai-chat", OPENAI), ("openai-responses", OPENAI), ("anthropic", CLAUDE)]
)
def test_the_same_protocol_writes_the_same_headers(protocol: str, fields: dict[str, str]) -> None:
    limits = PROTOCOLS[protocol].read_rate_limits(fields, NOW)
    assert PROTOCOLS[protocol].write_rate_limits(limits, NOW) == fields


def test_durations_are_written_as_openai_has_them() -> None:
    limits = [RateLimit("tokens", 1, 1, NOW + 3723.5), RateLimit("requests", 1, 1, NOW - 5)]
    found = PROTOCOLS["openai-chat"].write_rate_limits(limits, NOW)
    assert (found["x-ratelimit-reset-tokens"], found["x-ratelimit-reset-requests"]) == ("1h2m3.5s", "0s")


NAMES: dict[str, tuple[str, ...]] = {
    "openai-chat": ("x-ratelimit-remaining-requests",),
    "openai-responses": ("x-ratelimit-remaining-requests",),
    "anthropic": ("anthropic-ratelimit-requests-remaining",),
    "gemini": (),
    "ollama": (),
}
"""The header in which each protocol's client looks for it."""


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_clients_are_told_in_their_own_names(frontend: str, streamed: bool, told: bool) -> None:
    body = dumps(reply("openai-chat"))
    script: Any = [http(body, **_underscored(OPENAI))]
    if streamed:
        lines = "".join(f"{name}: {text}\r\n" for name, text in OPENAI.items())
        begin = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{lines}\r\n"
        script = [begin.encode(), *(chunk(frame) for frame in stream("openai-chat")), LAST]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), rate_limit_headers=told)) as it:
        answer = await it.ask(path(frontend, stream=streamed), ask(frontend, stream=streamed))
        record = await it.record(answer)
        metrics = await it.metrics()
    assert answer.status == 200, answer
    assert [name for name in answer.headers if "ratelimit" in name] == [] or told
    assert {name: answer.headers.get(name) for name in NAMES[frontend] if told} == (
        dict.fromkeys(NAMES[frontend], "4999") if told else {}
    )
    requests, tokens = record["attempts"][0]["rate_limits"]
    assert (requests["scope"], requests["limit"], requests["remaining"]) == ("requests", 5000, 4999)
    assert (tokens["scope"], tokens["limit"], tokens["remaining"]) == ("tokens", 800000, 799973)
    assert 'crosswire_rate_limit_remaining{backend="b",scope="tokens"} 799973.0' in metrics
    assert 'crosswire_rate_limit{backend="b",scope="requests"} 5000.0' in metrics


async def test_a_refusal_tells_them_too() -> None:
    error = dumps({"error": {"message": "slow down", "type": "rate_limit_error"}})
    script = [http(error, "429 Too Many", **_underscored({**OPENAI, "retry-after": "7"}))]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), rate_limit_headers=True)) as it:
        answer = await it.ask("/v1/messages", ask("anthropic"))
        record = await it.record(answer)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.headers["anthropic-ratelimit-tokens-remaining"] == "799973"
    assert len(record["attempts"][0]["rate_limits"]) == 2


async def test_those_of_embeddings_are_not_those_of_a_chat() -> None:
    vectors = dumps({"data": [{"index": 0, "embedding": [1.0]}]})
    scripts = ([http(vectors, **_underscored(OPENAI))], [http(dumps(reply("openai-chat")))])
    async with upstream(*scripts) as up, stage(config(one("openai-chat", up.url), rate_limit_headers=True)) as it:
        embedded = await it.ask("/v1/embeddings", {"model": "m", "input": "x"})
        chat = await it.ask("/v1/chat/completions", ask("openai-chat"))
    assert embedded.headers["x-ratelimit-limit-tokens"] == "800000"
    assert "x-ratelimit-limit-tokens" not in chat.headers


async def test_an_answer_without_any_has_none() -> None:
    script = [http(dumps(reply("openai-chat")), retry_after="7")]  # on a 200 it asks for nothing
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), rate_limit_headers=True)) as it:
        answer = await it.ask("/v1/chat/completions", ask("openai-chat"))
        record = await it.record(answer)
    assert [name for name in answer.headers if "ratelimit" in name or name == "retry-after"] == []
    assert "rate_limits" not in record["attempts"][0]


def _underscored(fields: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): text for name, text in fields.items()}
