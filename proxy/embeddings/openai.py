"""OpenAI's embeddings, as its hosts speak them beside either of its protocols.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from typing import Any

from .. import ledger, wire
from ..errors import Malformed
from ..ir import Loss
from ..protocols.contract import Where
from .contract import Dialect, Embedded, EmbedRequest, Item, dimensions_of, left, packed, size, vector

ENCODINGS = ("float", "base64")


# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], where: Where) -> EmbedRequest:
    model = wire.need(body, "model", str)
    encoding = wire.take(body, "encoding_format", str, "float")
    if encoding not in ENCODINGS:
        raise Malformed("encoding_format", f"must be one of {', '.join(ENCODINGS)}")
    length = size(body, "dimensions")
    items = tuple(Item(content, length) for content in _contents(body.pop("input", None)))
    user = wire.take(body, "user", str)
    return EmbedRequest(
        model=model,
        items=items,
        encoding="base64" if encoding == "base64" else "float",
        user=user,
        own=left(body),
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
            raise Malformed(f"input[{i}]", f"must be a string or an array of token ids, is {wire.describe(each)}")
    return found


def encode_reply(embedded: Embedded, request: EmbedRequest, tokens: int) -> dict[str, Any]:
    as_text = request.encoding == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": packed(vector) if as_text else vector}
        for i, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


# ---- as a backend ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbedRequest, model: str) -> tuple[dict[str, Any], list[Loss]]:
    length, losses = dimensions_of(request.items)
    payload: dict[str, Any] = {"model": model, "input": [item.content for item in request.items]}
    if length is not None:
        payload["dimensions"] = length
    if request.user is not None:
        payload["user"] = request.user
    losses += [Loss(f"items[{i}]", item.media, "dropped") for i, item in enumerate(request.items) if item.media]
    for i, item in enumerate(request.items):
        losses += ledger.leftovers(item.own, f"items[{i}]")
    return payload, losses + list(ledger.leftovers(request.own, ""))


def decode_reply(body: dict[str, Any]) -> Embedded:
    data = wire.need(body, "data", list)
    found: list[tuple[int, list[float]]] = []
    for i, each in enumerate(data):
        if type(each) is not dict:
            raise Malformed(f"data[{i}]", f"must be an object, is {wire.describe(each)}")
        found.append((wire.take(each, "index", int, i), vector(each.get("embedding"), f"data[{i}].embedding")))
    usage = wire.take(body, "usage", dict, {})
    return Embedded(
        tuple(v for _, v in sorted(found, key=lambda pair: pair[0])), wire.take(usage, "prompt_tokens", int)
    )


DIALECT = Dialect(
    decode_request=decode_request,
    encode_reply=encode_reply,
    path=lambda model, single: "/embeddings",
    encode_request=encode_request,
    decode_reply=decode_reply,
)
