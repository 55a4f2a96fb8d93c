"""What every driver of an SDK can do, as a record of functions, and the nouns they share; it knows no SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from .judge import Judge
from .tape import Tape

CLIENT_KEY = "client-key-that-must-stay-here"
"""The key that every SDK is given; none may look for one in the environment."""


class Call(Struct, frozen=True):
    """A tool call as the SDK's user sees it; `id` is None where the protocol has none."""

    name: str
    arguments: Any
    id: str | None = None


class Usage(Struct, frozen=True):
    """Token counts with everything in them: `input` holds the `cached` ones too; None where nothing was said."""

    input: int | None
    output: int | None
    cached: int | None = None


class Answer(Struct, frozen=True):
    """What an SDK's user has in hand after one turn.

    `stop` is the SDK's own word; `history` what this user appends to the conversation, in the SDK's own idiom.
    """

    text: str
    calls: tuple[Call, ...]
    stop: str | None
    usage: Usage
    model: str | None
    history: tuple[Any, ...] = ()


class Output(Struct, frozen=True):
    """What a tool gave back."""

    text: str
    failed: bool = False


class Ask(Struct, frozen=True):
    """One turn of the user: words, or the outputs of the calls just made, in their order."""

    words: str | None = None
    outputs: tuple[Output, ...] = ()


class Settings(Struct, frozen=True):
    """What stands for a whole conversation; `tools` are names of the driver's own declarations."""

    model: str
    stream: bool = False
    system: str | None = None
    tools: tuple[str, ...] = ()
    max_tokens: int | None = None


class Failed(Struct, frozen=True):
    """An exception of an SDK, read as its user would: the class by name, and what it says of itself."""

    kind: str
    message: str
    status: int | None = None
    retry_after: str | None = None
    code: str | None = None
    request_id: str | None = None


Native: TypeAlias = list[Any]
"""A conversation in the SDK's own idiom."""


class Driver(Struct, frozen=True, kw_only=True):
    """One official SDK, speaking one protocol."""

    name: str
    """The frontend that it drives."""
    stops: Mapping[str, str]
    """Its word for each way to end: `end`, `tool`, `length`."""
    says: frozenset[str]
    """What its requests say that not every provider can be told: that a tool is strict, that it failed."""
    says_cached: bool = True
    """Whether its types have a place for cached tokens."""
    client: Callable[[str, Tape], Any]
    """A client for a base URL, without retries, whose responses go onto the tape."""
    say: Callable[[Native, Ask, Answer | None], Native]
    """The conversation with one more turn of the user; the answer is the one that made the calls."""
    turn: Callable[[Any, Native, Settings], Answer]
    """Ask, unary or streaming, and put the answer together by hand."""
    helped: Callable[[Any, Native, Settings], Answer]
    """The same through whatever the SDK offers to put a streamed answer together by itself."""
    async_turn: Callable[[str, Native, Settings], Awaitable[Answer]]
    """The same through the SDK's asynchronous client, made for this base URL and closed again."""
    errors: type[Exception] | tuple[type[Exception], ...]
    """What the SDK raises for what the server says."""
    failed: Callable[[Exception], Failed]
    judge_reply: Judge
    """Holds a whole body against the SDK's types."""
    judge_event: Judge
    """The same for one event of a stream."""
    line_framed: bool = False
    """Whether a stream is JSON lines, not server-sent events."""
    done: str | None = None
    """What an event says that is no JSON: the end of a stream."""


def converse(driver: Driver, client: Any, asks: tuple[Ask, ...], settings: Settings) -> list[Answer]:
    """A whole conversation: the answers to all asks, each sent with the history before it."""
    answers: list[Answer] = []
    conversation: Native = []
    for ask in asks:
        conversation = driver.say(conversation, ask, answers[-1] if answers else None)
        answers.append(driver.turn(client, conversation, settings))
        conversation = [*conversation, *answers[-1].history]
    return answers
