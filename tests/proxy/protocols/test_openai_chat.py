"""Chat Completions, both directions: literal wire bodies beside the neutral form, vendor examples, and properties."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from crosswire.proxy.errors import STATUS, Malformed, UpstreamError, failure
from crosswire.proxy.ir import (
    Audio,
    Block,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    How,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    StopReason,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    signatures,
    unfold,
)
from crosswire.proxy.protocols.openai_chat import PROTOCOL
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire import json_fields
from crosswire.proxy.wire.framing import DONE, FRAME_LIMIT, FRAMINGS

NAME = "openai-chat"
EVIDENCE = sorted((Path(__file__).parents[2] / "evidence" / NAME).glob("*.json"))
TARGET = UpstreamTarget("gpt", "openai")
HELLO = (Turn("user", (Text("Hello"),)),)
HELLO_WIRE = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "of a city", SCHEMA, True)
WEATHER_WIRE = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA, "strict": True},
}
CALL = ToolCall("c1", "weather", '{"city":"Oslo"}')
CALL_WIRE = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
ANSWER = Turn("user", (ToolResult("c1", (Text("12"),)),))
ANSWER_WIRE = {"role": "tool", "tool_call_id": "c1", "content": "12"}
SIGNATURE = Signature("proof", "anthropic", "claude")


def called(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def ids() -> Callable[[str], str]:
    numbers = itertools.count()
    return lambda prefix: f"{prefix}{next(numbers)}"


def make_request(**fields: Any) -> Request:
    return Request(**{"protocol": "anthropic", "model": "m", "turns": HELLO, **fields})


def reply_context(**fields: Any) -> ReplyContext:
    return ReplyContext(make_request(protocol=NAME, **fields), "7", 1_700_000_000, ids())


def encode_request(request: Request | None = None, target: UpstreamTarget = TARGET) -> UpstreamRequest:
    return PROTOCOL.encode_request(request or make_request(protocol=NAME), target)


def json_copy(value: Any) -> Any:
    """Returns a copy of a JSON value, which a decoder may consume."""
    return json.loads(json_fields.encode(value))


def decode(stream: bytes, chunks: list[bytes] | None = None, sent: UpstreamRequest | None = None) -> list[Event]:
    framing = FRAMINGS[PROTOCOL.framing](FRAME_LIMIT)
    decoder = PROTOCOL.stream_decoder(sent or encode_request(), ids())
    events: list[Event] = []
    for chunk in [stream] if chunks is None else chunks:
        for frame in framing.parse(framing.cut(chunk)):
            events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    events += decoder.close()
    assert decoder.done
    return events


def encode(events: list[Event], to: ReplyContext | None = None) -> tuple[bytes, list[Loss]]:
    encoder = PROTOCOL.stream_encoder(to or reply_context())
    return b"".join(encoder.encode([event]) for event in events), encoder.losses


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """Returns the chunks of a stream that ended with the sentinel."""
    frames = FRAMINGS["sse"](FRAME_LIMIT).parse(stream)
    assert frames[-1].data == DONE
    return [json.loads(frame.data) for frame in frames[:-1]]


def sse(*deltas: dict[str, Any] | str, done: bool = True) -> bytes:
    """Returns a stream of these deltas; a string is a finish reason."""
    out = b""
    for delta in deltas:
        choice = {"index": 0, "delta": {}, "finish_reason": delta} if type(delta) is str else {"delta": delta}
        out += b"data: " + json_fields.encode({"id": "x", "model": "gpt", "choices": [choice]}) + b"\n\n"
    return out + (b"data: [DONE]\n\n" if done else b"")


# ---- requests: decoded and encoded -----------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"messages": HELLO_WIRE}, {}),
    "system and developer messages stay in their position": (
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                *HELLO_WIRE,
                {"role": "system", "content": "Be kind."},
            ]
        },
        {"turns": (Turn("developer", (Text("Be brief."),)), *HELLO, Turn("system", (Text("Be kind."),)))},
    ),
    "sampling": (
        {
            "messages": HELLO_WIRE,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 42,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "max_completion_tokens": 100,
            "stop": ["\n", "END"],
            "user": "u-1",
        },
        {
            "sampling": Sampling(0.5, 0.9, None, 42, 0.1, 0.2),
            "max_tokens": 100,
            "stop": ("\n", "END"),
            "user": "u-1",
        },
    ),
    "tools": (
        {"messages": HELLO_WIRE, "tools": [WEATHER_WIRE], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": (WEATHER,), "tool_choice": ToolChoice("auto"), "parallel": False},
    ),
    "one tool is required": (
        {
            "messages": HELLO_WIRE,
            "tools": [WEATHER_WIRE],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
        {"tools": (WEATHER,), "tool_choice": ToolChoice("named", ("weather",))},
    ),
    "a subset of the tools is allowed": (
        {
            "messages": HELLO_WIRE,
            "tools": [WEATHER_WIRE],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
        },
        {"tools": (WEATHER,), "tool_choice": ToolChoice("required", ("weather",))},
    ),
    "custom tools": (
        {
            "messages": [
                *HELLO_WIRE,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
            ],
            "tools": [{"type": "custom", "custom": {"name": "patch", "description": "a diff"}}],
        },
        {
            "tools": (Tool("patch", "a diff", kind="custom"),),
            "turns": (
                *HELLO,
                Turn("assistant", (ToolCall("c1", "patch", "*** Begin", "custom"),)),
                Turn("user", (ToolResult("c1", (Text("done"),)),)),
            ),
        },
    ),
    "consecutive results are one turn": (
        {
            "messages": [
                {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL_WIRE, {**CALL_WIRE, "id": "c2"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "12"},
                {"role": "tool", "tool_call_id": "c2", "content": ""},
                *HELLO_WIRE,
            ]
        },
        {
            "turns": (
                Turn("assistant", (Text("Let me look."), CALL, ToolCall("c2", CALL.name, CALL.arguments))),
                Turn("user", (ToolResult("c1", (Text("12"),)), ToolResult("c2", (Text(""),)))),
                *HELLO,
            )
        },
    ),
    "parts": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
                        {
                            "type": "file",
                            "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "a.pdf"},
                        },
                        {"type": "made_up", "x": 1},
                    ],
                }
            ]
        },
        {
            "turns": (
                Turn(
                    "user",
                    (
                        Text("What?"),
                        Image(Media("image/png", "AAAA"), {"detail": "low"}),
                        Image(Media(url="https://example.org/a.png")),
                        Audio(Media("audio/wav", "BBBB")),
                        Document(Media("application/pdf", "CCCC", name="a.pdf")),
                        Opaque(NAME, "made_up", {"type": "made_up", "x": 1}),
                    ),
                ),
            )
        },
    ),
    "format": (
        {
            "messages": HELLO_WIRE,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "place", "description": "where", "schema": SCHEMA, "strict": True},
            },
        },
        {"format": ResponseFormat("json_schema", SCHEMA, "place", "where", True)},
    ),
    "effort": ({"messages": HELLO_WIRE, "reasoning_effort": "low"}, {"reasoning": ReasoningConfig("low")}),
    "refusal": (
        {"messages": [{"role": "assistant", "content": None, "refusal": "No."}]},
        {"turns": (Turn("assistant", (Refusal("No."),)),)},
    ),
    "a signed call": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{**CALL_WIRE, "extra_content": {"google": {"thought_signature": "proof"}}}],
                }
            ]
        },
        {
            "turns": (
                Turn("assistant", (ToolCall("c1", CALL.name, CALL.arguments, signature=Signature("proof", NAME)),)),
            )
        },
    ),
    "extra fields": (
        {
            "messages": [{"role": "user", "content": "Hello", "name": "Ann"}],
            "n": 2,
            "logit_bias": {"5": 1},
            "prediction": {"type": "content", "content": "x"},
        },
        {
            "turns": (Turn("user", (Text("Hello"),), {"name": "Ann"}),),
            "extra": {"n": 2, "logit_bias": {"5": 1}, "prediction": {"type": "content", "content": "x"}},
        },
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_is_decoded_and_encoded_back(case: str) -> None:
    body, fields = REQUESTS[case]
    request = Request(**{"protocol": NAME, "model": "gpt", "turns": HELLO, **fields})
    assert PROTOCOL.decode_request({"model": "gpt", **json_copy(body)}, UrlParams()) == request
    out = encode_request(request)
    assert out.losses == ()
    assert json_copy(out.payload) == {"model": "gpt", **body}


SPELLINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_tokens": ({"messages": HELLO_WIRE, "max_tokens": 5}, {"max_tokens": 5}),
    "both names of the limit": (
        {"messages": HELLO_WIRE, "max_tokens": 5, "max_completion_tokens": 5},
        {"max_tokens": 5},
    ),
    "one stop": ({"messages": HELLO_WIRE, "stop": "END"}, {"stop": ("END",)}),
    "any is required": ({"messages": HELLO_WIRE, "tool_choice": "any"}, {"tool_choice": ToolChoice("required")}),
    "nulls are absent": ({"messages": HELLO_WIRE, "tools": None, "stop": None, "temperature": None}, {}),
    "an empty text beside calls is no block": (
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{**CALL_WIRE, "index": 0}]}]},
        {"turns": (Turn("assistant", (CALL,)),)},
    ),
    "a call without type, arguments as an object": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
                }
            ]
        },
        {"turns": (Turn("assistant", (CALL,)),)},
    ),
    "a result in parts": (
        {"messages": [{"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a"}]}]},
        {"turns": (Turn("user", (ToolResult("c1", (Text("a"),)),)),)},
    ),
    "a bare image URL": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://e.org/a"}]}]},
        {"turns": (Turn("user", (Image(Media(url="https://e.org/a")),)),)},
    ),
    "bare base64 audio": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": "AAAA"}]}]},
        {"turns": (Turn("user", (Audio(Media(data="AAAA")),)),)},
    ),
    "signed details take precedence over text": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "Yes.",
                    "reasoning": "Hm.",
                    "reasoning_details": [
                        {
                            "type": "reasoning.text",
                            "text": "Hm.",
                            "signature": signatures.for_client(SIGNATURE, NAME),
                        },
                        {"type": "reasoning.encrypted", "data": "blob"},
                    ],
                }
            ]
        },
        {
            "turns": (
                Turn(
                    "assistant",
                    (
                        Reasoning("Hm.", Signature("proof", NAME, "claude")),
                        Reasoning("", Signature("blob", NAME), redacted=True),
                        Text("Yes."),
                    ),
                ),
            )
        },
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_alternative_spellings_are_decoded(case: str) -> None:
    body, fields = SPELLINGS[case]
    expected = Request(**{"protocol": NAME, "model": "m", "turns": HELLO, **fields})
    assert PROTOCOL.decode_request({"model": "m", **json_copy(body)}, UrlParams()) == expected


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"messages": HELLO_WIRE}, "model"),
    "no messages": ({"model": "m"}, "messages"),
    "empty messages": ({"model": "m", "messages": []}, "messages"),
    "unknown role": ({"model": "m", "messages": [{"role": "bot", "content": ""}]}, "messages[0].role"),
    "no content": ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
    "a part without text": (
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    "a result without id": ({"model": "m", "messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id"),
    "temperature": ({"model": "m", "messages": HELLO_WIRE, "temperature": "hot"}, "temperature"),
    "tool choice": ({"model": "m", "messages": HELLO_WIRE, "tool_choice": "perhaps"}, "tool_choice"),
    "format": (
        {"model": "m", "messages": HELLO_WIRE, "response_format": {"type": "xml"}},
        "response_format.type",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_names_the_path(case: str) -> None:
    body, path = MALFORMED[case]
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_request(json_copy(body), UrlParams())
    assert caught.value.path == path


# ---- requests of other protocols, and hosts with quirks --------------------------------------------------------------

Losses = list[tuple[str, str, How]]
CONVERTED: dict[str, tuple[dict[str, Any], set[str], dict[str, Any], Losses]] = {
    "a stream requests its usage": (
        {"stream": True},
        set(),
        {"stream": True, "stream_options": {"include_usage": True}},
        [],
    ),
    "but not of everyone": ({"stream": True}, {"no_stream_options"}, {"stream": True}, []),
    "an older bound": ({"max_tokens": 5}, {"max_tokens"}, {"max_tokens": 5}, []),
    "top_k": ({"sampling": Sampling(top_k=5)}, set(), {}, [("sampling.top_k", "top_k", "dropped")]),
    "top_k where it is taken": ({"sampling": Sampling(top_k=5)}, {"top_k"}, {"top_k": 5}, []),
    "too many stops": (
        {"stop": ("1", "2", "3", "4", "5")},
        set(),
        {"stop": ["1", "2", "3", "4"]},
        [],
    ),
    "parallel_tool_calls where the host refuses it": (
        {"parallel": False},
        {"no_parallel_tool_calls"},
        {},
        [("parallel", "parallel_tool_calls", "dropped")],
    ),
    "fields that a Responses client has too": (
        {
            "protocol": "openai-responses",
            "extra": {"service_tier": "flex", "text.verbosity": "low", "truncation": "auto"},
        },
        set(),
        {"service_tier": "flex", "verbosity": "low"},
        [("truncation", "context_management", "dropped")],
    ),
    "metadata with store": (
        {"protocol": "openai-responses", "extra": {"metadata": {"a": "b"}, "store": True}},
        set(),
        {"metadata": {"a": "b"}, "store": True},
        [],
    ),
    "metadata without store": (
        {"protocol": "openai-responses", "extra": {"metadata": {"a": "b"}}},
        set(),
        {},
        [("metadata", "metadata", "dropped")],
    ),
    "fields that are the default": (
        {"protocol": "openai-responses", "extra": {"metadata": {}, "service_tier": "auto", "text.verbosity": "medium"}},
        set(),
        {},
        [],
    ),
    "json_object without the word JSON": (
        {"turns": (Turn("system", (Text("Be brief."),)), *HELLO), "format": ResponseFormat("json_object")},
        set(),
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "system", "content": "Answer with one JSON object and nothing else."},
                *HELLO_WIRE,
            ],
            "response_format": {"type": "json_object"},
        },
        [("format", "json_object", "approximated")],
    ),
    "json_object with the word JSON": (
        {"turns": (Turn("user", (Text("As JSON, please."),)),), "format": ResponseFormat("json_object")},
        set(),
        {"messages": [{"role": "user", "content": "As JSON, please."}], "response_format": {"type": "json_object"}},
        [],
    ),
    "a strict tool with an optional parameter": (
        {"tools": (Tool("f", None, {"type": "object", "properties": {"a": {}}}, True),)},
        set(),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"a": {}}},
                        "strict": False,
                    },
                }
            ]
        },
        [("tools[0].strict", "tool_strict", "dropped")],
    ),
    "a reasoning budget": (
        {"reasoning": ReasoningConfig(budget=2000)},
        set(),
        {"reasoning_effort": "medium"},
        [("reasoning", "reasoning", "approximated")],
    ),
    "a developer message for a host that does not know the role": (
        {"turns": (Turn("developer", (Text("Be brief."),)), *HELLO)},
        {"no_developer"},
        {"messages": [{"role": "system", "content": "Be brief."}, *HELLO_WIRE]},
        [("turns[0]", "role", "approximated")],
    ),
    "file ids, of which only OpenAI's are kept": (
        {"turns": (Turn("user", tuple(Document(Media(file_id=id_)) for id_ in ("file-1", "gs://a/b.pdf"))),)},
        set(),
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        [("turns[0].blocks[1]", "document", "dropped")],
    ),
    "a document that is sent as its text": (
        {"turns": (Turn("user", (Document(Media("text/plain", text="words", name="a.txt")),)),)},
        set(),
        {"messages": [{"role": "user", "content": "words"}]},
        [("turns[0].blocks[0].media.name", "name", "dropped")],
    ),
    "a turn without anything to send": (
        {"turns": (Turn("user", (ToolResult("c9", (Text("?"),)),)),)},
        set(),
        {"messages": [{"role": "user", "content": ""}]},
        [("turns", "content", "dropped"), ("turns[0].blocks[0]", "orphan", "dropped")],
    ),
    "results before the rest of their turn": (
        {
            "turns": (
                Turn("assistant", (ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"))),
                Turn(
                    "user",
                    (
                        Text("So?"),
                        ToolResult("c1", (Text("see"), Image(Media("image/png", "AAAA"))), True),
                        ToolResult("c2", (Image(Media("image/png", "BBBB")),)),
                    ),
                ),
            )
        },
        set(),
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [called("c1"), called("c2")]},
                {"role": "tool", "tool_call_id": "c1", "content": "Error: see"},
                {"role": "tool", "tool_call_id": "c2", "content": "The result is in the next user message."},
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB"}},
                        {"type": "text", "text": "So?"},
                    ],
                },
            ]
        },
        [
            ("turns[1].blocks[1]", "tool_result_media", "approximated"),
            ("turns[1].blocks[1]", "tool_error", "approximated"),
            ("turns[1].blocks[2]", "tool_result_media", "approximated"),
        ],
    ),
    "late results": (
        {
            "turns": (
                Turn("assistant", (ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"))),
                Turn("user", (ToolResult("c2", (Text("two"),)),)),
                Turn("user", (Text("wait"),)),
                Turn("user", (ToolResult("c1", (Text("one"),)),)),
            )
        },
        set(),
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [called("c1"), called("c2")]},
                {"role": "tool", "tool_call_id": "c2", "content": "two"},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "user", "content": "wait"},
            ]
        },
        [],
    ),
    "results after a system message": (
        {
            "turns": (
                Turn("assistant", (ToolCall("c", "f", "{}"),)),
                Turn("developer", (Text("be kind"),)),
                Turn("user", (ToolResult("c", (Text("one"),)),)),
            )
        },
        set(),
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [called("c")]},
                {"role": "tool", "tool_call_id": "c", "content": "one"},
                {"role": "developer", "content": "be kind"},
            ]
        },
        [],
    ),
    "orphans": (
        {
            "turns": (
                Turn("user", (ToolResult("c0", (Text("nobody asked"),)),)),
                Turn("assistant", (Text("a"), ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"))),
                Turn("user", (ToolResult("c2", (Text("two"),)), ToolResult("c2", (Text("again"),)), Text("so"))),
                Turn("assistant", (ToolCall("c3", "f", "{}"),)),
            )
        },
        set(),
        {
            "messages": [
                {"role": "assistant", "content": "a", "tool_calls": [called("c2")]},
                {"role": "tool", "tool_call_id": "c2", "content": "two"},
                {"role": "user", "content": "so"},
            ]
        },
        [
            ("turns[0].blocks[0]", "orphan", "dropped"),
            ("turns[1].blocks[1]", "orphan", "dropped"),
            ("turns[2].blocks[1]", "orphan", "dropped"),
            ("turns[3].blocks[0]", "orphan", "dropped"),
        ],
    ),
    "another provider's thinking": (
        {"turns": (Turn("assistant", (Reasoning("Hm.", SIGNATURE), Text("Yes."))),)},
        set(),
        {"messages": [{"role": "assistant", "content": "Yes."}]},
        [
            ("turns[0].blocks[0]", "reasoning_text", "dropped"),
            ("turns[0].blocks[0].seal", "signature", "dropped"),
        ],
    ),
    "thinking for a host that requires it back": (
        {"turns": (Turn("assistant", (Reasoning("Hm."), CALL)), ANSWER, Turn("assistant", (CALL,)), ANSWER)},
        {"reasoning_content"},
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [CALL_WIRE], "reasoning_content": "Hm."},
                ANSWER_WIRE,
                {"role": "assistant", "content": None, "tool_calls": [CALL_WIRE], "reasoning_content": ""},
                ANSWER_WIRE,
            ]
        },
        [],
    ),
    "hosted tools and their items": (
        {
            "turns": (Turn("user", (Text("a"), Opaque("anthropic", "container_upload", {}))),),
            "tools": (Opaque("anthropic", "web_search", {}),),
        },
        set(),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        [
            ("turns[0].blocks[1].container_upload", "document", "dropped"),
            ("tools[0].web_search", "hosted_tools", "dropped"),
        ],
    ),
    "a call without arguments": (
        {"turns": (Turn("assistant", (ToolCall("c", "f"),)), Turn("user", (ToolResult("c", (Text("a"),)),)))},
        set(),
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [called("c")]},
                {"role": "tool", "tool_call_id": "c", "content": "a"},
            ]
        },
        [],
    ),
    "a summary of the thinking": (
        {"reasoning": ReasoningConfig("low", summary="concise")},
        set(),
        {"reasoning_effort": "low"},
        [("reasoning.summary", "reasoning", "dropped")],
    ),
    "citations in the history": (
        {"turns": (Turn("assistant", (Text("a", citations=(Citation("https://a"),)),)),)},
        set(),
        {"messages": [{"role": "assistant", "content": "a"}]},
        [("turns[0].blocks[0].citations", "citations", "dropped")],
    ),
    "no messages": (
        {"turns": (Turn("assistant", ()),)},
        set(),
        {"messages": [{"role": "user", "content": ""}]},
        [("turns", "content", "dropped")],
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_a_request_of_another_protocol_is_encoded(case: str) -> None:
    fields, quirks, body, losses = CONVERTED[case]
    out = encode_request(make_request(**fields), UpstreamTarget("gpt", "openai", quirks=frozenset(quirks)))
    assert json_copy(out.payload) == {"model": "gpt", "messages": HELLO_WIRE, **body}
    assert sorted(out.losses, key=str) == sorted((Loss(*loss) for loss in losses), key=str)


def test_a_signature_is_sent_to_its_issuer_alone() -> None:
    call = ToolCall("c", "f", "{}", signature=SIGNATURE)
    thought = Reasoning("Hm.", SIGNATURE)
    request = make_request(turns=(Turn("assistant", (thought, call)), Turn("user", (ToolResult("c", ()),))))
    home = encode_request(request, UpstreamTarget("x", "claude", quirks=frozenset({"reasoning_details"})))
    message, _ = home.payload["messages"]
    assert message["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm.", "signature": "proof"}]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "proof"}}
    assert home.losses == ()
    away = encode_request(request, UpstreamTarget("x", "openrouter", quirks=frozenset({"reasoning_details"})))
    assert [loss.feature for loss in away.losses] == ["signature", "signature"]
    assert "proof" not in json.dumps(json_copy(away.payload))


def test_long_call_ids_are_shortened_alike() -> None:
    long_id = "call_" + "x" * 60
    turns = (Turn("assistant", (ToolCall(long_id, "f"),)), Turn("user", (ToolResult(long_id, (Text("a"),)),)))
    calling, answering = encode_request(make_request(turns=turns)).payload["messages"]
    (call,) = calling["tool_calls"]
    assert call["id"] == answering["tool_call_id"] != long_id
    assert len(call["id"]) <= 40


def test_invalid_tool_names_are_mapped_and_restored() -> None:
    sent = encode_request(make_request(tools=(Tool("fs.read"), Tool("read", namespace="fs"))))
    wires = [tool["function"]["name"] for tool in sent.payload["tools"]]
    assert wires == ["fs_read", "fs__read"]
    calls = [{"id": f"c{n}", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate(wires)]
    body = {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    blocks = (ToolCall("c0", "fs.read", "{}"), ToolCall("c1", "read", "{}", namespace="fs"))
    assert PROTOCOL.decode_reply(json_copy(body), sent, ids()).blocks == blocks
    streamed = fold(decode(sse({"tool_calls": [{**c, "index": n} for n, c in enumerate(calls)]}, "stop"), sent=sent))
    assert isinstance(streamed, Reply)
    assert (streamed.blocks, streamed.stop) == (blocks, "tool")


# ---- replies ---------------------------------------------------------------------------------------------------------

REPLIES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "text": ({"content": "Hi."}, "stop", {"blocks": (Text("Hi."),), "stop": "end"}),
    "length": ({"content": "Hi"}, "length", {"blocks": (Text("Hi"),), "stop": "length"}),
    "filter": ({"content": None}, "content_filter", {"blocks": (), "stop": "filter"}),
    "refusal": ({"content": None, "refusal": "No."}, "stop", {"blocks": (Refusal("No."),), "stop": "end"}),
    "calls beside text": (
        {"content": "Let me look.", "tool_calls": [CALL_WIRE, {**CALL_WIRE, "id": "c2"}]},
        "tool_calls",
        {
            "blocks": (Text("Let me look."), CALL, ToolCall("c2", CALL.name, CALL.arguments)),
            "stop": "tool",
        },
    ),
    "thinking": (
        {"content": "Yes.", "reasoning_content": "Hm."},
        "stop",
        {"blocks": (Reasoning("Hm."), Text("Yes.")), "stop": "end"},
    ),
    "citations": (
        {
            "content": "It is.",
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"start_index": 0, "end_index": 2, "title": "T", "url": "https://e.org"},
                }
            ],
        },
        "stop",
        {"blocks": (Text("It is.", (Citation("https://e.org", "T", None, 0, 2),)),), "stop": "end"},
    ),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_is_decoded_and_encoded_back(case: str) -> None:
    fields, native, meaning = REPLIES[case]
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **fields}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": native}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [choice],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    reply = PROTOCOL.decode_reply(json_copy(body), encode_request(), ids())
    assert (reply.blocks, reply.stop, reply.native) == (meaning["blocks"], meaning["stop"], native)
    assert (reply.id, reply.model, reply.usage) == ("chatcmpl-1", "m", Usage(6, 5, 4, None, 2))
    out, losses = PROTOCOL.encode_reply(reply, reply_context())
    assert json_copy(out) == body
    assert losses == []
    ChatCompletion.model_validate(json_copy(out), strict=True)


HOSTS: dict[str, tuple[dict[str, Any], tuple[Block, ...], str]] = {
    "no type, no id": (
        {"message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "stop"},
        (ToolCall("call_0", "f", "{}"),),
        "tool",
    ),
    "every field present": (
        {
            "message": {"content": "4", "refusal": "", "function_call": {"name": "", "arguments": ""}},
            "finish_reason": "stop",
        },
        (Text("4"),),
        "end",
    ),
    "legacy call": (
        {"message": {"function_call": {"name": "f", "arguments": "{}"}}, "finish_reason": "function_call"},
        (ToolCall("call_0", "f", "{}"),),
        "tool",
    ),
    "everything filtered": ({"finish_reason": "content_filter"}, (), "filter"),
    "an unknown finish reason": ({"message": {"content": "a"}, "finish_reason": "weather"}, (Text("a"),), "other"),
}


@pytest.mark.parametrize("case", HOSTS)
def test_replies_of_compatible_hosts(case: str) -> None:
    choice, blocks, stop = HOSTS[case]
    reply = PROTOCOL.decode_reply({"choices": [json_copy(choice)]}, encode_request(), ids())
    assert (reply.blocks, reply.stop) == (blocks, stop)


USAGES: list[tuple[dict[str, Any], Usage]] = [
    ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
    ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 12}}, Usage(0, None, 10)),
    (
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}},
        Usage(3, None, 4, 2),
    ),
    ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 4}, Usage(6, None, 4)),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 22,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        Usage(10, 12, None, None, 7),
    ),
    ({"prompt_tokens": None, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(None, 5)),
]


@pytest.mark.parametrize(("counts", "usage"), USAGES)
def test_usage_is_decoded(counts: dict[str, Any], usage: Usage) -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": json_copy(counts)}
    assert PROTOCOL.decode_reply(body, encode_request(), ids()).usage == usage


def test_extra_fields_of_a_reply_are_put_back() -> None:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "a",
                    "refusal": None,
                    "annotations": [],
                    "mood": "good",
                    "tool_calls": [{**CALL_WIRE, "odd": 1}],
                    "reasoning_content": "Hm.",
                    "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "format": "f", "index": 0}],
                },
                "logprobs": {"content": []},
                "finish_reason": "tool_calls",
            },
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "stop"},
        ],
    }
    reply = PROTOCOL.decode_reply(json_copy(body), encode_request(), ids())
    out, losses = PROTOCOL.encode_reply(reply, reply_context())
    assert json_copy(out) == body
    assert losses == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "choices"),
        ({"choices": []}, "choices"),
        ({"choices": [{"finish_reason": "stop"}]}, "choices[0].message"),
        ({"choices": [{"message": {"content": 5}}]}, "choices[0].content"),
    ],
)
def test_a_body_of_another_shape_is_malformed(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_reply(body, encode_request(), ids())
    assert caught.value.path == path


def test_an_error_with_status_200_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        PROTOCOL.decode_reply({"error": {"message": "filtered", "code": "content_filter"}}, encode_request(), ids())
    assert (caught.value.failure.kind, caught.value.failure.message) == ("content_filter", "filtered")


REPLY_LOSSES: dict[str, tuple[dict[str, Any], Losses]] = {
    "a pause": ({"stop": "pause"}, [("stop", "stop_reason", "approximated")]),
    "a matched stop sequence": ({"stop": "stop_sequence", "matched": "END"}, [("matched", "matched_stop", "dropped")]),
    "the text of a citation": (
        {"blocks": (Text("a", (Citation("https://a"), Citation("https://b", None, "words"))),)},
        [("blocks[0].citations[1].text", "citations", "dropped")],
    ),
    "a stored image": ({"blocks": (Image(Media(file_id="f")),)}, [("blocks[0]", "media_out", "dropped")]),
    "a hosted tool's item": (
        {"blocks": (Opaque("anthropic", "server_tool_use", {}),)},
        [("blocks[0].server_tool_use", "hosted_output", "dropped")],
    ),
    "extra fields": (
        {"blocks": (Text("a", extra={"fate": 1}),), "extra": {"stop_details": {"a": 1}}},
        [("blocks[0].fate", "unknown_field", "dropped"), ("stop_details", "stop_details", "dropped")],
    ),
    "nothing is lost": (
        {"blocks": (Reasoning("Hm.", SIGNATURE), Refusal("No."), Text("a", signature=SIGNATURE), CALL)},
        [],
    ),
}


@pytest.mark.parametrize("case", REPLY_LOSSES)
def test_reply_losses_are_the_same_in_body_and_stream(case: str) -> None:
    fields, losses = REPLY_LOSSES[case]
    reply = Reply(**{"protocol": "anthropic", "id": "msg_1", "model": "y", "blocks": (), "stop": "end", **fields})
    _, declared = PROTOCOL.encode_reply(reply, reply_context())
    _, streamed = encode(list(unfold(reply)))
    expected = sorted((Loss(*loss) for loss in losses), key=str)
    assert sorted(declared, key=str) == expected
    assert sorted(streamed, key=str) == expected


def test_extra_fields_at_the_end_of_a_block_are_declared() -> None:
    events: list[Event] = [
        ReplyStart("gemini", None, "y"),
        BlockStart(0, Text("")),
        BlockEnd(0, {"fate": 1}),
        ReplyEnd("end"),
    ]
    assert encode(events)[1] == [Loss("blocks[0].fate", "unknown_field", "dropped")]


def test_a_reply_has_the_clients_id_prefix_and_model_name() -> None:
    reply = Reply(protocol="anthropic", id="msg_1", model="claude", blocks=(), stop="end")
    body, _ = PROTOCOL.encode_reply(reply, reply_context())
    stream, _ = encode(list(unfold(reply)))
    for one in (body, *chunks_of(stream)):
        assert (one["id"], one["model"], one["created"]) == ("chatcmpl-7", "m", 1_700_000_000)


# ---- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_with_several_kinds_of_blocks() -> None:
    stream = sse(
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm."},
        {"content": "So"},
        {"content": ": "},
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "g", "arguments": '{"b":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "function": {"arguments": "2}"}}]},
        "tool_calls",
    )
    assert decode(stream) == [
        ReplyStart(NAME, "x", "gpt"),
        BlockStart(0, Reasoning("")),
        BlockDelta(0, "Hm."),
        BlockEnd(0),
        BlockStart(1, Text("")),
        BlockDelta(1, "So"),
        BlockDelta(1, ": "),
        BlockEnd(1),
        BlockStart(2, ToolCall("c1", "f")),
        BlockStart(3, ToolCall("c2", "g")),
        BlockDelta(3, '{"b":'),
        BlockDelta(2, "{}"),
        BlockDelta(3, "2}"),
        BlockEnd(2),
        BlockEnd(3),
        ReplyEnd("tool", None, "tool_calls", None, {"choices[0].index": 0}),
    ]


CALLS: dict[str, tuple[list[list[dict[str, Any]]], list[tuple[str, str, str]]]] = {
    "no index": (
        [
            [{"id": "a", "function": {"name": "f", "arguments": "{"}}],
            [{"function": {"arguments": "}"}}],
            [{"id": "b", "function": {"name": "g", "arguments": "{}"}}],
        ],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "the same index for all": (
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
            [{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}],
        ],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "id and name in every chunk": (
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}],
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}],
        ],
        [("a", "f", "{}")],
    ),
    "no id": ([[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]], [("call_0", "f", "{}")]),
    "arguments as an object": (
        [[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]],
        [("a", "f", '{"x":1}')],
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_streamed_calls_of_compatible_hosts(case: str) -> None:
    pieces, calls = CALLS[case]
    reply = fold(decode(sse(*({"tool_calls": piece} for piece in pieces), "tool_calls")))
    assert isinstance(reply, Reply)
    assert [(b.id, b.name, b.arguments) for b in reply.blocks if isinstance(b, ToolCall)] == calls


def test_each_reasoning_detail_is_a_block() -> None:
    def detail(**fields: Any) -> dict[str, Any]:
        return {"reasoning_details": [fields]}

    stream = sse(
        detail(type="reasoning.summary", summary="A", index=0),
        detail(type="reasoning.summary", summary="B", index=0),
        detail(type="reasoning.encrypted", data="s1", index=0),
        detail(type="reasoning.encrypted", data="s2", index=1),
        detail(type="reasoning.text", text="C", index=2),
        detail(type="reasoning.text", text="", signature="s3", index=2),
        "stop",
    )
    reply = fold(decode(stream))
    assert isinstance(reply, Reply)
    blocks = (
        Reasoning("AB", None, summary=True, extra={"index": 0}),
        Reasoning("", Signature("s1", NAME, "openai"), redacted=True, extra={"index": 0}),
        Reasoning("", Signature("s2", NAME, "openai"), redacted=True, extra={"index": 1}),
        Reasoning("C", Signature("s3", NAME, "openai"), extra={"index": 2}),
    )
    assert reply.blocks == blocks
    again = fold(decode(encode(list(unfold(reply)))[0]))
    assert isinstance(again, Reply)
    assert again.blocks == blocks


ENDS: dict[str, tuple[bytes, str]] = {
    "an empty stream": (b"", "upstream_cut"),
    "cut": (sse({"content": "half"}, done=False), "upstream_cut"),
    "an error in the stream": (sse({"content": "a"}, done=False) + b'data: {"error":"oh"}\n\n', "upstream_error"),
    "overloaded": (b'data: {"error":{"message":"x","code":"server_is_overloaded"}}\n\n', "overloaded"),
    "an error with a status": (b'data: {"error":{"message":"slow down","code":429}}\n\n', "rate_limit"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_stream_that_ends_without_success_is_a_failure(case: str) -> None:
    stream, kind = ENDS[case]
    last = decode(stream)[-1]
    assert isinstance(last, Failure)
    assert last.kind == kind


def test_the_done_sentinel_is_optional() -> None:
    reply = fold(decode(sse({"content": "a"}, "stop", done=False)))
    assert isinstance(reply, Reply)
    assert (reply.blocks, reply.stop) == ((Text("a"),), "end")


def test_the_reply_end_waits_for_usage() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    events = decode(sse({"content": "a"}, "stop", done=False) + usage)
    finish = events[-1]
    assert isinstance(finish, ReplyEnd)
    assert finish.usage == Usage(3, 4)


@pytest.mark.parametrize("stream", [b"data: <html>\n\n", b"data: []\n\n"])
def test_a_stream_of_another_shape_is_malformed(stream: bytes) -> None:
    with pytest.raises(Malformed):
        decode(stream)


def test_usage_is_streamed_on_request_only() -> None:
    events = list(
        unfold(Reply(protocol="gemini", id=None, model="y", blocks=(Text("a"),), stop="end", usage=Usage(3, 4)))
    )
    *before, last = chunks_of(encode(events, reply_context(extra={"stream_options": {"include_usage": True}}))[0])
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert all(chunk["usage"] is None for chunk in before)
    assert all("usage" not in chunk for chunk in chunks_of(encode(events)[0]))


def test_unknown_usage_is_not_streamed_as_zero() -> None:
    events = list(unfold(Reply(protocol="gemini", id=None, model="y", blocks=(Text("a"),), stop="end")))
    chunks = chunks_of(encode(events, reply_context(extra={"stream_options": {"include_usage": True}}))[0])
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in chunks)


def test_extra_fields_of_a_stream_are_in_its_last_chunk() -> None:
    other = {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}
    extra = {
        "created": 5,
        "system_fingerprint": "fp",
        "choices[0].logprobs": {"content": []},
        "choices[0].message.mood": "good",
        "n": [other],
    }
    reply = Reply(protocol=NAME, id="c", model="y", blocks=(Text("a"),), stop="end", extra=extra)
    *_, last = chunks_of(encode(list(unfold(reply)))[0])
    assert last["system_fingerprint"] == "fp"
    assert last["created"] != 5
    assert last["choices"] == [
        {"index": 0, "delta": {"mood": "good"}, "logprobs": {"content": []}, "finish_reason": "stop"},
        other,
    ]
    assert (
        "mood" not in chunks_of(encode(list(unfold(replace(reply, protocol="gemini"))))[0])[-1]["choices"][0]["delta"]
    )


def test_streamed_calls_are_named_once_and_numbered_among_calls() -> None:
    events: list[Event] = [
        ReplyStart("anthropic", "x", "y"),
        BlockStart(0, Reasoning("")),
        BlockDelta(0, "Hm."),
        BlockSignature(0, SIGNATURE),
        BlockEnd(0),
        BlockStart(1, ToolCall("c1", "f")),
        BlockEnd(1),
        BlockStart(2, ToolCall("c2", "g")),
        BlockDelta(2, '{"a":1}'),
        BlockEnd(2),
        ReplyEnd("tool"),
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(encode(events)[0])]
    token = signatures.for_client(SIGNATURE, NAME)
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm."},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": token, "index": 0}]},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": '{"a":1}'}}]},
        {},
    ]


SENT_BACK: dict[str, tuple[Block, ...]] = {
    "signed thinking": (Reasoning("Hm.", SIGNATURE), Text("a")),
    "redacted thinking": (Reasoning("", SIGNATURE, redacted=True), Text("a")),
    "signed thinking without text": (Reasoning("", SIGNATURE), Text("a")),
    "signed thinking without text, before a signed text": (
        Reasoning("", SIGNATURE),
        Text("a", signature=SIGNATURE),
    ),
    "several thinking blocks, one of them signed": (
        Reasoning("A"),
        Reasoning("B", SIGNATURE),
        Reasoning("C"),
        Text("a"),
    ),
    "a signed text": (Text("a", signature=SIGNATURE),),
    "a signed text after signed thinking": (
        Reasoning("Hm.", SIGNATURE),
        Text("a", signature=SIGNATURE),
    ),
    "a signature without text, before a signed call": (
        Text("", signature=SIGNATURE),
        ToolCall("c", "f", "{}", signature=SIGNATURE),
    ),
}


@pytest.mark.parametrize("case", SENT_BACK)
def test_a_reply_that_a_client_sends_back_keeps_its_signatures(case: str) -> None:
    """A client sends the message of a body or a stream back: the blocks and their signatures are the same."""
    reply = Reply(protocol="gemini", id="x", model="y", blocks=SENT_BACK[case], stop="end")
    body = json_copy(PROTOCOL.encode_reply(reply, reply_context())[0])["choices"][0]["message"]
    streamed: dict[str, Any] = {"role": "assistant"}
    for chunk in chunks_of(encode(list(unfold(reply)))[0]):
        delta = chunk["choices"][0]["delta"]
        for key in ("content", "reasoning_content"):
            streamed[key] = streamed.get(key, "") + delta.get(key, "")
        streamed.setdefault("reasoning_details", []).extend(delta.get("reasoning_details", []))
        for call in delta.get("tool_calls", []):
            known = streamed.setdefault("tool_calls", [{}])[0]
            known |= {key: value for key, value in call.items() if key not in ("index", "function")}
            function = known.setdefault("function", {})
            function |= {key: function.get(key, "") + value for key, value in call.get("function", {}).items()}
    for message in (body, streamed):
        request = PROTOCOL.decode_request({"model": "m", "messages": [message]}, UrlParams())
        assert list(map(without_extra, request.turns[0].blocks)) == list(map(without_extra, SENT_BACK[case]))


def without_extra(block: Block) -> Block:
    """Returns the block without extra fields, its signature in the client's protocol."""
    match block:
        case Text(signature=signature) | Reasoning(signature=signature) | ToolCall(signature=signature):
            return replace(block, extra=None, signature=replace(signature, protocol=NAME) if signature else None)
        case _:
            return block


