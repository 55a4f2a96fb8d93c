"""Parses a reply, changes its content and renders it again, so that a fault changes the meaning and not the protocol.

The suite's client parses and the mock's server renders, so that one fault works in every protocol, unary and stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import unquote

from msgspec import Struct

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.conformance.harness.testbed import HttpResponse
from crosswire.mockserver.faults import Write, reply_actions
from crosswire.mockserver.framing import CONTENT_TYPES
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import Failure, ReplyContext
from crosswire.mockserver.scenarios.model import (
    Block,
    Content,
    Refusal,
    SayCall,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from crosswire.mockserver.scenarios.provider import Auth, Provider
from crosswire.mockserver.scenarios.story import Wire

from .fault_proxy import ChangeReply, FaultContext


class ReplyContent(Struct, frozen=True):
    """The content of a reply, ready to be changed."""

    items: tuple[Content, ...]
    stop: SayStop
    usage: Usage

    @property
    def calls(self) -> tuple[SayCall, ...]:
        return tuple(item for item in self.items if isinstance(item, SayCall))


PROVIDERS = {
    name: Provider(name="fault-proxy", protocol=name, auth=Auth("authorization", "none")) for name in MOCK_PROTOCOLS
}
"""The provider that renders a changed reply, by protocol."""

ChangeContent: TypeAlias = Callable[[ReplyContent], ReplyContent]


def reencoded(change: ChangeContent) -> ChangeReply:
    """Returns a fault that renders a complete reply with changed content; a failed one passes unchanged."""

    def change_reply(context: FaultContext, response: HttpResponse) -> HttpResponse:
        reply = parse_reply(context, response)
        if response.status != 200 or reply.error:
            return response
        return render_reply(context, change(content_of(reply)), response.headers)

    return change_reply


def parse_reply(context: FaultContext, response: HttpResponse) -> ParsedReply:
    """Parses the reply as the cell's client does."""
    client_request = context.client
    request = HttpRequest(client_request.method, client_request.path, client_request.headers, client_request.json())
    return CLIENTS[context.cell.frontend].parse_reply(
        response.status, response.headers, response.body, stream=context.cell.stream, request=request
    )


def content_of(reply: ParsedReply) -> ReplyContent:
    """Returns the content of a reply; without usage, one token each way."""
    items = tuple(map(_item, reply.blocks))
    return ReplyContent(items, SayStop(reply.stop or "end", reply.matched_stop), reply.usage or Usage(1, 1))


def render_reply(context: FaultContext, content: ReplyContent, headers: Mapping[str, str]) -> HttpResponse:
    """Renders a complete reply to the client's last request, in its protocol."""
    request, frontend = context.client, context.cell.frontend
    body = request.json()
    model = body.get("model") or unquote(request.path.partition("/models/")[2].rpartition(":")[0])
    rendered = MOCK_PROTOCOLS[frontend].render_reply(
        ReplyContext(
            provider=PROVIDERS[frontend],
            story=context.cell.story,
            step=0,
            model=model,
            stream=context.cell.stream,
            items=content.items,
            stop=content.stop,
            usage=content.usage,
            path=request.path.removeprefix("/v1"),
            headers=request.headers,
            body=body,
        )
    )
    data = b"".join(action.data for action in reply_actions(rendered, Wire()) if isinstance(action, Write))
    return HttpResponse(200, {**headers, "content-type": CONTENT_TYPES[rendered.framing]}, data, broken=False)


def render_failure(context: FaultContext, protocol: str, failure: Failure, headers: Mapping[str, str]) -> HttpResponse:
    """Renders an error in a protocol's shape, which need not be the client's."""
    rendered = MOCK_PROTOCOLS[protocol].render_error(failure, PROVIDERS[protocol])
    kept = {**headers, **rendered.headers, "content-type": CONTENT_TYPES[rendered.framing]}
    return HttpResponse(rendered.status, kept, rendered.body, broken=False)


def _item(block: Block) -> Content:
    match block:
        case Text(text):
            return SayText((text,))
        case Thinking(text, signature):
            return SayThink((text,), signature is not None)
        case Refusal(text):
            return SayRefusal((text,))
        case ToolCall(id_, name, arguments):
            return SayCall(id_, name, (arguments,))
        case _:
            raise TypeError(f"no answer of a model holds a {type(block).__name__}")
