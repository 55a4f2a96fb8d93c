"""Data of a played cell: its exchanges, outcome, reasons, losses and decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from crosswire.mockserver.scenarios.provider import Provider

from ..client.protocol import ParsedReply
from ..harness.testbed import HttpResponse

Outcome = Literal["pass", "lossy", "unsupported", "fail"]
Direction = Literal["request", "reply"]


class Lost(Struct, frozen=True, order=True):
    """A loss that was seen on the wire: of a request or a reply, its feature, and its path with `[]` for any index."""

    direction: Direction
    feature: str
    path: str

    def __str__(self) -> str:
        return f"{self.feature} of the {self.direction} at {self.path}"


class Cell(Struct, frozen=True, order=True):
    """One combination of frontend, provider, story and unary or stream."""

    frontend: str
    provider: str
    story: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.frontend}-{self.provider}-{self.story}-{'stream' if self.stream else 'unary'}"


class Transcript(Struct, frozen=True):
    """The four bodies of one exchange as text; the upstream ones are empty if no request reached a provider."""

    client_request: str
    client_response: str
    upstream_request: str = ""
    upstream_response: str = ""


class Step(Struct, frozen=True):
    """One exchange: bodies, parsed reply, HTTP response, the proxy's record and the mock's journal entries."""

    transcript: Transcript
    reply: ParsedReply
    response: HttpResponse
    record: dict[str, Any] | None
    entries: tuple[dict[str, Any], ...] = ()


def path_below_base(entry: Mapping[str, Any], provider: Provider) -> str:
    """Returns the path of a journal entry's request without the provider's name and base path."""
    _, _, rest = entry["path"].removeprefix("/").partition("/")
    return f"/{rest}".removeprefix(provider.base_path)


def decision_summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns mode, reason and chosen candidate of a record's decision."""
    decision = record.get("decision") or {}
    chosen = decision.get("chosen") or {}
    return {
        "mode": decision.get("mode"),
        "because": decision.get("because"),
        "chosen": {"backend": chosen.get("backend"), "model": chosen.get("model")},
    }


class Result(Struct):
    """Outcome of a cell; `reasons` explain a failure or an allowed refusal.

    `losses` are loss features, `request_losses` those of the requests by the number of their exchange, `refused` loss
    features or capabilities. `renamed` maps tool names and call ids of the
    client to the names upstream, which must be the same in every exchange.
    """

    cell: Cell
    outcome: Outcome = "pass"
    reasons: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    request_losses: dict[int, set[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    ms: float = 0.0

    def fail(self, reason: str) -> None:
        """Marks the cell as failed and adds the reason."""
        self.outcome = "fail"
        self.reasons.append(reason)
