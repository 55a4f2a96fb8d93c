"""The gateways with one fault each are caught by the judge of any gateway: by a vendor's rule, or by the house's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from crosswire.conformance.harness.testbed_target import TargetTestbed
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target import judge
from crosswire.conformance.target.judge import Table, judge_cell
from crosswire.conformance.target.profile import ANY_MODEL, Frontend, Profile
from crosswire.conformance.target.verdict import Verdict
from crosswire.mockserver.protocols import MOCK_PROTOCOLS

from ..fault_proxies.fault_proxy import Fault, FaultProxy
from ..fault_proxies.faults import FAULTS
from ..fault_proxies.harness import FaultCase, scenarios
from ..test_fault_detection import CORRECT_STORIES, DETECTED_BY_CELL, cases

OWN_DOORS = Profile(
    name="crosswire",
    frontends=dict.fromkeys(MOCK_PROTOCOLS, Frontend()),
    models={name: {ANY_MODEL: "{model}"} for name in scenarios().providers},
    headers={name: {"x-crosswire-backend": name} for name in scenarios().providers},
    losses=("x-crosswire-loss",),
    record="/crosswire/requests/{x-request-id}",
)
"""The profile of the correct proxy, with all its doors."""

STRANGER = Profile(
    name="stranger",
    frontends=OWN_DOORS.frontends,
    models=OWN_DOORS.models,
    headers=OWN_DOORS.headers,
    losses=OWN_DOORS.losses,
)
"""The same gateway with nothing but its wire, and the header of losses."""

BY_VENDORS: dict[str, str] = {
    "drops a call": "wrong",
    "merges parallel calls": "wrong",
    "changes a character of the arguments": "wrong",
    "calls another tool": "wrong",
    "puts calls before text": "wrong",
    "drops a character of the text": "wrong",
    "changes the stop reason": "wrong",
    "drops usage": "silent-could",
    "adds an output token": "wrong",
    "replies without an upstream request": "wrong",
    "refuses every request": "refused",
    "refuses in another protocol's error format": "refused",
    "hides a loss in the header": "silent-cannot",
    "ends a cut stream cleanly": "wrong",
    "breaks the connection after a complete reply": "wrong",
    "sends errors in another protocol's format": "off-shape",
    "fails although the provider replied": "wrong",
    "hides an error behind a reply": "wrong",
    "drops the system prompt": "wrong",
    "drops the history": "wrong",
    "swaps two tool results": "wrong",
    "drops a tool": "wrong, or silent-could where another protocol says the choice by it",
    "loosens a schema": "silent-could",
    "changes a character of a call in the history": "wrong",
    "sets a temperature": "silent-could, or rejected where the model takes none",
}
"""Fault -> the outcome by the vendors' rules alone, and another where that depends on the target."""


class TargetFaults:
    """Judges cells at a gateway with a fault, as a stranger or with its own doors."""

    def __init__(self, testbed: TargetTestbed) -> None:
        self._testbed = testbed
        self._proxy = FaultProxy(testbed)
        testbed.wait(self._proxy.open())

    def judge(self, fault: Fault, cell: Cell, profile: Profile, *, house: bool) -> Verdict:
        with self._proxy.injecting(fault, cell) as url:
            table = Table(self._testbed, url, profile, scenarios(), read_expectations(), house)
            return self._testbed.wait(judge_cell(cell, table))


@pytest.fixture(scope="module")
def faults() -> Iterator[TargetFaults]:
    with TargetTestbed(scenarios()) as testbed:
        yield TargetFaults(testbed)


@pytest.mark.parametrize("case", [case for case in cases() if case.fault not in BY_VENDORS], ids=str)
def test_the_judge_catches_the_fault(case: FaultCase, faults: TargetFaults) -> None:
    """By the house's rules and the gateway's doors every other fault is caught that a cell of the matrix catches."""
    if scenarios().stories[case.cell.story].proxy is not None:
        pytest.skip("the story has a config of its own")
    verdict = faults.judge(FAULTS[case.fault], case.cell, OWN_DOORS, house=True)
    assert not verdict.is_fine, f"not caught: {verdict.outcome}"


