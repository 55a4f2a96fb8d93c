"""Compares the turns of two requests: roles, answered calls and blocks."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Block, Text, Thinking, ToolCall, ToolResult, Turn

from ..client.protocol import ClientProtocol
from .blocks import MEDIA, SEAM, block_differences, merge_texts, of_kind, order_differences, same_text, texts_of
from .difference import WRONG, Difference


def turn_differences(
    sent: ParsedRequest, received: ParsedRequest, upstream: ClientProtocol, *, ids: bool, order: bool
) -> list[Difference]:
    """Compares all turns; `ids` and `order` say that both protocols have call ids and keep the order of parts."""
    one, other = _all_turns(sent), _all_turns(received)
    found: list[Difference] = []
    paired = _all_turns(replace(sent, turns=_without_orphans(sent.turns)))
    if _call_counts(one) != _call_counts(other) == _call_counts(paired):
        found.append(Difference("orphan", "turns", _call_counts(one), _call_counts(other)))
        one = paired
    roles_other = [turn.role for turn in other]
    kept = _all_turns(replace(sent, turns=tuple(turn for turn in sent.turns if not _is_droppable(turn))))
    if [turn.role for turn in one] != roles_other == [turn.role for turn in kept]:
        dropped = [block for turn in sent.turns if _is_droppable(turn) for block in turn.blocks]
        found += [
            Difference(feature, "turns", dropped, None) for feature in dict.fromkeys(map(_dropped_feature, dropped))
        ]
        one = kept
    roles_one = [turn.role for turn in one]
    if roles_one != roles_other:
        feature = "role" if "system" in roles_one and roles_other.count("system") < roles_one.count("system") else WRONG
        found.append(Difference(feature, "turns", roles_one, roles_other))
        one_text = [texts_of(turn.blocks) for turn in one]
        other_text = [texts_of(turn.blocks) for turn in other]
        if not same_text(SEAM.join(one_text), SEAM.join(other_text)):
            found.append(Difference(WRONG, "turns", one_text, other_text))
        return found
    for t, (a, b) in enumerate(zip(one, other, strict=True)):
        found += block_differences(a.blocks, b.blocks, f"turns[{t}]", upstream, ids=ids)
        if order:
            found += order_differences(a.blocks, b.blocks, f"turns[{t}]")
    return found


def order_differs(one: ParsedRequest, other: ParsedRequest) -> bool:
    """Returns True if text and media have another order in any turn."""
    pairs = zip(_all_turns(one), _all_turns(other), strict=False)
    return any(order_differences(a.blocks, b.blocks, "") for a, b in pairs)


def _is_droppable(turn: Turn) -> bool:
    """Returns True if a turn holds only media or thinking, so that it disappears when these are lost."""
    return all(isinstance(block, (*MEDIA, Thinking)) for block in turn.blocks)


def _dropped_feature(block: Block) -> str:
    """Returns the loss feature of a block in a turn that disappeared."""
    if isinstance(block, Thinking):
        return "reasoning_text" if block.text else "signature"
    return next(feature for kind, feature in MEDIA.items() if isinstance(block, kind))


def _without_orphans(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Returns the turns without unanswered calls and without results that answer no call."""
    flat = merge_turns(turns)
    out = []
    for t, turn in enumerate(flat):
        before, after = (flat[at].blocks if 0 <= at < len(flat) else () for at in (t - 1, t + 1))
        called = {block.id for block in before if isinstance(block, ToolCall)}
        answered = {block.id for block in after if isinstance(block, ToolResult)}
        kept = tuple(
            block
            for block in turn.blocks
            if not (isinstance(block, ToolCall) and block.id not in answered)
            and not (isinstance(block, ToolResult) and block.id not in called)
        )
        out.append(Turn(turn.role, kept))
    return tuple(turn for turn in out if turn.blocks)


def _call_counts(turns: Iterable[Turn]) -> tuple[int, int]:
    """Returns the number of calls and the number of results."""
    blocks = [block for turn in turns for block in turn.blocks]
    return len(of_kind(blocks, ToolCall)), len(of_kind(blocks, ToolResult))


def _all_turns(request: ParsedRequest) -> tuple[Turn, ...]:
    """Returns system texts and turns as one list, with neighbouring turns of one role and neighbouring texts merged."""
    system = tuple(Turn("system", (Text(text),)) for text in request.system)
    merged = (Turn(turn.role, merge_texts(turn.blocks)) for turn in (*system, *request.turns))
    return tuple(
        Turn(turn.role, merge_texts(turn.blocks)) for turn in merge_turns(turn for turn in merged if turn.blocks)
    )


def merge_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Joins neighbouring turns of one role, so that protocols that must alternate compare equal to the others."""
    out: list[Turn] = []
    for turn in turns:
        if out and out[-1].role == turn.role:
            out[-1] = Turn(turn.role, (*out[-1].blocks, *turn.blocks))
        elif turn.blocks:
            out.append(turn)
    return tuple(out)
