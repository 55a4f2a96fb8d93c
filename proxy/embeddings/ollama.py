"""Ollama's /api/embed, and /api/embeddings, which it replaced.

Source: https://docs.ollama.com/api/embed
"""

from __future__ import annotations

from typing import Any

from .. import ledger, wire
from ..errors import Malformed
from ..ir import Loss
from ..protocols.contract import Where
from .contract import Dialect, Embedded, EmbedRequest, Item, dimensions_of, foreign, left, size, vector

# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], where: Where) -> EmbedRequest:
    """The newer address has `input`; the older, which answers with one vector, has `prompt`."""
    model = wire.need(body, "model", str)
    single = where.method == "embeddings"
    key = "prompt" if single else "input"
    if single:
        texts: tuple[str, ...] = (wire.need(body, key, str),)
    elif body.get(key) is None:
        raise Malformed(key, "is required and must be a string or an array of strings")
    else:
        texts = wire.strings(body, key)
    if not texts:
        raise Malformed(key, "must hold at least one text")
    length = size(body, "dimensions")
    options = wire.take(body, "options", dict, {})
    own = {**(left(body) or {}), **{f"options.{name}": value for name, value in options.items()}}
    items = tuple(Item(text, length) for text in texts)
    return EmbedRequest(model=model, items=items, single=single, own=own or None)


def encode_reply(embedded: Embedded, request: EmbedRequest, tokens: int) -> dict[str, Any]:
    if request.single:
        return {"embedding": embedded.vectors[0]}
    body = {"model": request.model, "embeddings": list(embedded.vectors)}
    return body if embedded.tokens is None else body | {"prompt_eval_count": tokens}


# ---- as a backend ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbedRequest, model: str) -> tuple[dict[str, Any], list[Loss]]:
    length, losses = dimensions_of(request.items)
    payload: dict[str, Any] = {"model": model, "input": [item.content for item in request.items]}
    if length is not None:
        payload["dimensions"] = length
    losses += foreign(request.items)
    for i, item in enumerate(request.items):
        losses += ledger.leftovers(item.own, f"items[{i}]")
    if request.user is not None:
        losses.append(Loss("user", "user", "dropped"))
    return payload, losses + list(ledger.leftovers(request.own, ""))


def decode_reply(body: dict[str, Any]) -> Embedded:
    found = [body["embedding"]] if "embedding" in body else wire.need(body, "embeddings", list)
    vectors = tuple(vector(each, f"embeddings[{i}]") for i, each in enumerate(found))
    return Embedded(vectors, wire.take(body, "prompt_eval_count", int))


DIALECT = Dialect(
    decode_request=decode_request,
    encode_reply=encode_reply,
    path=lambda model, single: "/api/embeddings" if single else "/api/embed",
    encode_request=encode_request,
    decode_reply=decode_reply,
)
