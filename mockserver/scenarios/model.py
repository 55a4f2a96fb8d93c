"""Protocol-neutral types of requests and replies: blocks, turns, tools, settings, content items and faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Role = Literal["system", "user", "assistant"]
Kind = Literal["function", "custom"]

STOPS = ("end", "tool", "length", "stop_sequence", "content_filter", "pause")
"""Stop reasons of a reply; a parser maps an unknown native reason to `other`."""

ERROR_STATUS: dict[str, int] = {
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
"""Error kinds that every protocol can distinguish -> HTTP status, unless a protocol defines its own."""

COARSE_KINDS: dict[str, str] = {
    "context_length": "bad_request",
    "content_filter": "bad_request",
    "capability": "bad_request",
    "loss": "internal",
    "unprocessable": "bad_request",
    "budget": "bad_request",
    "over_limit": "rate_limit",
    "model_not_found": "not_found",
    "method_not_allowed": "bad_request",
    "upgrade_required": "bad_request",
    "expectation": "bad_request",
    "misdirected": "bad_request",
    "too_slow": "bad_request",
    "header_too_large": "bad_request",
    "content_coding": "media_type",
    "upstream_auth": "internal",
    "upstream_quota": "internal",
    "upstream_region": "internal",
    "upstream_moderation": "internal",
    "upstream_forbidden": "internal",
    "upstream_dns": "internal",
    "out_of_resources": "overloaded",
    "no_credentials": "internal",
    "upstream_error": "internal",
    "upstream_cut": "internal",
    "upstream_garbage": "internal",
    "upstream_unreachable": "internal",
    "draining": "overloaded",
    "loop": "internal",
    "upstream_timeout": "timeout",
    "stream_limit": "timeout",
}
"""Finer error kinds that a story may name -> the coarse kind that a client receives."""


def coarse_kind(kind: str) -> str:
    """Returns the kind of an error as a client receives it."""
    return COARSE_KINDS.get(kind, kind)


def kind_of_status(status: int) -> str:
    """Returns the coarse error kind of an HTTP status."""
    exact = {number: kind for kind, number in ERROR_STATUS.items()} | {529: "overloaded", 408: "timeout"}
    if status in exact:
        return exact[status]
    return "bad_request" if status < 500 else "internal"


# ---- blocks of a turn ------------------------------------------------------------------------------------------------


class Citation(Struct, frozen=True):
    """A source of a text: URL and title, `quote` from the source, and `span`, the cited part of the text.

    A citation without a URL refers to a document of the request.
    """

    url: str | None
    title: str | None = None
    quote: str | None = None
    span: str | None = None


class Text(Struct, frozen=True):
    """Plain text."""

    text: str


class Thinking(Struct, frozen=True):
    """Reasoning text with the provider's `signature`; a `redacted` block has a signature and no text.

    A block without text carries the signature of the text or call after it, where that has no field for one.
    """

    text: str
    signature: str | None = None
    redacted: bool = False


class Refusal(Struct, frozen=True):
    """The model's text that explains a refusal."""

    text: str


class Image(Struct, frozen=True):
    """An image as one of `data` (base64), `url` or `file` (the id of a file stored at the provider)."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file: str | None = None


class Document(Struct, frozen=True):
    """A document as one of `data` (base64), `url`, `text` or `file` (the id of a file stored at the provider)."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    text: str | None = None
    name: str | None = None
    file: str | None = None


class Audio(Struct, frozen=True):
    """Audio as one of `data` (base64) or `url`."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None


class Video(Struct, frozen=True):
    """A video as one of `data` (base64) or `url`; only Gemini accepts one."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None


class ToolCall(Struct, frozen=True):
    """A tool call; `arguments` is JSON text, or free text for a custom tool."""

    id: str
    name: str
    arguments: str
    signature: str | None = None
    kind: Kind = "function"
    namespace: str | None = None


class ToolResult(Struct, frozen=True):
    """A tool result; `at` is the index of its call in the previous reply, None in a literal history."""

    id: str
    blocks: tuple[Block, ...]
    error: bool = False
    name: str | None = None
    at: int | None = None

    @property
    def text(self) -> str:
        """The text blocks of the result, concatenated."""
        return text_of(self.blocks)


Block: TypeAlias = Text | Thinking | Refusal | Image | Document | Audio | Video | ToolCall | ToolResult


class Turn(Struct, frozen=True):
    """One message of a conversation."""

    role: Role
    blocks: tuple[Block, ...]


class Tool(Struct, frozen=True):
    """A tool that the model may call; `parameters` is its JSON Schema as written, None if there is none.

    A custom tool takes free text, limited by `grammar` if there is one. `namespace` is the group of the tool. `among`
    sends the tool as an input item instead of in the list of tools, if the protocol supports that.
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
    def full_name(self) -> tuple[str | None, str]:
        """The namespace and name by which a call refers to this tool."""
        return self.namespace, self.name


class Grammar(Struct, frozen=True):
    """Grammar of the text for a custom tool; `syntax` is `lark` or `regex`."""

    syntax: str
    definition: str


class Usage(Struct, frozen=True):
    """Token counts; `input` excludes tokens read from or written to a cache, `output` includes `reasoning`."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


# ---- the request (`ask`) ---------------------------------------------------------------------------------------------


