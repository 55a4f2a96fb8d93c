"""Ollama's own chat API, on a machine of one's own or in Ollama's cloud.

It knows `/api/chat` bodies, lines and errors, and no other dialect.
Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from ...ir import Request
from ..contract import Protocol
from .failure import decode_failure, encode_failure
from .reply_in import decode_reply
from .reply_out import encode_reply
from .request_in import decode_request
from .request_out import encode_request
from .stream_in import StreamDecoder
from .stream_out import StreamEncoder
from .words import NAME, QUIRKS


def address(model: str, stream: bool) -> str:
    return "/api/chat"


def auth(key: str) -> dict[str, str]:
    # Only the cloud asks for one: https://docs.ollama.com/api/authentication
    return {"authorization": f"Bearer {key}"}


def touches(request: Request, quirks: frozenset[str]) -> bool:
    """Only a model that cannot think makes an equal request worth rewriting."""
    return "no_think" in quirks and request.reasoning is not None and request.reasoning.enabled is not False


PROTOCOL = Protocol(
    name=NAME,
    title="Ollama chat",
    capabilities=frozenset(
        ("text", "tools", "tools.parallel", "vision", "reasoning", "json_object", "json_schema", "embeddings")
    ),
    quirks=QUIRKS,
    paths=("/api/chat",),
    decode_request=decode_request,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    stream_type="application/x-ndjson",
    # A blank line or a comment breaks the official client, which parses every line as an answer.
    ping=b'{"model":"","created_at":"1970-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":false}\n',
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    framing="ndjson",
    touches=touches,
    watch=(b'"done":true', b'"done": true', b'"error"'),
)
