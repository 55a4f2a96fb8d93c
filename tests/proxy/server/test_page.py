"""The operator's page over HTTP: who may see it, what its answers carry, and the shapes of its data."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from crosswire.mockserver.scenarios.story_parser import read_story
from crosswire.proxy.config import Config
from crosswire.proxy.server.page import ACTS, PAGE_TOKEN, VIEWS

from ..proxy_fixture import KEY as BACKEND_KEY
from ..proxy_fixture import Answer, Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunk, head, http, upstream

KEY = "open-sesame-please"

LOG_IN = {"content-type": "application/json"}


class Page:
    """A browser's session with the page."""

    def __init__(self, it: Stage, cookie: str, token: str) -> None:
        self.it, self.cookie, self.token = it, cookie, token

    async def get(self, name: str) -> Any:
        found = await self.it.get(f"/ui/api/{name}", {"cookie": self.cookie})
        assert found.status == 200, found
        return json.loads(found.body)

    async def act(self, name: str, token: str | None = None) -> Answer:
        fields = {"cookie": self.cookie, PAGE_TOKEN: self.token if token is None else token}
        return await self.it.ask(f"/ui/{name}", b"", fields, method="POST")


async def log_in(it: Stage, key: str = KEY) -> Answer:
    return await it.ask("/ui/login", {"key": key})


async def page_of(it: Stage) -> Page:
    found = await log_in(it)
    assert found.status == 200, found
    return Page(it, found.headers["set-cookie"].partition(";")[0], json.loads(found.body)["token"])


@asynccontextmanager
async def served(protocol: str = "openai-chat", **settings: Any) -> AsyncIterator[Stage]:
    async with (
        upstream(*[[http(dumps(reply(protocol)))]] * 5) as up,
        stage(config(one(protocol, up.url), **settings)) as it,
    ):
        yield it


def with_key(**settings: Any) -> Config:
    return config(one("openai-chat", "http://127.0.0.1:9/v1"), admin_key=KEY, **settings)


# ---- access ----------------------------------------------------------------------------------------------------------

PATHS = [f"/ui/api/{name}".replace("{id}", "req_1") for name in VIEWS]


@pytest.mark.parametrize("path_", ["/ui", "/ui/", "/ui/page.js", "/ui/page.css", *PATHS])
async def test_there_is_no_page_without_an_admin_key(path_: str) -> None:
    async with stage(config(one("openai-chat", "http://127.0.0.1:9/v1"))) as it:
        found = await it.get(path_)
        assert found.status == 404
        assert "admin_key" in json.loads(found.body)["error"]
        assert (await log_in(it, "")).status == 404


@pytest.mark.parametrize("path_", PATHS)
@pytest.mark.parametrize(
    "fields", [{}, {"cookie": "crosswire_session=1.2.3"}, {"authorization": f"Bearer {KEY}"}, {"cookie": "a=b"}]
)
async def test_data_needs_a_session(path_: str, fields: dict[str, str]) -> None:
    async with stage(with_key()) as it:
        assert (await it.get(path_, fields)).status == 401


async def test_the_page_needs_the_admin_key_and_no_clients_key() -> None:
    clients = {"team": {"key": "a-key-of-the-team-0123456789"}}
    async with stage(with_key(clients=clients)) as it:
        assert (await it.get("/ui/")).status == 200
        assert (await log_in(it, "a-key-of-the-team-0123456789")).status == 401
        assert (await log_in(it)).status == 200


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ({}, b'{"key": "wrong"}', 401),
        ({}, b'{"key": 1}', 400),
        ({}, b"{}", 400),
        ({}, b"[", 400),
        ({}, b"", 400),
        ({"content-type": "text/plain"}, b'{"key": "open-sesame-please"}', 415),
        ({"content-type": "application/x-www-form-urlencoded"}, b"key=open-sesame-please", 415),
        ({"origin": "http://evil.example"}, b'{"key": "open-sesame-please"}', 403),
        ({"sec-fetch-site": "cross-site"}, b'{"key": "open-sesame-please"}', 403),
        ({"sec-fetch-site": "same-site"}, b'{"key": "open-sesame-please"}', 403),
        ({"host": "evil.example"}, b'{"key": "open-sesame-please"}', 421),
    ],
)
async def test_a_log_in_that_fails(fields: dict[str, str], body: bytes, status: int) -> None:
    async with stage(with_key()) as it:
        found = await it.ask("/ui/login", body, fields)
        assert found.status == status, found
        assert "set-cookie" not in found.headers


