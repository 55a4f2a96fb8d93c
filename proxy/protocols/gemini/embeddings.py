"""Gemini's embedContent and batchEmbedContents.

Source: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ...errors import Malformed
from ...ir import Loss
from ...ir.embeddings import (
    EmbeddingsInput,
    EmbeddingsReply,
    EmbeddingsRequest,
    extra_fields,
    parse_vector,
    pop_dimensions,
    unsupported_input_losses,
)
from ...ir.losses import extra_field_losses
from ...wire import json_fields
from ..protocol import EmbeddingsCodec, UrlParams
from .fields import camel

BATCH = "batchEmbedContents"

KINDS = {"image": "image", "audio": "audio", "video": "video"}
"""The beginning of a MIME type, and the ledger's word for what has it; any other is a document."""


# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], where: UrlParams) -> EmbeddingsRequest:
    camel(body)
    named = json_fields.take(body, "model", str, "")  # the address counts
    model = where.model or named.removeprefix("models/")
    if not model:
        raise Malformed("model", "is required, in the address")
    if where.method != BATCH:
        return EmbeddingsRequest(model=model, items=(_item(body),), single=True)
    requests = json_fields.need(body, "requests", list)
    if not requests:
        raise Malformed("requests", "must hold at least one request")
    return EmbeddingsRequest(model=model, items=json_fields.each(requests, "requests", _item), extra=extra_fields(body))


def _item(body: dict[str, Any]) -> EmbeddingsInput:
    camel(body)
    body.pop("model", None)  # each is of the batch's model: "The model in each of these requests must match"
    content = json_fields.need(body, "content", dict)
    try:
        parts = json_fields.need(content, "parts", list)
        if not parts:
            raise Malformed("parts", "must hold at least one part")
        texts = json_fields.each(parts, "parts", _text)
    except Malformed as fault:
        raise fault.under("content") from None
    content.pop("role", None)
    # "Deprecated: Please use EmbedContentConfig.output_dimensionality instead", and so for the others: either is taken
    config = json_fields.take(body, "embedContentConfig", dict, {})
    try:
        length = pop_dimensions(config, "outputDimensionality")
    except Malformed as fault:
        raise fault.under("embedContentConfig") from None
    older = pop_dimensions(body, "outputDimensionality")
    length = older if length is None else length
    body = {**body, **config}
    media = next((kind for text, kind in texts if kind is not None), None)
    extra = {**(extra_fields(body) or {}), **{f"content.{key}": value for key, value in content.items()}}
    return EmbeddingsInput("\n".join(text for text, _ in texts), length, media, extra or None)


def _text(part: dict[str, Any]) -> tuple[str, str | None]:
    """A part's text, or the ledger's word for what it is instead."""
    camel(part)
    if "text" in part:
        return json_fields.need(part, "text", str), None
    data = part.get("inlineData") or part.get("fileData")
    if not isinstance(data, dict):
        raise Malformed("text", "is required, or inlineData")
    camel(data)
    mime = json_fields.take(data, "mimeType", str, "")
    return "", KINDS.get(mime.partition("/")[0], "document")


def encode_reply(embedded: EmbeddingsReply, request: EmbeddingsRequest, tokens: int) -> dict[str, Any]:
    vectors = [{"values": parse_vector} for parse_vector in embedded.vectors]
    body: dict[str, Any] = {"embedding": vectors[0]} if request.single else {"embeddings": vectors}
    return body if embedded.tokens is None else body | {"usageMetadata": {"promptTokenCount": tokens}}


def with_model(body: dict[str, Any], model: str) -> dict[str, Any]:
    name = f"models/{model}"
    body = {**body, "model": name} if "model" in body else dict(body)
    if isinstance(body.get("requests"), list):
        body["requests"] = [{**each, "model": name} if isinstance(each, dict) else each for each in body["requests"]]
    return body


# ---- as a backend ----------------------------------------------------------------------------------------------------


def path(model: str, single: bool) -> str:
    return f"/v1beta/models/{quote(model, safe='')}:{'embedContent' if single else BATCH}"


def encode_request(request: EmbeddingsRequest, model: str) -> tuple[dict[str, Any], list[Loss]]:
    requests = []
    losses = unsupported_input_losses(request.items)
    for i, item in enumerate(request.items):
        each: dict[str, Any] = {"model": f"models/{model}", "content": {"parts": [{"text": item.content}]}}
        if item.dimensions is not None:
            each["outputDimensionality"] = item.dimensions
        requests.append(each)
        losses += extra_field_losses(item.extra, f"items[{i}]")
    if request.user is not None:
        losses.append(Loss("user", "user", "dropped"))
    return {"requests": requests}, losses + list(extra_field_losses(request.extra, ""))


def decode_reply(body: dict[str, Any]) -> EmbeddingsReply:
    found = (
        [json_fields.need(body, "embedding", dict)]
        if "embedding" in body
        else json_fields.need(body, "embeddings", list)
    )
    vectors = []
    for i, each in enumerate(found):
        if type(each) is not dict:
            raise Malformed(f"embeddings[{i}]", f"must be an object, is {json_fields.describe(each)}")
        vectors.append(parse_vector(each.get("values"), f"embeddings[{i}].values"))
    usage = json_fields.take(body, "usageMetadata", dict, {})
    return EmbeddingsReply(tuple(vectors), json_fields.take(usage, "promptTokenCount", int))


EMBEDDINGS = EmbeddingsCodec(
    decode_request=decode_request,
    encode_reply=encode_reply,
    with_model=with_model,
    path=path,
    encode_request=encode_request,
    decode_reply=decode_reply,
)
