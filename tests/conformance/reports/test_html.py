"""The HTML report loads nothing, has a mark for every cell, and embeds each cell's four bodies."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from crosswire.conformance.harness.ids import mask_ids
from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.matrix.cells import enumerate_cells
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Result
from crosswire.conformance.matrix.runner import play_cell
from crosswire.conformance.reports.html import PAGE_TEMPLATE, TRANSCRIPT_FIELDS, render_page, table
from crosswire.mockserver.scenarios.loader import load_scenarios

ROOT = Path(__file__).parents[3]
STORIES = ("text", "tools-loop", "tools-hosted-forced", "text-unknown-field")
PROVIDERS = ("openai", "ollama")
VOID = {"meta", "link", "input"}


class Reader(HTMLParser):
    """Collects tags with their attributes and the text of scripts; fails for wrongly nested tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][1]:
            self.texts[str(self._open[-1][1])] = data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def results() -> Iterator[list[Result]]:
    """A few played cells with the outcomes pass, lossy and unsupported."""
    scenarios, matrix = load_scenarios(ROOT / "scenarios"), read_expectations()
    with Testbed(scenarios) as testbed:
        yield [
            testbed.wait(play_cell(cell, testbed, scenarios, matrix))
            for cell in enumerate_cells(scenarios, matrix)
            if cell.story in STORIES and cell.provider in PROVIDERS
        ]


@pytest.fixture(scope="module")
def text(results: list[Result]) -> str:
    return render_page(results, read_expectations().frontends)


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


@pytest.fixture(scope="module")
def details(reader: Reader) -> dict[str, Any]:
    """The embedded details of all cells, as unpacked by the page's script."""
    found = json.loads(zlib.decompress(b64decode(reader.texts["cells"], validate=True)))
    assert isinstance(found, dict)
    return found


def test_the_page_loads_nothing(reader: Reader, text: str) -> None:
    addresses = [attributes.get(name) for _, attributes in reader.tags for name in ("src", "href", "action", "data")]
    assert [address for address in addresses if address and not address.startswith("#")] == ["data:,"]
    assert re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", PAGE_TEMPLATE.read_text("utf-8")) == []
    (policy,) = (meta["content"] for meta in reader.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; ")


def test_every_cell_has_a_mark_with_its_outcome_and_reasons(reader: Reader, results: list[Result]) -> None:
    marks = {str(mark["href"])[1:]: mark for mark in reader.all("a")}
    assert len(reader.all("a")) == len(marks) == len(results)
    assert {result.outcome for result in results} == {"pass", "lossy", "unsupported"}
    for result in results:
        mark = marks[str(result.cell)]
        assert mark["class"] == result.outcome
        assert all(text in str(mark["title"]) for text in (result.outcome, *result.losses, *result.reasons))


def test_the_legend_counts_outcomes(reader: Reader, text: str, results: list[Result]) -> None:
    boxes = [str(box["value"]) for box in reader.all("input") if box.get("type") == "checkbox"]
    assert boxes == ["pass", "lossy", "unsupported", "fail"]
    for outcome in boxes:
        assert f"{sum(result.outcome == outcome for result in results)} {outcome}</label>" in text


def test_the_details_of_each_cell_hold_its_four_bodies(details: dict[str, Any], results: list[Result]) -> None:
    assert list(details["cells"]) == [str(result.cell) for result in results]
    assert len(details["texts"]) == len(set(details["texts"]))
    for result in results:
        cell = details["cells"][str(result.cell)]
        assert (cell["losses"], cell["reasons"]) == (result.losses, result.reasons)
        assert len(cell["steps"]) == len(result.steps)
        for step, shown in zip(result.steps, cell["steps"], strict=True):
            assert step.record is not None
            assert (shown["status"], shown["decision"]) == (step.response.status, step.record["decision"])
            texts = {wire: details["texts"][shown["texts"][wire]] for wire in TRANSCRIPT_FIELDS}
            assert texts == {wire: mask_ids(getattr(step.transcript, wire)) for wire in TRANSCRIPT_FIELDS}


def test_reasons_are_escaped(results: list[Result]) -> None:
    """Reasons come from outside, so none of them may become a tag or an attribute."""
    (first, *_) = (result for result in results if result.outcome == "pass")
    nasty = Result(first.cell, reasons=['"><script>alert(1)</script>'])
    assert [tag for tag, _ in Reader(table([nasty], [first.cell.frontend])).tags if tag == "script"] == []
