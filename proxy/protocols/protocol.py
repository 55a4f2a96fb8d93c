"""Defines `Protocol`, the record of functions, addresses and facts that is one wire protocol, and the types it uses.

A protocol's folder builds one `Protocol`; `proxy.protocols.PROTOCOLS` collects them. All that the rest of the proxy
knows of a protocol stands in its record, so that a new one is a folder and a line in that table.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from ..ir import Added, Event, Failure, Loss, Reply, Request
from ..ir.embeddings import EmbeddingsReply, EmbeddingsRequest
from ..ir.known_tools import KnownTools
from ..ir.model_fit import fitted
from ..ir.rate_limits import RateLimit
from ..ir.stream import Texts
from ..ir.stream_losses import StreamLosses
from ..ir.tool_names import Alias
from ..traits import Trait, Traits, traits_of
from ..wire.framing import Frame

NewId: TypeAlias = Callable[[str], str]
"""Makes an id with this prefix (`call_`, `msg_`, …) of at most 40 characters."""


# ---- what passes between a protocol and the gateway ------------------------------------------------------------------


class UrlParams(Struct, frozen=True):
    """The parameters in a request's URL: a model or an id, the method called on it, and `alt` of the query."""

    model: str | None = None
    method: str | None = None
    alt: str | None = None

    @property
    def wants_array(self) -> bool:
        """True if a stream is asked for as one JSON array: Gemini's default, which `alt=sse` turns off."""
        return self.method is not None and self.alt != "sse"


class UpstreamTarget(Struct, frozen=True):
    """The backend as an encoder sees it: upstream model, provider (the issuer of signatures), its bounds and quirks.

    `max_tokens` is sent where the protocol requires a bound and the client set none; `limits` overrides the
    protocol's own table of bounds by name. `host` is the provider whose rows of the table of traits apply, empty for
    none, and `own_traits` are those of the config.
    """

    model: str
    provider: str
    max_tokens: int | None = None
    limits: Mapping[str, float] = {}
    quirks: frozenset[str] = frozenset()
    host: str = ""
    own_traits: tuple[Trait, ...] = ()

    @property
    def traits(self) -> Traits:
        """The traits of this model at this host, merged."""
        return traits_of(self.model, self.host, self.quirks, self.own_traits)

    def limit(self, name: str) -> int | None:
        """Returns a bound of the config, else of the traits; None where there is none."""
        found = self.limits.get(name, self.traits.limits.get(name))
        return None if found is None else int(found)


def loses_by_fitting(request: Request, target: UpstreamTarget, body: bytes) -> bool:
    """Returns whether the target's model refuses something that the request says."""
    return bool(fitted(request, target.traits)[1])


class UpstreamRequest(Struct, frozen=True):
    """A request as the backend gets it, its losses, and the tool names that the decoder of its reply must map back.

    `headers` are those that this very request needs, beside the backend's own. `stops` are the stop sequences beyond
    the target's number, at which the proxy cuts the answer.
    """

    payload: dict[str, Any]
    losses: tuple[Loss, ...]
    target: UpstreamTarget
    names: Mapping[str, Alias] = {}
    headers: Mapping[str, str] = {}
    stops: tuple[str, ...] = ()
    added: tuple[Added, ...] = ()
    """Additions that the target needs and the client did not say."""
    relayed: bool = False
    """True if the body is the client's own and of the backend's own protocol, so that the reply is relayed too."""
    dialect: Protocol | None = None
    """The dialect whose address and forms a relayed request has; None for the backend's own protocol."""


class ReplyContext(Struct, frozen=True):
    """The context of a reply for its encoder: the client's request, ids, and `created` in unix seconds.

    `array` asks for a stream as one JSON array.
    """

    request: Request
    id: str
    created: int
    new_id: NewId
    array: bool = False
    request_id: str = ""
    """The id of the request itself, which errors in a stream name."""


class StreamDecoder(typing.Protocol):
    """Decodes a backend's frames into events; `done` once a ReplyEnd or a Failure came out.

    `fast_forward` is set once a relayed answer has begun: from then on frames without any of
    `Protocol.terminal_markers` are not fed, so block events are incomplete, which is no error.
    """

    done: bool
    fast_forward: bool

    def feed(self, frame: Frame) -> list[Event]: ...
    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        """Decodes as many frames, given as their objects, if all hold the next text of the open block and no more.

        Else it returns None, nothing was fed, and `feed` takes them one by one.
        """
        ...

    def close(self) -> list[Event]:
        """Returns what is still due at the end of the bytes, with a Failure `upstream_cut` if the reply is cut off."""
        ...


