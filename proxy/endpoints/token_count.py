"""Counts the tokens of a request: by a backend that can count, else by an estimate that is marked as one."""

from __future__ import annotations

from typing import Any

from ..backends.backend import Backend
from ..gateway.context import HttpResponse
from ..gateway.endpoint_handler import EndpointHandler, UpstreamCall
from ..gateway.relay import Relay
from ..ir import Request
from ..ir.capabilities import required_capabilities
from ..ir.token_estimate import estimate_request
from ..protocols import PROTOCOLS
from ..protocols.protocol import TokenCount, UpstreamTarget, UrlParams
from ..wire import json_fields


async def count_tokens(handler: EndpointHandler) -> HttpResponse:
    """The number of tokens of the request in the body, routed as the request itself would be."""
    client = handler.request
    format_ = client.frontend.token_count
    assert format_ is not None  # noqa: S101 - only protocols that count have this endpoint
    is_wrapped = False

    def decode(body: dict[str, Any]) -> Request:
        nonlocal is_wrapped
        inner = format_.unwrap(body)
        is_wrapped = inner is not body and format_.method is not None
        return client.frontend.decode_request(inner, UrlParams(client.url.model, format_.method))

    request = await handler.decode(decode)

    def build(backend: Backend, target: UpstreamTarget) -> UpstreamCall[tuple[int, bool]]:
        return _build_call(handler, request, backend, target, is_wrapped=is_wrapped)

    state = client.frontend.stored_state(request)
    count, is_estimate = await handler.call(request.model, required_capabilities(request), build, state)
    return handler.respond(json_fields.encode(format_.render(count)), is_estimate=is_estimate)


def _build_call(
    handler: EndpointHandler, request: Request, backend: Backend, target: UpstreamTarget, *, is_wrapped: bool
) -> UpstreamCall[tuple[int, bool]]:
    """Sends the client's own body to a backend of its protocol, else the request as that backend takes it.

    A backend that cannot count must be able to take the request all the same, or this would count what it refuses.
    """
    estimate = (estimate_request(request), True)
    config = backend.config
    protocol = PROTOCOLS.get(config.protocol)
    counter = protocol.token_count if protocol is not None else None
    relay = Relay.between(handler.request.frontend, request, handler.request.body, config, target)
    if counter is None:
        losses = () if relay is not None else backend.encode(request, target).losses
        return UpstreamCall(lambda _: estimate, losses=losses)
    path = counter.path(target.model)
    read = lambda raw: (_number(raw, counter), False)  # noqa: E731 - as an UpstreamCall takes it
    # the wrapped form names the model within
    if relay is not None and (not is_wrapped or request.model == target.model):
        body = relay.request(handler.request.body)
        return UpstreamCall(read, path, body, relayed=True, fallback=lambda: estimate)
    sent = backend.encode(request, target)
    body = json_fields.encode(counter.body(sent.payload, target.model))
    return UpstreamCall(read, path, body, losses=sent.losses, fallback=lambda: estimate)


def _number(raw: bytes, counter: TokenCount) -> int:
    return json_fields.need(json_fields.parse_object(raw), counter.key, int)
