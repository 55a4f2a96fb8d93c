"""Compaction and stored responses: passed on byte for byte to a Responses backend, and clear errors elsewhere."""

from __future__ import annotations

import itertools
import json
from urllib.parse import parse_qsl

import pytest

from crosswire.proxy.endpoints.responses_store import QUERY_FIELDS

from ..proxy_fixture import KEY, config, one, stage
from ..sample_messages import JSON, ask, dumps, error_text, path, reply, stream, stream_kind, upstream_error
from ..scripted_upstream import chunked, http, upstream

NOWHERE = "http://127.0.0.1:1"
OTHERS = ("openai-chat", "anthropic", "gemini", "ollama")

COMPACT = b'{"model": "m",  "input": [{"role": "user", "content": "\\u0041 long talk"}], "x_tomorrow": null}'
COMPACTED = b'{"id": "resp_1",  "object": "response.compaction", "output": [{"type": "compaction"}]}'

# ---- compaction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_compaction_goes_on_byte_for_byte(prefix: str) -> None:
    async with (
        upstream([http(COMPACTED)]) as up,
        stage(config(one("openai-responses", up.url, relay="never"))) as it,
    ):
        answer = await it.ask(f"{prefix}/responses/compact", COMPACT)
        record = await it.record(answer)
    assert (answer.status, answer.body) == (200, COMPACTED)
    (heard,) = up.requests
    assert (heard.method, heard.target, heard.body) == ("POST", "/responses/compact", COMPACT)
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert (record["what"], record["outcome"], record["model"]) == ("compact", "answered", "m")
    assert answer.headers["x-crosswire-backend"] == "b"