class StreamEncoder(typing.Protocol):
    """Encodes events as whole frames of the client's protocol, one write a call; a Failure is the in-band error.

    The last event, the error too, tells of the losses that are late.
    """

    losses: StreamLosses

    def encode(self, events: Sequence[Event]) -> bytes: ...
    def encode_texts(self, texts: Texts) -> bytes | None:
        """Returns what `encode` makes of these texts, if nothing but frames of text is due; else None."""
        ...


class SocketSession(typing.Protocol):
    """One WebSocket on which clients of a protocol chat: what passes over it, and what its turns go on with."""

    def begin(self, message: bytes) -> bytes:
        """Returns the body of the chat request that a client's message stands for; raises Malformed."""
        ...

    def messages(self, frames: bytes) -> list[bytes]:
        """Returns the messages for whole frames of the answer's stream; none for a ping."""
        ...

    def error(self, status: int, body: bytes) -> bytes:
        """Returns the message for a turn that was refused with this status and error body."""
        ...

    def limit_reached(self) -> bytes:
        """Returns the message at the end of the time that a connection may last."""
        ...


# ---- endpoints beside the chat ---------------------------------------------------------------------------------------

Operation: TypeAlias = Literal[
    "list_models", "show_model", "running_models", "pull_model", "version", "greeting",
    "count", "embeddings", "compact", "stored"
]  # fmt: skip
"""The operation of an endpoint beside the chat; `proxy.endpoints.table` has the function of each."""


class Endpoint(Struct, frozen=True):
    """An address beside the chat. In a path `{tail}` is a model's name and `{name}` the id of a stored response.

    `method` is what is asked of that model or id, where the path has it in words.
    """

    verb: str
    paths: tuple[str, ...]
    operation: Operation
    method: str | None = None
    has_body: bool = True


class ListedModel(Struct, frozen=True):
    """A model in a list: the name that clients use, the backend that serves it, and that backend's capabilities."""

    name: str
    owner: str
    capabilities: frozenset[str]


class ModelList(Struct, frozen=True, kw_only=True):
    """Writes lists of models in one protocol."""

    list_models: Callable[[Sequence[ListedModel], Mapping[str, str]], dict[str, Any]]
    """The page that the query's fields ask for; raises ClientError where they are wrong."""
    show_model: Callable[[ListedModel], dict[str, Any]]
    version: dict[str, Any] | None = None
    """The answer of the `version` operation."""
    greeting: str | None = None
    """The text of the `greeting` operation, by which clients know that a server is there."""
    running_models: dict[str, Any] | None = None
    """The answer of the `running_models` operation."""
    pull_model: Callable[[bool], tuple[str, bytes]] | None = None
    """The content type and the body that say that a model is there already, as a stream or in one piece."""


class ProviderModels(Struct, frozen=True, kw_only=True):
    """Asks a backend of one protocol which models it has."""

    path: str
    """The path of the first page below the base URL."""
    read: Callable[[dict[str, Any]], tuple[list[str], str | None]]
    """The names on a page, and the path of the next one; raises Malformed where the body is no such list."""


class TokenCount(Struct, frozen=True, kw_only=True):
    """Counts of tokens in one protocol, both directions."""

    # as a frontend
    unwrap: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    """The chat request within the body of a count request; raises Malformed."""
    method: str | None = None
    """The URL's method that the decoder of that request expects."""
    render: Callable[[int], dict[str, Any]]

    # as a backend
    path: Callable[[str], str]
    """The path below the base URL for an upstream model."""
    body: Callable[[Mapping[str, Any], str], dict[str, Any]]
    """The body for an encoded chat request and its upstream model."""
    key: str
    """The field of the answer that holds the number."""


