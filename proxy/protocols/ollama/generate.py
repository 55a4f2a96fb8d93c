"""Ollama's generate: one prompt in, one text out; older than the chat, and what its command line calls.

Its requests become requests of the chat, its replies are those of the chat in another form.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-completion
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import Loss, Reply, Request
from ...ir.losses import declare_loss
from ...ir.stream import Texts
from ...wire import json_fields
from ...wire.json_fields import take
from ..protocol import NewId, Protocol, ReplyContext, UpstreamRequest, UrlParams
from . import reply_decoder, reply_encoder, request_decoder
from .context import context_out, messages_in
from .plain_line import QuietGenerateLine
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder

OWN_CONTEXT = "context of the proxy"
"""The key of a context that the proxy made, whose conversation is among the turns already."""

FEATURES = {"raw": "raw_prompt", "template": "raw_prompt", "suffix": "fill_in", "context": "token_input"}
"""The fields that no chat has, and the features that are lost with them."""


# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    prompt, system = take(body, "prompt", str, ""), take(body, "system", str)
    images = take(body, "images", list, [])
    for i, image in enumerate(images):
        if type(image) is not str:
            raise Malformed(f"images[{i}]", f"must be a string of base64, is {json_fields.describe(image)}")
    for key, kind in (("raw", bool), ("template", str), ("suffix", str), ("context", list)):
        if not (value := take(body, key, kind)):
            continue
        body[key] = value
    messages: list[dict[str, Any]] = []
    if prompt or images:  # else the model is to be loaded
        if system:
            messages.append({"role": "system", "content": system})
        before = messages_in(body.get("context", ()))
        if before is not None:
            messages += before
            body[OWN_CONTEXT] = body.pop("context")
        messages.append({"role": "user", "content": prompt, **({"images": images} if images else {})})
    return request_decoder.decode_request({**body, "messages": messages}, url)


def to_chat(request: Request) -> tuple[Request, tuple[Loss, ...]]:
    """Returns the request as the chat has it, and what no chat can express."""
    extra = request.extra or {}
    losses = tuple(declare_loss(key, feature) for key, feature in FEATURES.items() if key in extra)
    kept = {key: value for key, value in extra.items() if key not in FEATURES and key != OWN_CONTEXT}
    return (request if len(kept) == len(extra) else replace(request, extra=kept or None)), losses


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    body, losses = reply_encoder.encode_reply(reply, context)
    out = _from_chat(body)
    return _with_context(out, out["response"], context), losses


def _with_context(body: dict[str, Any], text: str, context: ReplyContext) -> dict[str, Any]:
    """Returns a whole reply with what the client needs to go on; a model that was loaded said nothing."""
    found = context_out(context.request, text) if context.request.turns else None
    return body if found is None else {**body, "context": found}


def _from_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a whole reply of the chat with its message's fields where a generated text has them."""
    message = body.pop("message")
    message.pop("role")
    head = {"model": body.pop("model"), "created_at": body.pop("created_at"), "response": message.pop("content")}
    return {**head, **message, **body}


class GenerateStreamEncoder(StreamEncoder):
    """Encodes the lines of the chat with the text and the thinking outside of a message."""

    def __init__(self, context: ReplyContext) -> None:
        super().__init__(context)
        self._head = self._head.removesuffix(b'"message":{"role":"assistant","content":') + b'"response":'
        self._thought = self._head + b'"","thinking":'
        self._tail = b',"done":false}\n'
        self._texts: list[str] = []

    def _delta(self, index: int, text: str) -> bytes:
        if self._heads.get(index) is self._head:
            self._texts.append(text)
        return super()._delta(index, text)

    def encode_texts(self, texts: Texts) -> bytes | None:
        out = super().encode_texts(texts)
        if out is not None:
            self._texts += texts.pieces
        return out

    def _last(self, body: dict[str, Any]) -> dict[str, Any]:
        return _with_context(_from_chat(body), "".join(self._texts), self._context)


# ---- as a backend, for a relay ---------------------------------------------------------------------------------------


def _to_chat_reply(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a body or a line as the chat has it."""
    body.pop("message", None)  # of the chat, which this is not
    if "response" in body:
        message = {"role": "assistant", "content": body.pop("response")}
        message |= {key: body.pop(key) for key in ("thinking", "tool_calls") if key in body}
        body["message"] = message
    return body


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises UpstreamError if it is an error, and Malformed if it is no generated text."""
    return reply_decoder.decode_reply(_to_chat_reply(body), sent, new_id)


class GenerateStreamDecoder(StreamDecoder):
    """Decodes the lines of a generated text as those of the chat."""

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        return None  # they are of the chat's form

    def _parse(self, data: bytes) -> dict[str, Any]:
        return _to_chat_reply(super()._parse(data))


def address(model: str, stream: bool) -> str:
    return "/api/generate"


def as_dialect(chat: Protocol) -> Protocol:
    """Returns the record of generate, which differs from the chat's in addresses and forms alone."""
    return replace(
        chat,
        title="Ollama generate",
        paths=("/api/generate",),
        decode_request=decode_request,
        to_chat=to_chat,
        encode_reply=encode_reply,
        stream_encoder=GenerateStreamEncoder,
        # as in the chat, a line that no client shows
        ping=b'{"model":"","created_at":"1970-01-01T00:00:00Z","response":"","done":false}\n',
        decode_reply=decode_reply,
        stream_decoder=GenerateStreamDecoder,
        needs_reencoding=lambda request, target, body: (
            OWN_CONTEXT in (request.extra or {}) or chat.needs_reencoding(request, target, body)
        ),
        address=address,
        frame_fields=(b'"response"', b'"done"', b'"error"'),
        quiet_frame=QuietGenerateLine,
        endpoints=(),
    )
