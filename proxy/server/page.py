"""The operator's page at `/ui`: its files, its log-in, and its data as JSON; all but the log-in needs a session.

There is none without an `admin_key`. A session is a cookie that scripts cannot read and other sites cannot send; what
acts needs a second token too, which only the page itself can read.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from hashlib import sha384
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from .. import headers
from ..errors import Malformed, StoreError
from ..gateway.gateway import Gateway
from ..ir import Failure
from ..page.config_view import show_config
from ..page.session import COOKIE, LASTS_S, Sessions
from ..page.views import show_everywhere
from ..wire import json_fields
from .access import OWN_SITES
from .requests import read_body
from .state import GATEWAY

ROOT = "/ui/"
PAGE_TOKEN = "x-crosswire-page"  # noqa: S105 - the name of a header
TYPES = {"css": "text/css", "js": "text/javascript"}

FIELDS: Mapping[str, str] = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    **headers.SERVER,
}
"""Headers of every answer here."""

POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""The content security policy: only the page's own script and style, no inline ones, and requests to the proxy alone.

https://www.w3.org/TR/CSP3/
"""

SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
View: TypeAlias = Callable[[web.Request, Gateway], Awaitable[Any]]


def add_routes(app: web.Application) -> None:
    """Adds the page to the proxy; each request finds out whether there is an admin key now."""
    gateway = app[GATEWAY]
    app[SESSIONS] = Sessions(gateway.instance, gateway.clock, partial(_tell_sessions, gateway))
    router = app.router
    router.add_get(ROOT.rstrip("/"), _guarded(_redirect))
    router.add_get(ROOT, _guarded(_show_page))
    router.add_get(ROOT + "page.{kind:css|js}", _guarded(_show_file))
    router.add_post(ROOT + "login", _guarded(_log_in))
    router.add_post(ROOT + "logout", _guarded(_log_out))
    for path, view in VIEWS.items():
        router.add_get(ROOT + "api/" + path, _guarded(_viewer(view)))
    for path, view in ACTS.items():
        router.add_post(ROOT + "api/" + path, _guarded(_viewer(view, acts=True)))


def _tell_sessions(gateway: Gateway, what: str, value: str) -> None:
    if gateway.peers is not None:
        gateway.peers.tell_sessions(what, value)


def _guarded(handle: Handler) -> Handler:
    """The handler, for the page alone: not without an admin key, and not for a page of another origin."""

    async def guarded(request: web.Request) -> web.Response:
        if request.app[GATEWAY].config.settings.admin_key is None:
            return _error(404, "The page needs an admin_key in the config; whoever has it may see the page.")
        if request.headers.get("sec-fetch-site", "none") not in OWN_SITES and request.path != ROOT:
            return _error(403, "Another page may not use this one.")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
            return _error(403, "Another page may not use this one.")
        return await handle(request)

    return guarded


def _error(status: int, message: str, fields: Mapping[str, str] | None = None) -> web.Response:
    return _json({"error": message}, status, fields)


def _json(value: object, status: int = 200, fields: Mapping[str, str] | None = None) -> web.Response:
    body = json_fields.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers={**FIELDS, **(fields or {})})


# ---- files -----------------------------------------------------------------------------------------------------------


@cache
def _file(name: str) -> bytes:
    return files("crosswire.proxy.page").joinpath(name).read_bytes()


@cache
def _page() -> str:
    """The HTML with the hashes of its files, by which a browser takes no others.

    https://www.w3.org/TR/sri-2/
    """
    text = _file("page.html").decode()
    for kind in TYPES:
        digest = base64.b64encode(sha384(_file(f"page.{kind}")).digest()).decode()
        text = text.replace(f"{{{kind}_hash}}", f"sha384-{digest}")
    return text


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=308, headers={**FIELDS, "location": ROOT})


async def _show_page(request: web.Request) -> web.Response:
    nonce = secrets.token_urlsafe(18)
    return web.Response(
        text=_page().replace("{nonce}", nonce),
        content_type="text/html",
        charset="utf-8",
        headers={**FIELDS, "content-security-policy": POLICY.format(nonce=nonce)},
    )


