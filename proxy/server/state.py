"""The keys under which the aiohttp application keeps its state."""

from __future__ import annotations

from aiohttp import web

from ..gateway.gateway import Gateway

GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
