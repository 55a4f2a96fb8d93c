"""The page in a real browser: log in, see a request of the official SDK, follow it to its wires.

With CROSSWIRE_TEST_PICTURES, a folder, pictures of the views are left there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest

from crosswire.proxy.observability.request_record import Attempt, Record

from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import ask, dumps, reply
from ..scripted_upstream import http, upstream
from .chromium import PROGRAM, Tab, browsing

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; apt-get install chromium")

KEY = "open-sesame-please"

CLIENT_KEY = "a-key-of-the-team-0123456789"


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Stage]:
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backends = {
            **one("openai-chat", up.url, models={"claude-fast": "gpt-5-nano"}),
            "spare": {"protocol": "gemini", "base_url": "http://127.0.0.1:9", "models": ["gemini-3-pro"]},
        }
        async with stage(config(backends, admin_key=KEY, **settings)) as it:
            yield it


async def picture(tab: Tab, name: str) -> None:
    if folder := os.environ.get("CROSSWIRE_TEST_PICTURES"):
        await tab.picture(Path(folder) / f"{name}.png")


async def log_in(tab: Tab, it: Stage) -> None:
    await tab.send("Page.navigate", url=f"{it.url}/ui")
    await tab.until("document.activeElement && document.activeElement.id === 'key'")
    await picture(tab, "login")
    await tab.type(KEY)
    await tab.press("Enter")
    await tab.until("!document.getElementById('app').hidden && document.getElementById('rows')")


async def test_from_the_log_in_to_the_wires(tmp_path: Path) -> None:
    clients = {"team": {"key": CLIENT_KEY}}
    async with served(ui={"bodies": True}, clients=clients) as it, browsing(tmp_path) as tab:
        await tab.send("Page.navigate", url=f"{it.url}/ui/")
        await tab.until("document.activeElement && document.activeElement.id === 'key'")
        await tab.type("wrong")
        await tab.press("Enter")
        await tab.until("document.getElementById('login-error').textContent.includes('not the admin_key')")
        await log_in_again(tab)
        assert await tab.run("document.cookie") == ""  # the session is not for scripts
        async with anthropic.AsyncAnthropic(base_url=it.url, api_key=CLIENT_KEY) as sdk:
            message = await sdk.messages.create(
                model="claude-fast",
                max_tokens=100,
                extra_body={"top_k": 3},  # which this SDK has no parameter for
                messages=[{"role": "user", "content": "What does the lighthouse say?"}],
            )
        assert message.content[0].type == "text"
        row = await tab.until("document.querySelector('#rows tr[data-id]')?.innerText")
        assert "team" in row
        assert "claude-fast" in row
        assert "top_k" in row
        await picture(tab, "requests")
        await tab.press("j")
        await tab.press("Enter")
        await tab.until("document.querySelectorAll('.wires section').length === 4")
        titles = await tab.run("[...document.querySelectorAll('.wires h3')].map((each) => each.textContent)")
        assert titles == ["1. client → proxy", "2. proxy → b", "3. b → proxy", "4. proxy → client"]
        wires = await tab.run("[...document.querySelectorAll('.wires pre')].map((each) => each.textContent)")
        assert json.loads(wires[0])["messages"][0]["content"] == "What does the lighthouse say?"
        assert json.loads(wires[1])["model"] == "gpt-5-nano"
        assert json.loads(wires[2])["object"] == "chat.completion"
        assert json.loads(wires[3])["type"] == "message"
        marked = await tab.run(
            "[...document.querySelectorAll('.wires section')[0].querySelectorAll('.only')].map((e) => e.textContent)"
        )
        assert any("top_k" in line for line in marked)
        assert "claude-fast" in "".join(marked)
        shown = await tab.run("document.getElementById('view').innerText")
        for part in ("its models name this model", "taken", "top_k", "Time line", "left out"):
            assert part in shown
        assert await tab.run("document.querySelectorAll('#timeline rect').length") >= 4
        await picture(tab, "request")
        await tab.run("document.getElementById('explain').click()")
        await tab.until("document.getElementById('explained')?.innerText.includes('The same as then.')")
        await tab.run("document.getElementById('story').click()")
        story = await tab.until("document.getElementById('story-text')?.textContent")
        assert "top_k: 3" in story
        assert "lighthouse" not in story
        await tab.run("document.getElementById('wires').scrollIntoView()")
        await picture(tab, "wires")
        await tab.press("t")
        await tab.press("t")
        await picture(tab, "wires-dark")
        await tab.press("2")
        await tab.until("document.querySelector('table[aria-label=Backends]')?.innerText.includes('closed')")
        await picture(tab, "backends")
        await tab.press("4")
        config_ = await tab.until(
            "document.querySelector('[aria-label=\"Losses in force\"]') && document.getElementById('view').textContent"
        )
        assert KEY not in config_
        assert CLIENT_KEY not in config_
        await picture(tab, "config")
        await tab.press("Escape")
        await tab.run("document.getElementById('logout').click()")
        await tab.until("!document.getElementById('login').hidden")
        assert await tab.run("fetch('/ui/api/requests').then((answer) => answer.status)") == 401
        assert tab.complaints == []
        assert [url for url in tab.urls if not url.startswith((it.url, "data:,", "about:"))] == []


async def log_in_again(tab: Tab) -> None:
    await tab.run("document.getElementById('key').value = ''; document.getElementById('key').focus()")
    await tab.type(KEY)
    await tab.press("Enter")
    await tab.until("!document.getElementById('app').hidden && document.getElementById('rows')")


def seen(number: int, at: float) -> Record:
    """A request as it may have been."""
    model = ("claude-fast", "gemini-3-pro", "gpt-5")[number % 3]
    record = Record(
        f"req_seen{number}", at - 3 * (1500 - number), "anthropic", model=model, client=f"team-{number % 4}"
    )
    record.backend_used, record.model_used, record.outcome, record.status = "b", model, "answered", 200
    record.attempts = [Attempt("b", model, "answered", ms=100.0 + number % 90)]
    record.total_ms = 110.0 + number % 90
    record.cost = (1 + number % 7) * 1_000_000
    if number % 50 == 0:
        record.outcome, record.status = "overloaded", 503
    return record


async def test_a_request_under_way_is_seen_until_it_ends(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with upstream([gate, http(dumps(reply("openai-chat")))]) as up:
        made = config(one("openai-chat", up.url, models={"claude-fast": "gpt-5-nano"}), admin_key=KEY)
        async with stage(made) as it, browsing(tmp_path) as tab:
            await log_in(tab, it)
            asked = asyncio.ensure_future(it.ask("/v1/messages", ask("anthropic") | {"model": "claude-fast"}))
            row = await tab.until("document.querySelector('table[aria-label=\"Under way\"] tbody')?.innerText")
            for part in ("b is called", "claude-fast", "gpt-5-nano", "anthropic"):
                assert part in row
            await picture(tab, "under-way")
            gate.set()
            assert (await asked).status == 200
            await tab.until("!document.querySelector('table[aria-label=\"Under way\"]')")
            await tab.until("document.querySelector('#rows tr[data-id]')?.innerText")
            assert tab.complaints == []


async def test_many_requests_are_few_rows(tmp_path: Path) -> None:
    """Of 1,500 requests only those in sight are in the document, and the last can be reached and found."""
    async with served(records=2000) as it, browsing(tmp_path) as tab:
        now = it.gateway.clock()
        for number in range(1500):
            it.gateway.records.add(seen(number, now))
        await log_in(tab, it)
        await tab.until("document.getElementById('number').textContent === '1,500 requests'")
        assert await tab.run("document.querySelectorAll('#rows tr').length") < 100
        await picture(tab, "many")
        await tab.run("document.getElementById('scroll').scrollTop = 1e9")
        await tab.until("[...document.querySelectorAll('#rows tr')].some((row) => row.dataset.id === 'req_seen0')")
        await tab.press("/")
        assert await tab.run("document.activeElement.id") == "search"
        await tab.type("overloaded team-2")
        await tab.until("document.getElementById('number').textContent === '15 of 1,500 requests'")
        await tab.press("Escape")
        await tab.press("3")
        await tab.until("document.querySelectorAll('#by-client rect').length === 4")
        assert await tab.run("document.querySelectorAll('#by-model rect').length") == 3
        assert await tab.run("document.querySelectorAll('#over-time rect').length") > 20
        for theme in ("light", "dark"):
            await tab.press("t")
            assert await tab.run("document.documentElement.dataset.theme") == theme
            await picture(tab, f"usage-{theme}")
        assert await tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"
        await tab.press("1")
        await tab.until("document.getElementById('rows')")
        await picture(tab, "many-dark")
        assert tab.complaints == []
