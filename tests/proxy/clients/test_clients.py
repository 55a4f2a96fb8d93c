"""Two clients at a proxy: by which keys they are known, what they may use, and what each sees of the other."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf, nan
from typing import Any

import pytest

from crosswire.proxy.clients.client import Client, allows
from crosswire.proxy.clients.keys import digest, new_hash_key, new_key
from crosswire.proxy.clients.registry import ClientRegistry, KeyRow, KeyTable, Known
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.ir import Failure

from ..proxy_fixture import Answer, Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply, stream, stream_kind
from ..scripted_upstream import Upstream, chunked, http, upstream

ADA, BOB = "cw-ada-0123456789abcdef", "cw-bob-0123456789abcdef"
ADMIN = "admin-0123456789abcdef"
CLIENTS: dict[str, Any] = {"ada": {"key": ADA}, "bob": {"key": BOB}}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


PLACES: dict[str, Any] = {
    "authorization": lambda key: (bearer(key), ""),
    "a lower-case scheme": lambda key: ({"authorization": f"bearer  {key}"}, ""),
    "x-api-key": lambda key: ({"x-api-key": key}, ""),
    "x-goog-api-key": lambda key: ({"x-goog-api-key": key}, ""),
    "api-key": lambda key: ({"api-key": key}, ""),
    "query": lambda key: ({}, f"key={key}"),
    "behind another": lambda key: ({"authorization": "Bearer sk-of-the-environment", "x-api-key": key}, ""),
}
"""The places in which clients put their keys, as headers and a query."""


@asynccontextmanager
async def serving(
    protocol: str, clients: Any = None, *, streams: bool = False, script: Any = None, **settings: Any
) -> AsyncIterator[tuple[Stage, Upstream]]:
    """A proxy with these clients, and an upstream that answers everything."""
    whole = [http(dumps(reply(protocol)))]
    script = script or (chunked(stream(protocol), stream_kind(protocol)) if streams else whole)
    async with upstream(script) as up:
        given = CLIENTS if clients is None else clients
        async with stage(config(one(protocol, up.url), clients=given, admin_key=ADMIN, **settings)) as it:
            yield it, up


def with_query(where: str, query: str) -> str:
    return f"{where}{'&' if '?' in where else '?'}{query}" if query else where


# ---- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_key_is_known_wherever_clients_put_it(protocol: str, place: str, streams: bool) -> None:
    async with serving(protocol, streams=streams) as (it, up):
        fields, query = PLACES[place](ADA)
        answer = await it.ask(with_query(path(protocol, stream=streams), query), ask(protocol, stream=streams), fields)
        assert answer.status == 200, answer
        assert it.gateway.records.get(answer.headers["x-request-id"]).client == "ada"
        heard = up.requests[0]
        assert ADA not in f"{heard.target}{heard.headers}{heard.body.decode()}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        bearer("cw-nobody-0123456789abcdef"),
        bearer(ADA[:-1]),
        bearer(ADA + "0"),
        bearer("Ä"),
        {"authorization": "Basic eA=="},
    ],
)
async def test_no_key_or_a_wrong_one_is_a_401_in_the_clients_shape(protocol: str, fields: dict[str, str]) -> None:
    async with serving(protocol) as (it, up):
        answer = await it.ask(path(protocol), ask(protocol), fields)
        assert answer.status == 401
        assert "key" in error_text(protocol, 401, answer.body)
        assert up.requests == []


async def test_no_key_is_written_anywhere(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "cw-wrong-0123456789abcdef"
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        cfg = config(one("openai-chat", up.url), clients=CLIENTS, admin_key=ADMIN)
        async with stage(cfg, stage_log=tmp_path / "stages") as it:
            seen = []
            for key in (ADA, wrong):
                answer = await it.ask(with_query(path("openai-chat"), f"key={key}"), ask("openai-chat"), bearer(key))
                seen += [answer, await it.get(f"/crosswire/requests/{answer.headers['x-request-id']}", bearer(ADMIN))]
            seen.append(await it.get("/metrics", bearer(ADMIN)))
            told = f"{seen} {cfg!r} {caplog.text} {(tmp_path / 'stages').read_text()}"
            assert ADA not in told
            assert wrong not in told


def test_equal_beginnings_are_not_equal_keys() -> None:
    hash_key, first, second = new_hash_key(), "cw-" + "x" * 40 + "1", "cw-" + "x" * 40 + "2"
    table = KeyTable(hash_key, [KeyRow(digest(first, hash_key), Client(name="first"))])
    assert table.find(first) is not None
    assert table.find(second) is None
    assert first not in repr(table)


def test_every_key_that_is_made_differs_and_is_a_header() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("cw-") and len(key) == 46 and key.isascii() for key in keys)


@pytest.mark.parametrize(
    ("grants", "when", "why"),
    [
        ({"enabled": False}, 0, "disabled"),
        ({"expires": 100.0}, 100, "expired"),
        ({"expires": 100.0}, 99.9, None),
    ],
)
def test_keys_end(grants: dict[str, Any], when: float, why: str | None) -> None:
    hash_key = new_hash_key()
    table = KeyTable(hash_key, [KeyRow(digest(ADA, hash_key), Client(name="ada", **grants))])
    found = ClientRegistry([], [table]).identify(bearer(ADA), {}, when)
    if why is None:
        assert isinstance(found, Client)
    else:
        assert isinstance(found, Failure)
        assert why in found.message


@pytest.mark.parametrize(
    ("expires", "ends", "until"),
    [(None, None, inf), (100.0, None, 100.0), (None, 50.0, 50.0), (100.0, 50.0, 50.0), (40.0, 50.0, 40.0)],
)
def test_until_when_a_key_is_its_clients(expires: float | None, ends: float | None, until: float) -> None:
    client = Client(name="ada", expires=expires)
    hash_key = new_hash_key()
    registry = ClientRegistry([client], [KeyTable(hash_key, [KeyRow(digest(ADA, hash_key), client, ends)])])
    assert registry.look_up(bearer(ADA), {}, 1.0) == Known(client, until)
    if until < inf:
        assert isinstance(registry.look_up(bearer(ADA), {}, until), Failure)


@pytest.mark.parametrize(
    ("claims", "until"),
    [
        ({"exp": 90}, 90.0),
        ({"exp": 200.5}, 100.0),
        ({}, 0.0),
        ({"exp": "x"}, 0.0),
        ({"exp": nan}, 0.0),
        ({"exp": 10**400}, 0.0),
    ],
)
def test_until_when_a_token_is_its_clients(claims: dict[str, Any], until: float) -> None:
    """Of one without a time that is known, nothing is sure later."""
    client = Client(name="ada", expires=100.0, claims={"sub": "a"})

    class Checker:
        def check(self, token: str, now: float) -> dict[str, Any]:
            return {"sub": "a", **claims}

    assert ClientRegistry([client], [], Checker()).look_up(bearer("eyJ.x.y"), {}, 1.0) == Known(client, until)


# ---- what a client may use -------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "a model": ({"models": ["other-*"]}, {}, "the model 'm'"),
    "a backend": ({"backends": ["c"]}, {}, "the model 'm'"),
    "a pin": ({"pins": False}, {"x-crosswire-backend": "b"}, "pin"),
    "a mode": ({"modes": ["slow"]}, {"x-crosswire-mode": "fast"}, "the mode 'fast'"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_is_not_allowed_is_a_403_that_names_it(protocol: str, case: str) -> None:
    grants, fields, named = REFUSED[case]
    clients = {"ada": {"key": ADA, **grants}, "bob": {"key": BOB}}
    async with serving(protocol, clients, modes={"fast": {"backend": "b"}}) as (it, up):
        answer = await it.ask(path(protocol), ask(protocol), bearer(ADA) | fields)
        assert answer.status == 403, answer
        assert named in error_text(protocol, 403, answer.body)
        assert up.requests == []
        assert (await it.ask(path(protocol), ask(protocol), bearer(BOB) | fields)).status == 200


async def test_a_frontend_that_is_not_allowed_is_a_403() -> None:
    clients = {"ada": {"key": ADA, "frontends": ["anthropic"]}}
    async with serving("anthropic", clients) as (it, _):
        assert (await it.ask(path("anthropic"), ask("anthropic"), bearer(ADA))).status == 200
        assert (await it.ask(path("openai-chat"), ask("openai-chat"), bearer(ADA))).status == 403


async def test_a_backend_that_is_not_allowed_is_left_out_of_the_chain() -> None:
    async with upstream([http(b"{}", "500 No")]) as bad, upstream([http(dumps(reply("openai-chat")))]) as good:
        backends = {"first": one("openai-chat", bad.url)["b"], "second": one("openai-chat", good.url)["b"]}
        clients = {"ada": {"key": ADA, "backends": ["second"]}, "bob": {"key": BOB, "backends": ["first"]}}
        async with stage(config(backends, clients=clients)) as it:
            assert (await it.ask(path("openai-chat"), ask("openai-chat"), bearer(ADA))).status == 200
            assert bad.requests == []
            assert (await it.ask(path("openai-chat"), ask("openai-chat"), bearer(BOB))).status >= 500
            assert len(good.requests) == 1, "a failover must not leave what the client may use"


async def test_the_clients_suffix_of_a_model_is_no_way_around_its_patterns() -> None:
    clients = {"ada": {"key": ADA, "models": ["m"]}}
    async with serving("openai-chat", clients) as (it, _):
        assert (await it.ask(path("openai-chat"), ask("openai-chat", "m[1m]"), bearer(ADA))).status == 200
        assert (await it.ask(path("openai-chat"), ask("openai-chat", "n[1m]"), bearer(ADA))).status == 403


async def test_lists_of_models_show_what_the_client_may_use() -> None:
    clients = {"ada": {"key": ADA, "models": ["gpt-*"]}, "bob": {"key": BOB}}
    backends = one("openai-chat", "http://127.0.0.1:9", models=["gpt-a", "other"])
    async with stage(config(backends, clients=clients)) as it:

        async def names(key: str) -> list[str]:
            return [each["id"] for each in json.loads((await it.get("/v1/models", bearer(key))).body)["data"]]

        assert await names(ADA) == ["gpt-a"]
        assert await names(BOB) == ["gpt-a", "other"]
        assert (await it.get("/v1/models/other", bearer(ADA))).status == 404
        assert (await it.get("/v1/models/other", bearer(BOB))).status == 200
        assert (await it.get("/v1/models")).status == 401


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (("*",), "x", True),
        (("gpt-*", "o3"), "o3", True),
        (("gpt-*",), "agpt-1", False),
        ((), "x", False),
        (("a",), "a\n", False),
    ],
)
def test_patterns(patterns: tuple[str, ...], name: str, allowed: bool) -> None:
    assert allows(patterns, name) is allowed


# ---- the operator, and the other client ------------------------------------------------------------------------------


async def test_a_clients_records_are_a_404_to_another() -> None:
    async with serving("openai-chat") as (it, _):
        answer = await it.ask(path("openai-chat"), ask("openai-chat"), bearer(ADA))
        where = f"/crosswire/requests/{answer.headers['x-request-id']}"
        assert [(await it.get(where, bearer(key))).status for key in (ADA, BOB, ADMIN)] == [200, 404, 200]
        assert (await it.get(where)).status == 401
        assert json.loads((await it.get(where, bearer(ADMIN))).body)["client"] == "ada"


@pytest.mark.parametrize("where", ["/metrics", "/admin/explain"])
async def test_the_operators_paths_need_the_admin_key(where: str) -> None:
    async with serving("openai-chat") as (it, _):
        body = {"model": "m"} if where.startswith("/admin") else None
        seen = [(await it.ask(where, body, fields)).status for fields in ({}, bearer(ADA), bearer(ADMIN))]
        assert seen == [401, 401, 200]
    async with stage(config(one("openai-chat", "http://127.0.0.1:9"), clients=CLIENTS)) as it:
        answer = await it.ask(where, body, bearer(ADA))
        assert answer.status == 403
        assert b"admin_key" in answer.body


async def test_probes_need_no_key() -> None:
    async with serving("openai-chat") as (it, _):
        assert [(await it.get(where)).status for where in ("/livez", "/readyz")] == [200, 200]


# ---- the config ------------------------------------------------------------------------------------------------------

BACKENDS = one("openai-chat", "http://127.0.0.1:9")

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "open beside clients": ({"clients": CLIENTS, "open": True}, "open: contradicts clients"),
    "a short key": ({"clients": {"ada": {"key": "short"}}}, "clients.ada.key: has fewer than 16"),
    "a key of two": (
        {"clients": {"ada": {"key": ADA}, "bob": {"key": ADA}}},
        "clients.bob.key: is the key of clients.ada",
    ),
    "the admin key": ({"clients": {"ada": {"key": ADMIN}}, "admin_key": ADMIN}, "clients.ada.key: is the admin_key"),
    "nobody": ({"clients": {"ada": {}}}, "clients.ada: has neither a key nor claims"),
    "a name": ({"clients": {"a b": {"key": ADA}}}, "is no name of a client"),
    "a rate": ({"clients": {"ada": {"key": ADA, "requests": "many"}}}, "clients.ada.requests: is no rate"),
    "a date": ({"clients": {"ada": {"key": ADA, "expires": "soon"}}}, "clients.ada.expires: is no date"),
    "a frontend": (
        {"clients": {"ada": {"key": ADA, "frontends": ["smtp"]}}},
        "clients.ada.frontends[0]: 'smtp' is unknown",
    ),
    "a zone": (
        {"clients": {"ada": {"key": ADA, "budgets": {"usd": 1, "per": "day", "zone": "Moon/Base"}}}},
        "clients.ada.budgets.zone",
    ),
    "a budget without a period": ({"clients": {"ada": {"key": ADA, "budgets": [{"usd": 1}]}}}, "budgets[0]: lacks per"),
    "claims without jwt": ({"clients": {"ada": {"claims": {"sub": "ada"}}}}, "needs the key jwt"),
    "jwt without clients": ({"jwt": {"jwks": "/none", "audience": "x"}}, "jwt: checks the tokens of clients"),
    "an address for all": ({"listen": "0.0.0.0:1"}, "give clients keys with `clients:`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_in_the_config(case: str) -> None:
    settings, message = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        config(BACKENDS, **settings)
    assert message in str(caught.value)
    assert ADA not in str(caught.value)


def test_clients_may_be_reached_from_elsewhere() -> None:
    assert config(BACKENDS, clients=CLIENTS, listen="0.0.0.0:9001").clients is not None
    assert config(BACKENDS, clients={}, listen="0.0.0.0:9001").clients is not None
    assert config(BACKENDS).clients is None


async def test_an_empty_list_of_clients_is_closed() -> None:
    async with stage(config(BACKENDS, clients={})) as it:
        answer: Answer = await it.ask(path("openai-chat"), ask("openai-chat"), bearer(ADA))
        assert answer.status == 401