async def test_who_guesses_has_to_wait() -> None:
    async with stage(with_key()) as it:
        statuses = [(await log_in(it, "wrong")).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        found = await log_in(it)
        assert found.status == 429
        assert found.headers["retry-after"].isdigit()


@pytest.mark.parametrize(("fields", "is_secure"), [({}, False), ({"origin": "https://127.0.0.1:1"}, True)])
async def test_the_cookie_is_kept_from_scripts_and_sites(fields: dict[str, str], is_secure: bool) -> None:
    async with stage(with_key()) as it:
        fields = {name: f"https://127.0.0.1:{it.port}" for name in fields}
        found = await it.ask("/ui/login", {"key": KEY}, fields)
        parts = {part.strip().lower() for part in found.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=strict", "path=/ui/"} <= parts
        assert ("secure" in parts) == is_secure
        assert KEY not in found.headers["set-cookie"]


async def test_a_log_out_ends_the_session() -> None:
    async with stage(with_key()) as it:
        page = await page_of(it)
        assert await page.get("session") == {"token": page.token}
        assert (await page.act("logout", "")).status == 403
        assert (await page.act("logout")).status == 200
        assert (await it.get("/ui/api/session", {"cookie": page.cookie})).status == 401


# ---- forged requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"api/{name}".replace("{id}", "req_1") for name in ACTS])
async def test_what_acts_needs_the_pages_own_token(name: str) -> None:
    async with stage(with_key()) as it:
        page = await page_of(it)
        assert (await page.act(name, "")).status == 403
        assert (await page.act(name, "0" * 48)).status == 403
        assert (await it.get(f"/ui/{name}", {"cookie": page.cookie})).status == 405
        assert (await page.act(name)).status == 409  # there is no such record


@pytest.mark.parametrize(
    "fields",
    [{"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}, {"origin": "http://127.0.0.1:1"}],
)
async def test_another_page_cannot_use_the_session(fields: dict[str, str]) -> None:
    """A page on another port is of the same site, so that the cookie is sent; a listed origin may send chats only."""
    cors = {"origins": ["http://127.0.0.1:1"]}
    async with stage(with_key(cors=cors)) as it:
        page = await page_of(it)
        found = await it.get("/ui/api/config", {"cookie": page.cookie, **fields})
        assert found.status == 403
        assert "access-control-allow-credentials" not in found.headers


# ---- what every answer carries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path_", ["/ui/", "/ui/page.js", "/ui/page.css", "/ui/api/config"])
async def test_headers_of_every_answer(path_: str) -> None:
    async with stage(with_key()) as it:
        found = await it.get(path_)
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["referrer-policy"] == "no-referrer"


async def test_the_policy_allows_the_pages_own_files_alone() -> None:
    async with stage(with_key()) as it:
        first, second = await it.get("/ui/"), await it.get("/ui/")
    policy = dict(part.strip().partition(" ")[::2] for part in first.headers["content-security-policy"].split(";"))
    html = first.body.decode()
    nonces = set(re.findall(r'nonce="([^"]+)"', html))
    assert len(nonces) == 1
    nonce = nonces.pop()
    assert policy["script-src"] == policy["style-src"] == f"'nonce-{nonce}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in first.headers["content-security-policy"]
    assert nonce not in second.body.decode()
    assert html.count("integrity=") == 2
    assert "sha384-" in html
    assert not re.search(r"\son\w+=|style=|<style|javascript:|https?://", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))


async def test_the_files_name_no_other_host_and_write_no_html() -> None:
    async with stage(with_key()) as it:
        script = (await it.get("/ui/page.js")).body.decode()
        style = (await it.get("/ui/page.css")).body.decode()
    assert re.findall(r"https?://[^\"\s]+", script) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)
    assert "url(" not in style
    assert "@import" not in style


# ---- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_request_is_shown_with_its_wires(frontend: str, backend: str) -> None:
    async with served(backend, admin_key=KEY, ui={"bodies": True}) as it:
        answer = await it.ask(path(frontend), ask(frontend))
        assert answer.status == 200, answer
        page = await page_of(it)
        listed = await page.get("requests")
        assert [row["outcome"] for row in listed["rows"]] == ["answered"]
        assert listed["rows"][0] | {"backend": "b", "attempts": 1, "status": 200} == listed["rows"][0]
        assert listed["rows"][0]["id"] == answer.headers["x-request-id"]
        shown = await page.get(f"requests/{listed['rows'][0]['id']}")
        stages = [wire["stage"] for wire in shown["wires"]]
        assert stages == ["client_request", "backend_request", "backend_response", "client_response"]
        assert json.loads(shown["wires"][3]["body"]) == json.loads(answer.body)
        assert [each["backend"] for each in shown["record"]["decision"]["considered"]] == ["b"]
        assert shown["record"]["attempts"][0]["began_ms"] > 0
        again = await page.act(f"api/requests/{listed['rows'][0]['id']}/explain")
        explained = json.loads(again.body)
        assert explained["is_same"]
        assert not explained["by_model_alone"]
        story = await page.act(f"api/requests/{listed['rows'][0]['id']}/story")
        text = json.loads(story.body)["story"]
        parsed, mistakes = read_story("seen", "seen.yaml", text)
        assert mistakes == [], text
        assert parsed is not None
        assert [type(item).__name__ for item in parsed.exchanges[0].say["*"]][:1] == ["SayText"], text
        assert "could not be read" not in text


async def test_what_is_under_way_is_listed_with_how_far_it_is() -> None:
    """A request that is asked of the second backend, and a stream that has begun; then nothing."""
    gate = asyncio.Event()
    frames = [chunk(each) for each in stream("openai-chat")]
    async with (
        upstream([http(b"{}", "500 No")]) as down,
        upstream([gate, http(dumps(reply("openai-chat")))]) as slow,
        upstream([head(), *frames[:3], gate, *frames[3:], b"0\r\n\r\n"]) as streams,
    ):
        urls = {"down": down.url, "slow": slow.url, "streams": streams.url}
        backends = {name: one("openai-chat", url)["b"] for name, url in urls.items()}
        routes = [{"match": "m", "to": ["down", "slow"]}, {"match": "s", "to": ["streams"]}]
        clients = {"ada": {"key": "cw-ada-0123456789abcdef"}}
        async with stage(config(backends, admin_key=KEY, clients=clients, routes=routes)) as it:
            key = {"authorization": "Bearer cw-ada-0123456789abcdef"}
            asked = [
                asyncio.ensure_future(it.ask(path(each, stream=each == "anthropic"), body, key))
                for each, body in (
                    ("openai-chat", ask("openai-chat") | {"model": "m"}),
                    ("anthropic", ask("anthropic", stream=True) | {"model": "s"}),
                )
            ]
            page = await page_of(it)
            async with asyncio.timeout(10):
                while True:
                    running = {row["model"]: row for row in (await page.get("requests"))["running"]}
                    if [running.get(each, {}).get("stage") for each in "ms"] == ["is called", "streams"]:
                        break
                    await asyncio.sleep(0.01)
            assert [(running[each]["backend"], running[each]["attempts"]) for each in "ms"] == [
                ("slow", 2),
                ("streams", 1),
            ]
            assert {row["client"] for row in running.values()} == {"ada"}
            assert [running[each]["frontend"] for each in "ms"] == ["openai-chat", "anthropic"]
            gate.set()
            assert [each.status for each in await asyncio.gather(*asked)] == [200, 200]
            listed = await page.get("requests")
            assert listed["running"] == []
            assert {row["id"] for row in listed["rows"]} == {row["id"] for row in running.values()}


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", ["openai-chat", "anthropic"])
async def test_a_stream_is_shown_with_its_wires(frontend: str, backend: str) -> None:
    script = [head(stream_kind(backend)), *map(chunk, stream(backend)), b"0\r\n\r\n"]
    async with upstream(script) as up:
        cfg = config(one(backend, up.url), admin_key=KEY, ui={"bodies": True})
        async with stage(cfg) as it:
            answer = await it.ask(path(frontend), ask(frontend, stream=True))
            assert answer.whole, answer
            page = await page_of(it)
            id_ = answer.headers["x-request-id"]
            wires = {wire["stage"]: wire["body"] for wire in (await page.get(f"requests/{id_}"))["wires"]}
            assert wires["client_response"].encode() == answer.body
            assert b"".join(stream(backend)).startswith(wires["backend_response"].encode()[:100])
            text = json.loads((await page.act(f"api/requests/{id_}/story")).body)["story"]
            assert "could not be read" not in text
            assert read_story("seen", "seen.yaml", text)[1] == []


async def test_an_answer_that_failed_is_an_error_in_its_story() -> None:
    async with stage(with_key(ui={"bodies": True})) as it:
        answer = await it.ask(path("openai-chat"), ask("openai-chat"))
        page = await page_of(it)
        text = json.loads((await page.act(f"api/requests/{answer.headers['x-request-id']}/story")).body)["story"]
        assert read_story("seen", "seen.yaml", text)[1] == []
        assert yaml.safe_load(text)["say"][0]["error"]["kind"] == "internal"


async def test_usage_is_read_from_the_ledger_where_there_is_one() -> None:
    async def read(by: Sequence[str], since: float) -> list[dict[str, Any]]:
        sums = {"requests": 2, "failed": 1, "input": 3, "output": 4, "cache_read": 5, "cache_write": 0, "cost": 10**9}
        return [{**dict.fromkeys(by), **({"day": 20_000} if "day" in by else {}), **sums}]

    async with stage(with_key()) as it:
        it.gateway.read_usage = read
        page = await page_of(it)
        usage = await page.get("usage")
        assert usage["source"] == "store"
        assert usage["by_client"] == usage["by_model"]
        assert usage["by_client"] == [{"name": "—", "failed": 1, "input": 8, "output": 4, "requests": 2, "cost": 1.0}]
        assert usage["over_time"] == [{"at": 20_000 * 86400, "name": "—", "requests": 2, "cost": 1.0}]


async def test_without_bodies_nothing_said_is_kept() -> None:
    async with served(admin_key=KEY) as it:
        answer = await it.ask(path("anthropic"), ask("anthropic"))
        page = await page_of(it)
        id_ = answer.headers["x-request-id"]
        shown = await page.get(f"requests/{id_}")
        assert shown["wires"] is None
        assert "bodies: true" in shown["no_wires"]
        assert it.gateway.bodies is None
        explained = json.loads((await page.act(f"api/requests/{id_}/explain")).body)
        assert explained["by_model_alone"]
        story = await page.act(f"api/requests/{id_}/story")
        assert story.status == 409
        assert "bodies: true" in json.loads(story.body)["error"]


async def test_a_list_goes_on_after_its_last_number() -> None:
    async with served(admin_key=KEY, records=3) as it:
        page = await page_of(it)
        assert (await page.get("requests"))["rows"] == []
        for _ in range(5):
            await it.ask(path("openai-chat"), ask("openai-chat"))
        found = await page.get("requests")
        assert [row["number"] for row in found["rows"]] == [5, 4, 3]
        assert found["last"] == 5
        assert (await page.get("requests?after=4"))["rows"] == found["rows"][:1]
        assert (await page.get("requests?after=5"))["rows"] == []
        for odd in ("-1", "x", "9" * 30, ""):
            assert len((await page.get(f"requests?after={odd}"))["rows"]) == 3


async def test_backends_and_usage() -> None:
    async with served(admin_key=KEY) as it:
        for _ in range(3):
            await it.ask(path("openai-chat"), ask("openai-chat"))
        page = await page_of(it)
        (backend,) = (await page.get("backends"))["backends"]
        assert backend["name"] == "b"
        assert backend["breaker"] == "closed"
        assert backend["attempts"] == 3
        assert backend["error_rate"] == 0
        assert 0 < backend["ms"]["p50"] <= backend["ms"]["p90"] <= backend["ms"]["p99"]
        usage = await page.get("usage?days=30")
        assert usage["days"] == 30
        assert usage["source"] == "records"
        assert [row["requests"] for row in usage["by_client"]] == [3]
        assert [row["requests"] for row in usage["by_model"]] == [3]
        assert sum(each["requests"] for each in usage["over_time"]) == 3
        assert (await page.get("usage?days=5000"))["days"] == 7


async def test_failures_of_a_backend_are_counted() -> None:
    async with stage(with_key()) as it:
        await it.ask(path("openai-chat"), ask("openai-chat"))
        page = await page_of(it)
        (backend,) = (await page.get("backends"))["backends"]
        assert backend["errors"] == {"upstream_unreachable": 1}
        assert backend["error_rate"] == 1
        assert backend["ms"] is None


# ---- secrets ---------------------------------------------------------------------------------------------------------

SECRETS = {
    "the admin key": KEY,
    "a backend's key": BACKEND_KEY,
    "a spare key": "sk-a-spare-key-0123456789",
    "a header": "a-secret-in-a-header-0123",
    "the store's password": "a-password-of-the-store",
    "the way out's password": "a-password-of-the-way-out",
    "a client's key": "a-key-of-the-team-0123456789",
}


async def test_no_secret_is_in_any_answer() -> None:
    headers = {"x-tenant": SECRETS["a header"]}
    keys = [BACKEND_KEY, SECRETS["a spare key"]]
    body = dumps(reply("openai-chat")).replace(b"Hello", BACKEND_KEY.encode())
    async with upstream([http(body)]) as up:
        backends = {
            "b": {"protocol": "openai-chat", "base_url": up.url, "api_key": keys, "headers": headers},
            "c": {
                "protocol": "anthropic",
                "base_url": "https://api.example.com",
                "proxy": f"http://user:{SECRETS['the way out' + chr(39) + 's password']}@127.0.0.1:9",
                "models": ["other"],
            },
        }
        cfg = config(
            backends,
            admin_key=KEY,
            ui={"bodies": True},
            clients={"team": {"key": SECRETS["a client's key"]}},
            store={"url": f"postgresql://user:{SECRETS['the store' + chr(39) + 's password']}@127.0.0.1/db"},
            usage=False,
        )
        async with stage(cfg) as it:
            fields = {"authorization": f"Bearer {SECRETS['a client' + chr(39) + 's key']}"}
            asked = ask("openai-chat") | {"messages": [{"role": "user", "content": f"Keep {KEY} and {BACKEND_KEY}."}]}
            answer = await it.ask(path("openai-chat"), asked, fields)
            assert answer.status == 200, answer
            page = await page_of(it)
            id_ = answer.headers["x-request-id"]
            texts = [json.dumps(await page.get(name.replace("{id}", id_))) for name in VIEWS]
            for name in ACTS:
                texts.append((await page.act(f"api/{name}".replace("{id}", id_))).body.decode())
    assert "*** and ***" in texts[2]
    for text in texts:
        assert [what for what, secret in SECRETS.items() if secret in text] == []


# ---- stories ---------------------------------------------------------------------------------------------------------


async def test_a_story_has_the_structure_and_not_the_content() -> None:
    tool = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Private words.", "enum": ["Atlantis", "Ys"]}},
        "required": ["city"],
    }
    body = {
        "model": "gpt-5-nano",
        "temperature": 0.5,
        "user": "private-user",
        "messages": [
            {"role": "system", "content": "Private system."},
            {"role": "user", "content": "Private question?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_private",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Atlantis", "days": 3}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_private", "content": "Private rain."},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": tool}}],
    }
    async with served(admin_key=KEY, ui={"bodies": True}) as it:
        answer = await it.ask(path("openai-chat"), body)
        assert answer.status == 200, answer
        page = await page_of(it)
        found = await page.act(f"api/requests/{answer.headers['x-request-id']}/story")
    text = json.loads(found.body)["story"]
    assert not re.search("rivate|Atlantis|Ys", text), text
    assert read_story("seen", "seen.yaml", text)[1] == []
    asked = yaml.safe_load(text)["ask"]
    assert [next(iter(turn)) for turn in asked["turns"]] == ["system", "user", "assistant", "results"]
    assert asked["turns"][2]["assistant"][0]["call"]["arguments"] == {"city": "text", "days": 1}
    assert asked["turns"][3]["results"].keys() == {"call_1"}
    assert asked["temperature"] == 0.5
    assert asked["tools"][0]["parameters"]["properties"]["city"] == {"type": "string", "enum": ["value 1", "value 2"]}
    assert "# Not in it" in text
