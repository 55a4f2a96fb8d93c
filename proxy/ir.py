"""The neutral form: what a request, a reply and a stream mean, whatever wire they came over.

It knows no wire name and no socket. Everything is frozen data; `fold` and `unfold` tie the stream to the body.
Frozen data holds no cycles, so the garbage collector need not look at it (`gc=False`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

Own: TypeAlias = dict[str, Any] | None
"""What a decoder did not consume, under its wire names: its own dialect puts it back, any other makes it a loss."""

Role = Literal["system", "developer", "user", "assistant"]
StopReason = Literal["end", "length", "tool", "stop_sequence", "filter", "pause", "other"]
How = Literal["dropped", "approximated"]

CAPABILITIES: dict[str, str] = {
    "text": "text in, text out",
    "tools": "function calling",
    "tools.parallel": "several calls in one answer",
    "vision": "images in",
    "documents": "PDF and other documents in",
    "audio": "audio in",
    "reasoning": "thinking before the answer",
    "reasoning.signed": "thinking whose signature must go back",
    "json_object": "an answer that is some JSON object",
    "json_schema": "an answer that fits a JSON Schema",
    "embeddings": "vectors of texts, beside the chat",
}
"""The closed vocabulary that configs, scenarios and decisions share."""


# ---- content ---------------------------------------------------------------------------------------------------------


class Signature(Struct, frozen=True, gc=False):
    """A provider's proof that it said something (`signature`, `thoughtSignature`, `encrypted_content`).

    `minter` is the provider's name, or None for a bare one, which counts as minted by the client's own `dialect`.
    """

    value: str
    dialect: str
    minter: str | None = None


class Media(Struct, frozen=True, gc=False):
    """The bytes of an image, document or sound, or where they are: one of `data` (base64), `url`, `file_id`, `text`."""

    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None


class Citation(Struct, frozen=True, gc=False):
    """A source of a stretch of text; `start` and `end` count characters of the block's text."""

    url: str
    title: str | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None


class Text(Struct, frozen=True, gc=False):
    text: str
    citations: tuple[Citation, ...] = ()
    seal: Signature | None = None
    group: int | None = None
    own: Own = None


class Refusal(Struct, frozen=True, gc=False):
    """The model's own words for why it will not answer."""

    text: str
    group: int | None = None
    own: Own = None


class Image(Struct, frozen=True, gc=False):
    media: Media
    own: Own = None


class Document(Struct, frozen=True, gc=False):
    media: Media
    own: Own = None


class Audio(Struct, frozen=True, gc=False):
    media: Media
    own: Own = None


class Reasoning(Struct, frozen=True, gc=False):
    """Thinking: its text (a summary of it where `summary`), or with `redacted` only the seal that stands for it."""

    text: str
    seal: Signature | None = None
    summary: bool = False
    redacted: bool = False
    group: int | None = None
    own: Own = None


class ToolCall(Struct, frozen=True, gc=False):
    """A call; `arguments` is the JSON text of an object, or for a custom tool the free text itself."""

    id: str
    name: str
    arguments: str = ""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    seal: Signature | None = None
    own: Own = None


class ToolResult(Struct, frozen=True, gc=False):
    """What a call gave back; `name` where the wire says it, `kind` as the call's."""

    id: str
    blocks: tuple[Block, ...]
    error: bool = False
    name: str | None = None
    kind: Literal["function", "custom"] = "function"
    own: Own = None


class Opaque(Struct, frozen=True, gc=False):
    """Something only its own dialect can say (a hosted tool, its call or its result): kept whole, never looked into."""

    dialect: str
    kind: str
    data: dict[str, Any]


Block: TypeAlias = Text | Refusal | Image | Document | Audio | Reasoning | ToolCall | ToolResult | Opaque


class Turn(Struct, frozen=True, gc=False):
    role: Role
    blocks: tuple[Block, ...]
    own: Own = None


# ---- request ---------------------------------------------------------------------------------------------------------


class Tool(Struct, frozen=True, gc=False):
    """A tool on offer; a custom one takes free text, by `grammar` where there is one."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    grammar: dict[str, Any] | None = None
    own: Own = None


class ToolChoice(Struct, frozen=True, gc=False):
    """Which tools may or must be called; `names` holds the one of `named`, or the subset for `auto` and `required`."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()
    own: Own = None


