"""Request parsers: media of every kind, deprecated fields, schema spellings and hosted tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.conformance.client import CLIENTS
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.model import (
    Audio,
    Block,
    Document,
    Image,
    NamedTool,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def gemini(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}], **fields}


def file(uri: str, mime: str | None = None) -> dict[str, Any]:
    return {"fileData": {"fileUri": uri, **({"mimeType": mime} if mime else {})}}


def anthropic(kind: str, **source: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": [{"type": kind, "source": source}]}]}


def chat(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


def responses(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": list(parts)}]}


BLOCKS: list[tuple[str, str, dict[str, Any], Block]] = [
    ("a sound by its type", "gemini", gemini(file("gs://b/a", "audio/wav")), Audio("audio/wav", None, "gs://b/a")),
    ("a sound by its end", "gemini", gemini(file("gs://b/a.mp3")), Audio(None, None, "gs://b/a.mp3")),
    ("a video", "gemini", gemini(file("gs://b/a", "video/mp4")), Video("video/mp4", None, "gs://b/a")),
    ("a video in bytes", "gemini", gemini({"inlineData": {"mimeType": "video/mp4", "data": "AA"}}),
     Video("video/mp4", "AA")),
    ("a video by its site", "gemini", gemini(file("https://youtu.be/x")), Video(None, None, "https://youtu.be/x")),
    ("a picture by its end", "gemini", gemini(file("https://a/b.png")), Image(None, None, "https://a/b.png")),
    ("a document", "gemini", gemini(file("https://a/b.pdf")), Document(None, None, "https://a/b.pdf")),
    ("the result's own key", "gemini", gemini({"functionResponse": {"name": "f", "response": {"output": "x"}}}),
     ToolResult("", (Text("x"),), False, "f")),
    ("a key that is none", "gemini", gemini({"functionResponse": {"name": "f", "response": {"content": "x"}}}),
     ToolResult("", (Text('{"content": "x"}'),), False, "f")),
    ("a picture in the store", "anthropic", anthropic("image", type="file", file_id="f"), Image(file="f")),
    ("a document in the store", "anthropic", anthropic("document", type="file", file_id="f"), Document(file="f")),
    ("a document of blocks", "anthropic",
     anthropic("document", type="content", content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
     Document(text="a\nb")),
    ("a file in the store", "openai-chat", chat({"type": "file", "file": {"file_id": "f"}}), Document(file="f")),
    ("bare base64", "openai-chat", chat({"type": "input_audio", "input_audio": "AA"}), Audio(None, "AA")),
    ("a picture in the store", "openai-responses", responses({"type": "input_image", "file_id": "f"}), Image(file="f")),
    ("a file in the store", "openai-responses", responses({"type": "input_file", "file_id": "f"}), Document(file="f")),
]  # fmt: skip

PATHS = {"gemini": "/v1beta/models/m:generateContent"}


@pytest.mark.parametrize(
    ("protocol", "body", "block"), [row[1:] for row in BLOCKS], ids=[f"{row[1]}: {row[0]}" for row in BLOCKS]
)
def test_parsed_blocks(protocol: str, body: dict[str, Any], block: Block) -> None:
    parsed = MOCK_PROTOCOLS[protocol].parse_request(PATHS.get(protocol, "/"), {}, body)
    assert parsed.extra == {}
    (turn,) = parsed.turns
    (found,) = turn.blocks
    if isinstance(found, ToolResult) and isinstance(block, ToolResult):
        assert found.text.replace(" ", "") == block.text.replace(" ", "")
    else:
        assert found == block


FUNCTION = {"name": "weather", "description": "of a city", "parameters": SCHEMA}


def test_legacy_functions() -> None:
    body = {
        "model": "m",
        "functions": [FUNCTION],
        "function_call": {"name": "weather"},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "12"},
        ],
    }
    parsed = MOCK_PROTOCOLS["openai-chat"].parse_request("/", {}, body)
    assert parsed.extra == {}
    assert parsed.tools == (Tool("weather", "of a city", SCHEMA),)
    assert parsed.tool_choice == NamedTool("weather")
    assert [turn.blocks for turn in parsed.turns[1:]] == [
        (ToolCall("", "weather", "{}"),),
        (ToolResult("", (Text("12"),), name="weather"),),
    ]


def test_deprecated_output_format() -> None:
    body = {"model": "m", "messages": [], "output_format": {"type": "json_schema", "schema": SCHEMA}}
    parsed = MOCK_PROTOCOLS["anthropic"].parse_request("/", {}, body)
    assert (parsed.format, parsed.extra) == (ResponseFormat(SCHEMA), {})


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": 6, "properties": {"x": {"type": 1}}}, {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}),
    ({"any_of": [{"type": 5, "min_items": 2}]}, {"anyOf": [{"type": "ARRAY", "minItems": 2}]}),
    # a property may have the name of a field and keeps the spelling of the client
    ({"properties": {"min_items": {"type": 3}}}, {"properties": {"min_items": {"type": "INTEGER"}}}),
]


@pytest.mark.parametrize(("wire", "schema"), SCHEMAS)
def test_schemas_of_google_clients_are_normalized(wire: dict[str, Any], schema: dict[str, Any]) -> None:
    tools = [{"functionDeclarations": [{"name": "f", "parameters": wire}]}]
    config = {"responseMimeType": "application/json", "responseSchema": wire}
    body = gemini({"text": "hi"}, tools=tools, generationConfig=config)
    parsed = MOCK_PROTOCOLS["gemini"].parse_request(PATHS["gemini"], {}, body)
    assert parsed.tools == (Tool("f", None, schema),)
    assert parsed.format == ResponseFormat(schema)


HOSTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("gemini", gemini({"text": "hi"}, tools=[{"file_search": {"file_search_store_names": ["s"]}}]),
     {"$.tools[0].fileSearch": {"fileSearchStoreNames": ["s"]}}),
    ("openai-responses", {"model": "m", "input": "hi", "tools": [{"type": "image_generation", "size": "auto"}]},
     {"$.tools[0]": {"type": "image_generation", "size": "auto"}}),
    ("openai-chat", {**chat(), "tools": [{"type": "web_search", "size": "low"}]},
     {"$.tools[0]": {"type": "web_search", "size": "low"}}),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "body", "extra"), HOSTED, ids=[row[0] for row in HOSTED])
def test_hosted_tool_goes_to_extra(protocol: str, body: dict[str, Any], extra: dict[str, Any]) -> None:
    assert MOCK_PROTOCOLS[protocol].parse_request(PATHS.get(protocol, "/"), {}, body).extra == extra


def test_empty_legacy_function_call_is_ignored() -> None:
    """Some hosts send every field, also empty ones."""
    message = {"role": "assistant", "content": "4", "refusal": "", "function_call": {"name": "", "arguments": ""}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "custom": {"name": ""}}
    for more, calls in (({}, ()), ({"tool_calls": [call]}, (ToolCall("c", "f", "{}"),))):
        choice = {"index": 0, "message": {**message, **more}, "finish_reason": ""}
        body = {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        reply = CLIENTS["openai-chat"].parse_reply(200, {}, json.dumps(body).encode(), stream=False)
        assert reply.calls == calls
        assert reply.stop is None
