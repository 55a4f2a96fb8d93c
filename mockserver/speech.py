"""What is asked and what is said, in plain neutral nouns; it knows no wire name, no file and no socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Role = Literal["system", "user", "assistant"]
Kind = Literal["function", "custom"]

STOPS = ("end", "tool", "length", "stop_sequence", "content_filter", "pause")
"""Why an answer may end; a reader that meets another native word says `other`."""

STATUS: dict[str, int] = {
    "bad_request": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "media_type": 415,
    "rate_limit": 429,
    "internal": 500,
    "overloaded": 503,
    "timeout": 504,
}
"""The coarse kinds of error that every dialect can tell apart, and the status of each unless a dialect differs."""

COARSE: dict[str, str] = {
    "context_length": "bad_request",
    "content_filter": "bad_request",
    "capability": "bad_request",
    "loss": "internal",
    "unprocessable": "bad_request",
    "model_not_found": "not_found",
    "method_not_allowed": "bad_request",
    "upgrade_required": "bad_request",
    "too_slow": "bad_request",
    "upstream_auth": "internal",
    "no_credentials": "internal",
    "upstream_error": "internal",
    "upstream_cut": "internal",
    "upstream_garbage": "internal",
    "upstream_unreachable": "internal",
    "draining": "overloaded",
    "upstream_timeout": "timeout",
}
"""Finer kinds that a story may name, and the coarse one that a client hears; `cut` is a stream that just breaks."""


def coarse(kind: str) -> str:
    """The kind as a client can tell it."""
    return COARSE.get(kind, kind)


def kind_of(status: int) -> str:
    """The coarse kind of an HTTP status."""
    exact = {number: kind for kind, number in STATUS.items()} | {529: "overloaded", 408: "timeout"}
    if status in exact:
        return exact[status]
    return "bad_request" if status < 500 else "internal"


# ---- blocks: what a turn is made of ----------------------------------------------------------------------------------


class Cite(Struct, frozen=True):
    """A source of a text: its address and title, the words of the source itself, and the stretch that it is for.

    One without an address is a document of the request.
    """

    url: str | None
    title: str | None = None
    quote: str | None = None
    stretch: str | None = None


class Text(Struct, frozen=True):
    text: str


class Think(Struct, frozen=True):
    """Thinking; `seal` is the provider's signature on it, which is all there is of it where it is `redacted`.

    Before a text or a call that has no slot of its own, one without text only carries that one's seal.
    """

    text: str
    seal: str | None = None
    redacted: bool = False


class Refuse(Struct, frozen=True):
    """The model's own words for why it will not answer."""

    text: str


class Image(Struct, frozen=True):
    """One of `data` (base64), `url` or `file`, the id of what the provider's own store holds."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file: str | None = None


class Document(Struct, frozen=True):
    """One of `data` (base64), `url`, `text` or `file`."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    text: str | None = None
    name: str | None = None
    file: str | None = None


class Audio(Struct, frozen=True):
    """One of `data` (base64) or `url`."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None


class Video(Struct, frozen=True):
    """One of `data` (base64) or `url`; only Gemini takes any."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text, or for a custom tool the free text itself."""

    id: str
    name: str
    arguments: str
    seal: str | None = None
    kind: Kind = "function"
    namespace: str | None = None


class Result(Struct, frozen=True):
    """What a call gave back; `at` is the place of its call in the answer before, None in a literal history."""

    id: str
    blocks: tuple[Block, ...]
    error: bool = False
    name: str | None = None
    at: int | None = None

    @property
    def text(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Text))


Block: TypeAlias = Text | Think | Refuse | Image | Document | Audio | Video | Call | Result


class Turn(Struct, frozen=True):
    role: Role
    blocks: tuple[Block, ...]


class Tool(Struct, frozen=True):
    """A tool the model may call; `parameters` is its JSON Schema as written, None when none was given.

    A custom tool takes free text, of a `grammar` where there is one. `namespace` is the group it stands in, and `among`
    says that it arrives among what is said rather than beside it, where the dialect has a place for that.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kind: Kind = "function"
    namespace: str | None = None
    grammar: Grammar | None = None
    among: bool = False

    @property
    def full(self) -> tuple[str | None, str]:
        """What a call must say to mean this tool."""
        return self.namespace, self.name


class Grammar(Struct, frozen=True):
    """What the text for a custom tool must look like: `syntax` is `lark` or `regex`."""

    syntax: str
    definition: str


class Usage(Struct, frozen=True):
    """Token counts; `input` excludes what was read from or written to a cache, `reasoning` is part of `output`."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


# ---- the ask ---------------------------------------------------------------------------------------------------------


