"""The interface of an SDK driver, as a record of functions, and the types that all drivers share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from .recording import Recording
from .validator import Validator

CLIENT_KEY = "client-key-that-must-stay-here"
"""The key for every SDK; none may use one of the environment."""


class Call(Struct, frozen=True):
    """A tool call as the SDK's user sees it; `id` is None where the protocol has none."""

    name: str
    arguments: Any
    id: str | None = None


class Usage(Struct, frozen=True):
    """Token counts: `input` includes the `cached` ones; None where the SDK reports none."""

    input: int | None
    output: int | None
    cached: int | None = None


class Answer(Struct, frozen=True):
    """An SDK's answer to one turn.

    `stop` is the SDK's stop reason; `history` are the SDK's objects to append to the conversation.
    """

    text: str
    calls: tuple[Call, ...]
    stop: str | None
    usage: Usage
    model: str | None
    history: tuple[Any, ...] = ()


class ToolOutput(Struct, frozen=True):
    """The output of a tool."""

    text: str
    failed: bool = False


class UserTurn(Struct, frozen=True):
    """One turn of the user: a text, or the outputs of the latest calls, in order."""

    text: str | None = None
    outputs: tuple[ToolOutput, ...] = ()


class Settings(Struct, frozen=True):
    """The settings of a whole conversation; `tools` are names of the driver's declarations."""

    model: str
    stream: bool = False
    system: str | None = None
    tools: tuple[str, ...] = ()
    max_tokens: int | None = None


class SdkError(Struct, frozen=True):
    """An exception of an SDK: the name of its class, and its attributes."""

    kind: str
    message: str
    status: int | None = None
    retry_after: str | None = None
    code: str | None = None
    request_id: str | None = None


Conversation: TypeAlias = list[Any]
"""A conversation as the SDK's own objects."""


class Driver(Struct, frozen=True, kw_only=True):
    """One official SDK, speaking one protocol."""

    name: str
    """The frontend that it drives."""
    stop_reasons: Mapping[str, str]
    """Its stop reasons for `end`, `tool` and `length`."""
    features: frozenset[str]
    """Features of its requests that not every provider supports: `tool_strict`, `tool_error`."""
    reports_cached: bool = True
    """True if its types have a field for cached tokens."""
    client: Callable[[str, Recording], Any]
    """Makes a client for a base URL, without retries, whose responses are recorded."""
    add_turn: Callable[[Conversation, UserTurn, Answer | None], Conversation]
    """Returns the conversation with one more turn; the answer is the one with the calls, for their outputs."""
    send: Callable[[Any, Conversation, Settings], Answer]
    """Sends the conversation, unary or streaming, and joins a stream by hand."""
    send_with_helper: Callable[[Any, Conversation, Settings], Answer]
    """The same by the SDK's helper that joins a stream."""
    send_async: Callable[[str, Conversation, Settings], Awaitable[Answer]]
    """The same by an asynchronous client of the SDK for this base URL."""
    errors: type[Exception] | tuple[type[Exception], ...]
    """The exceptions that the SDK raises for errors of the server."""
    parse_error: Callable[[Exception], SdkError]
    validate_reply: Validator
    """Validates a body by the SDK's type."""
    validate_event: Validator
    """Validates one event of a stream."""
    ndjson: bool = False
    """True if a stream is JSON lines, not server-sent events."""
    done_marker: str | None = None
    """The event that is not JSON and ends a stream."""


def run_conversation(driver: Driver, client: Any, turns: tuple[UserTurn, ...], settings: Settings) -> list[Answer]:
    """Sends each turn with the history before it; returns the answers."""
    answers: list[Answer] = []
    conversation: Conversation = []
    for turn in turns:
        conversation = driver.add_turn(conversation, turn, answers[-1] if answers else None)
        answers.append(driver.send(client, conversation, settings))
        conversation = [*conversation, *answers[-1].history]
    return answers
