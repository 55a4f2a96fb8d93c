"""Recorded traffic becomes stories without ids, keys and addresses, which play in all five protocols."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.recording.__main__ import NOTHING, OK, finish
from crosswire.conformance.recording.recorder import UPSTREAMS, Recorder, Upstream
from crosswire.conformance.recording.redaction import Redactor
from crosswire.conformance.recording.story_writer import write_stories
from crosswire.mockserver.protocols.names import NAMES
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.mockserver.scenarios.model import Ask
from crosswire.mockserver.scenarios.story_parser import read_story
from crosswire.mockserver.server import MockProvider
from tests.mockserver.in_process_mock import scenarios, send

KEY = "sk-proj-abcdefghijklmnop1234"
STORY = f"""\
why: w
source: s
needs: [tools]
ask:
  system: Be brief. The key is {KEY}.
  user: "When is high water in Brest? Tell ada@lovelace.example."
  tools: [{{name: tide, parameters: {{type: object, properties: {{port: {{type: string}}}}, required: [port]}}}}]
  max_tokens: 99
say:
  - text: [Let me, " look, ada@lovelace.example."]
  - call: {{id: toolu_0123456789abcdef, name: tide, arguments: '{{"port":"Brest"}}'}}
then:
  - ask: {{results: {{toolu_0123456789abcdef: high at 14:02}}}}
    say: [{{text: High water is at 14:02.}}]
