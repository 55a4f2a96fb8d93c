"""Faulty proxies are detected by a cell or an invariant, and a correct proxy passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.matrix.expectations import read_known_failing
from crosswire.conformance.matrix.result import Cell, Result
from crosswire.conformance.test_invariants import fold_differences, relay_changes
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.provider import Provider
from tests.conformance.fault_proxies.fault_proxy import NO_FAULT
from tests.conformance.fault_proxies.faults import FAULTS
from tests.conformance.fault_proxies.harness import FaultCase, FaultHarness, cells_of, scenarios

pytestmark = pytest.mark.no_cover  # thousands of cells, each slowed down by the tracing; the matrix runs the same code

DIFFERENT_PROTOCOLS = (
    ("openai-chat", "anthropic"),
    ("openai-responses", "gemini"),
    ("anthropic", "openai"),
    ("gemini", "openai-responses"),
    ("ollama", "anthropic"),
    ("anthropic", "ollama"),
)
"""Pairs of frontend and provider with different protocols: every frontend and every backend protocol at least once."""

SAME_PROTOCOL = (
    ("openai-chat", "openai"),
    ("openai-responses", "openai-responses"),
    ("anthropic", "anthropic"),
    ("gemini", "gemini"),
    ("ollama", "ollama"),
)
"""Every frontend with a provider of its own protocol."""

WITH_IDS = tuple(pair for pair in DIFFERENT_PROTOCOLS if "gemini" not in pair)
"""Pairs in which both protocols have call ids."""

WITH_BLOCK_ORDER = tuple(pair for pair in DIFFERENT_PROTOCOLS if pair[0] in ("openai-responses", "anthropic", "gemini"))
"""Pairs whose client's unary replies state the order of text and calls."""

WITH_SEED = (("openai-chat", "gemini"), ("gemini", "openrouter"), ("ollama", "openrouter"))
"""Pairs in which both protocols have a seed, and whose models take sampling."""

TO_ANTHROPIC = tuple((frontend, "anthropic") for frontend in MOCK_PROTOCOLS if frontend != "anthropic")

WITH_CACHED_TOKENS = tuple(pair for pair in DIFFERENT_PROTOCOLS if pair[0] != "ollama" and pair[1] != "ollama")
"""Pairs in which both protocols report cached tokens."""

WITH_CITATIONS = (("openai-chat", "anthropic"), ("openai-responses", "gemini"), ("gemini", "openai-responses"))
"""Pairs in which a citation keeps its span."""

