"""The third-party suite llm-comply tests every frontend that it supports with every backend protocol.

The stories beside this file answer the requests of its tests; its checks are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llm_comply
import pytest
from jsonpath_ng.ext import parse as parse_path
from llm_comply import result as results  # as modules: pytest would collect classes called Test…
from llm_comply import runner
from llm_comply.config import ComplianceConfig
from llm_comply.http import close_client
from llm_comply.schema import SpecLoader
from llm_comply.tests import get_tests
from msgspec.structs import replace

from crosswire.conformance.harness.testbed import Testbed, backend_config
from crosswire.mockserver.matcher import json_strings
from crosswire.mockserver.scenarios.loader import Scenarios, cross_file_mistakes, load_scenarios
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import new_texts
from crosswire.mockserver.scenarios.story_parser import read_story

FRONTENDS = {
    "openai-chat": "gpt-5-nano",
    "open-responses": "gpt-5-nano",
    "anthropic": "claude-sonnet-4-5",
    "google-genai": "gemini-2.5-flash",
}
"""The suite's name of a frontend, and the model to request: one for which the suite skips no test."""

SPECS = {
    "openai-chat": "openai_chat.json",
    "open-responses": "openresponses.json",
    "anthropic": "anthropic.json",
    "google-genai": None,
}
"""The schema that the suite has for a frontend."""

COUNTS = {"openai-chat": 9, "open-responses": 13, "anthropic": 9, "google-genai": 9}
"""The number of the suite's tests; another number means a new version, whose tests must be reviewed."""

UPSTREAM = {
    "openai": "o4-mini",  # has reasoning, vision and tools, and its answers fit the published schema
    "openai-responses": "gpt-5-mini",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-flash-preview",  # accepts a thinkingLevel, which the suite sends for every model
    "ollama": "llama3.2",
}
"""A provider of every backend protocol, and its model, which stands for every model that the suite requests."""

CONVERTED = {
    "openai converted": "openai-chat",
    "openai-responses converted": "open-responses",
    "anthropic converted": "anthropic",
    "gemini converted": "google-genai",
}
"""The same providers without relay, for the frontend of their protocol, so that its decoder and encoder are tested."""

# What a provider answers or refuses is relayed to clients of its protocol; no frontend may repair it.
RELAYED = "relayed unchanged: the provider's answers lack what its published schema requires (a text's `citations`)"
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
"""The tests that fail, by test and backend: the suite's first error, and the reason. No other test may fail."""

UNBOUNDED = (
    "only Anthropic requires max_tokens: no frontend requires it, and for an Anthropic backend the proxy sets it"
)
NO_COMPACTION = "the backend has no compaction: 404, which the suite accepts"
NO_REASONING_TEXT = "Chat Completions counts reasoning tokens and never returns the reasoning"
NO_COUNT = "Ollama counts thinking among the answer's tokens, not separately"

WARNINGS: dict[tuple[str, str], str] = {
    **{
        ("anth-error-handling", backend): UNBOUNDED
        for backend in (*UPSTREAM, "anthropic converted")
        if backend != "anthropic"  # there the provider itself refuses it
    },
    **{("compact-response", backend): NO_COMPACTION for backend in UPSTREAM if backend != "openai-responses"},
    ("anth-thinking-display", "openai"): NO_REASONING_TEXT,
    ("google-thinking", "openai"): NO_REASONING_TEXT,
    ("chat-reasoning-summary", "ollama"): NO_COUNT,
    ("google-thinking", "ollama"): NO_COUNT,
}
"""The tests that warn, by test and backend, and the reason. No other test may warn."""

WITHOUT_STORY = "/responses/compact"
"""An endpoint for which there is no story."""

CASES = [
    (frontend, backend, test.id)
    for frontend in FRONTENDS
    for backend in (*UPSTREAM, *(name for name, own in CONVERTED.items() if own == frontend))
    for test in get_tests(frontend)
]


# ---- the test bed ----------------------------------------------------------------------------------------------------


def scenarios() -> Scenarios:
    """Returns the project's providers and the stories of this folder."""
    here = Path(__file__).parent
    known = load_scenarios(here.parents[1] / "scenarios").providers
    providers = {name: replace(_with_only_model(known[name], model), replies={}) for name, model in UPSTREAM.items()}
    stories, mistakes = {}, []
    for file in sorted((here / "scenarios" / "stories").glob("*.yaml")):
        story, found = read_story(file.stem, str(file), file.read_text("utf-8"))
        mistakes += found
        if story is not None:
            stories[story.name] = story
    mistakes += cross_file_mistakes(providers, stories, set(stories))
    assert not mistakes, "\n".join(map(str, mistakes))
    return Scenarios(providers, stories)


def _with_only_model(provider: Provider, model: str) -> Provider:
    return replace(provider, models={model: model}, default_model=model)


@pytest.fixture(scope="module")
def bench() -> Iterator[Testbed]:
    with Testbed(scenarios()) as bench:
        yield bench
    close_client()


@pytest.fixture(scope="module")
def base_urls(bench: Testbed) -> dict[str, str]:
    """Starts a proxy for each backend, which maps every model that the suite requests to the backend's one."""
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
    """Runs one test of the suite against a proxy."""
    config = ComplianceConfig(f"{base_url}/v1", "client-key", FRONTENDS[frontend], timeout=10)
    (test,) = [test for test in get_tests(frontend) if test.id == test_id]
    return runner.TestRunner(config, [test], spec(frontend)).run_one(test)


# ---- the suite's tests -----------------------------------------------------------------------------------------------


# the suite resolves references by a class that jsonschema deprecates
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("frontend", "backend", "test_id"), CASES)
def test_the_suite_passes(frontend: str, backend: str, test_id: str, bench: Testbed, base_urls: dict[str, str]) -> None:
    since, _ = bench.wait(bench.journal(2**62))
    result = run(frontend, test_id, base_urls[backend])
    _, entries = bench.wait(bench.journal(since))
    for entry in entries:
        if not entry["path"].endswith(WITHOUT_STORY):
            assert_story_matched(entry, bench.scenarios)
    assert result.status is not results.TestStatus.SKIPPED, result.errors
    complaint, why = FAILURES.get((test_id, backend), (None, None))
    if complaint is None:
        assert not result.errors
        assert bool(result.warnings) == ((test_id, backend) in WARNINGS), result.warnings
    else:
        assert result.errors, f"it passes, although listed as failing since {why}: take it off the list"
        assert complaint in result.errors[0]


def assert_story_matched(entry: dict[str, Any], played: Scenarios) -> None:
    """Checks that the provider's request matched a story, with all of its texts and its expected fields."""
    assert entry["story"], entry["note"]
    exchange = played.stories[entry["story"]].exchanges[0]
    sent = list(json_strings(entry["body"]))
    for text in (*exchange.ask.system, *new_texts(exchange.ask)):
        assert any(text in string for string in sent), f"{text!r} did not reach the provider"
    for path, wanted in exchange.expect.get(played.providers[entry["provider"]].protocol, {}).items():
        found = [match.value for match in parse_path(path).find(entry["body"])]
        assert found == (wanted if isinstance(wanted, list) else [wanted]), path


def test_every_listed_exception_is_a_test() -> None:
    cases = {(test_id, backend) for _, backend, test_id in CASES}
    assert set(FAILURES) <= cases
    assert set(WARNINGS) <= cases
    assert not set(FAILURES) & set(WARNINGS)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_suite_has_the_reviewed_number_of_tests(frontend: str) -> None:
    assert len(get_tests(frontend)) == COUNTS[frontend]
