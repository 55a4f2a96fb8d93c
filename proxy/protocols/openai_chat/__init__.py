"""OpenAI Chat Completions, and the many hosts that speak it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from ...ir import Reasoning, Request, ToolCall
from ...ir.bounded_values import with_bounded_identifiers
from ...ir.model_fit import fitted
from ..openai.addresses import deployed_paths
from ..openai.embeddings import EMBEDDINGS
from ..openai.provider_models import PROVIDER_MODELS
from ..openai.rate_limits import read_rate_limits, write_rate_limits
from ..protocol import Endpoint, Protocol, UpstreamTarget
from .completions import as_dialect
from .errors import decode_failure, encode_failure
from .model_list import MODEL_LIST
from .plain_chunk import QuietChunk
from .plain_reply import plain_reply
from .plain_request import plain_request
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import KNOWN_TOOLS, decode_request
from .request_encoder import encode_request
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS


def address(model: str, stream: bool) -> str:
    return "/chat/completions"


def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


CONTENT_LIST = re.compile(rb'"content"\s*:\s*\[')

REFUSED_FIELDS: dict[str, Callable[[Request, bytes], bool]] = {
    "stream_options": lambda request, body: "stream_options" in (request.extra or {}),
    "effort": lambda request, body: request.reasoning is not None,
    "reasoning_content": lambda request, body: any(type(b) is Reasoning for turn in request.turns for b in turn.blocks),
    "content_parts": lambda request, body: CONTENT_LIST.search(body) is not None,
    "max_tokens": lambda request, body: request.max_tokens is not None and b'"max_tokens"' in body,
    "stop": lambda request, body: bool(request.stop),
}
"""By what a trait refuses, whether this request says it in a way that only this protocol has."""

RENAMED_FIELDS: dict[str, Callable[[Request, bytes], bool]] = {
    "max_completion_tokens": lambda request, body: request.max_tokens is not None and b"max_completion_tokens" in body,
    "developer": lambda request, body: any(turn.role == "developer" for turn in request.turns),
    "seed": lambda request, body: request.sampling.seed is not None,
    "thinking": lambda request, body: request.reasoning is not None,
}
"""By what a trait names otherwise, whether this request says it."""


def needs_reencoding(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    traits = target.traits
    return (
        any(word in traits.refuses and says(request, body) for word, says in REFUSED_FIELDS.items())
        or any(name in traits.renames and says(request, body) for name, says in RENAMED_FIELDS.items())
        or ("reasoning_content" in traits.takes and any(turn.role == "assistant" for turn in request.turns))
        or with_bounded_identifiers(request, target.limit, []) is not request
        or ("alphanumeric_call_id" in traits.limits and _has_calls(request))
        or bool(fitted(request, traits, is_chat=True)[1])
    )


def _has_calls(request: Request) -> bool:
    return any(type(block) is ToolCall for turn in request.turns for block in turn.blocks)


_CHAT = Protocol(
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
    provider_models=PROVIDER_MODELS,
    usual_base_path="/v1",
    example_model="gpt-5-nano",
    paths=deployed_paths("/chat/completions"),
    # hosts that serve Claude over this protocol take Anthropic's beta flags
    forwarded_headers=("openai-beta", "anthropic-beta", "anthropic-version"),
    beta_header="anthropic-beta",
    decode_request=decode_request,
    plain_request=plain_request,
    known_tools=KNOWN_TOOLS,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    ping=b": ping\n\n",
    encode_request=encode_request,
    decode_reply=decode_reply,
    plain_reply=plain_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    read_rate_limits=read_rate_limits,
    write_rate_limits=write_rate_limits,
    needs_reencoding=needs_reencoding,
    frame_fields=(b'"choices"', b'"usage"', b'"error"'),
    ends_with_done=True,
    quiet_frame=QuietChunk,
    terminal_markers=(b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b"[DONE]", b'"error"'),
    endpoints=(
        Endpoint("POST", deployed_paths("/embeddings"), "embeddings"),
        Endpoint("GET", ("/openai/v1/models", "/openai/models"), "list_models", has_body=False),
        Endpoint("GET", ("/openai/v1/models/{tail}", "/openai/models/{tail}"), "show_model", has_body=False),
    ),
    model_list=MODEL_LIST,
    embeddings=EMBEDDINGS,
)
PROTOCOL = replace(_CHAT, dialects=(as_dialect(_CHAT),))
