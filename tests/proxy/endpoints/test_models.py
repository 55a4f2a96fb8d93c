"""Lists of models in each protocol's shape: only what the plan serves, by the caller's headers, page by page."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from crosswire.proxy.endpoints.models import find_model, listed_models
from crosswire.proxy.endpoints.table import FUNCTIONS, PLAN_VIEWS, EndpointRow, endpoints
from crosswire.proxy.protocols import PROTOCOLS, detect_client_protocol
from crosswire.proxy.routing import (
    BackendConfig,
    NamedMode,
    NameFamily,
    Plan,
    Route,
    RouteTarget,
    RoutingInput,
    SmartModel,
    decide,
)

from ..proxy_fixture import config, stage
from ..sample_messages import error_text

NOWHERE = "http://127.0.0.1:1"

BACKENDS = {
    "cloud": {
        "protocol": "openai-chat",
        "base_url": NOWHERE,
        "models": {"fast": "gpt-5-mini", "vendor/slow:1": "slow"},
    },
    "claude": {"protocol": "anthropic", "base_url": NOWHERE, "models": ["claude-sonnet-4-5"]},
    "mute": {"protocol": "ollama", "base_url": NOWHERE, "models": ["vectors"], "capabilities": ["embeddings"]},
}
NAMES = ["fast", "vendor/slow:1", "claude-sonnet-4-5", "vectors"]

GOOGLE = {"x-goog-api-key": "k"}
CLAUDE = {"anthropic-version": "2023-06-01"}

LISTS: list[tuple[str, dict[str, str], str, str, list[str]]] = [
    # path, headers, where the list is, where an element's name is, the names
    ("/v1/models", {}, "data", "id", NAMES),
    ("/models", {}, "data", "id", NAMES),
    ("/v1/models", {"authorization": "Bearer k"}, "data", "id", NAMES),
    ("/v1/models", CLAUDE | {"authorization": "Bearer k"}, "data", "id", NAMES),
    ("/v1/models", {"x-api-key": "k"}, "data", "id", NAMES),
    ("/v1/models", GOOGLE, "models", "name", [f"models/{name}" for name in NAMES]),
    ("/v1/models?key=k", {}, "models", "name", [f"models/{name}" for name in NAMES]),
    ("/v1beta/models", {}, "models", "name", [f"models/{name}" for name in NAMES]),
    ("/api/tags", {}, "models", "name", NAMES),
]


@pytest.mark.parametrize(("where", "headers", "key", "name", "names"), LISTS)
async def test_every_list(where: str, headers: dict[str, str], key: str, name: str, names: list[str]) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.get(where, headers)
        head = await it.ask(where, None, headers, method="HEAD")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert [model[name] for model in json.loads(answer.body)[key]] == names
    assert NOWHERE not in answer.body.decode()
    assert (head.status, head.body) == (200, b"")


SHAPES: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    (
        "/v1/models/vendor/slow:1",
        {},
        {"id": "vendor/slow:1", "object": "model", "created": 0, "owned_by": "cloud"},
    ),
    (
        "/v1/models/fast",
        CLAUDE,
        {
            "type": "model",
            "id": "fast",
            "display_name": "fast",
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active",
        },
    ),
    (
        "/v1beta/models/vendor/slow:1",
        {},
        {
            "name": "models/vendor/slow:1",
            "displayName": "vendor/slow:1",
            "supportedGenerationMethods": [
                *("generateContent", "streamGenerateContent", "countTokens"),
                *("embedContent", "batchEmbedContents"),
            ],
        },
    ),
    (
        "/v1/models/claude-sonnet-4-5",
        GOOGLE,
        {
            "name": "models/claude-sonnet-4-5",
            "displayName": "claude-sonnet-4-5",
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        },
    ),
]


@pytest.mark.parametrize(("where", "headers", "wanted"), SHAPES)
async def test_one_model(where: str, headers: dict[str, str], wanted: dict[str, Any]) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.get(where, headers)
    assert (answer.status, json.loads(answer.body)) == (200, wanted)


@pytest.mark.parametrize("key", ["model", "name"])
async def test_ollama_shows_what_a_model_can(key: str) -> None:
    async with stage(config(BACKENDS)) as it:
        shown = [json.loads((await it.ask("/api/show", {key: name})).body) for name in ("claude-sonnet-4-5", "vectors")]
        version = json.loads((await it.get("/api/version")).body)
    assert [model["capabilities"] for model in shown] == [
        ["completion", "tools", "vision", "thinking"],
        ["completion", "embedding"],
    ]
    for model, name in zip(shown, NAMES[2:], strict=True):
        assert model["model_info"]["general.basename"] == name
        # `ollama show` ends with a panic where it is no text
        assert isinstance(model["model_info"]["general.architecture"], str)
        assert model["modified_at"] == "0001-01-01T00:00:00Z"  # `ollama list` shows it as Never
    assert version.keys() == {"version"}
    assert [int(part) for part in version["version"].split(".")] >= [0, 6, 4], "what editors ask for at least"


MISSING: list[tuple[str, dict[str, str], str, dict[str, Any] | None]] = [
    ("/v1/models/nobody", {}, "openai-chat", None),
    ("/v1/models/nobody", CLAUDE, "anthropic", None),
    ("/v1/models/nobody?key=k", {}, "gemini", None),
    ("/v1beta/models/nobody", {}, "gemini", None),
    ("/api/show", {}, "ollama", {"model": "nobody"}),
]


@pytest.mark.parametrize(("where", "headers", "protocol", "body"), MISSING)
async def test_a_model_that_nobody_serves(
    where: str, headers: dict[str, str], protocol: str, body: dict[str, Any] | None
) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.ask(where, body, headers)
    assert answer.status == 404
    assert "'nobody'" in error_text(protocol, 404, answer.body)


# ---- pages -----------------------------------------------------------------------------------------------------------

CLAUDE_PAGES: list[tuple[str, list[str], bool]] = [
    ("", NAMES, False),
    ("?limit=2", NAMES[:2], True),
    ("?limit=2&after_id=vendor/slow:1", NAMES[2:], False),
    ("?limit=1&after_id=vendor/slow:1", NAMES[2:3], True),
    ("?limit=9&after_id=vectors", [], False),
    ("?limit=2&before_id=vectors", NAMES[1:3], True),
    ("?limit=3&before_id=vectors", NAMES[:3], False),
    ("?limit=99999", NAMES, False),
]


@pytest.mark.parametrize(("query", "names", "more"), CLAUDE_PAGES)
async def test_pages_of_anthropic(query: str, names: list[str], more: bool) -> None:
    async with stage(config(BACKENDS)) as it:
        page = json.loads((await it.get(f"/v1/models{query}", CLAUDE)).body)
    assert [model["id"] for model in page["data"]] == names
    assert page["has_more"] is more
    assert (page["first_id"], page["last_id"]) == ((names[0], names[-1]) if names else (None, None))


async def test_pages_of_gemini() -> None:
    found = []
    async with stage(config(BACKENDS)) as it:
        token = ""
        for _ in range(3):
            page = json.loads((await it.get(f"/v1beta/models?pageSize=3&pageToken={token}")).body)
            found += [model["name"].removeprefix("models/") for model in page["models"]]
            token = page.get("nextPageToken")
            if token is None:
                break
    assert (found, token) == (NAMES, None)


BAD_FIELDS = [
    ("/v1/models?limit=x", CLAUDE, "anthropic", "limit"),
    ("/v1/models?limit=0", CLAUDE, "anthropic", "limit"),
    ("/v1/models?limit=-1", CLAUDE, "anthropic", "limit"),
    ("/v1/models?limit=99999999999999999999", CLAUDE, "anthropic", "limit"),
    ("/v1/models?limit=%D9%A3", CLAUDE, "anthropic", "limit"),
    ("/v1/models?after_id=nobody", CLAUDE, "anthropic", "after_id"),
    ("/v1/models?before_id=nobody", CLAUDE, "anthropic", "before_id"),
    ("/v1beta/models?pageSize=many", {}, "gemini", "pageSize"),
    ("/v1beta/models?pageToken=many", {}, "gemini", "pageToken"),
]


@pytest.mark.parametrize(("where", "headers", "protocol", "field"), BAD_FIELDS)
async def test_bad_fields_of_the_address(where: str, headers: dict[str, str], protocol: str, field: str) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.get(where, headers)
    assert answer.status == 400
    assert error_text(protocol, 400, answer.body).startswith(f"{field}: ")


BAD_SHOWS = [b"{", b"[]", b'{"model": 5}', b"{}", b'{"model": ""}', b'{"model": null, "name": null}']


@pytest.mark.parametrize("body", BAD_SHOWS)
async def test_bad_bodies_of_show(body: bytes) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.ask("/api/show", body)
    assert answer.status == 400
    error_text("ollama", 400, answer.body)


# ---- what the plan serves --------------------------------------------------------------------------------------------

A = BackendConfig(name="a", protocol="openai-chat", base_url=NOWHERE, models={"m": "m-1"})
B = BackendConfig(name="b", protocol="ollama", base_url=NOWHERE)
KEYLESS = BackendConfig(name="k", protocol="gemini", base_url=NOWHERE, models={"locked": "locked"}, needs_key=True)

PLANS: dict[str, tuple[Plan, dict[str, str]]] = {
    "models": (Plan((A,)), {"m": "m-1"}),
    "routes": (Plan((A, B), routes=(Route(match="r", targets=(RouteTarget("b", "r-1"),)),)), {"m": "m-1", "r": "r-1"}),
    "patterns are no names": (Plan((A, B), routes=(Route(match="x-*", targets=(RouteTarget("b"),)),)), {"m": "m-1"}),
    "a route that is off": (
        Plan((A,), routes=(Route(match="r", targets=(RouteTarget("a"),), enabled=False),)),
        {"m": "m-1"},
    ),
    "smart models": (
        Plan((A, B), smart=(SmartModel(name="auto", cheap=RouteTarget("b", "s"), primary=RouteTarget("a", "m")),)),
        {"m": "m-1", "auto": "s"},
    ),
    "the mode's aliases": (
        Plan((A, B), modes={"home": NamedMode(name="home", backend="a", models={"big": "b/b-1"})}, mode="home"),
        {"m": "m-1", "big": "b-1"},
    ),
    "another mode's aliases": (
        Plan((A, B), modes={"home": NamedMode(name="home", backend="a", models={"big": "b/b-1"})}),
        {"m": "m-1"},
    ),
    "what no list shows": (
        Plan((A, B), routes=(Route(match="x", targets=(RouteTarget("b"),)),), unlisted=("x*",)),
        {"m": "m-1"},
    ),
    "without a key": (Plan((A, KEYLESS)), {"m": "m-1"}),
}


@pytest.mark.parametrize("name", PLANS)
def test_names_that_are_served(name: str) -> None:
    plan, wanted = PLANS[name]
    found = {model.name: decide(RoutingInput(model.name), plan).chosen for model in listed_models(plan)}
    assert {name: chosen and chosen.model for name, chosen in found.items()} == wanted


def test_a_name_of_a_family_is_found_though_not_listed() -> None:
    plan = Plan((B,), families=(NameFamily("llama*", "b"),))
    assert listed_models(plan) == ()
    assert [find_model(name, plan) is not None for name in ("llama3.2", "gpt-5")] == [True, False]


# ---- the table of addresses ------------------------------------------------------------------------------------------


def test_every_endpoint_has_a_function() -> None:
    rows = [
        *endpoints(),
        *(row for p in PROTOCOLS.values() for row in map(partial(EndpointRow, p), p.methods.values())),
    ]
    assert {row.endpoint.operation for row in rows} == {*FUNCTIONS, *PLAN_VIEWS}
    for row in rows:
        operation = row.endpoint.operation
        if row.protocol is not None and operation in ("count", "embeddings", "version"):
            has = {
                "count": row.protocol.token_count,
                "embeddings": row.protocol.embeddings,
                "version": row.protocol.model_list and row.protocol.model_list.version,
            }
            assert has[operation] is not None, (row.protocol.name, operation)


SIGNS: list[tuple[dict[str, str], tuple[str, ...], str]] = [
    ({}, (), "openai-chat"),
    ({"authorization": "Bearer k"}, (), "openai-chat"),
    ({"x-api-key": "k"}, (), "anthropic"),
    ({"anthropic-version": "2023-06-01", "authorization": "Bearer k"}, (), "anthropic"),
    ({"x-goog-api-key": "k"}, (), "gemini"),
    ({}, ("key",), "gemini"),
    ({"anthropic-version": "2023-06-01"}, ("key",), "anthropic"),
]


@pytest.mark.parametrize(("headers", "fields", "name"), SIGNS)
def test_the_clients_protocol(headers: dict[str, str], fields: tuple[str, ...], name: str) -> None:
    assert detect_client_protocol(headers, fields).name == name


# ---- what clients of Ollama ask before they chat ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_server_is_there(method: str) -> None:
    """Ollama's own command line, and many clients, look at / first."""
    async with stage(config(BACKENDS)) as it:
        answer = await it.ask("/", None, method=method)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.body == (b"Ollama is running" if method == "GET" else b"")


