"""Seals on their way: what each is on, who minted it, and whether it reached whom it must reach, and nobody else.

It knows the token in which a client of another protocol carries a seal, and no dialect's slot.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from mockserver.dialects.contract import Dialect
from mockserver.speech import Block, Call, Think

Sealed: TypeAlias = tuple[str, str]
"""What a seal is on, and the seal."""

MARK = b"cw1"
"""How a token begins: `base64("cw1" + minter + NUL + seal)`."""

DUMMIES = frozenset({"skip_thought_signature_validator"})
"""Values that are documented to stand where a signature was lost: they prove nothing.

https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
"""


CARRIERS = ("anthropic", "openai-responses")
"""Protocols without a slot on a call: to a client of them a foreign call's seal rides in an empty thought before it."""


def sealed(blocks: Sequence[Block], *, rides: bool = False) -> list[Sealed]:
    """Every seal with what it is on: a thought by its words, a call by its name, or what has no words of its own.

    With `rides` an empty thought just before a call carries that call's seal.
    """
    out: list[Sealed] = []
    for at, block in enumerate(blocks):
        after = blocks[at + 1] if at + 1 < len(blocks) else None
        match block:
            case Think(text, str(seal), redacted) if seal:
                if text:
                    out.append((f"the thought {''.join(text.split())}", seal))
                elif rides and isinstance(after, Call) and not redacted and not _is_marked(seal):
                    out.append((f"the call of {after.name}", seal))
                else:
                    out.append(("no words", seal))
            case Call(name=name, seal=str(seal)) if seal:
                out.append((f"the call of {name}", seal))
            case _:
                pass
    return [one for one in out if one[1] not in DUMMIES]


def rides(front: Dialect, back: Dialect) -> bool:
    """Whether the seals of a call's provider ride in empty thoughts to a client of another protocol."""
    return front.name in CARRIERS and front.name != back.name


def opened(seal: str) -> tuple[str | None, str]:
    """Who minted a seal, and the seal as that one knows it; nobody is named where it is no token."""
    token = _token(seal)
    return (None, seal) if token is None else (token[0], token[1].rpartition("\0")[2])


def _is_marked(seal: str) -> bool:
    """Whether a token says, before the seal, that it is on a thing without words."""
    token = _token(seal)
    return token is not None and "\0" in token[1]


def _token(seal: str) -> tuple[str, str] | None:
    try:
        raw = b64decode(seal, validate=True)
        minter, nul, value = raw.removeprefix(MARK).decode().partition("\0")
    except (Error, ValueError):
        return None
    return (minter, value) if raw.startswith(MARK) and nul else None


def told_wrongly(said: Iterable[Sealed], heard: Iterable[Sealed], provider: str, *, bare: bool) -> list[str]:
    """What is wrong with the seals that a client heard; `bare` is a client of the provider's own protocol.

    A seal that is not there is a loss and no fault; one that is there must be the provider's, on the same thing.
    """
    due = Counter(said)
    found: list[str] = []
    for on, token in heard:
        minter, seal = (provider, token) if bare else opened(token)
        if minter != provider:
            found.append(f"a seal on {on} that is not marked as {provider}'s: {token[:60]!r}")
        elif not due[on, seal]:
            found.append(f"a seal on {on} that {provider} did not put there: {seal[:60]!r}")
        else:
            due[on, seal] -= 1
    return found


def sent_wrongly(
    said: Iterable[Sealed], arrived: Iterable[Sealed], provider: str, *, bare: bool
) -> tuple[list[str], list[Sealed]]:
    """What is wrong with the seals that reached a provider, and those of the client that had to stay behind.

    Each that this provider minted comes home as it was, on what it was on; no other comes at all.
    """
    home: Counter[Sealed] = Counter()
    away: list[Sealed] = []
    for on, token in said:
        minter, seal = opened(token)
        if minter == provider or (minter is None and bare):
            home[on, seal] += 1
        else:
            away.append((on, token))
    there = Counter(arrived)
    found = [f"the seal {seal[:60]!r} on {on} did not come home" for on, seal in (home - there).elements()]
    found += [f"the seal {seal[:60]!r} on {on} is not what the client had" for on, seal in (there - home).elements()]
    return found, away


def of_turns(turns: Iterable[Sequence[Block]], *, rides: bool = False) -> list[Sealed]:
    """The seals of a whole history."""
    return [one for blocks in turns for one in sealed(blocks, rides=rides)]
