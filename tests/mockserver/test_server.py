"""The mock over HTTP: paths of the providers, journal, faults, and error bodies by protocol."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from crosswire.conformance.client import CLIENTS
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.mockserver.server import make_app
from tests.mockserver.in_process_mock import scenarios

CHAT = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": "Hello!"}]}
CHAT_URL = "/openai/v1/chat/completions"
CHAT_KEY = {"authorization": "Bearer test-key-openai"}
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello!"}]}
CLAUDE_URL = "/anthropic/v1/messages"
CLAUDE_KEY = {"x-api-key": "test-key-anthropic", "anthropic-version": "2023-06-01"}

Client = TestClient[Any, Any]


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(scenarios()))) as found:
        yield found


async def journal(client: Client, **query: str) -> list[dict[str, Any]]:
    async with client.get("/journal", params=query) as answer:
        found: list[dict[str, Any]] = (await answer.json())["entries"]
        return found


def chat_body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5-nano", "messages": [{"role": "user", "content": text}], **more}


async def test_story_is_served_and_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "crosswire.mock"):
        async with client.post(CHAT_URL, json=CHAT, headers=CHAT_KEY) as answer:
            body = await answer.json()
    assert answer.status == 200
    assert body["choices"][0]["message"]["content"] == "Hello! How can I help you today?"
    assert "Detected scenario: openai/text" in caplog.messages


BROKEN = "Set the alarm for me."
"""Asks for a story whose call has arguments that are no JSON, which only a text can hold."""


@pytest.mark.parametrize(
    ("url", "headers", "body"),
    [
        (
            "/anthropic/v1/messages",
            {"x-api-key": "test-key-anthropic", "anthropic-version": "2023-06-01"},
            {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": BROKEN}]},
        ),
        (
            "/gemini/v1beta/models/gemini-2.5-flash:generateContent",
            {"x-goog-api-key": "test-key-gemini"},
            {"contents": [{"role": "user", "parts": [{"text": BROKEN}]}]},
        ),
        (
            "/ollama/api/chat",
            {"authorization": "Bearer test-key-ollama"},
            {"model": "llama3.2", "stream": False, "messages": [{"role": "user", "content": BROKEN}]},
        ),
    ],
    ids=["anthropic", "gemini", "ollama"],
)
async def test_a_call_that_the_protocol_cannot_say_is_told(
    url: str, headers: dict[str, str], body: dict[str, Any], client: Client
) -> None:
    async with client.post(url, json=body, headers=headers) as answer:
        assert answer.status == 400
        assert "has no form for the calls that story tools-broken-arguments" in await answer.text()
    (entry,) = await journal(client)
    assert "tools-broken-arguments" in entry["note"]


async def test_journal_keeps_every_byte(client: Client) -> None:
    sent = json.dumps(chat_body("Hello!", stream=True))
    async with client.post(CHAT_URL, data=sent, headers=CHAT_KEY | {"content-type": "application/json"}) as answer:
        received = await answer.read()
    (entry,) = await journal(client)
    assert entry["received"] == sent
    assert entry["sent"] == received.decode()
    assert entry["body"] == json.loads(sent)
    assert (entry["provider"], entry["story"], entry["step"], entry["method"]) == ("openai", "text", 0, "POST")
    assert (entry["path"], entry["status"], entry["done"]) == (CHAT_URL, 200, "sent")
    assert entry["headers"]["authorization"] == "Bearer test-key-openai"
    assert entry["reply_headers"]["content-type"] == "text/event-stream"


async def test_journal_queries_and_reset(client: Client) -> None:
    for _ in range(3):
        async with client.post(CHAT_URL, json=CHAT, headers=CHAT_KEY):
            pass
    async with client.post(CLAUDE_URL, json=CLAUDE, headers=CLAUDE_KEY):
        pass
    assert [entry["seq"] for entry in await journal(client, since="2")] == [2, 3]
    assert [entry["seq"] for entry in await journal(client, provider="anthropic")] == [3]
    assert [entry["seq"] for entry in await journal(client, story="nothing")] == []
    async with client.get("/journal?since=x") as answer:
        assert answer.status == 400
    async with client.get("/reset") as answer:
        assert answer.status == 405
    async with client.post("/reset") as answer:
        assert answer.status == 200
    async with client.get("/journal") as answer:
        assert await answer.json() == {"next": 4, "entries": []}


async def test_journal_keeps_binary_bodies_in_base64(client: Client) -> None:
    async with client.post(CHAT_URL, data=b"\xff\xfe{", headers=CHAT_KEY) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    (entry,) = await journal(client)
    assert base64.b64decode(entry["received_base64"]) == b"\xff\xfe{"


async def test_healthz_names_the_providers(client: Client) -> None:
    async with client.get("/healthz") as answer:
        body = await answer.json()
    assert body["status"] == "ok"
    assert "openrouter" in body["providers"]


REFUSED: list[tuple[str, str, dict[str, str], int, str]] = [
    ("provider", "/nobody/v1/chat/completions", {}, 404, "no provider at"),
    ("root", "/", {}, 404, "no provider at"),
    ("base-path", "/openai/v2/chat/completions", CHAT_KEY, 404, "is served under /openai/v1"),
    ("path", "/openai/v1/completions", CHAT_KEY, 404, "Unknown request URL"),
    ("key", CHAT_URL, {}, 401, "You didn't provide an API key"),
    ("foreign-key", CHAT_URL, {"authorization": "Bearer test-key-anthropic"}, 401, "Incorrect API key"),
]


@pytest.mark.parametrize(("url", "headers", "status", "words"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
async def test_unknown_path_or_wrong_key(
    client: Client, url: str, headers: dict[str, str], status: int, words: str
) -> None:
    async with client.post(url, json=CHAT, headers=headers) as answer:
        assert answer.status == status
        assert words in await answer.text()


async def test_unmatched_request_gets_the_providers_error_shape(client: Client) -> None:
    async with client.post(CHAT_URL, json=chat_body("Is it snowing in Bergen?"), headers=CHAT_KEY) as answer:
        error = (await answer.json())["error"]
    assert answer.status == 400
    assert error["type"] == "invalid_request_error"
    assert "nearest: tools-one-call" in error["message"]
    body = CLAUDE | {"messages": [{"role": "user", "content": "Hullo!"}]}
    async with client.post(CLAUDE_URL, json=body, headers=CLAUDE_KEY) as answer:
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    first, second = await journal(client)
    assert first["story"] is None
    assert "nearest: tools-one-call" in first["note"]
    assert "nearest: text" in second["note"]


async def test_error_story_has_the_protocols_status_body_and_headers(client: Client) -> None:
    ask = chat_body("Please be rate limited.")
    async with client.post(CHAT_URL, json=ask, headers=CHAT_KEY) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"
    body = CLAUDE | {"messages": ask["messages"]}
    async with client.post(CLAUDE_URL, json=body, headers=CLAUDE_KEY) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert (await answer.json())["error"] == {"type": "rate_limit_error", "message": "slow down"}


async def test_cut_stream_has_no_terminal_event(client: Client) -> None:
    ask = chat_body("Count to ten and be cut off.", stream=True)
    async with client.post(CHAT_URL, json=ask, headers=CHAT_KEY) as answer:
        text = await answer.text()
    assert '" two"' in text
    assert "[DONE]" not in text


async def test_model_lists_and_token_counts(client: Client) -> None:
    async with client.get("/openai/v1/models", headers=CHAT_KEY) as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["gpt-5-nano", "gpt-4.1-mini"]
    async with client.get("/anthropic/v1/models", headers=CLAUDE_KEY) as answer:
        assert (await answer.json())["data"][0]["type"] == "model"
    body = {key: CLAUDE[key] for key in ("model", "messages")}
    async with client.post("/anthropic/v1/messages/count_tokens?beta=true", json=body, headers=CLAUDE_KEY) as answer:
        assert (await answer.json())["input_tokens"] > 0


async def test_large_body_is_accepted(client: Client) -> None:
    body = io.BytesIO(json.dumps(chat_body("Hello!" + "x" * (33 * 1024 * 1024))).encode())
    async with client.post(CHAT_URL, data=body, headers=CHAT_KEY) as answer:
        assert answer.status == 200
    await client.post("/reset")


def folder(tmp_path: Path, say: str, more: str = "") -> Scenarios:
    """Writes one provider, openai, and one story whose opening text is `Go`, and loads them."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "stories").mkdir()
    (tmp_path / "providers" / "openai.yaml").write_text(
        "protocol: openai-chat\nbase_path: /v1\nmodels: {m: m}\nauth: {header: authorization, key: k}\n"
    )
    (tmp_path / "stories" / "go.yaml").write_text(
        f"why: w\nsource: s\nneeds: [text]\nask: {{user: Go}}\nsay: {say}\n{more}"
    )
    found = load_scenarios(tmp_path)
    assert found.mistakes == (), [str(mistake) for mistake in found.mistakes]
    return found


