"""OpenAI Responses, and the hosts that speak it.

It knows `responses` bodies, events and errors, and no other dialect.
Sources: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org
"""

from __future__ import annotations

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
    return "/responses"


def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


PROTOCOL = Protocol(
    name=NAME,
    title="OpenAI responses",
    capabilities=frozenset(
        (
            "text",
            "tools",
            "tools.parallel",
            "vision",
            "documents",
            "reasoning",
            "reasoning.signed",
            "json_object",
            "json_schema",
            "embeddings",
        )
    ),
    quirks=QUIRKS,
    limits=LIMITS,
    paths=("/v1/responses", "/responses"),
    decode_request=decode_request,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    ping=b": ping\n\n",
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    resume=StreamEncoder.resume,
    model_out=(("model",), ("response", "model")),
    watch=(b'response.completed"', b'response.incomplete"', b'response.failed"', b'"error"'),
)
