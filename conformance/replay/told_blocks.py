"""Recognizes what the proxy says in words in place of a block that only its protocol has, and takes it out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Block, Text, Turn


def told_texts(value: Any) -> list[str]:
    """Returns the texts of a provider's own block that a model must be told, empty for a block of another kind.

    https://platform.claude.com/docs/en/build-with-claude/compaction,
    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    match value:
        case {"type": "compaction", "content": str(text)}:
            return [text]
        case {"type": "tool_addition" | "tool_removal", "tool": {"name": str(name)}}:
            return [name]
        case {"type": "tool_addition", "tool": {"definition": {"name": str(name)}}}:
            return [name]
        case _:
            return []


def without_told_blocks(sent: ParsedRequest, received: ParsedRequest) -> tuple[ParsedRequest, set[str]]:
    """Returns the received request without the texts that tell the client's own blocks, and the paths of these."""
    said = {block.text for turn in sent.turns for block in turn.blocks if isinstance(block, Text)}
    turns = [list(turn.blocks) for turn in received.turns]
    found: set[str] = set()
    for path, value in sent.extra.items():
        texts = told_texts(value)
        if texts and _take(turns, texts, said):
            found.add(path)
    kept = (Turn(turn.role, tuple(blocks)) for turn, blocks in zip(received.turns, turns, strict=True))
    return replace(received, turns=tuple(turn for turn in kept if turn.blocks or not found)), found


def _take(turns: Iterable[list[Block]], texts: list[str], said: set[str]) -> bool:
    """Removes the first text that tells these texts and that the client did not say itself; False if there is none."""
    for blocks in turns:
        for at, block in enumerate(blocks):
            if not isinstance(block, Text) or block.text in said or not all(text in block.text for text in texts):
                continue
            # a protocol with one string for each message has it behind what was said before
            before = next((text for text in said if text and block.text.startswith(text + "\n")), None)
            blocks[at : at + 1] = [] if before is None else [Text(before)]
            return True
    return False


def without_added_start(sent: ParsedRequest, received: ParsedRequest) -> ParsedRequest:
    """Returns the request to Gemini without a blank user's turn before a call that the history begins with.

    "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
    https://github.com/google-gemini/gemini-cli/issues/11814
    """
    first = received.turns[0] if received.turns else None
    begins = bool(sent.turns) and sent.turns[0].role == "assistant"
    is_blank = (
        first is not None
        and first.role == "user"
        and all(isinstance(block, Text) and not block.text.strip() for block in first.blocks)
    )
    return replace(received, turns=received.turns[1:]) if begins and is_blank else received
