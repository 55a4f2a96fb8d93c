"""The page of the journal: its files, what it may load, and who may see it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from crosswire.mockserver.server import PAGE_FILES, make_app
from tests.mockserver.in_process_mock import scenarios


@pytest_asyncio.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(scenarios()))) as found:
        yield found


@pytest.mark.parametrize("name", PAGE_FILES)
async def test_the_page_loads_nothing_from_elsewhere(client: TestClient[Any, Any], name: str) -> None:
    async with client.get(f"/ui/{name}") as answer:
        text = await answer.text()
    assert (answer.status, answer.content_type) == (200, PAGE_FILES[name])
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert re.findall(r"https?://|innerHTML|insertAdjacent|document\.write| style=| on[a-z]+=", text) == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8888", "192.0.2.1", "[2001:db8::1]:80"])
async def test_another_name_for_this_machine_gets_no_page(client: TestClient[Any, Any], host: str) -> None:
    async with client.get("/ui/", headers={"host": host}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8888", "[::1]"])
async def test_the_names_of_this_machine_get_it(client: TestClient[Any, Any], host: str) -> None:
    async with client.get("/ui/", headers={"host": host}) as answer:
        assert answer.status == 200
