"""Answers and requests that break their protocol are understood, and the record names the repair."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.ir.repairs import REPAIRS

from ..proxy_fixture import Answer, config, one, stage
from ..sample_messages import JSON, PROTOCOLS, TEXT, ask, data, dumps, path, reply, said, stream, stream_kind, text_of
from ..scripted_upstream import LAST, chunk, chunked, head, http, upstream

BOTH = pytest.mark.parametrize("relay", ["auto", "never"])


def chat(delta: JSON, finish: str | None = None, **choice: Any) -> bytes:
    return data({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]})


# ---- failures inside a 200 fail over ---------------------------------------------------------------------------------


def failed_chat(**choice: Any) -> JSON:
    whole = reply("openai-chat")
    whole["choices"][0] |= choice
    return whole


UNARY: dict[str, tuple[str, JSON]] = {
    "finish_reason error": ("openai-chat", failed_chat(finish_reason="error")),
    "a choice's error": ("openai-chat", failed_chat(error={"code": 502, "message": "gone"})),
    "no resources": ("openai-chat", failed_chat(finish_reason="insufficient_system_resource")),
    "network_error": ("openai-chat", failed_chat(finish_reason="network_error")),
    "an error without choices": ("openai-chat", {"object": "error", "message": "gone", "code": 500}),
    "status failed": ("openai-responses", {**reply("openai-responses"), "status": "failed", "error": None}),
    "a detail in Responses": ("openai-responses", {"detail": "gone"}),
    "an error of Anthropic": ("anthropic", {"type": "error", "error": {"type": "api_error", "message": "gone"}}),
    "an error of Gemini": ("gemini", {"error": {"code": 503, "message": "gone", "status": "UNAVAILABLE"}}),
    "a detail in Ollama": ("ollama", {"detail": "gone"}),
}


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "whole body for a stream"])
@BOTH
@pytest.mark.parametrize(("protocol", "body"), UNARY.values(), ids=UNARY)
async def test_a_failure_inside_a_200_fails_over(protocol: str, body: JSON, relay: str, streams: bool) -> None:
    good = chunked(stream(protocol), stream_kind(protocol)) if streams else [http(dumps(reply(protocol)))]
    async with upstream([http(dumps(body))]) as bad, upstream(good) as other:
        a = {"protocol": protocol, "base_url": bad.url, "priority": 2, "relay": relay}
        b = {"protocol": protocol, "base_url": other.url, "relay": relay}
        async with stage(config({"a": a, "b": b}, retry={"attempts": 3}, prefixes={"local": "a"})) as it:
            answer = await it.ask(path(protocol, stream=streams), ask(protocol, stream=streams))
            record = await it.record(answer)
    assert answers(answer, protocol, streams) == TEXT
    assert record["attempts"][0]["outcome"] in ("upstream_error", "overloaded")
    assert record["backend_used"] == "b"


STARTS: dict[str, tuple[str, list[bytes]]] = {
    "anthropic": (
        "anthropic",
        [
            data({"type": "message_start", "message": {"id": "m"}}, "message_start"),
            data({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ],
    ),
    "responses": (
        "openai-responses",
        [
            data({"type": "response.created", "response": {"id": "r"}}),
            data({"type": "response.output_item.added", "output_index": 0,
                  "item": {"type": "message", "id": "i", "role": "assistant", "content": []}}),
            data({"type": "response.content_part.added", "output_index": 0, "content_index": 0, "item_id": "i",
                  "part": {"type": "output_text", "text": "", "annotations": []}}),
        ],
    ),
    "chat": ("openai-chat", [chat({"role": "assistant", "content": ""})]),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize(("protocol", "frames"), STARTS.values(), ids=STARTS)
async def test_an_empty_block_is_no_answer_yet(protocol: str, frames: list[bytes], relay: str) -> None:
    script = [head(stream_kind(protocol)), *(chunk(frame) for frame in frames), LAST]
    async with upstream(script) as bad, upstream(chunked(stream(protocol))) as good:
        a = {"protocol": protocol, "base_url": bad.url, "priority": 2, "relay": relay}
        b = {"protocol": protocol, "base_url": good.url, "relay": relay}
        async with stage(config({"a": a, "b": b}, retry={"attempts": 3}, prefixes={"local": "a"})) as it:
            answer = await it.ask(path(protocol, stream=True), ask(protocol, stream=True))
    assert (answer.status, answer.whole, said(protocol, answer.body)) == (200, True, TEXT)


# ---- one body in place of a stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_a_whole_answer_in_place_of_a_stream(client: str, backend: str) -> None:
    body = json.dumps(reply(backend), indent=1).encode()
    async with upstream([http(body)]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path(client, stream=True), ask(client, stream=True))
        record = await it.record(answer)
    assert (answer.status, answer.whole, said(client, answer.body)) == (200, True, TEXT)
    assert answer.headers["content-type"].startswith(stream_kind(client))
    assert record["repaired"] == ["whole_body"]
    assert (record["usage"]["input"], record["usage"]["output"]) == (3, 2)


@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_error_in_place_of_a_stream(client: str) -> None:
    body = dumps({"error": {"message": "No endpoints found", "code": 404}})
    async with upstream([http(body)]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(path(client, stream=True), ask(client, stream=True))
    assert answer.status == 404
    assert b"No endpoints found" in answer.body


async def test_chunks_in_an_array_in_place_of_a_stream() -> None:
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in stream("gemini")]
    async with upstream([http(dumps(frames))]) as up, stage(config(one("gemini", up.url))) as it:
        answer = await it.ask(path("anthropic", stream=True), ask("anthropic", stream=True))
    assert (answer.status, answer.whole, said("anthropic", answer.body)) == (200, True, TEXT)


async def test_lines_in_place_of_events() -> None:
    lines = b"\n".join(frame.removeprefix(b"data: ").strip() for frame in stream("openai-chat"))
    async with upstream([http(lines)]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(path("anthropic", stream=True), ask("anthropic", stream=True))
    assert (answer.status, answer.whole, said("anthropic", answer.body)) == (200, True, TEXT)


# ---- the sentinel without a finish reason ----------------------------------------------------------------------------


@BOTH
async def test_a_stream_that_only_its_sentinel_ends(relay: str) -> None:
    frames = [chat({"role": "assistant", "content": "Hello "}), chat({"content": "there."}),
              data({"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
              data(b"[DONE]")]  # fmt: skip
    async with upstream(chunked(frames)) as up, stage(config(one("openai-chat", up.url, relay=relay))) as it:
        answer = await it.ask(path("openai-chat", stream=True), ask("openai-chat", stream=True))
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.body == b"".join(frames) if relay == "auto" else b'"finish_reason":"stop"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert record["repaired"] == ["stop_missing"]
    assert record["usage"]["output"] == 2


@pytest.mark.parametrize("protocol", ["anthropic", "openai-responses"])
async def test_a_relay_passes_a_sentinel_behind_the_end_on(protocol: str) -> None:
    frames = [*stream(protocol), data(b"[DONE]")]
    async with upstream(chunked(frames)) as up, stage(config(one(protocol, up.url))) as it:
        answer = await it.ask(path(protocol, stream=True), ask(protocol, stream=True))
    assert answer.body == b"".join(frames)


# ---- text that is no strict JSON -------------------------------------------------------------------------------------


def answers(answer: Answer, client: str, streams: bool = False) -> str:
    """The text of an answer that is whole."""
    assert (answer.status, answer.whole) == (200, True), answer
    return said(client, answer.body) if streams else text_of(client, answer.body)


@BOTH
@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_not_a_number_in_one_field_fails_that_field_alone(protocol: str, streams: bool, relay: str) -> None:
    def spoiled(body: bytes) -> bytes:
        return body.replace(b"{", b'{"score": NaN, "low": -Infinity, ', 1)

    script = (
        chunked([spoiled(f) for f in stream(protocol)], stream_kind(protocol))
        if streams
        else [http(spoiled(dumps(reply(protocol))))]
    )
    async with upstream(script) as up, stage(config(one(protocol, up.url, relay=relay))) as it:
        answer = await it.ask(path(protocol, stream=streams), ask(protocol, stream=streams))
        record = await it.record(answer)
    assert answers(answer, protocol, streams) == TEXT
    assert b"NaN" not in answer.body
    assert record["repaired"] == ["number"]


@BOTH
async def test_a_character_split_over_two_frames(relay: str) -> None:
    frames = [chat({"content": "a"}), chat({"content": "HIGH"}).replace(b"HIGH", b"\\ud83d"),
              chat({"content": "LOW"}).replace(b"LOW", b"\\ude00b"), chat({}, "stop"), data(b"[DONE]")]  # fmt: skip
    async with upstream(chunked(frames)) as up, stage(config(one("openai-chat", up.url, relay=relay))) as it:
        answer = await it.ask(path("openai-chat", stream=True), ask("openai-chat", stream=True))
        record = await it.record(answer)
    assert answers(answer, "openai-chat", streams=True) == "a\U0001f600b"
    assert record["repaired"] == ["surrogate"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_byte_order_mark_before_a_request(protocol: str) -> None:
    async with upstream([http(dumps(reply(protocol)))]) as up, stage(config(one(protocol, up.url))) as it:
        answer = await it.ask(path(protocol), b"\xef\xbb\xbf" + dumps(ask(protocol)))
        record = await it.record(answer)
    assert answers(answer, protocol) == TEXT
    assert up.requests[0].body == dumps(ask(protocol))
    assert record["repaired"] == ["bom"]


async def test_a_byte_order_mark_before_a_request_beside_the_chat() -> None:
    body = b"\xef\xbb\xbf" + dumps(ask("anthropic"))
    async with upstream([http(b'{"input_tokens": 4}')]) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask("/v1/messages/count_tokens", body)
    assert json.loads(answer.body) == {"input_tokens": 4}


# ---- requests --------------------------------------------------------------------------------------------------------

FUNCTION = {"name": "f", "parameters": {"type": "object"}}
CHAT_TOOLS = [{"type": "function", "function": FUNCTION}]
FLAT_TOOL = {"type": "function", **FUNCTION}
CLAUDE_TOOL = {"name": "f", "input_schema": {"type": "object"}}
NAMED = {"type": "function", "function": {"name": "f"}}
ENCRYPTED = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.encrypted", "id": "r"}]}
USER = {"role": "user", "content": "x"}
LATE: JSON = {"type": "additional_tools", "tools": [{**FLAT_TOOL, "description": "again"}]}

REQUESTS: dict[str, tuple[str, JSON, str, JSON]] = {
    "chat: a choice without a type": (
        "openai-chat", {"tools": CHAT_TOOLS, "tool_choice": {"function": {"name": "f"}}}, "tool_choice",
        {"tool_choice": NAMED},
    ),
    "chat: a choice in the form of Responses": (
        "openai-chat", {"tools": CHAT_TOOLS, "tool_choice": {"type": "function", "name": "f"}}, "tool_choice",
        {"tool_choice": NAMED},
    ),
    "responses: a choice in chat's form": (
        "openai-responses", {"tools": [FLAT_TOOL], "tool_choice": NAMED}, "tool_choice", {"tool_choice": NAMED},
    ),
    "responses: a choice without a type": (
        "openai-responses", {"tools": [FLAT_TOOL], "tool_choice": {"name": "f"}}, "tool_choice",
        {"tool_choice": NAMED},
    ),
    "anthropic: a choice without a type": (
        "anthropic", {"tools": [CLAUDE_TOOL], "tool_choice": {"name": "f"}}, "tool_choice", {"tool_choice": NAMED},
    ),
    "anthropic: a word for a choice": (
        "anthropic", {"tools": [CLAUDE_TOOL], "tool_choice": "any"}, "tool_choice", {"tool_choice": "required"},
    ),
    "chat: an encrypted detail without its data": (
        "openai-chat", {"messages": [USER, ENCRYPTED, USER]}, "part_empty", {"model": "m"},
    ),
    "gemini: settings of a part that is not there": (
        "gemini", {"contents": [{"role": "user", "parts": [{"videoMetadata": {"fps": 1}}, {"text": "x"}]}]},
        "part_empty", {"messages": [USER]},
    ),
    "responses: a tool that is loaded once more": (
        "openai-responses", {"input": [USER, LATE], "tools": [FLAT_TOOL]}, "tool_repeated",
        {"tools": [{"type": "function", "function": FUNCTION | {"parameters": {"type": "object", "properties": {}}}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("client", "more", "repair", "heard"), REQUESTS.values(), ids=REQUESTS)
async def test_a_request_that_is_understood_all_the_same(client: str, more: JSON, repair: str, heard: JSON) -> None:
    script = [http(dumps(reply("openai-chat")))]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url, relay="never"))) as it:
        answer = await it.ask(path(client), ask(client) | more)
        record = await it.record(answer)
    assert answers(answer, client) == TEXT
    assert record["repaired"] == [repair]
    sent = json.loads(up.requests[0].body)
    for key, value in heard.items():
        assert sent[key] == value
    assert repair in REPAIRS


# ---- usage that was not asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True], ids=["unasked", "asked"])
async def test_usage_beside_the_text_reaches_a_client_that_did_not_ask(asked: bool) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    frames = [chat({"content": TEXT}), chat({}, "stop").replace(b'"choices"', b'"usage": %b, "choices"' % dumps(usage)),
              data(b"[DONE]")]  # fmt: skip
    more = {"stream_options": {"include_usage": True}} if asked else {}
    async with upstream(chunked(frames)) as up, stage(config(one("openai-chat", up.url, relay="never"))) as it:
        answer = await it.ask(path("openai-chat", stream=True), ask("openai-chat", stream=True, **more))
    chunks = [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: {")]
    told = [one for one in chunks if one.get("usage")]
    assert len(told) == 1
    assert (told[0]["choices"] == []) is asked
    assert {key: told[0]["usage"][key] for key in usage} == usage


# ---- false losses ----------------------------------------------------------------------------------------------------

KEPT_BOOKS: dict[str, JSON] = {
    "an empty prompt": {"prompt": []},
    "a tier": {"service_tier": "on_demand"},
    "unknown fields": {"generationId": "g", "venice_parameters": {"a": True}, "moderation": {"results": [1]}},
}


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("more", KEPT_BOOKS.values(), ids=KEPT_BOOKS)
async def test_the_books_of_a_host_are_no_loss(client: str, more: JSON) -> None:
    body = reply("openai-chat") | more
    body["choices"][0]["message"]["audio"] = {"id": "", "data": "", "expires_at": 0}
    async with upstream([http(dumps(body))]) as up, stage(config(one("openai-chat", up.url, strict=True))) as it:
        answer = await it.ask(path(client), ask(client))
        record = await it.record(answer)
    assert answers(answer, client) == TEXT
    assert record["losses"] == []


# ---- the upstream's own words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_overload_is_told_in_the_upstreams_words(client: str, streams: bool) -> None:
    body = dumps({"error": {"message": "Our servers are full.", "code": "server_is_overloaded"}})
    async with upstream([http(body, "503 Busy")]) as up, stage(config(one("openai-responses", up.url))) as it:
        answer = await it.ask(path(client, stream=streams), ask(client, stream=streams))
    assert answer.status == (529 if client == "anthropic" else 503)
    assert b"Our servers are full." in answer.body
    if client.startswith("openai"):
        assert json.loads(answer.body)["error"]["code"] == "server_is_overloaded"


@pytest.mark.parametrize("code", ["server_is_overloaded", "slow_down"])
async def test_an_overload_in_a_stream_keeps_its_code(code: str) -> None:
    frames = [*stream("openai-responses")[:-3], data({"type": "error", "code": code, "message": "full"}, "error")]
    async with upstream(chunked(frames)) as up, stage(config(one("openai-responses", up.url))) as it:
        answer = await it.ask(path("openai-responses", stream=True), ask("openai-responses", stream=True))
    last = json.loads(answer.body.splitlines()[-2].removeprefix(b"data: "))
    assert (last["type"], last["response"]["error"]) == ("response.failed", {"code": code, "message": "full"})
