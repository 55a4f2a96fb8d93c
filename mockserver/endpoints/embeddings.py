"""Embeddings endpoints of OpenAI, Gemini and Ollama, with the same request validation as the providers."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from ..journal import Entry
from ..protocols.reply_context import Failure
from ..scenarios.provider import Provider
from .errors import EndpointReply, invalid_request, unknown_model

LENGTHS = {"openai": 1536, "gemini": 3072, "ollama": 768}
"""Provider -> default vector length: text-embedding-3-small, gemini-embedding-001, embeddinggemma."""


def vector(text: object, length: int) -> list[float]:
    """Returns a unit vector derived from the text alone; each number is exact as a 32-bit float."""
    seed = hashlib.sha256(repr(text).encode()).digest()
    raw = [((seed[n % 32] * (n + 7)) % 251) - 125.0 for n in range(length)]
    norm = math.sqrt(sum(number * number for number in raw)) or 1.0
    return list(struct.unpack(f"<{length}f", struct.pack(f"<{length}f", *(number / norm for number in raw))))


def _count_tokens(text: str | list[int]) -> int:
    return len(text) if isinstance(text, list) else max(1, len(text) // 4)


# ---- OpenAI: https://platform.openai.com/docs/api-reference/embeddings/create ----------------------------------------

_OPENAI_FIELDS = ("input", "model", "dimensions", "encoding_format", "user")


def openai_embed(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Returns OpenAI embeddings for one or several texts or token lists."""
    body = entry.body
    for key in body:
        if key not in _OPENAI_FIELDS:
            return invalid_request(f"Unrecognized request argument supplied: {key}")
    model = body.get("model")
    if not isinstance(model, str):
        return invalid_request("you must provide a model parameter", "model")
    if missing := unknown_model(model, provider):
        return missing
    given = body.get("input")
    inputs = [given] if isinstance(given, str) or _is_token_list(given) else given
    # "The input must not exceed the max input tokens for the model …, cannot be an empty string, and any array must be
    # 2048 dimensions or less."
    valid = isinstance(inputs, list) and 0 < len(inputs) <= 2048
    if not valid or any(not text or not (isinstance(text, str) or _is_token_list(text)) for text in inputs):
        return invalid_request(
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
    length = body.get("dimensions", LENGTHS["openai"])
    if not isinstance(length, int) or length < 1:
        return invalid_request(f"Invalid value for 'dimensions' = {length}. Must be at least 1.", "dimensions")
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        return invalid_request(
            f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.", "encoding_format"
        )
    vectors = [vector(text, length) for text in inputs]
    encoded = [base64.b64encode(struct.pack(f"<{length}f", *v)).decode() if form == "base64" else v for v in vectors]
    total = sum(map(_count_tokens, inputs))
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": numbers} for n, numbers in enumerate(encoded)],
        "model": model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }


def _is_token_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


# ---- Gemini: https://ai.google.dev/api/embeddings --------------------------------------------------------------------

_GEMINI_FIELDS = ("model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig")


def gemini_embed(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Returns Gemini embeddings for one content or a batch of them."""
    model, method = unquote(path[1]), path[2]
    if provider.models and model not in provider.upstream_models:
        return Failure(
            404, "not_found", f"models/{model} is not found for API version v1beta, or is not supported for {method}."
        )
    batch = method == "batchEmbedContents"
    requests = entry.body.get("requests") if batch else [entry.body]
    if not isinstance(requests, list) or not requests:
        return invalid_request("* BatchEmbedContentsRequest.requests: at least one request is required\n")
    vectors = []
    total = 0
    for n, one in enumerate(requests):
        where = f"BatchEmbedContentsRequest.requests[{n}]" if batch else "EmbedContentRequest"
        for key in one:
            if key not in _GEMINI_FIELDS:
                return invalid_request(f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
        # "The model in each of these requests must match the model specified BatchEmbedContentsRequest.model."
        if one.get("model", "" if batch else f"models/{model}") != f"models/{model}":
            return invalid_request(f"* {where}.model: model must match the model in the url\n")
        parts = one.get("content", {}).get("parts") or []
        texts = [
            text for part in parts if isinstance(part, dict) and isinstance(text := part.get("text"), str) and text
        ]
        if not texts or len(texts) < len(parts):
            return invalid_request(f"* {where}.content: contents is not specified\n")
        text = "\n".join(texts)
        length = one.get("embedContentConfig", {}).get("outputDimensionality") or one.get("outputDimensionality")
        vectors.append({"values": vector(text, length or LENGTHS["gemini"])})
        total += _count_tokens(text)
    reply: dict[str, Any] = {"embeddings": vectors} if batch else {"embedding": vectors[0]}
    return reply | {"usageMetadata": {"promptTokenCount": total}}


# ---- Ollama: https://docs.ollama.com/api/embed -----------------------------------------------------------------------


def ollama_embed(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Returns Ollama embeddings for one or several texts."""
    body = entry.body
    if missing := _missing_model(body, provider):
        return missing
    given = body.get("input")
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        return invalid_request("invalid input type")
    vectors = [vector(text, body.get("dimensions") or LENGTHS["ollama"]) for text in inputs]
    metrics = {
        "total_duration": 14143917,
        "load_duration": 1019500,
        "prompt_eval_count": sum(map(_count_tokens, inputs)),
    }
    return {"model": body["model"], "embeddings": vectors, **metrics}


def ollama_embeddings(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Returns one embedding for the legacy endpoint. https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embedding"""
    if missing := _missing_model(entry.body, provider):
        return missing
    return {"embedding": vector(entry.body.get("prompt", ""), LENGTHS["ollama"])}


def _missing_model(body: dict[str, Any], provider: Provider) -> Failure | None:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        return invalid_request("model is required")
    if not provider.models or model in provider.upstream_models:
        return None
    return Failure(404, "not_found", f'model "{model}" not found, try pulling it first')
