"""The `ollama` SDK. It knows nothing of the server that answers.

https://github.com/ollama/ollama-python
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ollama

from .driver import CLIENT_KEY, Answer, Ask, Call, Driver, Failed, Native, Settings, Usage
from .judge import judge
from .tape import OldRecorder, Tape

STOPS = {"end": "stop", "tool": "stop", "length": "length"}

BEYOND = frozenset(
    {
        "message.tool_calls[].id",  # https://github.com/ollama/ollama/blob/main/api/types.go
        "message.tool_calls[].function.index",
        "prompt_eval_cached_count",  # https://github.com/ollama/ollama/pull/17943
    }
)
"""What the server says though the SDK's types have no field for it."""

HEADERS = {"authorization": f"Bearer {CLIENT_KEY}"}
"""The SDK takes a key from the environment where it is given none."""


# This SDK draws the declarations from Python functions and their docstrings.


def search(query: str) -> str:
    """
    Search the web.

    Args:
      query: What to look for.
    """
    return query


def weather(city: str) -> str:
    """
    The weather in a city.

    Args:
      city: Its name.
    """
    return city


def clock() -> str:
    """The time of day."""
    return ""


def lookup(who: str) -> str:
    """
    Look up a person.

    Args:
      who: The person's name.
    """
    return who


def ring(number: str) -> str:
    """
    Ring a number.

    Args:
      number: What to dial.
    """
    return number


TOOLS: dict[str, Callable[..., str]] = {
    "search": search,
    "weather": weather,
    "clock": clock,
    "lookup": lookup,
    "ring": ring,
}


# ---- asking ----------------------------------------------------------------------------------------------------------


def client(base_url: str, tape: Tape) -> ollama.Client:
    return ollama.Client(base_url, headers=HEADERS, transport=OldRecorder(tape))


def say(conversation: Native, ask: Ask, before: Answer | None) -> Native:
    if ask.words is not None:
        return [*conversation, ollama.Message(role="user", content=ask.words)]
    assert before is not None
    return [
        *conversation,
        *(
            ollama.Message(role="tool", tool_name=call.name, content=output.text)
            for call, output in zip(before.calls, ask.outputs, strict=True)
        ),
    ]


def turn(sdk: ollama.Client, conversation: Native, settings: Settings) -> Answer:
    if not settings.stream:
        return _whole(sdk.chat(**_arguments(conversation, settings)))
    return _folded(list(sdk.chat(**_arguments(conversation, settings), stream=True)))


def helped(sdk: ollama.Client, conversation: Native, settings: Settings) -> Answer:
    """The SDK has nothing that puts a stream together: its README adds up the parts by hand, as `turn` does."""
    return turn(sdk, conversation, Settings(settings.model, True, settings.system, settings.tools, settings.max_tokens))


async def async_turn(base_url: str, conversation: Native, settings: Settings) -> Answer:
    async with ollama.AsyncClient(base_url, headers=HEADERS) as sdk:
        if not settings.stream:
            return _whole(await sdk.chat(**_arguments(conversation, settings)))
        parts = await sdk.chat(**_arguments(conversation, settings), stream=True)
        return _folded([part async for part in parts])


def _arguments(conversation: Native, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "messages": conversation}
    if settings.system is not None:
        arguments["messages"] = [ollama.Message(role="system", content=settings.system), *conversation]
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["options"] = ollama.Options(num_predict=settings.max_tokens)
    return arguments


# ---- understanding ---------------------------------------------------------------------------------------------------


def _whole(response: ollama.ChatResponse) -> Answer:
    return _folded([response])


def _folded(parts: Sequence[ollama.ChatResponse]) -> Answer:
    assert [part.done for part in parts] == [*[False] * (len(parts) - 1), True]
    text = "".join(part.message.content or "" for part in parts)
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    last = parts[-1]
    return Answer(
        text,
        tuple(Call(call.function.name, dict(call.function.arguments)) for call in calls),
        last.done_reason,
        Usage(last.prompt_eval_count, last.eval_count),
        last.model,
        (ollama.Message(role="assistant", content=text, tool_calls=calls or None),),
    )


# ---- judging ---------------------------------------------------------------------------------------------------------

REPLY = EVENT = judge(ollama.ChatResponse, BEYOND)


def failed(error: Exception) -> Failed:
    assert isinstance(error, ollama.ResponseError)
    return Failed(type(error).__name__, error.error, error.status_code)


DRIVER = Driver(
    name="ollama",
    stops=STOPS,
    says=frozenset(),
    says_cached=False,
    client=client,
    say=say,
    turn=turn,
    helped=helped,
    async_turn=async_turn,
    errors=ollama.ResponseError,
    failed=failed,
    judge_reply=REPLY,
    judge_event=EVENT,
    line_framed=True,
)
