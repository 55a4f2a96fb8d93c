"""A cell, what happened in it step by step, and how it ended; it judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from mockserver.dialects.contract import Heard, Provider

from .bench import Answer

Outcome = Literal["pass", "lossy", "unsupported", "fail"]


class Cell(Struct, frozen=True, order=True):
    frontend: str
    provider: str
    story: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.frontend}-{self.provider}-{self.story}-{'stream' if self.stream else 'unary'}"


class Wires(Struct, frozen=True):
    """What went over the four wires in one exchange, as text; the upstream ones are empty where nothing got there."""

    client_request: str
    client_response: str
    upstream_request: str = ""
    upstream_response: str = ""


class Step(Struct, frozen=True):
    """One exchange as it happened."""

    wires: Wires
    heard: Heard
    answer: Answer
    record: dict[str, Any] | None
    entries: tuple[dict[str, Any], ...] = ()


def path_below(entry: Mapping[str, Any], provider: Provider) -> str:
    """Where below the provider's base path a request of the journal went."""
    _, _, rest = entry["path"].removeprefix("/").partition("/")
    return f"/{rest}".removeprefix(provider.base_path)


def decided(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record's decision how it came about and who was chosen."""
    decision = record.get("decision") or {}
    chosen = decision.get("chosen") or {}
    return {
        "mode": decision.get("mode"),
        "because": decision.get("because"),
        "chosen": {"backend": chosen.get("backend"), "model": chosen.get("model")},
    }


class Result(Struct):
    """How a cell ended; `reasons` say why it failed, or which refusal or losses were allowed.

    `losses` and `refused` are the ledger's words, or a capability's, for what was lost and for what was refused.
    `renamed` is what tools and ids of the client were called upstream, which must be the same in every exchange.
    """

    cell: Cell
    outcome: Outcome = "pass"
    reasons: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    ms: float = 0.0

    def fail(self, reason: str) -> None:
        self.outcome = "fail"
        self.reasons.append(reason)
