"""The neutral form of a streamed reply: its events, and the functions that turn events into a reply and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from .model import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    Failure,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    Signature,
    StopReason,
    Text,
    TokenLogprob,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)

# ---- stream ----------------------------------------------------------------------------------------------------------
# The grammar of a stream: ReplyStart, then per block index BlockStart (BlockDelta | BlockSignature | BlockCitation)*
# BlockEnd, then ReplyEnd. Indexes ascend without gaps; blocks may overlap, because OpenAI chat streams never say that a
# tool call has ended. A Failure may come anywhere and ends the stream in place of ReplyEnd.


class ReplyStart(Struct, frozen=True, gc=False):
    """First event of a reply."""

    protocol: str
    id: str | None
    model: str | None
    usage: Usage | None = None
    extra: Extra = None


class BlockStart(Struct, frozen=True, gc=False):
    """Start of a block with the fields known so far; text follows as deltas, Opaque and media blocks are complete."""

    index: int
    block: Block


class BlockDelta(Struct, frozen=True, gc=False):
    """A piece of a block's text with the log probabilities of its tokens, or a piece of a tool call's arguments."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class BlockSignature(Struct, frozen=True, gc=False):
    """The signature of a block."""

    index: int
    signature: Signature


class BlockCitation(Struct, frozen=True, gc=False):
    """One citation of a text block."""

    index: int
    citation: Citation


class BlockEnd(Struct, frozen=True, gc=False):
    """End of a block; `extra` holds extra fields of the wire event that ended it."""

    index: int
    extra: Extra = None


class ReplyEnd(Struct, frozen=True, gc=False):
    """Last event of a complete reply; the fields are those of `Reply`."""

    stop: StopReason
    matched: str | None = None
    native: str | None = None
    usage: Usage | None = None
    extra: Extra = None
    repaired: tuple[str, ...] = ()


class Texts(Struct, frozen=True, gc=False):
    """Pieces of the text of one block, each of which came in a frame of its own and leaves in one: a short form."""

    index: int
    pieces: list[str]

    def events(self) -> list[Event]:
        """Returns the same as events."""
        return [BlockDelta(self.index, piece) for piece in self.pieces]


Event: TypeAlias = ReplyStart | BlockStart | BlockDelta | BlockSignature | BlockCitation | BlockEnd | ReplyEnd | Failure


def is_committing(event: Event) -> bool:
    """Returns whether the reply is committed with this event: once it was sent, no other backend can be tried.

    The start of a block that is still empty is not, because hosts send it before the model says anything.
    """
    match event:
        case BlockStart(block=Text(text="") | Refusal(text="")):
            return False
        case BlockStart(block=Reasoning(text="", redacted=redacted)):
            return redacted
        case BlockStart() | BlockDelta() | ReplyEnd():
            return True
    return False


# ---- fold and unfold -------------------------------------------------------------------------------------------------


def fold(events: Iterable[Event]) -> Reply | Failure:
    """Builds the reply that a complete stream describes; returns the Failure where the stream has one.

    Raises ValueError where the events break the grammar above.
    """
    start = ReplyStart("", None, None)
    blocks: list[Block] = []
    texts: list[list[str]] = []
    for event in events:
        match event:
            case BlockDelta(index, text, logprobs):
                texts[index].append(text)
                if logprobs:
                    blocks[index] = _with_logprobs(blocks[index], logprobs)
            case ReplyStart():
                start = event
            case BlockStart(index, block):
                if index != len(blocks):
                    raise ValueError(f"block {index} opened after {len(blocks)} blocks")
                blocks.append(block)
                texts.append([])
            case BlockSignature(index, signature):
                blocks[index] = _with_signature(blocks[index], signature)
            case BlockCitation(index, citation):
                blocks[index] = _with_citation(blocks[index], citation)
            case BlockEnd(index, extra):
                blocks[index] = _with_text(blocks[index], "".join(texts[index]), extra)
                texts[index] = []
            case ReplyEnd(stop, matched, native, usage, extra, repaired):
                blocks = [_with_text(b, "".join(t), None) if t else b for b, t in zip(blocks, texts, strict=True)]
                total = start.usage.merge(usage) if start.usage and usage else usage or start.usage
                return Reply(
                    protocol=start.protocol,
                    id=start.id,
                    model=start.model,
                    blocks=tuple(blocks),
                    stop=stop,
                    matched=matched,
                    native=native,
                    usage=total,
                    extra={**(start.extra or {}), **(extra or {})} or None,
                    repaired=repaired,
                )
            case Failure():
                return event
    raise ValueError("the events end without ReplyEnd or Failure")


