"""Provider, replies and generators shared by the Gemini tests of the mock and of the client."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from crosswire.mockserver.protocols.gemini import PROTOCOL
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

GEMINI = Provider(name="g", protocol="gemini", models={"m": "gemini-2.5-flash"}, auth=Auth("x-goog-api-key", "k"))

SSE_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
ARRAY_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
UNARY_PATH = "/v1/models/gemini-2.5-flash:generateContent"

SHOW = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}

ITEMS = (
    SayThink(("Hm", "m."), sealed=True),
    SayText(("Hi", " you")),
    SayCall("c1", "w", ('{"a":', "1}"), sealed=True),
    SayCall("c2", "w"),
)


def context(
    items: tuple[Item, ...] = ITEMS,
    *,
    path: str = SSE_PATH,
    stop: str = "tool",
    body: Body | None = None,
    provider: Provider = GEMINI,
    model: str = "gemini-2.5-flash",
    usage: Usage | None = None,
) -> ReplyContext:
    return ReplyContext(
        provider=provider,
        story="s",
        step=0,
        model=model,
        stream="stream" in path,
        items=items,
        stop=SayStop(stop),
        usage=usage or Usage(10, 9, 2, None, 4),
        path=path,
        body=SHOW if body is None else body,
    )


# ---- a rendered reply to modify --------------------------------------------------------------------------------------

Chunks = list[Any]


def chunks() -> Chunks:
    """Returns the responses of a streamed reply."""
    reply_context = context((SayText(("Hi", " you")), SayCall("c1", "w", ('{"a":1}',))), path=ARRAY_PATH)
    return list(json.loads(PROTOCOL.render_reply(reply_context).body))


def part(found: Chunks, at: int) -> Any:
    """Returns the first part of a chunk."""
    return found[at]["candidates"][0]["content"]["parts"][0]


# ---- arbitrary bodies ------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("contents", "parts", "role", "text", "functionCall", "functionResponse", "name", "args", "response", "id"),
        *("thought", "thoughtSignature", "inlineData", "tools", "functionDeclarations", "parameters", "properties"),
        *("toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "generationConfig", "temperature"),
        *("candidates", "content", "finishReason", "usageMetadata", "promptTokenCount", "totalTokenCount", "error"),
        *("code", "message", "status", "details", "partialArgs", "jsonPath", "willContinue", "promptFeedback"),
        *("system_instruction", "thinkingConfig", "stopSequences", "index", "modelVersion", "fileData"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "model", "user", "STOP", "$.a", "x"])
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
