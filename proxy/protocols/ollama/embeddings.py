"""Ollama's /api/embed, and /api/embeddings, which it replaced.

Source: https://docs.ollama.com/api/embed
"""

from __future__ import annotations

from typing import Any

from ...errors import Malformed
from ...ir import Loss
from ...ir.embeddings import (
    EmbeddingsInput,
    EmbeddingsReply,
    EmbeddingsRequest,
    extra_fields,
    parse_vector,
    pop_dimensions,
    single_dimension,
    unsupported_input_losses,
)
from ...ir.losses import extra_field_losses
from ...wire import json_fields
from ..protocol import EmbeddingsCodec, UrlParams

# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], where: UrlParams) -> EmbeddingsRequest:
    """The newer address has `input`; the older, which answers with one vector, has `prompt`."""
    model = json_fields.need(body, "model", str)
    single = where.method == "embeddings"
    key = "prompt" if single else "input"
    if single:
        # without a text "the model is loaded": https://github.com/ollama/ollama/blob/main/server/routes.go
        text = json_fields.take(body, key, str, "")
        texts: tuple[str, ...] = (text,) if text else ()
    elif body.get(key) is None:
        raise Malformed(key, "is required and must be a string or an array of strings")
    else:
        texts = json_fields.strings(body, key)
    length = pop_dimensions(body, "dimensions")
    options = json_fields.take(body, "options", dict, {})
    extra = {**(extra_fields(body) or {}), **{f"options.{name}": value for name, value in options.items()}}
    items = tuple(EmbeddingsInput(text, length) for text in texts)
    return EmbeddingsRequest(model=model, items=items, single=single, extra=extra or None)


def encode_reply(embedded: EmbeddingsReply, request: EmbeddingsRequest, tokens: int) -> dict[str, Any]:
    if request.single:
        return {"embedding": embedded.vectors[0] if embedded.vectors else []}
    body = {"model": request.model, "embeddings": list(embedded.vectors)}
    return body if embedded.tokens is None else body | {"prompt_eval_count": tokens}


# ---- as a backend ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbeddingsRequest, model: str) -> tuple[dict[str, Any], list[Loss]]:
    length, losses = single_dimension(request.items)
    payload: dict[str, Any] = {"model": model, "input": [item.content for item in request.items]}
    if length is not None:
        payload["dimensions"] = length
    losses += unsupported_input_losses(request.items)
    for i, item in enumerate(request.items):
        losses += extra_field_losses(item.extra, f"items[{i}]")
    if request.user is not None:
        losses.append(Loss("user", "user", "dropped"))
    return payload, losses + list(extra_field_losses(request.extra, ""))


def decode_reply(body: dict[str, Any]) -> EmbeddingsReply:
    found = [body["embedding"]] if "embedding" in body else json_fields.need(body, "embeddings", list)
    vectors = tuple(parse_vector(each, f"embeddings[{i}]") for i, each in enumerate(found))
    return EmbeddingsReply(vectors, json_fields.take(body, "prompt_eval_count", int))


EMBEDDINGS = EmbeddingsCodec(
    decode_request=decode_request,
    encode_reply=encode_reply,
    path=lambda model, single: "/api/embeddings" if single else "/api/embed",
    encode_request=encode_request,
    decode_reply=decode_reply,
)
