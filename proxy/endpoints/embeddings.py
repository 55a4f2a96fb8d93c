"""Embeddings: any client's request for vectors to any backend that makes them."""

from __future__ import annotations

from ..backends.backend import Backend
from ..errors import Malformed
from ..gateway.context import HttpResponse
from ..gateway.endpoint_handler import EndpointHandler, UpstreamCall
from ..gateway.relay import Relay
from ..ir import Usage
from ..ir.embeddings import EmbeddingsReply, EmbeddingsRequest
from ..ir.token_estimate import estimate_text
from ..protocols import PROTOCOLS
from ..protocols.protocol import EmbeddingsCodec, UpstreamTarget
from ..wire import json_fields

NEEDED = frozenset(("embeddings",))
"""The capability that a backend must have."""


async def embed(handler: EndpointHandler) -> HttpResponse:
    """The vectors of the texts in the body, from whichever backend makes them for this model."""
    client = handler.request
    codec = client.frontend.embeddings
    assert codec is not None  # noqa: S101 - only protocols with embeddings have this endpoint
    request = await handler.decode(lambda body: codec.decode_request(body, client.url))

    def build(backend: Backend, target: UpstreamTarget) -> UpstreamCall[tuple[EmbeddingsReply | None, bytes]] | str:
        return _build_call(handler, request, codec, backend, target)

    reply, relayed = await handler.call(request.model, NEEDED, build)
    tokens = None if reply is None else reply.tokens
    usage = None if tokens is None else Usage(input=tokens)
    if relayed or reply is None:
        return handler.respond(relayed, usage)
    try:
        answer = codec.encode_reply(reply, request, _estimate(request) if tokens is None else tokens)
    except Malformed as fault:
        raise handler.unusable(fault) from None
    return handler.respond(json_fields.encode(answer), usage, is_estimate=tokens is None and "usage" in answer)


def _build_call(
    handler: EndpointHandler,
    request: EmbeddingsRequest,
    client_codec: EmbeddingsCodec,
    backend: Backend,
    target: UpstreamTarget,
) -> UpstreamCall[tuple[EmbeddingsReply | None, bytes]] | str:
    config = backend.config
    protocol = PROTOCOLS.get(config.protocol)
    codec = protocol.embeddings if protocol is not None else None
    if codec is None:
        return f"{config.protocol} has no embeddings"
    if codec is client_codec and config.relay != "never":
        relay = Relay(handler.request.frontend, request.model, target.model)
        body = handler.request.body
        if request.model != target.model:
            body = json_fields.encode(codec.with_model(json_fields.parse_object(body), target.model))
        path = codec.path(target.model, request.single)
        return UpstreamCall(lambda raw: _read_relayed(raw, request, relay, codec), path, body, relayed=True)
    if not request.items:  # the model is to be loaded, and another host has nothing to load
        return UpstreamCall(lambda _: (EmbeddingsReply((), None), b""))
    payload, losses = codec.encode_request(request, target.model)
    return UpstreamCall(
        lambda raw: _read_converted(raw, request, codec),
        codec.path(target.model, False),
        json_fields.encode(payload),
        losses=tuple(losses),
    )


def _estimate(request: EmbeddingsRequest) -> int:
    texts = (item.content for item in request.items)
    return sum(estimate_text(text) if isinstance(text, str) else len(text) for text in texts)


def _read_relayed(
    raw: bytes, request: EmbeddingsRequest, relay: Relay, codec: EmbeddingsCodec
) -> tuple[EmbeddingsReply | None, bytes]:
    """An equal backend's own bytes, with the vectors in the form that was asked for, and what could be decoded."""
    body = json_fields.parse_object(raw)
    try:
        if (mended := codec.as_requested(body, request)) is not None:
            raw, body = json_fields.encode(mended), mended
        return codec.decode_reply(body), relay.reply(raw)
    except Malformed:
        return None, relay.reply(raw)  # a host's own way to write a vector is its client's affair


def _read_converted(raw: bytes, request: EmbeddingsRequest, codec: EmbeddingsCodec) -> tuple[EmbeddingsReply, bytes]:
    reply = codec.decode_reply(json_fields.parse_object(raw))
    if len(reply.vectors) != len(request.items):
        raise Malformed("", f"{len(reply.vectors)} vectors for {len(request.items)} texts")
    return reply, b""
