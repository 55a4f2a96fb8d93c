"""Strict clients of Chat Completions and Anthropic: each violation in a valid reply has its complaint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.framing import parse_sse, sse
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import ReplyContext
from crosswire.mockserver.scenarios.model import SayCall, SayStop, SayText, SayThink, Usage
from crosswire.mockserver.scenarios.provider import Auth, Provider

ITEMS = (SayText(("Hi", " you")), SayCall("c1", "w", ('{"a":', "1}")), SayCall("c2", "w", ('{"b":2}',)))

BODIES: dict[str, dict[str, Any]] = {
    "openai-chat": {"stream": True, "stream_options": {"include_usage": True}},
    "anthropic": {"stream": True},
}


def context(name: str, *, stream: bool, thinking: bool = False) -> ReplyContext:
    items = (SayThink(("Hm",), True), *ITEMS) if thinking else ITEMS
    return ReplyContext(
        provider=Provider(name="p", protocol=name, auth=Auth("authorization", "k")),
        story="s",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("tool"),
        usage=Usage(10, 5),
        body=BODIES[name] if stream else {},
    )


def stream_of(name: str, *, thinking: bool = False) -> list[tuple[str | None, Any]]:
    body = MOCK_PROTOCOLS[name].render_reply(context(name, stream=True, thinking=thinking)).body
    return [(e.event, "[DONE]" if e.data == "[DONE]" else json.loads(e.data)) for e in parse_sse(body).events]


def reply(name: str, events: list[tuple[str | None, Any]]) -> ParsedReply:
    body = b"".join(sse(data, event) for event, data in events)
    request = HttpRequest("POST", "/", {}, BODIES[name])
    return CLIENTS[name].parse_reply(200, {"content-type": "text/event-stream"}, body, stream=True, request=request)


Events = list[tuple[str | None, Any]]


def at(events: Events, find: Callable[[Any], bool]) -> int:
    return next(n for n, (_, data) in enumerate(events) if isinstance(data, dict) and find(data))


def kind(name: str, index: int | None = None) -> Callable[[Any], bool]:
    return lambda data: data.get("type") == name and index in (None, data.get("index"))


def calls(data: Any) -> Any:
    return data["choices"] and data["choices"][0]["delta"].get("tool_calls")


def drop(find: Callable[[Any], bool]) -> Callable[[Events], Any]:
    return lambda events: events.pop(at(events, find))


def change(find: Callable[[Any], bool], how: Callable[[Any], Any]) -> Callable[[Events], Any]:
    return lambda events: how(events[at(events, find)][1])


def add(find: Callable[[Any], bool], event: str | None, data: Any) -> Callable[[Events], Any]:
    return lambda events: events.insert(at(events, find), (event, data))


ERROR = {"error": {"message": "x", "type": "server_error", "param": None, "code": None}}

CHAT: list[tuple[str, Callable[[Events], Any], str]] = [
    ("no-role", change(lambda d: True, lambda d: d["choices"][0]["delta"].pop("role")), "first chunk has no `role`"),
    ("role-again", change(calls, lambda d: d["choices"][0]["delta"].update(role="assistant")), "comes again"),
    ("id-changes", change(calls, lambda d: d.update(id="other")), "`id` changes"),
    ("no-created", change(calls, lambda d: d.pop("created")), "`created` is missing"),
    ("object", change(lambda d: True, lambda d: d.update(object="x")), "`object` is 'x'"),
    ("no-finish-key", change(calls, lambda d: d["choices"][0].pop("finish_reason")), "`finish_reason` is missing"),
    ("no-index", change(calls, lambda d: calls(d)[0].pop("index")), "`index` is missing"),
    ("index-gap", change(calls, lambda d: calls(d)[0].update(index=1)), "leaves a gap"),
    ("no-call-id", change(calls, lambda d: calls(d)[0].pop("id")), "`id` is missing"),
    ("no-call-type", change(calls, lambda d: calls(d)[0].pop("type")), "`type` is missing"),
    ("no-name", change(calls, lambda d: calls(d)[0]["function"].pop("name")), "no function.name"),
    (
        "usage-choices",
        change(lambda d: d.get("usage"), lambda d: d.update(choices=[{"index": 0, "delta": {}}])),
        "empty",
    ),
    ("usage-total", change(lambda d: d.get("usage"), lambda d: d["usage"].update(total_tokens=1)), "is not 10 + 5"),
    ("usage-gone", drop(lambda d: d.get("usage")), "is missing though asked for"),
    ("event-line", lambda e: e.__setitem__(0, ("message", e[0][1])), "an `event:` line"),
    ("after-done", lambda e: e.append(e[1]), "data after [DONE]"),
    ("done-after-error", lambda e: e.insert(-1, (None, ERROR)), "[DONE] after an error"),
    ("chunk-after-error", lambda e: e.insert(2, (None, ERROR)), "a chunk after an error"),
    ("poor-error", lambda e: e.__setitem__(slice(3, None), [(None, {"error": {"message": "x"}})]), "`type` is missing"),
    (
        "stop-belies",
        change(
            lambda d: d["choices"] and d["choices"][0]["finish_reason"],
            lambda d: d["choices"][0].update(finish_reason="stop"),
        ),
        "though it calls tools",
    ),
    ("not-json", lambda e: e.insert(1, (None, "oops")), "not a JSON object"),
]

MESSAGES: list[tuple[str, Callable[[Events], Any], str]] = [
    ("no-start", drop(kind("message_start")), "before message_start"),
    ("start-twice", lambda e: e.insert(1, e[0]), "message_start comes twice"),
    ("start-poor", change(kind("message_start"), lambda d: d["message"].pop("usage")), "`usage` is missing"),
    ("stop-key", change(kind("message_start"), lambda d: d["message"].pop("stop_sequence")), "`stop_sequence` is miss"),
    ("gap", change(kind("content_block_start", 1), lambda d: d.update(index=2)), "block index 2, 1 was due"),
    ("same-index", change(kind("content_block_start", 1), lambda d: d.update(index=0)), "block index 0, 1 was due"),
    ("two-open", drop(kind("content_block_stop", 0)), "starts while 0 is open"),
    ("never-opened", drop(kind("content_block_start", 0)), "which is not open"),
    (
        "stop-twice",
        add(kind("message_delta"), "content_block_stop", {"type": "content_block_stop", "index": 2}),
        "not o",
    ),
    (
        "wrong-delta",
        add(
            kind("content_block_stop", 1),
            "content_block_delta",
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x"}},
        ),
        "on an open tool_use",
    ),
    (
        "no-input",
        change(kind("content_block_start", 1), lambda d: d["content_block"].pop("input")),
        "`input` is missing",
    ),
    ("delta-open", drop(kind("content_block_stop", 2)), "message_delta while block 2 is open"),
    (
        "delta-keys",
        change(kind("message_delta"), lambda d: d["delta"].pop("stop_sequence")),
        "`stop_sequence` is missing",
    ),
    ("delta-usage", change(kind("message_delta"), lambda d: d.pop("usage")), "`output_tokens` is missing"),
    ("no-delta", drop(kind("message_delta")), "without a message_delta"),
    ("after-stop", lambda e: e.append(("ping", {"type": "ping"})), "ping after message_stop"),
    ("event-name", lambda e: e.__setitem__(1, (None, e[1][1])), "does not name its type"),
    ("unknown", lambda e: e.insert(1, ("x", {"type": "x"})), "is no event of this protocol"),
    (
        "args",
        change(
            lambda d: d.get("delta", {}).get("partial_json") == '{"b":2}',
            lambda d: d["delta"].update(partial_json='{"b":'),
        ),
        "no JSON object",
    ),
    (
        "after-error",
        lambda e: e.insert(3, ("error", {"type": "error", "error": {"type": "api_error", "message": "x"}})),
        "after an error",
    ),
    (
        "belies",
        change(kind("message_delta"), lambda d: d["delta"].update(stop_reason="end_turn")),
        "though it calls tools",
    ),
    ("matched", change(kind("message_delta"), lambda d: d["delta"].update(stop_sequence="x")), "does not go with"),
]

BROKEN = [("openai-chat", *row) for row in CHAT] + [("anthropic", *row) for row in MESSAGES]


@pytest.mark.parametrize(("name", "case", "mutate", "complaint"), BROKEN, ids=[f"{n}-{c}" for n, c, *_ in BROKEN])
def test_each_violation_of_a_stream_has_a_complaint(
    name: str, case: str, mutate: Callable[[Events], Any], complaint: str
) -> None:
    events = stream_of(name)
    assert reply(name, events).complaints == ()
    mutate(events)
    assert any(complaint in found for found in reply(name, events).complaints), reply(name, events).complaints


@pytest.mark.parametrize("name", BODIES)
def test_a_stream_cut_anywhere_is_an_error(name: str) -> None:
    body = MOCK_PROTOCOLS[name].render_reply(context(name, stream=True)).body
    headers = {"content-type": "text/event-stream"}
    for at_byte in range(len(body) - 1):
        cut = CLIENTS[name].parse_reply(200, headers, body[:at_byte], stream=True)
        assert cut.error is not None
        assert cut.error.kind == "cut"


def test_a_thinking_block_starts_with_an_empty_signature() -> None:
    events = stream_of("anthropic", thinking=True)
    assert reply("anthropic", events).signatures == ("sig:anthropic:s:0.0",)
    events[at(events, kind("content_block_start", 0))][1]["content_block"].pop("signature")
    assert any("`signature` is missing" in complaint for complaint in reply("anthropic", events).complaints)


UNARY: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("openai-chat", "no-id", lambda d: d.pop("id"), "`id` is missing"),
    ("openai-chat", "no-refusal", lambda d: d["choices"][0]["message"].pop("refusal"), "`refusal` is missing"),
    ("openai-chat", "no-content", lambda d: d["choices"][0]["message"].pop("content"), "`content` is missing"),
    ("openai-chat", "no-choices", lambda d: d.update(choices=[]), "`choices` is empty"),
    (
        "openai-chat",
        "arguments",
        lambda d: d["choices"][0]["message"]["tool_calls"][0]["function"].update(arguments={}),
        "`arguments` is not str",
    ),
    ("openai-chat", "same-ids", lambda d: d["choices"][0]["message"]["tool_calls"][1].update(id="c1"), "the same id"),
    ("openai-chat", "cached", lambda d: d["usage"]["prompt_tokens_details"].update(cached_tokens=11), "exceed"),
    ("anthropic", "no-type", lambda d: d.pop("type"), "`type` is missing"),
    ("anthropic", "no-stop-sequence", lambda d: d.pop("stop_sequence"), "`stop_sequence` is missing"),
    ("anthropic", "no-stop", lambda d: d.update(stop_reason=None), "`stop_reason` is null"),
    ("anthropic", "input", lambda d: d["content"][1].update(input="{}"), "`input` is not dict"),
    ("anthropic", "usage", lambda d: d["usage"].pop("input_tokens"), "`input_tokens` is missing"),
]


@pytest.mark.parametrize(("name", "case", "mutate", "complaint"), UNARY, ids=[f"{n}-{c}" for n, c, *_ in UNARY])
def test_each_violation_of_a_body_has_a_complaint(
    name: str, case: str, mutate: Callable[[Any], Any], complaint: str
) -> None:
    body = json.loads(MOCK_PROTOCOLS[name].render_reply(context(name, stream=False)).body)
    mutate(body)
    found = CLIENTS[name].parse_reply(
        200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False
    )
    assert any(complaint in text for text in found.complaints), found.complaints


ERRORS: list[tuple[str, int, bytes, str, str | None]] = [
    ("openai-chat", 429, json.dumps(ERROR).encode(), "rate_limit", None),
    ("openai-chat", 502, b"<html>", "internal", "no `error`"),
    ("openai-chat", 400, b'{"error":"plain"}', "bad_request", "not an object"),
    ("anthropic", 529, b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', "overloaded", None),
    (
        "anthropic",
        429,
        b'{"type":"error","error":{"type":"api_error","message":"x"}}',
        "rate_limit",
        "does not go with",
    ),
    ("anthropic", 404, b'{"error":{"type":"not_found_error","message":"x"}}', "not_found", '`type` is not "error"'),
    ("anthropic", 500, b"", "internal", "no `error` object"),
]


@pytest.mark.parametrize(("name", "status", "body", "kind", "complaint"), ERRORS)
def test_errors_are_parsed_with_their_kind(
    name: str, status: int, body: bytes, kind: str, complaint: str | None
) -> None:
    found = CLIENTS[name].parse_reply(status, {"content-type": "application/json"}, body, stream=False)
    assert found.error is not None
    assert (found.error.status, found.error.kind) == (status, kind)
    assert any(complaint in text for text in found.complaints) if complaint else found.complaints == ()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b"\xff\xfe", b"data: x\n\n", b"{", b'{"choices":[null]}'])
@pytest.mark.parametrize("stream", [False, True])
def test_garbage_is_parsed_as_an_error(name: str, body: bytes, stream: bool) -> None:
    found = CLIENTS[name].parse_reply(200, {}, body, stream=stream)
    assert found.error is not None or found.complaints
