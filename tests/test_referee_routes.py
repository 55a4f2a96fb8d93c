"""The referee of routes is tested with proxies that lie about them: each is caught by a cell, an honest one passes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from conformance.allowed import read_matrix
from conformance.bench import Bench
from conformance.cells import ROUTE, Cell, Result, cells, play
from mockserver import routefile
from mockserver.dialects import DIALECTS
from mockserver.scenario import EVERYONE, Scenarios, load
from proxy.routing.decision import MODES
from proxy.routing.score import TIERS
from tests.miniatures.doors import HONEST, Lie, Miniature
from tests.miniatures.misroutes import MISROUTES

FOLDER = Path(__file__).parents[1] / "scenarios"

# lie, story, a word of the reason
CAUGHT: tuple[tuple[str, str, str], ...] = (
    ("asks another and says nothing", "route-prefix-bound", "asked were cellar: llama3.2"),
    ("asks two backends", "route-prefix-bound", "asked were cellar: llama3.2, then attic: llama3.2"),
    ("asks one twice", "route-prefix-bound", "asked were attic: llama3.2, then attic: llama3.2"),
    ("sends the key of another", "route-prefix-bound", "attic was asked with the key of cellar"),
    ("sends two keys", "route-prefix-bound", "the key of cellar reached attic"),
    ("asks for another model", "route-prefix-bound", "asked were attic: llama4"),
    ("names the configured backend", "route-failover-error", "the header x-crosswire-backend is local"),
    ("names the configured model", "route-failover-error", "the header x-crosswire-model is llama3.2"),
    ("counts one attempt", "route-failover-error", "the header x-crosswire-attempts is 1"),
    ("tells another reason", "route-failover-error", "the header x-crosswire-route is"),
    ("lets another model go on", "route-failover-committed", "no error was heard"),
    ("records the configured backend", "route-failover-error", "the record says that local: llama3.2 answered"),
    ("hides an attempt", "route-failover-error", "the record has the attempts cloud: gpt-5-mini"),
    ("hides a candidate", "route-failover-error", "nothing is said of cloud"),
    ("records another mode", "route-failover-error", "decided by explicit"),
    ("records another choice", "route-failover-error", "chosen was cloud: gpt-5-mini"),
    ("hides a warning", "route-cheap-unknown", "the decision notes []"),
    ("records another tier", "route-cheap-set", "the request's tier is frontier"),
    ("records a key", "route-failover-error", "the key of local reached the client"),
)

WHOLE = ("route-prefix-bound", "route-failover-error", "route-failover-committed", "route-all-down", "route-nobody")
"""Stories that an honest miniature passes with every frontend."""


class Case(Struct, frozen=True):
    lie: str
    cell: Cell
    word: str

    def __str__(self) -> str:
        return f"{self.lie.replace(' ', '_')}-{self.cell}"


@cache
def scenarios() -> Scenarios:
    return load(FOLDER)


def cells_of(story: str) -> list[Cell]:
    return [cell for cell in cells(scenarios(), read_matrix()) if cell.story == story]


class Stage:
    """A bench with one miniature before it; plays cells through whichever lie it tells."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._miniature = Miniature(bench)
        bench.wait(self._miniature.open())

    def play(self, lie: Lie, cell: Cell) -> Result:
        with self._miniature.telling(lie, cell) as url:
            return self._bench.wait(play(cell, self._bench, scenarios(), read_matrix(), url))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Bench(scenarios()) as bench:
        yield Stage(bench)


