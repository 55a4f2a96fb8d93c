"""Access to the endpoints: by host, by page, by content type, by the admin key, and behind a reverse proxy."""

from __future__ import annotations

import ast
import asyncio
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from crosswire.proxy.server import access
from crosswire.proxy.server.app import gateway_of, make_app
from crosswire.proxy.server.lifecycle import make_runner

from ..proxy_fixture import Answer, Stage, config, one, read_answer, request, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, dumps, error_text, path, reply, text_of
from ..scripted_upstream import http, upstream

KEY = "open-sesame-please"

CHAT = "/v1/chat/completions"


async def raw(it: Stage, data: bytes, *, address: str = "127.0.0.1", local: str | None = None) -> Answer:
    """The answer to these bytes, over a connection to this address, from that one."""
    reader, writer = await asyncio.open_connection(
        address, it.port, local_addr=None if local is None else (local, 0), limit=2**20
    )
    try:
        writer.write(data)
        return await read_answer(reader)
    finally:
        writer.close()


def test_keys_are_compared_in_constant_time() -> None:
    """The operator's key is compared by `hmac.compare_digest` and in no other way."""
    tree = ast.parse(Path(access.__file__).read_text("utf-8"))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert "compare_digest" in called
    assert access.compare_digest is hmac.compare_digest
    assert [each for each in compared if "given" in each and "key" in each] == []


# ---- hosts -----------------------------------------------------------------------------------------------------------

KNOWN = (
    *("127.0.0.1:9001", "127.0.0.1", "localhost:9001", "LOCALHOST", "localhost.", "127.1.2.3", "[::1]:9001", "[::1]"),
    *("listed.example", "Listed.Example:80", "10.1.2.3:9001", "[2001:db8::1]", "xn--mnchen-3ya.example", "localhost:"),
)
"""Values of Host that reach a proxy whose config lists HOSTS."""

HOSTS = ["listed.example", "10.1.2.3", "2001:db8:0::1", "münchen.example"]

UNKNOWN: dict[str, tuple[int, str]] = {
    "evil.example": (421, "hosts: [evil.example]"),
    "evil.example:9001": (421, "hosts: [evil.example]"),
    "127.0.0.1.evil.example": (421, "hosts: [127.0.0.1.evil.example]"),
    "localhost.evil.example": (421, "hosts: [localhost.evil.example]"),
    "sub.listed.example": (421, "hosts: [sub.listed.example]"),
    "10.1.2.4": (421, "hosts: [10.1.2.4]"),
    "0.0.0.0": (421, "hosts: [0.0.0.0]"),  # noqa: S104
    "[2001:db8::2]:9001": (421, "hosts: ['2001:db8::2']"),
    "2130706433": (421, "hosts: [2130706433]"),
    "": (400, "no host name"),
    "evil.example@127.0.0.1": (400, "no host name"),
    "127.0.0.1:9001/x": (400, "no host name"),
    "127.0.0.1, evil.example": (400, "no host name"),
    "x" * 4000: (400, "no host name"),
}


async def test_hosts() -> None:
    async with (
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), hosts=HOSTS)) as it,
    ):
        for host in KNOWN:
            answer = await it.ask("/api/chat", ask("ollama"), {"host": host})
            assert (host, answer.status) == (host, 200)
        for host, (status, words) in UNKNOWN.items():
            answer = await it.ask("/api/chat", ask("ollama"), {"host": host})
            assert (host, answer.status) == (host, status)
            assert words in error_text("ollama", status, answer.body)
    assert len(up.requests) == len(KNOWN)


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_rebound_name_reaches_nothing(frontend: str) -> None:
    """Each path of the proxy, with the Host of a page whose name was made to resolve to loopback; probes answer."""
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        for method, where, body in (
            ("POST", path(frontend), ask(frontend)),
            ("GET", "/v1/models", None),
            ("GET", "/metrics", None),
            ("GET", "/crosswire/requests/x", None),
            ("POST", "/admin/explain", {"model": "m"}),
            ("POST", "/v1/responses/x/cancel", None),
            ("GET", "/nowhere", None),
        ):
            answer = await it.ask(where, body, {"host": "evil.example"}, method=method)
            assert (where, answer.status) == (where, 421)
        refused = await it.ask(path(frontend), ask(frontend), {"host": "evil.example"})
        assert "hosts: [evil.example]" in error_text(frontend, 421, refused.body)
        for where in ("/livez", "/readyz", "/health", "/healthz"):
            assert (await it.get(where, {"host": "evil.example"})).status == 200
        gateway_of(it.app).config_complaints = ("/home/me/crosswire.yaml:1: x",)
        assert b"/home/me" not in (await it.get("/readyz", {"host": "evil.example"})).body
        assert b"/home/me" in (await it.get("/readyz")).body