class Format(Struct, frozen=True):
    """An answer that must be JSON; with a `schema`, JSON of that schema."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None
    description: str | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """What a client asks in one exchange.

    `turns` is a literal history before `user`; `results` answer the calls of the answer before. `tool_choice` is
    `auto`, `none`, `required`, `Named` or `Allowed`. `also` is merged, by dialect, into the client's body as it stands.
    """

    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    user: tuple[Block, ...] = ()
    results: tuple[Result, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: Choice | None = None
    parallel: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: str | int | None = None
    format: Format | None = None
    model: str | None = None
    also: dict[str, dict[str, Any]] = {}
    headers: dict[str, str] = {}


class Named(Struct, frozen=True):
    """A tool choice that forces one tool."""

    name: str


class Allowed(Struct, frozen=True):
    """A tool choice among some of the tools: `mode` is `auto`, or `required` where one of them must be called."""

    names: tuple[str, ...]
    mode: str = "auto"


Choice: TypeAlias = str | Named | Allowed


SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")
"""The sampling fields of an ask, in the order in which every report lists them."""


# ---- what a provider says --------------------------------------------------------------------------------------------


class SayText(Struct, frozen=True):
    """A text; `sealed` is for the provider that signs such things too, `cites` are the sources of all of it."""

    deltas: tuple[str, ...]
    sealed: bool = False
    cites: tuple[Cite, ...] = ()


class SayThink(Struct, frozen=True):
    """Thinking; what is `redacted` has no words, only a seal."""

    deltas: tuple[str, ...]
    sealed: bool = False
    redacted: bool = False


class SayRefusal(Struct, frozen=True):
    deltas: tuple[str, ...]


class SayImage(Struct, frozen=True):
    """A picture, for the provider that can make one; `data` is base64."""

    mime: str
    data: str


class SayCall(Struct, frozen=True):
    """A call; `fragments` concatenate to the JSON text of its arguments, an empty tuple is a call that sends none.

    A call of a custom tool sends free text. `name` and `namespace` are the story's own; what goes over the wire is the
    name under which the tool was offered.
    """

    id: str
    name: str
    fragments: tuple[str, ...] = ()
    sealed: bool = False
    kind: Kind = "function"
    namespace: str | None = None


class Interleave(Struct, frozen=True):
    """Calls whose fragments alternate where the dialect can do so; elsewhere they are said one after the other."""

    calls: tuple[SayCall, ...]


class SayStop(Struct, frozen=True):
    """Why it stops (one of `STOPS`), and the stop sequence that `matched`."""

    reason: str
    matched: str | None = None


class SayUsage(Struct, frozen=True):
    """The counts to report; None means the mock's own deterministic ones."""

    usage: Usage


class Pause(Struct, frozen=True):
    seconds: float
    times: int | None = None


class Cut(Struct, frozen=True):
    """The connection ends here: `eof` closes it, `reset` breaks it; `at` bytes of the next frame go out first."""

    how: Literal["eof", "reset"] = "eof"
    at: int = 0
    times: int | None = None


class Garble(Struct, frozen=True):
    """The next frame is replaced by `text`, which is not the protocol."""

    text: str = "<html>502 Bad Gateway</html>"
    times: int | None = None


class SayError(Struct, frozen=True):
    """The provider fails here: as a status when nothing was said yet, else (or with `in_stream`) inside the stream."""

    kind: str
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    in_stream: bool = False
    times: int | None = None


Content: TypeAlias = SayText | SayThink | SayRefusal | SayImage | SayCall | Interleave
Fault: TypeAlias = Pause | Cut | Garble | SayError
Item: TypeAlias = Content | SayStop | SayUsage | Fault

MESSAGES: dict[str, str] = {
    "bad_request": "The request is not valid.",
    "authentication": "The key is not valid.",
    "permission": "This key may not do that.",
    "not_found": "There is no such thing.",
    "too_large": "The request is too large.",
    "media_type": "The body must be JSON.",
    "rate_limit": "Too many requests, slow down.",
    "internal": "The server had an error.",
    "overloaded": "The server is overloaded, try again later.",
    "timeout": "The server took too long.",
}
"""What an error of a story says when the story gives it no message."""


def in_sequence(items: Iterable[Item]) -> Iterator[Item]:
    """The items with interleaved calls one after the other, for dialects that cannot interleave."""
    for item in items:
        if isinstance(item, Interleave):
            yield from item.calls
        else:
            yield item


def calls_of(items: Iterable[Item]) -> tuple[SayCall, ...]:
    """The calls among the items, in the order of their places on the wire."""
    return tuple(item for item in in_sequence(items) if isinstance(item, SayCall))


def text_of(blocks: Iterable[Block]) -> str:
    """The text among the blocks."""
    return "".join(block.text for block in blocks if isinstance(block, Text))
