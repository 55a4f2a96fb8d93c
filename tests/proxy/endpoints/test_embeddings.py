"""Embeddings from any client to any backend: batches, lengths, base64, usage, losses, errors in the client's shape."""

from __future__ import annotations

import base64
import itertools
import json
import math
import struct
from typing import Any

import pytest

from ..proxy_fixture import KEY, Answer, config, one, stage
from ..sample_messages import JSON, dumps, error_text, upstream_error
from ..scripted_upstream import http, upstream

NOWHERE = "http://127.0.0.1:1"

# ---- the shapes ------------------------------------------------------------------------------------------------------

CLIENTS: dict[str, tuple[str, str]] = {
    "openai": ("openai-chat", "/v1/embeddings"),
    "gemini": ("gemini", "/v1beta/models/m:batchEmbedContents"),
    "gemini one": ("gemini", "/v1beta/models/m:embedContent"),
    "ollama": ("ollama", "/api/embed"),
    "ollama old": ("ollama", "/api/embeddings"),
}
"""Every way to ask: whose errors it hears, and where it posts."""

SINGLE = ("gemini one", "ollama old")

BACKENDS: dict[str, str] = {
    "openai-chat": "/embeddings",
    "openai-responses": "/embeddings",
    "gemini": "/v1beta/models/up-1:batchEmbedContents",
    "ollama": "/api/embed",
}

TEXTS = ["a wall", "a tide"]
VECTORS = [[0.25, -0.5, 1.0], [0.125, 2.0, -4.0]]  # which 32 bits hold whole
TOKENS = 7

pairs = pytest.mark.parametrize(("client", "backend"), list(itertools.product(CLIENTS, BACKENDS)))


def asks(client: str, texts: list[str], length: int | None = None) -> JSON:
    sized: dict[str, Any] = {} if length is None else {"dimensions": length}
    gemini = {} if length is None else {"outputDimensionality": length}
    match client:
        case "openai":
            return {"model": "m", "input": texts} | sized
        case "gemini":
            return {"requests": [{"model": "models/m", "content": {"parts": [{"text": t}]}} | gemini for t in texts]}
        case "gemini one":
            return {"content": {"parts": [{"text": texts[0]}]}} | gemini
        case "ollama":
            return {"model": "m", "input": texts} | sized
        case _:
            return {"model": "m", "prompt": texts[0]}


def vectors_of(client: str, answer: Answer) -> list[Any]:
    """The vectors of an answer, whose shape must be the client's."""
    body = json.loads(answer.body)
    match client:
        case "openai":
            assert body.keys() == {"object", "data", "model", "usage"}
            assert (body["object"], body["model"]) == ("list", "m")
            assert [each["index"] for each in body["data"]] == list(range(len(body["data"])))
            assert all(each["object"] == "embedding" for each in body["data"])
            return [each["embedding"] for each in body["data"]]
        case "gemini":
            return [each["values"] for each in body["embeddings"]]
        case "gemini one":
            return [body["embedding"]["values"]]
        case "ollama":
            assert body["model"] == "m"
            return list(body["embeddings"])
        case _:
            return [body["embedding"]]


def tokens_of(client: str, answer: Answer) -> int | None:
    body = json.loads(answer.body)
    match client:
        case "openai":
            assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"]
            return int(body["usage"]["prompt_tokens"])
        case "gemini" | "gemini one":
            usage = body.get("usageMetadata")
            return None if usage is None else int(usage["promptTokenCount"])
        case _:
            return body.get("prompt_eval_count")


def says(backend: str, vectors: list[list[float]], tokens: int | None = TOKENS, *, single: bool = False) -> JSON:
    """Returns a backend's answer; `single` is the answer of Gemini's and Ollama's addresses for one text."""
    match backend:
        case "gemini":
            usage = {} if tokens is None else {"usageMetadata": {"promptTokenCount": tokens}}
            values = [{"values": v} for v in vectors]
            return ({"embedding": values[0]} if single else {"embeddings": values}) | usage
        case "ollama":
            count = {} if tokens is None else {"prompt_eval_count": tokens}
            return {"embedding": vectors[0]} if single else {"model": "up-1", "embeddings": vectors} | count
        case _:
            usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
            # a batch may come in any order: the index counts
            data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
            return {"object": "list", "data": data, "model": "up-1"} | usage


