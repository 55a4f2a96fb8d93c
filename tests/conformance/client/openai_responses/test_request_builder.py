"""Requests of the Responses client and the mock's parser: settings, history, extra fields, and invalid bodies."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client.conversation import expected_request
from crosswire.conformance.client.openai_responses import CLIENT
from crosswire.conformance.comparison.turns import merge_turns
from crosswire.mockserver.protocols.openai_responses import PROTOCOL
from crosswire.mockserver.protocols.protocol import MalformedRequest
from crosswire.mockserver.scenarios.model import (
    Ask,
    Audio,
    Document,
    Image,
    NamedTool,
    Refusal,
    ResponseFormat,
    SayText,
    SayThink,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)

from ....mockserver.protocols.responses_fixture import CALLS, FIRST, SIGNATURE, TOOLS, Body, exchange

PIXEL = "iVBORw0KGgo="
WIDE = Ask(
    system=("Be brief.", "Be kind."),
    turns=(
        Turn("user", (Text("Hello."),)),
        Turn("assistant", (Thinking("Hm.", SIGNATURE), Text("Hi."), ToolCall("call_9", "weather", '{"city":"Oslo"}'))),
        Turn("user", (ToolResult("call_9", (Text("rain"), Image("image/png", PIXEL))),)),
        Turn("assistant", (Text("Rain."), Refusal("No more."))),
        Turn("system", (Text("Now in French."),)),
    ),
    user=(
        Text("Look:"),
        Image("image/png", PIXEL),
        Image(url="https://example.com/a.png"),
        Document("application/pdf", "JVBERi0=", name="a.pdf"),
        Document(url="https://example.com/a.pdf"),
    ),
    tools=(*TOOLS, Tool("now", strict=True), Tool("later", parameters={"type": "object"}, strict=False)),
    tool_choice=NamedTool("weather"),
    parallel=False,
    temperature=0.5,
    top_p=0.9,
    max_tokens=50,
    reasoning="low",
    format=ResponseFormat({"type": "object"}, "shape", True),
)

ASKED: dict[str, Ask] = {
    "plain": Ask(user=(Text("Hello!"),)),
    "one-system": Ask(system=("Be brief.",), user=(Text("Hello!"),)),
    "wide": WIDE,
    "choice-none": Ask(user=(Text("x"),), tools=TOOLS, tool_choice="none"),
    "json": Ask(user=(Text("Say it as json."),), format=ResponseFormat()),
    "text-before-a-result": Ask(
        turns=(
            Turn("assistant", (ToolCall("c", "f", "{}"),)),
            Turn("user", (Text("Wait."), ToolResult("c", (Text("r"),)), Text("Now."))),
        )
    ),
    "audio": Ask(user=(Text("Hear:"), Audio("audio/mpeg", "AAAA"))),
    "empty-result": Ask(turns=(Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("user", (ToolResult("c", ()),)))),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("name", ASKED)
def test_a_built_request_is_parsed_as_the_story_describes(name: str, stream: bool) -> None:
    conversation = [(ASKED[name], None)]
    request = CLIENT.build_request(conversation, model="gpt-5-mini", stream=stream, key="k")
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer k"
    found = PROTOCOL.parse_request("/responses", request.headers, request.body)
    wanted = expected_request(conversation, model="gpt-5-mini", stream=stream)
    assert found.extra == {}
    # this client requests summaries whenever it requests reasoning
    assert found.show_reasoning is (True if wanted.reasoning else None)
    assert replace(found, turns=merge_turns(found.turns), show_reasoning=None) == replace(
        wanted, turns=merge_turns(wanted.turns)
    )


def test_a_text_document_is_sent_as_a_file() -> None:
    body = CLIENT.build_request([(Ask(user=(Document(text="hé", name="a.txt"),)), None)], model="m", stream=False).body
    part = body["input"][0]["content"][0]
    assert part == {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aMOp"}


def test_the_client_echoes_the_received_items() -> None:
    reply = exchange([SayThink(("Hm",), True), SayText(("Look.",)), *CALLS], stream=True)
    rewritten = replace(reply, blocks=tuple(
        replace(b, id=f"other_{b.id}") if isinstance(b, ToolCall) else b for b in reply.blocks
    ))  # fmt: skip
    results = Ask(results=(ToolResult("call_2", (Text("b"),), at=1), ToolResult("call_1", (Text("a"),), at=0)))
    items = CLIENT.build_request([(FIRST, rewritten), (results, None)], model="m", stream=False).body["input"]
    assert [item.get("type", item.get("role")) for item in items] == [
        *("user", "reasoning", "message", "function_call", "function_call"),
        *("function_call_output", "function_call_output"),
    ]
    assert all("id" not in item and "status" not in item for item in items)
    assert items[1]["encrypted_content"] == SIGNATURE
    assert [item["call_id"] for item in items[-2:]] == ["other_call_2", "other_call_1"]


def test_reasoning_without_encrypted_content_keeps_its_id() -> None:
    reply = exchange([SayThink(("Hm",)), SayText(("Look.",))], stream=False)
    assert reply.echo[0]["id"].startswith("rs_")
    assert "id" not in reply.echo[1]


def output_text(text: str, annotations: list[Body]) -> Body:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def summary(text: str) -> Body:
    return {"type": "summary_text", "text": text}


def raw(text: str) -> Body:
    return {"type": "reasoning_text", "text": text}


EXTRA: dict[str, tuple[Body, dict[str, Any]]] = {
    "harmless": ({"store": False, "background": False, "truncation": "disabled", "service_tier": "auto"}, {}),
    "harmless-nulls": ({"metadata": None, "conversation": None}, {}),
    "signatures": ({"include": ["reasoning.encrypted_content"], "stream": True}, {}),
    "padding": ({"stream": True, "stream_options": {"include_obfuscation": False}}, {}),
    "medium": ({"text": {"format": {"type": "text"}, "verbosity": "medium"}, "reasoning": {"summary": "auto"}}, {}),
    "fields": (
        {"user": "u", "prompt_cache_key": "k", "include": ["web_search_call.results"], "text": {"verbosity": "low"}},
        {"$.prompt_cache_key": "k", "$.include": ["web_search_call.results"], "$.text.verbosity": "low"},
    ),
    "unknown-field": ({"novel": {"a": 1}}, {"$.novel": {"a": 1}}),
    "hosted-tool": (
        {"tools": [{"type": "web_search", "x": 1}]}, {"$.tools[0]": {"type": "web_search", "x": 1}},
    ),
    "custom-choice": ({"tool_choice": {"type": "web_search"}}, {"$.tool_choice": {"type": "web_search"}}),
    "hosted-item": (
        {"input": [{"type": "web_search_call", "id": "ws_1"}]},
        {"$.input[0]": {"type": "web_search_call", "id": "ws_1"}},
    ),
    "phase": (
        {"input": [{"role": "assistant", "content": "a", "phase": "commentary"}]}, {"$.input[0].phase": "commentary"},
    ),
    "citations": (
        {"input": [{"role": "assistant", "content": [output_text("a", [{"x": 1}])]}]},
        {"$.input[0].content[0].annotations": [{"x": 1}]},
    ),
    "unknown-part": (
        {"input": [{"role": "user", "content": [{"type": "hologram"}]}]},
        {"$.input[0].content[0]": {"type": "hologram"}},
    ),
    "unknown-format": ({"text": {"format": {"type": "grammar"}}}, {"$.text.format.type": "grammar"}),
    "file-id": ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, {}),
    "two-kinds-of-thinking": (
        {"input": [{"type": "reasoning", "summary": [summary("s")], "content": [raw("r")]}]},
        {"$.input[0].summary": ["s"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_fields_without_a_neutral_equivalent_are_extra(name: str) -> None:
    body, extra = EXTRA[name]
    assert PROTOCOL.parse_request("/responses", {}, {"model": "m", "input": "x"} | body).extra == extra


READ: dict[str, tuple[list[Body], tuple[Turn, ...]]] = {
    "messages-without-type": (
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        (Turn("user", (Text("a"),)), Turn("assistant", (Text("b"),))),
    ),
    "one-assistant-turn": (
        [
            {"type": "reasoning", "id": "rs_1", "summary": [summary("a"), summary("b")]},
            {"type": "message", "role": "assistant", "content": [output_text("c", [])]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "x"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
            {"role": "user", "content": "d"},
        ],
        (
            Turn("assistant", (Thinking("a\n\nb"), Text("c"), ToolCall("c", "f", "{}"))),
            Turn("user", (ToolResult("c", (Text("r"),)),)),
            Turn("user", (Text("d"),)),
        ),
    ),
    "raw-thinking": (
        [{"type": "reasoning", "summary": [], "content": [raw("r")], "encrypted_content": "s"}],
        (Turn("assistant", (Thinking("r", "s"),)),),
    ),
    "a-later-developer-message": (
        [{"role": "user", "content": "a"}, {"role": "developer", "content": "b"}],
        (Turn("user", (Text("a"),)), Turn("system", (Text("b"),))),
    ),
    "an-empty-assistant": ([{"role": "assistant", "content": ""}], (Turn("assistant", ()),)),
    "bare-file-data": (
        [{"role": "user", "content": [{"type": "input_file", "file_data": "JVBERi0=", "filename": "a.pdf"}]}],
        (Turn("user", (Document(None, "JVBERi0=", None, None, "a.pdf"),)),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_real_bodies_are_parsed(name: str) -> None:
    items, turns = READ[name]
    assert PROTOCOL.parse_request("/responses", {}, {"input": items}).turns == turns


def test_tools_may_be_declared_in_the_input() -> None:
    tools = [{"type": "function", "name": "now"}, {"type": "custom", "name": "patch"}, {"type": "web_search"}]
    items = [{"type": "additional_tools", "role": "developer", "tools": tools}, {"role": "user", "content": "a"}]
    found = PROTOCOL.parse_request("/responses", {}, {"input": items, "tools": [{"type": "function", "name": "first"}]})
    assert [(tool.name, tool.kind) for tool in found.tools] == [
        ("first", "function"),
        ("now", "function"),
        ("patch", "custom"),
    ]
    assert found.extra == {"$.input[0].tools[2]": {"type": "web_search"}}


def test_leading_developer_messages_are_system_texts() -> None:
    items = [
        {"role": "developer", "content": "b"},
        {"role": "system", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    found = PROTOCOL.parse_request("/responses", {}, {"instructions": "a", "input": items})
    assert found.system == ("a", "b", "c")
    assert found.turns == (Turn("user", (Text("d"),)),)


MALFORMED: dict[str, tuple[Any, str]] = {
    "no-object": ([], "$"),
    "input": ({"input": 5}, "$.input"),
    "item": ({"input": ["x"]}, "$.input[0]"),
    "role": ({"input": [{"role": "tool", "content": "x"}]}, "$.input[0].role"),
    "content": ({"input": [{"role": "user", "content": 7}]}, "$.input[0].content"),
    "part": ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "$.input[0].content[0].type"),
    "call-id": ({"input": [{"type": "function_call", "name": "f"}]}, "$.input[0].call_id"),
    "tool-name": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "$.tools[0].name"),
    "temperature": ({"temperature": "hot"}, "$.temperature"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_invalid_bodies_are_malformed(name: str) -> None:
    body, path = MALFORMED[name]
    with pytest.raises(MalformedRequest) as caught:
        PROTOCOL.parse_request("/responses", {}, body)
    assert caught.value.path == path
