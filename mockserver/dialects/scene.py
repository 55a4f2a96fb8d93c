"""One answer to be played: whose, of which story and step, and how it goes out; it knows no dialect's words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ..frames import JSON
from ..speech import (
    MESSAGES,
    STATUS,
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
    coarse,
    in_sequence,
)

CREATED = 1_760_000_000
"""The time at which every answer of the mock was made."""


class Auth(Struct, frozen=True):
    """The header that carries the key, and the only key that this provider accepts."""

    header: str
    key: str


class Provider(Struct, frozen=True, kw_only=True):
    """Who is played. The keys that a proxy's backend has too mean the same there.

    `replies` are literal answers by story; `habits` what this host does on the wire and its dialect's owner does not.
    """

    name: str
    protocol: str
    base_path: str = ""
    models: dict[str, str] = {}
    default_model: str | None = None
    capabilities: tuple[str, ...] = ()
    limits: dict[str, Any] = {}
    quirks: tuple[str, ...] = ()
    priority: int | None = None
    max_tokens: int | None = None
    auth: Auth
    replies: dict[str, tuple[Item, ...]] = {}
    habits: tuple[str, ...] = ()
    file: str = ""

    @property
    def upstream_models(self) -> tuple[str, ...]:
        """The names that this provider itself knows."""
        return tuple(dict.fromkeys(self.models.values()))

    def account(self, backend: str) -> Provider:
        """The same host as it is to this backend of a story: with a key of its own, and whatever model it asks for."""
        return replace(self, models={}, default_model=None, auth=Auth(self.auth.header, f"{self.auth.key}-{backend}"))


class Failure(Struct, frozen=True):
    """An error to be said: a refusal of `heed`, a near miss, or an error that a story holds."""

    status: int
    kind: str
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


class Scene(Struct, frozen=True, kw_only=True):
    """One answer to be played: whose, of which story and step, to which request.

    `items` hold content and faults in their order; SayStop and SayUsage have been taken out into `stop` and `usage`.
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


Step: TypeAlias = bytes | Pause | Cut | Garble
"""A piece of an answer: a whole frame as it goes over the wire, or a fault at its place."""


class Spoken(Struct, frozen=True):
    """An answer ready to be played; `framing` is one of the words of `frames`. A unary body is one step."""

    status: int
    headers: dict[str, str]
    steps: tuple[Step, ...]
    framing: str = JSON

    @property
    def body(self) -> bytes:
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def token(scene: Scene, salt: str, length: int = 24) -> str:
    """A made-up id, the same for the same provider, story and step each time."""
    seed = f"{scene.provider.name}/{scene.story}/{scene.step}/{salt}"
    return hashlib.sha256(seed.encode()).hexdigest()[:length]


def seal(scene: Scene, n: int) -> str:
    """The n-th signature (from 0) that this scene mints; a dialect whose slot wants base64 encodes it."""
    return f"sig:{scene.provider.name}:{scene.story}:{scene.step}.{n}"


def foreign_seal(value: str, provider: Provider) -> bool:
    """Whether a signature was minted by another provider, or by nobody (the mock mints no other shape)."""
    return not value.startswith(f"sig:{provider.name}:")


def failure(error: SayError) -> Failure:
    """A story's error with its status and message filled in."""
    kind = coarse(error.kind)
    return Failure(
        error.status or STATUS.get(kind, 500), kind, error.message or MESSAGES[kind], retry_after=error.retry_after
    )


def spoken_error(error: Failure, body: Any) -> Spoken:
    """An error body with its status and, where there is one, its retry-after in whole seconds."""
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    return Spoken(error.status, headers, (json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),))


def key_given(headers: Mapping[str, str], auth: Auth) -> str | None:
    """The key in the header that this provider reads, None when it is not there."""
    found = {name.lower(): value for name, value in headers.items()}.get(auth.header.lower())
    if found is None:
        return None
    return found.removeprefix("Bearer ").strip() if auth.header.lower() == "authorization" else found


def counted(ask_length: int, items: Iterable[Item]) -> Usage:
    """The mock's own deterministic counts: a token is four characters, and everything costs at least one."""
    said = thought = 0
    for item in in_sequence(items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                said += len("".join(deltas))
            case SayThink(deltas):
                thought += len("".join(deltas))
            case SayCall(_, name, fragments):
                said += len(name) + len("".join(fragments))
            case SayUsage(usage):
                return usage
            case _:
                pass
    reasoning = (thought + 3) // 4
    return Usage(ask_length // 4 + 8, (said + 3) // 4 + 1 + reasoning, reasoning=reasoning or None)