class Sampling(Struct, frozen=True, gc=False):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Thinking(Struct, frozen=True, gc=False):
    """How much the model may think: a word, a budget in tokens, or on and off; `summary` is how much to show of it."""

    effort: str | None = None
    budget: int | None = None
    enabled: bool | None = None
    summary: str | None = None
    own: Own = None


class Format(Struct, frozen=True, gc=False):
    """The shape that the answer must have."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    own: Own = None


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """What a client asked. System and developer are turn roles, so that several, and late ones, keep their place."""

    dialect: str
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | Opaque, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: Thinking | None = None
    format: Format | None = None
    user: str | None = None
    stream: bool = False
    own: Own = None


# ---- reply -----------------------------------------------------------------------------------------------------------


class Usage(Struct, frozen=True, gc=False):
    """Tokens: `input` excludes cache reads and writes, `reasoning` is part of `output`; None = not said."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    @property
    def prompt(self) -> int | None:
        """All tokens that went in, cached ones included, as OpenAI and Gemini count."""
        if self.input is None and self.cache_read is None and self.cache_write is None:
            return None
        return (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0)

    def merge(self, later: Usage) -> Usage:
        """Take each figure that the later report says; keep the rest."""
        return Usage(
            later.input if later.input is not None else self.input,
            later.output if later.output is not None else self.output,
            later.cache_read if later.cache_read is not None else self.cache_read,
            later.cache_write if later.cache_write is not None else self.cache_write,
            later.reasoning if later.reasoning is not None else self.reasoning,
        )


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """One answer. `native` is the provider's own stop word, `matched` the stop sequence that it hit."""

    dialect: str
    id: str | None
    model: str | None
    blocks: tuple[Block, ...]
    stop: StopReason
    matched: str | None = None
    native: str | None = None
    usage: Usage | None = None
    own: Own = None


# ---- stream ----------------------------------------------------------------------------------------------------------
# Per index: Open (Delta | Seal | Note)* Close. Opens ascend without gaps; blocks may overlap (chat never says that a
# call ended). A Failure may come anywhere and ends the stream; otherwise Finish does.


class Start(Struct, frozen=True, gc=False):
    dialect: str
    id: str | None
    model: str | None
    usage: Usage | None = None
    own: Own = None


class Open(Struct, frozen=True, gc=False):
    """A block begins: its kind and what is known at once; texts follow as deltas, Opaque and media come whole."""

    index: int
    block: Block


class Delta(Struct, frozen=True, gc=False):
    index: int
    text: str


class Seal(Struct, frozen=True, gc=False):
    index: int
    seal: Signature


class Note(Struct, frozen=True, gc=False):
    index: int
    citation: Citation


class Close(Struct, frozen=True, gc=False):
    """A block ends; `own` is what its last word carried beside it."""

    index: int
    own: Own = None


class Finish(Struct, frozen=True, gc=False):
    stop: StopReason
    matched: str | None = None
    native: str | None = None
    usage: Usage | None = None
    own: Own = None


class Failure(Struct, frozen=True, gc=False):
    """What went wrong, in neutral words; every dialect has its own shape for it. `retry_after` is in seconds."""

    kind: str
    message: str
    status: int
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


Event: TypeAlias = Start | Open | Delta | Seal | Note | Close | Finish | Failure
SEMANTIC = (Open, Delta, Finish)
"""The events that commit an answer: once one went out, no other backend may speak."""


class Loss(Struct, frozen=True, gc=False):
    """Something said that the other side could not be told: where, the ledger's word for it, and how it ended."""

    path: str
    feature: str
    how: How


# ---- fold and unfold -------------------------------------------------------------------------------------------------


