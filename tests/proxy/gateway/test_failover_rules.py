"""Failures that lead to the next key or backend, those that do not, and the client's error where none is left.

The retry settings and breakers are the defaults but for the length of the waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from crosswire.proxy.backends import name_resolution

from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply, stream, stream_kind, text_of
from ..scripted_upstream import Script, Upstream, chunked, http, upstream

QUICK = {"base_s": 0.001, "cap_s": 0.002}
OTHER = "Other words."
KEYS = ["sk-the-first-key", "sk-the-second-key"]


@contextlib.asynccontextmanager
async def two(
    first: list[Script], second: list[Script], protocols: tuple[str, str], keys: list[str] = KEYS, **settings: Any
) -> AsyncIterator[tuple[Upstream, Upstream, Stage]]:
    """A route from `m` to two backends, of which the first has two keys or these."""
    async with upstream(*first) as a, upstream(*second) as b:
        backends = {
            "first": {"protocol": protocols[0], "base_url": a.url, "api_key": keys},
            "second": {"protocol": protocols[1], "base_url": b.url},
        }
        routes = [{"match": "m", "to": ["first", "second"]}]
        async with stage(config(backends, **{"routes": routes, "retry": QUICK, **settings})) as it:
            yield a, b, it


def fine(protocol: str) -> Script:
    return [http(dumps(reply(protocol, "m", OTHER)))]


def refusal(status: int, body: Any, **headers: Any) -> Script:
    return [http(dumps(body), f"{status} No", **headers)]


def openai(message: str, code: str | None = None, type_: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code, **more}}


def anthropic(type_: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type_, "message": message, **more}}


def gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"
INFO = "type.googleapis.com/google.rpc.ErrorInfo"

REFUSALS: dict[str, tuple[str, Script, str]] = {
    # ---- the key, the account: the next key, then the next backend
    "openai: a wrong key": (
        "openai-chat",
        refusal(401, openai("Incorrect API key provided: sk-x.", "invalid_api_key")),
        "upstream_auth",
    ),
    "xai: a wrong key": (
        "openai-responses",
        refusal(400, {"code": "invalid-argument", "error": "Incorrect API key provided. You can obtain one."}),
        "upstream_auth",
    ),
    "openai: no quota": (
        "openai-chat",
        refusal(429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")),
        "upstream_quota",
    ),
    "openai: a project's limit": (
        "openai-responses",
        refusal(429, openai("You exceeded it.", "project_spend_limit_exceeded", "insufficient_quota")),
        "upstream_quota",
    ),
    "deepseek: no balance": (
        "openai-chat",
        refusal(402, openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
        "upstream_quota",
    ),
    "xai: no credit": (
        "openai-chat",
        refusal(429, openai("Your team has either used all available credits or reached its monthly limit.")),
        "upstream_quota",
    ),
    "xai: a wrong key, percent-encoded": (
        "openai-chat",
        refusal(400, openai("Incorrect%20API%20key%20provided%3A%20na***ys.")),
        "upstream_auth",
    ),
    "zai: no balance": (
        "openai-chat",
        refusal(429, openai("Insufficient balance or no resource package. Please recharge.", "1113")),
        "upstream_quota",
    ),
    "openrouter: a key's limit": (
        "openai-chat",
        refusal(403, openai("Key limit exceeded (monthly limit). Manage it using https://openrouter.ai/settings/keys")),
        "upstream_quota",
    ),
    "aihubmix: no quota": (
        "openai-chat",
        refusal(403, openai("No more.", "insufficient_user_quota")),
        "upstream_quota",
    ),
    "groq: a spend limit": (
        "openai-chat",
        refusal(400, openai("Access is blocked.", "blocked_api_access")),
        "upstream_quota",
    ),
    "openai: a region": (
        "openai-chat",
        refusal(403, openai("Country, region, or territory not supported", "unsupported_country_region_territory")),
        "upstream_region",
    ),
    "anthropic: no credit": (
        "anthropic",
        refusal(400, anthropic("invalid_request_error", "Your credit balance is too low to access the API.")),
        "upstream_quota",
    ),
    "anthropic: billing": ("anthropic", refusal(402, anthropic("billing_error", "Pay first.")), "upstream_quota"),
    "zai as anthropic: no balance": (
        "anthropic",
        refusal(429, anthropic("1113", "Insufficient balance or no resource package. Please recharge.")),
        "upstream_quota",
    ),
    "anthropic: a tier's cap": (
        "anthropic",
        refusal(429, anthropic("rate_limit_error", "No more.", details={"error_code": "enforced_spend_limit_reached"})),
        "upstream_quota",
    ),
    "anthropic: a region": (
        "anthropic",
        refusal(403, anthropic("forbidden", "Request not allowed")),
        "upstream_region",
    ),
    "anthropic: a permission": ("anthropic", refusal(403, anthropic("permission_error", "No.")), "upstream_auth"),
    "gemini: a wrong key": (
        "gemini",
        refusal(400, gemini(400, "INVALID_ARGUMENT", "Not valid.", {"@type": INFO, "reason": "API_KEY_INVALID"})),
        "upstream_auth",
    ),
    "gemini: a region": (
        "gemini",
        refusal(400, gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")),
        "upstream_region",
    ),
    "gemini: no prepaid credits": (
        "gemini",
        refusal(402, gemini(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")),
        "upstream_quota",
    ),
    "gemini: a day's quota": (
        "gemini",
        refusal(
            429,
            gemini(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota.",
                {"@type": QUOTA, "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"},
            ),
        ),
        "upstream_quota",
    ),
    "ollama: a week's quota": (
        "ollama",
        refusal(429, {"error": "you (me) have reached your weekly usage limit, upgrade for higher limits"}),
        "upstream_quota",
    ),
    # ---- this text, this model: the next backend, and the key stays in use
    "openrouter: moderation": (
        "openai-chat",
        refusal(403, openai("Your input was flagged.", metadata={"reasons": ["violence"], "flagged_input": "…"})),
        "upstream_moderation",
    ),
    "openrouter: a guardrail": (
        "openai-chat",
        refusal(403, openai("Request blocked: prompt injection patterns detected", metadata={"patterns": ["x"]})),
        "upstream_moderation",
    ),
    "opencode: one model in this region": (
        "openai-chat",
        refusal(403, openai("This model is not available in your region.")),
        "upstream_forbidden",
    ),
    "bedrock: one model": (
        "anthropic",
        refusal(403, anthropic("permission_error", "You don't have access to the model with the specified model ID.")),
        "upstream_forbidden",
    ),
    "openai: one model": (
        "openai-chat",
        refusal(403, openai("Project `proj_x` does not have access to model `m`", "model_not_found")),
        "upstream_forbidden",
    ),
    "ollama: one model": (
        "ollama",
        refusal(403, {"error": "this model requires a subscription, upgrade for access"}),
        "upstream_forbidden",
    ),
    "ollama as anthropic: one model": (
        "anthropic",
        refusal(403, anthropic("permission_error", "this model requires a subscription, upgrade for access: x")),
        "upstream_forbidden",
    ),
}

KEEPS_ITS_KEY = ("upstream_moderation", "upstream_forbidden")


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_of_the_account_moves_on(name: str, streams: bool) -> None:
    protocol, script, kind = REFUSALS[name]
    answer_script = chunked(stream("openai-chat"), stream_kind("openai-chat")) if streams else fine("openai-chat")
    async with two([script], [answer_script], (protocol, "openai-chat")) as (first, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic", stream=streams))
        record = await it.record(answer)
        backend = it.gateway.backends["first"]
        metrics = await it.metrics()
    keys = 1 if kind in KEEPS_ITS_KEY else 2
    assert [each["outcome"] for each in record["attempts"]] == [kind] * keys + ["answered"]
    assert (answer.status, len(first.requests), len(second.requests)) == (200, keys, 1)
    assert backend.key == 0
    assert 'crosswire_breaker_state{backend="first"} 0.0' in metrics


@pytest.mark.parametrize("name", [name for name, (*_, kind) in REFUSALS.items() if kind not in KEEPS_ITS_KEY])
async def test_the_second_key_of_an_account_is_enough(name: str) -> None:
    protocol, script, _ = REFUSALS[name]
    async with two([script, fine(protocol)], [], (protocol, "openai-chat")) as (first, second, it):
        answer = await it.ask("/v1/messages", ask("anthropic"))
    assert (answer.status, len(first.requests), len(second.requests)) == (200, 2, 0)


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("name", REFUSALS)
async def test_where_nobody_is_left_the_kind_is_named(name: str, frontend: str) -> None:
    """Never a 401, 402 or 403: those are for the client's own key, budget and permission."""
    protocol, script, kind = REFUSALS[name]
    async with upstream(script) as up, stage(config(one(protocol, up.url), retry=QUICK)) as it:
        answer = await it.ask(path(frontend), ask(frontend))
    assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")
    text = error_text(frontend, 502, answer.body)
    assert kind == "upstream_auth" or kind in text
    if frontend.startswith("openai"):
        assert json.loads(answer.body)["error"]["code"] == kind
    assert len(up.requests) == 1


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_quota_with_a_reset_says_when(frontend: str) -> None:
    script = refusal(429, openai("You exceeded it.", "insufficient_quota", "insufficient_quota"), retry_after="90")
    async with upstream(script) as up, stage(config(one("openai-chat", up.url), retry=QUICK)) as it:
        answer = await it.ask(path(frontend), ask(frontend))
    assert (answer.status, answer.headers["retry-after"], answer.headers["x-should-retry"]) == (503, "90", "false")
    assert "upstream_quota" in error_text(frontend, 503, answer.body)


