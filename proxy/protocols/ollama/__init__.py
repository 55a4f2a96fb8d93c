"""Ollama's own chat API, on a machine of one's own or in Ollama's cloud.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from msgspec.structs import replace

from ...ir import Request
from ..protocol import Endpoint, Protocol, UpstreamTarget, loses_by_fitting
from .embeddings import EMBEDDINGS
from .errors import decode_failure, encode_failure
from .generate import as_dialect
from .load import reply_to_load
from .model_list import MODEL_LIST, PROVIDER_MODELS
from .plain_line import QuietLine
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import KNOWN_TOOLS, decode_request
from .request_encoder import encode_request
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import NAME, QUIRKS


def address(model: str, stream: bool) -> str:
    return "/api/chat"


def auth(key: str) -> dict[str, str]:
    # Only the cloud asks for one: https://docs.ollama.com/api/authentication
    return {"authorization": f"Bearer {key}"}


def needs_reencoding(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    """Returns whether the model cannot think, though the request asks it to, or refuses what any protocol can say."""
    if "thinking" in target.traits.refuses and request.reasoning is not None and request.reasoning.enabled is not False:
        return True
    return loses_by_fitting(request, target, body)


_CHAT = Protocol(
    name=NAME,
    title="Ollama chat",
    capabilities=frozenset(
        ("text", "tools", "tools.parallel", "vision", "reasoning", "json_object", "json_schema", "embeddings")
    ),
    quirks=QUIRKS,
    local=True,
    example_model="llama3.2",
    paths=("/api/chat",),
    path_prefixes=("/api/",),
    # "curl http://localhost:11434/api/chat -d '{": https://docs.ollama.com/api/chat
    # and litellm sends bytes with aiohttp, for the server binds every body as JSON
    # https://github.com/ollama/ollama/blob/main/server/routes.go (ShouldBindJSON)
    takes_untyped=True,
    decode_request=decode_request,
    known_tools=KNOWN_TOOLS,
    local_reply=reply_to_load,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    stream_type="application/x-ndjson",
    # A blank line or a comment breaks the official client, which parses every line as an answer.
    ping=b'{"model":"","created_at":"1970-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":false}\n',
    base_url_suffixes=("/api", "/v1"),
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    framing="ndjson",
    needs_reencoding=needs_reencoding,
    frame_fields=(b'"message"', b'"done"', b'"error"'),
    quiet_frame=QuietLine,
    terminal_markers=(b'"done":true', b'"done": true', b'"error"'),
    endpoints=(
        Endpoint("GET", ("/api/tags",), "list_models", has_body=False),
        Endpoint("POST", ("/api/show",), "show_model"),
        Endpoint("GET", ("/api/version",), "version", has_body=False),
        Endpoint("GET", ("/api/ps",), "running_models", has_body=False),
        Endpoint("POST", ("/api/pull",), "pull_model"),
        Endpoint("GET", ("/",), "greeting", has_body=False),
        Endpoint("POST", ("/api/embed",), "embeddings", "embed"),
        Endpoint("POST", ("/api/embeddings",), "embeddings", "embeddings"),
    ),
    model_list=MODEL_LIST,
    provider_models=PROVIDER_MODELS,
    embeddings=EMBEDDINGS,
)
PROTOCOL = replace(_CHAT, dialects=(as_dialect(_CHAT),))
