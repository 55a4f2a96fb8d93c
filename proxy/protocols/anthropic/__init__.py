"""Anthropic Messages, as Claude speaks it.

It knows `messages` bodies, events and errors, and no other dialect.
Source: https://platform.claude.com/docs/en/api/messages
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
from .words import LIMITS, NAME, QUIRKS, STATUSES


def address(model: str, stream: bool) -> str:
    return "/v1/messages"


def auth(key: str) -> dict[str, str]:
    return {"x-api-key": key}


PROTOCOL = Protocol(
    name=NAME,
    title="Anthropic messages",
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
        )
    ),
    quirks=QUIRKS,
    limits=LIMITS,
    paths=("/v1/messages", "/messages"),
    decode_request=decode_request,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    failure_status=STATUSES,
    ping=b'event: ping\ndata: {"type": "ping"}\n\n',
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    # "anthropic-version: 2023-06-01" https://platform.claude.com/docs/en/api/versioning
    headers={"anthropic-version": "2023-06-01"},
    model_out=(("model",), ("message", "model")),
    watch=(b'message_delta"', b'message_stop"', b'"error"', b"[DONE]"),
)
