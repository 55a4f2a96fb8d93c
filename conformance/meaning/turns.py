"""The turns of two requests, compared: who speaks when, which calls are answered, and what each turn holds."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from mockserver.dialects.contract import Dialect, Understood, joined
from mockserver.speech import Block, Call, Result, Text, Think, Turn

from .blocks import MEDIA, SEAM, block_differences, merged, of_kind, place_differences, same_text, texts_of
from .difference import WRONG, Difference


def turn_differences(
    said: Understood, arrived: Understood, back: Dialect, *, ids: bool, places: bool
) -> list[Difference]:
    one, other = _flat(said), _flat(arrived)
    found: list[Difference] = []
    paired = _flat(replace(said, turns=_paired(said.turns)))
    if _tally(one) != _tally(other) == _tally(paired):
        found.append(Difference("orphan", "turns", _tally(one), _tally(other)))
        one = paired
    roles_other = [turn.role for turn in other]
    kept = _flat(replace(said, turns=tuple(turn for turn in said.turns if not _is_mute(turn))))
    if [turn.role for turn in one] != roles_other == [turn.role for turn in kept]:
        mute = [block for turn in said.turns if _is_mute(turn) for block in turn.blocks]
        found += [Difference(word, "turns", mute, None) for word in dict.fromkeys(map(_mute_word, mute))]
        one = kept
    roles_one = [turn.role for turn in one]
    if roles_one != roles_other:
        word = "role" if "system" in roles_one and roles_other.count("system") < roles_one.count("system") else WRONG
        found.append(Difference(word, "turns", roles_one, roles_other))
        one_text = [texts_of(turn.blocks) for turn in one]
        other_text = [texts_of(turn.blocks) for turn in other]
        if not same_text(SEAM.join(one_text), SEAM.join(other_text)):
            found.append(Difference(WRONG, "turns", one_text, other_text))
        return found
    for t, (a, b) in enumerate(zip(one, other, strict=True)):
        found += block_differences(a.blocks, b.blocks, f"turns[{t}]", back, ids=ids)
        if places:
            found += place_differences(a.blocks, b.blocks, f"turns[{t}]")
    return found


def places_differ(one: Understood, other: Understood) -> bool:
    """Whether text and media stand in another order somewhere."""
    pairs = zip(_flat(one), _flat(other), strict=False)
    return any(place_differences(a.blocks, b.blocks, "") for a, b in pairs)


def _is_mute(turn: Turn) -> bool:
    """Whether a turn is nothing but media or thinking, so that it goes when these are lost."""
    return all(isinstance(block, (*MEDIA, Think)) for block in turn.blocks)


def _mute_word(block: Block) -> str:
    if isinstance(block, Think):
        return "reasoning_text" if block.text else "signature"
    return next(word for kind, word in MEDIA.items() if isinstance(block, kind))


def _paired(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns without calls that nobody answers and results that nobody asked for."""
    flat = joined(turns)
    out = []
    for t, turn in enumerate(flat):
        before, after = (flat[at].blocks if 0 <= at < len(flat) else () for at in (t - 1, t + 1))
        called = {block.id for block in before if isinstance(block, Call)}
        answered = {block.id for block in after if isinstance(block, Result)}
        kept = tuple(
            block
            for block in turn.blocks
            if not (isinstance(block, Call) and block.id not in answered)
            and not (isinstance(block, Result) and block.id not in called)
        )
        out.append(Turn(turn.role, kept))
    return tuple(turn for turn in out if turn.blocks)


def _tally(turns: Iterable[Turn]) -> tuple[int, int]:
    """How many calls there are, and how many results."""
    blocks = [block for turn in turns for block in turn.blocks]
    return len(of_kind(blocks, Call)), len(of_kind(blocks, Result))


def _flat(understood: Understood) -> tuple[Turn, ...]:
    """System texts and turns as one list, neighbours of one role as one turn, neighbouring texts as one text."""
    system = tuple(Turn("system", (Text(text),)) for text in understood.system)
    spoken = (Turn(turn.role, merged(turn.blocks)) for turn in (*system, *understood.turns))
    return tuple(Turn(turn.role, merged(turn.blocks)) for turn in joined(turn for turn in spoken if turn.blocks))
