"""The official SDKs use every frontend with every provider, and their types validate every answer.

The stories define the requests and the expected answers; each SDK's driver sends them as that SDK's users do.
"""

from __future__ import annotations

import pytest

from crosswire.mockserver.protocols.reply_context import estimate_usage
from crosswire.mockserver.scenarios.model import Item, SayUsage, in_sequence

from .drivers import DRIVERS
from .drivers.driver import Usage, run_conversation
from .drivers.session import SdkSession
from .sdk_stories import (
    SCENARIOS,
    content_of,
    expected_content,
    loss_features_of,
    reply_of,
    settings_of,
    stop_of,
    user_turn_of,
)

STORIES = (
    "text",
    "text-system",
    "text-length",
    "text-usage-cached",
    "function_calling",
    "tools-zero-arguments",
    "tools-parallel",
    "tools-interleaved",
    "tools-loop",
    "tools-multi-step",
)

UNSUPPORTED: dict[str, set[str]] = {
    "openai-chat": {"tool_error"},
    "openai-responses": {"tool_error"},
    "anthropic": set(),
    "gemini": set(),
    "ollama": {"tool_error", "tool_strict"},
}
"""The features that a protocol lacks: lost whenever an SDK's request has them, and nothing else is lost."""

# The SDK warns by its own table of models, which the scenarios need not follow.
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")

NO_CACHE = {"ollama"}
"""Protocols whose SDK's types have no count of cached tokens."""


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_sdk_returns_the_storys_answers(session: SdkSession, provider: str, story: str, stream: bool) -> None:
    exchanges = SCENARIOS.stories[story].exchanges
    settings = settings_of(story, provider, stream=stream)
    turns = tuple(map(user_turn_of, exchanges))
    answers = run_conversation(session.driver, session.client, turns, settings)
    assert len(session.recording.responses) == len(exchanges), "an SDK sent a request twice"
    for exchange, answer in zip(exchanges, answers, strict=True):
        items = reply_of(story, exchange, provider)
        assert content_of(answer) == expected_content(items)
        assert answer.stop == session.driver.stop_reasons[stop_of(items)]
        assert answer.model == settings.model
        assert_usage(session, provider, items, answer.usage)
        ids = [call.id for call in answer.calls if call.id is not None]
        assert len(set(ids)) == len(ids)
    unsupported = session.driver.features & UNSUPPORTED[SCENARIOS.providers[provider].protocol]
    for at, recorded in enumerate(session.recording.responses):
        assert recorded.status == 200
        assert recorded.headers["x-crosswire-backend"] == provider
        lost = {feature.strip() for feature in recorded.headers.get("x-crosswire-loss", "").split(",")} - {""}
        assert lost == unsupported & loss_features_of(exchanges[: at + 1])
        session.validate(recorded, stream=stream)


def assert_usage(session: SdkSession, provider: str, items: tuple[Item, ...], usage: Usage) -> None:
    """Compares the usage with the story's counts, or with the mock's estimate of the output."""
    expected = estimate_usage(0, items)
    assert usage.output == expected.output
    assert usage.input is not None
    assert usage.input > 0
    if any(isinstance(item, SayUsage) for item in in_sequence(items)):
        assert usage.input == (expected.input or 0) + (expected.cache_read or 0) + (expected.cache_write or 0)
        if session.driver.reports_cached and SCENARIOS.providers[provider].protocol not in NO_CACHE:
            assert (usage.cached or 0) == (expected.cache_read or 0)
