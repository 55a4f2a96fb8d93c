"""The neutral form: requests, replies, failures and losses as data that no wire protocol's names appear in.

Decoders produce these values from one protocol and encoders consume them for another. The module imports no protocol
and does no I/O. All structs are frozen: frozen data holds no cycles, so the garbage collector need not track it
(`gc=False`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Extra: TypeAlias = dict[str, Any] | None
"""Fields that a decoder did not consume, under their wire names.

An encoder of the same protocol puts them back; for any other protocol each one is a loss.
"""

Role = Literal["system", "developer", "user", "assistant"]
StopReason = Literal["end", "length", "tool", "stop_sequence", "filter", "pause", "other"]
How = Literal["dropped", "approximated"]


# ---- content ---------------------------------------------------------------------------------------------------------


class Signature(Struct, frozen=True, gc=False):
    """A provider's opaque proof that it produced a block (`signature`, `thoughtSignature`, `encrypted_content`).

    `protocol` is the wire protocol it was read from. `issuer` is the name of the provider that issued it; None where
    the client sent a bare signature, which counts as issued by a provider of the client's own protocol.
    """

    value: str
    protocol: str
    issuer: str | None = None


class Media(Struct, frozen=True, gc=False):
    """Content of an image, document, sound or video, given as one of `data` (base64), `url`, `file_id` or `text`."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None


class Citation(Struct, frozen=True, gc=False):
    """A source of a span of text; `start` and `end` are character offsets into the block's text."""

    url: str
    title: str | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None


class TokenLogprob(Struct, frozen=True, gc=False):
    """A token of an answer with its log probability, its octets, and the likeliest tokens at its place."""

    token: str
    logprob: float
    octets: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class Text(Struct, frozen=True, gc=False):
    """Text with its citations. Blocks with the same `group` were parts of one message or item on the wire."""

    text: str
    citations: tuple[Citation, ...] = ()
    signature: Signature | None = None
    group: int | None = None
    extra: Extra = None
    logprobs: tuple[TokenLogprob, ...] = ()


class Refusal(Struct, frozen=True, gc=False):
    """The model's explanation of why it refuses to answer."""

    text: str
    group: int | None = None
    extra: Extra = None


class Image(Struct, frozen=True, gc=False):
    media: Media
    extra: Extra = None


class Document(Struct, frozen=True, gc=False):
    media: Media
    extra: Extra = None


class Audio(Struct, frozen=True, gc=False):
    media: Media
    extra: Extra = None


class Video(Struct, frozen=True, gc=False):
    media: Media
    extra: Extra = None


class Reasoning(Struct, frozen=True, gc=False):
    """Reasoning text, or a summary of it where `summary` is set; a `redacted` one has only its signature."""

    text: str
    signature: Signature | None = None
    summary: bool = False
    redacted: bool = False
    group: int | None = None
    extra: Extra = None


class ToolCall(Struct, frozen=True, gc=False):
    """A tool call; `arguments` is the JSON text of an object, or free text for a custom tool.

    `vendor` is the wire type of a call of a vendor's own tool that the client runs.
    """

    id: str
    name: str
    arguments: str = ""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    signature: Signature | None = None
    extra: Extra = None
    vendor: str | None = None


class ToolResult(Struct, frozen=True, gc=False):
    """The result of a tool call, matched by `id`; `name` is set where the protocol sends it, `kind` is the call's.

    `vendor` is the wire type of the result of a vendor's own tool, whose output is kept in `extra` under `output`.
    """

    id: str
    blocks: tuple[Block, ...]
    error: bool = False
    name: str | None = None
    kind: Literal["function", "custom"] = "function"
    extra: Extra = None
    vendor: str | None = None


class HostedTool(Struct, frozen=True, gc=False):
    """A tool that the provider runs: web search, code execution, the fetching of pages, or an MCP server.

    `location` has some of the keys city, region, country and timezone; `server` the keys name and url, and some of
    authorization, headers, allowed_tools and description. `losses` names settings that no other protocol has.
    """

    kind: Literal["web_search", "code_execution", "web_fetch", "mcp"]
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_uses: int | None = None
    context_size: str | None = None
    location: dict[str, str] | None = None
    server: dict[str, Any] | None = None
    losses: tuple[str, ...] = ()


class HostedCall(Struct, frozen=True, gc=False):
    """A call of a hosted tool together with its outcome: the query, code, address or arguments, and what came of it.

    `sources` are the pages that a search found, as address and title; `queries` are those of it after the first.
    """

    kind: Literal["web_search", "code_execution", "web_fetch", "mcp"]
    id: str | None = None
    input: str = ""
    output: str = ""
    sources: tuple[tuple[str, str | None], ...] = ()
    error: str | None = None
    name: str | None = None
    server: str | None = None
    queries: tuple[str, ...] = ()


