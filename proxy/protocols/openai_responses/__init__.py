"""OpenAI Responses, and the hosts that speak it.

Sources: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org
"""

from __future__ import annotations

from ...ir import Opaque, Reply, Request
from ...ir.bounded_values import with_bounded_identifiers
from ..openai.addresses import deployed_paths, paths
from ..openai.embeddings import EMBEDDINGS
from ..openai.provider_models import PROVIDER_MODELS
from ..openai.rate_limits import read_rate_limits, write_rate_limits
from ..protocol import Endpoint, Protocol, StoredState, UpstreamTarget, loses_by_fitting
from .errors import decode_failure, encode_failure
from .plain_event import QuietEvent
from .reply_decoder import decode_reply
from .reply_encoder import encode_reply
from .request_decoder import KNOWN_TOOLS, decode_request
from .request_encoder import encode_request
from .socket_session import SocketSession
from .stream_decoder import StreamDecoder
from .stream_encoder import StreamEncoder
from .tables import LIMITS, NAME, QUIRKS, STORED_INPUT
from .token_count import TOKEN_COUNT


def stored_state(request: Request) -> StoredState | None:
    """Returns what the request needs of the account that keeps it, or that is to run it in the background."""
    extra = request.extra or {}
    found: list[tuple[str, str | None]] = []
    for field in STORED_INPUT:
        if value := extra.get(field):
            id_ = value.get("id") if type(value) is dict else value
            found.append((field, id_ if type(id_) is str else None))
    for turn in request.turns:
        for block in turn.blocks:
            if isinstance(block, Opaque) and block.kind == "item_reference":
                found.append(("item_reference", None))
    if extra.get("background") is True and (not found or found[0][0] == "item_reference"):
        return StoredState("background", references=tuple(found))
    if not found:
        return None
    field, id_ = found[0]
    return StoredState(field, () if id_ is None else (id_,), tuple(found))


def reply_to_warm_up(request: Request, relayed: bool) -> Reply | None:
    """Returns the empty reply to a request that only makes ready for those that go on with it.

    "Clients can optionally warm up request state by sending response.create with generate: false."
    https://developers.openai.com/api/docs/guides/websocket-mode
    """
    if (request.extra or {}).get("generate") is not False:
        return None
    return Reply(protocol=NAME, id=None, model=request.model, blocks=(), stop="end")


def address(model: str, stream: bool) -> str:
    return "/responses"


def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def needs_reencoding(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    """Returns whether the model refuses something, or an identifier is longer than the host allows."""
    bounded = with_bounded_identifiers(request, target.limit, [])
    return bounded is not request or loses_by_fitting(request, target, body)


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
    provider_models=PROVIDER_MODELS,
    usual_base_path="/v1",
    example_model="gpt-5-nano",
    paths=deployed_paths("/responses"),
    forwarded_headers=("openai-beta",),
    path_prefixes=paths("/responses"),
    decode_request=decode_request,
    known_tools=KNOWN_TOOLS,
    stored_state=stored_state,
    local_reply=reply_to_warm_up,
    socket=SocketSession,
    keeps_replies=True,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    ping=b": ping\n\n",
    encode_request=encode_request,
    needs_reencoding=needs_reencoding,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=address,
    auth=auth,
    read_rate_limits=read_rate_limits,
    write_rate_limits=write_rate_limits,
    resume_after_relay=StreamEncoder.resume_after_relay,
    model_out=(("model",), ("response", "model")),
    ignores_done=True,
    quiet_frame=QuietEvent,
    terminal_markers=(b'response.completed"', b'response.incomplete"', b'response.failed"', b'"error"'),
    endpoints=(
        Endpoint("POST", paths("/responses/input_tokens"), "count"),
        Endpoint("POST", paths("/responses/compact"), "compact"),
        Endpoint("GET", paths("/responses/{name}"), "stored", has_body=False),
        Endpoint("DELETE", paths("/responses/{name}"), "stored", has_body=False),
        Endpoint("POST", paths("/responses/{name}/cancel"), "stored", "cancel", has_body=False),
        Endpoint("GET", paths("/responses/{name}/input_items"), "stored", "input_items", has_body=False),
    ),
    token_count=TOKEN_COUNT,
    embeddings=EMBEDDINGS,
)
