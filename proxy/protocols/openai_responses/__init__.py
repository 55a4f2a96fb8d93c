"""OpenAI Responses, and the hosts that speak it.

Sources: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org
"""

from __future__ import annotations

from ...ir import Opaque, Request
from ..openai.embeddings import EMBEDDINGS
from ..protocol import Endpoint, Protocol, StoredState, with_and_without_version
from .errors import decode_failure, encode_failure
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import decode_request
from .request_encoder import encode_request
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS, STORED_INPUT
from .token_count import TOKEN_COUNT


def stored_state(request: Request) -> StoredState | None:
    """Returns what the request needs of the account that keeps it, or that is to run it in the background."""
    extra = request.extra or {}
    for field in STORED_INPUT:
        if value := extra.get(field):
            id_ = value.get("id") if type(value) is dict else value
            return StoredState(field, (id_,) if type(id_) is str else ())
    if extra.get("background") is True:
        return StoredState("background")
    for turn in request.turns:
        for block in turn.blocks:
            if isinstance(block, Opaque) and block.kind == "item_reference":
                return StoredState("item_reference")
    return None


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
    example_model="gpt-5-nano",
    paths=with_and_without_version("/responses"),
    forwarded_headers=("openai-beta",),
    path_prefixes=("/v1/responses", "/responses"),
    decode_request=decode_request,
    stored_state=stored_state,
    keeps_replies=True,
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
    resume_after_relay=StreamEncoder.resume_after_relay,
    model_out=(("model",), ("response", "model")),
    terminal_markers=(b'response.completed"', b'response.incomplete"', b'response.failed"', b'"error"'),
    endpoints=(
        Endpoint("POST", with_and_without_version("/responses/input_tokens"), "count"),
        Endpoint("POST", with_and_without_version("/responses/compact"), "compact"),
        Endpoint("GET", with_and_without_version("/responses/{name}"), "stored", has_body=False),
        Endpoint("DELETE", with_and_without_version("/responses/{name}"), "stored", has_body=False),
        Endpoint("POST", with_and_without_version("/responses/{name}/cancel"), "stored", "cancel", has_body=False),
        Endpoint(
            "GET", with_and_without_version("/responses/{name}/input_items"), "stored", "input_items", has_body=False
        ),
    ),
    token_count=TOKEN_COUNT,
    embeddings=EMBEDDINGS,
)
