"""Chat completions, both directions: literal wire beside its neutral meaning, the vendors' evidence, and the laws."""

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

from proxy import seals, wire
from proxy.errors import STATUS, Malformed, UpstreamError, failure
from proxy.framing import DONE, FRAME_LIMIT, FRAMINGS
from proxy.ir import (
    Audio,
    Block,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Format,
    How,
    Image,
    Loss,
    Media,
    Opaque,
    Open,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sampling,
    Seal,
    Signature,
    Start,
    StopReason,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    unfold,
)
from proxy.protocols.contract import Asked, Sent, Target, Where
from proxy.protocols.openai_chat import PROTOCOL

NAME = "openai-chat"
EVIDENCE = sorted((Path(__file__).parents[2] / "evidence" / NAME).glob("*.json"))
TARGET = Target("gpt", "openai")
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
FOREIGN = Signature("proof", "anthropic", "claude")


def called(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def ids() -> Callable[[str], str]:
    numbers = itertools.count()
    return lambda prefix: f"{prefix}{next(numbers)}"


def ask(**fields: Any) -> Request:
    return Request(**{"dialect": "anthropic", "model": "m", "turns": HELLO, **fields})


def asked(**fields: Any) -> Asked:
    return Asked(ask(dialect=NAME, **fields), "7", 1_700_000_000, ids())


def sent(request: Request | None = None, target: Target = TARGET) -> Sent:
    return PROTOCOL.encode_request(request or ask(dialect=NAME), target)


def copy(value: Any) -> Any:
    """A JSON value that the callee may take apart."""
    return json.loads(wire.encode(value))


def decode(stream: bytes, chunks: list[bytes] | None = None, under: Sent | None = None) -> list[Event]:
    framing = FRAMINGS[PROTOCOL.framing](FRAME_LIMIT)
    decoder = PROTOCOL.stream_decoder(under or sent(), ids())
    events: list[Event] = []
    for chunk in [stream] if chunks is None else chunks:
        for frame in framing.parse(framing.cut(chunk)):
            events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    events += decoder.close()
    assert decoder.done
    return events


def encode(events: list[Event], to: Asked | None = None) -> tuple[bytes, list[Loss]]:
    encoder = PROTOCOL.stream_encoder(to or asked())
    return b"".join(encoder.encode([event]) for event in events), encoder.losses


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well."""
    frames = FRAMINGS["sse"](FRAME_LIMIT).parse(stream)
    assert frames[-1].data == DONE
    return [json.loads(frame.data) for frame in frames[:-1]]


def sse(*deltas: dict[str, Any] | str, done: bool = True) -> bytes:
    """A stream of these deltas; a string is a finish reason."""
    out = b""
    for delta in deltas:
        choice = {"index": 0, "delta": {}, "finish_reason": delta} if type(delta) is str else {"delta": delta}
        out += b"data: " + wire.encode({"id": "x", "model": "gpt", "choices": [choice]}) + b"\n\n"
    return out + (b"data: [DONE]\n\n" if done else b"")


# ---- requests: the same table both ways ------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"messages": HELLO_WIRE}, {}),
    "system and developer keep their place": (
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
    "one tool must": (
        {
            "messages": HELLO_WIRE,
            "tools": [WEATHER_WIRE],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
        {"tools": (WEATHER,), "tool_choice": ToolChoice("named", ("weather",))},
    ),
    "a subset may": (
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
    "a run of results is one turn": (
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
        {"format": Format("json_schema", SCHEMA, "place", "where", True)},
    ),
    "effort": ({"messages": HELLO_WIRE, "reasoning_effort": "low"}, {"reasoning": Thinking("low")}),
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
        {"turns": (Turn("assistant", (ToolCall("c1", CALL.name, CALL.arguments, seal=Signature("proof", NAME)),)),)},
    ),
    "what nobody asked for": (
        {
            "messages": [{"role": "user", "content": "Hello", "name": "Ann"}],
            "n": 2,
            "logit_bias": {"5": 1},
            "prediction": {"type": "content", "content": "x"},
        },
        {
            "turns": (Turn("user", (Text("Hello"),), {"name": "Ann"}),),
            "own": {"n": 2, "logit_bias": {"5": 1}, "prediction": {"type": "content", "content": "x"}},
        },
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_request_and_its_meaning(case: str) -> None:
    body, fields = REQUESTS[case]
    request = Request(**{"dialect": NAME, "model": "gpt", "turns": HELLO, **fields})
    assert PROTOCOL.decode_request({"model": "gpt", **copy(body)}, Where()) == request
    out = sent(request)
    assert out.losses == ()
    assert copy(out.payload) == {"model": "gpt", **body}


READ_ONLY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_tokens": ({"messages": HELLO_WIRE, "max_tokens": 5}, {"max_tokens": 5}),
    "the newer bound wins": (
        {"messages": HELLO_WIRE, "max_tokens": 5, "max_completion_tokens": 6},
        {"max_tokens": 6},
    ),
    "one stop": ({"messages": HELLO_WIRE, "stop": "END"}, {"stop": ("END",)}),
    "any is required": ({"messages": HELLO_WIRE, "tool_choice": "any"}, {"tool_choice": ToolChoice("required")}),
    "nulls are absent": ({"messages": HELLO_WIRE, "tools": None, "stop": None, "temperature": None}, {}),
    "an empty text beside calls is no text": (
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
    "a bare picture": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://e.org/a"}]}]},
        {"turns": (Turn("user", (Image(Media(url="https://e.org/a")),)),)},
    ),
    "bare sound": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": "AAAA"}]}]},
        {"turns": (Turn("user", (Audio(Media(data="AAAA")),)),)},
    ),
    "signed details win over text": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "Yes.",
                    "reasoning": "Hm.",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "Hm.", "signature": seals.for_client(FOREIGN, NAME)},
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


@pytest.mark.parametrize("case", READ_ONLY)
def test_what_clients_write_otherwise(case: str) -> None:
    body, fields = READ_ONLY[case]
    expected = Request(**{"dialect": NAME, "model": "m", "turns": HELLO, **fields})
    assert PROTOCOL.decode_request({"model": "m", **copy(body)}, Where()) == expected


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
def test_malformed_requests_say_where(case: str) -> None:
    body, path = MALFORMED[case]
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_request(copy(body), Where())
    assert caught.value.path == path


# ---- requests of other dialects, and hosts with quirks ---------------------------------------------------------------

Losses = list[tuple[str, str, How]]
CONVERTED: dict[str, tuple[dict[str, Any], set[str], dict[str, Any], Losses]] = {
    "a stream asks for its usage": (
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
        [("stop[4:]", "stop", "approximated")],
    ),
    "parallel where it is refused": (
        {"parallel": False},
        {"no_parallel_tool_calls"},
        {},
        [("parallel", "parallel_tool_calls", "dropped")],
    ),
    "what OpenAI's other protocol calls by the same names": (
        {
            "dialect": "openai-responses",
            "own": {"service_tier": "flex", "text.verbosity": "low", "truncation": "auto"},
        },
        set(),
        {"service_tier": "flex", "verbosity": "low"},
        [("truncation", "unknown_field", "dropped")],
    ),
    "metadata of an answer that is kept": (
        {"dialect": "openai-responses", "own": {"metadata": {"a": "b"}, "store": True}},
        set(),
        {"metadata": {"a": "b"}, "store": True},
        [],
    ),
    "metadata of an answer that is not": (
        {"dialect": "openai-responses", "own": {"metadata": {"a": "b"}}},
        set(),
        {},
        [("metadata", "metadata", "dropped")],
    ),
    "defaults that it spells out": (
        {"dialect": "openai-responses", "own": {"metadata": {}, "service_tier": "auto", "text.verbosity": "medium"}},
        set(),
        {},
        [],
    ),
    "any JSON, and nobody said the word": (
        {"turns": (Turn("system", (Text("Be brief."),)), *HELLO), "format": Format("json_object")},
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
    "any JSON, and the word was said": (
        {"turns": (Turn("user", (Text("As JSON, please."),)),), "format": Format("json_object")},
        set(),
        {"messages": [{"role": "user", "content": "As JSON, please."}], "response_format": {"type": "json_object"}},
        [],
    ),
    "a strict tool that may leave a parameter out": (
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
    "a budget": (
        {"reasoning": Thinking(budget=2000)},
        set(),
        {"reasoning_effort": "medium"},
        [("reasoning", "reasoning", "approximated")],
    ),
    "developer where it is unknown": (
        {"turns": (Turn("developer", (Text("Be brief."),)), *HELLO)},
        {"no_developer"},
        {"messages": [{"role": "system", "content": "Be brief."}, *HELLO_WIRE]},
        [("turns[0]", "role", "approximated")],
    ),
    "files by their id, of OpenAI's alone": (
        {"turns": (Turn("user", tuple(Document(Media(file_id=id_)) for id_ in ("file-1", "gs://a/b.pdf"))),)},
        set(),
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        [("turns[0].blocks[1]", "document", "dropped")],
    ),
    "a document that is told as its text": (
        {"turns": (Turn("user", (Document(Media("text/plain", text="words", name="a.txt")),)),)},
        set(),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "words"}]}]},
        [("turns[0].blocks[0].media.name", "name", "dropped")],
    ),
    "nothing that could be said": (
        {"turns": (Turn("user", (ToolResult("c9", (Text("?"),)),)),)},
        set(),
        {"messages": [{"role": "user", "content": ""}]},
        [("turns[0].blocks[0]", "orphan", "dropped")],
    ),
    "results first, then what stood beside them": (
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
    "results that come late": (
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
    "results behind a message of the system": (
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
    "what has no counterpart": (
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
    "thoughts of another": (
        {"turns": (Turn("assistant", (Reasoning("Hm.", FOREIGN), Text("Yes."))),)},
        set(),
        {"messages": [{"role": "assistant", "content": "Yes."}]},
        [
            ("turns[0].blocks[0]", "reasoning_text", "dropped"),
            ("turns[0].blocks[0].seal", "signature", "dropped"),
        ],
    ),
    "thoughts where they are wanted back": (
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
    "hosted things": (
        {
            "turns": (Turn("user", (Text("a"), Opaque("anthropic", "container_upload", {}))),),
            "tools": (Opaque("anthropic", "web_search", {}),),
        },
        set(),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        [
            ("turns[0].blocks[1].container_upload", "hosted_output", "dropped"),
            ("tools[0].web_search", "hosted_tools", "dropped"),
        ],
    ),
    "zero arguments": (
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
    "thoughts to be shown": (
        {"reasoning": Thinking("low", summary="concise")},
        set(),
        {"reasoning_effort": "low"},
        [("reasoning.summary", "reasoning", "dropped")],
    ),
    "sources of an answer before": (
        {"turns": (Turn("assistant", (Text("a", citations=(Citation("https://a"),)),)),)},
        set(),
        {"messages": [{"role": "assistant", "content": "a"}]},
        [("turns[0].blocks[0].citations", "citations", "dropped")],
    ),
    "nothing said": (
        {"turns": (Turn("assistant", ()),)},
        set(),
        {"messages": [{"role": "assistant", "content": ""}]},
        [],
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_converted_requests(case: str) -> None:
    fields, quirks, body, losses = CONVERTED[case]
    out = sent(ask(**fields), Target("gpt", "openai", quirks=frozenset(quirks)))
    assert copy(out.payload) == {"model": "gpt", "messages": HELLO_WIRE, **body}
    assert sorted(out.losses, key=str) == sorted((Loss(*loss) for loss in losses), key=str)


def test_a_seal_goes_back_to_its_minter_alone() -> None:
    call = ToolCall("c", "f", "{}", seal=FOREIGN)
    thought = Reasoning("Hm.", FOREIGN)
    request = ask(turns=(Turn("assistant", (thought, call)), Turn("user", (ToolResult("c", ()),))))
    home = sent(request, Target("x", "claude", quirks=frozenset({"reasoning_details"})))
    message, _ = home.payload["messages"]
    assert message["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm.", "signature": "proof"}]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "proof"}}
    assert home.losses == ()
    away = sent(request, Target("x", "openrouter", quirks=frozenset({"reasoning_details"})))
    assert [loss.feature for loss in away.losses] == ["signature", "signature"]
    assert "proof" not in json.dumps(copy(away.payload))


def test_ids_that_are_too_long_are_short_and_alike() -> None:
    long = "call_" + "x" * 60
    turns = (Turn("assistant", (ToolCall(long, "f"),)), Turn("user", (ToolResult(long, (Text("a"),)),)))
    asking, answering = sent(ask(turns=turns)).payload["messages"]
    (call,) = asking["tool_calls"]
    assert call["id"] == answering["tool_call_id"] != long
    assert len(call["id"]) <= 40


def test_names_are_mended_and_come_back() -> None:
    under = sent(ask(tools=(Tool("fs.read"), Tool("read", namespace="fs"))))
    wires = [tool["function"]["name"] for tool in under.payload["tools"]]
    assert wires == ["fs_read", "fs__read"]
    calls = [{"id": f"c{n}", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate(wires)]
    body = {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    blocks = (ToolCall("c0", "fs.read", "{}"), ToolCall("c1", "read", "{}", namespace="fs"))
    assert PROTOCOL.decode_reply(copy(body), under, ids()).blocks == blocks
    streamed = fold(decode(sse({"tool_calls": [{**c, "index": n} for n, c in enumerate(calls)]}, "stop"), under=under))
    assert isinstance(streamed, Reply)
    assert (streamed.blocks, streamed.stop) == (blocks, "tool")


# ---- replies ---------------------------------------------------------------------------------------------------------

REPLIES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "text": ({"content": "Hi."}, "stop", {"blocks": (Text("Hi."),), "stop": "end"}),
    "length": ({"content": "Hi"}, "length", {"blocks": (Text("Hi"),), "stop": "length"}),
    "filter": ({"content": None}, "content_filter", {"blocks": (), "stop": "filter"}),
    "refusal": ({"content": None, "refusal": "No."}, "stop", {"blocks": (Refusal("No."),), "stop": "end"}),
    "calls with text beside": (
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
def test_reply_and_its_meaning(case: str) -> None:
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
    reply = PROTOCOL.decode_reply(copy(body), sent(), ids())
    assert (reply.blocks, reply.stop, reply.native) == (meaning["blocks"], meaning["stop"], native)
    assert (reply.id, reply.model, reply.usage) == ("chatcmpl-1", "m", Usage(6, 5, 4, None, 2))
    out, losses = PROTOCOL.encode_reply(reply, asked())
    assert copy(out) == body
    assert losses == []
    ChatCompletion.model_validate(copy(out), strict=True)


HOSTS: dict[str, tuple[dict[str, Any], tuple[Block, ...], str]] = {
    "no type, no id": (
        {"message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "stop"},
        (ToolCall("call_0", "f", "{}"),),
        "tool",
    ),
    "every field filled in": (
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
    "all of it filtered": ({"finish_reason": "content_filter"}, (), "filter"),
    "a word of its own": ({"message": {"content": "a"}, "finish_reason": "eos"}, (Text("a"),), "other"),
}


@pytest.mark.parametrize("case", HOSTS)
def test_what_compatible_hosts_answer(case: str) -> None:
    choice, blocks, stop = HOSTS[case]
    reply = PROTOCOL.decode_reply({"choices": [copy(choice)]}, sent(), ids())
    assert (reply.blocks, reply.stop) == (blocks, stop)


USAGES: list[tuple[dict[str, Any], Usage]] = [
    ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
    ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 12}}, Usage(0, None, 12)),
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
def test_usage_has_one_arithmetic(counts: dict[str, Any], usage: Usage) -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    assert PROTOCOL.decode_reply({"choices": [choice], "usage": copy(counts)}, sent(), ids()).usage == usage


def test_own_fields_of_a_reply_go_back_to_their_places() -> None:
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
    out, losses = PROTOCOL.encode_reply(PROTOCOL.decode_reply(copy(body), sent(), ids()), asked())
    assert copy(out) == body
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
def test_a_body_that_is_not_the_protocol(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_reply(body, sent(), ids())
    assert caught.value.path == path


def test_an_error_under_status_200_is_the_backends() -> None:
    with pytest.raises(UpstreamError) as caught:
        PROTOCOL.decode_reply({"error": {"message": "filtered", "code": "content_filter"}}, sent(), ids())
    assert (caught.value.failure.kind, caught.value.failure.message) == ("content_filter", "filtered")


UNSAID: dict[str, tuple[dict[str, Any], Losses]] = {
    "a pause": ({"stop": "pause"}, [("stop", "stop_reason", "approximated")]),
    "what was matched": ({"stop": "stop_sequence", "matched": "END"}, [("matched", "matched_stop", "dropped")]),
    "a source's own words": (
        {"blocks": (Text("a", (Citation("https://a"), Citation("https://b", None, "words"))),)},
        [("blocks[0].citations[1].text", "citations", "dropped")],
    ),
    "a picture": ({"blocks": (Image(Media("image/png", "AA")),)}, [("blocks[0]", "media_out", "dropped")]),
    "hosted": (
        {"blocks": (Opaque("anthropic", "server_tool_use", {}),)},
        [("blocks[0].server_tool_use", "hosted_output", "dropped")],
    ),
    "fields": (
        {"blocks": (Text("a", own={"fate": 1}),), "own": {"stop_details": {"a": 1}}},
        [("blocks[0].fate", "unknown_field", "dropped"), ("stop_details", "stop_details", "dropped")],
    ),
    "all can be said": ({"blocks": (Reasoning("Hm.", FOREIGN), Refusal("No."), Text("a", seal=FOREIGN), CALL)}, []),
}


@pytest.mark.parametrize("case", UNSAID)
def test_what_a_client_cannot_be_told_is_declared_alike_in_body_and_stream(case: str) -> None:
    fields, losses = UNSAID[case]
    reply = Reply(**{"dialect": "anthropic", "id": "msg_1", "model": "y", "blocks": (), "stop": "end", **fields})
    _, declared = PROTOCOL.encode_reply(reply, asked())
    _, streamed = encode(list(unfold(reply)))
    expected = sorted((Loss(*loss) for loss in losses), key=str)
    assert sorted(declared, key=str) == expected
    assert sorted(streamed, key=str) == expected


def test_what_a_block_carries_at_its_end_is_declared_too() -> None:
    events: list[Event] = [Start("gemini", None, "y"), Open(0, Text("")), Close(0, {"fate": 1}), Finish("end")]
    assert encode(events)[1] == [Loss("blocks[0].fate", "unknown_field", "dropped")]


def test_ids_have_the_clients_prefix_and_models_the_clients_name() -> None:
    reply = Reply(dialect="anthropic", id="msg_1", model="claude", blocks=(), stop="end")
    body, _ = PROTOCOL.encode_reply(reply, asked())
    stream, _ = encode(list(unfold(reply)))
    for one in (body, *chunks_of(stream)):
        assert (one["id"], one["model"], one["created"]) == ("chatcmpl-7", "m", 1_700_000_000)


# ---- streams ---------------------------------------------------------------------------------------------------------


def test_stream_of_everything() -> None:
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
        Start(NAME, "x", "gpt"),
        Open(0, Reasoning("")),
        Delta(0, "Hm."),
        Close(0),
        Open(1, Text("")),
        Delta(1, "So"),
        Delta(1, ": "),
        Close(1),
        Open(2, ToolCall("c1", "f")),
        Open(3, ToolCall("c2", "g")),
        Delta(3, '{"b":'),
        Delta(2, "{}"),
        Delta(3, "2}"),
        Close(2),
        Close(3),
        Finish("tool", None, "tool_calls", None, {"choices[0].index": 0}),
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
    "id and name again with every piece": (
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


def test_reasoning_details_are_blocks_of_their_own() -> None:
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
        Reasoning("AB", None, summary=True, own={"index": 0}),
        Reasoning("", Signature("s1", NAME, "openai"), redacted=True, own={"index": 0}),
        Reasoning("", Signature("s2", NAME, "openai"), redacted=True, own={"index": 1}),
        Reasoning("C", Signature("s3", NAME, "openai"), own={"index": 2}),
    )
    assert reply.blocks == blocks
    again = fold(decode(encode(list(unfold(reply)))[0]))
    assert isinstance(again, Reply)
    assert again.blocks == blocks


ENDS: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "upstream_cut"),
    "cut": (sse({"content": "half"}, done=False), "upstream_cut"),
    "done without a reason": (sse({"content": "half"}), "upstream_cut"),
    "an error in the stream": (sse({"content": "a"}, done=False) + b'data: {"error":"oh"}\n\n', "upstream_error"),
    "overloaded": (b'data: {"error":{"message":"x","code":"server_is_overloaded"}}\n\n', "overloaded"),
    "an error with a status": (b'data: {"error":{"message":"slow down","code":429}}\n\n', "rate_limit"),
}


@pytest.mark.parametrize("case", ENDS)
def test_streams_that_end_badly(case: str) -> None:
    stream, kind = ENDS[case]
    last = decode(stream)[-1]
    assert isinstance(last, Failure)
    assert last.kind == kind


def test_a_stream_may_leave_the_sentinel_out() -> None:
    reply = fold(decode(sse({"content": "a"}, "stop", done=False)))
    assert isinstance(reply, Reply)
    assert (reply.blocks, reply.stop) == ((Text("a"),), "end")


def test_finish_waits_for_usage() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    events = decode(sse({"content": "a"}, "stop", done=False) + usage)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage == Usage(3, 4)


@pytest.mark.parametrize("stream", [b"data: <html>\n\n", b"data: []\n\n", b'data: {"message":"hi"}\n\n'])
def test_a_stream_that_is_not_the_protocol_raises(stream: bytes) -> None:
    with pytest.raises(Malformed):
        decode(stream)


def test_usage_goes_to_clients_that_asked_for_it() -> None:
    events = list(
        unfold(Reply(dialect="gemini", id=None, model="y", blocks=(Text("a"),), stop="end", usage=Usage(3, 4)))
    )
    *before, last = chunks_of(encode(events, asked(own={"stream_options": {"include_usage": True}}))[0])
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert all(chunk["usage"] is None for chunk in before)
    assert all("usage" not in chunk for chunk in chunks_of(encode(events)[0]))


def test_what_was_not_counted_is_not_told_as_zero() -> None:
    events = list(unfold(Reply(dialect="gemini", id=None, model="y", blocks=(Text("a"),), stop="end")))
    chunks = chunks_of(encode(events, asked(own={"stream_options": {"include_usage": True}}))[0])
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in chunks)


def test_own_fields_of_a_stream_go_back_into_its_last_chunk() -> None:
    other = {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}
    own = {
        "created": 5,
        "system_fingerprint": "fp",
        "choices[0].logprobs": {"content": []},
        "choices[0].message.mood": "good",
        "n": [other],
    }
    reply = Reply(dialect=NAME, id="c", model="y", blocks=(Text("a"),), stop="end", own=own)
    *_, last = chunks_of(encode(list(unfold(reply)))[0])
    assert last["system_fingerprint"] == "fp"
    assert last["created"] != 5
    assert last["choices"] == [
        {"index": 0, "delta": {"mood": "good"}, "logprobs": {"content": []}, "finish_reason": "stop"},
        other,
    ]
    assert "mood" not in chunks_of(encode(list(unfold(replace(reply, dialect="gemini"))))[0])[-1]["choices"][0]["delta"]


def test_calls_are_told_once_and_counted_alone() -> None:
    events: list[Event] = [
        Start("anthropic", "x", "y"),
        Open(0, Reasoning("")),
        Delta(0, "Hm."),
        Seal(0, FOREIGN),
        Close(0),
        Open(1, ToolCall("c1", "f")),
        Close(1),
        Open(2, ToolCall("c2", "g")),
        Delta(2, '{"a":1}'),
        Close(2),
        Finish("tool"),
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(encode(events)[0])]
    token = seals.for_client(FOREIGN, NAME)
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


REMEMBERED: dict[str, tuple[Block, ...]] = {
    "a sealed thought": (Reasoning("Hm.", FOREIGN), Text("a")),
    "a redacted thought": (Reasoning("", FOREIGN, redacted=True), Text("a")),
    "a sealed thought without a word": (Reasoning("", FOREIGN), Text("a")),
    "a sealed thought without a word, before a sealed text": (Reasoning("", FOREIGN), Text("a", seal=FOREIGN)),
    "thoughts, of which one is sealed": (Reasoning("A"), Reasoning("B", FOREIGN), Reasoning("C"), Text("a")),
    "a sealed text": (Text("a", seal=FOREIGN),),
    "a sealed text after a sealed thought": (Reasoning("Hm.", FOREIGN), Text("a", seal=FOREIGN)),
    "a seal alone, before a sealed call": (Text("", seal=FOREIGN), ToolCall("c", "f", "{}", seal=FOREIGN)),
}


@pytest.mark.parametrize("case", REMEMBERED)
def test_what_a_client_remembers_means_what_was_said(case: str) -> None:
    """A client that gives an answer back, of a body or of a stream, says the same blocks with the same seals."""
    reply = Reply(dialect="gemini", id="x", model="y", blocks=REMEMBERED[case], stop="end")
    body = copy(PROTOCOL.encode_reply(reply, asked())[0])["choices"][0]["message"]
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
        request = PROTOCOL.decode_request({"model": "m", "messages": [message]}, Where())
        assert list(map(bare, request.turns[0].blocks)) == list(map(bare, REMEMBERED[case]))


def bare(block: Block) -> Block:
    """The block without what is left over, its seal as this dialect's client holds it."""
    match block:
        case Text(seal=seal) | Reasoning(seal=seal) | ToolCall(seal=seal):
            return replace(block, own=None, seal=replace(seal, dialect=NAME) if seal else None)
        case _:
            return block


def test_a_failure_ends_a_client_stream_without_success() -> None:
    broken = failure("upstream_cut", "It broke.")
    stream, _ = encode([Start("anthropic", "x", "y"), Open(0, Text("")), Delta(0, "one"), broken])
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
def test_watch_sees_what_matters_after_the_first_word(data: bytes, seen: bool) -> None:
    assert any(mark in data for mark in PROTOCOL.watch) is seen


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
    (429, b'{"error":{"message":"pay","type":"insufficient_quota"}}', "rate_limit", 429),
    (500, b'{"error":{"message":"oh"}}', "upstream_error", 502),
    (503, b"<html>", "overloaded", 503),
    (400, b'{"error":"plain"}', "bad_request", 400),
    (400, b"[]", "bad_request", 400),
]


