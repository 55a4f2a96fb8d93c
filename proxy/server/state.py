"""The keys under which the aiohttp application keeps its state."""

from __future__ import annotations

from aiohttp import web

from ..clients.client import Client
from ..gateway.gateway import Gateway

GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)

CLIENT: web.RequestKey[Client] = web.RequestKey("client", Client)
"""A request's client, where clients have keys."""


def client_of(request: web.Request) -> Client | None:
    """The client of a request; None where nobody needs a key."""
    return request.get(CLIENT)
