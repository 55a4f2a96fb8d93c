"""Table of the non-chat endpoints: which addresses there are, whose protocol they have, and the function of each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

from msgspec import Struct

from ..errors import RequestError
from ..gateway.context import HttpResponse
from ..gateway.endpoint_handler import EndpointHandler, EndpointRequest
from ..gateway.gateway import Gateway
from ..protocols import PROTOCOLS
from ..protocols.protocol import Endpoint, Operation, Protocol, with_and_without_version
from ..routing import Plan
from ..wire import json_fields
from .embeddings import embed
from .models import greeting, list_models, pull_model, running_models, show_model, version
from .responses_store import compact, stored
from .token_count import count_tokens

PlanView: TypeAlias = Callable[[Plan, EndpointRequest], dict[str, Any] | HttpResponse]
"""Answers from the plan alone."""

EndpointFunction: TypeAlias = Callable[[EndpointHandler], Coroutine[Any, Any, HttpResponse]]
"""Answers by calling a backend."""

PLAN_VIEWS: dict[Operation, PlanView] = {
    "list_models": list_models,
    "show_model": show_model,
    "running_models": running_models,
    "pull_model": pull_model,
    "version": version,
    "greeting": greeting,
}

FUNCTIONS: dict[Operation, EndpointFunction] = {
    "count": count_tokens,
    "embeddings": embed,
    "compact": compact,
    "stored": stored,
}
"""The other operations; their names are also the records' `what`."""

SHARED = (
    Endpoint("GET", with_and_without_version("/models"), "list_models", has_body=False),
    Endpoint("GET", with_and_without_version("/models/{tail}"), "show_model", has_body=False),
)
"""Addresses that several protocols have: the client's protocol is told by what it sends."""


class EndpointRow(Struct, frozen=True):
    """An endpoint and its protocol; None where it is the client's, told by what it sends."""

    protocol: Protocol | None
    endpoint: Endpoint


def endpoints() -> Iterator[EndpointRow]:
    """Every endpoint with an address of its own."""
    yield from (EndpointRow(None, endpoint) for endpoint in SHARED)
    for protocol in PROTOCOLS.values():
        yield from (EndpointRow(protocol, endpoint) for endpoint in protocol.endpoints)


async def answer_endpoint(gateway: Gateway, endpoint: Endpoint, request: EndpointRequest) -> HttpResponse:
    """Runs the endpoint's function."""
    if endpoint.operation in FUNCTIONS:
        return await gateway.handle_endpoint(request, endpoint.operation, FUNCTIONS[endpoint.operation])
    if endpoint.operation == "list_models":
        await gateway.model_lists.wanted()
    try:
        found = PLAN_VIEWS[endpoint.operation](gateway.config.plan, request)
    except RequestError as fault:
        return gateway.reject(request.frontend, fault.failure)
    if isinstance(found, HttpResponse):
        return found
    return HttpResponse(200, {"content-type": "application/json"}, json_fields.encode(found))
