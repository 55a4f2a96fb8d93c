"""Types of a story file (exchanges of requests and replies), and protocol-neutral values derived from them."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from .model import Ask, Item, SayStop, SayUsage, Text, ToolCall, ToolResult, Usage, calls_of
from .provider import Provider

CAPABILITIES = (
    *("text", "tools", "tools.parallel", "vision", "documents", "audio"),
    *("reasoning", "reasoning.signed", "json_object", "json_schema", "embeddings"),
)
"""The values of `needs` and `capabilities`."""

STRICT_HEADER = "x-crosswire-strict"
"""Request header that turns every loss into an error."""

OWN_KEY = "own"
"""Placeholder in a story for the key that a backend accepts."""

EVERY_BACKEND = "*"
"""Key of a `say` that applies to every backend."""


WHOLE = "whole"
"""Value of `Wire.write`: everything in one write."""

FRAME = "frame"
"""Value of `Wire.write`: one frame per write."""


class Wire(Struct, frozen=True):
    """Wire settings of a reply: how it is cut into writes, line ends, comments between SSE frames.

    `write` is the number of bytes per write, `WHOLE` for one write up to the next pause or fault, or `FRAME`.
    """

    write: int | str = FRAME
    newline: str = "lf"
    comments: bool = False


class HearError(Struct, frozen=True):
    """The error that a client must receive; `says` maps a client protocol to a text that the message must contain."""

    status: int | None = None
    kind: str | None = None
    says: dict[str, str] = {}


class Hear(Struct, frozen=True):
    """The result that a client must receive, if `say` does not imply it; `after` is the text before the error."""

    error: HearError | None = None
    headers: dict[str, str] = {}
    after: str | None = None
    stop: str | None = None
    text: str | None = None
    calls: tuple[dict[str, Any], ...] | None = None


class Raw(Struct, frozen=True):
    """A literal reply: `body` (JSON or text), or `frames` (text is sent unchanged, JSON in the protocol's framing)."""

    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    frames: tuple[Any, ...] | None = None


class Decide(Struct, frozen=True):
    """The routing decision that a proxy must make, and its outcome.

    `tried` lists the attempts in order, each a backend and its model name; the last one succeeds unless an error is
    expected. `tier` is that of a smart model; `because` and `notes` are substrings of the texts of the decision.
    """

    mode: str
    tried: tuple[tuple[str, str], ...]
    tier: str | None = None
    because: str | None = None
    notes: tuple[str, ...] = ()


class Exchange(Struct, frozen=True):
    """One request and its reply; `say` maps a backend, a provider or `EVERY_BACKEND` to the items of the reply.

    `by` is a provider that replaces the default one: the client changes its model in mid-conversation.
    """

    ask: Ask
    say: dict[str, tuple[Item, ...]] = {}
    expect: dict[str, dict[str, Any]] = {}
    hear: Hear = Hear()
    raw: dict[str, Raw] = {}
    by: str | None = None
    decide: Decide | None = None

    def items_for(self, *names: str) -> tuple[Item, ...] | None:
        """Returns the reply items of the first name that has any, else those of `EVERY_BACKEND`, else None."""
        return next((self.say[name] for name in (*names, EVERY_BACKEND) if name in self.say), None)


class Story(Struct, frozen=True):
    """A scenario, independent of the provider. `lines` maps every path of its file to a line number.

    `clients` are the protocols that can express the request, `servers` those that can express the reply; an empty tuple
    means all. `across` restricts a story to pairs of different protocols: within one protocol the provider refuses the
    request, or no real client sends it. `refused` are the loss features for which a proxy must refuse the request if
    the provider cannot represent them. `models` maps a provider or a protocol to the model to
    request, if that is not the provider's first; a provider of that protocol without the model cannot play the story.
    `proxy` is the config of the proxy for this story, whose backends name the providers that simulate them.
    """

    name: str
    why: str
    source: str
    needs: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    only: str | None = None
    clients: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    across: bool = False
    refused: tuple[str, ...] = ()
    models: dict[str, str] = {}
    wire: Wire = Wire()
    proxy: dict[str, Any] | None = None
    file: str = ""
    lines: dict[str, int] = {}

    def model_for(self, provider: Provider) -> str | None:
        """Returns the model to request of a provider; None if the story needs one that the provider does not have."""
        wanted = self.models.get(provider.name, self.models.get(provider.protocol))
        if wanted is None:
            return next(iter(provider.models), "any-model")
        return wanted if wanted in provider.models else None

    @property
    def backends(self) -> dict[str, str]:
        """The backends of the story's `proxy`: name -> provider."""
        config = self.proxy or {}
        entries = {**config.get("backends", {}), **config.get("llm_custom_providers", {})}
        entries |= {"nearai": config["nearai"]} if "nearai" in config else {}
        return {name: entry["provider"] for name, entry in entries.items()}

    def keys(self, backend: str, own: str) -> tuple[str, ...]:
        """Returns the API keys that the story's proxy uses for a backend, in order; `own` is the accepted one."""
        given = (self.proxy or {}).get("backends", {}).get(backend, {}).get("api_key", (OWN_KEY,))
        return tuple(own if key == OWN_KEY else key for key in given)

    @property
    def is_strict(self) -> bool:
        """True if every loss must be an error; `refused` then lists the losses that can occur in some pair."""
        return any(exchange.ask.headers.get(STRICT_HEADER) == "1" for exchange in self.exchanges)

    def is_between(self, client: str, server: str) -> bool:
        """Returns whether the story applies to a pair of client and provider protocols."""
        expressible = (not self.clients or client in self.clients) and (not self.servers or server in self.servers)
        return expressible and not (self.across and client == server)


# ---- values derived from a story -------------------------------------------------------------------------------------


def new_texts(ask: Ask) -> tuple[str, ...]:
    """Returns the texts that an exchange adds to the history: those of its turns, user message and tool results.

    A result without a call is omitted: a gateway may drop it for a provider that refuses it.
    """
    turns = [block for turn in ask.turns for block in turn.blocks]
    texts = [block.text for block in (*turns, *ask.user) if isinstance(block, Text)]
    results = [block.text for result in answering_results(ask) for block in result.blocks if isinstance(block, Text)]
    return tuple(text for text in (*texts, *results) if text)


def answering_results(ask: Ask) -> tuple[ToolResult, ...]:
    """Returns the tool results of an exchange that answer a call of its own history or of the previous reply."""
    turns = [block for turn in ask.turns for block in turn.blocks]
    called = {block.id for block in turns if isinstance(block, ToolCall)}
    return (*(block for block in turns if isinstance(block, ToolResult) and block.id in called), *ask.results)


def opening_text(story: Story) -> str:
    """Returns the first user text, which identifies the story of a request."""
    ask = story.exchanges[0].ask
    blocks = [block for turn in ask.turns if turn.role == "user" for block in turn.blocks]
    return next((block.text for block in (*blocks, *ask.user) if isinstance(block, Text)), "")


def request_length(story: Story, step: int) -> int:
    """Returns the number of request characters up to and including a step, for estimating input tokens."""
    asks = [exchange.ask for exchange in story.exchanges[: step + 1]]
    settings = len("".join(asks[0].system)) + sum(
        len(tool.name) + len(json.dumps(tool.parameters)) for tool in asks[0].tools
    )
    return settings + sum(len(text) for ask in asks for text in new_texts(ask))


def split_items(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], SayStop, Usage | None]:
    """Splits items into content and faults in order, the stop reason (given or implied), and the usage if given."""
    rest = tuple(item for item in items if not isinstance(item, SayStop | SayUsage))
    implied = SayStop("tool" if calls_of(items) else "end")
    stop = next((item for item in items if isinstance(item, SayStop)), implied)
    return rest, stop, next((item.usage for item in items if isinstance(item, SayUsage)), None)
