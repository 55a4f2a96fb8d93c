"""Recognises the most frequent requests, conversations of plain text, which an encoder can write without any search."""

from __future__ import annotations

from .model import Request, Role, Text


def plain_turns(request: Request) -> list[tuple[Role, str]] | None:
    """Returns the role and the text of each turn; None where anything else is said than texts, sampling and bounds."""
    if request.tools or request.stop or request.extra or request.reasoning is not None or request.format is not None:
        return None
    if request.tool_choice is not None or request.parallel is not None:
        return None
    if request.user is not None or request.logprobs is not None:
        return None
    said = []
    for turn in request.turns:
        if turn.extra or len(turn.blocks) != 1:
            return None
        block = turn.blocks[0]
        if type(block) is not Text or block.extra or block.signature or block.citations or not block.text.strip():
            return None
        said.append((turn.role, block.text))
    return said
