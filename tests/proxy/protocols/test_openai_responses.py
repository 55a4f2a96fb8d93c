"""OpenAI Responses, both directions: literal wire bodies beside the neutral form, vendor examples, and properties.

No other protocol is used here: what other protocols would decode is written in the neutral form by hand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from crosswire.proxy.errors import STATUS, STREAM_ENDED, Malformed, UpstreamError, failure, upstream_failure
from crosswire.proxy.ir import (
    Audio,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    HostedCall,
    HostedTool,
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
from crosswire.proxy.ir.losses import reply_extra_losses, request_extra_losses
from crosswire.proxy.ir.tool_names import Alias
from crosswire.proxy.protocols.openai_responses import PROTOCOL
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire import json_fields
from crosswire.proxy.wire.framing import SSE

NAME = "openai-responses"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SENT = UpstreamRequest({}, (), UpstreamTarget("gpt-5-nano", "openai"))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode_request(body: dict[str, Any]) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), UrlParams())


def make_request(*turns: Turn, protocol: str = "openai-chat", **fields: Any) -> Request:
    return Request(protocol=protocol, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def encode_request(request: Request, **target: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    sent = PROTOCOL.encode_request(request, UpstreamTarget("m", target.pop("provider", "openai"), **target))
    payload: dict[str, Any] = json_fields.parse_object(json_fields.encode(sent.payload))
    return payload, [(loss.path, loss.feature) for loss in sent.losses]


def reply_context(**fields: Any) -> ReplyContext:
    return ReplyContext(make_request(protocol=NAME, **fields), "req-1", 1_700_000_000, new_id())


def reply(*blocks: Any, protocol: str = "anthropic", stop: Any = "end", **fields: Any) -> Reply:
    return Reply(protocol=protocol, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def encode_reply(neutral: Reply, **fields: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Returns the body for a client, validated by the SDK's type, and the losses."""
    body, losses = PROTOCOL.encode_reply(neutral, reply_context(**fields))
    parsed: dict[str, Any] = json_fields.parse_object(json_fields.encode(body))
    Response.model_validate(parsed, strict=True)
    return parsed, [(loss.path, loss.feature) for loss in losses]


def decode_reply(body: dict[str, Any], sent: UpstreamRequest = SENT) -> Reply:
    return PROTOCOL.decode_reply(json.loads(json.dumps(body)), sent, new_id())


def decode_stream(chunks: Sequence[bytes], sent: UpstreamRequest = SENT) -> list[Event]:
    framing, decoder, events = SSE(), PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if whole := framing.cut(chunk):
            for frame in framing.parse(whole):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def encode_stream(
    events: Sequence[Event], *, at_once: bool = True, **fields: Any
) -> tuple[list[dict[str, Any]], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(reply_context(stream=True, **fields))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    framing = SSE()
    frames = framing.parse(framing.cut(raw))
    written = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in written]
    validate_events(written)
    return written, encoder.losses, raw


