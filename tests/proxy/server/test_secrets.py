"""No secret or text leaves by a log, an error, a metric or a record; no address of a request is called."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from ..proxy_fixture import config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunked, http, upstream

OURS = "sk-ours-canary-41d8cd98f00b"
CLIENTS = "sk-client-canary-9e107d9d37"
SAID = "prompt-canary-e4d909c290d0"

PLACES = {
    "authorization": f"Bearer {CLIENTS}",
    "x-api-key": CLIENTS,
    "x-goog-api-key": CLIENTS,
    "api-key": CLIENTS,
    "cookie": f"session={CLIENTS}",
}

FAULTS: dict[str, list[Any]] = {
    "an error that repeats everything": [http(b'{"error":{"message":"%b %b"}}', "500 No")],
    "a refusal": [http(b'{"error":{"message":"%b"}}', "401 No")],
    "a cut": [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {", "close"],
    "garbage": [http(b"<html>%b", kind="text/html")],
}


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_no_secret_leaves(frontend: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scripts = [
        [http(dumps(reply(backend)))],
        chunked(stream(backend), stream_kind(backend)),
        *(
            [
                step.replace(b"%b", OURS.encode(), 1).replace(b"%b", SAID.encode()) if isinstance(step, bytes) else step
                for step in script
            ]
            for script in FAULTS.values()
        ),
    ]
    keys = {"b": {**one(backend, "")["b"], "api_key": OURS}}
    async with upstream(*scripts) as up:
        keys["b"]["base_url"] = up.url
        async with stage(config(keys)) as it:
            told = []
            for number in range(len(scripts)):
                streams = number == 1
                where = path(frontend, stream=streams)
                where += ("&" if "?" in where else "?") + f"key={CLIENTS}"
                answer = await it.ask(where, ask(frontend, text=SAID, stream=streams), PLACES)
                told.append(f"{answer.headers} {answer.body.decode()}")
                told.append(json.dumps(await it.record(answer)))
            assert len(up.requests) >= len(scripts)
            told.append(await it.metrics())
            told.append((await it.get("/crosswire/requests")).body.decode())
            told.append((await it.get("/readyz")).body.decode())
    heard = "".join(f"{each.target} {each.headers} {each.body.decode()}" for each in up.requests)
    assert CLIENTS not in heard
    assert OURS in heard
    for text in (*told, caplog.text, repr(it.gateway.config)):
        assert OURS not in text
        assert CLIENTS not in text
    for text in (*told[1::2], caplog.text):  # an upstream's words may repeat what was said to the client alone
        assert SAID not in text


ADDRESSES = ("api_base", "base_url", "url", "endpoint", "custom_host", "proxy")


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_no_address_of_a_request_is_called(frontend: str) -> None:
    """Neither a field, a header nor the URL of an image makes the proxy call anybody."""
    called = []

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(sink, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x.png"
    async with (
        server,
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url))) as it,
    ):
        for name in ADDRESSES:
            fields = {f"x-{name.replace('_', '-')}": url, "x-portkey-custom-host": url, "x-forwarded-host": "a.b"}
            answer = await it.ask(path(frontend), {**ask(frontend), name: url, "extra_body": {name: url}}, fields)
            assert answer.status in (200, 400, 422)
        for image in (url, url.replace("127.0.0.1", "127.1"), url.replace("127.0.0.1", "[::ffff:127.0.0.1]")):
            answer = await it.ask(path(frontend), with_image(frontend, image))
            assert answer.status in (200, 400, 422)
    assert called == []


def with_image(frontend: str, url: str) -> dict[str, Any]:
    """A request with an image at this URL, as the frontend's protocol says it."""
    whole = ask(frontend)
    match frontend:
        case "openai-chat":
            whole["messages"] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        case "openai-responses":
            whole["input"] = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
        case "anthropic":
            image = {"type": "image", "source": {"type": "url", "url": url}}
            whole["messages"] = [{"role": "user", "content": [image]}]
        case "gemini":
            whole["contents"] = [{"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": url}}]}]
        case _:
            whole["messages"] = [{"role": "user", "content": "x", "images": [url]}]
    return whole
