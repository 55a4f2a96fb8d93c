"""The operator's endpoints: health, metrics, records, and explanations of routing."""

from __future__ import annotations

from hmac import compare_digest

from aiohttp import web

from ..endpoints.explain import explain
from ..errors import Malformed, failure
from ..gateway.gateway import Gateway
from ..ir import Failure
from ..protocols import DEFAULT
from ..wire import json_fields
from .requests import read_body
from .responses import json_response, to_aiohttp
from .state import GATEWAY

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def add_routes(router: web.UrlDispatcher) -> None:
    router.add_get("/livez", livez)
    router.add_get("/readyz", readyz)
    router.add_get("/metrics", metrics)
    router.add_get("/crosswire/requests/{id}", request_record)
    router.add_post("/admin/explain", explain_request)


async def livez(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    if gateway.draining:
        return web.Response(status=503, text="draining\n")
    # an older config serves as well as ever, so the proxy is ready; the body says what is wrong with the newest
    complaints = [
        f"the new config has errors, the previous one stays in use: {line}" for line in gateway.config_complaints
    ]
    return web.Response(text="\n".join(["ready", *complaints, ""]))


async def metrics(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    return web.Response(body=gateway.render_metrics(), headers={"content-type": gateway.metrics.content_type})


async def request_record(request: web.Request) -> web.Response:
    """The record of one request; for loopback or an admin, as it shows the plan."""
    gateway = request.app[GATEWAY]
    record = gateway.records.get(request.match_info["id"]) if is_admin(request, gateway) else None
    if record is None:
        return to_aiohttp(gateway.reject(DEFAULT, failure("not_found", "No record of this request.")))
    return json_response(record.rendered())


async def explain_request(request: web.Request) -> web.Response:
    """Explains how a request would be routed, without sending it; for loopback or an admin."""
    gateway = request.app[GATEWAY]
    if not is_admin(request, gateway):
        return to_aiohttp(gateway.reject(DEFAULT, failure("not_found", "No such path for this caller.")))
    body = await read_body(request)
    if isinstance(body, Failure):
        return to_aiohttp(gateway.reject(DEFAULT, body))
    try:
        down = gateway.breakers.open_reasons(gateway.now())
        return json_response(explain(gateway.config, json_fields.parse_object(body), down))
    except Malformed as fault:
        error = failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)
    except RecursionError:
        error = failure("bad_request", "Invalid request: nested too deeply.")
    return to_aiohttp(gateway.reject(DEFAULT, error))


def is_admin(request: web.Request, gateway: Gateway) -> bool:
    """Whether the caller may see records: it is on loopback, or has the config's admin key."""
    if request.remote in LOOPBACK:
        return True
    key = gateway.config.settings.admin_key
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return key is not None and compare_digest(given.encode(errors="surrogateescape"), key.encode())
