"""Comparison of requests and replies: allowed changes pass, and every other difference names its loss feature."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.checks.tool_names import match_tools
from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.conformance.comparison import WRONG, order_differs, reply_differences, request_differences, same_reply
from crosswire.conformance.comparison.json_schema import refers_to_itself
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import (
    AllowedTools,
    Citation,
    Document,
    Grammar,
    Image,
    NamedTool,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)

CHAT, RESPONSES, ANTHROPIC, GEMINI, OLLAMA = (
    CLIENTS[name] for name in ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
)

HI = Turn("user", (Text("hi"),))
INPUT_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def features(sent: ParsedRequest, client: Any, received: ParsedRequest, upstream: Any) -> list[str]:
    return sorted({difference.feature for difference in request_differences(sent, client, received, upstream)})


def request_of(*turns: Turn, tools: tuple[Tool, ...] = (), choice: Any = None) -> ParsedRequest:
    return ParsedRequest(model="m", turns=turns or (HI,), tools=tools, tool_choice=choice)


# ---- tools -----------------------------------------------------------------------------------------------------------

PATCH = Tool("patch", "Patch.", kind="custom", grammar=Grammar("regex", "a+"))
GROUPED = (Tool("read"), Tool("read", namespace="fs"))
THREE = (Tool("a"), Tool("b"), Tool("c"))
OPEN: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "object", "properties": {}}}}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"type": "object", "properties": {}, "additionalProperties": False}},
    "additionalProperties": False,
}

TOOLS: dict[str, tuple[tuple[Tool, ...], Any, tuple[Tool, ...], Any, list[str]]] = {
    "the same": ((Tool("a", "x"),), CHAT, (Tool("a", "x"),), ANTHROPIC, []),
    "a name that is not allowed is changed": ((Tool("a.b", "x"),), CHAT, (Tool("a_b", "x"),), ANTHROPIC, []),
    "a name that is not allowed is sent": ((Tool("a.b"),), CHAT, (Tool("a.b"),), ANTHROPIC, [WRONG]),
    "an allowed name is changed": ((Tool("a.b"),), CHAT, (Tool("a_b"),), OLLAMA, [WRONG]),
    "two tools get one name": ((Tool("a.b"), Tool("a:b")), CHAT, (Tool("a_b"), Tool("a_b")), ANTHROPIC, [WRONG]),
    "two names are swapped": (
        (Tool("a.b", "x"), Tool("a:b", "y")), CHAT, (Tool("a_b", "y"), Tool("a_b_1", "x")), ANTHROPIC, [WRONG],
    ),
    "a description is lost": ((Tool("a", "x"),), CHAT, (Tool("a"),), ANTHROPIC, [WRONG]),
    "a tool is lost": (THREE, CHAT, THREE[:2], ANTHROPIC, [WRONG]),
    "a namespace is flattened": (GROUPED, RESPONSES, (Tool("read"), Tool("fs__read")), CHAT, []),
    "a namespace is dropped": (GROUPED, RESPONSES, (Tool("read"), Tool("read_2")), CHAT, [WRONG]),
    "a custom tool is kept": ((PATCH,), RESPONSES, (PATCH,), CHAT, []),
    "a custom tool loses its grammar": ((PATCH,), RESPONSES, (replace(PATCH, grammar=None),), CHAT, [WRONG]),
    "a custom tool becomes a function of one string": (
        (PATCH,), RESPONSES, (Tool("patch", "Patch.", INPUT_SCHEMA),), GEMINI, ["custom_tool"],
    ),
    "a custom tool becomes another function": ((PATCH,), RESPONSES, (Tool("patch", "Patch."),), GEMINI, [WRONG]),
    "strictness is lost": ((Tool("a", strict=True),), CHAT, (Tool("a"),), GEMINI, ["tool_strict"]),
    "the objects of a strict tool are closed": (
        (Tool("a", parameters=OPEN, strict=True),), CHAT, (Tool("a", parameters=CLOSED, strict=True),), ANTHROPIC,
        ["tool_strict"],
    ),
    "the objects of a lax tool are closed": (
        (Tool("a", parameters=OPEN),), CHAT, (Tool("a", parameters=CLOSED),), ANTHROPIC, ["json_schema"],
    ),
    "the objects of a strict tool are opened": (
        (Tool("a", parameters=CLOSED, strict=True),), CHAT, (Tool("a", parameters=OPEN, strict=True),), ANTHROPIC,
        ["json_schema"],
    ),
    "a strict tool loses a property as its objects are closed": (
        (Tool("a", parameters=OPEN, strict=True),), CHAT,
        (Tool("a", parameters=CLOSED | {"properties": {}}, strict=True),), ANTHROPIC, ["json_schema"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_tools_are_compared(name: str) -> None:
    sent, client, received, upstream, expected = TOOLS[name]
    assert features(request_of(tools=sent), client, request_of(tools=received), upstream) == expected


CHOICES: dict[str, tuple[Any, tuple[Tool, ...], Any, list[str]]] = {
    "kept": (AllowedTools(("a", "b")), THREE, AllowedTools(("a", "b")), []),
    "only the allowed tools are sent": (AllowedTools(("a", "b")), THREE[:2], None, ["allowed_tools"]),
    "only the required tools are sent": (
        AllowedTools(("a", "b"), "required"), THREE[:2], "required", ["allowed_tools"],
    ),
    "the requirement is lost": (
        AllowedTools(("a", "b"), "required"), THREE[:2], None, ["allowed_tools", "tool_choice"],
    ),
    "other tools are sent": (AllowedTools(("a", "b")), THREE[1:], None, [WRONG]),
    "another subset": (AllowedTools(("a", "b")), THREE, AllowedTools(("a", "c")), ["tool_choice"]),
    "dropped": (AllowedTools(("a", "b")), THREE, None, ["tool_choice"]),
    "only the named tool is sent": (NamedTool("a"), THREE[:1], None, ["tool_choice"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_compared(name: str) -> None:
    sent, tools, received, expected = CHOICES[name]
    assert (
        features(request_of(tools=THREE, choice=sent), CHAT, request_of(tools=tools, choice=received), GEMINI)
        == expected
    )


# ---- calls and results -----------------------------------------------------------------------------------------------


def history(call: ToolCall, result: ToolResult) -> ParsedRequest:
    return request_of(HI, Turn("assistant", (call,)), Turn("user", (result,)))


LONG = "call_" + "0123456789" * 5
DONE = (Text("done"),)
PICTURE = Image("image/png", "QQ==")

CALLS: dict[str, tuple[ParsedRequest, Any, ParsedRequest, Any, list[str]]] = {
    "an allowed id is changed": (
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", DONE)), CHAT,
        history(ToolCall("c2", "f", "{}"), ToolResult("c2", DONE)), ANTHROPIC, [WRONG],
    ),
    "an id that is not allowed is changed": (
        history(ToolCall("a/b", "f", "{}"), ToolResult("a/b", DONE)), CHAT,
        history(ToolCall("a_b", "f", "{}"), ToolResult("a_b", DONE)), ANTHROPIC, [],
    ),
    "an id that is too long is changed": (
        history(ToolCall(LONG, "f", "{}"), ToolResult(LONG, DONE)), RESPONSES,
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", DONE)), CHAT, [],
    ),
    "a long id is changed where it is allowed": (
        history(ToolCall(LONG, "f", "{}"), ToolResult(LONG, DONE)), CHAT,
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", DONE)), RESPONSES, [WRONG],
    ),
    "free text becomes the only argument": (
        history(ToolCall("c1", "f", "a\n", kind="custom"), ToolResult("c1", DONE)), RESPONSES,
        history(ToolCall("c1", "f", '{"input":"a\\n"}'), ToolResult("c1", DONE)), ANTHROPIC, [],
    ),
    "free text is changed": (
        history(ToolCall("c1", "f", "a\n", kind="custom"), ToolResult("c1", DONE)), RESPONSES,
        history(ToolCall("c1", "f", '{"input":"a"}'), ToolResult("c1", DONE)), ANTHROPIC, [WRONG],
    ),
    "a result's image follows it": (
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", (Text("see"), PICTURE))), ANTHROPIC,
        request_of(
            HI, Turn("assistant", (ToolCall("c1", "f", "{}"),)),
            Turn("user", (ToolResult("c1", (Text("see"),)), PICTURE)),
        ),
        CHAT, ["tool_result_media"],
    ),
    "a result's image is lost": (
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", (Text("see"), PICTURE))), ANTHROPIC,
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", (Text("see"),))), CHAT, ["tool_result_media"],
    ),
    "a result's image is changed": (
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", (PICTURE,))), ANTHROPIC,
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", (Image("image/png", "QUE="),))), GEMINI,
        ["tool_result_media"],
    ),
    "an unanswered call is dropped": (
        request_of(HI, Turn("assistant", (Text("a"), ToolCall("c1", "f", "{}")))), CHAT,
        request_of(HI, Turn("assistant", (Text("a"),))), ANTHROPIC, ["orphan"],
    ),
    "an answered call is dropped": (
        history(ToolCall("c1", "f", "{}"), ToolResult("c1", DONE)), CHAT, request_of(HI), ANTHROPIC, [WRONG],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_and_results_are_compared(name: str) -> None:
    sent, client, received, upstream, expected = CALLS[name]
    assert features(sent, client, received, upstream) == expected


def test_calls_of_a_reply_have_the_clients_tool_names() -> None:
    tools = (Tool("a.b"), Tool("patch", kind="custom"), Tool("read", namespace="fs"))
    sent = request_of(tools=tools)
    names = match_tools(sent, request_of(tools=(Tool("a_b"), Tool("patch", None, INPUT_SCHEMA), Tool("fs__read"))))
    upstream = ParsedReply(
        blocks=(ToolCall("1", "a_b", "{}"), ToolCall("2", "patch", '{"input":"+"}'), ToolCall("3", "fs__read", "{}")),
        stop="tool",
    )
    own = (
        ToolCall("1", "a.b", "{}"),
        ToolCall("2", "patch", "+", kind="custom"),
        ToolCall("3", "read", "{}", namespace="fs"),
    )
    received = ParsedReply(blocks=own, stop="tool")
    assert reply_differences(upstream, ANTHROPIC, received, RESPONSES, names, tools) == []
    for at in range(3):
        renamed = replace(received, blocks=(*own[:at], upstream.blocks[at], *own[at + 1 :]))
        found = reply_differences(upstream, ANTHROPIC, renamed, RESPONSES, names, tools)
        assert [difference.feature for difference in found] == [WRONG]


def test_invalid_json_arguments_may_be_streamed_as_text_and_wrapped_in_unary() -> None:
    streamed, whole = (
        ParsedReply(blocks=(ToolCall("1", "f", text),), stop="tool") for text in ("oops", '{"input": "oops"}')
    )
    assert same_reply(streamed, whole) == []
    other = ParsedReply(blocks=(ToolCall("1", "f", '{"input": "{}"}'),), stop="tool")
    assert same_reply(other, ParsedReply(blocks=(ToolCall("1", "f", "{}"),), stop="tool")) != []


# ---- media -----------------------------------------------------------------------------------------------------------

PDF = Document("application/pdf", "JVBE", name="a.pdf")

MEDIA: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], Any, list[str]]] = {
    "the same order": ((Text("a"), PICTURE, Text("b")), (Text("a"), PICTURE, Text("b")), ANTHROPIC, []),
    "another order": ((Text("a"), PICTURE, Text("b")), (PICTURE, Text("a"), Text("b")), ANTHROPIC, [WRONG]),
    "another order in a protocol without order": ((Text("a"), PICTURE, Text("b")), (Text("ab"), PICTURE), OLLAMA, []),
    "other bytes": ((PICTURE,), (Image("image/png", "QUE="),), ANTHROPIC, ["image"]),
    "a document without its name": ((PDF,), (replace(PDF, name=None),), GEMINI, ["name"]),
    "a document receives a name": ((replace(PDF, name=None),), (PDF,), CHAT, []),
    "a document is lost": ((Text("a"), PDF), (Text("a"),), CHAT, ["document"]),
}


@pytest.mark.parametrize("name", MEDIA)
def test_media_are_compared(name: str) -> None:
    sent, received, upstream, expected = MEDIA[name]
    assert features(request_of(Turn("user", sent)), RESPONSES, request_of(Turn("user", received)), upstream) == expected


def test_order_is_compared_separately() -> None:
    one, other = (
        request_of(Turn("user", (Text("a"), PICTURE, Text("b")))),
        request_of(Turn("user", (Text("ab"), PICTURE))),
    )
    assert order_differs(one, other)
    assert not order_differs(one, one)


# ---- citations, usage and other parts of replies ---------------------------------------------------------------------

CITATION = Citation("https://a.example", "A", None, "a hundred metres")
REPLY = ParsedReply(blocks=(Text("It is a hundred metres tall."),), stop="end", usage=Usage(7, 5, 80, None, 3))

OTHER_PARTS: dict[str, tuple[dict[str, Any], dict[str, Any], Any, list[str]]] = {
    "nothing": ({}, {}, CHAT, []),
    "a citation": ({"cites": (CITATION,)}, {"cites": (CITATION,)}, CHAT, []),
    "a citation is lost": ({"cites": (CITATION,)}, {}, CHAT, [WRONG]),
    "a citation in a protocol without them": ({"cites": (CITATION,)}, {}, OLLAMA, ["citations"]),
    "a source without a URL is lost": ({"cites": (replace(CITATION, url=""),)}, {}, CHAT, ["citations"]),
    "another span": (
        {"cites": (CITATION,)},
        {"cites": (replace(CITATION, span="metres"),)},
        ANTHROPIC,
        ["citations"],
    ),
    "a citation is invented": ({}, {"cites": (CITATION,)}, CHAT, [WRONG]),
    "another title": ({"cites": (CITATION,)}, {"cites": (replace(CITATION, title="B"),)}, CHAT, [WRONG]),
    "the quote is lost": (
        {"cites": (replace(CITATION, quote="100 m"),)},
        {"cites": (CITATION,)},
        GEMINI,
        ["citations"],
    ),
    "two choices are lost": ({"other_choices": 2}, {}, CHAT, ["n"]),
    "log probabilities are lost": ({"logprobs": (("a", -0.5, ()),)}, {}, CHAT, ["logprobs"]),
    "an image is lost": (
        {"blocks": (*REPLY.blocks, Image("image/png", "QQ=="))},
        {},
        GEMINI,
        ["media_out"],
    ),
    "a pause becomes an end": ({"stop": "pause"}, {"stop": "end"}, CHAT, ["stop_reason"]),
    "a cut answer becomes an end": ({"stop": "length"}, {"stop": "end"}, CHAT, [WRONG]),
    "a filtered answer becomes an end": ({"stop": "content_filter"}, {"stop": "end"}, GEMINI, [WRONG]),
    "a filtered answer in a protocol without filters": (
        {"stop": "content_filter"},
        {"stop": "end"},
        OLLAMA,
        ["stop_reason"],
    ),
    "a refusal is told as text": ({"blocks": (Refusal("No."),)}, {"blocks": (Text("No."),)}, ANTHROPIC, ["refusal"]),
    "a refusal is dropped": ({"blocks": (Text("a"), Refusal("No."))}, {"blocks": (Text("a"),)}, ANTHROPIC, [WRONG]),
    "thinking is dropped": ({"blocks": (Thinking("Hm."), *REPLY.blocks)}, {}, OLLAMA, [WRONG]),
    "cached tokens are not reported": ({}, {"usage": Usage(87, 5, None, None, 3)}, CHAT, [WRONG]),
    "cached tokens in a protocol without them": ({}, {"usage": Usage(87, 5)}, OLLAMA, []),
    "reasoning tokens are not reported": ({}, {"usage": Usage(7, 5, 80)}, GEMINI, [WRONG]),
}


@pytest.mark.parametrize("name", OTHER_PARTS)
def test_other_parts_of_replies_are_compared(name: str) -> None:
    sent, received, client, expected = OTHER_PARTS[name]
    found = reply_differences(replace(REPLY, **sent), RESPONSES, replace(REPLY, **received), client)
    assert [difference.feature for difference in found] == expected


def test_a_stream_without_a_citation_differs_from_its_unary_twin() -> None:
    (difference,) = same_reply(REPLY, replace(REPLY, cites=(CITATION,)))
    assert difference.startswith("citations: ")


@pytest.mark.parametrize(
    ("system", "form", "expected"),
    [
        (("Answer in JSON.",), ResponseFormat(), ["json_object"]),
        (("Answer in JSON.",), None, ["json_object"]),
        (("Be brief.",), ResponseFormat(), [WRONG, WRONG]),
        ((), ResponseFormat(), []),
    ],
)
def test_a_response_format_as_system_text(
    system: tuple[str, ...], form: ResponseFormat | None, expected: list[str]
) -> None:
    sent = replace(request_of(), format=ResponseFormat())
    assert features(sent, GEMINI, replace(sent, system=system, format=form), CHAT) == sorted(set(expected))


# ---- fields of requests ----------------------------------------------------------------------------------------------

FORMAT = ResponseFormat(schema={"type": "object", "properties": {}})
TREE = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"items": {"$ref": "#/$defs/b"}}}}
CITED = {"$.messages[1].content[0].citations": [{"url": "https://a.example"}]}

SIX = ("a", "b", "c", "d", "e", "f")

FIELDS: dict[str, tuple[dict[str, Any], Any, dict[str, Any], Any, list[str]]] = {
    "the user is dropped": ({"user": "u"}, CHAT, {}, RESPONSES, [WRONG]),
    "the user in a protocol without one": ({"user": "u"}, CHAT, {}, GEMINI, ["user"]),
    "as many stop sequences as it takes": ({"stop": SIX}, OLLAMA, {"stop": SIX[:4]}, CHAT, []),
    "the last stop sequences": ({"stop": SIX}, OLLAMA, {"stop": SIX[2:]}, CHAT, [WRONG]),
    "fewer stop sequences than it takes": ({"stop": SIX}, OLLAMA, {"stop": SIX[:4]}, GEMINI, [WRONG]),
    "fewer stop sequences where none is too many": ({"stop": SIX}, CHAT, {"stop": SIX[:5]}, ANTHROPIC, [WRONG]),
    "no stop sequence where only blank ones are refused": ({"stop": ("a",)}, OLLAMA, {}, ANTHROPIC, [WRONG]),
    "no stop sequence": ({"stop": ("a",)}, OLLAMA, {}, GEMINI, [WRONG]),
    "no stop sequence in a protocol without them": ({"stop": ("a",)}, OLLAMA, {}, RESPONSES, []),
    "some stop sequences where blank ones are refused": (
        {"stop": ("\n", "b")},
        OLLAMA,
        {"stop": ("b",)},
        ANTHROPIC,
        ["stop"],
    ),
    "a higher bound of tokens": ({"max_tokens": 8}, CHAT, {"max_tokens": 16}, RESPONSES, ["max_tokens"]),
    "no bound of tokens": ({"max_tokens": 64}, CHAT, {}, RESPONSES, [WRONG]),
    "no format": ({"format": FORMAT}, CHAT, {}, ANTHROPIC, ["json_schema", WRONG]),
    "a format in the text": (
        {"format": FORMAT},
        CHAT,
        {"system": ('JSON of {"type": "object", "properties": {}}',)},
        ANTHROPIC,
        ["json_schema", WRONG],
    ),
    "metadata of the other protocol are dropped": ({"extra": {"$.metadata": {"a": "b"}}}, CHAT, {}, RESPONSES, [WRONG]),
    "metadata of stored answers": ({"extra": {"$.metadata": {"a": "b"}}}, RESPONSES, {}, CHAT, ["metadata"]),
    "citations of a history": ({"extra": CITED}, ANTHROPIC, {}, CHAT, ["citations"]),
    "citations of a history that could hold them": ({"extra": CITED}, ANTHROPIC, {}, RESPONSES, [WRONG]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_requests_are_compared(name: str) -> None:
    sent, client, received, upstream, expected = FIELDS[name]
    assert features(replace(request_of(), **sent), client, replace(request_of(), **received), upstream) == expected


def test_a_schema_that_refers_to_itself() -> None:
    assert refers_to_itself(TREE)
    assert not refers_to_itself({**TREE, "$defs": {"b": {"type": "string"}}})
    assert not refers_to_itself({"type": "object"})