# fault, story, part of the reason, and pairs if other than DIFFERENT_PROTOCOLS
DETECTED_BY_CELL: tuple[tuple[str, str, str] | tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    ("drops a call", "tools-parallel", "reply.calls"),
    ("swaps the ids of two calls", "tools-parallel", "reply.calls", WITH_IDS),
    ("merges parallel calls", "tools-parallel", "reply.calls"),
    ("changes a character of the arguments", "tools-parallel", "P0rto"),
    ("calls another tool", "tools-one-call", "weathers"),
    ("puts calls before text", "tools-text-beside", "order of blocks", WITH_BLOCK_ORDER),
    ("drops a character of the text", "text", "text (wrong)"),
    ("drops citations", "text-citations", "citations (wrong)", WITH_CITATIONS),
    ("changes the stop reason", "text-length", "stop (wrong)"),
    ("drops usage", "text", "usage"),
    ("adds an output token", "text", "usage.output"),
    ("counts cached tokens twice", "text-usage-cached", "usage.prompt", WITH_CACHED_TOKENS),
    ("names another backend", "text", "the header names backend another"),
    ("records another backend", "text", "the record names another"),
    ("names another model", "text", "the header names model another"),
    ("records another model", "text", "the record names model another"),
    ("names another model in the body", "text", "the body names model some-other-model"),
    ("has no record", "text", "no record"),
    ("sends the request twice", "text", "2 requests reached the provider"),
    ("replies without an upstream request", "text", "no request reached the provider"),
    ("refuses every request", "text", "refused with 400"),
    ("refuses in another protocol's error format", "text", "breaks the client's protocol: error"),
    ("records an extra attempt", "text", "the record has 2 attempts"),
    ("hides a loss", "text-unknown-field", "undeclared loss"),
    ("hides a loss in the header", "text-unknown-field", "the header declares []"),
    ("declares a loss that did not happen", "text", "did not happen: logprobs"),
    ("declares a loss in the header only", "text", "the header declares ['logprobs']"),
    (
        "drops a supported field and declares it",
        "text-sampling",
        "loss seed of the request at sampling.seed is not allowed",
        WITH_SEED,
    ),
    ("ends a cut stream cleanly", "stream-cut", "no error received"),
    ("closes the connection cleanly after an error", "stream-error-midway", "ended cleanly"),
    ("relays half a frame", "text", "breaks the client's protocol"),
    ("relays half a frame before the error", "stream-cut", "breaks the client's protocol"),
    ("breaks the connection after a complete reply", "text", "the connection broke"),
    ("changes the text before an error", "stream-error-midway", "text before the error"),
    (
        "sends errors in another protocol's format",
        "error-429",
        "breaks the client's protocol: error",
        (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL),
    ),
    ("changes the error status", "error-429", "status 418, expected 429"),
    ("reports the proxy's rejected key as the client's", "error-401", "kind authentication"),
    ("leaks its own key", "error-401", "the proxy's own credential"),
    ("fails although the provider replied", "text", "error (wrong)"),
    ("replaces the provider's error message", "error-400-message", "the provider's message was"),
    ("hides an error behind a reply", "error-500", "no error received"),
    ("drops retry-after", "error-429", "header retry-after is None"),
    ("drops the system prompt", "text-system", "lighthouse keeper"),
    ("sends the system prompt in parts", "text-system", "upstream $.system is", TO_ANTHROPIC),
    ("drops the history", "text-multi-turn", "did not recognise the request"),
    ("drops a tool result", "tools-parallel", "the provider"),
    ("swaps two tool results", "tools-parallel", "results[0].text"),
    ("drops a tool", "tools-choice-named", "clock"),
    ("loosens a schema", "tools-unused", "json_schema"),
    ("changes a character of a call in the history", "tools-parallel", "Portu"),
    ("adds a field", "text", "the proxy added", (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL)),
    ("sets a temperature", "text", "temperature", (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL)),
    ("forwards a feature header to another protocol", "text", "the header anthropic-beta"),
    ("drops a feature header", "text-fields-of-anthropic", "the header anthropic-beta", (("anthropic", "anthropic"),)),
    (
        "forwards the client's key in a header",
        "text",
        "the client's credential",
        (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL),
    ),
    (
        "forwards the client's key in the query",
        "text",
        "the client's credential",
        (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL),
    ),
)

DETECTED_BY_INVARIANT = (
    "omits cached tokens in streams",
    "adds a blank to the reply",
    "adds a blank to the request",
    "records a relay as a conversion",
)
"""Faults that no single cell can detect, because each reply on its own is right."""

HARMLESS = ("no fault", "no fault, reencoded")

CORRECT_STORIES = (
    "text",
    "tools-loop",
    "tools-choice-named",
    "text-unknown-field",
    "error-429",
    "stream-cut",
    "stream-error-midway",
)
"""Stories that the proxy without a fault passes with every frontend and provider."""

REENCODED_STORIES = (
    "text",
    "text-length",
    "text-stop-sequence",
    "text-usage-cached",
    "tools-parallel",
    "tools-text-beside",
)
"""Stories whose replies can be parsed and rendered again without a change."""


def modes(story: str) -> tuple[bool, ...]:
    only = scenarios().stories[story].only
    return (False, True) if only is None else (only == "stream",)


def cases() -> list[FaultCase]:
    return [
        FaultCase(fault, Cell(frontend, provider, story, stream), reason)
        for fault, story, reason, *pairs in DETECTED_BY_CELL
        for frontend, provider in (pairs[0] if pairs else DIFFERENT_PROTOCOLS)
        for stream in modes(story)
    ]


@pytest.fixture(scope="module")
def harness() -> Iterator[FaultHarness]:
    with Testbed(scenarios()) as testbed:
        yield FaultHarness(testbed)


