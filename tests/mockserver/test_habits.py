"""Wire details of rendered replies: usage, obfuscation, reasoning, signatures and host habits."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.mockserver.framing import CONTENT_TYPES, parse_sse
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import ReplyContext
from crosswire.mockserver.scenarios.model import (
    Interleave,
    Item,
    SayCall,
    SayError,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    ToolCall,
    ToolResult,
    Usage,
)
from crosswire.mockserver.scenarios.provider import Auth, Provider
from crosswire.mockserver.server import MockProvider
from tests.mockserver.in_process_mock import converse, scenarios, send


def context(
    protocol: str, *items: Item, stream: bool = True, habits: tuple[str, ...] = (), **body: Any
) -> ReplyContext:
    return ReplyContext(
        provider=Provider(name="p", protocol=protocol, auth=Auth("authorization", "k"), habits=habits),
        story="s",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("end"),
        usage=Usage(10, 5, cache_read=3, cache_write=2, reasoning=1),
        body=body,
    )


def events(protocol: str, *items: Item, **more: Any) -> list[Any]:
    body = MOCK_PROTOCOLS[protocol].render_reply(context(protocol, *items, **more)).body
    return [json.loads(event.data) for event in parse_sse(body).events if event.data != "[DONE]"]


# ---- chat completions ------------------------------------------------------------------------------------------------


def test_chat_sends_usage_only_on_request() -> None:
    unasked = events("openai-chat", SayText(("a",)))
    assert all("usage" not in chunk for chunk in unasked)
    *earlier, last = events("openai-chat", SayText(("a",)), stream_options={"include_usage": True})
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in earlier)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 15
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 3


def test_chat_obfuscation_can_be_disabled() -> None:
    assert all(chunk["obfuscation"] for chunk in events("openai-chat", SayText(("a",))))
    plain = events("openai-chat", SayText(("a",)), stream_options={"include_obfuscation": False})
    assert all("obfuscation" not in chunk for chunk in plain)


@pytest.mark.parametrize(
    ("model", "marked"),
    [("gpt-4o-mini", True), ("gpt-4.1", True), ("o3-mini", True), ("gpt-4", False), ("gpt-5-nano", False)],
)
def test_chat_system_fingerprint_by_model(model: str, marked: bool) -> None:
    reply_context = replace(context("openai-chat", SayText(("a",)), stream=False), model=model)
    found = json.loads(MOCK_PROTOCOLS["openai-chat"].render_reply(reply_context).body)["system_fingerprint"]
    assert (found is not None and found.startswith("fp_")) is marked


def test_chat_interleaves_calls() -> None:
    calls = Interleave((SayCall("a", "f", ("1", "2", "3")), SayCall("b", "g", ("4", "5"))))
    deltas = [chunk["choices"][0]["delta"] for chunk in events("openai-chat", calls)]
    pieces = [(call["index"], call["function"]["arguments"]) for d in deltas for call in d.get("tool_calls", ())]
    assert pieces == [(0, ""), (1, ""), (0, "1"), (1, "4"), (0, "2"), (1, "5"), (0, "3")]


REDACTED: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [
    ("anthropic", (), {}, "sig:anthropic:s:0.0:redacted"),
    ("openai-chat", ("reasoning",), {}, "sig:p:s:0.0"),
    ("openai-responses", (), {"include": ["reasoning.encrypted_content"]}, "sig:openai-responses:s:0.0"),
    ("gemini", (), {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, "c2lnOmdlbWluaTpzOjAuMA=="),
]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("protocol", "habits", "body", "signature"), REDACTED, ids=[row[0] for row in REDACTED])
def test_redacted_reasoning_has_a_signature_and_no_text(
    protocol: str, habits: tuple[str, ...], body: dict[str, Any], signature: str, stream: bool
) -> None:
    reply_context = context(protocol, SayThink((), True, True), SayText(("a",)), stream=stream, habits=habits, **body)
    rendered = MOCK_PROTOCOLS[protocol].render_reply(replace(reply_context, path="?alt=sse" if stream else ""))
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    reply = CLIENTS[protocol].parse_reply(200, headers, rendered.body, stream=stream)
    assert (reply.thinking, reply.signatures, reply.text) == ("", (signature,), "a")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_gemini_signs_a_text_at_its_end(stream: bool) -> None:
    reply_context = context("gemini", SayText(("a", "b"), True), stream=stream)
    rendered = MOCK_PROTOCOLS["gemini"].render_reply(replace(reply_context, path="?alt=sse" if stream else ""))
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    reply = CLIENTS["gemini"].parse_reply(200, headers, rendered.body, stream=stream)
    assert (reply.text, reply.signatures) == ("ab", ("c2lnOmdlbWluaTpzOjAuMA==",))
    signed = [part["text"] for part in reply.echo[0]["parts"] if "thoughtSignature" in part]
    assert signed == ([""] if stream else ["ab"])


def test_chat_reasoning_habit() -> None:
    thinking = SayThink(("Hm", "m"), True)
    assert "Hm" not in str(events("openai-chat", thinking))
    body = MOCK_PROTOCOLS["openai-chat"].render_reply(context("openai-chat", thinking, habits=("reasoning",))).body
    reply = CLIENTS["openai-chat"].parse_reply(200, {}, body, stream=True)
    assert (reply.thinking, reply.signatures) == ("Hmm", ("sig:p:s:0.0",))
    (message,) = reply.echo
    assert message["reasoning_details"][0]["signature"] == "sig:p:s:0.0"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_fewer_members_habit(stream: bool) -> None:
    items = (SayThink(("Hm",)), SayText(("a",)))
    rendered = MOCK_PROTOCOLS["openai-chat"].render_reply(
        context("openai-chat", *items, stream=stream, habits=("fewer_members",), stream_options={"include_usage": True})
    )
    reply = CLIENTS["openai-chat"].parse_reply(200, {}, rendered.body, stream=stream)
    assert (reply.text, reply.thinking) == ("a", "Hm")
    text = rendered.body.decode()
    assert '"system_fingerprint":"fp_ollama"' in text
    for member in ("refusal", "annotations", "logprobs", "service_tier", "obfuscation", "_details"):
        assert member not in text


def test_sse_comments_habit() -> None:
    body = (
        MOCK_PROTOCOLS["openai-chat"]
        .render_reply(context("openai-chat", SayText(("a",)), habits=("sse_comments",)))
        .body
    )
    assert body.startswith(b": OPENROUTER PROCESSING\n\n")


def test_empty_arguments_habit() -> None:
    for habits, arguments in (((), "{}"), (("empty_arguments",), "")):
        rendered = MOCK_PROTOCOLS["openai-chat"].render_reply(
            context("openai-chat", SayCall("a", "f"), stream=False, habits=habits)
        )  # fmt: skip
        (call,) = json.loads(rendered.body)["choices"][0]["message"]["tool_calls"]
        assert call["function"]["arguments"] == arguments


# ---- messages --------------------------------------------------------------------------------------------------------


def test_anthropic_pads_json_and_sends_ping_third() -> None:
    body = MOCK_PROTOCOLS["anthropic"].render_reply(context("anthropic", SayText(("a", "b")))).body
    assert re.search(rb" +}\n\n", body)
    assert [event.event for event in parse_sse(body).events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_anthropic_sends_input_usage_first_and_output_usage_last() -> None:
    found = events("anthropic", SayText(("a",)))
    start = found[0]["message"]["usage"]
    assert (start["input_tokens"], start["output_tokens"]) == (10, 1)
    assert (start["cache_read_input_tokens"], start["cache_creation_input_tokens"]) == (3, 2)
    assert found[-2]["usage"]["output_tokens"] == 5
    assert found[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 1}


def test_anthropic_sends_interleaved_calls_in_turn() -> None:
    calls = Interleave((SayCall("a", "f", ("{", "}")), SayCall("b", "g", ('{"x":', "1}"))))
    indices = [event["index"] for event in events("anthropic", calls) if "index" in event]
    assert indices == sorted(indices)


def test_anthropic_refusal_is_in_stop_details() -> None:
    for stream in (False, True):
        rendered = MOCK_PROTOCOLS["anthropic"].render_reply(
            context("anthropic", SayRefusal(("No, ", "sorry.")), stream=stream)
        )
        headers = {"content-type": "text/event-stream" if stream else "application/json"}
        reply = CLIENTS["anthropic"].parse_reply(200, headers, rendered.body, stream=stream)
        assert (reply.refusal, reply.stop, reply.complaints) == ("No, sorry.", "content_filter", ())


def test_anthropic_error_as_first_event() -> None:
    (only,) = events("anthropic", SayError("overloaded", in_stream=True))
    assert only["error"]["type"] == "overloaded_error"


# ---- every protocol --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", MOCK_PROTOCOLS)
@pytest.mark.parametrize("stream", [False, True])
def test_replies_are_deterministic(protocol: str, stream: bool) -> None:
    reply_context = context(protocol, SayText(("a", "b")), SayCall("call_1", "f", ("{}",)), stream=stream)
    assert (
        MOCK_PROTOCOLS[protocol].render_reply(reply_context).parts
        == MOCK_PROTOCOLS[protocol].render_reply(reply_context).parts
    )


@pytest.mark.parametrize("name", [p.name for p in scenarios().providers.values() if CLIENTS[p.protocol].call_ids])
def test_results_use_the_call_ids_of_the_reply(name: str) -> None:
    provider = scenarios().providers[name]
    protocol = MOCK_PROTOCOLS[provider.protocol]
    story = scenarios().stories["tools-loop"]
    mock = MockProvider(scenarios())
    model = provider.default_model
    first = CLIENTS[provider.protocol].build_request(
        [(story.exchanges[0].ask, None)], model=model, stream=False, key=provider.auth.key
    )
    send(mock, provider, first, stream=False)
    rewritten = re.sub(rb"call_([12])\b", rb"other_\1", bytes(mock.journal.entries[-1].sent))
    reply = CLIENTS[provider.protocol].parse_reply(200, {"content-type": "application/json"}, rewritten, stream=False)
    http_request = CLIENTS[provider.protocol].build_request(
        [(story.exchanges[0].ask, reply), (story.exchanges[1].ask, None)], model=model, stream=False, key=""
    )
    turns = protocol.parse_request(http_request.path, http_request.headers, http_request.body).turns
    ids = [block.id for turn in turns for block in turn.blocks if isinstance(block, ToolCall)]
    answered = [block.id for turn in turns for block in turn.blocks if isinstance(block, ToolResult)]
    assert ids == answered == ["other_1", "other_2"]


@pytest.mark.parametrize("name", sorted(scenarios().providers))
def test_result_without_its_call_keeps_its_text(name: str) -> None:
    provider = scenarios().providers[name]
    protocol = MOCK_PROTOCOLS[provider.protocol]
    exchanges = scenarios().stories["tools-loop"].exchanges
    http_request = CLIENTS[provider.protocol].build_request(
        [(exchanges[0].ask, ParsedReply()), (exchanges[1].ask, None)], model="m", stream=False, key=""
    )
    results = [
        b
        for turn in protocol.parse_request(http_request.path, http_request.headers, http_request.body).turns
        for b in turn.blocks
    ]
    assert [block.text for block in results if isinstance(block, ToolResult)]


def test_conversation_includes_earlier_replies() -> None:
    story, provider = scenarios().stories["text-multi-turn"], scenarios().providers["anthropic"]
    assert [reply.text for _, reply in converse(story, provider, stream=True)] == ["Petrel.", "Green."]
