"""What a protocol is: a record of functions and addresses, and the nouns that pass between it and the server.

It knows none of the five. A protocol module builds one `Protocol`; `proxy.protocols.PROTOCOLS` collects them.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from ..framing import Frame
from ..ir import Event, Failure, Loss, Reply, Request
from ..names import Alias

NewId: TypeAlias = Callable[[str], str]
"""Makes an id with this prefix (`call_`, `msg_`, …) of at most 40 characters."""


class Where(Struct, frozen=True):
    """What the address of a request says beside its body: Gemini's model and method, and `alt` of the query."""

    model: str | None = None
    method: str | None = None
    alt: str | None = None


class Target(Struct, frozen=True):
    """The backend as an encoder sees it: upstream model, provider (who mints seals), its bounds and quirks.

    `max_tokens` is what a dialect that requires a bound sends when the client set none; `limits` overrides the
    dialect's own table of bounds by name.
    """

    model: str
    provider: str
    max_tokens: int | None = None
    limits: Mapping[str, float] = {}
    quirks: frozenset[str] = frozenset()


class Sent(Struct, frozen=True):
    """A request as a backend gets it, what it could not say, and what the way back must undo."""

    payload: dict[str, Any]
    losses: tuple[Loss, ...]
    target: Target
    names: Mapping[str, Alias] = {}


class Asked(Struct, frozen=True):
    """The client's request and the ids and time that its answer must carry; `created` in unix seconds.

    `array` is Gemini's stream as one JSON array.
    """

    request: Request
    id: str
    created: int
    new_id: NewId
    array: bool = False


class StreamDecoder(typing.Protocol):
    """Frames of a backend in, neutral events out; `done` once Finish or Failure came out.

    `skims` is set once a relayed answer has begun: from then on frames without a mark of `Protocol.watch` are left
    out, so what belongs to blocks is incomplete and no fault.
    """

    done: bool
    skims: bool

    def feed(self, frame: Frame) -> list[Event]: ...
    def close(self) -> list[Event]:
        """The upstream ended: what is still due, and a Failure of kind `upstream_cut` if that is no proper end."""
        ...


class StreamEncoder(typing.Protocol):
    """Neutral events in, whole frames of a client's protocol out, as one write; a Failure becomes the in-band error."""

    losses: list[Loss]

    def encode(self, events: Sequence[Event]) -> bytes: ...


class Protocol(Struct, frozen=True, kw_only=True):
    """One wire protocol, both directions."""

    name: str
    title: str
    """As people write it, for a log line: `OpenAI chat completions`."""
    capabilities: frozenset[str]
    """What the protocol's wire can say at all; `capabilities: auto` means these."""
    quirks: Mapping[str, str] = {}
    """Ways in which a host of this protocol may deviate, and what each changes."""
    limits: Mapping[str, float] = {}
    """The protocol's own bounds, which a backend's `limits` may override."""

    # as a frontend
    paths: tuple[str, ...]
    """Where clients post; `{tail}` is Gemini's `model:method`."""
    decode_request: Callable[[dict[str, Any], Where], Request]
    """Raises Malformed with the wire path of what is wrong."""
    encode_reply: Callable[[Reply, Asked], tuple[dict[str, Any], list[Loss]]]
    stream_encoder: Callable[[Asked], StreamEncoder]
    encode_failure: Callable[[Failure, str], dict[str, Any]]
    """The error body for a failure; the second argument is the request's id."""
    failure_status: Mapping[str, int] = {}
    """Kinds whose HTTP status differs from the common table (Anthropic says 529 where others say 503)."""
    stream_type: str = "text/event-stream"
    ping: bytes
    """What keeps a silent stream open without meaning anything."""

    # as a backend
    encode_request: Callable[[Request, Target], Sent]
    decode_reply: Callable[[dict[str, Any], Sent, NewId], Reply]
    """Raises Malformed where the body is not of this protocol."""
    stream_decoder: Callable[[Sent, NewId], StreamDecoder]
    decode_failure: Callable[[int, bytes, float | None], Failure]
    """HTTP status, body and retry-after in seconds of a non-2xx."""
    address: Callable[[str, bool], str]
    """The path below the base URL for an upstream model, unary or streaming."""
    auth: Callable[[str], dict[str, str]]
    """The headers that carry the backend's key."""
    headers: Mapping[str, str] = {}
    """What every request to such a backend carries."""
    framing: str = "sse"

    # between two equal ones: the relay
    model_in: tuple[str, ...] = ("model",)
    """Where the request names the model; empty where the address does."""
    model_out: tuple[tuple[str, ...], ...] = (("model",),)
    """Where a body or a stream's frame names it, as paths of keys."""
    touches: Callable[[Request, frozenset[str]], bool] = lambda request, quirks: bool(quirks)
    """Whether a backend with these quirks must get this request re-encoded."""
    resume: Callable[[Any, list[Frame]], None] | None = None
    """Lets an encoder that must end a relayed stream know what went before it: the stream's first and last frames."""
    watch: tuple[bytes, ...]
    """Bytes of which a frame after the first semantic event has one if it holds usage or an end, as hosts write them;
    literal ones, because a scan for a pattern would cost more than all the rest of a relay."""
