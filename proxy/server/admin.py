"""The operator's endpoints: health, metrics, records, and explanations of routing."""

from __future__ import annotations

from aiohttp import web

from ..backends.backend import LoadedBackend
from ..endpoints.explain import explain
from ..errors import Malformed, failure
from ..headers import SERVER
from ..ir import Failure
from ..protocols import DEFAULT
from ..wire import json_fields
from .access import HEALTH, content_type_failure, host_failure, operator_failure
from .requests import read_body
from .responses import json_response, to_aiohttp
from .state import GATEWAY


def add_routes(router: web.UrlDispatcher) -> None:
    router.add_get("/livez", livez)
    router.add_get("/readyz", readyz)
    for path in HEALTH:
        router.add_get(path, health)
    router.add_get("/metrics", metrics)
    router.add_get("/crosswire/requests/{id}", request_record)
    router.add_post("/admin/explain", explain_request)


async def livez(request: web.Request) -> web.Response:
    return web.Response(text="ok\n", headers=SERVER)


async def health(request: web.Request) -> web.Response:
    """The answer that monitors and containers look for: 200 while requests are taken, 503 while the proxy stops.

    The operator is told too which backends could not be asked for their models, and why.
    """
    gateway = request.app[GATEWAY]
    said: dict[str, object] = {"status": "draining" if gateway.draining else "ok"}
    unknown = gateway.model_lists.complaints
    may_know = host_failure(request, gateway.config.settings.hosts, exempt=()) or operator_failure(request, gateway)
    if unknown and may_know is None:
        said["models_not_known"] = dict(unknown)
    return web.json_response(said, status=503 if gateway.draining else 200, headers=SERVER)


async def readyz(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    if gateway.draining:
        return web.Response(status=503, text="draining\n", headers=SERVER)
    # what was loaded last serves as well as ever, so the proxy is ready; the body says what is wrong with the newest
    complaints = [
        f"the new config has errors, the previous one stays in use: {line}" for line in gateway.config_complaints
    ]
    if gateway.store_complaint is not None:
        complaints.append(f"{gateway.store_complaint}; what was read from it before serves on")
    if gateway.peers is not None:
        complaints += gateway.peers.complaints
    if (unanswered := gateway.limits.complaint) is not None:
        complaints.append(unanswered)
    fault = host_failure(request, gateway.config.settings.hosts, exempt=()) or operator_failure(request, gateway)
    loaded = [(name, backend) for name, backend in gateway.backends.items() if isinstance(backend, LoadedBackend)]
    models = [f"{name}: {backend.state}" for name, backend in loaded]
    if fault is not None:  # the names of files are for the operator
        models = []
        complaints = ["not all that is configured serves; the log says why"] if complaints else []
    return web.Response(text="\n".join(["ready", *complaints, *models, ""]), headers=SERVER)


async def metrics(request: web.Request) -> web.Response:
    """The metrics, for the operator."""
    gateway = request.app[GATEWAY]
    if (denied := operator_failure(request, gateway)) is not None:
        return to_aiohttp(gateway.reject(DEFAULT, denied))
    if gateway.peers is None:
        body = gateway.render_metrics()
    else:
        body = await gateway.peers.metrics(request.query.get("worker"))
    return web.Response(body=body, headers={**SERVER, "content-type": gateway.metrics.content_type})


async def request_record(request: web.Request) -> web.Response:
    """The record of one request, for the operator, as it shows the plan; a client sees those of its own requests."""
    gateway = request.app[GATEWAY]
    client = None
    if (denied := operator_failure(request, gateway)) is not None:
        if gateway.config.clients is None:
            return to_aiohttp(gateway.reject(DEFAULT, denied))
        found = gateway.config.clients.identify(request.headers, request.query, gateway.clock())
        if isinstance(found, Failure):
            return to_aiohttp(gateway.reject(DEFAULT, denied))
        client = found.name
    id_ = request.match_info["id"]
    record = gateway.records.get(id_)
    shown = None if record is None else (record.client, record.rendered())
    if shown is None and gateway.peers is not None:
        shown = await gateway.peers.record(id_)
    if shown is None or (client is not None and shown[0] != client):
        return to_aiohttp(gateway.reject(DEFAULT, failure("not_found", "No record of this request.")))
    return json_response(shown[1])


async def explain_request(request: web.Request) -> web.Response:
    """Explains how a request would be routed, without sending it; for the operator."""
    gateway = request.app[GATEWAY]
    if (denied := operator_failure(request, gateway)) is not None:
        return to_aiohttp(gateway.reject(DEFAULT, denied))
    body = content_type_failure(request, DEFAULT) or await read_body(request)
    if isinstance(body, Failure):
        return to_aiohttp(gateway.reject(DEFAULT, body))
    try:
        down = gateway.breakers.open_reasons(gateway.now())
        return json_response(explain(gateway.config, json_fields.parse_object(body), down, gateway))
    except Malformed as fault:
        error = failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)
    except RecursionError:
        error = failure("bad_request", "Invalid request: nested too deeply.")
    return to_aiohttp(gateway.reject(DEFAULT, error))
