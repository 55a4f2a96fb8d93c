"""Gemini's generateContent and streamGenerateContent, as the Gemini API and Vertex AI speak them.

It knows their bodies, chunks and errors, and no other dialect.
Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from urllib.parse import quote

from ..contract import Protocol
from .failure import decode_failure, encode_failure
from .reply_in import decode_reply
from .reply_out import encode_reply
from .request_in import decode_request
from .request_out import encode_request
from .stream_in import StreamDecoder
from .stream_out import StreamEncoder
from .words import LIMITS, NAME, QUIRKS


def address(model: str, stream: bool) -> str:
    name = quote(model, safe="")
    if stream:
        return f"/v1beta/models/{name}:streamGenerateContent?alt=sse"
    return f"/v1beta/models/{name}:generateContent"


def auth(key: str) -> dict[str, str]:
    return {"x-goog-api-key": key}


PROTOCOL = Protocol(
    name=NAME,
    title="Gemini generateContent",
    capabilities=frozenset(
        (
            "text",
            "tools",
            "tools.parallel",
            "vision",
            "documents",
            "audio",
            "reasoning",
            "reasoning.signed",
            "json_object",
            "json_schema",
            "embeddings",
        )
    ),
    quirks=QUIRKS,
    limits=LIMITS,
    paths=("/v1beta/models/{tail}", "/v1/models/{tail}", "/models/{tail}"),
    decode_request=decode_request,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    ping=b"\n",
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    model_in=(),
    model_out=(("modelVersion",),),
    watch=(b'"finishReason"', b'"promptFeedback"', b'"error"'),
)