def fold(events: Iterable[Event]) -> Reply | Failure:
    """The reply that a whole stream amounts to; a Failure anywhere is the result."""
    start = Start("", None, None)
    blocks: list[Block] = []
    texts: list[list[str]] = []
    for event in events:
        match event:
            case Delta(index, text):
                texts[index].append(text)
            case Start():
                start = event
            case Open(index, block):
                if index != len(blocks):
                    raise ValueError(f"block {index} opened after {len(blocks)} blocks")
                blocks.append(block)
                texts.append([])
            case Seal(index, seal):
                blocks[index] = _sealed(blocks[index], seal)
            case Note(index, citation):
                blocks[index] = _cited(blocks[index], citation)
            case Close(index, own):
                blocks[index] = _closed(blocks[index], "".join(texts[index]), own)
                texts[index] = []
            case Finish(stop, matched, native, usage, own):
                blocks = [_closed(b, "".join(t), None) if t else b for b, t in zip(blocks, texts, strict=True)]
                whole = start.usage.merge(usage) if start.usage and usage else usage or start.usage
                return Reply(
                    dialect=start.dialect,
                    id=start.id,
                    model=start.model,
                    blocks=tuple(blocks),
                    stop=stop,
                    matched=matched,
                    native=native,
                    usage=whole,
                    own={**(start.own or {}), **(own or {})} or None,
                )
            case Failure():
                return event
    raise ValueError("the events end without Finish or Failure")


def unfold(reply: Reply) -> Iterator[Event]:
    """The shortest stream that folds to this reply."""
    yield Start(reply.dialect, reply.id, reply.model)
    for index, block in enumerate(reply.blocks):
        match block:
            case Text(text, citations, seal):
                yield Open(index, replace(block, text="", citations=(), seal=None))
                if text:
                    yield Delta(index, text)
                for citation in citations:
                    yield Note(index, citation)
                if seal:
                    yield Seal(index, seal)
            case Reasoning(text, seal):
                yield Open(index, replace(block, text="", seal=None))
                if text:
                    yield Delta(index, text)
                if seal:
                    yield Seal(index, seal)
            case Refusal(text):
                yield Open(index, replace(block, text=""))
                if text:
                    yield Delta(index, text)
            case ToolCall(arguments=arguments, seal=seal):
                yield Open(index, replace(block, arguments="", seal=None))
                if arguments:
                    yield Delta(index, arguments)
                if seal:
                    yield Seal(index, seal)
            case Image() | Document() | Audio() | ToolResult() | Opaque():
                yield Open(index, block)
        yield Close(index)
    yield Finish(reply.stop, reply.matched, reply.native, reply.usage, reply.own)


class Sequencer:
    """Makes overlapping blocks follow one another, for a dialect that forbids two open ones.

    What belongs to a later block waits until the one before it closed: calls 2..n of a chat stream wait for the end.
    """

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[Event]] = {}

    def feed(self, events: Iterable[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            match event:
                case Start() | Failure():
                    out.append(event)
                case Finish():
                    while self._waiting:
                        self._advance(out)
                    out.append(event)
                case Open(index) if self._current is None and not self._waiting:
                    self._current = index
                    out.append(event)
                case Open(index):
                    self._waiting[index] = [event]
                case Delta(index) | Seal(index) | Note(index) | Close(index):
                    if index != self._current:
                        self._waiting[index].append(event)
                        continue
                    out.append(event)
                    if type(event) is Close:
                        self._current = None
                        self._advance(out)
        return out

    def _advance(self, out: list[Event]) -> None:
        """Let the blocks that waited out, in their order, up to the first that is still open."""
        self._current = None
        while self._waiting:
            index = min(self._waiting)
            events = self._waiting.pop(index)
            out.extend(events)
            if type(events[-1]) is not Close:
                self._current = index
                return


def _sealed(block: Block, seal: Signature) -> Block:
    if isinstance(block, Text | Reasoning | ToolCall):
        return replace(block, seal=seal)
    raise ValueError(f"a {type(block).__name__} cannot be sealed")


def _cited(block: Block, citation: Citation) -> Block:
    if isinstance(block, Text):
        return replace(block, citations=(*block.citations, citation))
    raise ValueError(f"a {type(block).__name__} cannot be cited")


def _closed(block: Block, text: str, own: Own) -> Block:
    if not text and own is None:
        return block
    merged: Own | UnsetType = UNSET
    if own is not None and not isinstance(block, Opaque):
        merged = {**(block.own or {}), **own}
    match block:
        case Text() | Refusal() | Reasoning():
            return replace(block, text=block.text + text, own=block.own if merged is UNSET else merged)
        case ToolCall():
            return replace(block, arguments=block.arguments + text, own=block.own if merged is UNSET else merged)
        case Image() | Document() | Audio() | ToolResult():
            return block if merged is UNSET else replace(block, own=merged)
        case Opaque():
            return block