def texts_of(backend: str, body: JSON) -> list[Any]:
    """Returns the texts of a request that a backend received."""
    if backend == "gemini":
        requests = body.get("requests", [body])
        assert all(each.get("model", "models/up-1") == "models/up-1" for each in requests)
        return [each["content"]["parts"][0]["text"] for each in requests]
    assert body["model"] == "up-1"
    given = body["prompt"] if "prompt" in body else body["input"]
    return [given] if isinstance(given, str) else list(given)


def length_of(backend: str, body: JSON) -> Any:
    if backend == "gemini":
        return body.get("requests", [body])[0].get("outputDimensionality")
    return body.get("dimensions")


def alike(client: str, backend: str) -> bool:
    """Returns whether the backend gets the client's own address."""
    return client.partition(" ")[0] == backend.partition("-")[0]


# ---- any to any ------------------------------------------------------------------------------------------------------


@pairs
async def test_every_pair(client: str, backend: str) -> None:
    frontend, path = CLIENTS[client]
    single = client in SINGLE
    count = 1 if single else 2
    relayed = alike(client, backend)
    said = says(backend, VECTORS[:count], single=single and relayed)
    async with (
        upstream([http(dumps(said))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask(path, asks(client, TEXTS))
        record = await it.record(answer)
    assert (answer.status, vectors_of(client, answer)) == (200, VECTORS[:count])
    known = None if client == "ollama old" else TOKENS
    assert tokens_of(client, answer) == known
    assert "x-crosswire-estimate" not in answer.headers
    assert answer.headers["x-crosswire-backend"] == "b"
    assert answer.headers["x-crosswire-model"] == "up-1"
    assert "x-crosswire-loss" not in answer.headers
    assert (record["what"], record["frontend"], record["outcome"]) == ("embeddings", frontend, "answered")
    assert record["attempts"][0]["relayed"] is relayed
    if not (relayed and client == "ollama old"):  # whose answer does not say it
        assert record["usage"]["input"] == TOKENS
    (heard,) = up.requests
    assert texts_of(backend, json.loads(heard.body)) == TEXTS[:count]
    if not relayed:
        assert heard.target == BACKENDS[backend]
    assert KEY in str(heard.headers)


@pytest.mark.parametrize(
    ("client", "backend"), [p for p in itertools.product(CLIENTS, BACKENDS) if p[0] != "ollama old"]
)
async def test_the_length_of_vectors(client: str, backend: str) -> None:
    count = 1 if client in SINGLE else 2
    said = says(backend, VECTORS[:count], single=client in SINGLE and alike(client, backend))
    async with (
        upstream([http(dumps(said))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS, 3))
    assert answer.status == 200
    assert "x-crosswire-loss" not in answer.headers
    assert length_of(backend, json.loads(up.requests[0].body)) == 3


@pytest.mark.parametrize("key", ["embedContentConfig", "embed_content_config"])
async def test_geminis_newer_place_for_the_length(key: str) -> None:
    body = asks("gemini one", TEXTS) | {key: {"outputDimensionality": 3}}
    async with upstream([http(dumps(says("ollama", VECTORS[:1])))]) as up, stage(config(one("ollama", up.url))) as it:
        answer = await it.ask(CLIENTS["gemini one"][1], body)
        wrong = await it.ask(CLIENTS["gemini one"][1], body | {key: {"outputDimensionality": "x"}})
    assert (answer.status, json.loads(up.requests[0].body)["dimensions"]) == (200, 3)
    assert "x-crosswire-loss" not in answer.headers
    assert wrong.status == 400
    assert "embedContentConfig.outputDimensionality" in error_text("gemini", 400, wrong.body)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_converted_equal_protocol(client: str, backend: str) -> None:
    """With `relay: never` the codec of the client's own protocol is asked too."""
    count = 1 if client in SINGLE else 2
    async with (
        upstream([http(dumps(says(backend, VECTORS[:count])))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}, relay="never"))) as it,
    ):
        answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS))
    assert vectors_of(client, answer) == VECTORS[:count]
    assert up.requests[0].target == BACKENDS[backend]