# ---- faults that a cell detects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_cell_detects_the_fault(case: FaultCase, harness: FaultHarness) -> None:
    assert harness.play_without_fault(case.cell).outcome != "fail", harness.play_without_fault(case.cell).reasons
    result = harness.play(FAULTS[case.fault], case.cell)
    assert result.outcome == "fail", f"not detected; losses: {result.losses}"
    assert case.reason in "; ".join(result.reasons)


@pytest.mark.parametrize("story", CORRECT_STORIES)
def test_the_proxy_without_fault_passes(story: str, harness: FaultHarness) -> None:
    chosen = cells_of(story)
    assert len(chosen) >= len(MOCK_PROTOCOLS) ** 2
    assert harness.failures(NO_FAULT, chosen) == {}


@pytest.mark.parametrize("story", REENCODED_STORIES)
def test_a_reencoded_reply_passes(story: str, harness: FaultHarness) -> None:
    """Reencoding alone changes nothing, so that only the faults themselves are detected."""
    pairs = (*DIFFERENT_PROTOCOLS, *SAME_PROTOCOL)
    chosen = [Cell(*pair, story, stream) for pair in pairs for stream in modes(story)]
    known = read_known_failing()
    chosen = [cell for cell in chosen if not any(fnmatchcase(str(cell), glob) for glob in known)]
    assert len(chosen) > len(pairs)
    assert harness.failures(FAULTS["no fault, reencoded"], chosen) == {}


# ---- faults that an invariant detects --------------------------------------------------------------------------------


def twins(harness: FaultHarness, fault: str, frontend: str, provider: str) -> tuple[Result, Result]:
    unary, stream = (harness.play(FAULTS[fault], Cell(frontend, provider, "text", s)) for s in (False, True))
    assert {unary.outcome, stream.outcome} <= {"pass", "lossy"}
    return unary, stream


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-responses"])
def test_a_stream_with_less_usage_differs_from_its_unary_twin(provider: str, harness: FaultHarness) -> None:
    assert fold_differences(*twins(harness, "no fault", "gemini", provider)) == []
    (found,) = fold_differences(*twins(harness, "omits cached tokens in streams", "gemini", provider))
    assert found.startswith("usage")
    assert "cache_read=0" in found


RELAY_FAULTS = (
    ("adds a blank to the reply", "the reply changed on the way to the client"),
    ("adds a blank to the request", "the request changed on the way upstream"),
    ("records a relay as a conversion", "the request was converted"),
)


def provider_of(cell: Cell) -> Provider:
    return scenarios().providers[cell.provider]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("frontend", "provider"), SAME_PROTOCOL, ids=[pair[0] for pair in SAME_PROTOCOL])
@pytest.mark.parametrize(("fault", "found"), RELAY_FAULTS, ids=[fault.replace(" ", "_") for fault, _ in RELAY_FAULTS])
def test_a_changed_relay_is_detected(
    fault: str, found: str, frontend: str, provider: str, stream: bool, harness: FaultHarness
) -> None:
    cell = Cell(frontend, provider, "text", stream)
    assert relay_changes(harness.play_without_fault(cell), provider_of(cell)) == []
    result = harness.play(FAULTS[fault], cell)
    assert result.outcome != "fail", "a cell detects it already"
    assert relay_changes(result, provider_of(cell)) == [found]


# ---- completeness ----------------------------------------------------------------------------------------------------


def test_every_fault_is_tested() -> None:
    assert {fault for fault, *_ in DETECTED_BY_CELL} | {*DETECTED_BY_INVARIANT, *HARMLESS} == set(FAULTS)


def test_faults_reach_every_frontend_unary_and_streamed() -> None:
    cases_by_fault = Counter((case.cell.frontend, case.cell.stream, case.fault) for case in cases())
    faults = Counter((frontend, stream) for frontend, stream, _ in cases_by_fault)
    assert set(faults) == {(frontend, stream) for frontend in MOCK_PROTOCOLS for stream in (False, True)}
    assert min(faults.values()) >= 14