def validate_events(events: list[dict[str, Any]]) -> None:
    """Checks a stream as a strict client does: numbers from 0, valid events, items in order, all of them at the end."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items: list[Any] = []
    opened: dict[str, Any] | None = None
    for event in events:
        if event.get("response", {}).get("error", {}) is None:
            EVENT.validate_python(event, strict=True)
        if "output_index" in event:
            assert event["output_index"] == len(items)
        if "item_id" in event:
            assert opened is not None
            assert event["item_id"] == opened["id"]
        match event["type"]:
            case "response.output_item.added":
                assert opened is None
                opened = event["item"]
            case "response.output_item.done":
                assert opened is not None
                assert event["item"]["id"] == opened["id"]
                items.append(event["item"])
                opened = None
    if events[-1]["type"] in ("response.completed", "response.incomplete"):
        assert opened is None
        assert events[-1]["response"]["output"] == items


def stream(*events: dict[str, Any], named: bool = True) -> bytes:
    head = "event: {type}\n" if named else ""
    return "".join(head.format(**event) + f"data: {json.dumps(event)}\n\n" for event in events).encode()


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


def without_extra(blocks: Sequence[Any]) -> list[Any]:
    """Returns the blocks without groups and extra fields."""
    return [
        replace(block, extra=None, **({"group": None} if isinstance(block, Text | Refusal | Reasoning) else {}))
        if not isinstance(block, Opaque)
        else block
        for block in blocks
    ]


# ---- the client's request --------------------------------------------------------------------------------------------

BARE = Signature("enc", NAME)
FOREIGN = Signature("tide", NAME, "gemini")
TOKEN = signatures.for_client(Signature("tide", "gemini", "gemini"), NAME)


def turn(*blocks: Any, role: Any = "assistant", extra: Any = None) -> Turn:
    return Turn(role, blocks, extra)


ITEMS: list[tuple[str, Any, tuple[Turn, ...]]] = [
    ("a string", "hi", (turn(Text("hi"), role="user"),)),
    ("a message without a type", [{"role": "user", "content": "hi"}], (turn(Text("hi"), role="user"),)),
    ("a message with an id",
     [{"type": "message", "role": "developer", "id": "m1", "content": [{"type": "input_text", "text": "hi"}]}],
     (turn(Text("hi"), role="developer", extra={"id": "m1"}),)),
    ("the items of one response are one turn",
     [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
       "encrypted_content": "enc"},
      {"type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary", "status": "completed",
       "content": [{"type": "output_text", "text": "so", "annotations": []}]},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
      {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x = 1"}],
     (turn(Reasoning("hm", BARE, summary=True, group=0, extra={"item.id": "rs_1"}),
           Text("so", group=1, extra={"item.id": "msg_1", "item.phase": "commentary", "item.status": "completed"}),
           ToolCall("c1", "f", "{}", extra={"id": "fc_1"}), ToolCall("c2", "g", "x = 1", "custom")),)),
    ("consecutive results are one turn, the next message another",
     [{"type": "function_call_output", "call_id": "c1", "output": "1"},
      {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
      {"role": "user", "content": "go"}],
     (turn(ToolResult("c1", (Text("1"),)), ToolResult("c2", (Text("2"),), kind="custom"), role="user"),
      turn(Text("go"), role="user"))),
    ("parts of one message are grouped",
     [{"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}],
     (turn(Text("a", group=0), Refusal("b", group=0)),)),
    ("summaries and content of one reasoning item",
     [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
       "content": [{"type": "reasoning_text", "text": "c"}]}],
     (turn(Reasoning("a", summary=True, group=0), Reasoning("b", summary=True, group=0), Reasoning("c", group=0)),)),
    ("reasoning without text", [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}],
     (turn(Reasoning("", BARE, redacted=True, group=0)),)),
    ("a carrier before its call",
     [{"type": "reasoning", "summary": [], "encrypted_content": TOKEN},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
     (turn(ToolCall("c1", "f", "{}", signature=FOREIGN)),)),
    ("a foreign signature on thinking with text",
     [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": TOKEN},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
     (turn(Reasoning("hm", FOREIGN, summary=True, group=0), ToolCall("c1", "f", "{}")),)),
    ("a carrier at the end", [{"type": "reasoning", "summary": [], "encrypted_content": TOKEN}],
     (turn(Text("", signature=FOREIGN)),)),
    ("a call within a namespace",
     [{"type": "function_call", "call_id": "c1", "name": "f", "namespace": "crm", "arguments": "{}"}],
     (turn(ToolCall("c1", "f", "{}", namespace="crm")),)),
    ("hosted items, of the model and of the client",
     [{"type": "web_search_call", "id": "ws_1", "status": "completed"},
      {"type": "local_shell_call_output", "id": "x", "output": "{}"}, {"id": "msg_9"}],
     (turn(Opaque(NAME, "web_search_call", {"type": "web_search_call", "id": "ws_1", "status": "completed"})),
      turn(ToolResult("x", (Text("{}"),), extra={"id": "x", "output": "{}"}, vendor="local_shell_call_output"),
           role="user"),
      turn(Opaque(NAME, "item_reference", {"type": "item_reference", "id": "msg_9"})))),
    ("images and files",
     [{"role": "user", "content": [
         {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
         {"type": "input_image", "image_url": "https://a/b.png"}, {"type": "input_image", "file_id": "file-1"},
         {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
         {"type": "input_file", "file_url": "https://a/b.pdf"},
         {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
         {"type": "hologram", "x": 1}]}],
     (turn(Image(Media("image/png", "iVBO"), {"detail": "low"}), Image(Media(url="https://a/b.png")),
           Image(Media(file_id="file-1")), Document(Media("application/pdf", "JVBE", name="a.pdf")),
           Document(Media(url="https://a/b.pdf")), Audio(Media("audio/wav", "UklG")),
           Opaque(NAME, "content.hologram", {"type": "hologram", "x": 1}), role="user"),)),
    ("an image in a result",
     [{"type": "function_call_output", "call_id": "c1",
       "output": [{"type": "input_image", "image_url": "data:image/png;base64,iVBO"}]}],
     (turn(ToolResult("c1", (Image(Media("image/png", "iVBO")),)), role="user"),)),
]  # fmt: skip


@pytest.mark.parametrize(("items", "turns"), [row[1:] for row in ITEMS], ids=[row[0] for row in ITEMS])
def test_items_are_decoded_into_turns(items: Any, turns: tuple[Turn, ...]) -> None:
    request = decode_request({"model": "m", "input": items})
    assert request.turns == turns
    assert request.extra is None


GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: A"}

FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("instructions come first", {"instructions": "be brief"},
     {"turns": (turn(Text("be brief"), role="system", extra={"instructions": None}), turn(Text("hi"), role="user"))}),
    ("the output limit", {"max_output_tokens": 99}, {"max_tokens": 99}),
    ("sampling", {"temperature": 0.5, "top_p": 0.9}, {"sampling": Sampling(0.5, 0.9)}),
    ("reasoning", {"reasoning": {"effort": "low", "summary": "auto", "context": "auto"}},
     {"reasoning": ReasoningConfig("low", summary="auto", extra={"context": "auto"})}),
    ("the deprecated generate_summary", {"reasoning": {"generate_summary": "concise"}},
     {"reasoning": ReasoningConfig(summary="concise")}),
    ("a schema and its verbosity",
     {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
               "verbosity": "low"}},
     {"format": ResponseFormat("json_schema", {"type": "object"}, "n", None, True),
      "extra": {"text.verbosity": "low"}}),
    ("json_object", {"text": {"format": {"type": "json_object"}}},
     {"format": ResponseFormat("json_object"), "extra": None}),
    ("one call at a time", {"parallel_tool_calls": False}, {"parallel": False}),
    ("a named function", {"tool_choice": {"type": "function", "name": "f"}},
     {"tool_choice": ToolChoice("named", ("f",))}),
    ("some of the tools",
     {"tool_choice": {"type": "allowed_tools", "mode": "required",
                      "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}]}},
     {"tool_choice": ToolChoice("required", ("f",), {"allowed_tools": [{"type": "image_generation"}]})}),
    ("a hosted tool that must run", {"tool_choice": {"type": "file_search"}},
     {"tool_choice": ToolChoice("auto", extra={"forced_hosted_tool": {"type": "file_search"}})}),
    ("tools of each kind",
     {"tools": [
         {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
         {"type": "custom", "name": "g", "format": GRAMMAR},
         {"type": "custom", "name": "h", "format": {"type": "text"}},
         {"type": "namespace", "name": "crm", "description": "customers",
          "tools": [{"type": "function", "name": "find"}, {"type": "custom", "name": "note"}]},
         {"type": "web_search"}]},
     {"tools": (
         Tool("f", "d", {"type": "object"}, True),
         Tool("g", kind="custom", grammar={"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}),
         Tool("h", kind="custom"),
         Tool("find", namespace="crm", extra={"namespace.description": "customers"}),
         Tool("note", kind="custom", namespace="crm"),
         Opaque(NAME, "web_search", {"type": "web_search"}, hosted=HostedTool("web_search")))}),
    ("stored input and unknown fields", {"previous_response_id": "resp_1", "store": True, "x": 1},
     {"extra": {"previous_response_id": "resp_1", "response.store": True, "x": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields_are_decoded(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = decode_request({"model": "m", "input": "hi", **fields})
    assert {key: getattr(request, key) for key in expected} == expected


def test_additional_tools_are_offered_and_stay_in_their_item() -> None:
    item = {"type": "additional_tools", "role": "developer",
            "tools": [{"type": "function", "name": "f"}, {"type": "tool_search"}]}  # fmt: skip
    body = {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}, item],
        "tools": [{"type": "custom", "name": "g"}],
    }
    request = decode_request(body)
    assert [tool.name if isinstance(tool, Tool) else tool.kind for tool in request.tools] == ["g", "f", "tool_search"]
    assert request.turns == (turn(Text("hi"), role="user"),)
    payload, losses = encode_request(request)
    assert payload["input"] == [{"type": "message", "role": "user", "content": "hi"}, item]
    assert (payload["tools"], losses) == ([{"type": "custom", "name": "g"}], [])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": "hi"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": 3}, "input"),
        ({"model": "m", "input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
        ({"model": "m", "input": [{"role": "user"}]}, "input[0].content"),
        ({"model": "m", "input": [{"content": "hi"}]}, "input[0].type"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"model": "m", "input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"model": "m", "input": [{"type": "tool_search_output", "call_id": "c", "tools": True}]}, "input[0].tools"),
        ({"model": "m", "input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "m", "input": "hi", "tool_choice": 1}, "tool_choice"),
        ({"model": "m", "input": "hi", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ],
)
def test_a_malformed_request_names_the_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode_request(body)
    assert fault.value.path == path


# ---- the backend's request -------------------------------------------------------------------------------------------

CALL = ToolCall("c1", "f", '{"a":1}')
RESULT = ToolResult("c1", (Text("1"),))
CALL_ITEM = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
CALL_OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
OWN_SIGNATURE = Signature("enc", "anthropic", "openai")
"""A signature of this provider that a client of another protocol sends back."""


def message(role: str, content: Any, id_: str | None = None) -> dict[str, Any]:
    given = {} if id_ is None else {"id": id_, "status": "completed"}
    return {"type": "message", "role": role, "content": content, **given}


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("the first system text is the instructions, later ones keep their place",
     (turn(Text("a"), role="system"), turn(Text("b"), role="developer"), user(Text("hi")),
      turn(Text("c"), role="system")),
     {"instructions": "a",
      "input": [message("developer", "b"), message("user", "hi"), message("system", "c")]}, []),
    ("two texts are not instructions",
     (turn(Text("a"), Text("b"), role="system"),),
     {"input": [message("system", [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}])]}, []),
    ("a call and its result", (user(Text("hi")), turn(Text("so"), CALL), user(RESULT, Text("go"))),
     {"input": [message("user", "hi"), message("assistant", "so"), CALL_ITEM, CALL_OUTPUT, message("user", "go")]}, []),
    ("a call without arguments", (turn(ToolCall("c1", "f")), user(RESULT)),
     {"input": [{**CALL_ITEM, "arguments": "{}"}, CALL_OUTPUT]}, []),
    ("a result that failed", (turn(CALL), user(replace(RESULT, error=True))),
     {"input": [CALL_ITEM, {**CALL_OUTPUT, "output": "Error: 1"}]}, [("turns[1].blocks[0]", "tool_error")]),
    ("a result with an image",
     (turn(CALL), user(ToolResult("c1", (Text("see"), Image(Media("image/png", "iVBO")))))),
     {"input": [CALL_ITEM, {**CALL_OUTPUT, "output": [
         {"type": "input_text", "text": "see"},
         {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"}]}]}, []),
    ("a result with another provider's file", (turn(CALL), user(ToolResult("c1", (Document(Media(file_id="f")),)))),
     {"input": [CALL_ITEM, {**CALL_OUTPUT, "output": []}]}, [("turns[1].blocks[0].blocks[0]", "tool_result_media")]),
    ("a document that is sent as its text", (user(Document(Media("text/plain", text="words", name="a.txt"))),),
     {"input": [message("user", [{"type": "input_text", "text": "words"}])]},
     [("turns[0].blocks[0].media.name", "name")]),
    ("several texts of one answer", (turn(Text("a"), Text("b")),),
     {"input": [message("assistant", "a"), message("assistant", "b")]}, []),
    ("the result of a free-text call", (turn(ToolCall("c1", "g", "x = 1", "custom")), user(RESULT)),
     {"input": [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1"},
                {**CALL_OUTPUT, "type": "custom_tool_call_output"}]}, []),
    ("orphans are dropped", (turn(Text("so"), CALL), user(ToolResult("c9", ()), Text("hm"))),
     {"input": [message("assistant", "so"), message("user", "hm")]},
     [("turns[0].blocks[1]", "orphan"), ("turns[1].blocks[0]", "orphan")]),
    ("its own signature, with the unsigned thinking before it",
     (turn(Reasoning("a"), Reasoning("b", OWN_SIGNATURE), CALL), user(RESULT)),
     {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"},
                                                  {"type": "summary_text", "text": "b"}], "encrypted_content": "enc"},
                CALL_ITEM, CALL_OUTPUT]}, []),
    ("its own signature on redacted thinking", (turn(Reasoning("", OWN_SIGNATURE, redacted=True), CALL), user(RESULT)),
     {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}, CALL_ITEM, CALL_OUTPUT]}, []),
    ("foreign thinking and foreign signatures are dropped",
     (turn(Reasoning("hm", FOREIGN), Text("yes", signature=FOREIGN), replace(CALL, signature=FOREIGN)), user(RESULT)),
     {"input": [message("assistant", "yes"), CALL_ITEM, CALL_OUTPUT]},
     [("turns[0].blocks[0].seal", "signature"), ("turns[0].blocks[0]", "reasoning_text"),
      ("turns[0].blocks[1].seal", "signature"), ("turns[0].blocks[2].seal", "signature")]),
    ("an empty text with a signature",
     (turn(Text("", signature=FOREIGN)), user(Text("hi"))),
     {"input": [message("user", "hi")]}, [("turns[0].blocks[0].seal", "signature")]),
    ("a refusal", (turn(Refusal("no")),),
     {"input": [message("assistant", [{"type": "refusal", "refusal": "no"}],
                        "msg_06da9b0b7b8176da7e41bbf4f3c4e0b1574543cd")]}, []),
    ("a cited text", (turn(Text("abc", (Citation("https://a", "t", None, 1, 2),))),),
     {"input": [message("assistant", [{"type": "output_text", "text": "abc", "annotations": [
         {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"}]}],
                        "msg_ff2e1e9baeb2ec30fd6de3bd260d745d938735b0")]}, []),
    ("files by URL, id and text",
     (user(Document(Media(url="https://a/b.pdf")), Document(Media(file_id="file-1")),
           Document(Media("text/plain", text="words")), Document(Media("application/pdf", "JVBE"))),),
     {"input": [message("user", [
         {"type": "input_file", "file_url": "https://a/b.pdf"}, {"type": "input_file", "file_id": "file-1"},
         {"type": "input_text", "text": "words"},
         {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}])]}, []),
    ("sound, and another provider's file",
     (user(Text("hear"), Audio(Media("audio/wav", "UklG")), Image(Media(file_id="file_011"))),),
     {"input": [message("user", [{"type": "input_text", "text": "hear"}])]},
     [("turns[0].blocks[1]", "audio"), ("turns[0].blocks[2]", "image")]),
    ("another protocol's hosted tool", (turn(Opaque("anthropic", "server_tool_use", {"x": 1}), Text("so")),),
     {"input": [message("assistant", "so")]}, [("turns[0].blocks[0].server_tool_use", "hosted_output")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_turns_are_encoded_as_items(
    turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]
) -> None:
    sent, lost = encode_request(make_request(*turns))
    assert {key: sent.get(key) for key in ("instructions", "input")} == {"instructions": None, **payload}
    assert lost == losses


def test_unsigned_thinking_is_sent_to_hosts_that_accept_it() -> None:
    payload, losses = encode_request(
        make_request(turn(Reasoning("hm"), CALL), user(RESULT)),
        provider="lmstudio",
        quirks=frozenset(("reasoning_text",)),
    )
    assert payload["input"][0] == {
        "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]
    }  # fmt: skip
    assert losses == []


def test_long_call_ids_are_shortened_alike() -> None:
    long_id = "toolu_" + "x" * 80
    payload, losses = encode_request(make_request(turn(ToolCall(long_id, "f")), user(ToolResult(long_id, ()))))
    one, other = (item["call_id"] for item in payload["input"])
    assert one == other
    assert len(one) <= 64
    assert losses == []


WEATHER = Tool("weather", "d", {"type": "object", "properties": {"city": {"type": "string"}}})

REQUESTS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ("no response is stored", {}, {"store": False}, []),
    ("a stream", {"stream": True}, {"stream": True}, []),
    ("an output limit below the minimum", {"max_tokens": 5}, {"max_output_tokens": 16}, [("max_tokens", "max_tokens")]),
    ("an output limit", {"max_tokens": 50}, {"max_output_tokens": 50}, []),
    ("sampling parameters that it lacks", {"sampling": Sampling(0.5, 0.9, 3, 1, 0.5, 0.0), "stop": ("a",)},
     {"temperature": 0.5, "top_p": 0.9},
     [("sampling.frequency_penalty", "penalties"), ("sampling.top_k", "top_k"), ("sampling.seed", "seed")]),
    ("functions are not strict by default", {"tools": (WEATHER, Tool("now", strict=True))},
     {"tools": [{"type": "function", "name": "weather", "description": "d", "parameters": WEATHER.parameters,
                 "strict": False},
                {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}},
                 "strict": True}]}, []),
    ("a free-text tool",
     {"tools": (Tool("g", kind="custom", grammar={"type": "grammar", "grammar": {"syntax": "lark",
                                                                                 "definition": "start: A"}}),),
      "tool_choice": ToolChoice("named", ("g",))},
     {"tools": [{"type": "custom", "name": "g", "format": GRAMMAR}],
      "tool_choice": {"type": "custom", "name": "g"}}, []),
    ("any tool", {"tools": (WEATHER,), "tool_choice": ToolChoice("required"), "parallel": False},
     {"tool_choice": "required", "parallel_tool_calls": False}, []),
    ("some tools", {"tools": (WEATHER,), "tool_choice": ToolChoice("auto", ("weather",))},
     {"tool_choice": {"type": "allowed_tools", "mode": "auto",
                      "tools": [{"type": "function", "name": "weather"}]}}, []),
    ("an effort requests encrypted reasoning", {"reasoning": ReasoningConfig("low")},
     {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}, []),
    ("a reasoning budget, enabled", {"reasoning": ReasoningConfig(budget=2000, enabled=True)},
     {"reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
     [("reasoning", "reasoning")]),
    ("no thinking", {"reasoning": ReasoningConfig(enabled=False)},
     {"reasoning": {"effort": "none"}, "include": None}, []),
    ("a schema", {"format": ResponseFormat("json_schema", CLOSED, strict=True)},
     {"text": {"format": {"type": "json_schema", "name": "answer", "schema": CLOSED, "strict": True}}}, []),
    ("a schema that is not closed", {"format": ResponseFormat("json_schema", {"type": "object"}, strict=True)},
     {"text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": False}}},
     [("format.strict", "json_schema")]),
    ("json_schema without a schema", {"format": ResponseFormat("json_schema", name="n")},
     {"text": {"format": {"type": "json_object"}}}, [("format", "json_schema"), ("format", "json_object")]),
    ("the user, and unknown fields", {"user": "u-1", "extra": {"n": 2, "x": 1, "stream": False}},
     {"user": "u-1", "n": None, "x": None}, [("n", "n"), ("x", "unknown_field")]),
    ("fields that a chat client has too",
     {"extra": {"metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low", "store": True}},
     {"metadata": {"a": "b"}, "service_tier": "flex", "text": {"verbosity": "low"}, "store": True}, []),
    ("fields that are the default", {"extra": {"metadata": {}, "service_tier": "auto", "verbosity": "medium"}},
     {"metadata": None, "service_tier": None, "text": None, "store": False}, []),
    ("a field of the same name of another vendor", {"protocol": "anthropic", "extra": {"service_tier": "priority"}},
     {"service_tier": None}, [("service_tier", "service_tier")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "payload", "losses"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_request_fields_are_encoded(
    fields: dict[str, Any], payload: dict[str, Any], losses: list[tuple[str, str]]
) -> None:
    sent, lost = encode_request(make_request(**fields))
    assert {key: sent.get(key) for key in payload} == payload
    assert lost == losses


def test_invalid_tool_names_are_mapped_and_restored() -> None:
    sent = PROTOCOL.encode_request(make_request(tools=(Tool("files.read"),)), UpstreamTarget("m", "openai"))
    wired = sent.payload["tools"][0]["name"]
    assert wired == "files_read"
    assert sent.names == {wired: Alias("files.read")}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": wired, "arguments": "{}"}
    assert decode_reply({"output": [call], "status": "completed"}, sent).blocks == (
        ToolCall("c1", "files.read", "{}", extra={"id": "fc_1"}),
    )


RESPONSES_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("instructions, a developer message and stored input",
     {"instructions": "a", "input": [message("developer", "b"), message("user", "hi")], "previous_response_id": "r",
      "store": True, "include": ["reasoning.encrypted_content"], "truncation": "auto"}),
    ("a conversation with ids and statuses",
     {"input": [
         {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://a", "x": 1}]},
         {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"},
                                                         {"type": "summary_text", "text": ""}],
          "encrypted_content": "enc"},
         {"type": "reasoning", "id": "rs_2", "summary": []},
         {"type": "web_search_call", "id": "ws_1", "status": "completed"},
         {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary",
          "content": [{"type": "output_text", "text": "a", "annotations": [{"type": "file_path", "file_id": "f"}]},
                      {"type": "output_text", "text": "b", "annotations": []}]},
         {"type": "message", "role": "assistant",
          "content": [{"type": "output_text", "text": "c", "annotations": [
              {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://a", "title": "t"}]}]},
         {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "crm", "id": "fc_1",
          "status": "completed"},
         {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1"},
                                                                     {"type": "input_file", "file_id": "file_1"}]},
         {"type": "item_reference", "id": "msg_9"}]}),
    ("tools of every kind",
     {"input": [message("user", "hi")], "tool_choice": {"type": "mcp", "server_label": "l"},
      "tools": [{"type": "function", "name": "f", "parameters": {}, "defer_loading": True},
                {"type": "namespace", "name": "crm", "description": "d",
                 "tools": [{"type": "function", "name": "f", "strict": False}, {"type": "custom", "name": "n"}]},
                {"type": "namespace", "name": "erp", "description": "e", "tools": [{"type": "custom", "name": "n"}]},
                {"type": "custom", "name": "g", "format": GRAMMAR}, {"type": "web_search"}]}),
    ("format and limits", {"input": [message("user", "hi")], "max_output_tokens": 3, "presence_penalty": 0.5,
              "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "x": 1}, "verbosity": "low"},
              "reasoning": {"effort": "low", "context": "auto"},
              "tool_choice": {"type": "allowed_tools", "mode": "auto",
                              "tools": [{"type": "mcp", "server_label": "l"}]}}),
]  # fmt: skip


@pytest.mark.parametrize("body", [row[1] for row in RESPONSES_REQUESTS], ids=[row[0] for row in RESPONSES_REQUESTS])
def test_a_request_of_a_responses_client_is_sent_unchanged(body: dict[str, Any]) -> None:
    payload, losses = encode_request(decode_request({"model": "m", **body}))
    assert payload == {"model": "m", **body}
    assert losses == []


def test_an_assistant_message_without_an_id_is_sent_as_a_string() -> None:
    parts = [{"type": "output_text", "text": "so", "annotations": []}]
    for content in ("so", parts):
        item = {"type": "message", "role": "assistant", "content": content}
        payload, _ = encode_request(decode_request({"model": "m", "input": [item, message("user", "go")]}))
        assert payload["input"][0] == message("assistant", "so")
    numbered = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts}
    payload, _ = encode_request(decode_request({"model": "m", "input": [numbered, message("user", "go")]}))
    assert payload["input"][0] == numbered


def test_extra_fields_have_a_loss_for_other_protocols() -> None:
    request = decode_request(
        {
            "model": "m",
            "input": [{"type": "item_reference", "id": "x"}, {"role": "user", "content": [{"type": "input_video"}]}],
            "tools": [
                {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "custom", "name": "g"}]}
            ],
            "text": {"verbosity": "low"},
            "tool_choice": {"type": "file_search"},
            "prompt": {"id": "p"},
            "reasoning": {"summary": "auto"},
        }
    )
    assert [(loss.path, loss.feature) for loss in request_extra_losses(request)] == [
        ("prompt", "previous_response_id"),
        ("text.verbosity", "verbosity"),
        ("turns[0].blocks[0].item_reference", "previous_response_id"),
        ("turns[1].blocks[0].content.input_video", "video"),
        ("tools[0].namespace.description", "tool_namespace"),
        ("tool_choice.forced_hosted_tool", "forced_hosted_tool"),
    ]


# ---- the backend's reply ---------------------------------------------------------------------------------------------

ISSUED = Signature("enc", NAME, "openai")

OUTPUTS: list[tuple[str, list[dict[str, Any]], tuple[Any, ...], str]] = [
    ("a text", [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]}],
     (Text("hi", group=0, extra={"item.id": "msg_1"}),), "end"),
    ("a refusal", [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
     (Refusal("no", group=0),), "end"),
    ("a cited text",
     [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "abc", "annotations": [
         {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"},
         {"type": "file_path", "file_id": "f", "index": 1}]}]}],
     (Text("abc", (Citation("https://a", "t", None, 1, 2),), group=0,
           extra={"annotations": [{"type": "file_path", "file_id": "f", "index": 1}]}),), "end"),
    ("thinking, then a call",
     [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"},
                                                      {"type": "summary_text", "text": "b"}],
       "encrypted_content": "enc"},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}],
     (Reasoning("a", summary=True, group=0, extra={"item.id": "rs_1"}), Reasoning("b", ISSUED, summary=True, group=0),
      ToolCall("c1", "f", "{}", extra={"id": "fc_1"})), "tool"),
    ("redacted thinking", [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}],
     (Reasoning("", ISSUED, redacted=True, group=0),), "end"),
    ("reasoning content", [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}],
     (Reasoning("a", group=0),), "end"),
    ("a free-text call", [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1"}],
     (ToolCall("c1", "g", "x = 1", "custom"),), "tool"),
    ("a hosted tool", [{"type": "web_search_call", "id": "ws_1", "status": "completed"},
                       {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}],
     (Opaque(NAME, "web_search_call", {"type": "web_search_call", "id": "ws_1", "status": "completed"},
             call=HostedCall("web_search", "ws_1")),
      Text("hi", group=1)), "end"),
    ("two messages", [{"type": "message", "role": "assistant", "phase": phase,
                       "content": [{"type": "output_text", "text": phase}]}
                      for phase in ("commentary", "final_answer")],
     (Text("commentary", group=0, extra={"item.phase": "commentary"}),
      Text("final_answer", group=1, extra={"item.phase": "final_answer"})), "end"),
    ("nothing", [], (), "end"),
]  # fmt: skip


@pytest.mark.parametrize(("output", "blocks", "stop"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
def test_output_is_decoded_alike_from_body_and_stream(
    output: list[dict[str, Any]], blocks: tuple[Any, ...], stop: str
) -> None:
    neutral = decode_reply({"id": "resp_1", "model": "up", "status": "completed", "output": output})
    assert (neutral.blocks, neutral.stop, neutral.native) == (blocks, stop, "completed")
    # the whole response at a stream's end is equivalent to its deltas
    response = {"id": "resp_1", "model": "up", "status": "completed", "output": output}
    whole = fold(decode_stream([stream({"type": "response.completed", "response": response})]))
    assert isinstance(whole, Reply)
    assert (whole.blocks, whole.stop) == (blocks, stop)
    items = [{"type": "response.output_item.done", "output_index": i, "item": item} for i, item in enumerate(output)]
    by_item = fold(
        decode_stream([stream(*items, {"type": "response.completed", "response": {**response, "output": []}})])
    )
    assert isinstance(by_item, Reply)
    assert (by_item.blocks, by_item.stop) == (blocks, stop)


@pytest.mark.parametrize(("output", "blocks", "stop"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
def test_a_responses_reply_is_encoded_unchanged(
    output: list[dict[str, Any]], blocks: tuple[Any, ...], stop: str
) -> None:
    neutral = decode_reply({"id": "resp_1", "model": "up", "status": "completed", "output": output})
    body, losses = PROTOCOL.encode_reply(neutral, reply_context())
    assert (body["id"], losses) == ("resp_1", [])
    assert without_extra(decode_reply(body).blocks) == without_extra(blocks)
    assert [item["id"] for item, was in zip(body["output"], output, strict=True) if "id" in was] == [
        was["id"] for was in output if "id" in was
    ]


@pytest.mark.parametrize(
    ("fields", "stop", "native"),
    [
        ({"status": "completed"}, "end", "completed"),
        ({}, "end", "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter", "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other", "steered"),
        ({"status": "queued"}, "other", "queued"),
    ],
)
def test_stop_reasons_are_decoded_and_encoded_back(fields: dict[str, Any], stop: str, native: str) -> None:
    neutral = decode_reply({"output": [], **fields})
    assert (neutral.stop, neutral.native) == (stop, native)
    body, losses = PROTOCOL.encode_reply(neutral, reply_context())
    assert body["status"] == fields.get("status", "completed")
    assert body["incomplete_details"] == fields.get("incomplete_details")
    assert losses == []


USAGES = [
    ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, Usage(10, 5)),
    ({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}, "output_tokens": 5,
      "output_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 5, 60, 30, 3)),
    ({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 1}, Usage(0, 1, 10)),
    ({"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 22},
     Usage(10, 12, None, None, 7)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "usage"), USAGES)
def test_usage_is_the_same_in_body_and_stream(fields: dict[str, Any], usage: Usage) -> None:
    response = {"status": "completed", "output": [], "usage": fields}
    assert decode_reply(response).usage == usage
    whole = fold(decode_stream([stream({"type": "response.completed", "response": response})]))
    assert isinstance(whole, Reply)
    assert whole.usage == usage


def test_fields_that_repeat_the_request_are_kept_without_a_loss() -> None:
    response = {"output": [], "status": "completed", "temperature": 0.3, "service_tier": "flex", "store": True,
                "tools": [], "metadata": {"a": "b"}, "moderation": {"x": 1}, "created_at": 7}  # fmt: skip
    neutral = decode_reply(response)
    assert reply_extra_losses(neutral) == []
    body, _ = PROTOCOL.encode_reply(neutral, reply_context())
    kept = ("temperature", "service_tier", "store", "metadata", "moderation", "created_at")
    assert {key: body[key] for key in kept} == {key: response[key] for key in kept}


@pytest.mark.parametrize("body", [{}, {"output": "hi"}, {"output": [1]}, {"output": [{"id": "x"}]}, {"choices": []}])
def test_a_body_of_another_shape_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_reply(body)


def test_a_failed_body_is_an_upstream_error() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    with pytest.raises(UpstreamError) as fault:
        decode_reply({"status": "failed", "error": error, "output": []})
    assert (fault.value.failure.kind, fault.value.failure.message) == ("rate_limit", "slow down")


# ---- the backend's stream --------------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "up"}}
START = ReplyStart(NAME, "resp_1", "up")


def end(status: str = "completed", output: Any = (), **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, "output": list(output), **fields}}


def delta(kind: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text, **fields}


HI = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
FC = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
END = ReplyEnd("end", None, "completed")

STREAMS: list[tuple[str, list[dict[str, Any]], list[Event]]] = [
    ("items and parts that are not announced",
     [CREATED, delta("output_text", "h", item_id="msg_1", output_index=0),
      delta("output_text", "i", item_id="msg_1", output_index=0), end()],
     [START, BlockStart(0, Text("", group=0)), BlockDelta(0, "h"), BlockDelta(0, "i"), BlockEnd(0), END]),
    ("a response that is not announced",
     [delta("output_text", "hi", output_index=0), end(id="resp_1", model="up")],
     [ReplyStart(NAME, None, None), BlockStart(0, Text("", group=0)), BlockDelta(0, "hi"), BlockEnd(0), END]),
    ("item ids instead of indices",
     [CREATED, delta("output_text", "hi", item_id="msg_1"), delta("refusal", "no", item_id="msg_2"), end()],
     [START, BlockStart(0, Text("", group=0)), BlockDelta(0, "hi"), BlockStart(1, Refusal("", group=1)),
      BlockDelta(1, "no"), BlockEnd(0), BlockEnd(1), END]),
    ("a call that is not announced",
     [CREATED, delta("function_call_arguments", '{"a"', output_index=0),
      {"type": "response.output_item.done", "output_index": 0, "item": FC}, end(output=[FC])],
     [START, BlockStart(0, ToolCall("c1", "f", extra={"id": "fc_1"})), BlockDelta(0, '{"a":1}'), BlockEnd(0),
      ReplyEnd("tool", None, "completed")]),
    ("a call that comes with the final response", [CREATED, end(output=[FC])],
     [START, BlockStart(0, ToolCall("c1", "f", extra={"id": "fc_1"})), BlockDelta(0, '{"a":1}'), BlockEnd(0),
      ReplyEnd("tool", None, "completed")]),
    ("a call announced with its arguments",
     [CREATED, {"type": "response.output_item.added", "output_index": 0, "item": FC}, end(output=[FC])],
     [START, BlockStart(0, ToolCall("c1", "f", extra={"id": "fc_1"})), BlockDelta(0, '{"a":1}'), BlockEnd(0),
      ReplyEnd("tool", None, "completed")]),
    ("the rest of a text in its done event",
     [CREATED, delta("output_text", "h", output_index=0),
      {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "hi"}, end()],
     [START, BlockStart(0, Text("", group=0)), BlockDelta(0, "h"), BlockDelta(0, "i"), BlockEnd(0), END]),
    ("a signature in the done event of its item",
     [CREATED, {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
      delta("reasoning_summary_text", "a", output_index=0, summary_index=0),
      delta("reasoning_summary_text", "b", output_index=0, summary_index=1),
      {"type": "response.output_item.done", "output_index": 0,
       "item": {"type": "reasoning", "id": "rs_1", "encrypted_content": "enc",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]}}, end()],
     [START, BlockStart(0, Reasoning("", summary=True, group=0, extra={"item.id": "rs_1"})), BlockDelta(0, "a"),
      BlockEnd(0), BlockStart(1, Reasoning("", summary=True, group=0)), BlockDelta(1, "b"), BlockSignature(1, ISSUED),
      BlockEnd(1), END]),
    ("a citation that is repeated",
     [CREATED, delta("output_text", "hi", output_index=0, content_index=0),
      {"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0,
       "annotation": {"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 2}},
      {"type": "response.content_part.done", "output_index": 0, "content_index": 0,
       "part": {"type": "output_text", "text": "hi", "annotations": [
           {"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 2}]}}, end()],
     [START, BlockStart(0, Text("", group=0)), BlockDelta(0, "hi"),
      BlockCitation(0, Citation("https://a", "t", None, 0, 2)), BlockEnd(0), END]),
    ("events of hosted tools and unknown events are ignored",
     [CREATED, {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
      {"type": "response.tomorrow", "x": 1}, end()], [START, END]),
    ("an error", [CREATED, {"type": "error", "code": "server_is_overloaded", "message": "m", "param": None}],
     [START, Failure("overloaded", "m", 503, "server_is_overloaded")]),
    ("a nested error, then the failure", [CREATED, {"type": "error", "error": {"code": "insufficient_quota",
                                                                              "message": "quota"}},
                                          {"type": "response.failed", "response": {"status": "failed"}}],
     [START, upstream_failure(429, "quota", kind="upstream_quota")]),
    ("a response that failed", [CREATED, {"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "context_length_exceeded", "message": "too long"}}}],
     [START, Failure("context_length", "too long", 400, "context_length_exceeded")]),
    ("an error without an event type", [{"error": {"code": 429, "message": "slow"}}],
     [Failure("rate_limit", "slow", 429)]),
    ("a stream that is cut", [CREATED, delta("output_text", "hi", output_index=0)],
     [START, BlockStart(0, Text("", group=0)), BlockDelta(0, "hi"),
      Failure("upstream_cut", STREAM_ENDED, 502, None)]),
    ("an empty stream", [], [Failure("upstream_cut", STREAM_ENDED, 502, None)]),
]  # fmt: skip


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize(("events", "expected"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_a_stream_is_decoded(events: list[dict[str, Any]], expected: list[Event], named: bool) -> None:
    raw = stream(*events, named=named and all("type" in event for event in events))
    assert decode_stream([raw]) == expected
    assert decode_stream([raw[i : i + 1] for i in range(len(raw))]) == expected


@pytest.mark.parametrize(
    "raw",
    [b"data: <html>\n\n", b"data: [1]\n\n", b'data: {"delta": "x"}\n\n', stream({"type": "response.created"}),
     stream({"type": "response.output_text.delta", "delta": 3}), stream({"type": "response.completed"}),
     stream(CREATED, delta("function_call_arguments", "{", output_index=0), end())],
)  # fmt: skip
def test_a_stream_of_another_shape_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_stream([raw])


# ---- the client's reply ----------------------------------------------------------------------------------------------


def part(text: str, *annotations: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": [], **fields}


def msg(*parts: Any, status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": status, "content": list(parts)}


def reasoning(text: str, signature: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    return {**item, "encrypted_content": signature} if signature else item


GEMINI = Signature("tide", "gemini", "gemini")


def token(mark: str) -> str:
    return signatures.for_client(replace(GEMINI, value=mark + "tide"), NAME)


CALL_DONE = {**CALL_ITEM, "status": "completed"}

REPLIES: list[tuple[str, Reply, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("a text", reply(Text("hi")), [msg(part("hi"))], []),
    ("adjacent texts are one message", reply(Text("a"), Text("b")), [msg(part("a"), part("b"))], []),
    ("a call", reply(Text("so"), CALL, stop="tool"), [msg(part("so")), CALL_DONE], []),
    ("a call without arguments", reply(ToolCall("c1", "f"), stop="tool"), [{**CALL_DONE, "arguments": "{}"}], []),
    ("a free-text call, of a namespace",
     reply(ToolCall("c1", "g", "x = 1", "custom", "crm"), stop="tool"),
     [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1", "namespace": "crm",
       "status": "completed"}], []),
    ("thinking becomes a summary", reply(Reasoning("hm"), Text("hi")), [reasoning("hm"), msg(part("hi"))], []),
    ("signed thinking", reply(Reasoning("hm", GEMINI), Text("hi")), [reasoning("hm", TOKEN), msg(part("hi"))], []),
    ("a signature on a call is carried before it", reply(replace(CALL, signature=GEMINI), stop="tool"),
     [reasoning("", TOKEN), CALL_DONE], []),
    ("a signature on a text is carried behind it and ends its message",
     reply(Text("a"), Text("b", signature=GEMINI), Text("c")),
     [msg(part("a"), part("b")), reasoning("", token("\0last\0")), msg(part("c"))], []),
    ("a signed text that was cut off", reply(Text("a", signature=GEMINI), stop="length"),
     [msg(part("a"), status="incomplete"), reasoning("", token("\0last\0"))], []),
    ("a text that was cut off, before a signature on an empty one",
     reply(Text("a"), Text("", signature=GEMINI), stop="length"),
     [msg(part("a"), status="incomplete"), reasoning("", token("\0text\0"))], []),
    ("a signature on an empty text", reply(Text("a"), Text("", signature=GEMINI)),
     [msg(part("a")), reasoning("", token("\0text\0"))], []),
    ("redacted thinking, and thinking without text",
     reply(Reasoning("", GEMINI, redacted=True), Reasoning("", GEMINI)),
     [reasoning("", token("\0redacted\0")), reasoning("", token("\0empty\0"))], []),
    ("citations", reply(Text("abc", (Citation("https://a", "t", "quote", 1, 2), Citation("https://b")))),
     [msg(part("abc", {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"},
               {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://b", "title": ""}))],
     [("blocks[0].citations[0].text", "citations")]),
    ("a refusal", reply(Refusal("no"), stop="filter"),
     [msg({"type": "refusal", "refusal": "no"}, status="incomplete")], []),
    ("a text that was cut off", reply(Text("a"), stop="length"), [msg(part("a"), status="incomplete")], []),
    ("a stop sequence", reply(Text("a"), stop="stop_sequence", matched="x"), [msg(part("a"))],
     [("matched", "matched_stop")]),
    ("a pause", reply(Text("a"), stop="pause"), [msg(part("a"))], [("stop", "stop_reason")]),
    ("a stored image, and another protocol's hosted tool",
     reply(Image(Media(file_id="f")), Opaque("anthropic", "server_tool_use", {"x": 1}), Text("a")),
     [msg(part("a"))], [("blocks[1].server_tool_use", "hosted_output"), ("blocks[0]", "media_out")]),
    ("another protocol's extra fields", reply(Text("a", extra={"x": 1}), extra={"y": 1}), [msg(part("a"))],
     [("blocks[0].x", "unknown_field")]),
    ("nothing", reply(), [], []),
]  # fmt: skip


@pytest.mark.parametrize(("neutral", "output", "losses"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES])
def test_a_reply_is_encoded_alike_as_body_and_stream(
    neutral: Reply, output: list[dict[str, Any]], losses: list[tuple[str, str]]
) -> None:
    body, lost = encode_reply(neutral)
    assert without_ids(body["output"]) == output
    assert lost == losses
    ids = [item["id"] for item in body["output"]]
    prefixes = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
    assert all(item["id"].startswith(prefixes[item["type"]]) for item in body["output"])
    assert len(set(ids)) == len(ids)
    for at_once in (True, False):
        events, streamed, _ = encode_stream(list(unfold(neutral)), at_once=at_once)
        last = events[-1]["response"]
        assert last == body
        assert sorted((loss.path, loss.feature) for loss in streamed) == sorted(losses)


def test_the_event_sequence_of_thinking_text_and_a_call() -> None:
    neutral = reply(Reasoning("hm"), Text("hi", (Citation("https://a"),)), CALL, stop="tool", usage=Usage(3, 2, 1))
    events, _, raw = encode_stream(list(unfold(neutral)))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[10] == {
        "type": "response.output_text.delta", "sequence_number": 10, "item_id": "msg_2", "output_index": 1,
        "content_index": 0, "delta": "hi", "logprobs": [],
    }  # fmt: skip
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 4, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0}, "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 6,
    }  # fmt: skip
    assert raw.endswith(b"\n\n")
    assert b"[DONE]" not in raw


def test_a_response_repeats_the_request() -> None:
    body = {
        "model": "small", "instructions": "be brief", "input": "hi", "temperature": 0.2, "metadata": {"a": "b"},
        "max_output_tokens": 50, "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
        "tool_choice": {"type": "function", "name": "f"}, "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"}, "store": True,
    }  # fmt: skip
    got, _ = PROTOCOL.encode_reply(
        reply(Text("hi")), ReplyContext(decode_request(body), "req-1", 1_700_000_000, new_id())
    )
    Response.model_validate(json_fields.parse_object(json_fields.encode(got)), strict=True)
    echoed = ("model", "instructions", "temperature", "metadata", "max_output_tokens", "tool_choice", "text")
    assert {key: got[key] for key in echoed} == {key: body[key] for key in echoed}
    assert got["tools"][0] == {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}
    assert got["reasoning"] == {"effort": "low", "summary": None}
    assert (got["id"], got["store"], got["created_at"]) == ("resp_req-1", False, 1_700_000_000)


def test_a_response_repeats_additional_tools() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "now"}]}
    body = {"model": "m", "input": [more, message("user", "hi")], "tools": [{"type": "function", "name": "f"}]}
    request = decode_request(body)
    got, _ = PROTOCOL.encode_reply(reply(Text("hi")), ReplyContext(request, "req-1", 1_700_000_000, new_id()))
    empty = {"description": None, "parameters": None, "strict": None}
    assert got["tools"] == [{"type": "function", "name": name, **empty} for name in ("f", "now")]
    assert encode_request(request)[0]["tools"] == body["tools"]


def test_a_summary_is_announced_empty() -> None:
    summed = reply(Reasoning("hm", summary=True), Text("hi"))
    added = [event for event in encode_stream(list(unfold(summed)))[0] if event["type"] == "response.output_item.added"]
    assert added[0]["item"]["summary"] == []


REQUIRED = [
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
]
"""The required keys of a ResponseResource.