def test_a_failure_ends_a_client_stream_without_success() -> None:
    broken = failure("upstream_cut", "It broke.")
    stream, _ = encode([ReplyStart("anthropic", "x", "y"), BlockStart(0, Text("")), BlockDelta(0, "one"), broken])
    frames = FRAMINGS["sse"](FRAME_LIMIT).parse(stream)
    error = json.loads(frames[-1].data)["error"]
    assert (error["message"], error["type"], error["code"]) == ("It broke.", "server_error", "upstream_cut")
    assert DONE not in stream
    assert all(b'"finish_reason":"' not in frame.data for frame in frames)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b'{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null}', False),
        (b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', True),
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', True),
        (b"[DONE]", True),
        (b'{"error":{}}', True),
    ],
)
def test_terminal_markers_match_frames_with_usage_or_an_end(data: bytes, seen: bool) -> None:
    assert any(mark in data for mark in PROTOCOL.terminal_markers) is seen


# ---- failures --------------------------------------------------------------------------------------------------------

FAILURES: list[tuple[int, bytes, str, int]] = [
    (400, b'{"error":{"message":"too long","code":"context_length_exceeded"}}', "context_length", 400),
    (400, b'{"error":{"message":"This model\'s maximum context length is 8 tokens."}}', "context_length", 400),
    (400, b'{"error":{"message":"prompt too long; exceeded max context length by 9 tokens"}}', "context_length", 400),
    (400, b'{"error":{"message":"The messages are too long.","type":"too_many_prompt_tokens"}}', "context_length", 400),
    (500, b'{"error":{"message":"maximum context length"}}', "upstream_error", 502),
    (404, b'{"error":{"message":"no","code":"model_not_found"}}', "model_not_found", 404),
    (401, b'{"error":{"message":"bad key sk-1"}}', "upstream_auth", 502),
    (403, b"{}", "upstream_auth", 502),
    (422, b'{"detail":[{"loc":["body"]}]}', "unprocessable", 422),
    (429, b'{"error":{"message":"pay","type":"insufficient_quota"}}', "upstream_quota", 503),
    (500, b'{"error":{"message":"oh"}}', "upstream_error", 502),
    (503, b"<html>", "overloaded", 503),
    (400, b'{"error":"plain"}', "bad_request", 400),
    (400, b"[]", "bad_request", 400),
]


