"""Verdict on one recording, with the outcome for each target protocol."""

from __future__ import annotations

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """Outcome of one target protocol: the reasons why it is not right, and the features of declared losses.

    `refused` are the features for which the proxy refuses to send the request, as the target cannot take them;
    `left_out` says why the recording cannot show whether it would be right, so that it counts for nothing.
    `mock` is the message with which the mock refuses a request that its provider took, which is no fault of the proxy.
    """

    reasons: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    mock: str | None = None
    left_out: str | None = None

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
