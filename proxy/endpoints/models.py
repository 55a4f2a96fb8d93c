"""Lists and shows the models that the plan serves, those that providers list among them; tells no URL."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from ..clients.client import Client, allows
from ..errors import ClientError, Malformed, Refused, failure
from ..gateway.context import HttpResponse
from ..gateway.endpoint_handler import EndpointRequest
from ..gateway.model_lists import offered_models
from ..protocols import DEFAULT
from ..protocols.protocol import ListedModel, ModelList
from ..routing import Plan, RoutingInput, decide, is_pattern
from ..wire import json_fields


def listed_models(plan: Plan, client: Client | None = None) -> tuple[ListedModel, ...]:
    """Every name that a rule of the plan has, a backend serves and `unlisted` does not hide, in the file's order; of
    a client those that it may use."""
    names = [model for backend in plan.backends for model in backend.models]
    names += [route.match for route in plan.sorted_routes if route.match in plan.by_exact]
    if plan.mode is not None:
        names += plan.modes[plan.mode].models
    names += plan.smart_by_name
    names += [alias for alias in plan.aliases if not is_pattern(alias)]
    shown = (name for name in dict.fromkeys(names) if not any(fnmatchcase(name, hidden) for hidden in plan.unlisted))
    found = [each for name in shown if (each := find_model(name, plan, client)) is not None]
    known = {each.name for each in found}
    for name, backend in offered_models(plan):
        if name in known or any(fnmatchcase(name, hidden) for hidden in plan.unlisted):
            continue
        each = find_model(name, plan, client)
        if each is not None and each.owner == backend:  # else the name would be answered by another one
            known.add(name)
            found.append(each)
    return tuple(found)


def find_model(name: str, plan: Plan, client: Client | None = None) -> ListedModel | None:
    """The model of this name if a backend serves it, listed or not: name families and prefixes have unlisted names."""
    if client is not None and not client.may_use_model(name):
        return None
    allowed = None if client is None else frozenset(b.name for b in plan.backends if allows(client.backends, b.name))
    chosen = decide(RoutingInput(name, frozenset(), allowed=allowed), plan).chosen
    return None if chosen is None else ListedModel(name, chosen.backend, plan.by_name[chosen.backend].capabilities)


def list_models(plan: Plan, request: EndpointRequest) -> dict[str, Any]:
    return _shapes(request).list_models(listed_models(plan, request.client), request.fields())


def show_model(plan: Plan, request: EndpointRequest) -> dict[str, Any]:
    """One model, by the name in the URL or in the body; raises Refused where no backend serves it."""
    name = request.url.model if request.url.model is not None else _named_in(_body_of(request))
    model = find_model(name, plan, request.client)
    if model is None:
        text = f"The model {name[:200]!r} is served by no backend; the list of models has those that are."
        raise Refused(failure("model_not_found", text, param="model"))
    return _shapes(request).show_model(model)


def running_models(plan: Plan, request: EndpointRequest) -> dict[str, Any]:
    return _shapes(request).running_models or {}


def pull_model(plan: Plan, request: EndpointRequest) -> HttpResponse:
    """Says that the model is there; raises Refused where no backend serves it, for the proxy downloads none."""
    pulled = _shapes(request).pull_model
    assert pulled is not None  # noqa: S101 - only protocols that pull models have this endpoint
    fields = _body_of(request)
    name = _named_in(fields)
    try:
        stream = json_fields.take(fields, "stream", bool, True)
    except Malformed as fault:
        raise _invalid(fault) from None
    if find_model(name, plan, request.client) is None:
        text = f"The model {name[:200]!r} is served by no backend, and the proxy downloads none; add it to the config."
        raise Refused(failure("model_not_found", text, param="model"))
    content_type, body = pulled(stream)
    return HttpResponse(200, {"content-type": content_type}, body)


def greeting(plan: Plan, request: EndpointRequest) -> HttpResponse:
    text = _shapes(request).greeting or ""
    return HttpResponse(200, {"content-type": "text/plain; charset=utf-8"}, text.encode())


def version(plan: Plan, request: EndpointRequest) -> dict[str, Any]:
    return _shapes(request).version or {}


def _shapes(request: EndpointRequest) -> ModelList:
    """The model list of the client's protocol, or the default protocol's where it has none."""
    shapes = request.frontend.model_list or DEFAULT.model_list
    assert shapes is not None  # noqa: S101 - the default protocol has lists
    return shapes


def _body_of(request: EndpointRequest) -> dict[str, Any]:
    try:
        return json_fields.parse_object(request.body)
    except Malformed as fault:
        raise _invalid(fault) from None


def _invalid(fault: Malformed) -> ClientError:
    return ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None))


def _named_in(fields: dict[str, Any]) -> str:
    """`model`, or `name` as older clients send it."""
    try:
        name = json_fields.take(fields, "model", str) or json_fields.take(fields, "name", str)
        if not name:
            raise Malformed("model", "is required and must be a string")
    except Malformed as fault:
        raise _invalid(fault) from None
    return name
