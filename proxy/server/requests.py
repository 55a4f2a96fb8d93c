"""Reads an HTTP request: its body, the parameters of its URL, its headers."""

from __future__ import annotations

from aiohttp import web

from ..errors import Malformed, failure
from ..gateway.forwarded_headers import read_names
from ..ir import Failure
from ..protocols.protocol import Protocol, UrlParams
from ..wire import json_fields
from .body import receive_body
from .state import GATEWAY

CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


async def read_body(request: web.Request) -> bytes | Failure:
    """The body's bytes, or the failure that is wrong with them before they are parsed as JSON."""
    if request.charset is not None and request.charset.lower() not in CHARSETS:
        return failure("bad_request", "The charset must be utf-8: JSON has no other.")
    body = await receive_body(request, request.app[GATEWAY].config.settings)
    if isinstance(body, Failure):
        return body
    return body or failure("bad_request", "The body is empty; it must be a JSON object.")


def chat_url(request: web.Request) -> UrlParams:
    """The URL of a chat: a model's name may hold slashes and colons, so its method is behind the last colon."""
    tail = request.match_info.get("tail")
    if tail is None:
        return UrlParams()
    model, _, method = tail.rpartition(":")
    return UrlParams(model, method, request.query.get("alt"))


def with_deployment(request: web.Request, body: bytes) -> bytes:
    """The body with the model that the URL names, if it names one; what is no object is left as it is."""
    deployment = request.match_info.get("deployment")
    if deployment is None:
        return body
    try:
        fields = json_fields.raw_object(body)
    except Malformed:
        return body
    return json_fields.encode({**fields, "model": deployment})


def read_headers(request: web.Request, protocol: Protocol) -> dict[str, str]:
    """The headers that the gateway reads; one that came several times is one list."""
    fields = request.headers
    return {name: ", ".join(fields.getall(name)) for name in read_names(protocol) if name in fields}