class ResponseFormat(Struct, frozen=True):
    """Requests a reply in JSON, which conforms to `schema` if there is one."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None
    description: str | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """The request of one exchange, before it is encoded for a protocol.

    `turns` is a literal history before `user`; `results` answer the calls of the previous reply. `tool_choice` is
    `auto`, `none`, `required`, `NamedTool` or `AllowedTools`. `also` maps a protocol to fields merged into the body.
    """

    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    user: tuple[Block, ...] = ()
    results: tuple[ToolResult, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
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
    format: ResponseFormat | None = None
    model: str | None = None
    also: dict[str, dict[str, Any]] = {}
    headers: dict[str, str] = {}


class NamedTool(Struct, frozen=True):
    """A tool choice that forces one tool."""

    name: str


class AllowedTools(Struct, frozen=True):
    """A tool choice that allows only some of the tools; with `mode` `required` one of them must be called."""

    names: tuple[str, ...]
    mode: str = "auto"


ToolChoice: TypeAlias = str | NamedTool | AllowedTools


SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")
"""The sampling fields of an ask, in the order of every report."""


LASTING_SETTINGS = (
    *("system", "tools", "parallel", *SAMPLING, "max_tokens", "stop"),
    *("reasoning", "format", "model", "also", "headers"),
)
"""The settings of an ask that remain in effect until a later ask changes them."""


def effective_settings(asks: Sequence[Ask]) -> Ask:
    """Returns the settings of the last ask, with those it omits taken from the first, as clients repeat settings."""
    first, last = asks[0], asks[-1]
    blank = Ask()
    kept = {
        name: getattr(last, name) if getattr(last, name) != getattr(blank, name) else getattr(first, name)
        for name in LASTING_SETTINGS
    }
    # A forced tool choice must not force a call in every later exchange, so it applies to its own exchange only.
    return Ask(tool_choice=last.tool_choice, **kept)


# ---- the reply (`say`) -----------------------------------------------------------------------------------------------


class SayText(Struct, frozen=True):
    """Text; `sealed` adds a signature for a provider that signs text, `cites` are the sources of the whole text."""

    deltas: tuple[str, ...]
    sealed: bool = False
    cites: tuple[Citation, ...] = ()


class SayThink(Struct, frozen=True):
    """Reasoning text; `sealed` adds a signature, and a `redacted` block has a signature only."""

    deltas: tuple[str, ...]
    sealed: bool = False
    redacted: bool = False


class SayRefusal(Struct, frozen=True):
    """Text that explains a refusal."""

    deltas: tuple[str, ...]


class SayImage(Struct, frozen=True):
    """An image, for a provider that can generate one; `data` is base64."""

    mime: str
    data: str


class SayCall(Struct, frozen=True):
    """A tool call; `fragments` concatenate to the JSON text of its arguments, and an empty tuple sends none.

    A call of a custom tool sends free text. `name` and `namespace` are those of the story; the wire name is that of
    the tool in the request.
    """

    id: str
    name: str
    fragments: tuple[str, ...] = ()
    sealed: bool = False
    kind: Kind = "function"
    namespace: str | None = None


class Interleave(Struct, frozen=True):
    """Parallel calls with alternating argument fragments; protocols that cannot interleave send them in turn."""

    calls: tuple[SayCall, ...]


class SayStop(Struct, frozen=True):
    """The stop reason, one of `STOPS`, and the stop sequence that matched."""

    reason: str
    matched_stop: str | None = None


class SayUsage(Struct, frozen=True):
    """The token counts to report, in place of the estimated ones."""

    usage: Usage


class Pause(Struct, frozen=True):
    """A pause; like every fault it occurs in the first `times` replies only, or in all if that is None."""

    seconds: float
    times: int | None = None


class Cut(Struct, frozen=True):
    """Ends the connection: `eof` closes it, `reset` aborts it; `at` bytes of the next frame are sent first."""

    how: Literal["eof", "reset"] = "eof"
    at: int = 0
    times: int | None = None


class Garble(Struct, frozen=True):
    """Replaces the next frame by `text`, which is not valid in the protocol."""

    text: str = "<html>502 Bad Gateway</html>"
    times: int | None = None


class SayError(Struct, frozen=True):
    """An error: sent as an HTTP status before any content, and after content or with `in_stream` inside the stream."""

    kind: str
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    in_stream: bool = False
    times: int | None = None


Content: TypeAlias = SayText | SayThink | SayRefusal | SayImage | SayCall | Interleave
Fault: TypeAlias = Pause | Cut | Garble | SayError
Item: TypeAlias = Content | SayStop | SayUsage | Fault

DEFAULT_MESSAGES: dict[str, str] = {
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
"""Error kind -> the message of an error for which the story gives none."""


def in_sequence(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items with interleaved calls in turn, for protocols that cannot interleave."""
    for item in items:
        if isinstance(item, Interleave):
            yield from item.calls
        else:
            yield item


def calls_of(items: Iterable[Item]) -> tuple[SayCall, ...]:
    """Returns the calls among the items, in wire order."""
    return tuple(item for item in in_sequence(items) if isinstance(item, SayCall))


def faults_of(items: Iterable[Item]) -> tuple[Pause | Cut | Garble, ...]:
    """Returns the faults among the items that are sent before a unary body."""
    return tuple(item for item in items if isinstance(item, Pause | Cut | Garble))


def text_of(blocks: Iterable[Block]) -> str:
    """Returns the text blocks, concatenated."""
    return "".join(block.text for block in blocks if isinstance(block, Text))
