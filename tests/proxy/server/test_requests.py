"""Azure's addresses: a deployment in the path in place of the body's model, and the paths below /openai."""

from __future__ import annotations

import json
from typing import Any, TypeAlias
from urllib.parse import quote

import openai
import pytest

from ..proxy_fixture import config, one, stage
from ..sample_messages import TEXT, ask, dumps, error_text, reply, text_of
from ..scripted_upstream import http, upstream

JSON: TypeAlias = dict[str, Any]

NOWHERE = "http://127.0.0.1:1"
VERSION = "?api-version=2025-04-01-preview"

VECTORS = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}

DEPLOYED: list[tuple[str, JSON]] = [
    ("chat/completions", ask("openai-chat")),
    ("responses", ask("openai-responses")),
    ("completions", {"model": "m", "prompt": "Say hello."}),
]
"""The path below a deployment, and a body with a model in it."""


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("given", ["left out", "another", "null"])
@pytest.mark.parametrize(("path", "body"), DEPLOYED)
async def test_the_deployment_is_the_model(path: str, body: JSON, given: str, backend: str) -> None:
    said = {key: value for key, value in body.items() if key != "model"}
    if given != "left out":
        said["model"] = "gpt-9" if given == "another" else None
    async with upstream([http(dumps(reply(backend)))]) as up:
        served = {"b": {"protocol": backend, "base_url": up.url, "models": {"my deployment/2": "real"}}}
        async with stage(config(served)) as it:
            where = f"/openai/deployments/{quote('my deployment/2', safe='')}/{path}{VERSION}"
            answer = await it.ask(where, said, {"api-key": "client-key"})
    assert answer.status == 200, answer
    assert TEXT in answer.body.decode()
    assert json.loads(answer.body)["model"] == "my deployment/2"
    assert json.loads(up.requests[0].body)["model"] == "real"
    assert "api-key" not in up.requests[0].headers


@pytest.mark.parametrize(
    "path",
    ["/openai/v1/chat/completions", "/openai/chat/completions", f"/openai/v1/chat/completions{VERSION}"],
)
async def test_a_chat_below_openai_names_its_model(path: str) -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(path, ask("openai-chat"))
    assert (answer.status, text_of("openai-chat", answer.body)) == (200, TEXT)


@pytest.mark.parametrize("path", ["/openai/v1/embeddings", "/openai/deployments/m/embeddings"])
async def test_embeddings(path: str) -> None:
    async with upstream([http(dumps(VECTORS))]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(path + VERSION, {"input": "x"} | ({"model": "m"} if "/v1/" in path else {}))
    assert answer.status == 200, answer
    assert json.loads(up.requests[0].body) == {"input": "x", "model": "m"}


@pytest.mark.parametrize("path", ["/openai/v1/models", f"/openai/models{VERSION}"])
async def test_the_models(path: str) -> None:
    async with stage(config({"b": {"protocol": "anthropic", "base_url": NOWHERE, "models": ["a"]}})) as it:
        listed = await it.get(path, {"api-key": "k"})
        shown = await it.get("/openai/v1/models/a", {"api-key": "k"})
    assert [model["id"] for model in json.loads(listed.body)["data"]] == ["a"]
    assert json.loads(shown.body)["id"] == "a"


WRONG: list[tuple[str, bytes | None, dict[str, str], int]] = [
    ("/openai/deployments/nobody/chat/completions", dumps(ask("openai-chat")), {}, 404),
    ("/openai/deployments/m/chat/completions", b"{", {}, 400),
    ("/openai/deployments/m/chat/completions", b"[]", {}, 400),
    ("/openai/deployments/m/chat/completions", b"", {}, 400),
    ("/openai/deployments/m/chat/completions", b"{}", {"content-type": "text/plain"}, 415),
    ("/openai/deployments/m/chat/completions", b" " * 5000, {}, 413),
    ("/openai/deployments/m/chat/completions", None, {}, 405),
    ("/openai/deployments/m/chat/nothing", b"{}", {}, 404),
    ("/openai/v1/responses/x/y/z", b"{}", {}, 404),
    ("/openai/v1/responses", b"{}", {}, 400),
]


@pytest.mark.parametrize(("path", "body", "fields", "status"), WRONG)
async def test_errors_have_openais_shape(path: str, body: bytes | None, fields: dict[str, str], status: int) -> None:
    served = {"b": {"protocol": "openai-chat", "base_url": NOWHERE, "models": ["m"]}}
    async with stage(config(served, body_limit="4096")) as it:
        answer = await it.ask(path + VERSION, body, fields)
    assert answer.status == status, answer
    error_text("openai-chat", status, answer.body)


async def test_azures_own_client() -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(config(one("anthropic", up.url))) as it:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=it.url, api_key="client-key", api_version="2025-04-01-preview", max_retries=0
        )
        async with client:
            chat = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            answered = await client.responses.create(model="m", input="Hi")
            older = await client.completions.create(model="m", prompt="Hi")
    assert chat.choices[0].message.content == answered.output_text == older.choices[0].text == TEXT