@pytest.mark.parametrize(("status", "body", "kind", "expected_status"), FAILURES)
def test_upstream_errors(status: int, body: bytes, kind: str, expected_status: int) -> None:
    found = PROTOCOL.decode_failure(status, body, 7.0)
    assert (found.kind, found.status, found.retry_after) == (kind, expected_status, 7.0)
    assert "sk-1" not in found.message


@pytest.mark.parametrize("kind", STATUS)
def test_errors_for_a_client_have_all_four_fields(kind: str) -> None:
    error = PROTOCOL.encode_failure(failure(kind, "words", param="model"), "r")["error"]
    assert (error["message"], error["param"]) == ("words", "model")
    assert type(error["type"]) is type(error["code"]) is str
    assert (error["type"] == "server_error") is (STATUS[kind] >= 500)


# ---- vendor examples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_evidence(path: Path) -> None:
    case = json.loads(path.read_bytes())
    means = case["means"]
    assert case["source"].startswith("https://")
    match case["kind"]:
        case "request":
            request = PROTOCOL.decode_request(case["body"], UrlParams())
            blocks = [block for turn in request.turns for block in turn.blocks]
            seen: dict[str, Any] = {
                "stream": request.stream,
                "turns": [[turn.role, *(type(block).__name__ for block in turn.blocks)] for turn in request.turns],
                "tools": [tool.name for tool in request.tools if isinstance(tool, Tool)],
                "calls": {b.id: [b.name, json.loads(b.arguments)] for b in blocks if isinstance(b, ToolCall)},
                "results": {b.id: text(b.blocks) for b in blocks if isinstance(b, ToolResult)},
                "max_tokens": request.max_tokens,
            }
            assert {key: value for key, value in seen.items() if value or key in means} == means
        case "error":
            found = PROTOCOL.decode_failure(case["status"], json.dumps(case["body"]).encode(), None)
            assert (found.kind, found.status) == (means["kind"], means["status"])
            assert found.message == means.get("message", found.message)
        case "stream" if "failure" in means:
            *events, last = decode(case["stream"].encode())
            assert "".join(event.text for event in events if isinstance(event, BlockDelta)) == means["after"]
            assert isinstance(last, Failure)
            assert last.kind == means["failure"]
        case kind:
            if kind == "stream":
                reply = fold(decode(case["stream"].encode()))
            else:
                reply = PROTOCOL.decode_reply(case["body"], encode_request(), ids())
            assert isinstance(reply, Reply)
            assert summary(reply) == {"calls": [], "thinking": "", **means}