class Opaque(Struct, frozen=True, gc=False):
    """Content that only one protocol can express, kept as its wire JSON, with what other protocols can tell of it.

    `text` is what a model must read of it. `hosted` is a tool that the provider runs, `call` a call of one; a `part`
    is the first half of a call whose second half has the whole. `feature` names the loss where none of them is set.
    """

    protocol: str
    kind: str
    data: dict[str, Any]
    text: str | None = None
    hosted: HostedTool | None = None
    call: HostedCall | None = None
    part: bool = False
    feature: str | None = None


Block: TypeAlias = Text | Refusal | Image | Document | Audio | Video | Reasoning | ToolCall | ToolResult | Opaque


class Turn(Struct, frozen=True, gc=False):
    """One message of the conversation."""

    role: Role
    blocks: tuple[Block, ...]
    extra: Extra = None


# ---- request ---------------------------------------------------------------------------------------------------------


class Tool(Struct, frozen=True, gc=False):
    """A tool definition; `parameters` is a JSON Schema. A custom tool takes free text, constrained by `grammar`.

    `vendor` is the definition of a vendor's own tool that the client runs; the other fields say the same as a function.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    grammar: dict[str, Any] | None = None
    extra: Extra = None
    vendor: Opaque | None = None


class ToolChoice(Struct, frozen=True, gc=False):
    """The tools that may or must be called.

    `names` holds the one tool of mode `named`, or the allowed subset of the modes `auto` and `required`. `hosted` is
    the kind of a hosted tool that must be called.
    """

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()
    extra: Extra = None
    hosted: str | None = None


class Sampling(Struct, frozen=True, gc=False):
    """Sampling parameters; None leaves the target's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class ReasoningConfig(Struct, frozen=True, gc=False):
    """Reasoning settings: an effort level, a budget in tokens, or a switch.

    `summary` is the level of detail in which the reasoning is returned.
    """

    effort: str | None = None
    budget: int | None = None
    enabled: bool | None = None
    summary: str | None = None
    extra: Extra = None


class ResponseFormat(Struct, frozen=True, gc=False):
    """The format that the reply must have."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extra: Extra = None


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """A chat request.

    System and developer messages are turns, so that several of them, and ones in mid-conversation, keep their position.
    `logprobs` asks for the log probabilities of the tokens, and of so many likeliest ones at the place of each.
    `repaired` is as in `Reply`.
    """

    protocol: str
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | Opaque, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: ReasoningConfig | None = None
    format: ResponseFormat | None = None
    user: str | None = None
    stream: bool = False
    logprobs: int | None = None
    extra: Extra = None
    repaired: tuple[str, ...] = ()


# ---- reply -----------------------------------------------------------------------------------------------------------


class Usage(Struct, frozen=True, gc=False):
    """Token counts: `input` excludes cache reads and writes, `reasoning` is part of `output`; None is not reported."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    @property
    def prompt(self) -> int | None:
        """All input tokens including cached ones, as OpenAI and Gemini count them; None where none were reported."""
        if self.input is None and self.cache_read is None and self.cache_write is None:
            return None
        return (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0)

    def merge(self, later: Usage) -> Usage:
        """Returns these counts, each replaced by the one of `later` where that reports it."""
        return Usage(
            later.input if later.input is not None else self.input,
            later.output if later.output is not None else self.output,
            later.cache_read if later.cache_read is not None else self.cache_read,
            later.cache_write if later.cache_write is not None else self.cache_write,
            later.reasoning if later.reasoning is not None else self.reasoning,
        )


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """A complete reply. `native` is the provider's own stop reason, `matched` the stop sequence that was hit.

    `repaired` names what its decoder accepted although it breaks the protocol, by the keys of `repairs.REPAIRS`.
    """

    protocol: str
    id: str | None
    model: str | None
    blocks: tuple[Block, ...]
    stop: StopReason
    matched: str | None = None
    native: str | None = None
    usage: Usage | None = None
    extra: Extra = None
    repaired: tuple[str, ...] = ()


# ---- failure and loss ------------------------------------------------------------------------------------------------


class Failure(Struct, frozen=True, gc=False):
    """An error in neutral form, which each protocol encodes in its own shape.

    `kind` is a key of `errors.STATUS`, `status` the client's HTTP status, `retry_after` is in seconds.
    """

    kind: str
    message: str
    status: int
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


class Loss(Struct, frozen=True, gc=False):
    """Something of a request or reply that the target cannot express.

    `path` locates it in the neutral form, `feature` is a key of `loss_tables.LOSS_RULES`.
    """

    path: str
    feature: str
    how: How


class Added(Struct, frozen=True, gc=False):
    """Something that the target needs, or the config asks for, and that the client did not say; it is no loss.

    `path` locates it in the request of the target's protocol; `why` quotes only the config and the table of traits.
    """

    path: str
    value: int | str
    why: str
