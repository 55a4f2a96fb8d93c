"""Checks how texts that came in several parts were joined: no words run together, no whitespace added or removed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Block, Text, Thinking, ToolResult

from .turn_places import merged_turns

EDGE = 16
"""Number of characters on each side of a joint that identify it."""

JOINTS = "(?:\0|\n\n|\n|)"
"""Pattern of what may stand between two parts of reasoning that became one."""


def joint_errors(sent: ParsedRequest, received: ParsedRequest) -> list[str]:
    """Returns the texts of system, user and tool results whose words run together, and changed blanks of thinking.

    Parts of an answer may continue a word, as a citation splits a sentence; what users and tools say in two parts is
    two texts.
    """
    pairs = list(zip(merged_turns(sent), merged_turns(received), strict=False))
    if any(one.role != other.role for one, other in pairs):
        return []  # reported as other turns
    found: list[str] = []
    for t, (one, other) in enumerate(pairs):
        where = f"turns[{t}]"
        if one.role == "assistant":
            found += thinking_errors(one.blocks, other.blocks, where)
            continue
        found += _fused(texts(one.blocks), texts(other.blocks), f"{where}.text")
        results = ([b for b in turn.blocks if isinstance(b, ToolResult)] for turn in (one, other))
        for r, (gave, got) in enumerate(zip(*results, strict=False)):
            found += _fused(texts(gave.blocks), texts(got.blocks), f"{where}.results[{r}].text")
    return found


def texts(blocks: Sequence[Block]) -> list[str]:
    """Returns the texts of the blocks that are not empty."""
    return [block.text for block in blocks if isinstance(block, Text) and block.text]


def _fused(sent: Sequence[str], received: Sequence[str], where: str) -> Iterator[str]:
    whole = "\0".join(received)
    for left, right in pairwise(sent):
        # a blank at the joint keeps the words apart
        if left[-1:].isspace() or right[:1].isspace():
            continue
        joint = left[-EDGE:] + right[:EDGE]
        if joint in whole and not any(joint in text for text in sent):
            yield f"{where} (joint): the words of two parts run together: {joint!r}"


def thinking_errors(sent: Sequence[Block], received: Sequence[Block], where: str) -> list[str]:
    """Returns an error if the thinking has the same letters but other whitespace, apart from its joints."""
    one, other = ([b.text for b in side if isinstance(b, Thinking) and b.text] for side in (sent, received))
    if "".join("".join(one).split()) != "".join("".join(other).split()):
        return []  # reported as another text
    pattern = JOINTS.join(map(re.escape, one))
    if any(re.fullmatch(pattern, joint.join(other)) for joint in ("", "\0", "\n", "\n\n")):
        return []
    # one block may come as several
    if any(re.fullmatch(JOINTS.join(map(re.escape, other)), joint.join(one)) for joint in ("", "\n", "\n\n")):
        return []
    return [f"{where}.thinking (whitespace): sent {shown(one)}, received {shown(other)}"]


def shown(parts: Sequence[str]) -> str:
    """Returns the repr of the parts, cut."""
    text = repr(list(parts))
    return text if len(text) <= 160 else f"{text[:160]}…"
