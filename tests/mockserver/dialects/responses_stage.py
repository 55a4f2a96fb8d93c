"""A stage for OpenAI Responses without sockets: one provider, what it says, and what its strict client hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mockserver.dialects.contract import (
    Auth,
    Heard,
    HttpAsk,
    Provider,
    Scene,
    Spoken,
    counted,
)
from mockserver.dialects.openai_responses import DIALECT
from mockserver.frames import CONTENT_TYPES
from mockserver.speech import (
    Ask,
    Item,
    SayCall,
    SayStop,
    Text,
    Tool,
    calls_of,
)

Body = dict[str, Any]

PROVIDER = Provider(
    name="openai-responses",
    protocol="openai-responses",
    base_path="/v1",
    models={"gpt-5-mini": "gpt-5-mini"},
    auth=Auth("authorization", "test-key"),
)
HEADERS = {"authorization": "Bearer test-key"}
TOOLS = (Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}),)
FIRST = Ask(user=(Text("What is the weather in Oslo?"),), tools=TOOLS, reasoning="high", system=("Be brief.",))


def scene(items: Sequence[Item], *, stream: bool, body: Body | None = None, stop: str | None = None) -> Scene:
    return Scene(
        provider=PROVIDER,
        story="story",
        step=0,
        model="gpt-5-mini",
        stream=stream,
        items=tuple(items),
        stop=SayStop(stop or ("tool" if calls_of(items) else "end")),
        usage=counted(40, items),
        path="/responses",
        headers=HEADERS,
        body=body or {},
    )


def hear(spoken: Spoken, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    return DIALECT.hear(spoken.status, headers, spoken.body, stream=stream, asked=asked)


def exchange(items: Sequence[Item], *, stream: bool, ask: Ask = FIRST, stop: str | None = None) -> Heard:
    """What the client hears when it asks and the server says these items."""
    asked = DIALECT.ask([(ask, None)], model="gpt-5-mini", stream=stream, key="test-key")
    assert DIALECT.heed("/responses", asked.headers, asked.body, PROVIDER) is None
    return hear(DIALECT.say(scene(items, stream=stream, body=asked.body, stop=stop)), stream=stream, asked=asked)


SEAL = "sig:openai-responses:story:0.0"
CALLS = (SayCall("call_1", "weather", ('{"city":', '"Oslo"}')), SayCall("call_2", "weather", ('{"city":"Rom"}',)))

Spoil = Callable[[Body], Any]


def put(path: str, value: Any) -> Spoil:
    """Sets a value; numbers in the path are places in arrays."""

    def spoil(body: Body) -> None:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
        at: Any = body
        for step in steps:
            at = at[step]
        at[last] = value

    return spoil


def cut_off(path: str) -> Spoil:
    """Takes a value away."""

    def spoil(body: Body) -> None:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
        at: Any = body
        for step in steps:
            at = at[step]
        del at[last]

    return spoil