@pytest.mark.parametrize("case", [case for case in cases() if case.fault in BY_VENDORS], ids=str)
def test_vendors_rules_alone_catch_it(case: FaultCase, faults: TargetFaults) -> None:
    """Breaches of a vendor's rule are caught of anybody, without a record and without a rule of the house."""
    verdict = faults.judge(FAULTS[case.fault], case.cell, STRANGER, house=False)
    assert verdict.outcome in re.findall(r"[a-z-]+", BY_VENDORS[case.fault]), verdict.findings
    assert all(finding.by == "vendor" and finding.source.startswith("https://") for finding in verdict.findings)


@pytest.mark.parametrize("story", CORRECT_STORIES)
@pytest.mark.parametrize("frontend", list(MOCK_PROTOCOLS))
def test_the_gateway_without_fault_is_fine(story: str, frontend: str, faults: TargetFaults) -> None:
    for provider in scenarios().providers:
        for stream in (False, True) if scenarios().stories[story].only is None else (True,):
            cell = Cell(frontend, provider, story, stream)
            verdict = faults.judge(FAULTS["no fault"], cell, STRANGER, house=True)
            assert verdict.is_fine, f"{cell}: {verdict.findings}"


def test_a_value_of_a_wrong_type_is_a_finding_and_no_traceback(
    faults: TargetFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge_exchange(judged: object) -> bool:
        raise TypeError("expected str instance, dict found")

    monkeypatch.setattr(judge, "judge_exchange", judge_exchange)
    verdict = faults.judge(FAULTS["no fault"], Cell("openai-chat", "openai", "text", False), STRANGER, house=False)
    assert (verdict.outcome, verdict.findings[0].rule) == ("wrong", "shape")
    assert "dict found" in verdict.findings[0].what


HOUSE_ONLY = (
    "sends the request twice",
    "adds a field",
    "forwards the client's key in a header",
    "forwards a feature header to another protocol",
    "closes the connection cleanly after an error",
    "drops retry-after",
    "leaks its own key",
)
"""Faults of which no vendor says anything: rules of the house, which hold for strangers where they are asked for."""


@pytest.mark.parametrize("case", [case for case in cases() if case.fault in HOUSE_ONLY], ids=str)
def test_rules_of_the_house_judge_strangers_only_where_they_are_asked_for(
    case: FaultCase, faults: TargetFaults
) -> None:
    with_house = faults.judge(FAULTS[case.fault], case.cell, STRANGER, house=True)
    assert with_house.outcome == "wrong", with_house.findings
    assert any(finding.by == "house" for finding in with_house.findings)
    assert faults.judge(FAULTS[case.fault], case.cell, STRANGER, house=False).is_fine


@pytest.mark.parametrize(("frontend", "outcome"), [("openai-chat", "right"), ("ollama", "refused")])
def test_who_refuses_what_the_clients_protocol_forbids_is_right(
    frontend: str, outcome: str, faults: TargetFaults
) -> None:
    cell = Cell(frontend, "anthropic", "tools-names-forbidden", False)
    assert faults.judge(FAULTS["refuses every request"], cell, STRANGER, house=False).outcome == outcome


@pytest.mark.parametrize(("house", "rules"), [(False, set()), (True, {"status"})])
def test_whose_fault_a_wrong_key_of_the_gateway_is_it_may_say_itself(
    house: bool, rules: set[str], faults: TargetFaults
) -> None:
    passes_it_on = Fault(down=lambda _, response: replace(response, status=401))
    verdict = faults.judge(passes_it_on, Cell("openai-chat", "openai", "error-401", False), STRANGER, house=house)
    assert {finding.rule for finding in verdict.findings if finding.outcome == "wrong"} == rules


def test_every_fault_of_the_tables_exists() -> None:
    assert {*BY_VENDORS, *HOUSE_ONLY} <= {fault for fault, *_ in DETECTED_BY_CELL}