async def test_no_host_and_two_hosts() -> None:
    """RFC 9112: "A server MUST respond with a 400"; a health check over HTTP/1.0 needs none."""
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        none = await raw(it, b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n")
        two = await raw(it, b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n")
        old = await raw(it, b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert (none.status, two.status, old.status) == (400, 400, 200)


async def test_the_sockets_own_address_is_known() -> None:
    """A listener of every address answers to the one that the connection came in at, and to no other."""
    app = make_app(config(one("ollama", "http://127.0.0.1:1"), listen="0.0.0.0:0", open=True))
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104
    await site.start()
    it = Stage(app, runner.addresses[0][1])
    host = own_address()
    try:
        known = await raw(it, request("/v1/models", None, {"host": f"{host}:{it.port}"}), address=host)
        other = await raw(it, request("/v1/models", None, {"host": "192.0.2.1"}), address=host)
    finally:
        await runner.cleanup()
    assert (known.status, other.status) == (200, 421)


def own_address() -> str:
    """An address of this machine beside loopback, else loopback; no packet is sent for it."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as it:
        try:
            it.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(it.getsockname()[0])


# ---- pages of browsers -----------------------------------------------------------------------------------------------

LISTED = "https://app.example.org"

PAGES: dict[str, tuple[dict[str, str], bool]] = {
    "no browser": ({}, True),
    "typed by the user": ({"sec-fetch-site": "none"}, True),
    "the proxy's own page": ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:{port}"}, True),
    "its own page behind TLS": ({"sec-fetch-site": "same-origin", "origin": "https://127.0.0.1:{port}"}, True),
    "a listed page": ({"sec-fetch-site": "cross-site", "origin": LISTED}, True),
    "another site": ({"sec-fetch-site": "cross-site"}, False),
    "another port": ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:1"}, False),
    "another origin": ({"origin": "https://evil.example"}, False),
    "no origin that can be said": ({"origin": "null"}, False),
    "an empty origin": ({"origin": ""}, False),
    "an origin that begins like a listed one": ({"origin": f"{LISTED}.evil.example"}, False),
    "a listed one over http": ({"origin": LISTED.replace("https", "http")}, False),
    "a site that is none": ({"sec-fetch-site": "sideways"}, False),
    "its own origin from another site": ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:{port}"}, False),
}

ACTING = (
    ("POST", CHAT, b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', {}),
    ("POST", "/v1/responses/x/cancel", None, {}),
    ("DELETE", "/v1/responses/x", None, {}),
    ("POST", "/admin/explain", b'{"model":"m"}', {}),
    ("POST", "/nowhere", b"{}", {}),
    ("GET", "/v1/responses", None, {"connection": "Upgrade", "upgrade": "websocket"}),
)
"""Requests that act, or ask for an upgrade."""


async def test_pages_that_may_act_and_those_that_may_not() -> None:
    cfg = config(one("openai-chat", "http://127.0.0.1:1"), cors={"origins": [LISTED]}, admin_key=KEY)
    async with stage(cfg) as it:
        for name, (fields, may) in PAGES.items():
            fields = {key: value.replace("{port}", str(it.port)) for key, value in fields.items()}
            for method, where, body, more in ACTING:
                host = {"host": f"127.0.0.1:{it.port}"}
                answer = await raw(it, request(where, body, {**host, **more, **fields}, method=method))
                assert (name, method, where, answer.status == 403) == (name, method, where, not may)
                if not may:
                    assert json.loads(answer.body)["error"]["code"] == "cross_origin"
            assert (await it.get("/v1/models", fields)).status == 200  # safe: the page cannot read it


async def test_a_page_without_a_name_is_no_page_of_a_proxy_without_one() -> None:
    """HTTP/1.0 may leave out `Host`; `Origin: null` does not equal it then."""
    async with stage(config(one("openai-chat", "http://127.0.0.1:1"))) as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(b"POST /v1/responses/x/cancel HTTP/1.0\r\norigin: null\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_page_is_refused_in_the_clients_shape(frontend: str) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        answer = await it.ask(path(frontend), ask(frontend), {"origin": "https://evil.example\xe9"})
    assert answer.status == 403
    text = error_text(frontend, 403, answer.body)
    assert "https://evil.example?" in text


def preflight(origin: str, **more: str) -> Mapping[str, str]:
    fields = {"origin": origin, "access-control-request-method": "POST"}
    return fields | {name.replace("_", "-"): value for name, value in more.items()}


async def test_cors_is_off_by_default() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        asked = await it.ask(CHAT, None, preflight(LISTED), method="OPTIONS")
        listed = await it.get("/v1/models", {"origin": LISTED})
    assert asked.status == 405
    for answer in (asked, listed):
        assert not [name for name in answer.headers if name.startswith("access-control-") or name == "vary"]


async def test_cors_for_listed_origins() -> None:
    """The preflight, the answer in one piece, the stream, and the error: a listed page reads them all."""
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), cors={"origins": [LISTED, "http://localhost:3000"]})) as it,
    ):
        asked = await it.ask(
            CHAT,
            None,
            preflight(
                LISTED, access_control_request_headers="authorization,x-stainless-os", sec_fetch_site="cross-site"
            ),
            method="OPTIONS",
        )
        network = await it.ask(
            CHAT, None, preflight(LISTED, access_control_request_private_network="true"), method="OPTIONS"
        )
        odd = await it.ask(CHAT, None, preflight(LISTED, access_control_request_headers="a<b>"), method="OPTIONS")
        whole = await it.ask(CHAT, ask("openai-chat"), {"origin": LISTED})
        broken = await it.ask(CHAT, b"{", {"origin": LISTED})
        stranger = await it.ask(CHAT, None, preflight("https://evil.example"), method="OPTIONS")
        reading = await it.get("/v1/models", {"origin": "https://evil.example"})
    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert network.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-headers" not in odd.headers
    for answer in (asked, whole, broken):
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert answer.headers["vary"] == "origin"
        assert "x-crosswire-backend" in answer.headers["access-control-expose-headers"]
    assert text_of("openai-chat", whole.body) == TEXT
    assert stranger.status == 405
    for answer in (stranger, reading):
        assert "access-control-allow-origin" not in answer.headers


# ---- content types ---------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_what_curl_sends_without_a_header(frontend: str) -> None:
    """Ollama's documentation sends JSON with `curl -d` alone; of the others a content type is asked, and of a page."""
    taken = frontend == "ollama"
    async with (
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), cors={"origins": [LISTED]})) as it,
    ):
        for kind in (FORM, f"{FORM}; charset=utf-8", "-", "application/octet-stream"):
            plain = await it.ask(path(frontend), ask(frontend), {"content-type": kind})
            assert (kind, plain.status) == (kind, 200 if taken else 415)
            for page in ({"origin": LISTED}, {"sec-fetch-site": "none"}, {"origin": f"http://127.0.0.1:{it.port}"}):
                shown = await it.ask(path(frontend), ask(frontend), {"content-type": kind, **page})
                assert (kind, page, shown.status) == (kind, page, 415)
        for kind in ("text/plain", "multipart/form-data; boundary=x"):
            assert (await it.ask(path(frontend), ask(frontend), {"content-type": kind})).status == 415


