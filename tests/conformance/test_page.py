"""The page of a run: it loads nothing, every cell stands in it, and behind each mark is what went over the wires."""

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

from conformance.allowed import read_matrix
from conformance.bench import Bench
from conformance.cells import Result, cells, play
from conformance.page import FRAME, WIRES, page, table
from mockserver.scenario import load

ROOT = Path(__file__).parents[2]
STORIES = ("text", "tools-loop", "tools-hosted-forced", "text-unknown-field")
PROVIDERS = ("openai", "ollama")
VOID = {"meta", "link", "input"}


class Reader(HTMLParser):
    """Tags with their attributes in order, and the text of each script; raises where a tag closes another."""

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
    """A few cells, really played; among them whole, lossy and refused ones."""
    scenarios, matrix = load(ROOT / "scenarios"), read_matrix()
    with Bench(scenarios) as bench:
        yield [
            bench.wait(play(cell, bench, scenarios, matrix))
            for cell in cells(scenarios, matrix)
            if cell.story in STORIES and cell.provider in PROVIDERS
        ]


@pytest.fixture(scope="module")
def text(results: list[Result]) -> str:
    return page(results, read_matrix().frontends)


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


@pytest.fixture(scope="module")
def behind(reader: Reader) -> dict[str, Any]:
    """What the page's own script unpacks."""
    found = json.loads(zlib.decompress(b64decode(reader.texts["cells"], validate=True)))
    assert isinstance(found, dict)
    return found


def test_it_loads_nothing(reader: Reader, text: str) -> None:
    addresses = [attributes.get(name) for _, attributes in reader.tags for name in ("src", "href", "action", "data")]
    assert [address for address in addresses if address and not address.startswith("#")] == ["data:,"]
    assert re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", FRAME.read_text("utf-8")) == []
    (policy,) = (meta["content"] for meta in reader.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; ")


def test_every_cell_is_a_mark_that_says_how_it_ended(reader: Reader, results: list[Result]) -> None:
    marks = {str(mark["href"])[1:]: mark for mark in reader.all("a")}
    assert len(reader.all("a")) == len(marks) == len(results)
    assert {result.outcome for result in results} == {"pass", "lossy", "unsupported"}
    for result in results:
        mark = marks[str(result.cell)]
        assert mark["class"] == result.outcome
        assert all(said in str(mark["title"]) for said in (result.outcome, *result.losses, *result.reasons))


def test_the_legend_counts(reader: Reader, text: str, results: list[Result]) -> None:
    boxes = [str(box["value"]) for box in reader.all("input") if box.get("type") == "checkbox"]
    assert boxes == ["pass", "lossy", "unsupported", "fail"]
    for outcome in boxes:
        assert f"{sum(result.outcome == outcome for result in results)} {outcome}</label>" in text


def test_behind_each_mark_is_what_went_over_the_wires(behind: dict[str, Any], results: list[Result]) -> None:
    assert list(behind["cells"]) == [str(result.cell) for result in results]
    assert len(behind["texts"]) == len(set(behind["texts"]))
    for result in results:
        told = behind["cells"][str(result.cell)]
        assert (told["losses"], told["reasons"]) == (result.losses, result.reasons)
        assert len(told["steps"]) == len(result.steps)
        for step, said in zip(result.steps, told["steps"], strict=True):
            assert step.record is not None
            assert (said["status"], said["decision"]) == (step.answer.status, step.record["decision"])
            texts = {wire: behind["texts"][said["texts"][wire]] for wire in WIRES}
            assert texts == {wire: Bench.plain(getattr(step.wires, wire)) for wire in WIRES}


def test_what_a_story_says_stays_text(results: list[Result]) -> None:
    """Reasons and names come from outside: none of them becomes a tag or an attribute."""
    (first, *_) = (result for result in results if result.outcome == "pass")
    nasty = Result(first.cell, reasons=['"><script>alert(1)</script>'])
    assert [tag for tag, _ in Reader(table([nasty], [first.cell.frontend])).tags if tag == "script"] == []
