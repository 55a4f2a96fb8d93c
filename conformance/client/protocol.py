"""The client side of a wire protocol: builds requests, parses replies strictly, and states the protocol's limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from crosswire.mockserver.scenarios.model import Block, Citation, Refusal, Text, Thinking, ToolCall, Usage

from .told_losses import ToldLosses


class HttpRequest(Struct, frozen=True):
    """A request that a client sends; `path` starts at the server's root and may have a query."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def bytes(self) -> bytes:
        """Returns the body as JSON."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


class ParsedError(Struct, frozen=True):
    """An error of a reply: `kind` is a coarse kind or `cut`; `status` is that of the body or of HTTP."""

    status: int
    kind: str
    message: str
    code: str | None = None
    native: Any = None


Logprob: TypeAlias = tuple[str, float, tuple[tuple[str, float], ...]]
"""A token, its log probability, and the likeliest tokens at its place with theirs."""


class ParsedReply(Struct, frozen=True, kw_only=True):
    """A reply in neutral terms, and a complaint for every rule of the protocol that it breaks.

    `echo` holds the native messages, contents or items that the client sends back as history. `events` are the parsed
    JSON values of a stream. `stop` is one of `STOPS` or `other`; `native_stop` is the value on the wire. `cites` are
    the citations of the text in order. `other_choices` counts the choices after the first, `logprobs` are the tokens
    with log probabilities. `told` are the losses that a proxy tells in it.
    """

    blocks: tuple[Block, ...] = ()
    cites: tuple[Citation, ...] = ()
    other_choices: int = 0
    logprobs: tuple[Logprob, ...] = ()
    stop: str | None = None
    matched_stop: str | None = None
    native_stop: str | None = None
    usage: Usage | None = None
    error: ParsedError | None = None
    model: str | None = None
    id: str | None = None
    echo: tuple[Any, ...] = ()
    events: tuple[Any, ...] = ()
    told: ToldLosses = ToldLosses()
    complaints: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Text))

    @property
    def thinking(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Thinking))

    @property
    def refusal(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Refusal))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(b for b in self.blocks if isinstance(b, ToolCall))

    @property
    def signatures(self) -> tuple[str, ...]:
        return tuple(b.signature for b in self.blocks if isinstance(b, Thinking | ToolCall) and b.signature is not None)


class ClientProtocol(Struct, frozen=True, kw_only=True):
    """One wire protocol on the client side, and what the protocol can express.

    - `build_request(conversation, model=, stream=, key=)`: the client's next request, history echoed as received.
    - `parse_reply(status, headers, body, stream=, request=)`: the reply as parsed by a strict client; never raises.
    - `tool_names`, `call_ids_like`: patterns of the tool names and call ids that are allowed in a request.
    - `custom_tools`, `namespaces`: the protocol has tools that take free text, and namespaces of tools.
    - `keeps_order`: a turn keeps the order of its texts, images and documents.
    - `usage_details`: the token counts that it reports besides the totals.
    - `merged_stops`: stop reason without a value of its own -> the one that is reported instead.
    - `call_ids`: calls have ids.
    - `citations`, `signatures`: replies have fields for sources of a text, and for signatures.
    """

    name: str
    build_request: Callable[..., HttpRequest]
    parse_reply: Callable[..., ParsedReply]
    merged_stops: dict[str, str] = {}
    call_ids: bool = True
    citations: bool = True
    signatures: bool = True
    call_ids_like: str = ".+"
    tool_names: str = ".+"
    custom_tools: bool = False
    namespaces: bool = False
    keeps_order: bool = True
    usage_details: frozenset[str] = frozenset({"cache_read", "cache_write", "reasoning"})