# ---- whose fault it is -----------------------------------------------------------------------------------------------


async def test_one_body_that_another_backend_answers_opens_the_breaker() -> None:
    async with two([refusal(503, {})], [fine("openai-chat")], ("anthropic", "openai-chat")) as (first, _, it):
        answers = [await it.ask("/v1/messages", ask("anthropic")) for _ in range(30)]
    assert {answer.status for answer in answers} == {200}
    assert len(first.requests) == 5


async def test_a_body_that_nobody_can_answer_opens_none() -> None:
    async with two([refusal(500, {})], [refusal(500, {})], ("anthropic", "openai-chat")) as (_, _, it):
        for _ in range(10):
            await it.ask("/v1/messages", ask("anthropic"))
        metrics = await it.metrics()
    assert 'crosswire_breaker_state{backend="first"} 0.0' in metrics
    assert 'crosswire_breaker_state{backend="second"} 0.0' in metrics


async def test_our_own_want_of_descriptors_is_never_held_against_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [True]
    make = name_resolution.open_descriptor

    def refuse(*arguments: Any) -> Any:
        if failing[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return make(*arguments)

    monkeypatch.setattr(name_resolution, "open_descriptor", refuse)
    async with upstream(fine("anthropic")) as up, stage(config(one("anthropic", up.url), retry=QUICK)) as it:
        answers = [await it.ask("/v1/messages", ask("anthropic", text=str(n))) for n in range(8)]
        assert 'crosswire_breaker_state{backend="b"} 0.0' in await it.metrics()
        failing[0] = False
        last = await it.ask("/v1/messages", ask("anthropic"))
    assert {answer.status for answer in answers} == {503}
    assert b"EMFILE" in answers[0].body
    assert (last.status, text_of("anthropic", last.body)) == (200, OTHER)


async def test_a_backend_that_asked_to_be_left_alone_comes_last() -> None:
    scripts = [refusal(429, {}, retry_after="60"), fine("anthropic")]
    async with two(scripts, [fine("openai-chat")], ("anthropic", "openai-chat"), KEYS[:1]) as (first, second, it):
        for _ in range(3):
            assert (await it.ask("/v1/messages", ask("anthropic"))).status == 200
    assert (len(first.requests), len(second.requests)) == (1, 3)


async def test_a_count_of_the_proxys_own_takes_no_place_of_a_backend() -> None:
    """It is no call, so that a backend with an open breaker is not asked for one of its few places."""
    settings = {"breaker": {"failures": 1, "open_s": 60, "panic": 2}}
    async with two([refusal(500, {})], [], ("anthropic", "openai-chat"), **settings) as (_, second, it):
        it.gateway.breakers.failed("second", "upstream_unreachable", 0, it.gateway.now())
        async with asyncio.timeout(10):
            answers = [await it.ask("/v1/messages/count_tokens", ask("anthropic", text=str(n))) for n in range(4)]
    assert {answer.status for answer in answers} == {200}
    assert not second.requests


# ---- what one account keeps ------------------------------------------------------------------------------------------

BOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "previous_response_id": ("openai-responses", {"previous_response_id": "resp_7"}),
    "conversation": ("openai-responses", {"conversation": {"id": "conv_7"}}),
    "prompt": ("openai-responses", {"prompt": {"id": "pmpt_7"}}),
    "background": ("openai-responses", {"background": True}),
    "item_reference": ("openai-responses", {"input": [{"type": "item_reference", "id": "msg_7"}]}),
    "container": ("anthropic", {"container": "container_7"}),
    "cachedContent": ("gemini", {"cachedContent": "cachedContents/7"}),
    "file_id": (
        "anthropic",
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_7"}}]}
            ]
        },
    ),
}
"""Requests that refer to what one account keeps, by the field that does."""


