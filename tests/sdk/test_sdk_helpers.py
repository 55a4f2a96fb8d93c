"""The SDKs' helpers work through the proxy: joining streams, calling functions, async clients."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from google.genai import types
from msgspec.structs import replace

from .drivers import DRIVERS
from .drivers.driver import Answer, Call, Conversation, Settings
from .drivers.session import SdkSession
from .sdk_stories import SCENARIOS, content_of, expected_content, reply_of, settings_of, stop_of, user_turn_of

STORIES = ("text", "function_calling", "tools-text-beside", "tools-parallel")
"""Without `tools-interleaved`: the helper of `openai` parses a call as complete when another one starts."""

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")


# ---- joining streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_helpers_answer_equals_the_unary_answer(session: SdkSession, provider: str, story: str) -> None:
    settings, conversation = opening(session, story, provider)
    unary = session.driver.send(session.client, conversation, settings)
    helped = session.driver.send_with_helper(session.client, conversation, settings)
    assert comparable(helped) == comparable(unary)
    assert content_of(helped) == expected_content(reply_of(story, SCENARIOS.stories[story].exchanges[0], provider))
    first, second = session.recording.responses
    assert [recorded.headers["content-type"].partition(";")[0] for recorded in (first, second)] == [
        "application/json",
        "application/x-ndjson" if session.driver.ndjson else "text/event-stream",
    ]


# ---- calling functions -----------------------------------------------------------------------------------------------

LOOP = "tools-loop"
"""Oslo has a weather station, and Rome has none."""


class Stations:
    """The story's function in Python, which records the cities that it is called with."""

    def __init__(self) -> None:
        self.cities: list[str] = []
        (_, after) = SCENARIOS.stories[LOOP].exchanges
        self._outputs = {result.text: result.error for result in after.ask.results}

    def weather(self, city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        self.cities.append(city)
        output, failed = list(self._outputs.items())[len(self.cities) - 1]
        if failed:
            raise LookupError(output)
        return output


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["gemini"])
def test_google_genai_calls_functions_by_itself(session: SdkSession, provider: str, stream: bool) -> None:
    stations = Stations()
    chat = session.client.chats.create(
        model=settings_of(LOOP, provider, stream=stream).model,
        config=types.GenerateContentConfig(tools=[stations.weather]),
    )
    question = user_turn_of(SCENARIOS.stories[LOOP].exchanges[0]).text
    text = (
        "".join(chunk.text or "" for chunk in chat.send_message_stream(question))
        if stream
        else chat.send_message(question).text
    )
    assert stations.cities == ["Oslo", "Rome"]
    before, after = (reply_of(LOOP, exchange, provider) for exchange in SCENARIOS.stories[LOOP].exchanges)
    assert text == (expected_content(before)[0] if stream else "") + expected_content(after)[0]
    assert len(session.recording.responses) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["anthropic"])
def test_anthropic_runs_tools_by_itself(session: SdkSession, provider: str, stream: bool) -> None:
    stations = Stations()
    arguments: dict[str, Any] = {
        "model": settings_of(LOOP, provider, stream=stream).model,
        "max_tokens": 1024,
        "tools": [anthropic.beta_tool(stations.weather)],
        "thread": False,
        "messages": [{"role": "user", "content": user_turn_of(SCENARIOS.stories[LOOP].exchanges[0]).text}],
    }
    if stream:
        runner = session.client.beta.messages.tool_runner(**arguments, stream=True)
        messages = [events.get_final_message() for events in runner]
    else:
        messages = list(session.client.beta.messages.tool_runner(**arguments))
    assert stations.cities == ["Oslo", "Rome"]
    reply = [expected_content(reply_of(LOOP, exchange, provider)) for exchange in SCENARIOS.stories[LOOP].exchanges]
    assert [
        (
            "".join(block.text for block in message.content if block.type == "text"),
            [(block.name, block.input) for block in message.content if block.type == "tool_use"],
        )
        for message in messages
    ] == reply


@pytest.mark.parametrize("provider", [name for name, p in SCENARIOS.providers.items() if p.protocol != "anthropic"])
@pytest.mark.parametrize("frontend", ["anthropic"])
def test_the_runner_sends_everything_where_no_thread_is_kept(session: SdkSession, provider: str) -> None:
    """It continues a thread with the new messages alone; these providers do not have the others, and it is told so.

    https://platform.claude.com/docs/en/build-with-claude/message-threads
    """
    stations = Stations()
    runner = session.client.beta.messages.tool_runner(
        model=settings_of(LOOP, provider, stream=False).model,
        max_tokens=1024,
        tools=[anthropic.beta_tool(stations.weather)],
        messages=[{"role": "user", "content": user_turn_of(SCENARIOS.stories[LOOP].exchanges[0]).text}],
    )
    last = list(runner)[-1]
    assert stations.cities == ["Oslo", "Rome"]
    after = expected_content(reply_of(LOOP, SCENARIOS.stories[LOOP].exchanges[-1], provider))
    assert "".join(block.text for block in last.content if block.type == "text") == after[0]


# ---- async clients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("story", ["text", "tools-parallel"])
@pytest.mark.parametrize(
    ("frontend", "provider"),
    [
        ("openai-chat", "anthropic"),
        ("openai-responses", "gemini"),
        ("anthropic", "openai-responses"),
        ("gemini", "openai"),
        ("ollama", "anthropic"),
    ],
)
async def test_the_async_client_returns_the_storys_answer(
    session: SdkSession, provider: str, story: str, stream: bool
) -> None:
    settings, conversation = opening(session, story, provider)
    answer = await session.driver.send_async(session.base_url, conversation, replace(settings, stream=stream))
    reply = reply_of(story, SCENARIOS.stories[story].exchanges[0], provider)
    assert content_of(answer) == expected_content(reply)
    assert answer.stop == session.driver.stop_reasons[stop_of(reply)]


# ---- comparison ------------------------------------------------------------------------------------------------------


def opening(session: SdkSession, story: str, provider: str) -> tuple[Settings, Conversation]:
    """Returns the settings and the first turn of a story."""
    settings = settings_of(story, provider, stream=False)
    return settings, session.driver.add_turn([], user_turn_of(SCENARIOS.stories[story].exchanges[0]), None)


def comparable(answer: Answer) -> Answer:
    """Removes what may differ between two requests: the ids of calls, the history and the input tokens."""
    calls = tuple(Call(call.name, call.arguments) for call in answer.calls)
    return replace(answer, calls=calls, history=(), usage=replace(answer.usage, input=None))
