"""Complaints about routing and failover (F)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.cli.main import main
from tests.proxy.proxy_fixture import Stage, config, stage
from tests.proxy.sample_messages import JSON, ask, data, dumps, handshakes, in_band_error, reply, said, stream
from tests.proxy.scripted_upstream import LAST, Script, Upstream, chunk, chunked, head, http, upstream

EAGER = {"attempts": 3, "base_s": 0.001, "cap_s": 0.002, "max_wait_s": 0.05, "floor_per_s": 1000, "budget": 1}


@contextlib.asynccontextmanager
async def route(protocol: str, first: Script, **settings: Any) -> AsyncIterator[tuple[Upstream, Upstream, Stage]]:
    """Routes the model `m` to a backend that plays this script, then to one that answers."""
    other = chunked(stream("openai-chat", "big", ("Other ", "words.")))
    async with upstream(first) as a, upstream(other) as b:
        backends = {
            "first": {"protocol": protocol, "base_url": a.url, "models": ["home"]},
            "second": {"protocol": "openai-chat", "base_url": b.url, "models": ["big"]},
        }
        fallback = [{"backend": "second", "model": "big"}]
        routes = [{"match": "m", "backend": "first", "model": "home", "fallback": fallback}]
        async with stage(config(backends, **{"routes": routes, "retry": EAGER, **settings})) as it:
            yield a, b, it


OVERLOADED: JSON = {"code": "server_is_overloaded", "message": "Our servers are currently overloaded."}
FAILED: JSON = {
    "type": "response.failed",
    "response": {"id": "resp_1", "object": "response", "status": "failed", "error": OVERLOADED, "output": []},
    "sequence_number": 2,
}
BEFORE_CONTENT: tuple[tuple[str, str, list[bytes]], ...] = (
    ("as the first event", "anthropic", []),
    ("after a ping", "anthropic", [data({"type": "ping"}, "ping")]),
    ("after the handshake", "anthropic", stream("anthropic")[: handshakes("anthropic")]),
)
BUSY = data({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")


@pytest.mark.parametrize("before", [before for *_, before in BEFORE_CONTENT], ids=[name for name, *_ in BEFORE_CONTENT])
async def test_f1_an_error_before_any_content_fails_over(before: list[bytes]) -> None:
    async with route("anthropic", chunked([*before, BUSY])) as (first, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
        record = await it.record(answer)
    assert (answer.status, said("anthropic", answer.body), answer.whole) == (200, "Other words.", True)
    assert [(each["backend"], each["outcome"]) for each in record["attempts"]] == [
        ("first", "overloaded"),
        ("second", "answered"),
    ]
    assert b"Overloaded" not in answer.body
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_f6_an_overload_after_status_200_fails_over() -> None:
    frames = [*stream("openai-responses")[: handshakes("openai-responses")], data(FAILED, "response.failed")]
    async with route("openai-responses", chunked(frames)) as (_, second, it):
        answer = await it.ask("/v1/chat/completions", ask("openai-chat", stream=True))
        record = await it.record(answer)
    assert said("openai-chat", answer.body) == "Other words."
    assert [each["outcome"] for each in record["attempts"]] == ["overloaded", "answered"]
    assert len(second.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529, 401, 402, 403])
async def test_f2_these_statuses_fail_over(status: int) -> None:
    async with route("anthropic", [http(dumps({"error": "no"}), f"{status} No")]) as (_, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert said("anthropic", answer.body) == "Other words."
    assert len(second.requests) == 1


async def test_f2_a_rate_limit_inside_a_stream_fails_over() -> None:
    limited = data({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, "error")
    async with route("anthropic", chunked([limited])) as (_, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert said("anthropic", answer.body) == "Other words."
    assert len(second.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_f2_these_statuses_do_not_fail_over(status: int) -> None:
    async with route("anthropic", [http(dumps({"error": "no"}), f"{status} No")]) as (_, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert answer.status >= 400
    assert second.requests == []


AFTER_CONTENT: dict[str, list[object]] = {
    "a cut": ["close"],
    "a stall": ["hold"],
    "garbage": [chunk(b"data: {not json}\n\n"), LAST],
    "an error": [chunk(BUSY), LAST],
    "an end without an end": [LAST],
}


@pytest.mark.parametrize("rest", AFTER_CONTENT.values(), ids=AFTER_CONTENT)
async def test_f3_an_error_after_content_is_sent_in_the_stream(rest: list[object]) -> None:
    frames = stream("anthropic", "home")[:4]
    script: Script = [head(), *(chunk(frame) for frame in frames), *rest]
    async with route("anthropic", script, read_timeout_s=0.1) as (_, second, it):
        answer = await it.ask("/v1/chat/completions", ask("openai-chat", stream=True))
    assert (answer.status, answer.whole, second.requests) == (200, False, [])
    assert "Other" not in said("openai-chat", answer.body)
    assert in_band_error("openai-chat", answer.body)


async def test_f3_the_same_backend_is_retried_without_a_fallback() -> None:
    async with upstream(["reset"], [http(dumps(reply("anthropic")))]) as up:
        made = config({"b": {"protocol": "anthropic", "base_url": up.url}}, retry=EAGER)
        async with stage(made) as it:
            answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, len(up.requests)) == (200, 2)


async def test_f8_one_unsuitable_backend_does_not_refuse_the_route() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "See"}, image]}]}
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backend = {"protocol": "openai-chat", "base_url": up.url}
        backends = {"blind": {**backend, "capabilities": ["text"], "priority": 9}, "seeing": backend}
        async with stage(config(backends)) as it:
            answer = await it.ask("/v1/chat/completions", body)
            considered = (await it.record(answer))["decision"]["considered"]
    assert (answer.status, answer.headers["x-crosswire-backend"]) == (200, "seeing")
    (blind,) = (one for one in considered if one["backend"] == "blind")
    assert (blind["taken"], "vision" in blind["why"]) == (False, True)


async def test_f10_a_refusal_names_every_backend_as_explain_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = {"protocol": "openai-chat", "base_url": "http://127.0.0.1:9", "api_key": "k" * 12}
    backends = {name: {**backend, "capabilities": ["text"]} for name in ("one", "two")}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with stage(config(backends)) as it:
        answer = await it.ask("/v1/chat/completions", ask("openai-chat", tools=[tool]))
        considered = (await it.record(answer))["decision"]["considered"]
    file = tmp_path / "crosswire.yaml"
    file.write_text(json.dumps({"backends": backends}))
    assert main(["explain", "--config", str(file), "--model", "m", "--tools"]) == 1
    shown = capsys.readouterr().out
    message = json.loads(answer.body)["error"]["message"]
    assert 400 <= answer.status < 500
    assert [one["backend"] for one in considered] == ["one", "two"]
    for one in considered:
        assert f"{one['backend']}: {one['why']}" in message
        assert one["backend"] in shown
        assert one["why"] in shown


NAMES: tuple[tuple[str, dict[str, Any], str], ...] = (
    (
        "claude-sonnet-4-5[1m]",
        {"models": {"claude-sonnet-4-5": "sonnet-of-september"}},
        "sonnet-of-september",
    ),
    ("claude-sonnet-4-5[1m]", {}, "claude-sonnet-4-5"),
    ("b/claude-sonnet-4-5[1m]", {}, "claude-sonnet-4-5"),
    ("long[1m]", {"models": {"long[1m]": "whole", "long": "other"}}, "whole"),
    ("claude[2m]", {}, "claude[2m]"),
    ("[1m]", {}, "[1m]"),
)


@pytest.mark.parametrize("protocol", ["anthropic", "openai-chat"])
@pytest.mark.parametrize(("requested", "keys", "upstreams"), NAMES, ids=[f"{name}-{sent}" for name, _, sent in NAMES])
async def test_n6_a_suffix_of_the_client_is_not_sent_upstream(
    requested: str, keys: dict[str, Any], upstreams: str, protocol: str
) -> None:
    async with (
        upstream([http(dumps(reply(protocol, upstreams)))]) as up,
        stage(config({"b": {"protocol": protocol, "base_url": up.url, **keys}})) as it,
    ):
        answer = await it.ask("/v1/messages", ask("anthropic", requested))
    assert json.loads(up.requests[0].body)["model"] == upstreams
    assert answer.headers["x-crosswire-model"] == upstreams
    assert json.loads(answer.body)["model"] == requested
