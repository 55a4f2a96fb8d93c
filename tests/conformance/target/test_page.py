"""The page of several runs in a real browser: board, filters, grid by keyboard, the wires of a cell, changes.

With CROSSWIRE_TEST_PICTURES, a folder, pictures of the views are left there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosswire.conformance.target.page import render_page

from ...proxy.page.chromium import PROGRAM, Tab, browsing
from .sample_runs import RUNS

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; apt-get install chromium")


async def picture(tab: Tab, name: str) -> None:
    if folder := os.environ.get("CROSSWIRE_TEST_PICTURES"):
        await tab.picture(Path(folder) / f"report-{name}.png")


async def test_from_the_board_to_the_wires(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_page(RUNS), "utf-8")
    async with browsing(tmp_path) as tab:
        await tab.send("Page.navigate", url=file.as_uri())
        rows = await tab.until(
            "document.querySelector('table[aria-label=Board]') && "
            "[...document.querySelectorAll('tbody th')].map((each) => each.textContent)"
        )
        assert rows == ["lighthouse", "lighthouse", "ferry"]
        shown = await tab.run("document.body.innerText")
        assert "75 %" in shown
        assert "not offered 1" in shown
        await picture(tab, "board")

        await tab.press("2")
        stories = "[...document.querySelectorAll('.grid tbody th')].map((each) => each.textContent)"
        assert await tab.run(stories) == ["text", "tools", "audio", "new", "old"]
        await tab.press("/")
        await tab.type("o")
        assert await tab.run(stories) == ["tools", "audio", "old"]
        await tab.press("Escape")
        await tab.run("document.getElementById('differing').click()")
        assert await tab.run(stories) == ["text", "tools", "audio"]
        await picture(tab, "grid")

        await tab.run("document.querySelector('.grid button[tabindex=\"0\"]').focus()")
        await tab.press("ArrowDown")
        await tab.press("ArrowDown")
        assert "audio, anthropic to openai" in await tab.run("document.activeElement.getAttribute('aria-label')")
        await tab.press("ArrowUp")
        await tab.press("Enter")
        await tab.until("document.getElementById('cell').open")
        assert await tab.run("document.querySelectorAll('.wires section').length") == 4
        marked = await tab.run(
            "[...document.querySelectorAll('.wires section')].map((pane) => [...pane.querySelectorAll('mark')]"
            ".map((each) => `${each.className} ${each.textContent.trim()}`))"
        )
        assert marked[0] == ['named "tool_choice": {', 'only "type": "any"']
        assert marked[1] == ['only "seed": 4711']
        assert marked[2] == ['only "finish_reason": "length"']  # the text came in two pieces
        assert marked[3] == []
        told = await tab.run("document.getElementById('cell').innerText")
        assert "tools \x07 is lost: <script>" in told  # text, whatever it looks like
        assert "https://example.com/rule" in told
        await picture(tab, "wires")
        await tab.press("n")
        assert "The wires of cells that are right are not kept." in await tab.run(
            "document.getElementById('cell').innerText"
        )
        await tab.press("Escape")
        await tab.until("!document.getElementById('cell').open")

        await tab.press("3")
        changes = await tab.run("document.getElementById('view').innerText")
        assert changes.index("Broken: 1") < changes.index("Fixed: 1")
        assert "2 cells are in one of the two runs only." in changes
        await tab.run("document.querySelector('table[aria-label=Broken] button').click()")
        assert await tab.run("document.getElementById('cell-title').textContent") == "tools: anthropic → openai, unary"
        await tab.press("Escape")
        ground = "getComputedStyle(document.body).backgroundColor"
        before = await tab.run(ground)
        await tab.press("t")
        assert await tab.run(ground) != before
        await picture(tab, "changes-dark")
        assert tab.complaints == []
        assert [url for url in tab.urls if not url.startswith(("file:", "data:"))] == []