@pytest.mark.parametrize("field", BOUND)
@pytest.mark.parametrize(("status", "calls"), [(500, 1), (401, 1), (503, 3), (429, 3)])
async def test_a_call_that_needs_one_account_stays_there(field: str, status: int, calls: int) -> None:
    """No other backend and no other key; again only where nothing was done for it."""
    protocol, fields = BOUND[field]
    async with two([refusal(status, {})], [fine(protocol)], (protocol, protocol)) as (first, second, it):
        answer = await it.ask(path(protocol), ask(protocol, **fields))
    assert answer.status >= 429
    assert f"what `{field}` refers to" in error_text(protocol, answer.status, answer.body)
    assert (len(first.requests), len(second.requests)) == (calls, 0)


async def test_no_connection_is_tried_again() -> None:
    fields = BOUND["background"][1]
    backends = {
        "first": {"protocol": "openai-responses", "base_url": "http://127.0.0.1:1"},
        "second": {"protocol": "openai-responses", "base_url": "http://127.0.0.1:1"},
    }
    routes = [{"match": "m", "to": ["first", "second"]}]
    async with stage(config(backends, routes=routes, retry=QUICK)) as it:
        answer = await it.ask("/v1/responses", ask("openai-responses", **fields))
        record = await it.record(answer)
    assert [each["backend"] for each in record["attempts"]] == ["first"] * 3


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_request_that_goes_on_returns_to_who_answered(streams: bool) -> None:
    """The first was down when the conversation began, and is up again: the second still has it."""
    protocol = "openai-responses"
    begun = chunked(stream(protocol), stream_kind(protocol)) if streams else fine(protocol)
    scripts = [refusal(500, {}), fine(protocol)]
    async with two(scripts, [begun, fine(protocol)], (protocol, protocol)) as (first, second, it):
        answer = await it.ask("/v1/responses", ask(protocol, stream=streams))
        id_ = json.loads(dumps(reply(protocol)))["id"]
        assert id_.encode() in answer.body
        await it.ask("/v1/responses", ask(protocol, previous_response_id=id_))
        await it.get(f"/v1/responses/{id_}")
    assert (len(first.requests), len(second.requests)) == (1, 3)


