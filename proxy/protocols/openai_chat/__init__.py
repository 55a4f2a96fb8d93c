"""OpenAI Chat Completions, and the many hosts that speak it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Callable

from ...ir import Reasoning, Request
from ..openai.embeddings import EMBEDDINGS
from ..protocol import Endpoint, Protocol, with_and_without_version
from .errors import decode_failure, encode_failure
from .model_list import MODEL_LIST
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import decode_request
from .request_encoder import encode_request
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS


def address(model: str, stream: bool) -> str:
    return "/chat/completions"


def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


REENCODING_QUIRKS: dict[str, Callable[[Request], bool]] = {
    "max_tokens": lambda request: request.max_tokens is not None,
    "no_developer": lambda request: any(turn.role == "developer" for turn in request.turns),
    "no_stream_options": lambda request: bool(request.extra) and "stream_options" in (request.extra or {}),
    "no_parallel_tool_calls": lambda request: request.parallel is not None,
    "no_reasoning_effort": lambda request: request.reasoning is not None,
    "reasoning_content": lambda request: any(turn.role == "assistant" for turn in request.turns),
    "no_reasoning_content": lambda request: any(type(b) is Reasoning for turn in request.turns for b in turn.blocks),
}
"""By quirk, whether it changes how this request is encoded; a quirk that is not listed changes none."""


def needs_reencoding(request: Request, quirks: frozenset[str]) -> bool:
    return any(quirk in quirks and changes(request) for quirk, changes in REENCODING_QUIRKS.items())


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
    example_model="gpt-5-nano",
    paths=with_and_without_version("/chat/completions"),
    # hosts that serve Claude over this protocol take Anthropic's beta flags
    forwarded_headers=("openai-beta", "anthropic-beta", "anthropic-version"),
    beta_header="anthropic-beta",
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
    needs_reencoding=needs_reencoding,
    frame_fields=(b'"choices"', b'"usage"', b'"error"'),
    ends_with_done=True,
    terminal_markers=(b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b"[DONE]", b'"error"'),
    endpoints=(Endpoint("POST", with_and_without_version("/embeddings"), "embeddings"),),
    model_list=MODEL_LIST,
    embeddings=EMBEDDINGS,
)
