"""Anthropic Messages, as Claude speaks it.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from ...ir import Request, Tool
from ..protocol import Endpoint, Protocol, StoredState, UpstreamTarget, loses_by_fitting, with_and_without_version
from .cache_marks import place_cache_marks
from .errors import decode_failure, encode_failure, refusal_code
from .messages import is_prefilled
from .model_list import MODEL_LIST, PROVIDER_MODELS
from .plain_event import QuietEvent
from .plain_reply import plain_reply
from .plain_request import plain_request
from .rate_limits import read_rate_limits, write_rate_limits
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import KNOWN_TOOLS, decode_request
from .request_encoder import encode_request, is_misfit
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS, STATUSES
from .token_count import TOKEN_COUNT


def stored_state(request: Request) -> StoredState | None:
    """Returns what the request needs of the account that keeps it."""
    # "container": "Container identifier for reuse across requests."
    # https://platform.claude.com/docs/en/api/messages/create
    value = (request.extra or {}).get("container")
    return StoredState("container", (value,)) if type(value) is str else None


def address(model: str, stream: bool) -> str:
    return "/v1/messages"


def auth(key: str) -> dict[str, str]:
    return {"x-api-key": key}


def needs_reencoding(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    traits = target.traits
    thinking = request.reasoning
    if thinking is not None:
        said = thinking.effort is not None or "effort" in (thinking.extra or {})
        if is_misfit(thinking, traits) or (said and "effort" in traits.refuses):
            return True
    if "temperature_with_top_p" in traits.refuses and None not in (
        request.sampling.temperature,
        request.sampling.top_p,
    ):
        return True
    if "prefill" in traits.refuses and is_prefilled(request):
        return True
    if "structured" in traits.refuses and _asks_structure(request):
        return True
    return loses_by_fitting(request, target, body)


def _asks_structure(request: Request) -> bool:
    strict = any(isinstance(tool, Tool) and tool.strict for tool in request.tools)
    return strict or (request.format is not None and request.format.kind == "json_schema")


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
    example_model="claude-sonnet-4-5",
    paths=with_and_without_version("/messages"),
    client_headers=("anthropic-version", "x-api-key"),
    forwarded_headers=("anthropic-beta", "anthropic-version"),
    beta_header="anthropic-beta",
    path_prefixes=("/v1/messages", "/messages"),
    # "Every API response includes a unique request-id header" https://platform.claude.com/docs/en/api/errors
    request_id_header="request-id",
    decode_request=decode_request,
    plain_request=plain_request,
    known_tools=KNOWN_TOOLS,
    stored_state=stored_state,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    failure_status=STATUSES,
    ping=b'event: ping\ndata: {"type": "ping"}\n\n',
    base_url_suffixes=("/v1",),
    refusal_code=refusal_code,
    place_cache_marks=place_cache_marks,
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
    # "anthropic-version: 2023-06-01" https://platform.claude.com/docs/en/api/versioning
    headers={"anthropic-version": "2023-06-01"},
    model_out=(("model",), ("message", "model")),
    ignores_done=True,
    quiet_frame=QuietEvent,
    terminal_markers=(b'message_delta"', b'message_stop"', b'"error"', b"[DONE]"),
    endpoints=(Endpoint("POST", with_and_without_version("/messages/count_tokens"), "count"),),
    model_list=MODEL_LIST,
    provider_models=PROVIDER_MODELS,
    token_count=TOKEN_COUNT,
)
