"""OpenAI Chat Completions, and the many hosts that speak it.

It knows `chat/completions` bodies, chunks and errors, and no other dialect.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Callable

from ...ir import Reasoning, Request
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
    return "/chat/completions"


def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


TOUCHES: dict[str, Callable[[Request], bool]] = {
    "max_tokens": lambda request: request.max_tokens is not None,
    "no_developer": lambda request: any(turn.role == "developer" for turn in request.turns),
    "no_stream_options": lambda request: bool(request.own) and "stream_options" in (request.own or {}),
    "no_parallel_tool_calls": lambda request: request.parallel is not None,
    "no_reasoning_effort": lambda request: request.reasoning is not None,
    "reasoning_content": lambda request: any(turn.role == "assistant" for turn in request.turns),
    "no_reasoning_content": lambda request: any(type(b) is Reasoning for turn in request.turns for b in turn.blocks),
}
"""By quirk, whether it changes how this request must be said; a quirk that stands nowhere here changes none."""


def touches(request: Request, quirks: frozenset[str]) -> bool:
    return any(quirk in quirks and changes(request) for quirk, changes in TOUCHES.items())


PROTOCOL = Protocol(
    name=NAME,
    title="OpenAI chat completions",
    capabilities=frozenset(
        (
            "text",
            "tools",
            "tools.parallel",
            "vision",
            "documents",
            "audio",
            "reasoning",
            "json_object",
            "json_schema",
            "embeddings",
        )
    ),
    quirks=QUIRKS,
    limits=LIMITS,
    paths=("/v1/chat/completions", "/chat/completions"),
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
    touches=touches,
    watch=(b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b"[DONE]", b'"error"'),
)