class EmbeddingsCodec(Struct, frozen=True, kw_only=True):
    """Embeddings in one protocol, both directions."""

    # as a frontend
    decode_request: Callable[[dict[str, Any], UrlParams], EmbeddingsRequest]
    """Raises Malformed with the wire path of what is wrong."""
    encode_reply: Callable[[EmbeddingsReply, EmbeddingsRequest, int], dict[str, Any]]
    """The last argument is the number of tokens, counted or estimated."""
    with_model: Callable[[dict[str, Any], str], dict[str, Any]] = lambda body, model: {**body, "model": model}
    """The client's own body for an equal backend that has another name for the model."""
    as_requested: Callable[[dict[str, Any], EmbeddingsRequest], dict[str, Any] | None] = lambda body, request: None
    """The body of an equal backend with the vectors in the form that was asked for; None where they have it."""

    # as a backend
    path: Callable[[str, bool], str]
    """The path below the base URL for an upstream model; True for the body of a single text."""
    encode_request: Callable[[EmbeddingsRequest, str], tuple[dict[str, Any], list[Loss]]]
    decode_reply: Callable[[dict[str, Any]], EmbeddingsReply]
    """Raises Malformed where the body is not of this protocol."""


# ---- the record ------------------------------------------------------------------------------------------------------


class StoredState(Struct, frozen=True):
    """A request's reference to what one account of a provider keeps: the field that refers to it, and the ids in it.

    `references` are all that it refers to, each with its field, and its id where that is one of a whole response.
    """

    field: str
    ids: tuple[str, ...] = ()
    references: tuple[tuple[str, str | None], ...] = ()