def text(blocks: tuple[Block, ...]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text))


def summary(reply: Reply) -> dict[str, Any]:
    """Returns a reply in the form of an example file."""
    fields = ("input", "output", "cache_read", "reasoning")
    return {
        "text": text(reply.blocks),
        "thinking": "".join(block.text for block in reply.blocks if isinstance(block, Reasoning)),
        "calls": [
            {"id": block.id, "name": block.name, "arguments": json.loads(block.arguments)}
            for block in reply.blocks
            if isinstance(block, ToolCall)
        ],
        "stop": reply.stop,
        "model": reply.model,
        "usage": reply.usage and {key: n for key in fields if (n := getattr(reply.usage, key)) is not None},
    }


# ---- properties ------------------------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=20)
names = st.text("abc_-7", min_size=1, max_size=8)
arguments = st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3).map(
    lambda value: json_fields.encode(value).decode()
)
counts = st.integers(0, 1000)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Generates replies as a chat server could return them: thinking, then text, a refusal and calls."""
    blocks: list[Block] = []
    if thinking := draw(st.none() | texts):
        signature = draw(st.none() | names.map(lambda value: Signature(value, NAME, "openai")))
        blocks.append(Reasoning(thinking, signature))
    if content := draw(st.none() | texts):
        cited = draw(st.lists(st.builds(Citation, names, names, start=counts, end=counts), max_size=2))
        blocks.append(Text(content, tuple(cited)))
    if no := draw(st.none() | texts):
        blocks.append(Refusal(no))
    calls = draw(st.lists(st.tuples(names, arguments), max_size=3))
    blocks += [ToolCall(f"c{n}", name, given_) for n, (name, given_) in enumerate(calls)]
    native: str = "tool_calls" if calls else draw(st.sampled_from(("stop", "length", "content_filter")))
    stops: dict[str, StopReason] = {"stop": "end", "length": "length", "content_filter": "filter", "tool_calls": "tool"}
    read = draw(st.none() | counts)
    output = draw(counts)
    usage = Usage(draw(counts), output, read, None, draw(st.none() | st.integers(0, output)))
    return Reply(
        protocol=NAME, id="chatcmpl-1", model="m", blocks=tuple(blocks), stop=stops[native], native=native, usage=usage
    )


def assert_same_reply(one: Reply | Failure, other: Reply) -> None:
    assert isinstance(one, Reply)
    assert (one.id, one.model, one.blocks) == (other.id, other.model, other.blocks)
    assert (one.stop, one.native) == (other.stop, other.native)
    assert one.usage is not None
    assert other.usage is not None
    assert (one.usage.prompt, one.usage.output, one.usage.cache_read, one.usage.reasoning) == (
        other.usage.prompt,
        other.usage.output,
        other.usage.cache_read,
        other.usage.reasoning,
    )


WITH_USAGE = {"stream_options": {"include_usage": True}}


@given(replies())
def test_body_and_stream_are_equivalent(reply: Reply) -> None:
    body, losses = PROTOCOL.encode_reply(reply, reply_context())
    stream, streamed = encode(list(unfold(reply)), reply_context(extra=WITH_USAGE))
    assert losses == streamed == []
    assert_same_reply(PROTOCOL.decode_reply(json_copy(body), encode_request(), ids()), reply)
    assert_same_reply(fold(decode(stream)), reply)
    ChatCompletion.model_validate(json_copy(body), strict=True)
    for chunk in chunks_of(stream):
        ChatCompletionChunk.model_validate(chunk, strict=True)


@given(replies(), st.data())
def test_chunk_boundaries_do_not_matter(reply: Reply, data: st.DataObject) -> None:
    stream, _ = encode(list(unfold(reply)), reply_context(extra=WITH_USAGE))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = decode(stream)
    assert decode(stream, chunks) == whole
    assert decode(stream, [stream[n : n + 1] for n in range(len(stream))]) == whole
    assert decode(stream.replace(b"\n\n", b"\r\n\r\n")) == whole