@pytest.mark.parametrize("then", [429, 500])
async def test_a_request_that_goes_on_waits_for_who_has_it(then: int) -> None:
    """Its backend asked to be left alone, or has an open breaker: no other one is asked for what it does not have."""
    protocol = "openai-responses"
    scripts = [fine(protocol), refusal(then, {}, retry_after="60"), fine(protocol)]
    settings = {"breaker": {"failures": 1, "open_s": 60}}
    async with two(scripts, [fine(protocol)], (protocol, protocol), KEYS[:1], **settings) as (first, second, it):
        await it.ask("/v1/responses", ask(protocol))
        await it.ask("/v1/responses", ask(protocol, text="another"))
        id_ = json.loads(dumps(reply(protocol)))["id"]
        assert len(second.requests) == 1
        it.gateway.owners.remember(id_, "first")
        answer = await it.ask("/v1/responses", ask(protocol, previous_response_id=id_))
    assert (answer.status, len(first.requests), len(second.requests)) == (200, 3, 1)


async def test_a_whole_request_moves_on_though_it_is_to_be_stored() -> None:
    protocol = "openai-responses"
    async with two([refusal(500, {})], [fine(protocol)], (protocol, protocol)) as (_, second, it):
        answer = await it.ask("/v1/responses", ask(protocol, store=True))
    assert (answer.status, len(second.requests)) == (200, 1)