@pytest.mark.parametrize(("status", "body", "kind", "meant"), FAILURES)
def test_upstream_errors(status: int, body: bytes, kind: str, meant: int) -> None:
    found = PROTOCOL.decode_failure(status, body, 7.0)
    assert (found.kind, found.status, found.retry_after) == (kind, meant, 7.0)
    assert "sk-1" not in found.message


@pytest.mark.parametrize("kind", STATUS)
def test_errors_for_a_client_have_all_four_fields(kind: str) -> None:
    error = PROTOCOL.encode_failure(failure(kind, "words", param="model"), "r")["error"]
    assert (error["message"], error["param"]) == ("words", "model")
    assert type(error["type"]) is type(error["code"]) is str
    assert (error["type"] == "server_error") is (STATUS[kind] >= 500)


# ---- the vendors' evidence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_evidence(path: Path) -> None:
    case = json.loads(path.read_bytes())
    means = case["means"]
    assert case["source"].startswith("https://")
    match case["kind"]:
        case "request":
            request = PROTOCOL.decode_request(case["body"], Where())
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
            assert "".join(event.text for event in events if isinstance(event, Delta)) == means["after"]
            assert isinstance(last, Failure)
            assert last.kind == means["failure"]
        case kind:
            if kind == "stream":
                reply = fold(decode(case["stream"].encode()))
            else:
                reply = PROTOCOL.decode_reply(case["body"], sent(), ids())
            assert isinstance(reply, Reply)
            assert summary(reply) == {"calls": [], "thinking": "", **means}