async def test_curl_d_on_the_other_paths_of_ollama() -> None:
    backends = one("ollama", "http://127.0.0.1:1", models=["m"])
    async with stage(config(backends)) as it:
        shown = await it.ask("/api/show", {"model": "m"}, {"content-type": FORM})
        explained = await it.ask("/admin/explain", {"model": "m"}, {"content-type": FORM})
    assert (shown.status, explained.status) == (200, 415)


async def test_a_call_without_a_body_needs_no_content_type() -> None:
    """It is refused for what it lacks, if for anything; before that, a page that may not act is refused."""
    async with (
        upstream([http(b'{"id":"resp_1"}')]) as up,
        stage(config(one("openai-responses", up.url, base_url=f"{up.url}/v1"))) as it,
    ):
        cancelled = await it.ask("/v1/responses/resp_1/cancel", None, method="POST")
        empty = await it.ask(CHAT, None, method="POST")
    assert cancelled.status == 200
    assert (empty.status, "empty" in error_text("openai-chat", 400, empty.body)) == (400, True)


# ---- the operator ----------------------------------------------------------------------------------------------------

OPERATORS: dict[str, tuple[str, dict[str, str], int, int]] = {
    "the machine itself": ("127.0.0.1", {}, 401, 200),
    "itself, with the key": ("127.0.0.1", {"authorization": f"Bearer {KEY}"}, 200, 200),
    "another": ("127.0.0.2", {}, 401, 403),
    "another, with the key": ("127.0.0.2", {"authorization": f"Bearer {KEY}"}, 200, 403),
    "another, with half of it": ("127.0.0.2", {"authorization": f"Bearer {KEY[:-1]}"}, 401, 403),
    "another, with bytes that are no text": ("127.0.0.2", {"authorization": "Bearer \xff\xfe"}, 401, 403),
    "another, with nothing": ("127.0.0.2", {"authorization": ""}, 401, 403),
    "a listed page": ("127.0.0.1", {"origin": LISTED, "sec-fetch-site": "cross-site"}, 401, 403),
    "a listed page of an old browser": ("127.0.0.1", {"origin": LISTED}, 401, 403),
    "typed by the user": ("127.0.0.1", {"sec-fetch-site": "none"}, 401, 200),
    **{
        f"a reverse proxy here: {name}": ("127.0.0.1", {name: "203.0.113.9"}, 401, 403)
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "X-Forwarded-Proto")
    },
}
"""The caller's address, its headers, and the status with and without an `admin_key` in the config."""


@pytest.mark.parametrize("keyed", [True, False], ids=["an admin key", "none"])
async def test_the_operators_endpoints_are_for_this_machine_or_need_the_key(keyed: bool) -> None:
    settings: dict[str, object] = {"cors": {"origins": [LISTED]}, **({"admin_key": KEY} if keyed else {})}
    async with upstream([http(dumps(reply("ollama")))]) as up, stage(config(one("ollama", up.url), **settings)) as it:
        answer = await it.ask("/api/chat", ask("ollama"))
        record = f"/crosswire/requests/{answer.headers['x-request-id']}"
        for name, (local, fields, with_key, without) in OPERATORS.items():
            for where, body in ((record, None), ("/metrics", None), ("/admin/explain", {"model": "m"})):
                found = await raw(it, request(where, body, fields), local=local)
                assert (name, where, found.status) == (name, where, with_key if keyed else without)
                if found.status != 200:
                    assert "admin_key" in error_text("openai-chat", found.status, found.body)
                assert KEY.encode() not in found.body
        assert (await it.get("/crosswire/requests/x", {"authorization": f"Bearer {KEY}"})).status == 404