async def test_no_model_is_in_the_proxys_memory() -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.get("/api/ps")
    assert (answer.status, json.loads(answer.body)) == (200, {"models": []})


async def test_models_have_digests_that_tell_them_apart() -> None:
    async with stage(config(BACKENDS)) as it:
        found = [
            [model["digest"] for model in json.loads((await it.get("/api/tags")).body)["models"]] for _ in range(2)
        ]
    assert found[0] == found[1]
    assert len(set(found[0])) == len(NAMES)
    assert all(len(digest) == 64 and int(digest, 16) for digest in found[0])


async def test_the_version_is_one_that_clients_accept() -> None:
    """`codex --oss` needs at least 0.13.4."""
    async with stage(config(BACKENDS)) as it:
        answer = await it.get("/api/version")
    assert tuple(map(int, json.loads(answer.body)["version"].split("."))) >= (0, 13, 4)


PULLS: list[tuple[dict[str, Any], list[str]]] = [
    ({"model": "fast"}, ["pulling manifest", "success"]),
    ({"name": "fast", "insecure": True}, ["pulling manifest", "success"]),
    ({"model": "fast", "stream": True}, ["pulling manifest", "success"]),
    ({"model": "fast", "stream": False}, ["success"]),
]


@pytest.mark.parametrize(("body", "wanted"), PULLS)
async def test_a_model_that_is_there_is_pulled(body: dict[str, Any], wanted: list[str]) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.ask("/api/pull", body)
    assert answer.status == 200
    assert [json.loads(line)["status"] for line in answer.body.decode().splitlines()] == wanted
    kind = "application/x-ndjson" if len(wanted) > 1 else "application/json"
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"model": "nobody"}', 404), (b"{}", 400), (b"{", 400), (b"[]", 400), (b'{"model": "fast", "stream": 5}', 400)],
)
async def test_a_model_that_is_not_there_is_not_pulled(body: bytes, status: int) -> None:
    async with stage(config(BACKENDS)) as it:
        answer = await it.ask("/api/pull", body)
    assert answer.status == status
    error_text("ollama", status, answer.body)
