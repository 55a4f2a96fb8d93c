"""Decides whose requests are taken: by the host that they name, by the page that sent them, and by the operator's key.

Every page that a browser on this machine shows can send requests to a proxy on loopback. It cannot read the answers of
another origin, unless its own name is made to resolve to loopback (DNS rebinding), which the `Host` header gives away.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from hmac import compare_digest

from aiohttp import HttpVersion11, web

from .. import headers
from ..config.urls import is_loopback, plain_address
from ..errors import failure
from ..gateway.gateway import Gateway
from ..ir import Failure
from ..protocols import detect_client_protocol, protocol_of_path
from ..protocols.protocol import Protocol
from .responses import to_aiohttp
from .state import CLIENT, GATEWAY

HEALTH = ("/health", "/healthz")

PROBES = ("/livez", "/readyz", *HEALTH)
"""Paths that any host may be named for: load balancers and orchestrators name the machine as they like."""

OPEN_PATHS = (*PROBES, "/metrics", "/admin/", "/crosswire/", "/ui")
"""Beginnings of paths that need no client's key: those of probes, and those of the operator, who has another."""

NO_QUERY: Mapping[str, str] = {}

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing and spend nothing."""

OWN_SITES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site` for a page of this proxy, and for what the user typed.

https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
"""

LOOPBACK_PEERS = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

FORWARDING_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers by which a reverse proxy says that the caller is somebody else."""

UNTYPED = ("application/x-www-form-urlencoded", "application/octet-stream")
"""Content types that nobody chose: of `curl -d` without a header, and of bytes sent with aiohttp."""

PREFLIGHT_S = 600
"""Seconds for which a browser may remember the answer to a preflight."""

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_TOKENS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")

_EXPOSED = ", ".join((headers.REQUEST_ID, headers.ESTIMATE, headers.SHOULD_RETRY, "retry-after", *headers.ROUTING))
"""The response headers that a page of a listed origin may read."""


@web.middleware
async def check_access(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Runs the handler, unless the request names an unknown host or comes from a page that may not send it."""
    gateway = request.app[GATEWAY]
    fault = host_failure(request, gateway.config.settings.hosts) or page_failure(request, gateway)
    if fault is not None:
        protocol = protocol_of_path(request.path) or detect_client_protocol(request.headers, request.query)
        return to_aiohttp(gateway.reject(protocol, fault))
    if request.method == "OPTIONS" and _is_preflight(request, gateway):
        return _preflight_answer(request)
    if gateway.config.clients is not None and not request.path.startswith(OPEN_PATHS):
        query = request.query if request.query_string else NO_QUERY
        found = gateway.config.clients.identify(request.headers, query, gateway.clock())
        if isinstance(found, Failure):
            protocol = protocol_of_path(request.path) or detect_client_protocol(request.headers, request.query)
            return to_aiohttp(gateway.reject(protocol, found))
        request[CLIENT] = found
    return await handler(request)


# ---- hosts -----------------------------------------------------------------------------------------------------------


def host_failure(request: web.Request, hosts: frozenset[str], exempt: tuple[str, ...] = PROBES) -> Failure | None:
    """Checks that `Host` is loopback, the socket's own address, or one of `hosts`; on an exempt path it may be any."""
    fields = request.headers.getall("host", ())
    if len(fields) == 1 and is_known_host(fields[0], hosts):
        return None
    # "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
    # header field and to any request message that contains more than one Host header field line"
    # https://www.rfc-editor.org/rfc/rfc9112#section-3.2
    if len(fields) > 1 or (not fields and request.version >= HttpVersion11):
        return failure("bad_request", "The request must have exactly one Host header.")
    if not fields or request.path in exempt:
        return None
    host = _host_in(fields[0])
    if host is None:
        return failure("bad_request", "The Host header is no host name.")
    if plain_address(host) is not None and plain_address(host) == _own_address(request):
        return None
    shown = f"'{host}'" if ":" in host else host
    text = f"This proxy is not known as {host}; to allow it, add this line to the config: hosts: [{shown}]"
    return failure("misdirected", text)


@lru_cache(maxsize=256)
def is_known_host(field: str, hosts: frozenset[str]) -> bool:
    """Returns whether a Host header names loopback or one of `hosts`."""
    host = _host_in(field)
    return host is not None and (is_loopback(host) or host in hosts)


def _host_in(field: str) -> str | None:
    """Returns the host of a Host header in lower case, without its port, brackets and final dot."""
    match = _HOST.fullmatch(field) if len(field) <= 300 else None
    return None if match is None else match[1].strip("[]").lower().removesuffix(".")


def _own_address(request: web.Request) -> str | None:
    """Returns the address that the connection came in at."""
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    return plain_address(str(name[0])) if isinstance(name, tuple) else None


