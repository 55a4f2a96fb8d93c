"""What the providers have around the chat: vectors, a store of responses, compaction, a version; as strict as they are.

It knows bodies and addresses below a provider's base path, and nothing of HTTP but the method.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from urllib.parse import unquote

from .dialects.contract import CREATED, Dialect, Failure, Provider
from .journal import Entry

Answer: TypeAlias = dict[str, Any] | Failure

LENGTHS = {"openai": 1536, "gemini": 3072, "ollama": 768}
"""Numbers in a vector that nobody bounded: text-embedding-3-small, gemini-embedding-001, embeddinggemma."""


def around(entry: Entry, provider: Provider, dialect: Dialect, path: str, before: Sequence[Entry]) -> Answer | None:
    """The answer to what is no chat, None where nothing of this kind has the path; `before` is what was said so far."""
    bare = path.partition("?")[0]
    for protocols, method, pattern, play in PLACES:
        found = re.fullmatch(pattern, bare)
        if provider.protocol not in protocols or method != entry.method or found is None:
            continue
        # an address that wants nothing but a key: so this judges the key alone
        refused = dialect.heed(KEYED[provider.protocol], entry.headers, {}, provider)
        if refused is not None:
            return refused
        if method == "POST" and entry.received:
            try:
                entry.body = json.loads(entry.received)
            except (ValueError, RecursionError) as problem:
                return _bad(f"We could not parse the JSON body of your request: {problem}")
            if not isinstance(entry.body, dict):
                return _bad("We could not parse the JSON body of your request: it is no object.")
        return play(entry, provider, found, before)
    return None


KEYED = {
    "openai-chat": "/models",
    "openai-responses": "/models",
    "gemini": "/v1beta/models",
    "ollama": "/api/tags",
}


def _bad(message: str, param: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, param=param)


def vector(text: object, length: int) -> list[float]:
    """Numbers that depend on the text alone, of length 1, each a 32-bit float."""
    seed = hashlib.sha256(repr(text).encode()).digest()
    raw = [((seed[n % 32] * (n + 7)) % 251) - 125.0 for n in range(length)]
    norm = math.sqrt(sum(number * number for number in raw)) or 1.0
    return list(struct.unpack(f"<{length}f", struct.pack(f"<{length}f", *(number / norm for number in raw))))


def _tokens(text: str | list[int]) -> int:
    return len(text) if isinstance(text, list) else max(1, len(text) // 4)


# ---- OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings/create ---------------------------

_EMBEDDING = ("input", "model", "dimensions", "encoding_format", "user")


def _openai_embed(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    body = entry.body
    for key in body:
        if key not in _EMBEDDING:
            return _bad(f"Unrecognized request argument supplied: {key}")
    model = body.get("model")
    if not isinstance(model, str):
        return _bad("you must provide a model parameter", "model")
    if missing := _unknown(model, provider):
        return missing
    given = body.get("input")
    inputs = [given] if isinstance(given, str) or _is_ids(given) else given
    # "The input must not exceed the max input tokens for the model …, cannot be an empty string, and any array must be
    # 2048 dimensions or less."
    valid = isinstance(inputs, list) and 0 < len(inputs) <= 2048
    if not valid or any(not text or not (isinstance(text, str) or _is_ids(text)) for text in inputs):
        return _bad(
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
    length = body.get("dimensions", LENGTHS["openai"])
    if not isinstance(length, int) or length < 1:
        return _bad(f"Invalid value for 'dimensions' = {length}. Must be at least 1.", "dimensions")
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        return _bad(f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.", "encoding_format")
    vectors = [vector(text, length) for text in inputs]
    said = [base64.b64encode(struct.pack(f"<{length}f", *v)).decode() if form == "base64" else v for v in vectors]
    total = sum(map(_tokens, inputs))
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": numbers} for n, numbers in enumerate(said)],
        "model": model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _unknown(model: str, provider: Provider) -> Failure | None:
    if not provider.models or model in provider.upstream_models:
        return None
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Failure(404, "not_found", message, "model_not_found", "model")


# ---- Gemini's: https://ai.google.dev/api/embeddings ------------------------------------------------------------------

_GEMINI_EMBEDDING = ("model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig")


def _gemini_embed(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    model, method = unquote(found[1]), found[2]
    if provider.models and model not in provider.upstream_models:
        return Failure(
            404, "not_found", f"models/{model} is not found for API version v1beta, or is not supported for {method}."
        )
    batch = method == "batchEmbedContents"
    requests = entry.body.get("requests") if batch else [entry.body]
    if not isinstance(requests, list) or not requests:
        return _bad("* BatchEmbedContentsRequest.requests: at least one request is required\n")
    vectors = []
    total = 0
    for n, one in enumerate(requests):
        where = f"BatchEmbedContentsRequest.requests[{n}]" if batch else "EmbedContentRequest"
        for key in one:
            if key not in _GEMINI_EMBEDDING:
                return _bad(f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
        # "The model in each of these requests must match the model specified BatchEmbedContentsRequest.model."
        if one.get("model", "" if batch else f"models/{model}") != f"models/{model}":
            return _bad(f"* {where}.model: model must match the model in the url\n")
        parts = one.get("content", {}).get("parts") or []
        texts = [
            text for part in parts if isinstance(part, dict) and isinstance(text := part.get("text"), str) and text
        ]
        if not texts or len(texts) < len(parts):
            return _bad(f"* {where}.content: contents is not specified\n")
        text = "\n".join(texts)
        length = one.get("embedContentConfig", {}).get("outputDimensionality") or one.get("outputDimensionality")
        vectors.append({"values": vector(text, length or LENGTHS["gemini"])})
        total += _tokens(text)
    said: dict[str, Any] = {"embeddings": vectors} if batch else {"embedding": vectors[0]}
    return said | {"usageMetadata": {"promptTokenCount": total}}


# ---- Ollama's: https://docs.ollama.com/api/embed ---------------------------------------------------------------------


def _ollama_embed(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    body = entry.body
    if missing := _not_pulled(body, provider):
        return missing
    given = body.get("input")
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        return _bad("invalid input type")
    vectors = [vector(text, body.get("dimensions") or LENGTHS["ollama"]) for text in inputs]
    took = {"total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": sum(map(_tokens, inputs))}
    return {"model": body["model"], "embeddings": vectors, **took}


def _ollama_embeddings(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    """The older address. https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embedding"""
    if missing := _not_pulled(entry.body, provider):
        return missing
    return {"embedding": vector(entry.body.get("prompt", ""), LENGTHS["ollama"])}


def _not_pulled(body: dict[str, Any], provider: Provider) -> Failure | None:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        return _bad("model is required")
    if not provider.models or model in provider.upstream_models:
        return None
    return Failure(404, "not_found", f'model "{model}" not found, try pulling it first')


def _ollama_version(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    return {"version": "0.12.6"}


# ---- the store of Responses: https://platform.openai.com/docs/api-reference/responses --------------------------------


def _compact(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    """All user messages, and one item for everything else."""
    body = entry.body
    model = body.get("model")
    if not isinstance(model, str):
        return _bad("Missing required parameter: 'model'.", "model")
    if missing := _unknown(model, provider):
        return missing
    given = body.get("input", [])
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    kept = [_item(item, n) for n, item in enumerate(items) if isinstance(item, dict) and item.get("role") == "user"]
    size = len(entry.received) // 4
    sealed = base64.b64encode(f"cmp:{provider.name}:{size}".encode()).decode()
    return {
        "id": "resp_compacted",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [*kept, {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}],
        "usage": {
            "input_tokens": size,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": size + 9,
        },
    }


def _item(item: dict[str, Any], n: int) -> dict[str, Any]:
    """An item of the input as the store gives it back: with an id, and a text as a list of parts."""
    given = item.get("content")
    parts = {"content": [{"type": "input_text", "text": given}]} if isinstance(given, str) else {}
    return {"type": "message", "status": "completed", **item, **parts, "id": f"msg_{n}"}


def _kept(name: str, provider: Provider, before: Sequence[Entry]) -> tuple[dict[str, Any], Entry] | Failure:
    """A response that was said, with what asked for it, unless it was not to be kept, or is deleted."""
    last: tuple[dict[str, Any], Entry] | None = None
    for entry in before:
        if entry.provider != provider.name or entry.status != 200:
            continue
        if entry.method == "DELETE" and entry.path.endswith(f"/{name}"):
            last = None
        elif entry.method == "POST" and isinstance(entry.body, dict) and entry.body.get("store") is not False:
            try:
                said = json.loads(bytes(entry.sent))
            except ValueError:
                continue
            if said.get("id") == name and said.get("object") == "response":
                last = said, entry
    missing = Failure(404, "not_found", f"Response with id '{name}' not found.", None, "response_id")
    return missing if last is None else last


def _retrieve(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    kept = _kept(found[1], provider, before)
    return kept if isinstance(kept, Failure) else kept[0]


def _delete(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    kept = _kept(found[1], provider, before)
    return kept if isinstance(kept, Failure) else {"id": found[1], "object": "response", "deleted": True}


def _cancel(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    """ "Only responses created with the background parameter set to true can be cancelled." """
    kept = _kept(found[1], provider, before)
    if isinstance(kept, Failure):
        return kept
    said, asked = kept
    return said if asked.body.get("background") else _bad("Cannot cancel a synchronous response.")


def _input_items(entry: Entry, provider: Provider, found: re.Match[str], before: Sequence[Entry]) -> Answer:
    kept = _kept(found[1], provider, before)
    if isinstance(kept, Failure):
        return kept
    given = kept[1].body.get("input", [])
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    data = [_item(item, n) for n, item in enumerate(items)]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": False}


Play = Callable[[Entry, Provider, "re.Match[str]", Sequence[Entry]], Answer]

_OPENAI = ("openai-chat", "openai-responses")
_STORED = ("openai-responses",)

PLACES: tuple[tuple[tuple[str, ...], str, str, Play], ...] = (
    (_OPENAI, "POST", r"/embeddings", _openai_embed),
    (("gemini",), "POST", r"/v1(?:beta)?/models/(.+):(embedContent|batchEmbedContents)", _gemini_embed),
    (("ollama",), "POST", r"/api/embed", _ollama_embed),
    (("ollama",), "POST", r"/api/embeddings", _ollama_embeddings),
    (("ollama",), "GET", r"/api/version", _ollama_version),
    (_STORED, "POST", r"/responses/compact", _compact),
    (_STORED, "GET", r"/responses/([^/]+)", _retrieve),
    (_STORED, "DELETE", r"/responses/([^/]+)", _delete),
    (_STORED, "POST", r"/responses/([^/]+)/cancel", _cancel),
    (_STORED, "GET", r"/responses/([^/]+)/input_items", _input_items),
)
"""Which protocols have it, method, path below the base, and who answers."""
