"""What became of one recording, and of each way that it was told; it knows no protocol."""

from __future__ import annotations

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """How one target fared: why it is not valid, if so, and the words of the declared losses."""

    reasons: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.reasons


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of one recording. `undecoded` says why it was not understood, `raised` what broke and where."""

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