# ---- pages of browsers -----------------------------------------------------------------------------------------------


def page_failure(request: web.Request, gateway: Gateway) -> Failure | None:
    """Checks that a request which acts, or asks for an upgrade, was not sent by a page of another origin."""
    fields = request.headers
    if request.method in SAFE_METHODS and "upgrade" not in fields:
        return None
    origin, site = fields.get("origin"), fields.get("sec-fetch-site")
    if origin is None and site is None:
        return None
    if origin is not None and origin in gateway.config.settings.cors.origins:
        return None
    host = "" if origin is None else origin.partition("://")[2].lower()  # none in "null"
    is_own = origin is None or (host != "" and host == fields.get("host", "").lower())
    if is_own and (site is None or site in OWN_SITES):
        return None
    if origin is None:
        text = "A page of another site may not send this request (sec-fetch-site)."
    else:
        shown = headers.printable(origin)
        text = f"Pages of {shown} may not send this request; the config's cors.origins lists those that may."
    return failure("permission", text, code="cross_origin")


def _is_preflight(request: web.Request, gateway: Gateway) -> bool:
    fields = request.headers
    return "access-control-request-method" in fields and fields.get("origin") in gateway.config.settings.cors.origins


def _preflight_answer(request: web.Request) -> web.Response:
    """Answers a preflight of a listed origin; `add_cors_headers` adds the origin.

    https://fetch.spec.whatwg.org/#cors-preflight-request
    """
    asked = request.headers.get("access-control-request-headers", "")
    fields = {"access-control-allow-methods": "GET, HEAD, POST, DELETE", "access-control-max-age": str(PREFLIGHT_S)}
    if _TOKENS.fullmatch(asked):
        fields["access-control-allow-headers"] = asked
    if request.headers.get("access-control-request-private-network") == "true":
        fields["access-control-allow-private-network"] = "true"
    return web.Response(status=204, headers=fields | headers.SERVER)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Lets a page of a listed origin read the response, whether it is whole or a stream."""
    origins = request.app[GATEWAY].config.settings.cors.origins
    if not origins:
        return
    response.headers["vary"] = "origin"
    if (origin := request.headers.get("origin")) in origins and origin is not None:
        response.headers["access-control-allow-origin"] = origin
        response.headers["access-control-expose-headers"] = _EXPOSED


# ---- content types ---------------------------------------------------------------------------------------------------


def content_type_failure(request: web.Request, protocol: Protocol) -> Failure | None:
    """Checks that a body is JSON; a request without a body needs no content type.

    A page can send a form, a text, or a body without a type to another origin without a preflight, so only a caller
    that is no browser may, and only where the protocol's own server never looks at the type.
    """
    kind = request.content_type
    if kind == "application/json" or kind.endswith("+json") or not request.body_exists:
        return None
    fields = request.headers
    given = fields.get("content-type")
    # aiohttp calls what it cannot read application/octet-stream too
    is_untyped = given is None or given.partition(";")[0].strip().lower() in UNTYPED
    if protocol.takes_untyped and is_untyped and "origin" not in fields and "sec-fetch-site" not in fields:
        return None
    return failure("media_type", f"The content-type must be application/json, is {(given or 'none')[:100]}.")


# ---- the operator ----------------------------------------------------------------------------------------------------


def operator_failure(request: web.Request, gateway: Gateway) -> Failure | None:
    """Checks that the caller is the operator: by the `admin_key` if there is one, else by calling from this machine.

    Once there are clients, programs of this machine are clients too, and only the key tells the operator from them.
    """
    key = gateway.config.settings.admin_key
    if key is None and gateway.config.clients is not None:
        text = "Only the operator may do that; set admin_key in the config, and send it as a bearer token."
        return failure("permission", text)
    if key is None:
        if _is_direct(request, gateway.config.settings.cors.origins):
            return None
        text = "Only a program on this machine may do that; set admin_key in the config, and send it as a bearer token."
        return failure("permission", text)
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if compare_digest(given.encode(errors="surrogateescape"), key.encode()):
        return None
    return failure("authentication", "This needs the config's admin_key as a bearer token in `authorization`.")


def _is_direct(request: web.Request, origins: frozenset[str]) -> bool:
    """Returns whether the caller is a program on this machine: no reverse proxy that speaks for others, and no page.

    A page of one of these `origins` may send chats, and is no operator.

    nginx as it is shipped names nobody, but it speaks HTTP/1.0, which no operator's tool does.
    """
    return (
        request.remote in LOOPBACK_PEERS
        and request.version >= HttpVersion11
        and not any(name in request.headers for name in FORWARDING_HEADERS)
        and request.headers.get("origin") not in origins
        and request.headers.get("sec-fetch-site", "none") in OWN_SITES
    )
