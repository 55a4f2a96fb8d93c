"""OpenAI Responses without sockets: one provider, its rendered replies, and the client that parses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crosswire.conformance.client.openai_responses import CLIENT
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.framing import CONTENT_TYPES
from crosswire.mockserver.protocols.openai_responses import PROTOCOL
from crosswire.mockserver.protocols.reply_context import RenderedReply, ReplyContext, estimate_usage
from crosswire.mockserver.scenarios.model import Ask, Item, SayCall, SayStop, Text, Tool, calls_of
from crosswire.mockserver.scenarios.provider import Auth, Provider

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


def context(items: Sequence[Item], *, stream: bool, body: Body | None = None, stop: str | None = None) -> ReplyContext:
    return ReplyContext(
        provider=PROVIDER,
        story="story",
        step=0,
        model="gpt-5-mini",
        stream=stream,
        items=tuple(items),
        stop=SayStop(stop or ("tool" if calls_of(items) else "end")),
        usage=estimate_usage(40, items),
        path="/responses",
        headers=HEADERS,
        body=body or {},
    )


def parse_reply(rendered: RenderedReply, *, stream: bool, http_request: HttpRequest | None = None) -> ParsedReply:
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    return CLIENT.parse_reply(rendered.status, headers, rendered.body, stream=stream, request=http_request)


def exchange(items: Sequence[Item], *, stream: bool, ask: Ask = FIRST, stop: str | None = None) -> ParsedReply:
    """Sends a request, renders these items as the reply, and returns the reply as the client parses it."""
    http_request = CLIENT.build_request([(ask, None)], model="gpt-5-mini", stream=stream, key="test-key")
    assert PROTOCOL.validate_request("/responses", http_request.headers, http_request.body, PROVIDER) is None
    return parse_reply(
        PROTOCOL.render_reply(context(items, stream=stream, body=http_request.body, stop=stop)),
        stream=stream,
        http_request=http_request,
    )


SIGNATURE = "sig:openai-responses:story:0.0"
CALLS = (SayCall("call_1", "weather", ('{"city":', '"Oslo"}')), SayCall("call_2", "weather", ('{"city":"Rom"}',)))

Mutation = Callable[[Body], Any]
"""Changes a body in place."""


def put(path: str, value: Any) -> Mutation:
    """Returns a mutation that sets a value; numbers in the path are indices of arrays."""

    def mutate(body: Body) -> None:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
        at: Any = body
        for step in steps:
            at = at[step]
        at[last] = value

    return mutate


def remove(path: str) -> Mutation:
    """Returns a mutation that removes a value."""

    def mutate(body: Body) -> None:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
        at: Any = body
        for step in steps:
            at = at[step]
        del at[last]

    return mutate
