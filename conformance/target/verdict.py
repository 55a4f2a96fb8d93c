"""Verdicts: the outcome of a cell at a gateway, the findings behind it, the wires, and a run of them as JSON."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from ..matrix.result import Cell
from .rule import By

Outcome = Literal[
    "right",
    "lossy-told",
    "off-shape",
    "silent-cannot",
    "silent-could",
    "refused",
    "rejected",
    "rerouted",
    "wrong",
    "not-offered",
]

FORMAT = 1
"""Version of the JSON of a run."""

LABELS: dict[Outcome, str] = {
    "right": "right",
    "lossy-told": "lossy, told",
    "off-shape": "right, off the protocol's shape",
    "silent-cannot": "lossy in silence, the target cannot",
    "silent-could": "lossy in silence, the target could",
    "refused": "refused by the gateway",
    "rejected": "rejected by the provider",
    "rerouted": "rerouted",
    "wrong": "wrong",
    "not-offered": "not offered",
}
"""Outcomes as reports name them; from the best to the worst, and what is not offered last."""

SEVERITY: dict[Outcome, int] = {outcome: at for at, outcome in enumerate(LABELS)}

FINE: frozenset[Outcome] = frozenset({"right", "lossy-told", "not-offered"})
"""Outcomes with which nothing is wrong."""


class Finding(Struct, frozen=True):
    """One thing that a rule says is not right: its outcome, what differs, and the rule with its source."""

    outcome: Outcome
    rule: str
    by: By
    what: str
    says: str
    source: str
    step: int = 0
    feature: str = ""
    path: str = ""


class Message(Struct, frozen=True):
    """One wire of an exchange: its first line, the headers that matter, and the body as text."""

    head: str
    headers: dict[str, str]
    body: str


class Exchanged(Struct, frozen=True):
    """The four wires of one exchange; those of the provider are None where no request reached it."""

    client_request: Message
    provider_request: Message | None
    provider_response: Message | None
    client_response: Message | None


class Verdict(Struct):
    """The outcome of a cell: the worst of its findings, right without any."""

    cell: Cell
    outcome: Outcome = "right"
    reason: str = ""
    findings: list[Finding] = field(default_factory=list)
    steps: list[Exchanged] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Adds a finding; the outcome becomes the worst."""
        if finding in self.findings:
            return
        self.findings.append(finding)
        if SEVERITY[finding.outcome] > SEVERITY[self.outcome]:
            self.outcome = finding.outcome

    @property
    def is_fine(self) -> bool:
        """True if nothing is wrong: right, told, not offered, or refused because the target cannot."""
        cannot = self.outcome == "refused" and all(
            finding.rule == "limit" for finding in self.findings if finding.outcome == "refused"
        )
        return self.outcome in FINE or cannot


class Gateway(Struct, frozen=True):
    """The gateway of a run."""

    name: str
    version: str
    url: str


class CellVerdict(Struct, frozen=True):
    """A verdict as it stands in the JSON of a run; `id` is what `show` takes."""

    id: str
    frontend: str
    provider: str
    story: str
    stream: bool
    outcome: Outcome
    fine: bool
    reason: str
    findings: list[Finding]
    steps: list[Exchanged]


class TargetRun(Struct, frozen=True):
    """A run against a gateway; `planned` is the number of its cells, more than it has where it was interrupted."""

    format: int
    gateway: Gateway
    at: str
    crosswire: str
    house: bool
    outcomes: dict[str, int]
    cells: list[CellVerdict]
    planned: int = 0


def recorded(verdict: Verdict) -> CellVerdict:
    """Returns a verdict as it stands in the JSON; of what is right, without the wires."""
    cell = verdict.cell
    steps = [] if verdict.outcome in ("right", "not-offered") else verdict.steps
    axes = (cell.frontend, cell.provider, cell.story, cell.stream)
    return CellVerdict(str(cell), *axes, verdict.outcome, verdict.is_fine, verdict.reason, verdict.findings, steps)