async def test_compaction_names_the_upstreams_model() -> None:
    async with (
        upstream([http(COMPACTED)]) as up,
        stage(config(one("openai-responses", up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask("/v1/responses/compact", COMPACT)
    assert answer.headers["x-crosswire-model"] == "up-1"
    assert json.loads(up.requests[0].body) == json.loads(COMPACT) | {"model": "up-1"}


@pytest.mark.parametrize("backend", OTHERS)
async def test_nobody_else_compacts(backend: str) -> None:
    async with stage(config(one(backend, NOWHERE))) as it:
        answer = await it.ask("/v1/responses/compact", COMPACT)
    assert answer.status == 404
    assert "Only a backend of OpenAI Responses compacts" in error_text("openai-responses", 404, answer.body)


async def test_compaction_finds_the_backend_that_can() -> None:
    async with upstream([http(COMPACTED)]) as up:
        backends = one("anthropic", NOWHERE, priority=9) | {"c": one("openai-responses", up.url)["b"]}
        async with stage(config(backends)) as it:
            answer = await it.ask("/v1/responses/compact", COMPACT)
    assert (answer.status, answer.headers["x-crosswire-backend"]) == (200, "c")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": 5}', b'{"model": null}'])
async def test_a_bad_body_is_the_clients_fault(body: bytes) -> None:
    async with stage(config(one("openai-responses", NOWHERE))) as it:
        answer = await it.ask("/v1/responses/compact", body)
    assert answer.status == 400
    error_text("openai-responses", 400, answer.body)


async def test_garbage_is_no_compaction() -> None:
    async with upstream([http(b"<html>")]) as up, stage(config(one("openai-responses", up.url))) as it:
        answer = await it.ask("/v1/responses/compact", COMPACT)
    assert answer.status == 502


# ---- the store -------------------------------------------------------------------------------------------------------

STORED: list[tuple[str, str, str]] = [
    ("GET", "/v1/responses/resp_7", "/responses/resp_7"),
    ("GET", "/responses/resp_7", "/responses/resp_7"),
    (
        "GET",
        "/v1/responses/resp_7?include=reasoning.encrypted_content",
        "/responses/resp_7?include=reasoning.encrypted_content",
    ),
    ("GET", "/v1/responses/resp_7?include[]=a&include[]=b", "/responses/resp_7?include%5B%5D=a&include%5B%5D=b"),
    ("GET", "/v1/responses/resp_7?key=sk-clients&stream=false", "/responses/resp_7"),
    ("GET", "/v1/responses/..%2Fadmin", "/responses/..%2Fadmin"),
    (
        "GET",
        "/v1/responses/resp_7/input_items?limit=2&after=msg_1",
        "/responses/resp_7/input_items?limit=2&after=msg_1",
    ),
    ("DELETE", "/v1/responses/resp_7", "/responses/resp_7"),
    ("POST", "/v1/responses/resp_7/cancel", "/responses/resp_7/cancel"),
]
SAID = b'{"id": "resp_7",  "object": "response", "status": "completed"}'


@pytest.mark.parametrize(("method", "where", "target"), STORED)
async def test_the_store_is_the_providers(method: str, where: str, target: str) -> None:
    async with upstream([http(SAID)]) as up, stage(config(one("openai-responses", up.url))) as it:
        answer = await it.ask(where, None, {"authorization": "Bearer sk-clients"}, method=method)
        record = await it.record(answer)
    assert (answer.status, answer.body) == (200, SAID)
    (heard,) = up.requests
    assert (heard.method, heard.target, heard.body) == (method, target, b"")
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert "sk-clients" not in heard.target + str(heard.headers)
    assert (answer.headers["x-crosswire-backend"], record["what"]) == ("b", "stored")


async def test_of_the_address_only_what_is_known_goes_on() -> None:
    given = "&".join(f"{name}=1" for name in (*QUERY_FIELDS, "key", "api_key", "access_token", "nonsense"))
    async with upstream([http(SAID)]) as up, stage(config(one("openai-responses", up.url))) as it:
        await it.get(f"/v1/responses/resp_7?{given}")
    assert dict(parse_qsl(up.requests[0].target.partition("?")[2])) == dict.fromkeys(QUERY_FIELDS, "1")


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize(("method", "where"), [(method, where) for method, where, _ in STORED])
async def test_nobody_else_keeps_responses(method: str, where: str, backend: str) -> None:
    async with stage(config(one(backend, NOWHERE))) as it:
        answer = await it.ask(where, None, method=method)
    assert answer.status == 404
    assert "No backend here keeps responses" in error_text("openai-responses", 404, answer.body)


async def test_whoever_knows_the_id_answers() -> None:
    gone = http(upstream_error("openai-responses", "Response with id 'resp_7' not found.", 404), "404 Not Found")
    async with upstream([gone]) as first, upstream([http(SAID)]) as second:
        backends = one("openai-responses", first.url, priority=9) | {"c": one("openai-responses", second.url)["b"]}
        async with stage(config(backends)) as it:
            found = await it.get("/v1/responses/resp_7")
            pinned = await it.get("/v1/responses/resp_7", {"x-crosswire-backend": "b"})
            wrong = await it.get("/v1/responses/resp_7", {"x-crosswire-backend": "nobody"})
    assert (found.status, found.headers["x-crosswire-backend"]) == (200, "c")
    assert pinned.status == 404
    assert "Response with id 'resp_7' not found." in error_text("openai-responses", 404, pinned.body)
    assert wrong.status == 404
    assert "'nobody'" in error_text("openai-responses", 404, wrong.body)
    assert len(second.requests) == 1


GONE = http(upstream_error("openai-responses", "not found", 404), "404 Not Found")
BROKEN = http(upstream_error("openai-responses", "broken", 500), "500 No")
FOUND = http(SAID)

IN_TURN: list[tuple[bytes | str, bytes, int, int]] = [
    # what each of two backends says, the status that the client hears, and how often the second is asked
    (FOUND, FOUND, 200, 0),
    (GONE, FOUND, 200, 1),
    (BROKEN, FOUND, 200, 1),
    ("close", FOUND, 200, 1),
    (GONE, GONE, 404, 1),
    (BROKEN, GONE, 502, 1),  # it may be the first that has it
    (GONE, BROKEN, 502, 1),
]


@pytest.mark.parametrize(("first", "second", "status", "times"), IN_TURN)
async def test_backends_are_asked_in_turn(first: bytes | str, second: bytes, status: int, times: int) -> None:
    async with upstream([first]) as one_, upstream([second]) as other:
        backends = one("openai-responses", one_.url, priority=9) | {"c": one("openai-responses", other.url)["b"]}
        async with stage(config(backends)) as it:
            answer = await it.get("/v1/responses/resp_7")
    assert (answer.status, len(other.requests)) == (status, times)


@pytest.mark.parametrize(("status", "told"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502)])
async def test_the_stores_error_is_told(status: int, told: int) -> None:
    said = http(upstream_error("openai-responses", f"no, {KEY}", status), f"{status} No")
    async with upstream([said]) as up, stage(config(one("openai-responses", up.url))) as it:
        answer = await it.get("/v1/responses/resp_7")
    assert answer.status == told
    assert KEY not in error_text("openai-responses", told, answer.body)


async def test_a_stored_response_is_not_streamed() -> None:
    async with stage(config(one("openai-responses", NOWHERE))) as it:
        answer = await it.get("/v1/responses/resp_7?stream=true")
    assert answer.status == 400
    assert "stream" in error_text("openai-responses", 400, answer.body)


# ---- fields that need a store ----------------------------------------------------------------------------------------

NEED_A_STORE: dict[str, tuple[JSON, str]] = {
    "previous_response_id": ({"previous_response_id": "resp_7"}, "previous_response_id"),
    "conversation": ({"conversation": "conv_1"}, "previous_response_id"),
    "prompt": ({"prompt": {"id": "pmpt_1"}}, "previous_response_id"),
    "item_reference": (
        {
            "input": [
                {"type": "item_reference", "id": "msg_1"},
                {"type": "message", "role": "user", "content": "Go on."},
            ]
        },
        "previous_response_id",
    ),
    "store": ({"store": True}, "stored_response"),
    "background": ({"background": True}, "stored_response"),
}


@pytest.mark.parametrize(("field", "backend"), list(itertools.product(NEED_A_STORE, OTHERS)))
async def test_a_field_that_needs_a_store_is_refused(field: str, backend: str) -> None:
    more, word = NEED_A_STORE[field]
    async with stage(config(one(backend, NOWHERE))) as it:
        answer = await it.ask(path("openai-responses"), ask("openai-responses") | more)
    assert answer.status == 400
    assert word in error_text("openai-responses", 400, answer.body)


@pytest.mark.parametrize("relay", ["auto", "never"])
@pytest.mark.parametrize("field", NEED_A_STORE)
async def test_a_responses_backend_gets_it(field: str, relay: str) -> None:
    more, _ = NEED_A_STORE[field]
    body = ask("openai-responses") | more
    async with (
        upstream([http(dumps(reply("openai-responses")))]) as up,
        stage(config(one("openai-responses", up.url, relay=relay))) as it,
    ):
        answer = await it.ask(path("openai-responses"), body)
    assert answer.status == 200
    assert "x-crosswire-loss" not in answer.headers
    sent = json.loads(up.requests[0].body)
    assert sent | more == sent


async def test_a_config_may_let_it_drop() -> None:
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        stage(config(one("anthropic", up.url), ledger={"stored_response": "drop"})) as it,
    ):
        answer = await it.ask(path("openai-responses"), ask("openai-responses", store=True))
    assert (answer.status, answer.headers["x-crosswire-loss"]) == (200, "stored_response")
    assert "store" not in json.loads(up.requests[0].body)


@pytest.mark.parametrize("more", [{"store": False}, {"background": False}, {"previous_response_id": None}])
@pytest.mark.parametrize("backend", OTHERS)
async def test_who_wants_no_store_needs_none(backend: str, more: JSON) -> None:
    async with upstream([http(dumps(reply(backend)))]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path("openai-responses"), ask("openai-responses") | more)
    assert answer.status == 200
    assert "x-crosswire-loss" not in answer.headers


# ---- clients ---------------------------------------------------------------------------------------------------------

ADA, BOB = {"authorization": "Bearer cw-ada-0123456789abcdef"}, {"x-api-key": "cw-bob-0123456789abcdef"}
CLIENTS = {"ada": {"key": "cw-ada-0123456789abcdef"}, "bob": {"key": "cw-bob-0123456789abcdef"}}

STORED = [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]


@pytest.mark.parametrize("streams", [False, True])
async def test_what_a_client_stored_is_a_404_to_another(streams: bool) -> None:
    protocol = "openai-responses"
    whole = http(dumps(reply(protocol)))
    first = chunked(stream(protocol), stream_kind(protocol)) if streams else [whole]
    async with upstream(first, [whole]) as up, stage(config(one(protocol, up.url), clients=CLIENTS)) as it:
        answer = await it.ask(path(protocol), ask(protocol, stream=streams), ADA)
        assert answer.status == 200
        id_ = next(iter(it.gateway.owners._owners))
        assert id_ in answer.body.decode()
        calls = [(f"/v1/responses/{id_}{end}", None, method) for method, end in STORED]
        later = {**ask(protocol), "previous_response_id": id_}
        calls += [(path(protocol), later, "POST"), ("/v1/responses/compact", later, "POST")]
        calls += [("/v1/responses/input_tokens", later, "POST")]
        for where, body, method in calls:
            before = len(up.requests)
            other = await it.ask(where, body, BOB, method=method)
            assert (other.status, len(up.requests)) == (404, before), where
            assert id_ in error_text(protocol, 404, other.body)
            assert (await it.ask(where, body, ADA, method=method)).status != 404, where
            assert len(up.requests) == before + 1


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_of_nobody"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"background": True, "input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
async def test_what_nobody_is_known_to_have_stored_is_a_404(fields: JSON) -> None:
    protocol = "openai-responses"
    async with upstream([http(dumps(reply(protocol)))]) as up:
        body = {**ask(protocol), **fields}
        async with stage(config(one(protocol, up.url), clients=CLIENTS)) as it:
            assert (await it.ask(path(protocol), body, ADA)).status == 404
            assert up.requests == []
        async with stage(config(one(protocol, up.url))) as it:
            assert (await it.ask(path(protocol), body)).status == 200, "without clients it is passed on"


async def test_a_reference_to_anothers_item_does_not_hide_behind_an_own_response() -> None:
    protocol = "openai-responses"
    async with (
        upstream([http(dumps(reply(protocol)))]) as up,
        stage(config(one(protocol, up.url), clients=CLIENTS)) as it,
    ):
        id_ = json.loads((await it.ask(path(protocol), ask(protocol), ADA)).body)["id"]
        items = [{"type": "item_reference", "id": "msg_of_bob"}]
        for where in (path(protocol), "/v1/responses/compact"):
            body = {**ask(protocol), "previous_response_id": id_, "input": items}
            assert (await it.ask(where, body, ADA)).status == 404


async def test_the_store_knows_what_this_process_has_forgotten() -> None:
    protocol = "openai-responses"
    async with (
        upstream([http(dumps(reply(protocol)))]) as up,
        stage(config(one(protocol, up.url), clients=CLIENTS)) as it,
    ):
        kept = {"resp_old": ("ada", "b")}

        async def find(id_: str) -> tuple[str | None, str] | None:
            return kept.get(id_)

        it.gateway.owners.find = find
        where = "/v1/responses/resp_old"
        assert [(await it.get(where, key)).status for key in (BOB, ADA, BOB)] == [404, 200, 404]
        await it.ask(path(protocol), ask(protocol), ADA)
        assert [(who, backend) for _, who, backend in it.gateway.owners.new] == [("ada", "b")]
