"""Turns content that only one protocol can express into text, before a request goes to a target of another protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from .losses import declare_loss
from .media_type import is_text, text_of
from .model import Block, Document, Loss, Media, Opaque, Reasoning, Refusal, Request, Text, ToolResult, Turn

TextFiles = Literal["all", "results", "none"]
"""The documents of text that a target must be given as text: all, those in tool results, or none."""


def readable(request: Request, text_files: TextFiles) -> tuple[Request, list[Loss]]:
    """Returns the request with readable content as text, and the losses; the request itself where it has none.

    What an assistant turn holds beside the model's own words, such as a summary of the conversation before it, becomes
    a user turn before that turn.
    """
    if not any(_is_special(block, turn) for turn in request.turns for block in turn.blocks):
        return request, []
    losses: list[Loss] = []
    turns: list[Turn] = []
    for t, turn in enumerate(request.turns):
        blocks: Sequence[Block] = turn.blocks
        if turn.role == "assistant" and any(map(_is_readable, blocks)):
            if told := tuple(Text(block.text) for block in blocks if isinstance(block, Opaque) and block.text):
                turns.append(Turn("user", told))
            blocks = [block for block in blocks if not _is_readable(block)]
            if not blocks:
                continue
        elif turn.role != "assistant":
            blocks = _refusals_as_text(blocks, f"turns[{t}]", losses)
        turns.append(
            replace(turn, blocks=tuple(_blocks(blocks, f"turns[{t}]", text_files == "all", text_files, losses)))
        )
    return replace(request, turns=tuple(turns)), losses


def joined(texts: Iterable[Text]) -> str:
    """Returns the texts of separate blocks as one, each on a line of its own.

    Texts with citations are pieces of one text, which a protocol split at its sources, and are not separated.
    """
    out = ""
    cited = False
    for text in texts:
        has_citations = bool(text.citations) or bool(text.extra and text.extra.get("citations"))
        if out and text.text and not (cited or has_citations or out[-1] == "\n" or text.text[0] == "\n"):
            out += "\n"
        out += text.text
        cited = has_citations
    return out


PART_BREAK = "\n\n"
"""The separator of two pieces of thinking that become one text."""


def part_break(before: Block | None, block: Block) -> str:
    """Returns what separates two parts of one reasoning item where a client reads all its thinking as one text.

    "**Counting primes**\\n\\nI need …" is one part of a summary; the next begins with a headline of its own.
    """
    match before, block:
        case Reasoning(text=str(text), group=int(first)), Reasoning(group=second) if text and first == second:
            return PART_BREAK
    return ""


def joined_thinking(texts: Iterable[str]) -> str:
    """Returns several pieces of thinking as one text, a blank line between them."""
    return PART_BREAK.join(text for text in texts if text)


def _is_special(block: Block, turn: Turn) -> bool:
    if isinstance(block, ToolResult):
        return _has_special(block)
    kind = type(block)
    return kind is Opaque or kind is Document or (kind is Refusal and turn.role != "assistant")


def _has_special(result: ToolResult) -> bool:
    return any(type(block) in (Opaque, Document, Refusal) for block in result.blocks)


def _refusals_as_text(blocks: Iterable[Block], path: str, losses: list[Loss]) -> list[Block]:
    """Returns the blocks of a turn that no model wrote: only a model's message has a place for a refusal."""
    out: list[Block] = []
    for b, block in enumerate(blocks):
        if type(block) is Refusal:
            losses.append(declare_loss(f"{path}.blocks[{b}]", "refusal"))
            out.append(Text(block.text))
        else:
            out.append(block)
    return out


def _is_readable(block: Block) -> bool:
    return isinstance(block, Opaque) and block.text is not None


def _blocks(
    blocks: Iterable[Block], path: str, as_text: bool, text_files: TextFiles, losses: list[Loss]
) -> Iterable[Block]:
    for b, block in enumerate(blocks):
        match block:
            case Opaque(text=str(text)):
                if text:
                    yield Text(text)
            case Document(media) if as_text and (found := _text_in(media)) is not None:
                if media.name is not None:  # a text has no name
                    losses.append(declare_loss(f"{path}.blocks[{b}].media.name", "name"))
                yield Text(found)
            case ToolResult() if _has_special(block):
                said = _refusals_as_text(block.blocks, f"{path}.blocks[{b}]", losses)
                inner = _blocks(said, f"{path}.blocks[{b}]", text_files != "none", text_files, losses)
                yield replace(block, blocks=tuple(inner))
            case _:
                yield block


def _text_in(media: Media) -> str | None:
    if media.text is not None:
        return media.text
    return text_of(media.data) if media.data is not None and is_text(media.mime) else None
