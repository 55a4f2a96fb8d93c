"""Stored responses and compaction: relayed to backends of the client's own protocol, which alone have them.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from .. import headers
from ..backends.backend import Backend
from ..errors import ClientError, Refused, failure
from ..gateway.context import HttpResponse
from ..gateway.endpoint_handler import EndpointHandler, UpstreamCall
from ..gateway.protocol_choice import protocols_of
from ..gateway.relay import Relay
from ..protocols.protocol import StoredState, UpstreamTarget
from ..wire import json_fields

REFERENCE = "item_reference"
"""The type of an item that stands for one of a stored response."""

QUERY_FIELDS = ("include", "include[]", "include_obfuscation", "limit", "order", "after", "before", "starting_after")
"""The query fields that are forwarded; a credential among the others is not."""


async def compact(handler: EndpointHandler) -> HttpResponse:
    """A conversation made shorter by its provider. https://platform.openai.com/docs/api-reference/responses/compact"""
    client = handler.request
    model, state = await handler.decode(_model_and_state)

    def build(backend: Backend, target: UpstreamTarget) -> UpstreamCall[bytes] | str:
        if backend.config.protocol != client.frontend.name:
            return "has no such address"
        body = Relay(client.frontend, model, target.model).request(client.body)
        return UpstreamCall(_checked, "/responses/compact", body, relayed=True)

    try:
        return handler.respond(await handler.call(model, frozenset(("text",)), build, state))
    except Refused as fault:
        if fault.failure.kind != "loss":
            raise
        text = "Only a backend of OpenAI Responses compacts, and none here serves this model; compact it by a request."
        raise Refused(failure("not_found", text, param="model")) from None


async def stored(handler: EndpointHandler) -> HttpResponse:
    """Reads, lists the input of, cancels or deletes a response in a provider's store.

    The backend that made the id is asked if this process relayed the answer lately; else each backend in the order of
    priority until one knows it. The header that pins a backend asks that one alone.
    """
    client, plan = handler.request, handler.plan
    if client.fields().get("stream") == "true":
        text = "A stored response is not streamed here; leave stream out, and ask again until its status is final."
        raise ClientError(failure("bad_request", text, param="stream"))
    names = [
        each.name
        for each in plan.ordered
        if each.missing_key is None and any(spoken.protocol == client.frontend.name for spoken in protocols_of(each))
    ]
    pin = client.headers.get(headers.BACKEND)
    if pin is not None and plan.pins:
        if pin not in names:
            raise Refused(failure("not_found", f"The pinned backend {pin[:200]!r} keeps no responses; pin another."))
        names = [pin]
    if not names:
        text = "No backend here keeps responses: only those of OpenAI Responses do. Send the conversation itself."
        raise Refused(failure("not_found", text))
    path = f"/responses/{quote(client.url.model or '', safe='')}"
    if client.url.method:
        path += f"/{client.url.method}"
    if query := urlencode([(key, value) for key, value in client.query if key in QUERY_FIELDS]):
        path += f"?{query}"
    body = b"" if client.method == "POST" else None
    return handler.respond(
        await handler.look_up(
            client.url.model or "", names, UpstreamCall(_checked, path, body, client.method, relayed=True)
        )
    )


def _model_and_state(body: dict[str, Any]) -> tuple[str, StoredState | None]:
    """The model, and the stored response that the conversation goes on with."""
    model = json_fields.need(body, "model", str)
    previous, given = body.get("previous_response_id"), body.get("input")
    items = given if type(given) is list else []
    found: list[tuple[str, str | None]] = [("previous_response_id", previous)] if type(previous) is str else []
    if any(type(item) is dict and item.get("type") == REFERENCE for item in items):
        found.append((REFERENCE, None))
    if not found:
        return model, None
    return model, StoredState(found[0][0], (previous,) if type(previous) is str else (), tuple(found))


def _checked(raw: bytes) -> bytes:
    """The answer's own bytes; raises Malformed where they are no JSON object."""
    json_fields.parse_object(raw)
    return raw
