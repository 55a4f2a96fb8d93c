"""What the SDKs do by themselves works through the proxy: joining streams, calling functions, async clients."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from drivers import DRIVERS
from drivers.desk import Desk
from drivers.driver import Answer, Call, Native, Settings
from google.genai import types
from msgspec.structs import replace
from sdk_stories import SCENARIOS, ask_of, said_by, settings_of, stop_of, told, told_by

STORIES = ("text", "function_calling", "tools-text-beside", "tools-parallel")
"""Not `tools-interleaved`: the helper of `openai` takes a call for done, and parses it, when another one begins."""

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")


# ---- putting streams together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_helper_hears_what_a_unary_answer_says(desk: Desk, provider: str, story: str) -> None:
    settings, conversation = opening(desk, story, provider)
    whole = desk.driver.turn(desk.client, conversation, settings)
    helped = desk.driver.helped(desk.client, conversation, settings)
    assert meaning(helped) == meaning(whole)
    assert told(helped) == told_by(said_by(story, SCENARIOS.stories[story].exchanges[0], provider))
    first, second = desk.tape.taken
    assert [taken.headers["content-type"].partition(";")[0] for taken in (first, second)] == [
        "application/json",
        "application/x-ndjson" if desk.driver.line_framed else "text/event-stream",
    ]


# ---- calling functions -----------------------------------------------------------------------------------------------

LOOP = "tools-loop"
"""Oslo has a weather station, and Rome has none."""


class Stations:
    """The function of the story as a program has it, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        (_, after) = SCENARIOS.stories[LOOP].exchanges
        self._outputs = {result.text: result.error for result in after.ask.results}

    def weather(self, city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        self.asked.append(city)
        output, failed = list(self._outputs.items())[len(self.asked) - 1]
        if failed:
            raise LookupError(output)
        return output


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["gemini"])
def test_google_genai_calls_the_functions_itself(desk: Desk, provider: str, stream: bool) -> None:
    stations = Stations()
    chat = desk.client.chats.create(
        model=settings_of(LOOP, provider, stream=stream).model,
        config=types.GenerateContentConfig(tools=[stations.weather]),
    )
    words = ask_of(SCENARIOS.stories[LOOP].exchanges[0]).words
    text = (
        "".join(chunk.text or "" for chunk in chat.send_message_stream(words))
        if stream
        else chat.send_message(words).text
    )
    assert stations.asked == ["Oslo", "Rome"]
    before, after = (said_by(LOOP, exchange, provider) for exchange in SCENARIOS.stories[LOOP].exchanges)
    assert text == (told_by(before)[0] if stream else "") + told_by(after)[0]
    assert len(desk.tape.taken) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["anthropic"])
def test_anthropic_runs_the_tools_itself(desk: Desk, provider: str, stream: bool) -> None:
    stations = Stations()
    arguments: dict[str, Any] = {
        "model": settings_of(LOOP, provider, stream=stream).model,
        "max_tokens": 1024,
        "tools": [anthropic.beta_tool(stations.weather)],
        "thread": False,
        "messages": [{"role": "user", "content": ask_of(SCENARIOS.stories[LOOP].exchanges[0]).words}],
    }
    if stream:
        runner = desk.client.beta.messages.tool_runner(**arguments, stream=True)
        messages = [events.get_final_message() for events in runner]
    else:
        messages = list(desk.client.beta.messages.tool_runner(**arguments))
    assert stations.asked == ["Oslo", "Rome"]
    said = [told_by(said_by(LOOP, exchange, provider)) for exchange in SCENARIOS.stories[LOOP].exchanges]
    assert [
        (
            "".join(block.text for block in message.content if block.type == "text"),
            [(block.name, block.input) for block in message.content if block.type == "tool_use"],
        )
        for message in messages
    ] == said


@pytest.mark.parametrize("provider", [name for name, p in SCENARIOS.providers.items() if p.protocol != "anthropic"])
@pytest.mark.parametrize("frontend", ["anthropic"])
def test_a_thread_that_nobody_keeps_is_never_continued(desk: Desk, provider: str) -> None:
    """Without `thread=False` the runner sends only what is new, and a provider that holds no thread has the rest not.

    https://platform.claude.com/docs/en/build-with-claude/message-threads
    """
    stations = Stations()
    runner = desk.client.beta.messages.tool_runner(
        model=settings_of(LOOP, provider, stream=False).model,
        max_tokens=1024,
        tools=[anthropic.beta_tool(stations.weather)],
        messages=[{"role": "user", "content": ask_of(SCENARIOS.stories[LOOP].exchanges[0]).words}],
    )
    with pytest.raises(anthropic.BadRequestError, match="thread"):
        list(runner)
    assert stations.asked == ["Oslo", "Rome"]


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
async def test_the_async_client(desk: Desk, provider: str, story: str, stream: bool) -> None:
    settings, conversation = opening(desk, story, provider)
    answer = await desk.driver.async_turn(desk.base_url, conversation, replace(settings, stream=stream))
    said = said_by(story, SCENARIOS.stories[story].exchanges[0], provider)
    assert told(answer) == told_by(said)
    assert answer.stop == desk.driver.stops[stop_of(said)]


# ---- what is compared ------------------------------------------------------------------------------------------------


def opening(desk: Desk, story: str, provider: str) -> tuple[Settings, Native]:
    """The first turn of a story, ready to be asked."""
    settings = settings_of(story, provider, stream=False)
    return settings, desk.driver.say([], ask_of(SCENARIOS.stories[story].exchanges[0]), None)


def meaning(answer: Answer) -> Answer:
    """An answer without what may differ between two requests: the ids of calls, and a mock that counts the request."""
    calls = tuple(Call(call.name, call.arguments) for call in answer.calls)
    return replace(answer, calls=calls, history=(), usage=replace(answer.usage, input=None))
