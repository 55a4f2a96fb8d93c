"""Failures are told on standard error: address, cause and hint, once a kind and a backend, then once a minute."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from crosswire.proxy.errors import failure
from crosswire.proxy.observability.failure_log import HINTS, INTERVAL_S, FailureLog
from crosswire.proxy.resilience.policy import POLICY
from crosswire.proxy.routing import BackendConfig

from ..proxy_fixture import KEY, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunked, http, upstream

OPENAI = BackendConfig(name="openai", protocol="openai-chat", base_url="https://api.openai.com/v1", api_key=KEY)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith(("backend ", "model "))]


def test_a_failure_is_told_once_a_minute_with_the_number_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = FailureLog(lambda: now[0])
    for at in (0, 1, INTERVAL_S - 1, INTERVAL_S, INTERVAL_S + 1):
        now[0] = at
        log.note(OPENAI, failure("upstream_auth", "No."))
    first, second = told(caplog)
    assert first == (
        "backend openai at https://api.openai.com: upstream_auth: No. Hint: check api_key of backends.openai "
        "or the variable OPENAI_API_KEY; it may be another provider's."
    )
    assert second.endswith(" (2 more since it was told last).")


def test_each_kind_and_each_backend_is_told(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(lambda: 0.0)
    other = BackendConfig(name="b", protocol="ollama", base_url="http://h:1")
    for backend in (OPENAI, other, OPENAI, other):
        for kind in ("upstream_dns", "upstream_cut"):
            log.note(backend, failure(kind, "x"))
    assert len(told(caplog)) == 4


def test_what_is_the_clients_own_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(lambda: 0.0)
    for kind in ("bad_request", "context_length", "content_filter", "too_large"):
        log.note(OPENAI, failure(kind, "x"))
    assert told(caplog) == []


def test_every_kind_after_which_another_backend_is_tried_has_a_hint() -> None:
    assert set(POLICY) - {"upstream_moderation"} <= set(HINTS)


FAULTS: dict[str, tuple[list[Any], str]] = {
    "a refused key": (
        [http(dumps({"error": {"message": "bad key"}}), status=401)],
        "upstream_auth: The backend refused",
    ),
    "a reset": (["reset"], "upstream_unreachable: Backend 'b' cannot be reached"),
    "a page": ([http(b"<html></html>", **{"content-type": "text/html"})], "upstream_garbage: "),
    "an unknown path": ([http(b"{}", status=404)], "not_found: "),
}


@pytest.mark.parametrize(("script", "said"), FAULTS.values(), ids=list(FAULTS))
async def test_serving_tells_it(script: list[Any], said: str, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(script) as server, stage(config(one("openai-chat", server.url))) as it:
        for _ in range(3):
            await it.ask(path("openai-chat"), ask("openai-chat"))
    (line,) = told(caplog)
    assert line.startswith(f"backend b at {server.url}: {said}")
    assert " Hint: " in line
    assert KEY not in line


async def test_a_host_that_is_not_there_is_told_with_its_address(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream([]) as server:
        url = server.url
    async with stage(config(one("ollama", url))) as it:
        answer = await it.ask(path("ollama"), ask("ollama"))
    (line,) = told(caplog)
    assert f"backend b at {url}: upstream_unreachable: Backend 'b' cannot be reached (connection refused)" in line
    assert url.encode().removeprefix(b"http://") not in answer.body  # the address is the operator's own business


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stream_that_breaks_is_told(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = stream(protocol)[:2]
    script = [*list(chunked(frames, stream_kind(protocol)))[:-1], "close"]
    async with upstream(script) as server, stage(config(one(protocol, server.url))) as it:
        await it.ask(path("openai-chat", stream=True), ask("openai-chat", stream=True))
    (line,) = told(caplog)
    assert re.match(r"backend b at http://\S+: upstream_(cut|unreachable): ", line)


NAMES = {"llama-3": 0, "gpt-5": 1, "gpt-oss:20b": 0, "claude-sonnet-4-5": 1, "gemini-2.5-pro": 1}


@pytest.mark.parametrize(("model", "lines"), NAMES.items())
async def test_a_vendors_name_that_another_backend_answers_is_told_once(
    model: str, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        upstream([http(dumps(reply("ollama")))]) as server,
        stage(config(one("ollama", server.url, default_model="llama3.2"))) as it,
    ):
        for _ in range(2):
            answer = await it.ask(path("openai-chat"), ask("openai-chat", model))
            assert answer.status == 200
    assert len(told(caplog)) == lines
