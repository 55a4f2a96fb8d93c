"""OpenAI's embeddings, as its hosts speak them beside either of its protocols.

Source: https://platform.openai.com/docs/api-reference/embeddings
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
    to_base64,
)
from ...ir.losses import extra_field_losses
from ...wire import json_fields
from ..protocol import EmbeddingsCodec, UrlParams

ENCODINGS = ("float", "base64")


# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], where: UrlParams) -> EmbeddingsRequest:
    model = json_fields.need(body, "model", str)
    encoding = json_fields.take(body, "encoding_format", str, "float")
    if encoding not in ENCODINGS:
        raise Malformed("encoding_format", f"must be one of {', '.join(ENCODINGS)}")
    length = pop_dimensions(body, "dimensions")
    items = tuple(EmbeddingsInput(content, length) for content in _contents(body.pop("input", None)))
    user = json_fields.take(body, "user", str)
    return EmbeddingsRequest(
        model=model,
        items=items,
        encoding="base64" if encoding == "base64" else "float",
        user=user,
        extra=extra_fields(body),
    )


def _contents(given: Any) -> list[str | tuple[int, ...]]:
    """A text, token ids, or an array of either."""
    if type(given) is str:
        return [given]
    if type(given) is not list or not given:
        raise Malformed("input", "is required and must be a string, or an array of strings or of token ids, not empty")
    if all(type(each) is int for each in given):
        return [tuple(given)]
    found: list[str | tuple[int, ...]] = []
    for i, each in enumerate(given):
        if type(each) is str:
            found.append(each)
        elif type(each) is list and each and all(type(token) is int for token in each):
            found.append(tuple(each))
        else:
            raise Malformed(
                f"input[{i}]", f"must be a string or an array of token ids, is {json_fields.describe(each)}"
            )
    return found


def encode_reply(embedded: EmbeddingsReply, request: EmbeddingsRequest, tokens: int) -> dict[str, Any]:
    as_text = request.encoding == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": to_base64(parse_vector) if as_text else parse_vector}
        for i, parse_vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


# ---- as a backend ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbeddingsRequest, model: str) -> tuple[dict[str, Any], list[Loss]]:
    length, losses = single_dimension(request.items)
    payload: dict[str, Any] = {"model": model, "input": [item.content for item in request.items]}
    if length is not None:
        payload["dimensions"] = length
    if request.user is not None:
        payload["user"] = request.user
    losses += [Loss(f"items[{i}]", item.media, "dropped") for i, item in enumerate(request.items) if item.media]
    for i, item in enumerate(request.items):
        losses += extra_field_losses(item.extra, f"items[{i}]")
    return payload, losses + list(extra_field_losses(request.extra, ""))


def decode_reply(body: dict[str, Any]) -> EmbeddingsReply:
    data = json_fields.need(body, "data", list)
    found: list[tuple[int, list[float]]] = []
    for i, each in enumerate(data):
        if type(each) is not dict:
            raise Malformed(f"data[{i}]", f"must be an object, is {json_fields.describe(each)}")
        found.append(
            (json_fields.take(each, "index", int, i), parse_vector(each.get("embedding"), f"data[{i}].embedding"))
        )
    usage = json_fields.take(body, "usage", dict, {})
    return EmbeddingsReply(
        tuple(v for _, v in sorted(found, key=lambda pair: pair[0])), json_fields.take(usage, "prompt_tokens", int)
    )


def as_requested(body: dict[str, Any], request: EmbeddingsRequest) -> dict[str, Any] | None:
    """Returns the body with base64 or numbers as the client asked for; None where its vectors are so.

    Hosts that know no `encoding_format` answer with numbers, of which OpenAI's Node client makes zeros.
    https://github.com/openai/openai-node/issues/2150
    """
    wanted = str if request.encoding == "base64" else list
    data = json_fields.maybe(body, "data", list) or []
    vectors = [each.get("embedding") for each in data if type(each) is dict]
    if len(vectors) != len(data) or all(
        type(vector) not in (str, list) or type(vector) is wanted for vector in vectors
    ):
        return None
    numbers = [parse_vector(vector, f"data[{i}].embedding") for i, vector in enumerate(vectors)]
    told = [to_base64(vector) for vector in numbers] if wanted is str else numbers
    return {**body, "data": [{**each, "embedding": vector} for each, vector in zip(data, told, strict=True)]}


EMBEDDINGS = EmbeddingsCodec(
    decode_request=decode_request,
    encode_reply=encode_reply,
    as_requested=as_requested,
    path=lambda model, single: "/embeddings",
    encode_request=encode_request,
    decode_reply=decode_reply,
)
