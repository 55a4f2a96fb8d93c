"""Complaints about images, documents and schemas, and how they are converted (C, J)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON

from .exchange import exchange

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"
IMAGE: JSON = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT: JSON = {
    "type": "document",
    "title": "rules.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
}
TOOL: JSON = {"name": "f", "description": "F.", "input_schema": {"type": "object", "properties": {}}}


def with_result(*content: JSON, calls: int = 1) -> JSON:
    """Returns an Anthropic request whose first call has this content as its result; the others have a text."""
    ids = [f"toolu_{n}" for n in range(calls)]
    results: list[JSON] = [{"type": "tool_result", "tool_use_id": id_, "content": "done"} for id_ in ids]
    results[0]["content"] = list(content)
    return {
        "messages": [
            {"role": "user", "content": "Call f."},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": id_, "name": "f", "input": {}} for id_ in ids],
            },
            {"role": "user", "content": results},
        ],
        "tools": [TOOL],
    }


async def test_c1_an_image_in_a_result_follows_all_results_in_chat() -> None:
    body = with_result({"type": "text", "text": "seen"}, IMAGE, calls=2)
    it = await exchange("anthropic", "openai-chat", body=body)
    roles = [message["role"] for message in it.upstream["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    assert "seen" in json.dumps(it.upstream["messages"][2]["content"])
    (image,) = (part for part in it.upstream["messages"][-1]["content"] if part["type"] == "image_url")
    assert image["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert it.losses == ["tool_result_media"]


async def test_c1_an_image_in_a_result_stays_there_in_responses() -> None:
    it = await exchange("anthropic", "openai-responses", body=with_result(IMAGE))
    (part,) = it.upstream["input"][-1]["output"]
    assert (part["type"], part["image_url"]) == ("input_image", f"data:image/png;base64,{PNG}")
    assert it.losses == []


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro-preview"])
async def test_c1_an_image_in_a_result_is_inline_data_in_gemini(model: str) -> None:
    it = await exchange("anthropic", "gemini", body=with_result(IMAGE), model=model)
    assert f'"data": "{PNG}"' in json.dumps(it.upstream["contents"][-1])
    assert '"mimeType": "image/png"' in json.dumps(it.upstream["contents"][-1])


async def test_c3_a_document_is_a_file_in_responses() -> None:
    user = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Read"}, DOCUMENT]}]}
    it = await exchange("anthropic", "openai-responses", body=user)
    file = it.upstream["input"][0]["content"][1]
    assert (file["type"], file["file_data"]) == ("input_file", f"data:application/pdf;base64,{PDF}")
    it = await exchange("anthropic", "openai-responses", body=with_result(DOCUMENT))
    (file,) = it.upstream["input"][-1]["output"]
    assert (file["type"], file["file_data"]) == ("input_file", f"data:application/pdf;base64,{PDF}")
    url = {"type": "document", "source": {"type": "url", "url": "https://papers.example/a.pdf"}}
    it = await exchange("anthropic", "openai-responses", body={"messages": [{"role": "user", "content": [url]}]})
    assert it.upstream["input"][0]["content"][0]["file_url"] == "https://papers.example/a.pdf"


async def test_c3_a_document_is_a_file_in_chat_not_an_image() -> None:
    user = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Read"}, DOCUMENT]}]}
    it = await exchange("anthropic", "openai-chat", body=user)
    part = it.upstream["messages"][0]["content"][1]
    assert part == {
        "type": "file",
        "file": {"filename": "rules.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    }


@pytest.mark.parametrize("backend", ["anthropic", "gemini"])
async def test_c4_a_data_url_is_split(backend: str) -> None:
    file = {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    it = await exchange("openai-responses", backend, body={"input": [{"role": "user", "content": [file]}]})
    if backend == "anthropic":
        source = it.upstream["messages"][0]["content"][0]["source"]
        assert source == {"type": "base64", "media_type": "application/pdf", "data": PDF}
    else:
        inline = it.upstream["contents"][0]["parts"][0]["inlineData"]
        assert (inline["mimeType"], inline["data"]) == ("application/pdf", PDF)


@pytest.mark.parametrize(
    ("mime", "name"),
    [
        ("application/pdf", "document.pdf"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document.docx"),
        ("text/csv", "document.csv"),
        ("text/markdown", "document.md"),
    ],
)
async def test_a_document_without_a_name_gets_the_extension_of_its_type(mime: str, name: str) -> None:
    part = {"inlineData": {"mimeType": mime, "data": "UEsDBA=="}}
    body = {"contents": [{"role": "user", "parts": [{"text": "Read."}, part]}]}
    it = await exchange("gemini", "openai-responses", body=body)
    assert it.upstream["input"][0]["content"][1]["filename"] == name
    if not mime.startswith("text/"):  # chat gets texts as text
        it = await exchange("gemini", "openai-chat", body=body)
        assert it.upstream["messages"][0]["content"][1]["file"]["filename"] == name


async def test_c5_inline_data_is_an_image() -> None:
    parts = [{"text": "What is this"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]
    it = await exchange("gemini", "openai-chat", body={"contents": [{"role": "user", "parts": parts}]})
    part = it.upstream["messages"][0]["content"][1]
    assert (part["type"], part["image_url"]["url"]) == ("image_url", f"data:image/png;base64,{PNG}")


URLS = (
    ("ollama", {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}, "image"),
    ("openai-chat", {"type": "document", "source": {"type": "url", "url": "https://papers.example/a.pdf"}}, "document"),
)


@pytest.mark.parametrize(("backend", "block", "feature"), URLS, ids=[feature for *_, feature in URLS])
async def test_c6_an_unsupported_url_is_refused_and_never_fetched(backend: str, block: JSON, feature: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "See"}, block]}]}
    it = await exchange("anthropic", backend, body=body)
    assert it.answer.status == 400
    assert feature in it.body["error"]["message"]
    assert it.sent == []


SEARCH_RESULT: JSON = {
    "type": "search_result",
    "source": "https://docs.example/tides",
    "title": "Tides",
    "content": [{"type": "text", "text": "High water at noon."}],
}


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses", "gemini", "ollama"])
async def test_c7_a_search_result_is_sent_as_text(backend: str) -> None:
    it = await exchange("anthropic", backend, body=with_result(SEARCH_RESULT))
    sent = json.dumps(it.upstream, ensure_ascii=False)
    assert "High water at noon." in sent
    assert it.losses == ["citations"]


# ---- schemas ---------------------------------------------------------------------------------------------------------

SCHEMA: JSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "age": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2},
        "tags": {"type": "array", "uniqueItems": True, "items": {"anyOf": [{"$ref": "#/$defs/tag"}, {"type": "null"}]}},
    },
    "required": ["age"],
    "$defs": {"tag": {"type": "object", "properties": {"weight": {"type": "number", "exclusiveMinimum": 0}}}},
}


async def test_j1_gemini_gets_json_schema_in_parameters_json_schema() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    it = await exchange("openai-chat", "gemini", body={"messages": [{"role": "user", "content": "f"}], "tools": [tool]})
    (declared,) = it.upstream["tools"][0]["functionDeclarations"]
    assert "parameters" not in declared
    schema = declared["parametersJsonSchema"]
    assert schema["properties"] == SCHEMA["properties"]
    assert schema["$defs"] == SCHEMA["$defs"]


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses", "ollama"])
async def test_j2_schema_keywords_are_kept_where_they_are_supported(backend: str) -> None:
    body = {"messages": [{"role": "user", "content": "f"}], "tools": [{"name": "f", "input_schema": SCHEMA}]}
    it = await exchange("anthropic", backend, body=body)
    (tool,) = it.upstream["tools"]
    assert tool.get("function", tool)["parameters"] == SCHEMA


RESPONSE_SCHEMA: JSON = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}


def at(value: Any, *path: str) -> Any:
    for key in path:
        value = value[key]
    return value


SLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("anthropic", ("output_config", "format", "schema")),
    ("gemini", ("generationConfig", "responseJsonSchema")),
    ("openai-responses", ("text", "format", "schema")),
    ("ollama", ("format",)),
)


@pytest.mark.parametrize(("backend", "slot"), SLOTS, ids=[name for name, _ in SLOTS])
async def test_j4_a_response_schema_is_not_lost(backend: str, slot: tuple[str, ...]) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": RESPONSE_SCHEMA}}
    body = {"messages": [{"role": "user", "content": "Which colour?"}], "response_format": form}
    it = await exchange("openai-chat", backend, body=body)
    assert at(it.upstream, *slot) == RESPONSE_SCHEMA
    assert it.losses == []
    if backend == "gemini":
        assert it.upstream["generationConfig"]["responseMimeType"] == "application/json"
    if backend == "anthropic":
        assert "structured-outputs" not in it.headers.get("anthropic-beta", "")


async def test_j5_json_object_is_converted_for_each_protocol() -> None:
    body = {"messages": [{"role": "user", "content": "As JSON."}], "response_format": {"type": "json_object"}}
    gemini = await exchange("openai-chat", "gemini", body=body)
    config = gemini.upstream["generationConfig"]
    assert config == {"responseMimeType": "application/json"}
    ollama = await exchange("openai-chat", "ollama", body=body)
    assert ollama.upstream["format"] == "json"
    anthropic = await exchange("openai-chat", "anthropic", body=body)
    assert "JSON" in json.dumps(anthropic.upstream["system"])
    assert anthropic.losses == ["json_object"]
    assert gemini.losses == ollama.losses == []
