"""Compares the order of blocks, with the texts between them, where both protocols keep it."""

from __future__ import annotations

from collections.abc import Sequence

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Block, Image, Text, Thinking, ToolCall

from .text_joints import shown
from .turn_places import merged_turns

KEEP_ORDER = ("anthropic", "gemini", "openai-responses")
"""Protocols whose messages are lists of blocks; a chat message has one field for each kind."""

Sequenced = list[tuple[str, str]]


def request_order_errors(sent: ParsedRequest, received: ParsedRequest) -> list[str]:
    """Returns the answers in the history whose blocks have another order."""
    found: list[str] = []
    for t, (one, other) in enumerate(zip(merged_turns(sent), merged_turns(received), strict=False)):
        if one.role == other.role == "assistant":
            found += order_errors(one.blocks, other.blocks, f"turns[{t}]")
    return found


def order_errors(sent: Sequence[Block], received: Sequence[Block], where: str) -> list[str]:
    """Returns an error if thinking, text, images and calls come in another order; what is missing is not judged."""
    one, other = _sequence(sent), _sequence(received)
    common = {kind for kind, _ in one} & {kind for kind, _ in other}
    one, other = (_joined([entry for entry in side if entry[0] in common]) for side in (one, other))
    kinds = [[kind for kind, _ in side] for side in (one, other)]
    if kinds[0] != kinds[1]:
        return [f"{where} (order): sent {shown(kinds[0])}, received {shown(kinds[1])}"]
    for (kind, gave), (_, got) in zip(one, other, strict=True):
        if kind == "text" and gave != got:
            whole = ["".join(text for kind, text in side if kind == "text") for side in (one, other)]
            # other words altogether are reported as another text
            if whole[0] == whole[1]:
                return [f"{where} (order): sent the text {shown([gave])} there, received {shown([got])}"]
    return []


def _sequence(blocks: Sequence[Block]) -> Sequenced:
    """Returns kind and text of each block; a thinking block without text only carries a signature."""
    out: Sequenced = []
    for block in blocks:
        match block:
            case Text(text) if text.strip():
                out.append(("text", "".join(text.split())))
            case Thinking(text) if text.strip():
                out.append(("thinking", ""))
            case ToolCall():
                out.append(("call", ""))
            case Image():
                out.append(("image", ""))
            case _:
                pass
    return out


def _joined(entries: Sequenced) -> Sequenced:
    """Joins neighbours of one kind."""
    out: Sequenced = []
    for kind, text in entries:
        if out and out[-1][0] == kind:
            out[-1] = (kind, out[-1][1] + text)
        else:
            out.append((kind, text))
    return out