def unfold(reply: Reply) -> Iterator[Event]:
    """Yields the shortest stream that `fold` turns into this reply."""
    yield ReplyStart(reply.protocol, reply.id, reply.model)
    for index, block in enumerate(reply.blocks):
        match block:
            case Text(text, citations, signature, logprobs=logprobs):
                yield BlockStart(index, replace(block, text="", citations=(), signature=None, logprobs=()))
                if text or logprobs:
                    yield BlockDelta(index, text, logprobs)
                for citation in citations:
                    yield BlockCitation(index, citation)
                if signature:
                    yield BlockSignature(index, signature)
            case Reasoning(text, signature):
                yield BlockStart(index, replace(block, text="", signature=None))
                if text:
                    yield BlockDelta(index, text)
                if signature:
                    yield BlockSignature(index, signature)
            case Refusal(text):
                yield BlockStart(index, replace(block, text=""))
                if text:
                    yield BlockDelta(index, text)
            case ToolCall(arguments=arguments, signature=signature):
                yield BlockStart(index, replace(block, arguments="", signature=None))
                if signature:  # before the arguments: some encoders carry it before the call
                    yield BlockSignature(index, signature)
                if arguments:
                    yield BlockDelta(index, arguments)
            case Image() | Document() | Audio() | Video() | ToolResult() | Opaque():
                yield BlockStart(index, block)
        yield BlockEnd(index)
    yield ReplyEnd(reply.stop, reply.matched, reply.native, reply.usage, reply.extra, reply.repaired)


class BlockSequencer:
    """Reorders a stream so that blocks do not overlap, for protocols that allow one open block at a time.

    Events of a later block are buffered until the block before it has ended: the second and later tool calls of an
    OpenAI chat stream wait for its end.
    """

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[Event]] = {}

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Returns the events that may be sent now, in order; buffers the rest."""
        out: list[Event] = []
        for event in events:
            match event:
                case ReplyStart() | Failure():
                    out.append(event)
                case ReplyEnd():
                    while self._waiting:
                        self._advance(out)
                    out.append(event)
                case BlockStart(index) if self._current is None and not self._waiting:
                    self._current = index
                    out.append(event)
                case BlockStart(index):
                    self._waiting[index] = [event]
                case BlockDelta(index) | BlockSignature(index) | BlockCitation(index) | BlockEnd(index):
                    if index != self._current:
                        self._waiting[index].append(event)
                        continue
                    out.append(event)
                    if type(event) is BlockEnd:
                        self._current = None
                        self._advance(out)
        return out

    def is_open(self, index: int) -> bool:
        """Returns whether the deltas of this block may be sent at once."""
        return index == self._current

    def _advance(self, out: list[Event]) -> None:
        """Appends the buffered blocks to `out`, in order, up to and including the first that has not ended."""
        self._current = None
        while self._waiting:
            index = min(self._waiting)
            events = self._waiting.pop(index)
            out.extend(events)
            if type(events[-1]) is not BlockEnd:
                self._current = index
                return


def _with_signature(block: Block, signature: Signature) -> Block:
    if isinstance(block, Text | Reasoning | ToolCall):
        return replace(block, signature=signature)
    raise ValueError(f"a {type(block).__name__} cannot have a signature")


def _with_citation(block: Block, citation: Citation) -> Block:
    if isinstance(block, Text):
        return replace(block, citations=(*block.citations, citation))
    raise ValueError(f"a {type(block).__name__} cannot have a citation")


def _with_logprobs(block: Block, logprobs: tuple[TokenLogprob, ...]) -> Block:
    if isinstance(block, Text):
        return replace(block, logprobs=(*block.logprobs, *logprobs))
    raise ValueError(f"a {type(block).__name__} cannot have log probabilities")


def _with_text(block: Block, text: str, extra: Extra) -> Block:
    """Returns the block with its streamed text and the extra fields of its end added."""
    if not text and extra is None:
        return block
    merged: Extra | UnsetType = UNSET
    if extra is not None and not isinstance(block, Opaque):
        merged = {**(block.extra or {}), **extra}
    match block:
        case Text() | Refusal() | Reasoning():
            return replace(block, text=block.text + text, extra=block.extra if merged is UNSET else merged)
        case ToolCall():
            return replace(block, arguments=block.arguments + text, extra=block.extra if merged is UNSET else merged)
        case Image() | Document() | Audio() | Video() | ToolResult():
            return block if merged is UNSET else replace(block, extra=merged)
        case Opaque():
            return block
