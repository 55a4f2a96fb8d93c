"""What a reader makes of a request: media of every kind, older fields, and numbers where words were meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mockserver.dialects import DIALECTS
from mockserver.speech import Audio, Block, Call, Document, Format, Image, Named, Result, Text, Tool, Video

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
     Result("", (Text("x"),), False, "f")),
    ("a key that is none", "gemini", gemini({"functionResponse": {"name": "f", "response": {"content": "x"}}}),
     Result("", (Text('{"content": "x"}'),), False, "f")),
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
    ("dialect", "body", "block"), [row[1:] for row in BLOCKS], ids=[f"{row[1]}: {row[0]}" for row in BLOCKS]
)
def test_blocks(dialect: str, body: dict[str, Any], block: Block) -> None:
    understood = DIALECTS[dialect].read(PATHS.get(dialect, "/"), {}, body)
    assert understood.extra == {}
    (turn,) = understood.turns
    (found,) = turn.blocks
    if isinstance(found, Result) and isinstance(block, Result):
        assert found.text.replace(" ", "") == block.text.replace(" ", "")
    else:
        assert found == block


FUNCTION = {"name": "weather", "description": "of a city", "parameters": SCHEMA}


def test_the_functions_that_came_before_tools() -> None:
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
    understood = DIALECTS["openai-chat"].read("/", {}, body)
    assert understood.extra == {}
    assert understood.tools == (Tool("weather", "of a city", SCHEMA),)
    assert understood.tool_choice == Named("weather")
    assert [turn.blocks for turn in understood.turns[1:]] == [
        (Call("", "weather", "{}"),),
        (Result("", (Text("12"),), name="weather"),),
    ]


def test_the_output_format_that_came_before_output_config() -> None:
    body = {"model": "m", "messages": [], "output_format": {"type": "json_schema", "schema": SCHEMA}}
    understood = DIALECTS["anthropic"].read("/", {}, body)
    assert (understood.format, understood.extra) == (Format(SCHEMA), {})


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": 6, "properties": {"x": {"type": 1}}}, {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}),
    ({"any_of": [{"type": 5, "min_items": 2}]}, {"anyOf": [{"type": "ARRAY", "minItems": 2}]}),
    # a property may be called like a field, in the client's own spelling
    ({"properties": {"min_items": {"type": 3}}}, {"properties": {"min_items": {"type": "INTEGER"}}}),
]


@pytest.mark.parametrize(("wire", "schema"), SCHEMAS)
def test_the_schemas_of_googles_clients(wire: dict[str, Any], schema: dict[str, Any]) -> None:
    tools = [{"functionDeclarations": [{"name": "f", "parameters": wire}]}]
    config = {"responseMimeType": "application/json", "responseSchema": wire}
    body = gemini({"text": "hi"}, tools=tools, generationConfig=config)
    understood = DIALECTS["gemini"].read(PATHS["gemini"], {}, body)
    assert understood.tools == (Tool("f", None, schema),)
    assert understood.format == Format(schema)


HOSTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("gemini", gemini({"text": "hi"}, tools=[{"file_search": {"file_search_store_names": ["s"]}}]),
     {"$.tools[0].fileSearch": {"fileSearchStoreNames": ["s"]}}),
    ("openai-responses", {"model": "m", "input": "hi", "tools": [{"type": "image_generation", "size": "auto"}]},
     {"$.tools[0]": {"type": "image_generation", "size": "auto"}}),
    ("openai-chat", {**chat(), "tools": [{"type": "web_search", "size": "low"}]},
     {"$.tools[0]": {"type": "web_search", "size": "low"}}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "body", "extra"), HOSTED, ids=[row[0] for row in HOSTED])
def test_a_hosted_tool_is_listed_whole(dialect: str, body: dict[str, Any], extra: dict[str, Any]) -> None:
    assert DIALECTS[dialect].read(PATHS.get(dialect, "/"), {}, body).extra == extra


def test_a_call_that_says_nothing_is_none() -> None:
    """Some hosts fill in every field."""
    message = {"role": "assistant", "content": "4", "refusal": "", "function_call": {"name": "", "arguments": ""}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "custom": {"name": ""}}
    for more, calls in (({}, ()), ({"tool_calls": [call]}, (Call("c", "f", "{}"),))):
        choice = {"index": 0, "message": {**message, **more}, "finish_reason": ""}
        body = {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        heard = DIALECTS["openai-chat"].hear(200, {}, json.dumps(body).encode(), stream=False)
        assert heard.calls == calls
        assert heard.stop is None
