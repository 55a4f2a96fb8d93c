"""The page of the journal: its files, what it may load, who may see it, and its use in a real browser.

With CROSSWIRE_TEST_PICTURES, a folder, pictures of the page are left there.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from crosswire.mockserver.server import PAGE_FILES, make_app
from tests.mockserver.in_process_mock import scenarios
from tests.proxy.page.chromium import PROGRAM, browsing


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


URL = "/openai/v1/chat/completions"
KEY = {"authorization": "Bearer test-key-openai"}


async def ask(client: TestClient[Any, Any], text: str, **more: Any) -> None:
    body = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": text}], **more}
    async with client.post(URL, json=body, headers=KEY) as answer:
        await answer.read()


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; apt-get install chromium")
async def test_the_journal_in_a_browser(client: TestClient[Any, Any], tmp_path: Path) -> None:
    """Requests as they come, the keyboard, filters, wide and narrow; what a request holds is text, whatever it says."""
    rows = "[...document.querySelectorAll('#entries tr:not([hidden])')].map((row) => row.cells[5].textContent)"
    detail = "document.getElementById('detail').innerText"
    async with browsing(tmp_path) as tab:
        await tab.send("Page.navigate", url=str(client.make_url("/ui/")))
        await tab.until("document.getElementById('state')?.textContent === '0 requests'")
        assert "No request yet" in await tab.run("document.body.innerText")
        await ask(client, "Hello!")
        await ask(client, "<b>Hallo!</b>")
        await ask(client, "Hello!", max_token=5)
        await tab.until("document.querySelectorAll('#entries tr').length === 3")
        assert await tab.run(rows) == ["user: Hello!", "user: <b>Hallo!</b>", "user: Hello!"]
        assert "No request yet" not in await tab.run("document.body.innerText")

        await tab.run("document.querySelector('#entries tr').focus()")
        await tab.press("Enter")
        assert "why it was refused" in await tab.run(detail)
        await tab.press("ArrowDown")
        await tab.press(" ")
        assert "why no story\nno story matches this request; nearest: text" in await tab.run(detail)
        assert await tab.run("document.querySelector('[aria-selected=true]').cells[0].textContent") == "1"

        await tab.run("document.getElementById('misses').click()")
        assert await tab.run(rows) == ["user: Hello!", "user: <b>Hallo!</b>"]
        await tab.run("document.getElementById('filter').focus()")
        await tab.type("hallo")
        assert await tab.run(rows) == ["user: <b>Hallo!</b>"]
        for width in (1360, 420):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            await tab.send("Emulation.setDeviceMetricsOverride", **size)
            assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
            if folder := os.environ.get("CROSSWIRE_TEST_PICTURES"):
                await tab.picture(Path(folder) / f"journal-{width}.png")
        await tab.run("document.querySelector('#entries tr:not([hidden])').click()")
        await tab.until("document.getElementById('detail').getBoundingClientRect().top < innerHeight / 2")

        await tab.run("document.getElementById('reset').click()")
        await tab.until("document.getElementById('state').textContent === '0 requests'")
        assert await tab.run(rows) == []
        assert tab.complaints == []
        assert {re.sub(r"\?.*", "", url) for url in tab.urls if not url.startswith(str(client.make_url("/")))} == set()
