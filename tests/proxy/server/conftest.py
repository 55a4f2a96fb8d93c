"""Every test of the server runs on both: with the connection that serves plain chats itself, and on aiohttp alone."""

from __future__ import annotations

import pytest

from crosswire.proxy.server import limited_server


@pytest.fixture(params=["httptools", "aiohttp"], autouse=True)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server that a test's proxy listens with."""
    monkeypatch.setattr(limited_server, "HAS_PARSER", request.param == "httptools")
    return str(request.param)