@pytest.mark.parametrize(("client", "backend"), [p for p in itertools.product(CLIENTS, BACKENDS) if alike(*p)])
async def test_an_equal_protocol_gets_the_clients_own_bytes(client: str, backend: str) -> None:
    body = dumps(asks(client, TEXTS) | {"a_field_of_tomorrow": [1, None]}).replace(b"a wall", b"\\u0061 wall")
    said = dumps(says(backend, VECTORS[:1], single=client in SINGLE) | {"another": "x"})
    async with upstream([http(said)]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(CLIENTS[client][1], body)
    assert up.requests[0].body == body
    assert answer.body == said


# ---- base64 ----------------------------------------------------------------------------------------------------------


def unpacked(text: str) -> list[float]:
    raw = base64.b64decode(text)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_the_form_that_was_asked_for(backend: str, form: str | None) -> None:
    own = backend.startswith("openai")
    wire: Any = [base64.b64encode(struct.pack("<3f", *v)).decode() for v in VECTORS] if form == "base64" else VECTORS
    async with (
        upstream([http(dumps(says(backend, wire if own else VECTORS)))]) as up,
        stage(config(one(backend, up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask("/v1/embeddings", asks("openai", TEXTS) | ({"encoding_format": form} if form else {}))
    found = vectors_of("openai", answer)
    assert [unpacked(v) for v in found] if form == "base64" else found == VECTORS
    if form == "base64":
        assert [unpacked(v) for v in found] == VECTORS
    assert ("encoding_format" in json.loads(up.requests[0].body)) == (own and form is not None)


@pytest.mark.parametrize("asked", ["float", "base64", None])
@pytest.mark.parametrize("knows", [True, False], ids=["base64 always", "numbers always"])
async def test_a_relayed_host_that_does_not_heed_the_form(knows: bool, asked: str | None) -> None:
    """OpenAI's clients ask for base64 unasked, and the Node client takes numbers for it."""
    wire: Any = [base64.b64encode(struct.pack("<3f", *v)).decode() for v in VECTORS] if knows else VECTORS
    async with (
        upstream([http(dumps(says("openai-chat", wire)))]) as up,
        stage(config(one("openai-chat", up.url, models={"m": "up-1"}))) as it,
    ):
        answer = await it.ask("/v1/embeddings", asks("openai", TEXTS) | ({"encoding_format": asked} if asked else {}))
    found = vectors_of("openai", answer)
    assert [unpacked(v) for v in found] == VECTORS if asked == "base64" else found == VECTORS


async def test_base64_that_nobody_asked_for_is_read() -> None:
    wire: Any = [base64.b64encode(struct.pack("<3f", *v)).decode() for v in VECTORS]
    async with (
        upstream([http(dumps(says("openai-chat", wire)))]) as up,
        stage(config(one("openai-chat", up.url))) as it,
    ):
        answer = await it.ask("/api/embed", asks("ollama", TEXTS))
    assert vectors_of("ollama", answer) == VECTORS


@pytest.mark.parametrize("number", ["1e300", "1" + "0" * 400])
async def test_a_number_beyond_32_bits_is_the_backends_fault(number: str) -> None:
    said = b'{"embeddings": [[%b]]}' % number.encode()
    async with upstream([http(said)]) as up, stage(config(one("ollama", up.url))) as it:
        answer = await it.ask("/v1/embeddings", {"model": "m", "input": "x", "encoding_format": "base64"})
    assert answer.status == 502
    error_text("openai-chat", 502, answer.body)


# ---- what is said of tokens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "backend"), [p for p in itertools.product(CLIENTS, BACKENDS) if not alike(*p)])
async def test_tokens_that_nobody_counted(client: str, backend: str) -> None:
    """OpenAI's answer must say a number: it is a marked estimate. The others say nothing."""
    count = 1 if client in SINGLE else 2
    async with (
        upstream([http(dumps(says(backend, VECTORS[:count], None)))]) as up,
        stage(config(one(backend, up.url))) as it,
    ):
        answer = await it.ask(CLIENTS[client][1], asks(client, ["word" * 5, "word" * 6]))
    assert tokens_of(client, answer) == (11 if client == "openai" else None)
    assert ("x-crosswire-estimate" in answer.headers) is (client == "openai")


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    said = says("openai-chat", VECTORS)
    said["data"].reverse()
    async with upstream([http(dumps(said))]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask("/api/embed", asks("ollama", TEXTS))
    assert vectors_of("ollama", answer) == VECTORS


# ---- losses ----------------------------------------------------------------------------------------------------------

LOSSES: list[tuple[str, str, JSON, str]] = [
    ("openai", "gemini", {"user": "u-1"}, "user"),
    ("openai", "ollama", {"user": "u-1"}, "user"),
    ("openai", "gemini", {"input_type": "query"}, "unknown_field"),
    ("gemini one", "ollama", {"taskType": "RETRIEVAL_QUERY"}, "embedding_options"),
    ("gemini one", "openai-chat", {"title": "Walls"}, "embedding_options"),
    ("gemini one", "openai-chat", {"task_type": "RETRIEVAL_QUERY"}, "embedding_options"),
    ("gemini one", "ollama", {"embedContentConfig": {"taskType": "RETRIEVAL_QUERY"}}, "embedding_options"),
    ("gemini one", "ollama", {"embed_content_config": {"auto_truncate": False}}, "embedding_options"),
    ("ollama", "openai-chat", {"truncate": False}, "embedding_options"),
    ("ollama", "gemini", {"options": {"num_ctx": 4096}}, "load_options"),
    ("ollama", "gemini", {"keep_alive": "5m"}, "unknown_field"),
]


@pytest.mark.parametrize(("client", "backend", "more", "word"), LOSSES)
async def test_what_is_lost_is_said(client: str, backend: str, more: JSON, word: str) -> None:
    count = 1 if client in SINGLE else 2
    async with (
        upstream([http(dumps(says(backend, VECTORS[:count])))]) as up,
        stage(config(one(backend, up.url))) as it,
    ):
        answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS) | more)
        strict = await it.ask(CLIENTS[client][1], asks(client, TEXTS) | more, {"x-crosswire-strict": "1"})
        record = await it.record(answer)
        metrics = await it.metrics()
    assert (answer.status, answer.headers["x-crosswire-loss"]) == (200, word)
    assert [loss["feature"] for loss in record["losses"]] == [word]
    assert f'crosswire_losses_total{{feature="{word}"}} 1.0' in metrics
    assert strict.status == 400
    assert word in error_text(CLIENTS[client][0], 400, strict.body)
    assert len(up.requests) == 1


REFUSED: list[tuple[str, str, JSON, str]] = [
    ("openai", "gemini", {"model": "m", "input": [1, 2, 3]}, "token_input"),
    ("openai", "ollama", {"model": "m", "input": ["a", [1, 2]]}, "token_input"),
    ("gemini one", "openai-chat", {"content": {"parts": [{"inlineData": {"mimeType": "image/png"}}]}}, "image"),
    ("gemini one", "ollama", {"content": {"parts": [{"inline_data": {"mime_type": "audio/mp3"}}]}}, "audio"),
    ("gemini one", "ollama", {"content": {"parts": [{"fileData": {"mimeType": "application/pdf"}}]}}, "document"),
    (
        "gemini",
        "openai-chat",
        {"requests": [{"content": {"parts": [{"text": "x"}]}, "outputDimensionality": n} for n in (3, 4)]},
        "dimensions",
    ),
]


@pytest.mark.parametrize(("client", "backend", "body", "word"), REFUSED)
async def test_what_must_not_be_lost_is_refused(client: str, backend: str, body: JSON, word: str) -> None:
    async with stage(config(one(backend, NOWHERE))) as it:
        answer = await it.ask(CLIENTS[client][1], body)
    assert answer.status == 400
    assert word in error_text(CLIENTS[client][0], 400, answer.body)


async def test_token_ids_go_to_openais_kind() -> None:
    async with (
        upstream([http(dumps(says("openai-chat", VECTORS)))]) as up,
        stage(config(one("openai-chat", up.url, relay="never"))) as it,
    ):
        answer = await it.ask("/v1/embeddings", {"model": "m", "input": [[1, 2], [3]]})
    assert answer.status == 200
    assert json.loads(up.requests[0].body)["input"] == [[1, 2], [3]]


# ---- who is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
async def test_who_has_no_embeddings_refuses(client: str) -> None:
    async with stage(config(one("anthropic", NOWHERE))) as it:
        answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS))
    assert answer.status == 400
    assert "embeddings" in error_text(CLIENTS[client][0], 400, answer.body)


async def test_a_list_of_capabilities_counts() -> None:
    async with stage(config(one("openai-chat", NOWHERE, capabilities=["text"]))) as it:
        answer = await it.ask("/v1/embeddings", asks("openai", TEXTS))
    assert answer.status == 400
    assert "lacks embeddings" in error_text("openai-chat", 400, answer.body)


async def test_another_backend_has_them() -> None:
    async with upstream([http(dumps(says("ollama", VECTORS)))]) as up:
        backends = one("anthropic", NOWHERE, priority=9) | {"c": one("ollama", up.url)["b"]}
        async with stage(config(backends)) as it:
            answer = await it.ask("/v1/embeddings", asks("openai", TEXTS))
    assert (answer.status, answer.headers["x-crosswire-backend"]) == (200, "c")


async def test_the_next_where_the_first_fails() -> None:
    broken = http(upstream_error("openai-chat", "no", 500), "500 No")
    async with upstream([broken]) as first, upstream([http(dumps(says("ollama", VECTORS)))]) as second:
        backends = one("openai-chat", first.url, priority=9) | {"c": one("ollama", second.url)["b"]}
        async with stage(config(backends, retry={"attempts": 2})) as it:
            answer = await it.ask("/v1/embeddings", asks("openai", TEXTS))
    assert (vectors_of("openai", answer), answer.headers["x-crosswire-attempts"]) == (VECTORS, "2")


# ---- faults ----------------------------------------------------------------------------------------------------------

BAD_BODIES: list[tuple[str, bytes]] = [
    ("openai", b"{"),
    ("openai", b"[]"),
    ("openai", b"{}"),
    ("openai", b'{"model": "m"}'),
    ("openai", b'{"model": "m", "input": []}'),
    ("openai", b'{"model": "m", "input": 5}'),
    ("openai", b'{"model": "m", "input": null}'),
    ("openai", b'{"model": "m", "input": {"text": "x"}}'),
    ("openai", b'{"model": "m", "input": ["x", 5]}'),
    ("openai", b'{"model": "m", "input": ["x", []]}'),
    ("openai", b'{"model": "m", "input": [1.5]}'),
    ("openai", b'{"model": "m", "input": [true]}'),
    ("openai", b'{"model": 5, "input": "x"}'),
    ("openai", b'{"model": "m", "input": "x", "encoding_format": "hex"}'),
    ("openai", b'{"model": "m", "input": "x", "dimensions": 0}'),
    ("openai", b'{"model": "m", "input": "x", "dimensions": "3"}'),
    ("gemini", b"{}"),
    ("gemini", b'{"requests": []}'),
    ("gemini", b'{"requests": [5]}'),
    ("gemini", b'{"requests": [{}]}'),
    ("gemini", b'{"requests": [{"content": {"parts": []}}]}'),
    ("gemini one", b"{}"),
    ("gemini one", b'{"content": "x"}'),
    ("gemini one", b'{"content": {"parts": [{}]}}'),
    ("gemini one", b'{"content": {"parts": [{"text": 5}]}}'),
    ("gemini one", b'{"content": {"parts": [{"text": "x"}]}, "outputDimensionality": -1}'),
    ("ollama", b"{}"),
    ("ollama", b'{"model": "m"}'),
    ("ollama", b'{"model": "m", "input": [5]}'),
    ("ollama", b'{"model": "m", "input": "x", "options": []}'),
    ("ollama old", b'{"model": "m", "prompt": ["x"]}'),
]


@pytest.mark.parametrize(("client", "body"), BAD_BODIES)
async def test_a_bad_body_is_the_clients_fault(client: str, body: bytes) -> None:
    async with stage(config(one("openai-responses", NOWHERE))) as it:
        answer = await it.ask(CLIENTS[client][1], body)
    assert answer.status == 400
    error_text(CLIENTS[client][0], 400, answer.body)


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/api/embed", {"input": []}, {"model": "m", "embeddings": []}),
        ("/api/embeddings", {}, {"embedding": []}),
        ("/api/embeddings", {"prompt": ""}, {"embedding": []}),
    ],
)
async def test_a_request_without_a_text_loads_the_model(path: str, body: JSON, wanted: JSON) -> None:
    """As Ollama has it; another host is not called."""
    async with stage(config(one("openai-responses", NOWHERE))) as it:
        answer = await it.ask(path, {"model": "m", **body})
    assert (answer.status, json.loads(answer.body)) == (200, wanted)


