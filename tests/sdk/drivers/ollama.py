"""Drives the `ollama` SDK.

https://github.com/ollama/ollama-python
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ollama

from .driver import CLIENT_KEY, Answer, Call, Conversation, Driver, SdkError, Settings, Usage, UserTurn
from .recording import HttpxRecorder, Recording
from .validator import strict_validator

STOPS = {"end": "stop", "tool": "stop", "length": "length"}

EXTRA_KEYS = frozenset(
    {
        "message.tool_calls[].id",  # https://github.com/ollama/ollama/blob/main/api/types.go
        "message.tool_calls[].function.index",
        "prompt_eval_cached_count",  # https://github.com/ollama/ollama/pull/17943
    }
)
"""Keys that Ollama sends although the SDK's types lack them."""

HEADERS = {"authorization": f"Bearer {CLIENT_KEY}"}
"""The SDK would otherwise use a key of the environment."""


# This SDK generates the declarations from Python functions and their docstrings.


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


# ---- requests --------------------------------------------------------------------------------------------------------


def client(base_url: str, recording: Recording) -> ollama.Client:
    return ollama.Client(base_url, headers=HEADERS, transport=HttpxRecorder(recording))


def add_turn(conversation: Conversation, new: UserTurn, before: Answer | None) -> Conversation:
    if new.text is not None:
        return [*conversation, ollama.Message(role="user", content=new.text)]
    assert before is not None
    return [
        *conversation,
        *(
            ollama.Message(role="tool", tool_name=call.name, content=output.text)
            for call, output in zip(before.calls, new.outputs, strict=True)
        ),
    ]


def send(sdk: ollama.Client, conversation: Conversation, settings: Settings) -> Answer:
    if not settings.stream:
        return _parse_reply(sdk.chat(**_arguments(conversation, settings)))
    return _join_stream(list(sdk.chat(**_arguments(conversation, settings), stream=True)))


def send_with_helper(sdk: ollama.Client, conversation: Conversation, settings: Settings) -> Answer:
    """The SDK has no helper: its README joins the parts by hand, as `send` does."""
    return send(sdk, conversation, Settings(settings.model, True, settings.system, settings.tools, settings.max_tokens))


async def send_async(base_url: str, conversation: Conversation, settings: Settings) -> Answer:
    async with ollama.AsyncClient(base_url, headers=HEADERS) as sdk:
        if not settings.stream:
            return _parse_reply(await sdk.chat(**_arguments(conversation, settings)))
        parts = await sdk.chat(**_arguments(conversation, settings), stream=True)
        return _join_stream([part async for part in parts])


def _arguments(conversation: Conversation, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "messages": conversation}
    if settings.system is not None:
        arguments["messages"] = [ollama.Message(role="system", content=settings.system), *conversation]
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["options"] = ollama.Options(num_predict=settings.max_tokens)
    return arguments


# ---- answers ---------------------------------------------------------------------------------------------------------


def _parse_reply(response: ollama.ChatResponse) -> Answer:
    return _join_stream([response])


def _join_stream(parts: Sequence[ollama.ChatResponse]) -> Answer:
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


# ---- validation ------------------------------------------------------------------------------------------------------

REPLY = EVENT = strict_validator(ollama.ChatResponse, EXTRA_KEYS)


def parse_error(error: Exception) -> SdkError:
    assert isinstance(error, ollama.ResponseError)
    return SdkError(type(error).__name__, error.error, error.status_code)


DRIVER = Driver(
    name="ollama",
    stop_reasons=STOPS,
    features=frozenset(),
    reports_cached=False,
    client=client,
    add_turn=add_turn,
    send=send,
    send_with_helper=send_with_helper,
    send_async=send_async,
    errors=ollama.ResponseError,
    parse_error=parse_error,
    validate_reply=REPLY,
    validate_event=EVENT,
    ndjson=True,
)