https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
"""


def test_a_response_has_every_required_key() -> None:
    body, _ = encode_reply(reply())
    assert set(REQUIRED) <= set(body)
    for event in encode_stream(list(unfold(reply())))[0]:
        assert set(REQUIRED) <= set(event["response"])


def test_interleaved_calls_become_consecutive() -> None:
    events = [
        ReplyStart("openai-chat", None, None),
        BlockStart(0, ToolCall("c1", "f")), BlockDelta(0, '{"a"'), BlockStart(1, ToolCall("c2", "g")),
        BlockDelta(1, "{}"), BlockDelta(0, ":1}"),
        BlockEnd(0), BlockEnd(1), ReplyEnd("tool"),
    ]  # fmt: skip
    for at_once in (True, False):
        last = encode_stream(events, at_once=at_once)[0][-1]["response"]
        assert [(item["call_id"], item["arguments"]) for item in last["output"]] == [("c1", '{"a":1}'), ("c2", "{}")]


@pytest.mark.parametrize("kind", STATUS)
def test_a_failure_ends_a_stream_with_response_failed(kind: str) -> None:
    events = [ReplyStart("anthropic", None, None), BlockStart(0, Text("")), BlockDelta(0, "hi"), failure(kind, "m")]
    frames, _, _ = encode_stream(events)
    assert frames[-1]["type"] == "response.failed"
    assert frames[-1]["response"]["status"] == "failed"
    assert frames[-1]["response"]["error"]["message"] == "m"
    if kind not in ("context_length", "overloaded"):  # clients act on these codes, though the closed list lacks them
        EVENT.validate_python(frames[-1], strict=True)
    assert encode_stream([failure(kind, "m")])[0][0]["sequence_number"] == 0


# ---- signatures through a client -------------------------------------------------------------------------------------

SIGNED: list[tuple[str, tuple[Any, ...]]] = [
    ("on a call", (ToolCall("c1", "f", "{}", signature=GEMINI),)),
    (
        "on each of two calls",
        (ToolCall("c1", "f", "{}", signature=GEMINI), ToolCall("c2", "f", "{}", signature=GEMINI)),
    ),
    ("on the first of two", (ToolCall("c1", "f", "{}", signature=GEMINI), ToolCall("c2", "f", "{}"))),
    ("on a text", (Text("a"), Text("b", signature=GEMINI))),
    ("on an empty text, before a call", (Text("", signature=GEMINI), ToolCall("c1", "f", "{}"))),
    ("on an empty text at the end", (Text("a"), Text("", signature=GEMINI))),
    ("on thinking", (Reasoning("hm", GEMINI), ToolCall("c1", "f", "{}", signature=GEMINI))),
    ("on redacted thinking", (Reasoning("", GEMINI, redacted=True), ToolCall("c1", "f", "{}"))),
    ("on thinking without text", (Reasoning("", GEMINI), ToolCall("c1", "f", "{}"))),
]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "singly"])
@pytest.mark.parametrize("blocks", [row[1] for row in SIGNED], ids=[row[0] for row in SIGNED])
def test_a_signature_that_a_client_sends_back_is_on_its_block(blocks: tuple[Any, ...], at_once: bool) -> None:
    neutral = reply(*blocks, protocol="gemini")
    body, _ = PROTOCOL.encode_reply(neutral, reply_context())
    events, _, _ = encode_stream(list(unfold(neutral)), at_once=at_once)
    for output in (body["output"], events[-1]["response"]["output"]):
        (turn,) = decode_request({"model": "m", "input": output}).turns
        home = [
            replace(block, signature=replace(block.signature, protocol=NAME))
            if getattr(block, "signature", None)
            else block
            for block in blocks
        ]
        assert [
            replace(b, summary=False) if isinstance(b, Reasoning) else b for b in without_extra(turn.blocks)
        ] == home


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code", "type_"),
    [
        ("bad_request", "bad_request", "invalid_request_error"),
        ("authentication", "invalid_api_key", "invalid_request_error"),
        ("permission", "permission", "permission_error"),
        ("model_not_found", "model_not_found", "invalid_request_error"),
        ("context_length", "context_length_exceeded", "invalid_request_error"),
        ("too_large", "request_too_large", "invalid_request_error"),
        ("media_type", "unsupported_media_type", "invalid_request_error"),
        ("rate_limit", "rate_limit_exceeded", "rate_limit_error"),
        ("overloaded", "overloaded", "server_error"),
        ("upstream_timeout", "upstream_timeout", "server_error"),
        ("upstream_cut", "upstream_cut", "server_error"),
    ],
)
def test_a_failure_is_encoded(kind: str, code: str, type_: str) -> None:
    body = PROTOCOL.encode_failure(failure(kind, "m", param="p"), "req-1")
    assert body == {"error": {"message": "m", "type": type_, "param": "p", "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, {"error": {"code": "model_not_found", "message": "no such model"}}, "model_not_found", "no such model"),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens"}}, "context_length", None),
        (400, {"code": "invalid-argument", "error": "bad key"}, "bad_request", "bad key"),
        (401, {"error": {"code": "invalid_api_key", "message": "sk-x"}}, "upstream_auth", None),
        (404, {"error": {"type": "invalid_request_error", "message": "gone"}}, "not_found", "gone"),
        (429, {"error": {"code": "rate_limit_exceeded", "message": "slowly"}}, "rate_limit", "slowly"),
        (500, {"error": {"type": "server_error", "message": "oops"}}, "upstream_error", None),
        (503, {"error": {"code": "server_is_overloaded", "message": "busy"}}, "overloaded", None),
        (422, {"detail": "wrong"}, "unprocessable", "wrong"),
        (502, b"<html>", "upstream_error", None),
    ],
)
def test_an_upstream_error_is_decoded(status: int, body: Any, kind: str, message: str | None) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = PROTOCOL.decode_failure(status, raw, 7.0)
    assert (found.kind, found.status, found.retry_after) == (kind, STATUS[kind], 7.0)
    if message is not None:
        assert found.message == message


# ---- vendor examples -------------------------------------------------------------------------------------------------

HELLO = "Hi there! How can I assist you today?"
EXPECTED: dict[str, Any] = {
    "text-reply": ([("text", "In a peaceful grove")], "end", Usage(36, 87, 0, None, 0)),
    "tool-reply": ([("call", "get_current_weather", {"location": "Boston, MA", "unit": "celsius"})], "tool",
                   Usage(291, 23, None, None, 0)),
    "reasoning-reply": ([("reasoning", "**Answering a simple question**"), ("text", "The capital of France is Paris.")],
                        "end", Usage(11, 29, 0, None, 12)),
    "custom-reply": ([("reasoning", ""), ("call", "code_exec", 'print("hello world")')], "tool", None),
    "text-stream": ([("text", HELLO)], "end", Usage(37, 11, None, None, 0)),
    "tool-stream": ([("call", "get_weather", {"location": "Paris, France"})], "tool", None),
    "reasoning-incomplete-stream": ([("reasoning", "**Responding to a greeting**"), ("text", "Hello")], "length",
                                    Usage(9, 16, 0, None, 14)),
    "failed-stream": ("upstream_error", 502),
    "error-stream": ("upstream_error", 502),
    "error-key": ("upstream_auth", 502),
    "error-rate-limit": ("rate_limit", 429),
    "error-context-length": ("context_length", 400),
    "tools-request": [("user", ["Text"]), ("assistant", ["ToolCall"]), ("user", ["ToolResult"])],
    "custom-request": [("user", ["Text"])],
}  # fmt: skip


def read_example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert found["source"].startswith("https://platform.openai.com/docs/")
    return found


def summary(neutral: Reply, expected: list[Any]) -> list[Any]:
    """Returns the blocks of a reply as in the table above: texts by their beginning."""
    out_: list[Any] = []
    for block, hint in zip(neutral.blocks, expected, strict=True):
        match block:
            case Text(text):
                out_.append(("text", text[: len(hint[1])]))
            case Reasoning(text):
                out_.append(("reasoning", text[: len(hint[1])]))
            case ToolCall(name=name, arguments=arguments, kind=kind):
                out_.append(("call", name, json.loads(arguments) if kind == "function" else arguments))
    return out_


def test_every_example_has_an_expectation() -> None:
    assert {path.stem for path in EVIDENCE.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_vendor_example(name: str) -> None:
    found, expected = read_example(name), EXPECTED[name]
    match found["kind"]:
        case "request":
            request = decode_request(found["body"])
            assert [(turn.role, [type(block).__name__ for block in turn.blocks]) for turn in request.turns] == expected
            payload, losses = encode_request(request)
            assert losses == []
            assert decode_request(payload) == replace(request, model="m")
        case "error":
            failed = PROTOCOL.decode_failure(found["status"], json.dumps(found["body"]).encode(), None)
            assert (failed.kind, failed.status) == expected
        case "reply":
            neutral = decode_reply(found["body"])
            assert (summary(neutral, expected[0]), neutral.stop, neutral.usage) == expected
        case "stream":
            raw = found["stream"].encode()
            events = decode_stream([raw])
            assert decode_stream([raw[i : i + 1] for i in range(len(raw))]) == events
            whole = fold(events)
            if isinstance(whole, Failure):
                assert (whole.kind, whole.status) == expected
            else:
                assert (summary(whole, expected[0]), whole.stop, whole.usage) == expected
                last = [json.loads(line[6:]) for line in found["stream"].splitlines() if line.startswith("data: ")][-1]
                body = decode_reply(last["response"])
                assert (whole.blocks, whole.stop, whole.native, whole.usage) == (
                    body.blocks, body.stop, body.native, body.usage,
                )  # fmt: skip


# ---- properties ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
signature = st.none() | st.just(GEMINI)
citation = st.builds(Citation, st.just("https://a/b"), texts, st.none(), st.integers(0, 3), st.integers(3, 9))
arguments = st.dictionaries(texts, st.integers() | texts, max_size=3).map(json.dumps)
ids = st.integers(0, 10**6).map("call_{}".format)
block = st.one_of(
    st.builds(Text, texts, st.lists(citation, max_size=2).map(tuple), signature),
    st.builds(Refusal, texts),
    st.builds(Reasoning, texts, signature),
    st.builds(ToolCall, ids, st.sampled_from(["f", "g"]), arguments, signature=signature),
    st.builds(ToolCall, ids, st.sampled_from(["h"]), texts, st.just("custom"), st.none() | st.just("crm"), signature),
)
count = st.none() | st.integers(0, 10**6)
replies = st.builds(
    lambda blocks, stop, usage: reply(*blocks, protocol="gemini", stop=stop, usage=usage),
    st.lists(block, max_size=5),
    st.sampled_from(["end", "length", "filter"]),
    st.none()
    | st.builds(
        lambda new, rest, read, written, thought: Usage(
            new, rest if thought is None else thought + (rest or 0), read, written, thought
        ),
        *(count, count, count, count, count),
    ),
)


def comparable(neutral: Reply) -> tuple[Any, ...]:
    """Returns what the protocol keeps: signatures are separate items, thinking is a summary, a missing count is 0."""
    blocks = [
        replace(one, **({"signature": None} if hasattr(one, "signature") else {}),
                **({"summary": False, "redacted": False} if isinstance(one, Reasoning) else {}))
        for one in without_extra(neutral.blocks)
        if not (isinstance(one, Reasoning) and not one.text)
    ]  # fmt: skip
    usage = neutral.usage
    counts = usage and (usage.prompt or 0, usage.output or 0, usage.cache_read or 0, usage.cache_write or 0)
    called = neutral.stop == "end" and any(isinstance(one, ToolCall) for one in blocks)
    return blocks, "tool" if called else neutral.stop, counts


@given(replies)
def test_body_and_stream_are_equivalent(neutral: Reply) -> None:
    body, _ = encode_reply(neutral)
    events, _, raw = encode_stream(list(unfold(neutral)))
    assert events[-1]["response"]["output"] == body["output"]
    assert encode_stream(list(unfold(neutral)), at_once=False)[2] == raw
    whole = fold(decode_stream([raw]))
    assert isinstance(whole, Reply)
    assert comparable(whole) == comparable(decode_reply(body)) == comparable(neutral)
    assert decode_reply(events[-1]["response"]).blocks == whole.blocks


@given(replies)
def test_events_encoded_singly_are_valid_too(neutral: Reply) -> None:
    _, _, raw = encode_stream(list(unfold(neutral)), at_once=False)
    whole = fold(decode_stream([raw]))
    assert isinstance(whole, Reply)
    assert comparable(whole) == comparable(neutral)


@given(replies, st.lists(st.integers(0, 10**4), max_size=8))
def test_chunk_boundaries_do_not_matter(neutral: Reply, cuts: list[int]) -> None:
    _, _, raw = encode_stream(list(unfold(neutral)))
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    assert decode_stream([raw[a:b] for a, b in itertools.pairwise(places)]) == decode_stream([raw])


@given(replies)
def test_a_decoded_reply_survives_another_round_trip(neutral: Reply) -> None:
    once = decode_reply(encode_reply(neutral)[0])
    again, losses = PROTOCOL.encode_reply(once, reply_context())
    assert losses == []
    assert decode_reply(json_fields.parse_object(json_fields.encode(again))) == once
    _, _, raw = encode_stream(list(unfold(once)))
    whole = fold(decode_stream([raw]))
    assert isinstance(whole, Reply)
    assert (whole.blocks, whole.stop, whole.usage) == (once.blocks, once.stop, once.usage)


@given(replies)
def test_output_that_a_client_sends_back_keeps_its_signatures(neutral: Reply) -> None:
    """The client sends the output back; every signature is on its block again."""
    output = encode_reply(neutral)[0]["output"]
    if not output:
        return
    (turn,) = decode_request({"model": "m", "input": output}).turns
    assert [getattr(one, "signature", None) and one.signature.value for one in turn.blocks] == [
        getattr(one, "signature", None) and one.signature.value for one in neutral.blocks
    ]
