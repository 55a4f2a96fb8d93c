"""Gemini's generateContent and streamGenerateContent, as the Gemini API and Vertex AI speak them.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from urllib.parse import quote

from ...ir import Opaque, Request, Text, ToolResult
from ..protocol import Endpoint, Protocol, StoredState, UpstreamTarget, UrlParams, loses_by_fitting
from .embeddings import EMBEDDINGS
from .errors import decode_failure, encode_failure
from .model_list import MODEL_LIST, PROVIDER_MODELS
from .model_rules import fits_thinking, has_functions
from .plain_chunk import QuietChunk
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import decode_request
from .request_encoder import encode_request
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS
from .token_count import TOKEN_COUNT


def stored_state(request: Request) -> StoredState | None:
    """Returns what the request needs of the account that keeps it."""
    # "cachedContent: The name of the content cached to use as context to serve the prediction."
    # https://ai.google.dev/api/generate-content
    value = (request.extra or {}).get("cachedContent")
    return StoredState("cachedContent", (value,)) if type(value) is str else None


def address(model: str, stream: bool) -> str:
    name = quote(model, safe="")
    if stream:
        return f"/v1beta/models/{name}:streamGenerateContent?alt=sse"
    return f"/v1beta/models/{name}:generateContent"


def url_params(model: str | None, stream: bool) -> UrlParams:
    """The model and the method stand in the URL alone; a stream is asked for as server-sent events."""
    return UrlParams(model, "streamGenerateContent" if stream else "generateContent", "sse" if stream else None)


def auth(key: str) -> dict[str, str]:
    return {"x-goog-api-key": key}


def needs_reencoding(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    traits = target.traits
    functions = has_functions(request)
    if functions and "functions_with_json" in traits.refuses and request.format is not None:
        return request.format.kind != "text"
    if functions and "functions_with_search" in traits.refuses and any(type(t) is Opaque for t in request.tools):
        return True
    if "media_in_results" in traits.refuses and any(
        isinstance(block, ToolResult) and not all(isinstance(inner, Text) for inner in block.blocks)
        for turn in request.turns
        for block in turn.blocks
    ):
        return True
    if request.reasoning is not None and not fits_thinking(request.reasoning, traits):
        return True
    return loses_by_fitting(request, target, body)


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
    example_model="gemini-2.5-flash",
    paths=("/v1beta/models/{tail}", "/v1/models/{tail}", "/models/{tail}"),
    chat_methods=("generateContent", "streamGenerateContent"),
    url_params=url_params,
    client_headers=("x-goog-api-key",),
    client_query=("key",),
    path_prefixes=("/v1beta", "/v1/models/", "/models/"),  # only Gemini's clients post below `models/`
    decode_request=decode_request,
    stored_state=stored_state,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    ping=b"\n",
    base_url_suffixes=("/v1", "/v1beta"),
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    needs_reencoding=needs_reencoding,
    model_in=(),
    model_out=(("modelVersion",),),
    frame_fields=(b'"candidates"', b'"usageMetadata"', b'"promptFeedback"', b'"error"'),
    quiet_frame=QuietChunk,
    terminal_markers=(b'"finishReason"', b'"promptFeedback"', b'"error"'),
    endpoints=(
        Endpoint("GET", ("/v1beta/models",), "list_models", has_body=False),
        Endpoint("GET", ("/v1beta/models/{tail}",), "show_model", has_body=False),
    ),
    methods={
        "countTokens": Endpoint("POST", (), "count"),
        "embedContent": Endpoint("POST", (), "embeddings", "embedContent"),
        "batchEmbedContents": Endpoint("POST", (), "embeddings", "batchEmbedContents"),
    },
    model_list=MODEL_LIST,
    provider_models=PROVIDER_MODELS,
    token_count=TOKEN_COUNT,
    embeddings=EMBEDDINGS,
)