def text(blocks: tuple[Block, ...]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text))


def summary(reply: Reply) -> dict[str, Any]:
    """What an answer says, in the words of an evidence file."""
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


# ---- laws ------------------------------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=20)
names = st.text("abc_-7", min_size=1, max_size=8)
arguments = st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3).map(
    lambda value: wire.encode(value).decode()
)
counts = st.integers(0, 1000)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Answers as a chat server could give them: thinking, then text, then a refusal, then calls."""
    blocks: list[Block] = []
    if thinking := draw(st.none() | texts):
        seal = draw(st.none() | names.map(lambda value: Signature(value, NAME, "openai")))
        blocks.append(Reasoning(thinking, seal))
    if said := draw(st.none() | texts):
        cited = draw(st.lists(st.builds(Citation, names, names, start=counts, end=counts), max_size=2))
        blocks.append(Text(said, tuple(cited)))
    if no := draw(st.none() | texts):
        blocks.append(Refusal(no))
    calls = draw(st.lists(st.tuples(names, arguments), max_size=3))
    blocks += [ToolCall(f"c{n}", name, given_) for n, (name, given_) in enumerate(calls)]
    native: str = "tool_calls" if calls else draw(st.sampled_from(("stop", "length", "content_filter")))
    stops: dict[str, StopReason] = {"stop": "end", "length": "length", "content_filter": "filter", "tool_calls": "tool"}
    read = draw(st.none() | counts)
    usage = Usage(draw(counts), draw(counts), read, None, draw(st.none() | counts))
    return Reply(
        dialect=NAME, id="chatcmpl-1", model="m", blocks=tuple(blocks), stop=stops[native], native=native, usage=usage
    )


def same(one: Reply | Failure, other: Reply) -> None:
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
def test_law_body_and_stream_say_the_same(reply: Reply) -> None:
    body, losses = PROTOCOL.encode_reply(reply, asked())
    stream, streamed = encode(list(unfold(reply)), asked(own=WITH_USAGE))
    assert losses == streamed == []
    same(PROTOCOL.decode_reply(copy(body), sent(), ids()), reply)
    same(fold(decode(stream)), reply)
    ChatCompletion.model_validate(copy(body), strict=True)
    for chunk in chunks_of(stream):
        ChatCompletionChunk.model_validate(chunk, strict=True)


@given(replies(), st.data())
def test_law_chunking_never_matters(reply: Reply, data: st.DataObject) -> None:
    stream, _ = encode(list(unfold(reply)), asked(own=WITH_USAGE))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = decode(stream)
    assert decode(stream, chunks) == whole
    assert decode(stream, [stream[n : n + 1] for n in range(len(stream))]) == whole
    assert decode(stream.replace(b"\n\n", b"\r\n\r\n")) == whole
