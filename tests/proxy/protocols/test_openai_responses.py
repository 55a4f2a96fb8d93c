"""OpenAI Responses, both ways: literal wire against neutral form, the vendor's own words, and the laws.

Nothing here asks another dialect; what is foreign is written in the neutral form by hand.
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

from proxy import ledger, seals, wire
from proxy.errors import STATUS, Malformed, UpstreamError, failure
from proxy.framing import SSE
from proxy.ir import (
    Audio,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Format,
    Image,
    Loss,
    Media,
    Note,
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
from proxy.names import Alias
from proxy.protocols.contract import Asked, Sent, Target, Where
from proxy.protocols.openai_responses import PROTOCOL

NAME = "openai-responses"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SENT = Sent({}, (), Target("gpt-5-nano", "openai"))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode(body: dict[str, Any]) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), Where())


def ask(*turns: Turn, dialect: str = "openai-chat", **fields: Any) -> Request:
    return Request(dialect=dialect, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def send(request: Request, **target: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    sent = PROTOCOL.encode_request(request, Target("m", target.pop("provider", "openai"), **target))
    payload: dict[str, Any] = wire.parse_object(wire.encode(sent.payload))
    return payload, [(loss.path, loss.feature) for loss in sent.losses]


def asked(**fields: Any) -> Asked:
    return Asked(ask(dialect=NAME, **fields), "req-1", 1_700_000_000, new_id())


def reply(*blocks: Any, dialect: str = "anthropic", stop: Any = "end", **fields: Any) -> Reply:
    return Reply(dialect=dialect, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def answer(neutral: Reply, **fields: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The body that a client gets, validated as the SDK sees it."""
    body, losses = PROTOCOL.encode_reply(neutral, asked(**fields))
    parsed: dict[str, Any] = wire.parse_object(wire.encode(body))
    Response.model_validate(parsed, strict=True)
    return parsed, [(loss.path, loss.feature) for loss in losses]


def read(body: dict[str, Any], sent: Sent = SENT) -> Reply:
    return PROTOCOL.decode_reply(json.loads(json.dumps(body)), sent, new_id())


def listen(chunks: Sequence[bytes], sent: Sent = SENT) -> list[Event]:
    framing, decoder, events = SSE(), PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if whole := framing.cut(chunk):
            for frame in framing.parse(whole):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def tell(
    events: Sequence[Event], *, at_once: bool = True, **fields: Any
) -> tuple[list[dict[str, Any]], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(asked(stream=True, **fields))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    framing = SSE()
    frames = framing.parse(framing.cut(raw))
    told = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in told]
    must_be_strict(told)
    return told, encoder.losses, raw


def must_be_strict(told: list[dict[str, Any]]) -> None:
    """What a strict client asks of a stream: numbers from 0, known events, items in order, and their sum at the end."""
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    items: list[Any] = []
    opened: dict[str, Any] | None = None
    for event in told:
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
    if told[-1]["type"] in ("response.completed", "response.incomplete"):
        assert opened is None
        assert told[-1]["response"]["output"] == items


def stream(*events: dict[str, Any], named: bool = True) -> bytes:
    head = "event: {type}\n" if named else ""
    return "".join(head.format(**event) + f"data: {json.dumps(event)}\n\n" for event in events).encode()


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


def bare(blocks: Sequence[Any]) -> list[Any]:
    """Blocks as they mean, without ties and what is left over."""
    return [
        replace(block, own=None, **({"group": None} if isinstance(block, Text | Refusal | Reasoning) else {}))
        if not isinstance(block, Opaque)
        else block
        for block in blocks
    ]


# ---- the client's request --------------------------------------------------------------------------------------------

MINE = Signature("enc", NAME)
FOREIGN = Signature("tide", NAME, "gemini")
TOKEN = seals.for_client(Signature("tide", "gemini", "gemini"), NAME)


def said(*blocks: Any, role: Any = "assistant", own: Any = None) -> Turn:
    return Turn(role, blocks, own)


