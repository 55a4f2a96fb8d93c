"""The official SDKs drive every frontend against every provider, and their types hold every byte of the answers.

The stories say what is asked and what must be heard; how it is asked is each SDK's own affair.
"""

from __future__ import annotations

import pytest
from drivers import DRIVERS
from drivers.desk import Desk
from drivers.driver import Usage, converse
from sdk_stories import SCENARIOS, ask_of, said_by, settings_of, stop_of, told, told_by, words_of

from mockserver.dialects.scene import counted
from mockserver.speech import Item, SayUsage, in_sequence

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

UNSAYABLE: dict[str, set[str]] = {
    "openai-chat": {"tool_error"},
    "openai-responses": {"tool_error"},
    "anthropic": set(),
    "gemini": {"tool_strict"},
    "ollama": {"tool_error", "tool_strict"},
}
"""What a provider of this protocol cannot be told; it is lost whenever an SDK says it, and nothing else ever is."""

# The SDK warns of its own table of models; the scenarios' names are as good as any.
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")

NO_CACHE = {"ollama"}
"""Protocols without a count of cached tokens among what their SDK's types know."""


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_sdk_hears_the_story(desk: Desk, provider: str, story: str, stream: bool) -> None:
    exchanges = SCENARIOS.stories[story].exchanges
    settings = settings_of(story, provider, stream=stream)
    answers = converse(desk.driver, desk.client, tuple(ask_of(exchange) for exchange in exchanges), settings)
    assert len(desk.tape.taken) == len(exchanges), "no SDK had a reason to ask twice"
    for exchange, answer in zip(exchanges, answers, strict=True):
        said = said_by(story, exchange, provider)
        assert told(answer) == told_by(said)
        assert answer.stop == desk.driver.stops[stop_of(said)]
        assert answer.model == settings.model
        assert_usage(desk, provider, said, answer.usage)
        ids = [call.id for call in answer.calls if call.id is not None]
        assert len(set(ids)) == len(ids)
    said_in_vain = desk.driver.says & UNSAYABLE[SCENARIOS.providers[provider].protocol]
    for at, taken in enumerate(desk.tape.taken):
        assert taken.status == 200
        assert taken.headers["x-crosswire-backend"] == provider
        lost = {word.strip() for word in taken.headers.get("x-crosswire-loss", "").split(",")} - {""}
        assert lost == said_in_vain & words_of(exchanges[: at + 1])
        desk.judge(taken, stream=stream)


def assert_usage(desk: Desk, provider: str, said: tuple[Item, ...], usage: Usage) -> None:
    """What the story counts, or else the mock's own count of the output."""
    meant = counted(0, said)
    assert usage.output == meant.output
    assert usage.input is not None
    assert usage.input > 0
    if any(isinstance(item, SayUsage) for item in in_sequence(said)):
        assert usage.input == (meant.input or 0) + (meant.cache_read or 0) + (meant.cache_write or 0)
        if desk.driver.says_cached and SCENARIOS.providers[provider].protocol not in NO_CACHE:
            assert (usage.cached or 0) == (meant.cache_read or 0)
