"""Proxies with routing faults are detected by the routing stories, and a correct proxy passes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from crosswire.conformance.checks.routing import ROUTE
from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.matrix.runner import play_cell
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios import route_parser
from crosswire.mockserver.scenarios.story import EVERY_BACKEND
from crosswire.proxy.routing.decision import MODES
from crosswire.proxy.routing.score import TIERS
from tests.conformance.fault_proxies.fault_proxy import NO_FAULT
from tests.conformance.fault_proxies.harness import FaultCase, FaultHarness, cells_of, scenarios
from tests.conformance.fault_proxies.routing_faults import ROUTING_FAULTS

# fault, story, part of the reason
DETECTED: tuple[tuple[str, str, str], ...] = (
    ("calls another backend", "route-prefix-bound", "requests went to cellar: llama3.2"),
    ("calls two backends", "route-prefix-bound", "requests went to cellar: llama3.2, then attic: llama3.2"),
    ("calls a backend twice", "route-prefix-bound", "requests went to attic: llama3.2, then attic: llama3.2"),
    ("sends another backend's key", "route-prefix-bound", "attic received the key of cellar"),
    ("sends two keys", "route-prefix-bound", "the key of cellar reached attic"),
    ("requests another model", "route-prefix-bound", "requests went to attic: llama4"),
    ("names the configured backend", "route-failover-error", "the header x-crosswire-backend is local"),
    ("names the configured model", "route-failover-error", "the header x-crosswire-model is llama3.2"),
    ("counts one attempt", "route-failover-error", "the header x-crosswire-attempts is 1"),
    ("gives another reason", "route-failover-error", "the header x-crosswire-route is"),
    ("continues with another model", "route-failover-committed", "no error received"),
    ("records the configured backend", "route-failover-error", "the record names local: llama3.2 as the source"),
    ("hides an attempt", "route-failover-error", "the record has the attempts cloud: gpt-5-mini"),
    ("hides a candidate", "route-failover-error", "the decision does not mention cloud"),
    ("records another mode", "route-failover-error", "the mode is explicit"),
    ("records another choice", "route-failover-error", "the chosen candidate is cloud: gpt-5-mini"),
    ("hides a warning", "route-cheap-unknown", "the decision's notes are []"),
    ("records another tier", "route-cheap-set", "the request's tier is frontier"),
    ("records a key", "route-failover-error", "the key of local reached the client"),
)

CORRECT_STORIES = (
    "route-prefix-bound",
    "route-failover-error",
    "route-failover-committed",
    "route-all-down",
    "route-nobody",
)
"""Stories that the proxy without a fault passes with every frontend."""


@pytest.fixture(scope="module")
def harness() -> Iterator[FaultHarness]:
    with Testbed(scenarios()) as testbed:
        yield FaultHarness(testbed)


CASES = [FaultCase(fault, cell, reason) for fault, story, reason in DETECTED for cell in cells_of(story)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cell_detects_the_fault(case: FaultCase, harness: FaultHarness) -> None:
    result = harness.play(ROUTING_FAULTS[case.fault], case.cell)
    assert result.outcome == "fail", "not detected"
    assert case.reason in "; ".join(result.reasons)


@pytest.mark.parametrize("story", sorted({*CORRECT_STORIES, *(story for _, story, _ in DETECTED)}))
def test_the_proxy_without_fault_passes(story: str, harness: FaultHarness) -> None:
    results = [harness.play(NO_FAULT, cell) for cell in cells_of(story)]
    assert {result.cell.frontend for result in results} == set(MOCK_PROTOCOLS)
    assert {str(result.cell): result.reasons for result in results if result.outcome != "pass"} == {}


def test_every_fault_is_tested() -> None:
    assert {fault for fault, *_ in DETECTED} == set(ROUTING_FAULTS)


# ---- all routing stories ---------------------------------------------------------------------------------------------


def test_the_stories_cover_every_mode_and_the_mock_knows_the_same() -> None:
    """The mock must not import the proxy, so its tables of modes and tiers are compared here."""
    assert tuple(MODES) == route_parser.MODES
    assert TIERS == route_parser.TIERS
    routed = [story for story in scenarios().stories.values() if story.proxy is not None]
    decided = {exchange.decide.mode for story in routed for exchange in story.exchanges if exchange.decide}
    assert decided == set(MODES)


def test_environment_variables_do_not_change_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LLM_CHEAP_BACKEND": "openai", "LLM_CHEAP_MODEL": "gpt-5-nano", "OPENAI_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    cell = Cell("openai-chat", ROUTE, "route-fault-d-cheap-elsewhere", stream=False)
    with Testbed(scenarios()) as testbed:
        result = testbed.wait(play_cell(cell, testbed, scenarios(), read_expectations()))
    assert (result.outcome, result.reasons) == ("pass", [])


def test_a_config_that_the_proxy_rejects_fails_the_cell() -> None:
    story = scenarios().stories["route-exact-beats-pattern"]
    wrong = replace(story, proxy={**(story.proxy or {}), "routes": [{"match": "gpt-*", "backend": "clod"}]})
    found = replace(scenarios(), stories={story.name: wrong})
    with Testbed(found) as testbed:
        result = testbed.wait(
            play_cell(Cell("anthropic", ROUTE, story.name, stream=True), testbed, found, read_expectations())
        )
    assert result.outcome == "fail"
    (reason,) = result.reasons
    assert f"the proxy refuses the config of {story.file}" in reason
    assert "did you mean cloud" in reason


def test_the_backends_of_a_story_have_different_replies() -> None:
    """Otherwise the reply would not show which backend sent it."""
    for story in scenarios().stories.values():
        for exchange in story.exchanges if story.proxy is not None else ():
            replies = [items for name, items in exchange.say.items() if name != EVERY_BACKEND]
            assert all(reply not in replies[:at] for at, reply in enumerate(replies)), story.name
            if not replies:  # one reply for every backend: none of them may be called
                assert exchange.decide is not None
                assert exchange.decide.tried == (), story.name
            else:
                assert set(story.backends) == set(exchange.say), story.name


STORIES_WITH_METRICS = (
    "route-failover-error",
    "route-all-down",
    "route-nobody",
    "route-cascade-unsure",
    "route-key-revoked",
)


@pytest.mark.parametrize("story", STORIES_WITH_METRICS)
def test_the_metrics_count_decisions_attempts_and_failovers(story: str) -> None:
    """Metrics equal the decisions, attempts and failovers that the cells observed."""
    routed = scenarios().stories[story]
    decisions, attempts, failovers = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    with Testbed(scenarios()) as testbed:
        url = testbed.wait(testbed.proxy_for_story(routed))
        for cell in cells_of(story):
            result = testbed.wait(play_cell(cell, testbed, scenarios(), read_expectations(), url))
            for step in result.steps:
                backends = [entry["backend"] for entry in step.entries]
                decisions[result.decision["mode"], result.decision["chosen"]["backend"] or "none"] += 1
                attempts.update((backend,) for backend in backends)
                failovers.update((one, other) for one, other in pairwise(backends) if one != other)
        text = testbed.wait(testbed.send("GET", f"{url}/metrics", {}, b"")).body.decode()
    assert counter_values(text, "crosswire_routing_decisions_total", "mode", "backend") == decisions
    assert counter_values(text, "crosswire_attempts_total", "backend") == attempts
    assert counter_values(text, "crosswire_failovers_total", "from", "to") == failovers


def counter_values(text: str, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """Returns a counter of the metrics text, summed over the other labels."""
    found = Counter[tuple[str, ...]]()
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            labels_of = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[tuple(labels_of[label] for label in labels)] += int(float(line.rpartition(" ")[2]))
    return found
