"""The referee is tested with proxies that lie: each is caught by a cell or a law, and an honest one passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from conformance.allowed import read_matrix
from conformance.bench import Bench
from conformance.cells import Cell, Result, cells, play
from conformance.test_laws import fold_differences, relay_changes
from mockserver.dialects import DIALECTS
from mockserver.scenario import Provider, Scenarios, load
from tests.miniatures.doors import Miniature
from tests.miniatures.lies import LIES

FOLDER = Path(__file__).parents[1] / "scenarios"

ACROSS = (
    ("openai-chat", "anthropic"),
    ("openai-responses", "gemini"),
    ("anthropic", "openai"),
    ("gemini", "openai-responses"),
    ("ollama", "anthropic"),
    ("anthropic", "ollama"),
)
"""Every frontend, and every backend protocol, at least once, never both the same."""

EQUAL = (
    ("openai-chat", "openai"),
    ("openai-responses", "openai-responses"),
    ("anthropic", "anthropic"),
    ("gemini", "gemini"),
    ("ollama", "ollama"),
)
"""Every frontend with a provider of its own protocol."""

WITH_IDS = tuple(pair for pair in ACROSS if "gemini" not in pair)
"""Pairs in which calls carry ids on both sides."""

IN_ORDER = tuple(pair for pair in ACROSS if pair[0] in ("openai-responses", "anthropic", "gemini"))
"""Clients whose unary answers say whether text or call came first."""

WITH_SEED = (("openai-chat", "gemini"), ("gemini", "openai"), ("ollama", "openai"))
"""Pairs in which a seed can be asked for on both sides."""

TO_ANTHROPIC = tuple((frontend, "anthropic") for frontend in DIALECTS if frontend != "anthropic")

CACHE_TOLD = tuple(pair for pair in ACROSS if pair[0] != "ollama" and pair[1] != "ollama")
"""Pairs in which both sides say how many tokens came from a cache."""

SOURCES_TOLD = (("openai-chat", "anthropic"), ("openai-responses", "gemini"), ("gemini", "openai-responses"))
"""Pairs in which a source arrives with its stretch."""

# lie, story, a word of the reason, and the pairs where not all of ACROSS
CAUGHT: tuple[tuple[str, str, str] | tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    ("drops a call", "tools-parallel", "reply.calls"),
    ("swaps the ids of two calls", "tools-parallel", "reply.calls", WITH_IDS),
    ("merges parallel calls", "tools-parallel", "reply.calls"),
    ("changes a letter of the arguments", "tools-parallel", "P0rto"),
    ("calls another tool", "tools-one-call", "weathers"),
    ("puts calls before text", "tools-text-beside", "order of blocks", IN_ORDER),
    ("loses a letter", "text", "text (wrong)"),
    ("forgets the sources", "text-citations", "undeclared loss citations", SOURCES_TOLD),
    ("invents a stop", "text-length", "stop_reason"),
    ("loses usage", "text", "usage"),
    ("miscounts", "text", "usage.output"),
    ("counts the cache twice", "text-usage-cached", "usage.prompt", CACHE_TOLD),
    ("names another backend", "text", "the header names backend another"),
    ("records another backend", "text", "the record names another"),
    ("names another model", "text", "the header names model another"),
    ("records another model", "text", "the record names model another"),
    ("names another model in the body", "text", "the body names model some-other-model"),
    ("records nothing", "text", "no record"),
    ("asks twice", "text", "2 requests reached the provider"),
    ("answers from memory", "text", "nothing reached the provider"),
    ("refuses", "text", "refused with 400"),
    ("refuses in another shape", "text", "protocol is broken: error"),
    ("records an attempt too many", "text", "the record has 2 attempts"),
    ("hides a loss", "text-unknown-field", "undeclared loss"),
    ("hides a loss in the header", "text-unknown-field", "the header declares []"),
    ("declares a loss that did not happen", "text", "did not happen: logprobs"),
    ("declares a loss in the header alone", "text", "the header declares ['logprobs']"),
    ("loses more than it must, and says so", "text-sampling", "loss seed is not allowed", WITH_SEED),
    ("ends a cut stream cleanly", "stream-cut", "no error was heard"),
    ("closes in order after an error", "stream-error-midway", "ended cleanly"),
    ("relays half a frame", "text", "protocol is broken"),
    ("relays half a frame before the error", "stream-cut", "protocol is broken"),
    ("breaks off a whole answer", "text", "the connection broke"),
    ("has other words before the error", "stream-error-midway", "text before the error"),
    ("answers in another shape of error", "error-429", "protocol is broken: error", (*ACROSS, *EQUAL)),
    ("answers with another status", "error-429", "status 418, must be 429"),
    ("blames the client for the proxy's key", "error-401", "kind authentication"),
    ("shows its own key", "error-401", "the proxy's own credential"),
    ("fails where the provider answered", "text", "error (wrong)"),
    ("has its own words for the provider's", "error-400-message", "the provider's words were"),
    ("swallows an error", "error-500", "no error was heard"),
    ("swallows retry-after", "error-429", "header retry-after is None"),
    ("drops the system prompt", "text-system", "lighthouse keeper"),
    ("says the system prompt in parts", "text-system", "upstream $.system is", TO_ANTHROPIC),
    ("forgets the history", "text-multi-turn", "did not recognise the request"),
    ("drops a tool result", "tools-parallel", "the provider"),
    ("swaps two tool results", "tools-parallel", "results[0].text"),
    ("offers one tool less", "tools-choice-named", "clock"),
    ("loosens a schema", "tools-unused", "json_schema"),
    ("changes a letter of a call in the history", "tools-parallel", "Portu"),
    ("adds a field", "text", "the proxy added", (*ACROSS, *EQUAL)),
    ("sets a temperature", "text", "temperature", (*ACROSS, *EQUAL)),
    ("passes a flag on to a stranger", "text", "the header anthropic-beta"),
    ("forgets a flag", "text-fields-of-anthropic", "the header anthropic-beta", (("anthropic", "anthropic"),)),
    ("forwards the client's key in a header", "text", "the client's credential", (*ACROSS, *EQUAL)),
    ("forwards the client's key in the address", "text", "the client's credential", (*ACROSS, *EQUAL)),
)

BY_LAW = (
    "says in a stream less than in a body",
    "changes a byte that means nothing",
    "changes a byte of the request",
    "says that it converts where it relays",
)
"""Lies that no cell can see, since each answer for itself is right."""

HONEST = ("honest", "honest, in other words")

WHOLE = (
    "text",
    "tools-loop",
    "tools-choice-named",
    "text-unknown-field",
    "error-429",
    "stream-cut",
    "stream-error-midway",
)
"""Stories that an honest miniature passes with every frontend and provider."""

AGAIN = ("text", "text-length", "text-stop-sequence", "text-usage-cached", "tools-parallel", "tools-text-beside")
"""Stories whose answers can be heard and said again without a change of meaning."""


class Case(Struct, frozen=True):
    lie: str
    cell: Cell
    word: str

    def __str__(self) -> str:
        return f"{self.lie.replace(' ', '_')}-{self.cell}"


@cache
def scenarios() -> Scenarios:
    return load(FOLDER)


def modes(story: str) -> tuple[bool, ...]:
    only = scenarios().stories[story].only
    return (False, True) if only is None else (only == "stream",)


def cases() -> list[Case]:
    return [
        Case(lie, Cell(frontend, provider, story, stream), word)
        for lie, story, word, *pairs in CAUGHT
        for frontend, provider in (pairs[0] if pairs else ACROSS)
        for stream in modes(story)
    ]


class Stage:
    """A bench with one miniature before it; plays cells through whichever lie it tells."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._matrix = read_matrix()
        self._miniature = Miniature(bench)
        self._honest: dict[Cell, Result] = {}
        bench.wait(self._miniature.open())

    def play(self, lie: str, cell: Cell) -> Result:
        with self._miniature.telling(LIES[lie], cell) as url:
            return self._bench.wait(play(cell, self._bench, scenarios(), self._matrix, url))

    def honest(self, cell: Cell) -> Result:
        """The cell through an honest miniature; played once."""
        if cell not in self._honest:
            self._honest[cell] = self.play("honest", cell)
        return self._honest[cell]

    def failures(self, lie: str, chosen: Iterable[Cell]) -> dict[str, list[str]]:
        """Those of the cells that fail through this miniature, with their reasons."""
        played = [self.play(lie, cell) for cell in chosen]
        return {str(result.cell): result.reasons for result in played if result.outcome == "fail"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Bench(scenarios()) as bench:
        yield Stage(bench)


# ---- what a cell sees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_lie_is_caught(case: Case, stage: Stage) -> None:
    assert stage.honest(case.cell).outcome != "fail", stage.honest(case.cell).reasons
    result = stage.play(case.lie, case.cell)
    assert result.outcome == "fail", f"nobody noticed: {result.losses}"
    assert case.word in "; ".join(result.reasons)


@pytest.mark.parametrize("story", WHOLE)
def test_an_honest_miniature_passes(story: str, stage: Stage) -> None:
    chosen = [cell for cell in cells(scenarios(), read_matrix()) if cell.story == story]
    assert len(chosen) >= len(DIALECTS) ** 2
    assert stage.failures("honest", chosen) == {}


@pytest.mark.parametrize("story", AGAIN)
def test_an_answer_in_other_words_passes(story: str, stage: Stage) -> None:
    """What the lies change is the meaning alone: said again without a change, every answer passes."""
    chosen = [Cell(*pair, story, stream) for pair in (*ACROSS, *EQUAL) for stream in modes(story)]
    assert stage.failures("honest, in other words", chosen) == {}


# ---- what only a law sees --------------------------------------------------------------------------------------------


def twins(stage: Stage, lie: str, frontend: str, provider: str) -> tuple[Result, Result]:
    unary, stream = (stage.play(lie, Cell(frontend, provider, "text", s)) for s in (False, True))
    assert {unary.outcome, stream.outcome} <= {"pass", "lossy"}
    return unary, stream


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-responses"])
def test_a_stream_that_says_less_is_caught_by_its_twin(provider: str, stage: Stage) -> None:
    assert fold_differences(*twins(stage, "honest", "gemini", provider)) == []
    (found,) = fold_differences(*twins(stage, "says in a stream less than in a body", "gemini", provider))
    assert found.startswith("usage")
    assert "cache_read=0" in found


RELAYS = (
    ("changes a byte that means nothing", "the answer changed on its way down"),
    ("changes a byte of the request", "the request changed on its way up"),
    ("says that it converts where it relays", "the request was converted"),
)


def provider_of(cell: Cell) -> Provider:
    return scenarios().providers[cell.provider]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("frontend", "provider"), EQUAL, ids=[pair[0] for pair in EQUAL])
@pytest.mark.parametrize(("lie", "found"), RELAYS, ids=[lie.replace(" ", "_") for lie, _ in RELAYS])
def test_a_relay_that_is_none_is_caught(
    lie: str, found: str, frontend: str, provider: str, stream: bool, stage: Stage
) -> None:
    cell = Cell(frontend, provider, "text", stream)
    assert relay_changes(stage.honest(cell), provider_of(cell)) == []
    result = stage.play(lie, cell)
    assert result.outcome != "fail", "no cell sees it"
    assert relay_changes(result, provider_of(cell)) == [found]


# ---- the table itself ------------------------------------------------------------------------------------------------


def test_every_lie_is_told() -> None:
    assert {lie for lie, *_ in CAUGHT} | {*BY_LAW, *HONEST} == set(LIES)


def test_every_frontend_hears_lies_unary_and_streamed() -> None:
    heard = Counter((case.cell.frontend, case.cell.stream, case.lie) for case in cases())
    lies = Counter((frontend, stream) for frontend, stream, _ in heard)
    assert set(lies) == {(frontend, stream) for frontend in DIALECTS for stream in (False, True)}
    assert min(lies.values()) >= 14
