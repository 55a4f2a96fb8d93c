"""Provider, replies and generators shared by the Ollama tests of the mock and of the client."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from crosswire.mockserver.protocols.ollama import PROTOCOL
from crosswire.mockserver.protocols.reply_context import ReplyContext
from crosswire.mockserver.scenarios.model import (
    Item,
    SayCall,
    SayStop,
    SayText,
    SayThink,
    Usage,
)
from crosswire.mockserver.scenarios.provider import Auth, Provider

Body = dict[str, Any]

OLLAMA = Provider(
    name="o",
    protocol="ollama",
    models={"m": "llama3.2"},
    capabilities=("text", "tools", "reasoning"),
    auth=Auth("authorization", "k"),
)

ITEMS = (
    SayThink(("Hm", "m."), sealed=True),
    SayText(("Hi", " <you> & 🙂")),
    SayCall("c1", "w", ('{"a":', "1}")),
    SayCall("c2", "w"),
)


def context(
    items: tuple[Item, ...] = ITEMS,
    *,
    stream: bool = True,
    stop: str = "tool",
    body: Body | None = None,
    provider: Provider = OLLAMA,
) -> ReplyContext:
    return ReplyContext(
        provider=provider,
        story="s",
        step=0,
        model="llama3.2",
        stream=stream,
        items=items,
        stop=SayStop(stop),
        usage=Usage(10, 9, 2, None, 4),
        path="/api/chat",
        body=body or {},
    )


# ---- a rendered reply to modify --------------------------------------------------------------------------------------

Lines = list[Any]


def lines() -> Lines:
    """Returns the lines of a streamed reply."""
    reply_context = context((SayThink(("Hm",)), SayText(("Hi", " you")), SayCall("c1", "w"), SayCall("c2", "w")))
    return [json.loads(line) for line in PROTOCOL.render_reply(reply_context).body.splitlines()]


def call(found: Lines, at: int = 3) -> Any:
    """Returns the tool call of a line."""
    return found[at]["message"]["tool_calls"][0]


# ---- arbitrary bodies ------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("model", "messages", "role", "content", "images", "thinking", "tool_calls", "function", "name", "arguments"),
        *("id", "index", "tools", "parameters", "options", "temperature", "num_predict", "stop", "format", "think"),
        *("stream", "done", "done_reason", "message", "created_at", "eval_count", "error", "tool_name"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "user", "assistant", "stop", "x", "é"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> Any:
    """Returns a valid body with one value anywhere in it replaced by an arbitrary one."""
    whole = copy.deepcopy(good)
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return whole
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 4)) == 0:
            place[key] = draw(VALUES)
            return whole
        place = place[key]
