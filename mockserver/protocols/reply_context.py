"""Input and output types of reply rendering, and functions that every protocol needs for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from ..framing import JSON
from ..scenarios.model import (
    DEFAULT_MESSAGES,
    ERROR_STATUS,
    Cut,
    Garble,
    Item,
    Pause,
    SayCall,
    SayError,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    SayUsage,
    Usage,
    coarse_kind,
    in_sequence,
)
from ..scenarios.provider import Auth, Provider

MOCK_CREATED = 1_760_000_000
"""Creation time of every reply, in Unix seconds; constant, so that replies are deterministic."""


class Failure(Struct, frozen=True):
    """An error to render: from `validate_request`, from a request that matches no story, or from a story."""

    status: int
    kind: str
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


class ReplyContext(Struct, frozen=True, kw_only=True):
    """Everything a protocol needs to render one reply: provider, story and step, the request, and the content.

    `items` holds content and faults in order, without SayStop and SayUsage, which are in `stop` and `usage`.
    """

    provider: Provider
    story: str
    step: int
    model: str
    stream: bool
    items: tuple[Item, ...]
    stop: SayStop
    usage: Usage
    path: str = ""
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}


ReplyPart: TypeAlias = bytes | Pause | Cut | Garble
"""A part of a reply: a complete frame as sent over the wire, or a fault."""


class RenderedReply(Struct, frozen=True):
    """A reply ready to send; `framing` is one of the constants of `framing`. A unary body is one part."""

    status: int
    headers: dict[str, str]
    parts: tuple[ReplyPart, ...]
    framing: str = JSON

    @property
    def body(self) -> bytes:
        """The frames of the reply without its faults."""
        return b"".join(part for part in self.parts if isinstance(part, bytes))


def derived_id(context: ReplyContext, salt: str, length: int = 24) -> str:
    """Returns a hexadecimal id that is the same each time for one provider, story, step and salt."""
    seed = f"{context.provider.name}/{context.story}/{context.step}/{salt}"
    return hashlib.sha256(seed.encode()).hexdigest()[:length]


def mint_signature(context: ReplyContext, n: int) -> str:
    """Returns the n-th signature (from 0) of this reply; a protocol whose field is base64 encodes it."""
    return f"sig:{context.provider.signature_maker}:{context.story}:{context.step}.{n}"


def is_foreign_signature(value: str, provider: Provider) -> bool:
    """Returns whether a signature is not one that `mint_signature` makes for this provider."""
    return not value.startswith(f"sig:{provider.signature_maker}:")


def token_logprob(token: str, at: int = 0) -> float:
    """Returns the log probability of a token as the mock plays it, `at` places after the likeliest."""
    return -0.25 * (1 + len(token) % 5) - at


def likely_tokens(token: str, most: int) -> list[tuple[str, float]]:
    """Returns the likeliest tokens at the place of this one, itself among them, with their log probabilities."""
    others = (token, token.upper(), f"{token}…")
    return [(other, token_logprob(token, at)) for at, other in enumerate(others[:most])]


def failure_of(error: SayError) -> Failure:
    """Returns a story's error with its status and message filled in."""
    kind = coarse_kind(error.kind)
    return Failure(
        error.status or ERROR_STATUS.get(kind, 500),
        kind,
        error.message or DEFAULT_MESSAGES[kind],
        retry_after=error.retry_after,
    )


def error_reply(error: Failure, body: Any) -> RenderedReply:
    """Returns an error reply with its status and, if the error has one, `retry-after` in seconds."""
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    return RenderedReply(error.status, headers, (json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),))


def sent_key(headers: Mapping[str, str], auth: Auth) -> str | None:
    """Returns the key in the provider's auth header, without the Bearer prefix; None when the header is missing."""
    found = {name.lower(): value for name, value in headers.items()}.get(auth.header.lower())
    if found is None:
        return None
    return found.removeprefix("Bearer ").strip() if auth.header.lower() == "authorization" else found


def estimate_usage(request_length: int, items: Iterable[Item]) -> Usage:
    """Returns deterministic token counts: a token is four characters, and a reply costs at least one token."""
    content = reasoning_length = 0
    for item in in_sequence(items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                content += len("".join(deltas))
            case SayThink(deltas):
                reasoning_length += len("".join(deltas))
            case SayCall(_, name, fragments):
                content += len(name) + len("".join(fragments))
            case SayUsage(usage):
                return usage
            case _:
                pass
    reasoning = (reasoning_length + 3) // 4
    return Usage(request_length // 4 + 8, (content + 3) // 4 + 1 + reasoning, reasoning=reasoning or None)
