"""Judges how a client took a failure, by the requests that it made and by how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

RETRY_AFTER = 2.0
"""Seconds of `retry-after` in the story of that name."""

TOLERANCE = 0.1
"""Seconds by which clocks may differ."""


class Seen(Struct, frozen=True):
    """One request: when it began and its reply ended, in seconds, and the status."""

    began: float
    ended: float | None
    status: int | None


class Trial(Struct, frozen=True):
    """A client that was given one story: its requests, its exit code (None where it had to be ended), its seconds."""

    story: str
    seen: tuple[Seen, ...]
    code: int | None
    seconds: float


class Verdict(Struct, frozen=True):
    """The judgement of one story, and the reason in words."""

    story: str
    outcome: Literal["good", "bad", "untried"]
    why: str


def judge(trial: Trial) -> Verdict:
    """Judges one story."""
    if not trial.seen:
        return Verdict(trial.story, "untried", "no request with the text of the story reached the mock")
    if trial.code is None and trial.story != "silent":
        return Verdict(trial.story, "bad", f"had to be ended after {trial.seconds:.1f} s")
    good, why = JUDGES[trial.story](trial)
    return Verdict(trial.story, "good" if good else "bad", why)


def _retry_after(trial: Trial) -> tuple[bool, str]:
    if len(trial.seen) == 1:
        return True, "told the limit to its caller, and did not ask again"
    first, second = trial.seen[:2]
    waited = second.began - (first.began if first.ended is None else first.ended)
    if waited < RETRY_AFTER - TOLERANCE:
        return False, f"ignored retry-after: asked again after {waited:.1f} s, told to wait {RETRY_AFTER:g} s"
    return True, f"waited {waited:.1f} s before it asked again"


def _truncated(trial: Trial) -> tuple[bool, str]:
    if trial.code == 0:
        return False, "accepted a truncated answer: it ended with 0 after half an answer"
    return True, f"told its caller of the truncated answer, after {_requests(trial.seen)}"


def _refused(trial: Trial) -> tuple[bool, str]:
    if len(trial.seen) > 1:
        return False, f"retried what cannot succeed: {_requests(trial.seen)}, each of them a 400"
    if trial.code == 0:
        return False, "ended with 0, although its request was refused"
    return True, "asked once, and told its caller"


def _silent(trial: Trial) -> tuple[bool, str]:
    if trial.code is None:
        return False, f"has no read timeout: it still waited after {trial.seconds:.1f} s"
    if trial.code == 0:
        return False, "ended with 0, although there was no answer"
    return True, f"gave up after {trial.seconds:.1f} s and {_requests(trial.seen)}"


def _error_in_stream(trial: Trial) -> tuple[bool, str]:
    if trial.code == 0:
        return False, "ignored an error in band: it ended with 0 after half an answer"
    return True, f"told its caller of the error, after {_requests(trial.seen)}"


def _requests(seen: Sequence[Seen]) -> str:
    return "1 request" if len(seen) == 1 else f"{len(seen)} requests"


JUDGES: dict[str, Callable[[Trial], tuple[bool, str]]] = {
    "retry-after": _retry_after,
    "refused": _refused,
    "truncated": _truncated,
    "error-in-stream": _error_in_stream,
    "silent": _silent,
}
"""Story to its judge, in the order in which they are played."""