"""


def provider_of(protocol: str) -> str:
    return "openai" if protocol == "openai-chat" else protocol


def play(story_text: str, protocol: str, *, stream: bool, recorder: Recorder | None = None) -> list[Any]:
    """Plays a story between a client and the mock; a recorder keeps what goes over the wire."""
    story, mistakes = read_story("played", "played.yaml", story_text)
    assert story is not None, mistakes
    mock = MockProvider(Scenarios(scenarios().providers, {"played": story}))
    provider = mock.scenarios.providers[provider_of(protocol)]
    done: list[tuple[Ask, Any]] = []
    for exchange in story.exchanges:
        request = CLIENTS[protocol].build_request(
            [*done, (exchange.ask, None)], model=provider.upstream_models[0], stream=stream, key=provider.auth.key
        )
        reply = send(mock, provider, request, stream=stream)
        entry = mock.journal.entries[-1]
        assert (entry.note, reply.complaints) == (None, ())
        if recorder is not None:
            received = {"content-type": _content_type(protocol, stream)}
            recorder.keep("POST", entry.path, entry.headers, entry.received, 200, received, bytes(entry.sent))
        done.append((exchange.ask, reply))
    return done


def _content_type(protocol: str, stream: bool) -> str:
    if not stream:
        return "application/json"
    return "application/x-ndjson" if protocol == "ollama" else "text/event-stream"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
def test_a_recorded_conversation_plays_in_all_protocols(protocol: str, stream: bool) -> None:
    recorder = Recorder(UPSTREAMS[provider_of(protocol) if protocol != "openai-responses" else "openai"])
    play(STORY, protocol, stream=stream, recorder=recorder)
    redactor = Redactor()
    (written,) = write_stories(recorder.recorded, "somewhere", redactor)
    assert (written.problem, len(recorder.recorded), recorder.left_out) == ("", 2, [])
    for secret in (KEY, "lovelace", "toolu_"):
        assert secret not in written.text
    assert {each.kind for each in redactor.redactions} == {"e-mail", "key"}
    for other in NAMES:
        (_, first), (_, second) = play(written.text, other, stream=stream)
        assert first.text == "Let me look, someone-1@example.com."
        assert [(call.name, json.loads(call.arguments)) for call in first.calls] == [("tide", {"port": "Brest"})]
        assert second.text == "High water is at 14:02."


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("mail ada@lovelace.example or ada@lovelace.example", "mail someone-1@example.com or someone-1@example.com"),
        ("a@b.example, c@d.example", "someone-1@example.com, someone-2@example.com"),
        ("sk-ant-REDACTED and AIzaSyA0123456789abcdefghijk", "KEY-1 and KEY-2"),
        ("Authorization: Bearer abcdef.ghijkl", "Authorization: Bearer KEY-1"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "KEY-1"),
        ("ghp_0123456789abcdefghij0123 AKIAABCDEFGHIJKLMNOP", "KEY-1 KEY-2"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", "KEY-1"),
        ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id ID-1"),
        ("0123456789abcdef01234567 chatcmpl-AbCdEfGh12", "ID-1 ID-2"),
        ("A plain text of words, 14:02, gpt-5-nano, user_name and call_me.", None),
        ("mask-or-not, risk_free_rate_of_return, my-long-kebab-case-name-of-a-file.txt", None),
    ],
)
def test_what_identifies_somebody_is_replaced(text: str, redacted: str | None) -> None:
    assert Redactor().text(text) == (text if redacted is None else redacted)


@pytest.mark.parametrize(
    ("answer", "yes", "code"), [("n", False, NOTHING), ("", False, NOTHING), ("y", False, OK), ("", True, OK)]
)
def test_nothing_is_written_before_the_person_agrees(
    answer: str, yes: bool, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(UPSTREAMS["anthropic"])
    play(STORY, "anthropic", stream=False, recorder=recorder)
    shown: list[str] = []

    def ask(question: str) -> str:
        shown.append(capsys.readouterr().out)
        return answer

    folder = tmp_path / "stories"
    (tmp_path / "providers").mkdir()
    assert finish(recorder, "anthropic", folder, yes=yes, ask=ask) == code
    assert len(shown) == (not yes)
    assert "ada@lovelace.example" in (shown[0] if shown else capsys.readouterr().out)
    assert folder.exists() == (code == OK)
    if code == OK:
        assert finish(recorder, "anthropic", folder, yes=True) == OK  # a second time, under another name
        assert len(list(folder.iterdir())) == 2


def test_two_stories_that_begin_alike_are_told_apart_or_left_out() -> None:
    recorder = Recorder(UPSTREAMS["openai"])
    for _ in range(2):
        play(STORY, "openai-chat", stream=False, recorder=recorder)
    first, second = write_stories(recorder.recorded, "openai", Redactor())
    assert first.problem == ""
    assert "begins like" in second.problem


def test_a_request_that_was_sent_again_is_one_exchange() -> None:
    busy = "{error: {kind: rate_limit, message: Wait.}, times: 1}, {error: {kind: overloaded}, times: 2}"
    text = f"why: w\nsource: s\nneeds: [text]\nask: {{user: Hi there}}\nsay: [{busy}, {{text: Hello}}]\n"

    def statuses(story_text: str, recorder: Recorder) -> list[int]:
        """Asks three times, and returns the statuses."""
        story, mistakes = read_story("played", "played.yaml", story_text)
        assert story is not None, mistakes
        mock = MockProvider(Scenarios(scenarios().providers, {"played": story}))
        provider = mock.scenarios.providers["openai"]
        ask = [(story.exchanges[0].ask, None)]
        request = CLIENTS["openai-chat"].build_request(ask, model="gpt-5-nano", stream=False, key=provider.auth.key)
        found = []
        for _ in range(3):
            reply = send(mock, provider, request, stream=False)
            entry, status = mock.journal.entries[-1], 200 if reply.error is None else reply.error.status
            received = {"content-type": "application/json"}
            recorder.keep("POST", entry.path, entry.headers, entry.received, status, received, bytes(entry.sent))
            found.append(status)
        return found

    recorder = Recorder(UPSTREAMS["openai"])
    seen = statuses(text, recorder)
    (written,) = write_stories(recorder.recorded, "openai", Redactor())
    assert (seen, written.problem) == ([429, 503, 200], "")
    assert statuses(written.text, Recorder(UPSTREAMS["openai"])) == seen


async def test_the_recorder_passes_on_what_it_keeps() -> None:
    async def chat(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer the-providers-key"
        assert (await request.json())["model"] == "m"
        return web.json_response(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "Hello", "refusal": None},
                    }
                ],
            },
            headers={"x-request-id": "r"},
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    async with TestServer(app) as provider:
        recorder = Recorder(Upstream(str(provider.make_url("/v1")), ("openai-chat",)), "the-providers-key")
        async with TestClient(TestServer(recorder.app())) as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi there"}]}
            headers = {"authorization": "Bearer the-clients-key"}
            async with client.post("/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.headers["x-request-id"] == "r"
                assert (await answer.json())["choices"][0]["message"]["content"] == "Hello"
            async with client.get("/v1/models") as answer:
                assert answer.status == 404
        await provider.close()
        assert [each.reply.text for each in recorder.recorded] == ["Hello"]


CALLS = [{"functionCall": {"name": "tide", "args": {"port": port}}} for port in ("Brest", "Porto")]
RESULTS = [{"functionResponse": {"name": "tide", "response": {"result": time}}} for time in ("14:02", "15:40")]
DECLARED = {
    "name": "tide",
    "parameters": {
        "type": "OBJECT",
        "properties": {"port": {"type": "STRING", "nullable": True}},
        "required": ["port"],
    },
}
ASKED = {"role": "user", "parts": [{"text": "When is high water in Brest and in Porto?"}]}
TOLD = {"role": "user", "parts": RESULTS}


def gemini_reply(parts: list[Any]) -> bytes:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    return json.dumps({"candidates": [candidate], "modelVersion": "m", "responseId": "r"}).encode()


@pytest.mark.parametrize("in_history", [False, True], ids=["conversation", "history"])
def test_calls_without_ids_and_types_in_capitals_play_in_all_protocols(in_history: bool) -> None:
    """Gemini names a result by its function alone, and writes the types of schemas in capitals."""
    recorder = Recorder(UPSTREAMS["gemini"])
    second = [ASKED, {"role": "model", "parts": CALLS}, TOLD]
    exchanges = [] if in_history else [([ASKED], CALLS)]
    for contents, parts in [*exchanges, (second, [{"text": "14:02 and 15:40."}])]:
        body = json.dumps({"contents": contents, "tools": [{"functionDeclarations": [DECLARED]}]}).encode()
        path = "/v1beta/models/m:generateContent"
        recorder.keep("POST", path, {}, body, 200, {"content-type": "application/json"}, gemini_reply(parts))
    (written,) = write_stories(recorder.recorded, "gemini", Redactor())
    assert (written.problem, recorder.left_out) == ("", [])
    for protocol in NAMES:
        if protocol == "gemini" and in_history:
            continue  # some of its models refuse a history of calls without their signatures
        *before, (_, last) = play(written.text, protocol, stream=False)
        assert last.text == "14:02 and 15:40."
        assert [len(reply.calls) for _, reply in before] == ([] if in_history else [2])


async def provider_of_real_manner(request: web.Request) -> web.StreamResponse:
    """Answers as some hosts do: compressed though nobody asked, with cookies and comments, at a limit, and cut off."""
    text = (await request.json())["messages"][0]["content"]
    assert "content-encoding" not in request.headers
    headers = [("set-cookie", "a=SECRET-1"), ("set-cookie", "b=SECRET-2"), ("x-request-id", "req_abcdefgh1234")]
    if text == "Busy?":
        error = {"message": "Wait, org-abcdefgh1234.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        return web.json_response({"error": error}, status=429, headers=[*headers, ("retry-after", "7")])
    if text == "Down?":
        return web.Response(text="<h1>Bad gateway</h1>", status=502, content_type="text/html", headers=headers)
    frames = b": PROCESSING\n\n" + b"".join(
        b"data: " + json.dumps(chunk(delta, stop)).encode() + b"\n\n"
        for delta, stop in (({"role": "assistant", "content": ""}, None), ({"content": "Hello"}, None), ({}, "stop"))
    )
    response = web.StreamResponse(headers=headers)
    response.content_type = "text/event-stream"
    if text == "Cut?":
        await response.prepare(request)
        await response.write(frames[: frames.index(b"stop") - 9])
        assert request.transport is not None
        request.transport.abort()
        return response
    response.headers["content-encoding"] = "gzip"
    await response.prepare(request)
    await response.write(gzip.compress(frames + b"data: [DONE]\n\n"))
    return response


def chunk(delta: dict[str, Any], stop: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


async def test_a_provider_of_real_manner_is_passed_on_and_recorded() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider_of_real_manner)
    async with TestServer(app) as provider:
        recorder = Recorder(Upstream(str(provider.make_url("/v1")), ("openai-chat",)))
        async with TestClient(TestServer(recorder.app())) as client:

            async def ask(text: str) -> tuple[int, str]:
                body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
                headers = {"content-type": "application/json", "content-encoding": "gzip"}
                packed = gzip.compress(json.dumps(body).encode())
                async with client.post("/v1/chat/completions", data=packed, headers=headers) as answer:
                    assert len(answer.headers.getall("set-cookie", [])) in (0, 2)
                    return answer.status, await answer.text()

            assert (await ask("Busy?"))[0] == 429
            assert await ask("Down?") == (502, "<h1>Bad gateway</h1>")
            status, text = await ask("Hello?")
            assert (status, text.startswith(": PROCESSING"), text.endswith("[DONE]\n\n")) == (200, True, True)
            with pytest.raises(ClientPayloadError):
                await ask("Cut?")
    stories = {each.name: each.text for each in write_stories(recorder.recorded, "somewhere", Redactor())}
    assert list(stories) == ["text-busy", "text-down", "text-hello", "text-cut"]
    assert "retry_after: 7" in stories["text-busy"]
    assert "message" not in stories["text-down"]
    assert "cut: eof" in stories["text-cut"]
    for text in stories.values():
        assert not re.search("SECRET|req_abc|org-abc", text)


@pytest.mark.parametrize(("key", "query"), [("of-the-provider", ""), ("", "key=of-the-client")])
async def test_a_key_in_the_address_gives_way_to_the_providers_own(key: str, query: str) -> None:
    seen: list[str] = []

    async def generate(request: web.Request) -> web.Response:
        seen.append(request.query_string)
        return web.Response(body=gemini_reply([{"text": "Hello"}]), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1beta/models/{model}", generate)
    async with TestServer(app) as provider:
        upstream = Upstream(str(provider.make_url("")), ("gemini",), header="x-goog-api-key")
        async with TestClient(TestServer(Recorder(upstream, key).app())) as client:
            url = "/v1beta/models/m:generateContent?key=of-the-client"
            async with client.post(url, json={"contents": [ASKED]}) as answer:
                assert answer.status == 200
    assert seen == [query]


def test_recorded_stories_are_a_folder_that_the_mock_loads(tmp_path: Path) -> None:
    recorder = Recorder(UPSTREAMS["anthropic"])
    play(STORY, "anthropic", stream=True, recorder=recorder)
    assert finish(recorder, "anthropic", tmp_path / "stories", yes=True) == OK
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers/p.yaml").write_text("protocol: anthropic\nauth: {header: x-api-key, key: k}\n")
    assert load_scenarios(tmp_path).mistakes == ()