ITEMS: list[tuple[str, Any, tuple[Turn, ...]]] = [
    ("a string", "hi", (said(Text("hi"), role="user"),)),
    ("an easy message", [{"role": "user", "content": "hi"}], (said(Text("hi"), role="user"),)),
    ("a message with its book-keeping",
     [{"type": "message", "role": "developer", "id": "m1", "content": [{"type": "input_text", "text": "hi"}]}],
     (said(Text("hi"), role="developer", own={"id": "m1"}),)),
    ("what the model said in one response is one turn",
     [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
       "encrypted_content": "enc"},
      {"type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary", "status": "completed",
       "content": [{"type": "output_text", "text": "so", "annotations": []}]},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
      {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x = 1"}],
     (said(Reasoning("hm", MINE, summary=True, group=0, own={"item.id": "rs_1"}),
           Text("so", group=1, own={"item.id": "msg_1", "item.phase": "commentary", "item.status": "completed"}),
           ToolCall("c1", "f", "{}", own={"id": "fc_1"}), ToolCall("c2", "g", "x = 1", "custom")),)),
    ("a run of results is one turn, the next message another",
     [{"type": "function_call_output", "call_id": "c1", "output": "1"},
      {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
      {"role": "user", "content": "go"}],
     (said(ToolResult("c1", (Text("1"),)), ToolResult("c2", (Text("2"),), kind="custom"), role="user"),
      said(Text("go"), role="user"))),
    ("parts of one message are tied",
     [{"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}],
     (said(Text("a", group=0), Refusal("b", group=0)),)),
    ("thoughts and summaries of one item",
     [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
       "content": [{"type": "reasoning_text", "text": "c"}]}],
     (said(Reasoning("a", summary=True, group=0), Reasoning("b", summary=True, group=0), Reasoning("c", group=0)),)),
    ("reasoning without a word", [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}],
     (said(Reasoning("", MINE, redacted=True, group=0)),)),
    ("a foreign seal before its call",
     [{"type": "reasoning", "summary": [], "encrypted_content": TOKEN},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
     (said(ToolCall("c1", "f", "{}", seal=FOREIGN)),)),
    ("a foreign seal on thinking with words stays there",
     [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": TOKEN},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
     (said(Reasoning("hm", FOREIGN, summary=True, group=0), ToolCall("c1", "f", "{}")),)),
    ("a foreign seal that nothing follows", [{"type": "reasoning", "summary": [], "encrypted_content": TOKEN}],
     (said(Text("", seal=FOREIGN)),)),
    ("a call within a namespace",
     [{"type": "function_call", "call_id": "c1", "name": "f", "namespace": "crm", "arguments": "{}"}],
     (said(ToolCall("c1", "f", "{}", namespace="crm")),)),
    ("hosted items, of the model and of the client",
     [{"type": "web_search_call", "id": "ws_1", "status": "completed"},
      {"type": "local_shell_call_output", "id": "x", "output": "{}"}, {"id": "msg_9"}],
     (said(Opaque(NAME, "web_search_call", {"type": "web_search_call", "id": "ws_1", "status": "completed"})),
      said(Opaque(NAME, "local_shell_call_output",
                  {"type": "local_shell_call_output", "id": "x", "output": "{}"}), role="user"),
      said(Opaque(NAME, "item_reference", {"type": "item_reference", "id": "msg_9"})))),
    ("pictures and files",
     [{"role": "user", "content": [
         {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
         {"type": "input_image", "image_url": "https://a/b.png"}, {"type": "input_image", "file_id": "file-1"},
         {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
         {"type": "input_file", "file_url": "https://a/b.pdf"},
         {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
         {"type": "hologram", "x": 1}]}],
     (said(Image(Media("image/png", "iVBO"), {"detail": "low"}), Image(Media(url="https://a/b.png")),
           Image(Media(file_id="file-1")), Document(Media("application/pdf", "JVBE", name="a.pdf")),
           Document(Media(url="https://a/b.pdf")), Audio(Media("audio/wav", "UklG")),
           Opaque(NAME, "content.hologram", {"type": "hologram", "x": 1}), role="user"),)),
    ("a picture within a result",
     [{"type": "function_call_output", "call_id": "c1",
       "output": [{"type": "input_image", "image_url": "data:image/png;base64,iVBO"}]}],
     (said(ToolResult("c1", (Image(Media("image/png", "iVBO")),)), role="user"),)),
]  # fmt: skip


@pytest.mark.parametrize(("items", "turns"), [row[1:] for row in ITEMS], ids=[row[0] for row in ITEMS])
def test_items(items: Any, turns: tuple[Turn, ...]) -> None:
    request = decode({"model": "m", "input": items})
    assert request.turns == turns
    assert request.own is None


GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: A"}

FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("instructions come first", {"instructions": "be brief"},
     {"turns": (said(Text("be brief"), role="system", own={"instructions": None}), said(Text("hi"), role="user"))}),
    ("the bound", {"max_output_tokens": 99}, {"max_tokens": 99}),
    ("sampling", {"temperature": 0.5, "top_p": 0.9}, {"sampling": Sampling(0.5, 0.9)}),
    ("reasoning", {"reasoning": {"effort": "low", "summary": "auto", "context": "auto"}},
     {"reasoning": Thinking("low", summary="auto", own={"context": "auto"})}),
    ("the older word for a summary", {"reasoning": {"generate_summary": "concise"}},
     {"reasoning": Thinking(summary="concise")}),
    ("a schema and its verbosity",
     {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
               "verbosity": "low"}},
     {"format": Format("json_schema", {"type": "object"}, "n", None, True), "own": {"text.verbosity": "low"}}),
    ("any JSON", {"text": {"format": {"type": "json_object"}}}, {"format": Format("json_object"), "own": None}),
    ("one call at a time", {"parallel_tool_calls": False}, {"parallel": False}),
    ("a named function", {"tool_choice": {"type": "function", "name": "f"}},
     {"tool_choice": ToolChoice("named", ("f",))}),
    ("some of the tools",
     {"tool_choice": {"type": "allowed_tools", "mode": "required",
                      "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}]}},
     {"tool_choice": ToolChoice("required", ("f",), {"allowed_tools": [{"type": "image_generation"}]})}),
    ("a hosted tool that must run", {"tool_choice": {"type": "file_search"}},
     {"tool_choice": ToolChoice("auto", own={"forced_hosted_tool": {"type": "file_search"}})}),
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
         Tool("find", namespace="crm", own={"namespace.description": "customers"}),
         Tool("note", kind="custom", namespace="crm"),
         Opaque(NAME, "web_search", {"type": "web_search"}))}),
    ("what needs a store, and what nobody knows", {"previous_response_id": "resp_1", "store": True, "x": 1},
     {"own": {"previous_response_id": "resp_1", "response.store": True, "x": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "meaning"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields(fields: dict[str, Any], meaning: dict[str, Any]) -> None:
    request = decode({"model": "m", "input": "hi", **fields})
    assert {key: getattr(request, key) for key in meaning} == meaning


def test_tools_inside_the_input_are_on_offer() -> None:
    item = {"type": "additional_tools", "role": "developer",
            "tools": [{"type": "function", "name": "f"}, {"type": "tool_search"}]}  # fmt: skip
    body = {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}, item],
        "tools": [{"type": "custom", "name": "g"}],
    }
    request = decode(body)
    assert [tool.name if isinstance(tool, Tool) else tool.kind for tool in request.tools] == ["g", "f", "tool_search"]
    assert request.turns == (said(Text("hi"), role="user"),)
    payload, losses = send(request)
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
        ({"model": "m", "input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "m", "input": "hi", "tool_choice": 1}, "tool_choice"),
        ({"model": "m", "input": "hi", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ],
)
def test_a_bad_request_names_its_place(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode(body)
    assert fault.value.path == path


# ---- the backend's request -------------------------------------------------------------------------------------------

CALL = ToolCall("c1", "f", '{"a":1}')
RESULT = ToolResult("c1", (Text("1"),))
CALLED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
RETURNED = {"type": "function_call_output", "call_id": "c1", "output": "1"}
HOME = Signature("enc", "anthropic", "openai")
"""A seal of this provider that comes back through a client of another dialect."""


def message(role: str, content: Any, id_: str | None = None) -> dict[str, Any]:
    given = {} if id_ is None else {"id": id_, "status": "completed"}
    return {"type": "message", "role": role, "content": content, **given}


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("the first system text is the instructions, later ones keep their place",
     (said(Text("a"), role="system"), said(Text("b"), role="developer"), user(Text("hi")),
      said(Text("c"), role="system")),
     {"instructions": "a",
      "input": [message("developer", "b"), message("user", "hi"), message("system", "c")]}, []),
    ("two texts are no instructions",
     (said(Text("a"), Text("b"), role="system"),),
     {"input": [message("system", [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}])]}, []),
    ("a call and its result", (user(Text("hi")), said(Text("so"), CALL), user(RESULT, Text("go"))),
     {"input": [message("user", "hi"), message("assistant", "so"), CALLED, RETURNED, message("user", "go")]}, []),
    ("a call without arguments", (said(ToolCall("c1", "f")), user(RESULT)),
     {"input": [{**CALLED, "arguments": "{}"}, RETURNED]}, []),
    ("a result that failed", (said(CALL), user(replace(RESULT, error=True))),
     {"input": [CALLED, {**RETURNED, "output": "Error: 1"}]}, [("turns[1].blocks[0]", "tool_error")]),
    ("a result with a picture",
     (said(CALL), user(ToolResult("c1", (Text("see"), Image(Media("image/png", "iVBO")))))),
     {"input": [CALLED, {**RETURNED, "output": [
         {"type": "input_text", "text": "see"},
         {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"}]}]}, []),
    ("a result with another provider's file", (said(CALL), user(ToolResult("c1", (Document(Media(file_id="f")),)))),
     {"input": [CALLED, {**RETURNED, "output": []}]}, [("turns[1].blocks[0].blocks[0]", "tool_result_media")]),
    ("a document that is told as its text", (user(Document(Media("text/plain", text="words", name="a.txt"))),),
     {"input": [message("user", [{"type": "input_text", "text": "words"}])]},
     [("turns[0].blocks[0].media.name", "name")]),
    ("several texts of one answer", (said(Text("a"), Text("b")),),
     {"input": [message("assistant", "a"), message("assistant", "b")]}, []),
    ("the result of a free-text call", (said(ToolCall("c1", "g", "x = 1", "custom")), user(RESULT)),
     {"input": [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1"},
                {**RETURNED, "type": "custom_tool_call_output"}]}, []),
    ("orphans go", (said(Text("so"), CALL), user(ToolResult("c9", ()), Text("hm"))),
     {"input": [message("assistant", "so"), message("user", "hm")]},
     [("turns[0].blocks[1]", "orphan"), ("turns[1].blocks[0]", "orphan")]),
    ("its own seal comes home, with what stood unsigned before it",
     (said(Reasoning("a"), Reasoning("b", HOME), CALL), user(RESULT)),
     {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"},
                                                  {"type": "summary_text", "text": "b"}], "encrypted_content": "enc"},
                CALLED, RETURNED]}, []),
    ("a seal alone comes home", (said(Reasoning("", HOME, redacted=True), CALL), user(RESULT)),
     {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}, CALLED, RETURNED]}, []),
    ("foreign thinking and foreign seals are dropped",
     (said(Reasoning("hm", FOREIGN), Text("yes", seal=FOREIGN), replace(CALL, seal=FOREIGN)), user(RESULT)),
     {"input": [message("assistant", "yes"), CALLED, RETURNED]},
     [("turns[0].blocks[0].seal", "signature"), ("turns[0].blocks[0]", "reasoning_text"),
      ("turns[0].blocks[1].seal", "signature"), ("turns[0].blocks[2].seal", "signature")]),
    ("a text that was there for its seal",
     (said(Text("", seal=FOREIGN)), user(Text("hi"))),
     {"input": [message("user", "hi")]}, [("turns[0].blocks[0].seal", "signature")]),
    ("a refusal", (said(Refusal("no")),),
     {"input": [message("assistant", [{"type": "refusal", "refusal": "no"}],
                        "msg_06da9b0b7b8176da7e41bbf4f3c4e0b1574543cd")]}, []),
    ("a cited text", (said(Text("abc", (Citation("https://a", "t", None, 1, 2),))),),
     {"input": [message("assistant", [{"type": "output_text", "text": "abc", "annotations": [
         {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"}]}],
                        "msg_ff2e1e9baeb2ec30fd6de3bd260d745d938735b0")]}, []),
    ("files by their address, id and words",
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
    ("another dialect's hosted tool", (said(Opaque("anthropic", "server_tool_use", {"x": 1}), Text("so")),),
     {"input": [message("assistant", "so")]}, [("turns[0].blocks[0].server_tool_use", "hosted_output")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_conversation(turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = send(ask(*turns))
    assert {key: sent.get(key) for key in ("instructions", "input")} == {"instructions": None, **payload}
    assert lost == losses


def test_open_hosts_take_unsigned_thinking_back() -> None:
    payload, losses = send(
        ask(said(Reasoning("hm"), CALL), user(RESULT)), provider="lmstudio", quirks=frozenset(("reasoning_text",))
    )
    assert payload["input"][0] == {
        "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]
    }  # fmt: skip
    assert losses == []


def test_long_ids_are_made_to_fit_and_still_pair() -> None:
    long = "toolu_" + "x" * 80
    payload, losses = send(ask(said(ToolCall(long, "f")), user(ToolResult(long, ()))))
    one, other = (item["call_id"] for item in payload["input"])
    assert one == other
    assert len(one) <= 64
    assert losses == []


WEATHER = Tool("weather", "d", {"type": "object", "properties": {"city": {"type": "string"}}})

ASKED: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ("nothing is kept", {}, {"store": False}, []),
    ("a stream", {"stream": True}, {"stream": True}, []),
    ("a bound below the least", {"max_tokens": 5}, {"max_output_tokens": 16}, [("max_tokens", "max_tokens")]),
    ("a bound", {"max_tokens": 50}, {"max_output_tokens": 50}, []),
    ("what it cannot sample", {"sampling": Sampling(0.5, 0.9, 3, 1, 0.5, 0.0), "stop": ("a",)},
     {"temperature": 0.5, "top_p": 0.9},
     [("sampling.frequency_penalty", "penalties"), ("sampling.top_k", "top_k"), ("sampling.seed", "seed"),
      ("stop", "stop")]),
    ("a function that is not strict unless said", {"tools": (WEATHER, Tool("now", strict=True))},
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
    ("effort asks for what must come back", {"reasoning": Thinking("low")},
     {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}, []),
    ("a budget, shown", {"reasoning": Thinking(budget=2000, enabled=True)},
     {"reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
     [("reasoning", "reasoning")]),
    ("no thinking", {"reasoning": Thinking(enabled=False)}, {"reasoning": {"effort": "none"}, "include": None}, []),
    ("a schema", {"format": Format("json_schema", CLOSED, strict=True)},
     {"text": {"format": {"type": "json_schema", "name": "answer", "schema": CLOSED, "strict": True}}}, []),
    ("a schema that is open", {"format": Format("json_schema", {"type": "object"}, strict=True)},
     {"text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": False}}},
     [("format.strict", "json_schema")]),
    ("a schema that nobody gave", {"format": Format("json_schema", name="n")},
     {"text": {"format": {"type": "json_object"}}}, [("format", "json_schema"), ("format", "json_object")]),
    ("the user, and what nobody knows", {"user": "u-1", "own": {"n": 2, "x": 1, "stream": False}},
     {"user": "u-1", "n": None, "x": None}, [("n", "n"), ("x", "unknown_field")]),
    ("what OpenAI's other protocol calls by the same names",
     {"own": {"metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low", "store": True}},
     {"metadata": {"a": "b"}, "service_tier": "flex", "text": {"verbosity": "low"}, "store": True}, []),
    ("defaults that it spells out", {"own": {"metadata": {}, "service_tier": "auto", "verbosity": "medium"}},
     {"metadata": None, "service_tier": None, "text": None, "store": False}, []),
    ("the same names in another vendor's words", {"dialect": "anthropic", "own": {"service_tier": "priority"}},
     {"service_tier": None}, [("service_tier", "service_tier")]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "payload", "losses"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED])
def test_request_out(fields: dict[str, Any], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = send(ask(**fields))
    assert {key: sent.get(key) for key in payload} == payload
    assert lost == losses


def test_names_are_made_to_fit_and_come_back() -> None:
    sent = PROTOCOL.encode_request(ask(tools=(Tool("files.read"),)), Target("m", "openai"))
    wired = sent.payload["tools"][0]["name"]
    assert wired == "files_read"
    assert sent.names == {wired: Alias("files.read")}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": wired, "arguments": "{}"}
    assert read({"output": [call], "status": "completed"}, sent).blocks == (
        ToolCall("c1", "files.read", "{}", own={"id": "fc_1"}),
    )


OWN: list[tuple[str, dict[str, Any]]] = [
    ("instructions, a developer, and what needs a store",
     {"instructions": "a", "input": [message("developer", "b"), message("user", "hi")], "previous_response_id": "r",
      "store": True, "include": ["reasoning.encrypted_content"], "truncation": "auto"}),
    ("a conversation with all its book-keeping",
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
    ("form", {"input": [message("user", "hi")], "max_output_tokens": 3, "presence_penalty": 0.5,
              "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "x": 1}, "verbosity": "low"},
              "reasoning": {"effort": "low", "context": "auto"},
              "tool_choice": {"type": "allowed_tools", "mode": "auto",
                              "tools": [{"type": "mcp", "server_label": "l"}]}}),
]  # fmt: skip


@pytest.mark.parametrize("body", [row[1] for row in OWN], ids=[row[0] for row in OWN])
def test_its_own_client_loses_nothing(body: dict[str, Any]) -> None:
    payload, losses = send(decode({"model": "m", **body}))
    assert payload == {"model": "m", **body}
    assert losses == []


def test_an_answer_without_an_id_is_a_plain_text_again() -> None:
    parts = [{"type": "output_text", "text": "so", "annotations": []}]
    for content in ("so", parts):
        said = {"type": "message", "role": "assistant", "content": content}
        payload, _ = send(decode({"model": "m", "input": [said, message("user", "go")]}))
        assert payload["input"][0] == message("assistant", "so")
    numbered = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts}
    payload, _ = send(decode({"model": "m", "input": [numbered, message("user", "go")]}))
    assert payload["input"][0] == numbered


def test_what_another_dialect_cannot_say_has_its_word() -> None:
    request = decode(
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
    assert [(loss.path, loss.feature) for loss in ledger.request_leftovers(request)] == [
        ("prompt", "previous_response_id"),
        ("text.verbosity", "verbosity"),
        ("turns[0].blocks[0].item_reference", "previous_response_id"),
        ("turns[1].blocks[0].content.input_video", "video"),
        ("tools[0].namespace.description", "tool_namespace"),
        ("tool_choice.forced_hosted_tool", "forced_hosted_tool"),
    ]


# ---- the backend's reply ---------------------------------------------------------------------------------------------

MINTED = Signature("enc", NAME, "openai")

OUTPUTS: list[tuple[str, list[dict[str, Any]], tuple[Any, ...], str]] = [
    ("a text", [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]}],
     (Text("hi", group=0, own={"item.id": "msg_1"}),), "end"),
    ("a refusal", [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
     (Refusal("no", group=0),), "end"),
    ("a cited text",
     [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "abc", "annotations": [
         {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"},
         {"type": "file_path", "file_id": "f", "index": 1}]}]}],
     (Text("abc", (Citation("https://a", "t", None, 1, 2),), group=0,
           own={"annotations": [{"type": "file_path", "file_id": "f", "index": 1}]}),), "end"),
    ("thinking, then a call",
     [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"},
                                                      {"type": "summary_text", "text": "b"}],
       "encrypted_content": "enc"},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}],
     (Reasoning("a", summary=True, group=0, own={"item.id": "rs_1"}), Reasoning("b", MINTED, summary=True, group=0),
      ToolCall("c1", "f", "{}", own={"id": "fc_1"})), "tool"),
    ("a seal alone", [{"type": "reasoning", "summary": [], "encrypted_content": "enc"}],
     (Reasoning("", MINTED, redacted=True, group=0),), "end"),
    ("open thoughts", [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}],
     (Reasoning("a", group=0),), "end"),
    ("a free-text call", [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1"}],
     (ToolCall("c1", "g", "x = 1", "custom"),), "tool"),
    ("a hosted tool", [{"type": "web_search_call", "id": "ws_1", "status": "completed"},
                       {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}],
     (Opaque(NAME, "web_search_call", {"type": "web_search_call", "id": "ws_1", "status": "completed"}),
      Text("hi", group=1)), "end"),
    ("two messages", [{"type": "message", "role": "assistant", "phase": phase,
                       "content": [{"type": "output_text", "text": phase}]}
                      for phase in ("commentary", "final_answer")],
     (Text("commentary", group=0, own={"item.phase": "commentary"}),
      Text("final_answer", group=1, own={"item.phase": "final_answer"})), "end"),
    ("nothing", [], (), "end"),
]  # fmt: skip


@pytest.mark.parametrize(("output", "blocks", "stop"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
def test_output(output: list[dict[str, Any]], blocks: tuple[Any, ...], stop: str) -> None:
    neutral = read({"id": "resp_1", "model": "up", "status": "completed", "output": output})
    assert (neutral.blocks, neutral.stop, neutral.native) == (blocks, stop, "completed")
    # the whole response at a stream's end says as much as its pieces would have
    response = {"id": "resp_1", "model": "up", "status": "completed", "output": output}
    whole = fold(listen([stream({"type": "response.completed", "response": response})]))
    assert isinstance(whole, Reply)
    assert (whole.blocks, whole.stop) == (blocks, stop)
    items = [{"type": "response.output_item.done", "output_index": i, "item": item} for i, item in enumerate(output)]
    by_item = fold(listen([stream(*items, {"type": "response.completed", "response": {**response, "output": []}})]))
    assert isinstance(by_item, Reply)
    assert (by_item.blocks, by_item.stop) == (blocks, stop)


@pytest.mark.parametrize(("output", "blocks", "stop"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
def test_its_own_answer_is_told_as_it_was(output: list[dict[str, Any]], blocks: tuple[Any, ...], stop: str) -> None:
    neutral = read({"id": "resp_1", "model": "up", "status": "completed", "output": output})
    body, losses = PROTOCOL.encode_reply(neutral, asked())
    assert (body["id"], losses) == ("resp_1", [])
    assert bare(read(body).blocks) == bare(blocks)
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
def test_stops(fields: dict[str, Any], stop: str, native: str) -> None:
    neutral = read({"output": [], **fields})
    assert (neutral.stop, neutral.native) == (stop, native)
    body, losses = PROTOCOL.encode_reply(neutral, asked())
    assert body["status"] == fields.get("status", "completed")
    assert body["incomplete_details"] == fields.get("incomplete_details")
    assert losses == []


USAGES = [
    ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, Usage(10, 5)),
    ({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}, "output_tokens": 5,
      "output_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 5, 60, 30, 3)),
    ({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 1}, Usage(0, 1, 60)),
    ({"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 22},
     Usage(10, 12, None, None, 7)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "usage"), USAGES)
def test_usage_is_the_same_in_body_and_stream(fields: dict[str, Any], usage: Usage) -> None:
    response = {"status": "completed", "output": [], "usage": fields}
    assert read(response).usage == usage
    whole = fold(listen([stream({"type": "response.completed", "response": response})]))
    assert isinstance(whole, Reply)
    assert whole.usage == usage


def test_what_repeats_the_request_is_no_loss_and_comes_back() -> None:
    response = {"output": [], "status": "completed", "temperature": 0.3, "service_tier": "flex", "store": True,
                "tools": [], "metadata": {"a": "b"}, "moderation": {"x": 1}, "created_at": 7}  # fmt: skip
    neutral = read(response)
    assert [(loss.path, loss.feature) for loss in ledger.reply_leftovers(neutral)] == [("moderation", "unknown_field")]
    body, _ = PROTOCOL.encode_reply(neutral, asked())
    kept = ("temperature", "service_tier", "store", "metadata", "moderation", "created_at")
    assert {key: body[key] for key in kept} == {key: response[key] for key in kept}


@pytest.mark.parametrize("body", [{}, {"output": "hi"}, {"output": [1]}, {"output": [{"id": "x"}]}, {"choices": []}])
def test_a_body_that_is_not_this_protocol_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(body)


def test_a_body_that_failed_is_a_failure() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    with pytest.raises(UpstreamError) as fault:
        read({"status": "failed", "error": error, "output": []})
    assert (fault.value.failure.kind, fault.value.failure.message) == ("rate_limit", "slow down")


# ---- the backend's stream --------------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "up"}}
BEGUN = Start(NAME, "resp_1", "up")


def end(status: str = "completed", output: Any = (), **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, "output": list(output), **fields}}


def delta(kind: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text, **fields}


HI = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
FC = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
DONE = Finish("end", None, "completed")

STREAMS: list[tuple[str, list[dict[str, Any]], list[Event]]] = [
    ("no item was announced, and no part",
     [CREATED, delta("output_text", "h", item_id="msg_1", output_index=0),
      delta("output_text", "i", item_id="msg_1", output_index=0), end()],
     [BEGUN, Open(0, Text("", group=0)), Delta(0, "h"), Delta(0, "i"), Close(0), DONE]),
    ("no response was announced",
     [delta("output_text", "hi", output_index=0), end(id="resp_1", model="up")],
     [Start(NAME, None, None), Open(0, Text("", group=0)), Delta(0, "hi"), Close(0), DONE]),
    ("no index: the ids tell",
     [CREATED, delta("output_text", "hi", item_id="msg_1"), delta("refusal", "no", item_id="msg_2"), end()],
     [BEGUN, Open(0, Text("", group=0)), Delta(0, "hi"), Open(1, Refusal("", group=1)), Delta(1, "no"), Close(0),
      Close(1), DONE]),
    ("a call that nobody announced",
     [CREATED, delta("function_call_arguments", '{"a"', output_index=0),
      {"type": "response.output_item.done", "output_index": 0, "item": FC}, end(output=[FC])],
     [BEGUN, Open(0, ToolCall("c1", "f", own={"id": "fc_1"})), Delta(0, '{"a":1}'), Close(0),
      Finish("tool", None, "completed")]),
    ("a call that is only told at the end", [CREATED, end(output=[FC])],
     [BEGUN, Open(0, ToolCall("c1", "f", own={"id": "fc_1"})), Delta(0, '{"a":1}'), Close(0),
      Finish("tool", None, "completed")]),
    ("a call announced with its arguments",
     [CREATED, {"type": "response.output_item.added", "output_index": 0, "item": FC}, end(output=[FC])],
     [BEGUN, Open(0, ToolCall("c1", "f", own={"id": "fc_1"})), Delta(0, '{"a":1}'), Close(0),
      Finish("tool", None, "completed")]),
    ("the rest of a text comes with its end",
     [CREATED, delta("output_text", "h", output_index=0),
      {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "hi"}, end()],
     [BEGUN, Open(0, Text("", group=0)), Delta(0, "h"), Delta(0, "i"), Close(0), DONE]),
    ("a seal comes with the item's end",
     [CREATED, {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
      delta("reasoning_summary_text", "a", output_index=0, summary_index=0),
      delta("reasoning_summary_text", "b", output_index=0, summary_index=1),
      {"type": "response.output_item.done", "output_index": 0,
       "item": {"type": "reasoning", "id": "rs_1", "encrypted_content": "enc",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]}}, end()],
     [BEGUN, Open(0, Reasoning("", summary=True, group=0, own={"item.id": "rs_1"})), Delta(0, "a"), Close(0),
      Open(1, Reasoning("", summary=True, group=0)), Delta(1, "b"), Seal(1, MINTED), Close(1), DONE]),
    ("a note on a text, once",
     [CREATED, delta("output_text", "hi", output_index=0, content_index=0),
      {"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0,
       "annotation": {"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 2}},
      {"type": "response.content_part.done", "output_index": 0, "content_index": 0,
       "part": {"type": "output_text", "text": "hi", "annotations": [
           {"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 2}]}}, end()],
     [BEGUN, Open(0, Text("", group=0)), Delta(0, "hi"), Note(0, Citation("https://a", "t", None, 0, 2)), Close(0),
      DONE]),
    ("events of hosted tools, and unknown ones, are passed over",
     [CREATED, {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
      {"type": "response.tomorrow", "x": 1}, end()], [BEGUN, DONE]),
    ("an error", [CREATED, {"type": "error", "code": "server_is_overloaded", "message": "m", "param": None}],
     [BEGUN, Failure("overloaded", "The backend is overloaded; try again later.", 503, "overloaded")]),
    ("a nested error, then the failure", [CREATED, {"type": "error", "error": {"code": "insufficient_quota",
                                                                              "message": "quota"}},
                                          {"type": "response.failed", "response": {"status": "failed"}}],
     [BEGUN, Failure("rate_limit", "quota", 429, "insufficient_quota")]),
    ("a response that failed", [CREATED, {"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "context_length_exceeded", "message": "too long"}}}],
     [BEGUN, Failure("context_length", "too long", 400, "context_length_exceeded")]),
    ("an error that is no event", [{"error": {"code": 429, "message": "slow"}}],
     [Failure("rate_limit", "slow", 429)]),
    ("a cut", [CREATED, delta("output_text", "hi", output_index=0)],
     [BEGUN, Open(0, Text("", group=0)), Delta(0, "hi"),
      Failure("upstream_cut", "The backend's stream ended before its answer did.", 502, None)]),
    ("nothing at all", [], [Failure("upstream_cut", "The backend's stream ended before its answer did.", 502, None)]),
]  # fmt: skip


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize(("events", "meaning"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(events: list[dict[str, Any]], meaning: list[Event], named: bool) -> None:
    raw = stream(*events, named=named and all("type" in event for event in events))
    assert listen([raw]) == meaning
    assert listen([raw[i : i + 1] for i in range(len(raw))]) == meaning


@pytest.mark.parametrize(
    "raw",
    [b"data: <html>\n\n", b"data: [1]\n\n", b'data: {"x": 1}\n\n', stream({"type": "response.created"}),
     stream({"type": "response.output_text.delta", "delta": 3}), stream({"type": "response.completed"}),
     stream(CREATED, delta("function_call_arguments", "{", output_index=0), end())],
)  # fmt: skip
def test_what_is_not_this_protocol_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        listen([raw])


# ---- the client's reply ----------------------------------------------------------------------------------------------


def out(text: str, *annotations: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": [], **fields}


def told(*parts: Any, status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": status, "content": list(parts)}


def thought(text: str, seal: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    return {**item, "encrypted_content": seal} if seal else item


GEMINI = Signature("tide", "gemini", "gemini")


def token(mark: str) -> str:
    return seals.for_client(replace(GEMINI, value=mark + "tide"), NAME)


FUNCTION = {**CALLED, "status": "completed"}

ANSWERS: list[tuple[str, Reply, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("a text", reply(Text("hi")), [told(out("hi"))], []),
    ("texts side by side are one message", reply(Text("a"), Text("b")), [told(out("a"), out("b"))], []),
    ("a call has an item's id of its own", reply(Text("so"), CALL, stop="tool"), [told(out("so")), FUNCTION], []),
    ("a call without arguments", reply(ToolCall("c1", "f"), stop="tool"), [{**FUNCTION, "arguments": "{}"}], []),
    ("a free-text call, of a namespace",
     reply(ToolCall("c1", "g", "x = 1", "custom", "crm"), stop="tool"),
     [{"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "x = 1", "namespace": "crm",
       "status": "completed"}], []),
    ("thinking is shown as a summary", reply(Reasoning("hm"), Text("hi")), [thought("hm"), told(out("hi"))], []),
    ("sealed thinking", reply(Reasoning("hm", GEMINI), Text("hi")), [thought("hm", TOKEN), told(out("hi"))], []),
    ("a seal on a call rides before it", reply(replace(CALL, seal=GEMINI), stop="tool"),
     [thought("", TOKEN), FUNCTION], []),
    ("a seal on a text rides before it, and ties it to nothing",
     reply(Text("a"), Text("b", seal=GEMINI), Text("c")),
     [told(out("a")), thought("", TOKEN), told(out("b")), told(out("c"))], []),
    ("a seal on no text", reply(Text("a"), Text("", seal=GEMINI)),
     [told(out("a")), thought("", token("\0text\0"))], []),
    ("redacted thinking, and thinking without a word",
     reply(Reasoning("", GEMINI, redacted=True), Reasoning("", GEMINI)),
     [thought("", token("\0redacted\0")), thought("", token("\0empty\0"))], []),
    ("sources", reply(Text("abc", (Citation("https://a", "t", "quote", 1, 2), Citation("https://b")))),
     [told(out("abc", {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://a", "title": "t"},
               {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://b", "title": ""}))],
     [("blocks[0].citations[0].text", "citations")]),
    ("a refusal", reply(Refusal("no"), stop="filter"),
     [told({"type": "refusal", "refusal": "no"}, status="incomplete")], []),
    ("a text that broke off", reply(Text("a"), stop="length"), [told(out("a"), status="incomplete")], []),
    ("a stop sequence", reply(Text("a"), stop="stop_sequence", matched="x"), [told(out("a"))],
     [("matched", "matched_stop")]),
    ("a pause", reply(Text("a"), stop="pause"), [told(out("a"))], [("stop", "stop_reason")]),
    ("a picture, and another dialect's hosted tool",
     reply(Image(Media("image/png", "iVBO")), Opaque("anthropic", "server_tool_use", {"x": 1}), Text("a")),
     [told(out("a"))], [("blocks[1].server_tool_use", "hosted_output"), ("blocks[0]", "media_out")]),
    ("what another dialect left over", reply(Text("a", own={"x": 1}), own={"y": 1}), [told(out("a"))],
     [("y", "unknown_field"), ("blocks[0].x", "unknown_field")]),
    ("nothing", reply(), [], []),
]  # fmt: skip


@pytest.mark.parametrize(("neutral", "output", "losses"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_reply_out_and_stream_out(neutral: Reply, output: list[dict[str, Any]], losses: list[tuple[str, str]]) -> None:
    body, lost = answer(neutral)
    assert without_ids(body["output"]) == output
    assert lost == losses
    ids = [item["id"] for item in body["output"]]
    prefixes = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
    assert all(item["id"].startswith(prefixes[item["type"]]) for item in body["output"])
    assert len(set(ids)) == len(ids)
    for at_once in (True, False):
        events, streamed, _ = tell(list(unfold(neutral)), at_once=at_once)
        last = events[-1]["response"]
        if at_once:  # one by one, a seal may come too late to ride before its block
            assert last["output"] == body["output"]
        assert {**last, "output": []} == {**body, "output": []}
        assert sorted((loss.path, loss.feature) for loss in streamed) == sorted(losses)


def test_the_ladder_of_a_text_and_a_call() -> None:
    neutral = reply(Reasoning("hm"), Text("hi", (Citation("https://a"),)), CALL, stop="tool", usage=Usage(3, 2, 1))
    events, _, raw = tell(list(unfold(neutral)))
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


def test_a_response_repeats_what_was_asked() -> None:
    body = {
        "model": "small", "instructions": "be brief", "input": "hi", "temperature": 0.2, "metadata": {"a": "b"},
        "max_output_tokens": 50, "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
        "tool_choice": {"type": "function", "name": "f"}, "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"}, "store": True,
    }  # fmt: skip
    got, _ = PROTOCOL.encode_reply(reply(Text("hi")), Asked(decode(body), "req-1", 1_700_000_000, new_id()))
    Response.model_validate(wire.parse_object(wire.encode(got)), strict=True)
    echoed = ("model", "instructions", "temperature", "metadata", "max_output_tokens", "tool_choice", "text")
    assert {key: got[key] for key in echoed} == {key: body[key] for key in echoed}
    assert got["tools"][0] == {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}
    assert got["reasoning"] == {"effort": "low", "summary": None}
    assert (got["id"], got["store"], got["created_at"]) == ("resp_req-1", False, 1_700_000_000)


def test_a_response_repeats_the_tools_among_the_input() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "now"}]}
    body = {"model": "m", "input": [more, message("user", "hi")], "tools": [{"type": "function", "name": "f"}]}
    request = decode(body)
    got, _ = PROTOCOL.encode_reply(reply(Text("hi")), Asked(request, "req-1", 1_700_000_000, new_id()))
    empty = {"description": None, "parameters": None, "strict": None}
    assert got["tools"] == [{"type": "function", "name": name, **empty} for name in ("f", "now")]
    assert send(request)[0]["tools"] == body["tools"]


def test_a_summary_is_announced_empty() -> None:
    summed = reply(Reasoning("hm", summary=True), Text("hi"))
    added = [event for event in tell(list(unfold(summed)))[0] if event["type"] == "response.output_item.added"]
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


def test_every_required_key_is_there() -> None:
    body, _ = answer(reply())
    assert set(REQUIRED) <= set(body)
    for event in tell(list(unfold(reply())))[0]:
        assert set(REQUIRED) <= set(event["response"])


def test_interleaved_calls_follow_one_another() -> None:
    events = [
        Start("openai-chat", None, None),
        Open(0, ToolCall("c1", "f")), Delta(0, '{"a"'), Open(1, ToolCall("c2", "g")), Delta(1, "{}"), Delta(0, ":1}"),
        Close(0), Close(1), Finish("tool"),
    ]  # fmt: skip
    for at_once in (True, False):
        last = tell(events, at_once=at_once)[0][-1]["response"]
        assert [(item["call_id"], item["arguments"]) for item in last["output"]] == [("c1", '{"a":1}'), ("c2", "{}")]


@pytest.mark.parametrize("kind", STATUS)
def test_a_failure_in_band_ends_the_stream_without_success(kind: str) -> None:
    events = [Start("anthropic", None, None), Open(0, Text("")), Delta(0, "hi"), failure(kind, "m")]
    told_, _, _ = tell(events)
    assert told_[-1]["type"] == "response.failed"
    assert told_[-1]["response"]["status"] == "failed"
    assert told_[-1]["response"]["error"]["message"] == "m"
    if kind != "context_length":  # a code that clients act on, though the closed list lacks it
        EVENT.validate_python(told_[-1], strict=True)
    assert tell([failure(kind, "m")])[0][0]["sequence_number"] == 0


# ---- seals through a client ------------------------------------------------------------------------------------------

SEALED: list[tuple[str, tuple[Any, ...]]] = [
    ("on a call", (ToolCall("c1", "f", "{}", seal=GEMINI),)),
    ("on each of two calls", (ToolCall("c1", "f", "{}", seal=GEMINI), ToolCall("c2", "f", "{}", seal=GEMINI))),
    ("on the first of two", (ToolCall("c1", "f", "{}", seal=GEMINI), ToolCall("c2", "f", "{}"))),
    ("on a text", (Text("a"), Text("b", seal=GEMINI))),
    ("on no text, before a call", (Text("", seal=GEMINI), ToolCall("c1", "f", "{}"))),
    ("on no text at the end", (Text("a"), Text("", seal=GEMINI))),
    ("on thinking", (Reasoning("hm", GEMINI), ToolCall("c1", "f", "{}", seal=GEMINI))),
    ("instead of thinking", (Reasoning("", GEMINI, redacted=True), ToolCall("c1", "f", "{}"))),
    ("on thinking without a word", (Reasoning("", GEMINI), ToolCall("c1", "f", "{}"))),
]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
@pytest.mark.parametrize("blocks", [row[1] for row in SEALED], ids=[row[0] for row in SEALED])
def test_a_seal_comes_back_to_its_block(blocks: tuple[Any, ...], at_once: bool) -> None:
    neutral = reply(*blocks, dialect="gemini")
    body, _ = PROTOCOL.encode_reply(neutral, asked())
    events, _, _ = tell(list(unfold(neutral)), at_once=at_once)
    for output in (body["output"], events[-1]["response"]["output"]):
        (turn,) = decode({"model": "m", "input": output}).turns
        home = [
            replace(block, seal=replace(block.seal, dialect=NAME)) if getattr(block, "seal", None) else block
            for block in blocks
        ]
        assert [replace(b, summary=False) if isinstance(b, Reasoning) else b for b in bare(turn.blocks)] == home


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
def test_an_error_in_its_words(kind: str, code: str, type_: str) -> None:
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
        (429, {"error": {"code": "insufficient_quota", "message": "quota"}}, "rate_limit", "quota"),
        (500, {"error": {"type": "server_error", "message": "oops"}}, "upstream_error", None),
        (503, {"error": {"code": "server_is_overloaded", "message": "busy"}}, "overloaded", None),
        (422, {"detail": "wrong"}, "unprocessable", "wrong"),
        (502, b"<html>", "upstream_error", None),
    ],
)
def test_an_upstream_error(status: int, body: Any, kind: str, message: str | None) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = PROTOCOL.decode_failure(status, raw, 7.0)
    assert (found.kind, found.status, found.retry_after) == (kind, STATUS[kind], 7.0)
    if message is not None:
        assert found.message == message


# ---- the vendor's own words ------------------------------------------------------------------------------------------

HELLO = "Hi there! How can I assist you today?"
MEANT: dict[str, Any] = {
    "text-reply": ([("text", "In a peaceful grove")], "end", Usage(36, 87, 0, None, 0)),
    "tool-reply": ([("call", "get_current_weather", {"location": "Boston, MA", "unit": "celsius"})], "tool",
                   Usage(291, 23, None, None, 0)),
    "reasoning-reply": ([("thought", "**Answering a simple question**"), ("text", "The capital of France is Paris.")],
                        "end", Usage(11, 29, 0, None, 12)),
    "custom-reply": ([("thought", ""), ("call", "code_exec", 'print("hello world")')], "tool", None),
    "text-stream": ([("text", HELLO)], "end", Usage(37, 11, None, None, 0)),
    "tool-stream": ([("call", "get_weather", {"location": "Paris, France"})], "tool", None),
    "reasoning-incomplete-stream": ([("thought", "**Responding to a greeting**"), ("text", "Hello")], "length",
                                    Usage(9, 16, 0, None, 14)),
    "failed-stream": ("upstream_error", 502),
    "error-stream": ("upstream_error", 502),
    "error-key": ("upstream_auth", 502),
    "error-rate-limit": ("rate_limit", 429),
    "error-context-length": ("context_length", 400),
    "tools-request": [("user", ["Text"]), ("assistant", ["ToolCall"]), ("user", ["ToolResult"])],
    "custom-request": [("user", ["Text"])],
}  # fmt: skip


def evidence(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert found["source"].startswith("https://platform.openai.com/docs/")
    return found


def gist(neutral: Reply, expected: list[Any]) -> list[Any]:
    """The blocks of a reply as the table above tells them: texts by their beginning."""
    out_: list[Any] = []
    for block, hint in zip(neutral.blocks, expected, strict=True):
        match block:
            case Text(text):
                out_.append(("text", text[: len(hint[1])]))
            case Reasoning(text):
                out_.append(("thought", text[: len(hint[1])]))
            case ToolCall(name=name, arguments=arguments, kind=kind):
                out_.append(("call", name, json.loads(arguments) if kind == "function" else arguments))
    return out_


def test_every_piece_of_evidence_has_its_meaning() -> None:
    assert {path.stem for path in EVIDENCE.glob("*.json")} == set(MEANT)


@pytest.mark.parametrize("name", MEANT)
def test_evidence(name: str) -> None:
    found, meant = evidence(name), MEANT[name]
    match found["kind"]:
        case "request":
            request = decode(found["body"])
            assert [(turn.role, [type(block).__name__ for block in turn.blocks]) for turn in request.turns] == meant
            payload, losses = send(request)
            assert losses == []
            assert decode(payload) == replace(request, model="m")
        case "error":
            failed = PROTOCOL.decode_failure(found["status"], json.dumps(found["body"]).encode(), None)
            assert (failed.kind, failed.status) == meant
        case "reply":
            neutral = read(found["body"])
            assert (gist(neutral, meant[0]), neutral.stop, neutral.usage) == meant
        case "stream":
            raw = found["stream"].encode()
            events = listen([raw])
            assert listen([raw[i : i + 1] for i in range(len(raw))]) == events
            whole = fold(events)
            if isinstance(whole, Failure):
                assert (whole.kind, whole.status) == meant
            else:
                assert (gist(whole, meant[0]), whole.stop, whole.usage) == meant
                last = [json.loads(line[6:]) for line in found["stream"].splitlines() if line.startswith("data: ")][-1]
                body = read(last["response"])
                assert (whole.blocks, whole.stop, whole.native, whole.usage) == (
                    body.blocks, body.stop, body.native, body.usage,
                )  # fmt: skip


# ---- laws ------------------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
seal = st.none() | st.just(GEMINI)
citation = st.builds(Citation, st.just("https://a/b"), words, st.none(), st.integers(0, 3), st.integers(3, 9))
arguments = st.dictionaries(words, st.integers() | words, max_size=3).map(json.dumps)
ids = st.integers(0, 10**6).map("call_{}".format)
block = st.one_of(
    st.builds(Text, words, st.lists(citation, max_size=2).map(tuple), seal),
    st.builds(Refusal, words),
    st.builds(Reasoning, words, seal),
    st.builds(ToolCall, ids, st.sampled_from(["f", "g"]), arguments, seal=seal),
    st.builds(ToolCall, ids, st.sampled_from(["h"]), words, st.just("custom"), st.none() | st.just("crm"), seal),
)
count = st.none() | st.integers(0, 10**6)
replies = st.builds(
    lambda blocks, stop, usage: reply(*blocks, dialect="gemini", stop=stop, usage=usage),
    st.lists(block, max_size=5),
    st.sampled_from(["end", "length", "filter"]),
    st.none() | st.builds(Usage, count, count, count, count, count),
)


def meaning(neutral: Reply) -> tuple[Any, ...]:
    """What must survive this wire: seals stand apart there, thinking is a summary, and no count is 0."""
    blocks = [
        replace(one, **({"seal": None} if hasattr(one, "seal") else {}),
                **({"summary": False, "redacted": False} if isinstance(one, Reasoning) else {}))
        for one in bare(neutral.blocks)
        if not (isinstance(one, Reasoning) and not one.text)
    ]  # fmt: skip
    usage = neutral.usage
    counts = usage and (usage.prompt or 0, usage.output or 0, usage.cache_read or 0, usage.cache_write or 0)
    called = neutral.stop == "end" and any(isinstance(one, ToolCall) for one in blocks)
    return blocks, "tool" if called else neutral.stop, counts


@given(replies)
def test_body_and_stream_say_the_same(neutral: Reply) -> None:
    body, _ = answer(neutral)
    events, _, raw = tell(list(unfold(neutral)))
    assert events[-1]["response"]["output"] == body["output"]
    whole = fold(listen([raw]))
    assert isinstance(whole, Reply)
    assert meaning(whole) == meaning(read(body)) == meaning(neutral)
    assert read(events[-1]["response"]).blocks == whole.blocks


@given(replies)
def test_one_by_one_is_as_strict(neutral: Reply) -> None:
    _, _, raw = tell(list(unfold(neutral)), at_once=False)
    whole = fold(listen([raw]))
    assert isinstance(whole, Reply)
    assert meaning(whole) == meaning(neutral)


@given(replies, st.lists(st.integers(0, 10**4), max_size=8))
def test_chunking_never_matters(neutral: Reply, cuts: list[int]) -> None:
    _, _, raw = tell(list(unfold(neutral)))
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    assert listen([raw[a:b] for a, b in itertools.pairwise(places)]) == listen([raw])


@given(replies)
def test_its_own_answer_survives_its_own_wire(neutral: Reply) -> None:
    once = read(answer(neutral)[0])
    again, losses = PROTOCOL.encode_reply(once, asked())
    assert losses == []
    assert read(wire.parse_object(wire.encode(again))) == once
    _, _, raw = tell(list(unfold(once)))
    whole = fold(listen([raw]))
    assert isinstance(whole, Reply)
    assert (whole.blocks, whole.stop, whole.usage) == (once.blocks, once.stop, once.usage)


@given(replies)
def test_what_a_client_got_it_can_send_back(neutral: Reply) -> None:
    """The client echoes the output; every seal is on its block again."""
    output = answer(neutral)[0]["output"]
    if not output:
        return
    (turn,) = decode({"model": "m", "input": output}).turns
    assert [getattr(one, "seal", None) and one.seal.value for one in turn.blocks] == [
        getattr(one, "seal", None) and one.seal.value for one in neutral.blocks
    ]
