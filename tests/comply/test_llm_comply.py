"""llm-comply, a suite by another hand, judges every frontend that it knows before every backend protocol.

What its tests ask is told by the stories beside this file; how it judges is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llm_comply
import pytest
from jsonpath_ng.ext import parse as parse_path
from llm_comply import result as results  # by their modules: pytest would collect what is called Test…
from llm_comply import runner
from llm_comply.config import ComplianceConfig
from llm_comply.http import close_client
from llm_comply.schema import SpecLoader
from llm_comply.tests import get_tests
from msgspec.structs import replace

from conformance.bench import Bench, backend_config
from mockserver.match import strings
from mockserver.scenario import Provider, Scenarios, across, load, new_words
from mockserver.storyfile import read_story

FRONTENDS = {
    "openai-chat": "gpt-5-nano",
    "open-responses": "gpt-5-nano",
    "anthropic": "claude-sonnet-4-5",
    "google-genai": "gemini-2.5-flash",
}
"""The suite's word for a frontend, and the model to ask for: one by whose name the suite skips nothing."""

SPECS = {
    "openai-chat": "openai_chat.json",
    "open-responses": "openresponses.json",
    "anthropic": "anthropic.json",
    "google-genai": None,
}
"""The schema that the suite ships for a frontend."""

COUNTS = {"openai-chat": 9, "open-responses": 13, "anthropic": 9, "google-genai": 9}
"""How many tests the suite has; another count is a version whose tests nobody has read yet."""

UPSTREAM = {
    "openai": "o4-mini",  # thinks, sees and calls, and the published schema allows all of its answers
    "openai-responses": "gpt-5-mini",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-flash-preview",  # takes a thinkingLevel, which the suite asks of every model
    "ollama": "llama3.2",
}
"""A provider of every backend protocol, and the model that plays whatever the suite asks for."""

CONVERTED = {
    "openai converted": "openai-chat",
    "openai-responses converted": "open-responses",
    "anthropic converted": "anthropic",
    "gemini converted": "google-genai",
}
"""Providers again, for the frontend of their own protocol, where nothing is relayed: so the codec is judged too."""

# What the provider itself says or refuses reaches its own clients as it is; no frontend may mend it.
RELAYED = "relayed as it came: the provider's answers lack what its published schema requires (a text's `citations`)"
NO_REASONING = "the provider refuses the request: Chat Completions has no field `reasoning`, only `reasoning_effort`"