GARBAGE: list[tuple[str, bytes]] = [
    ("openai-chat", b""),
    ("openai-chat", b"<html>"),
    ("openai-chat", b"{}"),
    ("openai-chat", b'{"data": [5]}'),
    ("openai-chat", b'{"data": [{"embedding": null}]}'),
    ("openai-chat", b'{"data": [{"embedding": "???"}]}'),
    ("openai-chat", b'{"data": [{"embedding": "AAA="}]}'),
    ("openai-chat", b'{"data": [{"embedding": ["x"]}]}'),
    ("openai-chat", b'{"data": []}'),
    ("gemini", b"{}"),
    ("gemini", b'{"embeddings": [{}]}'),
    ("gemini", b'{"embeddings": [{"values": [1]}, {"values": [1]}]}'),
]


@pytest.mark.parametrize(("backend", "said"), GARBAGE)
async def test_garbage_is_no_vector(backend: str, said: bytes) -> None:
    async with upstream([http(said)]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask("/api/embeddings", asks("ollama old", TEXTS))
    assert answer.status == 502
    error_text("ollama", 502, answer.body)


@pytest.mark.parametrize("client", ["openai", "ollama"])
@pytest.mark.parametrize("backend", BACKENDS)
async def test_half_of_the_vectors_are_a_cut_answer(client: str, backend: str) -> None:
    """Converted and relayed; the next backend has them whole."""
    half = http(dumps(says(backend, VECTORS))[:-9])
    async with upstream([half]) as first, upstream([http(dumps(says("gemini", VECTORS)))]) as second:
        backends = one(backend, first.url, priority=9) | {"c": one("gemini", second.url)["b"]}
        async with stage(config(backends, retry={"attempts": 2})) as it:
            answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS))
            record = await it.record(answer)
    assert vectors_of(client, answer) == VECTORS
    assert [each["outcome"] for each in record["attempts"]] == ["upstream_cut", "answered"]


FAULTS: list[tuple[int, int]] = [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502), (503, 503)]


@pytest.mark.parametrize(("status", "told"), FAULTS)
@pairs
async def test_a_backends_error_is_told_in_the_clients_shape(client: str, backend: str, status: int, told: int) -> None:
    said = http(upstream_error(backend, f"no vectors, {KEY}", status), f"{status} No", retry_after="7")
    async with upstream([said]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(CLIENTS[client][1], asks(client, TEXTS))
    assert answer.status == told
    text = error_text(CLIENTS[client][0], told, answer.body)
    assert KEY not in text
    assert ("no vectors" in text) == (status in (400, 404, 429, 500, 503))
    assert answer.headers["retry-after"] == "7"


async def test_a_vector_of_many_numbers_goes_through_whole() -> None:
    numbers = [math.sin(n) for n in range(3072)]
    async with upstream([http(dumps(says("gemini", [numbers] * 4)))]) as up, stage(config(one("gemini", up.url))) as it:
        answer = await it.ask("/v1/embeddings", asks("openai", ["x"] * 4))
    assert vectors_of("openai", answer) == [numbers] * 4
