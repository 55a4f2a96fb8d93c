"""Non-chat endpoints: embeddings, stored responses, compaction, and their validation."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from crosswire.mockserver.endpoints.embeddings import LENGTHS, vector
from crosswire.mockserver.endpoints.table import answer_endpoint
from crosswire.mockserver.journal import Entry
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import Failure
from crosswire.mockserver.scenarios.provider import Auth, Provider

KEYS = {
    "openai-chat": Auth("authorization", "k"),
    "openai-responses": Auth("authorization", "k"),
    "gemini": Auth("x-goog-api-key", "k"),
    "ollama": Auth("authorization", "k"),
}

HEADERS = {"authorization": "Bearer k", "x-goog-api-key": "k"}


def provider(protocol: str) -> Provider:
    return Provider(name="p", protocol=protocol, models={"m": "m"}, auth=KEYS.get(protocol, Auth("x-api-key", "k")))


def respond(
    protocol: str, method: str, path: str, body: Any = None, before: list[Entry] | None = None, key: bool = True
) -> Any:
    entry = Entry(0, "p", "p", method, path, dict(HEADERS) if key else {})
    entry.received = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer_endpoint(entry, provider(protocol), MOCK_PROTOCOLS[protocol], path, before or [])


GEMINI = "/v1beta/models/m:embedContent"
BATCH = "/v1beta/models/m:batchEmbedContents"


def content(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}, **more}


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_vector_depends_on_its_text_alone() -> None:
    first, again, other = vector("a", 8), vector("a", 8), vector("b", 8)
    assert first == again != other
    assert sum(number * number for number in first) == pytest.approx(1, rel=1e-6)
    assert list(struct.unpack("<8f", struct.pack("<8f", *first))) == first, "each is a 32-bit float"


@pytest.mark.parametrize("protocol", ["openai-chat", "openai-responses"])
def test_openai_embeddings(protocol: str) -> None:
    plain = respond(protocol, "POST", "/embeddings", {"model": "m", "input": ["a", "b"]})
    packed = respond(protocol, "POST", "/embeddings", {"model": "m", "input": ["a", "b"], "encoding_format": "base64"})
    numbers = [each["embedding"] for each in plain["data"]]
    assert numbers == [vector(text, LENGTHS["openai"]) for text in "ab"]
    raw = [base64.b64decode(each["embedding"]) for each in packed["data"]]
    assert [list(struct.unpack(f"<{LENGTHS['openai']}f", each)) for each in raw] == numbers
    assert plain["usage"]["prompt_tokens"] == 2


def test_gemini_embeddings() -> None:
    one = respond("gemini", "POST", GEMINI, content("a", outputDimensionality=4))
    many = respond("gemini", "POST", BATCH, {"requests": [content(t, model="models/m") for t in "ab"]})
    assert one["embedding"]["values"] == vector("a", 4)
    assert [each["values"] for each in many["embeddings"]] == [vector(t, LENGTHS["gemini"]) for t in "ab"]


def test_ollama_embeddings_and_version() -> None:
    assert respond("ollama", "POST", "/api/embed", {"model": "m", "input": "a"})["embeddings"] == [vector("a", 768)]
    assert respond("ollama", "POST", "/api/embeddings", {"model": "m", "prompt": "a"}) == {
        "embedding": vector("a", 768)
    }
    assert respond("ollama", "GET", "/api/version").keys() == {"version"}


INVALID: list[tuple[str, str, Any, int, str]] = [
    ("openai-chat", "/embeddings", b"{", 400, "parse the JSON"),
    ("openai-chat", "/embeddings", [], 400, "parse the JSON"),
    ("openai-chat", "/embeddings", {"input": "x"}, 400, "model parameter"),
    ("openai-chat", "/embeddings", {"model": "n", "input": "x"}, 404, "does not exist"),
    ("openai-chat", "/embeddings", {"model": "m"}, 400, "'$.input' is invalid"),
    ("openai-chat", "/embeddings", {"model": "m", "input": ""}, 400, "'$.input' is invalid"),
    ("openai-chat", "/embeddings", {"model": "m", "input": []}, 400, "'$.input' is invalid"),
    ("openai-chat", "/embeddings", {"model": "m", "input": ["x"] * 2049}, 400, "'$.input' is invalid"),
    ("openai-chat", "/embeddings", {"model": "m", "input": [True]}, 400, "'$.input' is invalid"),
    ("openai-chat", "/embeddings", {"model": "m", "input": "x", "dimensions": 0}, 400, "dimensions"),
    ("openai-chat", "/embeddings", {"model": "m", "input": "x", "encoding_format": "hex"}, 400, "'hex'"),
    ("openai-chat", "/embeddings", {"model": "m", "input": "x", "truncate": True}, 400, "argument supplied: truncate"),
    ("gemini", GEMINI, {}, 400, "contents is not specified"),
    ("gemini", GEMINI, content(input="x"), 400, 'Unknown name "input"'),
    ("gemini", GEMINI, content(model="models/n"), 400, "model must match"),
    ("gemini", BATCH, {"requests": []}, 400, "at least one request"),
    ("gemini", BATCH, {"requests": [content()]}, 400, "model must match"),
    ("gemini", "/v1beta/models/n:embedContent", content(), 404, "models/n is not found"),
    ("ollama", "/api/embed", {"input": "x"}, 400, "model is required"),
    ("ollama", "/api/embed", {"model": "m", "input": 5}, 400, "invalid input type"),
    ("ollama", "/api/embed", {"model": "n", "input": "x"}, 404, 'model "n" not found'),
    ("ollama", "/api/embeddings", {"model": "n"}, 404, 'model "n" not found'),
    ("openai-responses", "/responses/compact", {"input": "x"}, 400, "'model'"),
    ("openai-responses", "/responses/compact", {"model": "n"}, 404, "does not exist"),
]


@pytest.mark.parametrize(("protocol", "path", "body", "status", "words"), INVALID)
def test_invalid_request_is_failure(protocol: str, path: str, body: Any, status: int, words: str) -> None:
    failure = respond(protocol, "POST", path, body)
    assert isinstance(failure, Failure)
    assert failure.status == status
    assert words in failure.message


@pytest.mark.parametrize(("protocol", "path"), sorted({(protocol, path) for protocol, path, *_ in INVALID}))
def test_missing_api_key_is_failure(protocol: str, path: str) -> None:
    failure = respond(protocol, "POST", path, {"model": "m", "input": "x"}, key=False)
    assert isinstance(failure, Failure)
    assert failure.status in (401, 403)


UNKNOWN_PATHS = [
    ("anthropic", "POST", "/v1/embeddings"),
    ("openai-chat", "POST", "/responses/compact"),
    ("openai-chat", "GET", "/responses/resp_1"),
    ("openai-responses", "PUT", "/responses/resp_1"),
    ("gemini", "POST", "/embeddings"),
    ("gemini", "GET", GEMINI),
    ("ollama", "POST", "/api/version"),
]


@pytest.mark.parametrize(("protocol", "method", "path"), UNKNOWN_PATHS)
def test_path_of_no_endpoint(protocol: str, method: str, path: str) -> None:
    assert respond(protocol, method, path, {"model": "m"}) is None


# ---- stored responses ------------------------------------------------------------------------------------------------


def stored_response(**fields: Any) -> Entry:
    entry = Entry(0, "p", "p", "POST", "/v1/responses", {})
    entry.body = {"model": "m", "input": "Hi", **fields}
    entry.status = 200
    entry.sent = bytearray(json.dumps({"id": "resp_1", "object": "response", "status": "completed"}).encode())
    return entry


def deletion() -> Entry:
    entry = Entry(0, "p", "p", "DELETE", "/p/v1/responses/resp_1", {})
    entry.status = 200
    return entry


STORE: list[tuple[str, str, list[Entry], Any]] = [
    ("GET", "/responses/resp_1", [stored_response()], {"id": "resp_1", "object": "response", "status": "completed"}),
    ("GET", "/responses/resp_1", [stored_response(store=False)], 404),
    ("GET", "/responses/resp_1", [], 404),
    ("GET", "/responses/resp_1", [stored_response(), deletion()], 404),
    ("DELETE", "/responses/resp_1", [stored_response()], {"id": "resp_1", "object": "response", "deleted": True}),
    ("DELETE", "/responses/resp_1", [stored_response(), deletion()], 404),
    ("POST", "/responses/resp_1/cancel", [stored_response()], 400),
    ("POST", "/responses/resp_1/cancel", [], 404),
    (
        "POST",
        "/responses/resp_1/cancel",
        [stored_response(background=True)],
        {"id": "resp_1", "object": "response", "status": "completed"},
    ),
    ("GET", "/responses/resp_1/input_items", [], 404),
]


@pytest.mark.parametrize(("method", "path", "before", "wanted"), STORE)
def test_stored_responses(method: str, path: str, before: list[Entry], wanted: Any) -> None:
    found = respond("openai-responses", method, path, before=before)
    assert (found.status if isinstance(found, Failure) else found) == wanted


def test_input_items_of_a_stored_response() -> None:
    found = respond("openai-responses", "GET", "/responses/resp_1/input_items", before=[stored_response()])
    assert [item["content"] for item in found["data"]] == [[{"type": "input_text", "text": "Hi"}]]
    assert (found["first_id"], found["last_id"], found["has_more"]) == ("msg_0", "msg_0", False)


def test_compaction_keeps_user_messages() -> None:
    talk = [
        {"role": "user", "content": "A?"},
        {"role": "assistant", "content": "B."},
        {"role": "user", "content": "C?"},
    ]
    found = respond("openai-responses", "POST", "/responses/compact", {"model": "m", "input": talk})
    assert [item["type"] for item in found["output"]] == ["message", "message", "compaction"]
    assert [item["content"][0]["text"] for item in found["output"][:2]] == ["A?", "C?"]
