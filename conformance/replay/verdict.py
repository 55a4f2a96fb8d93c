"""Verdict on one recording, with the outcome for each target protocol."""

from __future__ import annotations

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """Outcome of one target protocol: the reasons why it is not valid, and the features of declared losses."""

    reasons: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.reasons


class Verdict(Struct, frozen=True, kw_only=True):
    """Verdict on one recording; `undecoded` says why decoding failed, `raised` lists exceptions with their origin."""

    file: str
    protocol: str
    capability: str
    skipped: str | None = None
    undecoded: str | None = None
    raised: tuple[str, ...] = ()
    own: Outcome = Outcome()
    cross: dict[str, Outcome] = {}

    @property
    def decoded(self) -> bool:
        return self.undecoded is None