async def _show_file(request: web.Request) -> web.Response:
    kind = request.match_info["kind"]
    return web.Response(body=_file(f"page.{kind}"), content_type=TYPES[kind], charset="utf-8", headers=FIELDS)


# ---- sessions --------------------------------------------------------------------------------------------------------


async def _log_in(request: web.Request) -> web.Response:
    if request.content_type != "application/json":
        return _error(415, "The content-type must be application/json.")
    gateway, sessions, address = request.app[GATEWAY], request.app[SESSIONS], request.remote or ""
    if (wait := sessions.wait_s(address)) > 0:
        return _error(429, "Too many wrong keys; wait a minute.", {"retry-after": str(int(wait) + 1)})
    body = await read_body(request)
    if isinstance(body, Failure):
        return _error(body.status, body.message)
    try:
        given = json_fields.need(json_fields.parse_object(body), "key", str)
    except Malformed as fault:
        return _error(400, f"{fault}.")
    admin_key = gateway.config.settings.admin_key or ""
    token = sessions.log_in(given, admin_key, address)
    if token is None:
        return _error(401, "This is not the admin_key of the config.")
    answer = _json({"token": sessions.page_token(token, admin_key)})
    is_secure = request.secure or request.headers.get("origin", "").startswith("https:")
    answer.set_cookie(
        COOKIE, token, path=ROOT, max_age=LASTS_S, httponly=True, samesite="Strict", secure=is_secure or None
    )
    return answer


async def _log_out(request: web.Request) -> web.Response:
    if (denied := _denied(request, acts=True)) is not None:
        return denied
    request.app[SESSIONS].end(request.cookies[COOKIE])
    answer = _json({})
    answer.del_cookie(COOKIE, path=ROOT)
    return answer


def _denied(request: web.Request, *, acts: bool) -> web.Response | None:
    """The refusal for a request without a session, or one that acts and was not made by the page."""
    sessions, admin_key = request.app[SESSIONS], request.app[GATEWAY].config.settings.admin_key or ""
    token = request.cookies.get(COOKIE, "")
    if not sessions.is_valid(token, admin_key):
        return _error(401, "Log in with the admin_key.")
    if acts and not sessions.is_page_token(request.headers.get(PAGE_TOKEN, ""), token, admin_key):
        return _error(403, "The request does not come from the page.")
    return None


# ---- data ------------------------------------------------------------------------------------------------------------


def _viewer(view: View, *, acts: bool = False) -> Handler:
    """The handler that answers with this data, for who has a session."""

    async def handle(request: web.Request) -> web.Response:
        if (denied := _denied(request, acts=acts)) is not None:
            return denied
        try:
            return _json(await view(request, request.app[GATEWAY]))
        except Malformed as fault:
            return _error(409, str(fault))
        except StoreError as fault:
            return _error(503, str(fault))
        except RecursionError:
            return _error(409, "The request is nested too deeply.")

    return handle


async def _session(request: web.Request, gateway: Gateway) -> dict[str, Any]:
    admin_key = gateway.config.settings.admin_key or ""
    return {"token": request.app[SESSIONS].page_token(request.cookies[COOKIE], admin_key)}


async def _config(request: web.Request, gateway: Gateway) -> dict[str, Any]:
    return show_config(gateway)


def _shown(path: str) -> View:
    """The function for what all workers know together."""

    async def show(request: web.Request, gateway: Gateway) -> Any:
        return await show_everywhere(gateway, path, request.match_info.get("id", ""), dict(request.query))

    return show


VIEWS: Mapping[str, View] = {
    "session": _session,
    **{path: _shown(path) for path in ("requests", "requests/{id}", "backends", "usage")},
    "config": _config,
}
"""Path of what is shown to its function."""

ACTS: Mapping[str, View] = {path: _shown(path) for path in ("requests/{id}/explain", "requests/{id}/story")}
"""Path of what is made on demand to its function."""