FAILURES: dict[tuple[str, str], tuple[str, str]] = {
    ("chat-reasoning-summary", "openai"): ("HTTP 400", NO_REASONING),
    ("anth-basic-response", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
    ("anth-system-prompt", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
    ("anth-multi-turn", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
    ("anth-tool-calling", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
    ("anth-image-input", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
    ("anth-thinking-display", "anthropic"): ("is not valid under any of the given schemas", RELAYED),
}
"""What fails, by test and backend: what the suite's first complaint says, and the reason. Nothing else may fail."""

UNBOUNDED = (
    "only Anthropic requires max_tokens: for other providers it is not asked of a client, for Anthropic it is set"
)
NO_COMPACTION = "the backend has no compaction: 404, which the suite lets pass"
NO_THOUGHTS = "Chat Completions counts its thoughts and never shows them"
NO_COUNT = "Ollama counts thoughts among the answer's tokens, and not apart"

WARNINGS: dict[tuple[str, str], str] = {
    **{
        ("anth-error-handling", backend): UNBOUNDED
        for backend in (*UPSTREAM, "anthropic converted")
        if backend != "anthropic"  # there the provider itself refuses it
    },
    **{("compact-response", backend): NO_COMPACTION for backend in UPSTREAM if backend != "openai-responses"},
    ("anth-thinking-display", "openai"): NO_THOUGHTS,
    ("google-thinking", "openai"): NO_THOUGHTS,
    ("chat-reasoning-summary", "ollama"): NO_COUNT,
    ("google-thinking", "ollama"): NO_COUNT,
}
"""What passes with a warning, by test and backend, and the reason. Nothing else may warn."""

BESIDE = "/responses/compact"
"""An address where no story is told: what it got is what was asked, byte for byte."""

CASES = [
    (frontend, backend, test.id)
    for frontend in FRONTENDS
    for backend in (*UPSTREAM, *(name for name, own in CONVERTED.items() if own == frontend))
    for test in get_tests(frontend)
]


# ---- the bench -------------------------------------------------------------------------------------------------------


def scenarios() -> Scenarios:
    """The project's own providers, and the stories of this folder."""
    here = Path(__file__).parent
    known = load(here.parents[1] / "scenarios").providers
    providers = {name: replace(_playing(known[name], model), replies={}) for name, model in UPSTREAM.items()}
    stories, mistakes = {}, []
    for file in sorted((here / "scenarios" / "stories").glob("*.yaml")):
        story, found = read_story(file.stem, str(file), file.read_text("utf-8"))
        mistakes += found
        if story is not None:
            stories[story.name] = story
    mistakes += across(providers, stories, set(stories))
    assert not mistakes, "\n".join(map(str, mistakes))
    return Scenarios(providers, stories)


def _playing(provider: Provider, model: str) -> Provider:
    return replace(provider, models={model: model}, default_model=model)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(scenarios()) as bench:
        yield bench
    close_client()


@pytest.fixture(scope="module")
def base_urls(bench: Bench) -> dict[str, str]:
    """A proxy for each backend, to which every model that the suite asks for is mapped."""
    urls = {}
    for backend in (*UPSTREAM, *CONVERTED):
        name = backend.removesuffix(" converted")
        models = dict.fromkeys(FRONTENDS.values(), UPSTREAM[name])
        config = backend_config(bench.scenarios.providers[name], bench.mock_url) | {"models": models}
        relay = {"relay": "never"} if backend in CONVERTED else {}
        urls[backend] = bench.wait(bench.start_proxy({"listen": "127.0.0.1:0", "backends": {name: config | relay}}))
    return urls


@cache
def spec(frontend: str) -> SpecLoader:
    name = SPECS[frontend]
    return SpecLoader(str(Path(llm_comply.__file__).parent / "specs" / name) if name else None)


def run(frontend: str, test_id: str, base_url: str) -> results.TestResult:
    """One test of the suite against a proxy."""
    config = ComplianceConfig(f"{base_url}/v1", "client-key", FRONTENDS[frontend], timeout=10)
    (test,) = [test for test in get_tests(frontend) if test.id == test_id]
    return runner.TestRunner(config, [test], spec(frontend)).run_one(test)


# ---- the judgement ---------------------------------------------------------------------------------------------------


# the suite still resolves references by the class that jsonschema deprecates; not ours to mend
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("frontend", "backend", "test_id"), CASES)
def test_the_suite_is_satisfied(
    frontend: str, backend: str, test_id: str, bench: Bench, base_urls: dict[str, str]
) -> None:
    since, _ = bench.wait(bench.journal(2**62))
    result = run(frontend, test_id, base_urls[backend])
    _, entries = bench.wait(bench.journal(since))
    for entry in entries:
        if not entry["path"].endswith(BESIDE):
            assert_understood(entry, bench.scenarios)
    assert result.status is not results.TestStatus.SKIPPED, result.errors
    complaint, why = FAILURES.get((test_id, backend), (None, None))
    if complaint is None:
        assert not result.errors
        assert bool(result.warnings) == ((test_id, backend) in WARNINGS), result.warnings
    else:
        assert result.errors, f"it passes, although listed as failing since {why}: take it off the list"
        assert complaint in result.errors[0]


def assert_understood(entry: dict[str, Any], played: Scenarios) -> None:
    """The provider got one of our stories, with every word of it and what else the story demands."""
    assert entry["story"], entry["note"]
    exchange = played.stories[entry["story"]].exchanges[0]
    said = list(strings(entry["body"]))
    for words in (*exchange.ask.system, *new_words(exchange.ask)):
        assert any(words in text for text in said), f"{words!r} did not reach the provider"
    for path, wanted in exchange.expect.get(played.providers[entry["provider"]].protocol, {}).items():
        found = [match.value for match in parse_path(path).find(entry["body"])]
        assert found == (wanted if isinstance(wanted, list) else [wanted]), path


def test_every_exception_is_of_a_test() -> None:
    cases = {(test_id, backend) for _, backend, test_id in CASES}
    assert set(FAILURES) <= cases
    assert set(WARNINGS) <= cases
    assert not set(FAILURES) & set(WARNINGS)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_suite_is_the_one_that_we_know(frontend: str) -> None:
    assert len(get_tests(frontend)) == COUNTS[frontend]
