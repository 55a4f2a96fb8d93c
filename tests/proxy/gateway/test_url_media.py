"""Media by URL for backends that take bytes: fetched where the config allows it, refused with a reason elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64encode
from typing import Any

import pytest

from ..proxy_fixture import config, one, stage
from ..sample_messages import TEXT, dumps, path, reply, said, text_of
from ..sample_messages import stream as frames_of
from ..scripted_upstream import chunk, chunked, head, http, upstream

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
PDF = b"%PDF-1.7 almanac"
PICTURE = http(PNG, kind="image/png")
DATA = {"png": b64encode(PNG).decode(), "pdf": b64encode(PDF).decode()}


def asked(frontend: str, kind: str, url: str) -> dict[str, Any]:
    """A question about a picture or a file by its URL, as clients of each protocol ask it."""
    match frontend, kind:
        case "openai-chat", "image":
            part: dict[str, Any] = {"type": "image_url", "image_url": {"url": url}}
        case "openai-responses", "image":
            return {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}
        case "openai-responses", _:
            return {"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]}
        case "gemini", _:
            mime = "image/png" if kind == "image" else "application/pdf"
            return {"contents": [{"role": "user", "parts": [{"fileData": {"mimeType": mime, "fileUri": url}}]}]}
        case _:
            part = {"type": kind, "source": {"type": "url", "url": url}}
    return {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": [part]}]}


CARRIED = [
    ("openai-chat", "ollama", "image", PNG, lambda body: body["messages"][0]["images"], [DATA["png"]]),
    ("openai-responses", "ollama", "image", PNG, lambda body: body["messages"][0]["images"], [DATA["png"]]),
    ("anthropic", "ollama", "image", PNG, lambda body: body["messages"][0]["images"], [DATA["png"]]),
    ("gemini", "ollama", "image", PNG, lambda body: body["messages"][0]["images"], [DATA["png"]]),
    (
        *("anthropic", "openai-chat", "document", PDF),
        lambda body: body["messages"][0]["content"][0]["file"]["file_data"],
        f"data:application/pdf;base64,{DATA['pdf']}",
    ),
    (
        *("openai-responses", "openai-chat", "document", PDF),
        lambda body: body["messages"][0]["content"][0]["file"]["file_data"],
        f"data:application/pdf;base64,{DATA['pdf']}",
    ),
    (
        *("gemini", "openai-chat", "document", PDF),
        lambda body: body["messages"][0]["content"][0]["file"]["file_data"],
        f"data:application/pdf;base64,{DATA['pdf']}",
    ),
]


@pytest.mark.parametrize(("frontend", "backend", "kind", "file", "found", "wanted"), CARRIED)
async def test_media_are_fetched_for_backends_that_take_bytes(
    frontend: str, backend: str, kind: str, file: bytes, found: Any, wanted: Any
) -> None:
    async with (
        upstream([http(file, kind="")]) as files,
        upstream([http(dumps(reply(backend)))]) as up,
        stage(config(one(backend, up.url), fetch={"allow": ["127.0.0.1"]})) as it,
    ):
        answer = await it.ask(path(frontend), asked(frontend, kind, f"{files.url}/a?signed=secret"))
    assert (answer.status, text_of(frontend, answer.body)) == (200, TEXT), answer.body
    assert found(json.loads(up.requests[0].body)) == wanted
    (fetched,) = files.requests
    assert (fetched.method, fetched.target, fetched.body) == ("GET", "/a?signed=secret", b"")
    assert not {"authorization", "cookie", "x-api-key", "referer"} & fetched.headers.keys()


@pytest.mark.parametrize("backend", ["anthropic", "openai-responses", "gemini"])
async def test_a_backend_that_takes_urls_gets_the_url(backend: str) -> None:
    async with (
        upstream([PICTURE]) as files,
        upstream([http(dumps(reply(backend)))]) as up,
        stage(config(one(backend, up.url), fetch={"allow": ["127.0.0.1"]})) as it,
    ):
        answer = await it.ask(path("openai-chat"), asked("openai-chat", "image", f"{files.url}/a.png"))
    assert answer.status == 200
    assert files.requests == []
    assert f"{files.url}/a.png".encode() in up.requests[0].body


async def test_nothing_is_fetched_by_default() -> None:
    async with (
        upstream([PICTURE]) as files,
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url))) as it,
    ):
        answer = await it.ask(path("openai-chat"), asked("openai-chat", "image", f"{files.url}/a.png"))
    assert answer.status == 400
    assert b"image" in answer.body
    assert files.requests == up.requests == []


async def test_a_text_is_fetched_as_text() -> None:
    async with upstream([http(b"tide,12", kind="text/csv")]) as files, upstream([http(dumps(reply("ollama")))]) as up:
        backend = one("ollama", up.url, capabilities=["text", "documents"])
        async with stage(config(backend, fetch={"allow": ["127.0.0.1"]})) as it:
            answer = await it.ask(path("anthropic"), asked("anthropic", "document", f"{files.url}/tides.csv"))
    assert answer.status == 200, answer.body
    assert json.loads(up.requests[0].body)["messages"][0]["content"] == "tide,12"


async def test_a_picture_in_a_result_is_fetched() -> None:
    async with (
        upstream([http(PNG, kind="image/png")]) as files,
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), fetch={"allow": ["127.0.0.1"]})) as it,
    ):
        picture = {"type": "image", "source": {"type": "url", "url": f"{files.url}/a.png"}}
        call = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
        turns = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [picture]}]},
        ]
        answer = await it.ask(path("anthropic"), {"model": "m", "max_tokens": 64, "messages": turns})
    assert answer.status == 200, answer.body
    assert json.loads(up.requests[0].body)["messages"][2]["images"] == [DATA["png"]]


async def test_a_failover_fetches_what_the_next_backend_needs() -> None:
    answers = upstream([http(dumps(reply("ollama")))]), upstream([http(b"{}", "503 Busy")])
    async with upstream([PICTURE]) as files, answers[0] as good, answers[1] as bad:
        backends = {
            "a": {"protocol": "anthropic", "base_url": bad.url, "priority": 2},
            "b": {"protocol": "ollama", "base_url": good.url},
        }
        async with stage(config(backends, fetch={"allow": ["127.0.0.1"]})) as it:
            answer = await it.ask(path("openai-chat"), asked("openai-chat", "image", f"{files.url}/a.png"))
    assert answer.status == 200, answer.body
    assert json.loads(good.requests[0].body)["messages"][0]["images"] == [DATA["png"]]


ALLOWED = {"allow": ["127.0.0.1"]}
LISTED_NAME = {"allow": ["localhost"]}
REFUSED: dict[str, tuple[dict[str, Any], list[Any], str, str]] = {
    "another host": ({"allow": ["example.com"]}, [PICTURE], "127.0.0.1", "fetch.allow"),
    "another port": ({"allow": ["127.0.0.1:1"]}, [PICTURE], "127.0.0.1", "fetch.allow"),
    "a name with a private address": (LISTED_NAME, [PICTURE], "localhost", "fetch.private"),
    "a number that is a private address": ({"allow": ["2130706433"]}, [PICTURE], "2130706433", "could not be reached"),
    "other networks": ({**LISTED_NAME, "private": ["10.0.0.0/8"]}, [PICTURE], "localhost", "fetch.private"),
    "a redirect": (ALLOWED, [http(b"", "302 Found", location="http://127.0.0.1/b")], "127.0.0.1", "redirects"),
    "a status": (ALLOWED, [http(PNG, "404 Not Found")], "127.0.0.1", "404"),
    "a size that is told": ({**ALLOWED, "max_bytes": 20}, [PICTURE], "127.0.0.1", "fetch.max_bytes"),
    "a size that is not told": (
        *({**ALLOWED, "max_bytes": 20}, [head("image/png"), chunk(PNG[:16]), chunk(PNG), "hold"]),
        *("127.0.0.1", "fetch.max_bytes"),
    ),
    "a type": (ALLOWED, [http(b"{}", kind="application/json")], "127.0.0.1", "fetch.types"),
    "no bytes": (ALLOWED, [http(b"", kind="image/png")], "127.0.0.1", "empty"),
    "a host that is silent": ({**ALLOWED, "timeout_s": 0.1}, ["hold"], "127.0.0.1", "fetch.timeout_s"),
    "a body that never ends": (
        *({**ALLOWED, "timeout_s": 0.2}, [head("image/png"), chunk(PNG), "hold"]),
        *("127.0.0.1", "fetch.timeout_s"),
    ),
    "a compressed body": (ALLOWED, [http(gzip.compress(PNG), content_encoding="gzip")], "127.0.0.1", "compressed"),
    "a cut connection": (ALLOWED, [http(PNG, length=400), "reset"], "127.0.0.1", "could not be reached"),
    "credentials": ({"allow": ["127.0.0.1"]}, [PICTURE], "user:secret@127.0.0.1", "credentials"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_may_not_be_fetched_is_refused_with_a_reason(name: str) -> None:
    fetch, script, host, why = REFUSED[name]
    async with (
        upstream(script) as files,
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), fetch=fetch)) as it,
    ):
        url = f"http://{host}:{files.port}/a.png?signed=secret"
        answer = await asyncio.wait_for(it.ask(path("openai-chat"), asked("openai-chat", "image", url)), 20)
    assert answer.status == 400, answer.body
    assert why.encode() in answer.body, answer.body
    assert b"secret" not in answer.body
    assert up.requests == []


@pytest.mark.parametrize(
    "fetch", [{"private": True, **LISTED_NAME}, {"private": ["127.0.0.0/8", "::1"], **LISTED_NAME}]
)
async def test_private_addresses_are_fetched_from_where_they_are_listed(fetch: dict[str, Any]) -> None:
    async with (
        upstream([PICTURE]) as files,
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), fetch=fetch)) as it,
    ):
        url = f"http://localhost:{files.port}/a.png"
        answer = await it.ask(path("openai-chat"), asked("openai-chat", "image", url))
    assert answer.status == 200, answer.body


async def test_more_files_than_allowed_are_refused_before_any_is_fetched() -> None:
    async with (
        upstream([PICTURE]) as files,
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), fetch={**ALLOWED, "max_files": 1})) as it,
    ):
        parts = [{"type": "image_url", "image_url": {"url": f"{files.url}/{n}"}} for n in range(2)]
        body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
        answer = await it.ask(path("openai-chat"), body)
    assert (answer.status, files.requests) == (400, [])
    assert b"fetch.max_files" in answer.body


async def test_a_stream_is_answered_too() -> None:
    frames = chunked(frames_of("ollama"), "application/x-ndjson")
    async with (
        upstream([PICTURE]) as files,
        upstream(frames) as up,
        stage(config(one("ollama", up.url), fetch=ALLOWED)) as it,
    ):
        body = {**asked("openai-chat", "image", f"{files.url}/a.png"), "stream": True}
        answer = await it.ask(path("openai-chat", stream=True), body)
    assert (answer.status, said("openai-chat", answer.body)) == (200, TEXT)
    assert json.loads(up.requests[0].body)["messages"][0]["images"] == [DATA["png"]]


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_backend_of_several_protocols_gets_the_data_where_it_may(allowed: bool) -> None:
    backend = {"provider": "ollama", "models": ["m"]}
    async with upstream([PICTURE]) as files, upstream([http(dumps(reply("ollama")))]) as up:
        settings = {"fetch": {"allow": ["127.0.0.1"] if allowed else ["pictures.example.com"]}}
        async with stage(config({"b": backend | {"base_url": up.url}}, **settings)) as it:
            answer = await it.ask(path("anthropic"), asked("anthropic", "image", f"{files.url}/a.png"))
    if allowed:
        assert answer.status == 200, answer.body
        assert up.requests[0].target == "/api/chat"
        assert json.loads(up.requests[0].body)["messages"][0]["images"] == [DATA["png"]]
    else:
        assert answer.status == 400, answer.body
        assert (files.requests, up.requests) == ([], [])
        assert "fetch.allow" in answer.body.decode()