CASES = [Case(lie, cell, word) for lie, story, word in CAUGHT for cell in cells_of(story)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_lie_is_caught(case: Case, stage: Stage) -> None:
    result = stage.play(MISROUTES[case.lie], case.cell)
    assert result.outcome == "fail", "nobody noticed"
    assert case.word in "; ".join(result.reasons)


@pytest.mark.parametrize("story", sorted({*WHOLE, *(story for _, story, _ in CAUGHT)}))
def test_an_honest_miniature_passes(story: str, stage: Stage) -> None:
    played = [stage.play(HONEST, cell) for cell in cells_of(story)]
    assert {result.cell.frontend for result in played} == set(DIALECTS)
    assert {str(result.cell): result.reasons for result in played if result.outcome != "pass"} == {}


def test_every_lie_is_told() -> None:
    assert {lie for lie, *_ in CAUGHT} == set(MISROUTES)


# ---- the stories together --------------------------------------------------------------------------------------------


def test_the_stories_play_every_mode_and_know_no_other_word() -> None:
    """The mock may not see the proxy's tables, so that they are held against each other here."""
    assert tuple(MODES) == routefile.MODES
    assert TIERS == routefile.TIERS
    routed = [story for story in scenarios().stories.values() if story.proxy is not None]
    decided = {exchange.decide.mode for story in routed for exchange in story.exchanges if exchange.decide}
    assert decided == set(MODES)


def test_a_variable_of_the_shell_leads_no_cell_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LLM_CHEAP_BACKEND": "openai", "LLM_CHEAP_MODEL": "gpt-5-nano", "OPENAI_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    cell = Cell("openai-chat", ROUTE, "route-fault-d-cheap-elsewhere", stream=False)
    with Bench(scenarios()) as bench:
        result = bench.wait(play(cell, bench, scenarios(), read_matrix()))
    assert (result.outcome, result.reasons) == ("pass", [])


def test_a_config_that_the_proxy_refuses_is_the_storys_mistake() -> None:
    story = scenarios().stories["route-exact-beats-pattern"]
    wrong = replace(story, proxy={**(story.proxy or {}), "routes": [{"match": "gpt-*", "backend": "clod"}]})
    found = replace(scenarios(), stories={story.name: wrong})
    with Bench(found) as bench:
        result = bench.wait(play(Cell("anthropic", ROUTE, story.name, stream=True), bench, found, read_matrix()))
    assert result.outcome == "fail"
    (reason,) = result.reasons
    assert f"the proxy refuses the config of {story.file}" in reason
    assert "did you mean cloud" in reason


def test_no_two_backends_of_a_story_say_the_same() -> None:
    """Or nobody could tell by the answer who was asked."""
    for story in scenarios().stories.values():
        for exchange in story.exchanges if story.proxy is not None else ():
            said = [items for name, items in exchange.say.items() if name != EVERYONE]
            assert all(one not in said[:at] for at, one in enumerate(said)), story.name
            if not said:  # words for whoever might be asked by mistake
                assert exchange.decide is not None
                assert exchange.decide.tried == (), story.name
            else:
                assert set(story.backends) == set(exchange.say), story.name


COUNTED = ("route-failover-error", "route-all-down", "route-nobody", "route-cascade-unsure", "route-key-revoked")


@pytest.mark.parametrize("story", COUNTED)
def test_the_metrics_count_what_the_cells_saw(story: str) -> None:
    """Every decision, every try and every change of the backend, and nothing else."""
    routed = scenarios().stories[story]
    decisions, tries, failovers = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    with Bench(scenarios()) as bench:
        url = bench.wait(bench.routed(routed))
        for cell in cells_of(story):
            result = bench.wait(play(cell, bench, scenarios(), read_matrix(), url))
            for step in result.steps:
                asked = [entry["backend"] for entry in step.entries]
                decisions[result.decision["mode"], result.decision["chosen"]["backend"] or "none"] += 1
                tries.update((backend,) for backend in asked)
                failovers.update((one, other) for one, other in pairwise(asked) if one != other)
        text = bench.wait(bench.send("GET", f"{url}/metrics", {}, b"")).body.decode()
    assert counted(text, "crosswire_routing_decisions_total", "mode", "backend") == decisions
    assert counted(text, "crosswire_attempts_total", "backend") == tries
    assert counted(text, "crosswire_failovers_total", "from", "to") == failovers


def counted(text: str, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """A counter of the metrics' text, summed up over its other labels."""
    found = Counter[tuple[str, ...]]()
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            said = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[tuple(said[label] for label in labels)] += int(float(line.rpartition(" ")[2]))
    return found