async def send_go(
    client: Client, url: str = "/openai/v1/chat/completions", key: str = "k", **more: Any
) -> tuple[int, str]:
    body = {"model": "m", "messages": [{"role": "user", "content": "Go"}], **more}
    async with client.post(url, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        return answer.status, await answer.text()


async def test_reset_fault_aborts_the_connection(tmp_path: Path) -> None:
    found = folder(tmp_path, "[{text: [a, b]}, {cut: reset}]")
    async with TestClient(TestServer(make_app(found))) as client:
        with pytest.raises(aiohttp.ClientError):
            await send_go(client, stream=True)
        (entry,) = await journal(client)
    assert entry["done"] == "reset"


async def test_reset_restarts_the_count_of_faults(tmp_path: Path) -> None:
    found = folder(tmp_path, "[{error: {kind: overloaded}, times: 2}, {text: fine}]")
    async with TestClient(TestServer(make_app(found))) as client:
        assert [(await send_go(client))[0] for _ in range(4)] == [503, 503, 200, 200]
        await client.post("/reset")
        assert (await send_go(client))[0] == 503


async def test_each_backend_has_its_own_reply_and_key(tmp_path: Path) -> None:
    found = folder(tmp_path, "{local: [{text: from local}], cloud: [{text: from cloud}]}")
    async with TestClient(TestServer(make_app(found))) as client:
        for backend, other in (("local", "cloud"), ("cloud", "local")):
            url = f"/openai@{backend}/v1/chat/completions"
            status, text = await send_go(client, url, model="any", key=f"k-{backend}")
            assert (status, f"from {backend}" in text) == (200, True)
            for wrong in ("k", f"k-{other}"):
                assert (await send_go(client, url, key=wrong))[0] == 401
        status, text = await send_go(client)
        assert (status, "defines no reply for backend openai" in text) == (400, True)


async def test_literal_reply_replaces_the_rendered_one(tmp_path: Path) -> None:
    raw = 'raw: {openai-chat: {status: 418, headers: {x-tea: "1"}, body: {kettle: on}}}\n'
    async with TestClient(TestServer(make_app(folder(tmp_path, "[{text: x}]", raw)))) as client:
        assert await send_go(client) == (418, '{"kettle":"on"}')


async def test_pause_does_not_block_other_requests(tmp_path: Path) -> None:
    found = folder(tmp_path, "[{text: a}, {pause: 30}, {text: b}]")
    async with TestClient(TestServer(make_app(found))) as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Go"}]}
        headers = {"authorization": "Bearer k"}
        async with client.post("/openai/v1/chat/completions", json=body, headers=headers) as slow:
            assert b"data:" in await slow.content.readline()
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            (entry,) = await journal(client)
            assert entry["done"] is None
            assert '"a"' in entry["sent"]
        # The pause is still running when the client disconnects.


def test_scenarios_with_mistakes_are_not_served(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no providers"):
        make_app(load_scenarios(tmp_path))


@pytest.mark.parametrize("name", sorted(scenarios().providers))
@pytest.mark.parametrize("stream", [False, True])
async def test_every_provider_is_served_at_the_path_of_its_sdk(client: Client, name: str, stream: bool) -> None:
    provider = scenarios().providers[name]
    story = scenarios().stories["text"]
    http_request = CLIENTS[provider.protocol].build_request(
        [(story.exchanges[0].ask, None)], model=provider.default_model, stream=stream, key=provider.auth.key
    )
    below = http_request.path.removeprefix("/v1") if provider.base_path.endswith("/v1") else http_request.path
    async with client.post(
        f"/{name}{provider.base_path}{below}", data=http_request.bytes(), headers=http_request.headers
    ) as answer:
        reply = CLIENTS[provider.protocol].parse_reply(
            answer.status, answer.headers, await answer.read(), stream=stream, request=http_request
        )
    assert reply.error is None
    assert reply.text.startswith("Hello!")
    assert reply.stop == "end"


# ---- how replies are cut ---------------------------------------------------------------------------------------------


async def reads(client: Client) -> list[bytes]:
    """Returns the pieces in which a streamed reply arrives."""
    async with client.post(CHAT_URL, json=CHAT | {"stream": True}, headers=CHAT_KEY) as answer:
        return [piece async for piece in answer.content.iter_any()]


async def test_replies_are_cut_as_told_until_the_next_reset(client: Client) -> None:
    unsplit = await reads(client)
    async with client.post("/wire", json={"write": "frame"}):
        pass
    frames = await reads(client)
    assert b"".join(frames) == b"".join(unsplit)
    assert all(frame.startswith(b"data: ") and frame.endswith(b"\n\n") for frame in frames)
    assert len(frames) > 3
    for write, lengths in (("whole", {len(b"".join(frames))}), (1, {1})):
        async with client.post("/wire", json={"write": write}) as answer:
            assert await answer.json() == {"status": "ok", "write": write}
        assert {len(piece) for piece in await reads(client)} == lengths
    async with client.post("/reset"):
        pass
    async with client.get("/journal") as answer:
        assert (await answer.json())["entries"] == []
    assert b"".join(await reads(client)) == b"".join(unsplit)


@pytest.mark.parametrize("body", ['{"write": 0}', '{"write": "half"}', '{"write": 1.5}', "{}", "[]", "x"])
async def test_a_wrong_cut_says_what_is_expected(client: Client, body: str) -> None:
    async with client.post("/wire", data=body) as answer:
        assert answer.status == 400
        assert "at least 1 byte" in (await answer.json())["error"]


# ---- dialects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "path", "key", "body", "protocol"),
    [
        ("openai", "/openai/v1/chat/completions", "authorization", {}, "openai-chat"),
        ("openai", "/openai/v1/responses", "authorization", {"input": "Hello!"}, "openai-responses"),
        ("ollama", "/ollama/api/chat", "authorization", {"stream": False}, "ollama"),
        ("ollama", "/ollama/v1/chat/completions", "authorization", {}, "openai-chat"),
        ("ollama", "/ollama/v1/responses", "authorization", {"input": "Hello!"}, "openai-responses"),
    ],
)
async def test_a_provider_speaks_several_dialects_on_one_base(
    client: Client, provider: str, path: str, key: str, body: dict[str, Any], protocol: str
) -> None:
    model = {"openai": "gpt-5-nano", "ollama": "llama3.2"}[provider]
    body = {"model": model, **({} if "input" in body else {"messages": CHAT["messages"]}), **body}
    async with client.post(path, json=body, headers={key: f"Bearer test-key-{provider}"}) as answer:
        reply = await answer.read()
    assert answer.status == 200
    parsed = CLIENTS[protocol].parse_reply(200, dict(answer.headers), reply, stream=False)
    # Ollama's compatible endpoint has no `refusal`: https://github.com/ollama/ollama/blob/main/openai/openai.go
    left_out = ("message: `refusal` is missing",) if path == "/ollama/v1/chat/completions" else ()
    assert parsed.complaints == left_out
    assert parsed.text == "Hello! How can I help you today?"
    async with client.post(path, json=body | {"model": "none"}, headers={key: f"Bearer test-key-{provider}"}) as answer:
        assert answer.status in (400, 404)
    assert f"refused by {protocol}/model-unknown" in (await journal(client))[-1]["note"]
    assert protocol in MOCK_PROTOCOLS


async def test_dialects_share_the_model_list_and_refuse_unknown_paths(client: Client) -> None:
    key = {"authorization": "Bearer test-key-openai"}
    async with client.get("/openai/v1/models", headers=key) as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["gpt-5-nano", "gpt-4.1-mini"]
    async with client.post("/openai/v1/messages", headers=key) as answer:
        assert answer.status == 404
