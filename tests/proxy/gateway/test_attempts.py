"""Attempts: what is tried again, where, after which wait, and what client, record and upstreams see of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ..proxy_fixture import Stage, config, read_chunk, read_head, request, stage
from ..sample_messages import (
    ENDS,
    PROTOCOLS,
    TEXT,
    ask,
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
from ..scripted_upstream import LAST, Script, Step, Upstream, chunk, chunked, head, http, upstream

EAGER = {"attempts": 3, "base_s": 0.001, "cap_s": 0.002, "max_wait_s": 0.05, "floor_per_s": 1000, "budget": 1}
"""Tries as the default has them, without its waits."""

OTHER = "Other words."


@contextlib.asynccontextmanager
async def two(
    first: Script | list[Script],
    second: Script | list[Script],
    *,
    protocols: tuple[str, str] = ("anthropic", "openai-chat"),
    keys: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Upstream, Upstream, Stage]]:
    """A route from `m` to `local`, then to `cloud` under its own name, before two scripted upstreams."""
    async with upstream(*_scripts(first)) as a, upstream(*_scripts(second)) as b:
        backends = {
            "local": {"protocol": protocols[0], "base_url": a.url, "models": {"home": "home"}, **(keys or {})},
            "cloud": {"protocol": protocols[1], "base_url": b.url, "models": {"big": "big"}},
        }
        fallback = [{"backend": "cloud", "model": "big"}]
        routes = [{"match": "m", "backend": "local", "model": "home", "fallback": fallback}]
        made = config(backends, **{"routes": routes, "retry": EAGER, **settings})
        async with stage(made) as it:
            yield a, b, it


def _scripts(script: Script | list[Script]) -> list[Script]:
    return list(script) if script and isinstance(script[0], list) else [script]


def fine(protocol: str, text: str = OTHER) -> Script:
    return [http(dumps(reply(protocol, "big", text)))]


def streamed(protocol: str, *words: str) -> Script:
    return chunked(stream(protocol, "big", words or ("Other ", "words.")), stream_kind(protocol))


def error(status: int, line: str, **headers: Any) -> Script:
    return [http(upstream_error("anthropic", "said upstream", status), f"{status} {line}", **headers)]


# ---- what is tried elsewhere -----------------------------------------------------------------------------------------

MOVES: dict[str, tuple[Script, str]] = {
    "408": (error(408, "Late"), "upstream_timeout"),
    "429": (error(429, "Slow", retry_after="7"), "rate_limit"),
    "500": (error(500, "Oops"), "upstream_error"),
    "502": (error(502, "Bad"), "upstream_error"),
    "503": (error(503, "Busy"), "overloaded"),
    "504": (error(504, "Late"), "upstream_timeout"),
    "529": (error(529, "Busy"), "overloaded"),
    "401": (error(401, "No"), "upstream_auth"),
    "402": (error(402, "Pay"), "upstream_quota"),
    "403": (error(403, "No"), "upstream_auth"),
    "404 of one that the route lists others after": (error(404, "No such model"), "not_found"),
    "a reset": (["reset"], "upstream_unreachable"),
    "HTML": ([http(b"<html></html>", kind="text/html")], "upstream_garbage"),
    "half of a body": ([http(dumps(reply("openai-chat"))[:-20])], "upstream_cut"),
}
"""Failures of the first backend after which the second one is asked."""

STAYS: dict[str, tuple[Script, int, str]] = {
    "400": (error(400, "Bad"), 400, "bad_request"),
    "413": (error(413, "Large"), 413, "too_large"),
    "422": (error(422, "Odd"), 422, "unprocessable"),
}
"""Failures that another backend would only repeat, or that must not be hidden."""


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_what_another_backend_is_asked_for(frontend: str, streams: bool) -> None:
    for name, (script, kind) in MOVES.items():
        answers = streamed("openai-chat") if streams else fine("openai-chat")
        async with two(script, answers) as (local, cloud, it):
            answer = await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams))
            record = await it.record(answer)
        text = said(frontend, answer.body) if streams else text_of(frontend, answer.body)
        assert (name, answer.status, text) == (name, 200, OTHER)
        assert [(each["backend"], each["model"], each["outcome"]) for each in record["attempts"]] == [
            ("local", "home", kind),
            ("cloud", "big", "answered"),
        ]
        assert (len(local.requests), len(cloud.requests)) == (1, 1)
        assert json.loads(cloud.requests[0].body)["model"] == "big"
        assert (record["backend_used"], record["model_used"]) == ("cloud", "big")
        for header, value in {"backend": "cloud", "model": "big", "attempts": "2"}.items():
            assert answer.headers[f"x-crosswire-{header}"] == value


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_what_no_other_backend_is_asked_for(streams: bool) -> None:
    for name, (script, status, kind) in STAYS.items():
        async with two(script, fine("openai-chat")) as (local, cloud, it):
            answer = await it.ask("/v1/chat/completions", ask("openai-chat", stream=streams))
            record = await it.record(answer)
        assert (name, answer.status, record["outcome"]) == (name, status, kind)
        assert (len(local.requests), len(cloud.requests)) == (1, 0)


async def test_an_unreachable_backend() -> None:
    async with two([], fine("openai-chat"), keys={"base_url": "http://127.0.0.1:9"}) as (_, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, text_of("anthropic", answer.body)) == (200, OTHER)
    assert len(cloud.requests) == 1


async def test_the_fallback_is_said_once_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with two(error(500, "Oops"), fine("openai-chat")) as (_, _, it):
        await it.ask("/v1/messages", ask("anthropic"))
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned[1:] == ["local failed, falling back to cloud: said upstream"]
    assert warned[0].startswith("backend local at http://127.0.0.1:")


async def test_without_a_fallback_the_error_itself_reaches_the_client() -> None:
    route = [{"match": "m", "backend": "local", "model": "home"}]
    async with two(error(429, "Slow"), fine("openai-chat"), routes=route) as (local, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert answer.status == 429
    assert "said upstream" in error_text("anthropic", 429, answer.body)
    assert (len(local.requests), len(cloud.requests)) == (3, 0)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-crosswire-attempts"] == "3"


async def test_all_are_down() -> None:
    """Around again after a wait, each as often as the config says; the last error is the client's."""
    async with two(error(500, "Oops"), error(503, "Busy")) as (local, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
        record = await it.record(answer)
    assert [each["backend"] for each in record["attempts"]] == ["local", "cloud"] * 3
    assert (len(local.requests), len(cloud.requests)) == (3, 3)
    assert (answer.status, answer.headers["x-should-retry"]) == (529, "false")
    assert record["backend_used"] is None
    assert "x-crosswire-backend" not in answer.headers


# ---- again at the same place -----------------------------------------------------------------------------------------


async def test_the_same_backend_again() -> None:
    route = [{"match": "m", "backend": "local", "model": "home"}]
    scripts = [error(500, "Oops"), ["reset"], fine("anthropic")]
    async with two(scripts, [], routes=route) as (local, _, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
        record = await it.record(answer)
    assert (answer.status, text_of("anthropic", answer.body)) == (200, OTHER)
    assert len(local.requests) == 3
    # the reset came on a connection of the pool, and costs nothing
    assert [each["outcome"] for each in record["attempts"]] == ["upstream_error", "answered"]


@pytest.mark.parametrize(("wait", "tries"), [("0.02", 3), ("0.2", 1), ("3600", 1), ("-1", 3), ("soon", 3)])
async def test_a_retry_after_is_obeyed_up_to_a_bound(wait: str, tries: int) -> None:
    route = [{"match": "m", "backend": "local", "model": "home"}]
    async with two(error(429, "Slow", retry_after=wait), [], routes=route) as (local, _, it):
        began = asyncio.get_running_loop().time()
        answer = await it.ask("/v1/messages", ask("anthropic"))
        took = asyncio.get_running_loop().time() - began
    assert (answer.status, len(local.requests)) == (429, tries)
    if wait == "0.02":
        assert took >= 0.04  # twice what it asked for


async def test_a_spent_budget_ends_the_repeats_and_no_failover() -> None:
    retry = EAGER | {"budget": 0, "floor_per_s": 0}
    async with two(error(500, "Oops"), fine("openai-chat"), retry=retry) as (local, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, len(local.requests), len(cloud.requests)) == (200, 1, 1)
    async with two(error(500, "Oops"), error(500, "Oops"), retry=retry) as (local, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, len(local.requests), len(cloud.requests)) == (502, 1, 1)


async def test_the_deadline() -> None:
    """Silence, then more silence: the client hears of it when its time is over, not after all the tries."""
    async with two(["hold"], ["hold"], retry=EAGER | {"deadline_s": 0.05}) as (_, _, it):
        for streams in (False, True):
            answer = await it.ask("/v1/messages", ask("anthropic", stream=streams))
            assert answer.status == 504
            assert "retry.deadline_s" in error_text("anthropic", 504, answer.body)
            assert (await it.record(answer))["attempts"][-1]["outcome"] == "upstream_timeout"


async def test_the_deadline_is_over_once_a_word_is_out() -> None:
    frames = stream("openai-chat", "big")
    script = [head(), *(chunk(f) for f in frames[:3]), 0.2, *(chunk(f) for f in frames[3:]), LAST]
    async with two(error(500, "Oops"), script, retry=EAGER | {"deadline_s": 0.15}) as (_, _, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert (answer.whole, said("anthropic", answer.body)) == (True, TEXT)


# ---- keys ------------------------------------------------------------------------------------------------------------


async def test_a_refused_key_makes_room_for_the_next() -> None:
    keys = {"api_key": ["first-key-00", "second-key-0"]}
    scripts = [error(401, "No"), fine("anthropic"), fine("anthropic")]
    async with two(scripts, [], keys=keys) as (local, _, it):
        answers = [await it.ask("/v1/messages", ask("anthropic")) for _ in range(2)]
        record = await it.record(answers[0])
    assert [answer.status for answer in answers] == [200, 200]
    assert [heard.headers["x-api-key"] for heard in local.requests] == ["first-key-00", "second-key-0", "second-key-0"]
    assert [each["outcome"] for each in record["attempts"]] == ["upstream_auth", "answered"]


async def test_when_all_keys_are_refused() -> None:
    keys = {"api_key": ["first-key-00", "second-key-0"]}
    async with two(error(401, "No"), fine("openai-chat"), keys=keys) as (local, cloud, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, text_of("anthropic", answer.body)) == (200, OTHER)
    assert (len(local.requests), len(cloud.requests)) == (2, 1)


# ---- before and after the first word ---------------------------------------------------------------------------------


def cuts(protocol: str) -> list[Script]:
    """The stream of a protocol cut after each of its frames, cleanly and not."""
    frames = stream(protocol, "home")
    return [
        [head(stream_kind(protocol)), *(chunk(frame) for frame in frames[:n]), 0.005, end]
        for n in range(len(frames) + 1)
        for end in (LAST, "close", "reset")
    ]


PAIRS = list(itertools.product(PROTOCOLS, PROTOCOLS))


@pytest.mark.parametrize(("frontend", "backend"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_no_cut_mixes_two_models(frontend: str, backend: str) -> None:
    """Wherever the first answer breaks the client sees a whole one, or the first one's beginning and an error."""
    scripts = cuts(backend)
    async with two(scripts, streamed("openai-chat"), protocols=(backend, "openai-chat"), breaker={"failures": 0}) as (
        _,
        cloud,
        it,
    ):
        for n in range(len(scripts)):
            before = len(cloud.requests)
            answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
            record = await it.record(answer)
            text, asked = said(frontend, answer.body), len(cloud.requests) - before
            assert answer.status == 200
            if asked:
                assert (text, answer.whole, record["backend_used"]) == (OTHER, True, "cloud"), n
            elif answer.whole:
                assert (text, record["backend_used"]) == (TEXT, "local"), n
            else:
                assert TEXT.startswith(text), n
                assert in_band_error(frontend, answer.body)
                # Gemini's last frame holds words and end in one, and was relayed before the connection broke
                assert ENDS[frontend] not in answer.body or (frontend == backend == "gemini" and text == TEXT)
                assert record["backend_used"] == "local"


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_held_open_it_still_fails_over(frontend: str) -> None:
    """Pings are out, but no word of an answer: the client sees one whole stream, and no header that turned false."""
    gate = asyncio.Event()
    script: list[Step] = [gate, *error(500, "Oops")]
    async with two(script, streamed("openai-chat"), keepalive_s=0.02) as (_, _, it):
        reader, writer = await it.connect()
        writer.write(request(path(frontend, stream=True), ask(frontend, stream=True)))
        async with asyncio.timeout(5):
            status, headers = await read_head(reader)
            await read_chunk(reader)
            gate.set()
            body = b""
            while (piece := await read_chunk(reader)) is not None:
                body += piece
        writer.close()
    assert (status, said(frontend, body)) == (200, OTHER)
    assert not any(name.startswith("x-crosswire-") for name in headers)


async def test_held_open_and_all_down_is_in_band() -> None:
    gate = asyncio.Event()
    script: list[Step] = [gate, *error(500, "Oops")]
    async with two(script, error(503, "Busy"), keepalive_s=0.02) as (_, _, it):
        asking = asyncio.ensure_future(it.ask("/v1/messages", ask("anthropic", stream=True)))
        await asyncio.sleep(0.1)
        gate.set()
        answer = await asking
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, False)
    assert in_band_error("anthropic", answer.body)
    assert len(record["attempts"]) == 6


async def test_handshakes_do_not_count_as_words() -> None:
    frames = stream("anthropic", "home")[: handshakes("anthropic")]
    script = [head(), *(chunk(frame) for frame in frames), "close"]
    async with two(script, streamed("openai-chat")) as (_, _, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=True))
    assert (answer.whole, said("anthropic", answer.body)) == (True, OTHER)


# ---- clients that leave ----------------------------------------------------------------------------------------------


async def leave(it: Stage, after: asyncio.Event, *, stream: bool) -> None:
    """Ask, and go once this happened."""
    _, writer = await it.connect()
    writer.write(request("/v1/messages", ask("anthropic", stream=stream)))
    async with asyncio.timeout(5):
        await after.wait()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def left(it: Stage) -> str:
    """The metrics, once a request is counted whose client left."""
    async with asyncio.timeout(5):
        while 'outcome="aborted"' not in (text := await it.metrics()):
            pass
    return text


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_client_that_leaves_takes_the_upstream_with_it(streams: bool) -> None:
    async with two(["hold"], fine("openai-chat")) as (local, cloud, it):
        await leave(it, local.heard, stream=streams)
        async with asyncio.timeout(5):
            await local.left.wait()
        assert cloud.requests == []
        # whoever leaves says nothing of the backend
        assert 'crosswire_breaker_state{backend="local"} 0.0' in await left(it)


async def test_a_client_that_leaves_during_a_wait_is_not_waited_for() -> None:
    retry = EAGER | {"max_wait_s": 60}
    route = [{"match": "m", "backend": "local", "model": "home"}]
    async with two(error(429, "Slow", retry_after="30"), [], retry=retry, routes=route) as (local, _, it):
        await leave(it, local.heard, stream=False)
        await left(it)
        assert len(local.requests) == 1


# ---- the breaker -----------------------------------------------------------------------------------------------------

BREAKER = {"failures": 2, "window_s": 60, "open_s": 0.2}


async def test_an_open_breaker_leaves_a_backend_alone_until_its_time() -> None:
    scripts: list[Script] = [["reset"], ["reset"], fine("anthropic", "Back again.")]
    async with two(scripts, fine("openai-chat"), breaker=BREAKER) as (local, _, it):
        for _ in range(5):
            answer = await it.ask("/v1/messages", ask("anthropic"))
            assert text_of("anthropic", answer.body) == OTHER
        record = await it.record(answer)
        assert len(local.requests) == 2
        assert record["decision"]["considered"][0] | {"model": None} == {
            "backend": "local",
            "model": None,
            "taken": False,
            "why": "its breaker is open",
        }
        assert 'crosswire_breaker_state{backend="local"} 2.0' in await it.metrics()
        await asyncio.sleep(0.25)
        assert 'crosswire_breaker_state{backend="local"} 1.0' in await it.metrics()
        answers = [await it.ask("/v1/messages", ask("anthropic")) for _ in range(2)]
        assert [text_of("anthropic", answer.body) for answer in answers] == ["Back again."] * 2
        assert 'crosswire_breaker_state{backend="local"} 0.0' in await it.metrics()


async def test_where_all_are_left_alone_the_client_hears_when_to_come_back() -> None:
    route = [{"match": "m", "backend": "local", "model": "home"}]
    once = EAGER | {"attempts": 1}
    async with two(["reset"], fine("openai-chat"), routes=route, retry=once, breaker=BREAKER | {"open_s": 7}) as (
        local,
        cloud,
        it,
    ):
        bodies = [ask("anthropic", text=text) for text in ("One.", "Two.")]  # one request alone may be at fault
        statuses = [(await it.ask("/v1/messages", body)).status for body in bodies]
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert statuses == [502, 502]
    assert answer.status == 529
    assert 1 <= int(answer.headers["retry-after"]) <= 7
    assert (len(local.requests), len(cloud.requests)) == (3, 0)  # it was called all the same


@pytest.mark.parametrize("broken", [error(500, "Oops"), ["reset"], ["close"]], ids=["a 500", "a reset", "an end"])
async def test_a_poison_request_opens_no_breaker(broken: Script) -> None:
    """Neither do a client's retries of it: what the backend may have read can be the cause."""
    route = [{"match": "m", "backend": "local", "model": "home"}]
    scripts: list[Script] = [*[broken] * 6, fine("anthropic")]
    async with two(scripts, [], routes=route, breaker=BREAKER) as (local, _, it):
        poison = ask("anthropic", text="The same words, which break it.")
        statuses = [(await it.ask("/v1/messages", poison)).status for _ in range(2)]
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (statuses, answer.status, len(local.requests)) == ([502, 502], 200, 7)


# ---- the cascade -----------------------------------------------------------------------------------------------------

SMART = {
    "auto": {
        "cheap": {"backend": "local", "model": "home"},
        "primary": {"backend": "cloud", "model": "big"},
        "cascade": True,
    }
}

JUDGED: dict[str, tuple[Script, str | None]] = {
    "good enough": (fine("anthropic", "It is four."), None),
    "unsure": (fine("anthropic", "I'm not sure."), "unsure"),
    "empty": (fine("anthropic", ""), "unsure"),
    "an error": (error(500, "Oops"), "upstream_error"),
    "a request that is too much for it": (error(400, "Too long"), "bad_request"),
}


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_poor_answer_of_the_cheap_model_is_never_seen(streams: bool) -> None:
    for name, (script, outcome) in JUDGED.items():
        if streams and outcome in (None, "unsure"):
            word = {"good enough": "It is four.", "unsure": "I'm not sure."}.get(name, "")
            script = streamed("anthropic", word)
        second = streamed("openai-chat") if streams else fine("openai-chat")
        async with two(script, second, routes=[], smart=SMART) as (_, cloud, it):
            answer = await it.ask("/v1/messages", ask("anthropic", "auto", stream=streams))
            record = await it.record(answer)
        text = said("anthropic", answer.body) if streams else text_of("anthropic", answer.body)
        assert (name, answer.status, text) == (name, 200, "It is four." if outcome is None else OTHER)
        assert [each["outcome"] for each in record["attempts"]] == [*([outcome] if outcome else []), "answered"]
        assert len(cloud.requests) == (outcome is not None)
        assert record["backend_used"] == ("local" if outcome is None else "cloud")
        assert record["decision"]["cascade"] is True
        assert record["decision"]["score"]["tier"] in ("flash", "standard")


async def test_the_better_model_has_the_last_word_whatever_it_says() -> None:
    async with two(fine("anthropic", ""), fine("openai-chat", "I don't know."), routes=[], smart=SMART) as (_, _, it):
        answer = await it.ask("/v1/messages", ask("anthropic", "auto"))
    assert text_of("anthropic", answer.body) == "I don't know."


async def test_where_the_better_model_is_down_an_unsure_answer_will_do() -> None:
    scripts = [fine("anthropic", "I'm not sure.")]
    breaker = {"failures": 1, "open_s": 60}
    async with two(scripts, ["reset"], routes=[], smart=SMART, breaker=breaker) as (_, cloud, it):
        await it.ask("/v1/messages", ask("anthropic", "big"))  # opens its breaker
        answer = await it.ask("/v1/messages", ask("anthropic", "auto"))
    assert text_of("anthropic", answer.body) == "I'm not sure."
    assert len(cloud.requests) == 3