class Protocol(Struct, frozen=True, kw_only=True):
    """One wire protocol, both directions."""

    name: str
    title: str
    """As people write it, for a log line: `OpenAI chat completions`."""
    capabilities: frozenset[str]
    """The capabilities that the wire format can carry; `capabilities: auto` means these."""
    quirks: Mapping[str, str] = {}
    """Ways in which a host of this protocol may deviate, and what each changes."""
    limits: Mapping[str, float] = {}
    """The protocol's own bounds, which a backend's `limits` may override."""
    local: bool = False
    """True if backends of this protocol run on the operator's own machines."""
    example_model: str
    """A model's name for examples, and for a conversion without one."""

    # as a frontend
    paths: tuple[str, ...]
    """The paths to which clients post a chat; `{tail}` is `model:method`."""
    chat_methods: tuple[str, ...] = ()
    """The methods of a chat, where the path has one behind its last colon."""
    url_params: Callable[[str | None, bool], UrlParams] = lambda model, stream: UrlParams()
    """The parameters of the URL for this model, unary or streaming; only where the URL holds them, not the body."""
    client_headers: tuple[str, ...] = ()
    """Request headers that only this protocol's clients send."""
    client_query: tuple[str, ...] = ()
    """Query fields that only this protocol's clients send."""
    forwarded_headers: tuple[str, ...] = ()
    """The client's headers that a backend of the same protocol gets; no credential is among them."""
    beta_header: str | None = None
    """The one of them that lists beta flags, which a backend's `betas` filters."""
    takes_untyped: bool = False
    """True if a body of JSON may have no content type, or one that nobody chose, as the protocol's clients send it."""
    path_prefixes: tuple[str, ...] = ()
    """Beginnings of paths at which an error has this protocol's shape, whatever the client sends."""
    request_id_header: str | None = None
    """The response header in which this protocol's SDK looks for the request's id, beside `x-request-id`."""
    decode_request: Callable[[dict[str, Any], UrlParams], Request]
    """Raises Malformed with the wire path of what is wrong."""
    plain_request: Callable[[bytes], Request | None] = lambda body: None
    """A quick reader of the most frequent bodies; None for any other."""
    known_tools: KnownTools | None = None
    """The tools of recent requests, where they are kept."""
    stored_state: Callable[[Request], StoredState | None] = lambda request: None
    """The references of a request to an account's own store; another account would answer them with a 404."""
    refusal_code: Callable[[Request], str | None] = lambda request: None
    """The error's code by which a client whose request no backend can take in full learns to ask in another way."""
    keeps_replies: bool = False
    """True if a later request may refer to a reply by its id."""
    encode_reply: Callable[[Reply, ReplyContext], tuple[dict[str, Any], list[Loss]]]
    stream_encoder: Callable[[ReplyContext], StreamEncoder]
    local_reply: Callable[[Request, bool], Reply | None] = lambda request, relayed: None
    """The reply to a request that asks for no generation, so that no backend is called; None for every other one.

    True where the request would be relayed, to a backend that may know more of it.
    """
    encode_failure: Callable[[Failure, str], dict[str, Any]]
    """The error body for a failure; the second argument is the request's id."""
    write_rate_limits: Callable[[Iterable[RateLimit], float], dict[str, str]] = lambda limits, now: {}
    """The headers by which a client learns of limits; the second argument is the unix time."""
    failure_status: Mapping[str, int] = {}
    """Kinds whose HTTP status differs from the common table (Anthropic says 529 where others say 503)."""
    stream_type: str = "text/event-stream"
    ping: bytes
    """Bytes that keep a silent stream open and that clients of this protocol ignore."""

    # as a backend
    base_url_suffixes: tuple[str, ...] = ()
    """Versions that people write at the end of a base URL though the protocol's paths have them already."""
    usual_base_path: str = ""
    """The path at which the base URLs of most hosts end; empty where they have none."""
    encode_request: Callable[[Request, UpstreamTarget], UpstreamRequest]
    decode_reply: Callable[[dict[str, Any], UpstreamRequest, NewId], Reply]
    """Raises Malformed where the body is not of this protocol."""
    plain_reply: Callable[[bytes, bool], Reply | None] = lambda body, is_relayed: None
    """A quick reader of the most frequent replies; None for any other. True where the extra fields are not needed."""
    stream_decoder: Callable[[UpstreamRequest, NewId], StreamDecoder]
    decode_failure: Callable[[int, bytes, float | None], Failure]
    """HTTP status, body and retry-after in seconds of a non-2xx."""
    address: Callable[[str, bool], str]
    """The path below the base URL for an upstream model, unary or streaming."""
    auth: Callable[[str], dict[str, str]]
    """The headers that carry the backend's key."""
    headers: Mapping[str, str] = {}
    """The headers of every request to such a backend."""
    framing: str = "sse"

    read_rate_limits: Callable[[Mapping[str, str], float], tuple[RateLimit, ...]] = lambda headers, now: ()
    """The limits that a backend's headers name; the second argument is the unix time."""

    # between two equal ones: the relay
    model_in: tuple[str, ...] = ("model",)
    """The path of keys at which the request names the model; empty where the URL does."""
    model_out: tuple[tuple[str, ...], ...] = (("model",),)
    """The paths of keys at which a body or a stream's frame names it."""
    needs_reencoding: Callable[[Request, UpstreamTarget, bytes], bool] = loses_by_fitting
    """True if this target must get this request, whose body is the last argument, re-encoded."""
    resume_after_relay: Callable[[Any, list[Frame]], None] | None = None
    """Tells an encoder that must end a relayed stream what went before: the stream's first and last frames."""
    frame_fields: tuple[bytes, ...] = ()
    """Every frame of an answer has one of these fields, most have the first; one without is skipped.

    Empty where frames have types.
    """
    ends_with_done: bool = False
    """True if the sentinel `[DONE]` ends a stream, and chunks may follow the one that completes the answer."""
    place_cache_marks: Callable[[dict[str, Any]], tuple[Added, ...]] | None = None
    """Marks in an encoded request what the provider is to cache, where it caches only that and the client said nothing.
    """
    ignores_done: bool = False
    """True if clients of this protocol ignore that sentinel, so that a relay passes it on."""
    terminal_markers: tuple[bytes, ...]
    """A frame after the first content event holds usage or the end only if one of these bytes is in it, as hosts write
    them; literal ones, because a scan for a pattern would cost more than all the rest of a relay."""

    quiet_frame: type[Struct] | None = None
    """The type of frames after the first content event that hold neither usage nor the end nor an error, so that a
    relay passes them on; its `model` is the model's name where they have it. None: all are looked through."""

    socket: Callable[[int], SocketSession] | None = None
    """Makes the session of a WebSocket on the chat's own paths, which keeps at most so many bytes."""

    # dialects: other forms of the chat, at addresses of their own
    dialects: tuple[Protocol, ...] = ()
    """The protocol's dialects, each a record of the same name."""
    to_chat: Callable[[Request], tuple[Request, tuple[Loss, ...]]] | None = None
    """Of a dialect: the request as the protocol's own chat has it, and what no chat can express; else None."""
    dialect_quirk: str | None = None
    """Of a dialect: the quirk of those backends of the protocol that have its address; None where all have it."""

    # beside the chat
    endpoints: tuple[Endpoint, ...] = ()
    methods: Mapping[str, Endpoint] = {}
    """Operations that share the chat's own path, by the method behind its last colon."""
    model_list: ModelList | None = None
    provider_models: ProviderModels | None = None
    token_count: TokenCount | None = None
    embeddings: EmbeddingsCodec | None = None


def with_and_without_version(path: str) -> tuple[str, str]:
    """The path with `/v1` and without it: clients' base URLs have the version or not."""
    return f"/v1{path}", path
