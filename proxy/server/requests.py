"""Reads an HTTP request: its body, the parameters of its URL, its headers."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import failure
from ..gateway.forwarded_headers import read_names
from ..ir import Failure
from ..protocols.protocol import Protocol, UrlParams
from .state import GATEWAY

BROKEN_HTTP = (HttpProcessingError, web.RequestPayloadError)
"""The exceptions by which aiohttp reports a client's broken HTTP."""

CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


async def read_body(request: web.Request) -> bytes | Failure:
    """The body's bytes, or the failure that is wrong with them before they are parsed as JSON."""
    if request.charset is not None and request.charset.lower() not in CHARSETS:
        return failure("bad_request", "The charset must be utf-8: JSON has no other.")
    limit_s = request.app[GATEWAY].config.settings.body_timeout_s
    try:
        if request.content.is_eof():  # it came with its headers, as most do: nothing to wait for
            body = await request.read()
        else:
            async with asyncio.timeout(limit_s):
                body = await request.read()
    except TimeoutError:
        return failure("too_slow", f"The body did not come within {limit_s:g} s; raise body_timeout_s to allow it.")
    except web.HTTPRequestEntityTooLarge:
        limit = request.client_max_size
        return failure("too_large", f"The body has more than {limit} bytes; raise body_limit to allow it.")
    except (*BROKEN_HTTP, ValueError):
        return failure("bad_request", "The body cannot be read: its content-encoding or its chunks are broken.")
    return body or failure("bad_request", "The body is empty; it must be a JSON object.")


def chat_url(request: web.Request) -> UrlParams:
    """The URL of a chat: a model's name may hold slashes and colons, so its method is behind the last colon."""
    tail = request.match_info.get("tail")
    if tail is None:
        return UrlParams()
    model, _, method = tail.rpartition(":")
    return UrlParams(model, method, request.query.get("alt"))


def read_headers(request: web.Request, protocol: Protocol) -> dict[str, str]:
    """The headers that the gateway reads; one that came several times is one list."""
    fields = request.headers
    return {name: ", ".join(fields.getall(name)) for name in read_names(protocol) if name in fields}
