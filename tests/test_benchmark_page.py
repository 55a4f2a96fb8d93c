"""The table and the charts of the benchmarks: targets that are missed are marked, and the page has a place for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import growth, table
from benchmarks.bodies import ANTHROPIC, CHAT, PATHS, history, image, tools
from benchmarks.cases import groups
from benchmarks.chart import RIGHT, WIDTH, svg
from benchmarks.gateways import ALL_ON, CROSSWIRE, RELAY
from benchmarks.levers import LEVERS


def figures(of_relay: float, all_on: float, cpu_us: float = 100.0) -> dict[str, Any]:
    """Figures of every row, those of all cases the same."""
    values = {RELAY: 1.0, CROSSWIRE: of_relay, ALL_ON: all_on}
    one = {name: {"cpu_us": cpu_us, "of_relay": value, "wrong": 0} for name, value in values.items()}
    return {
        "groups": {group.name: {case.name: one for case in group.cases} for group in groups()},
        "crowd": {"streams": 2000, "of": {name: {"s": value, "kib": 30.0} for name, value in values.items()}},
        "decision_us": 2.0,
        "standing": {name: {"start_s": 0.3, "rss_kib": 40 * 1024} for name in values},
    }


@pytest.mark.parametrize(
    ("given", "missed"),
    [
        (figures(0.5, 0.55), 0),
        (figures(0.5, 0.7), 6),  # more than 0.10 above, in each row of a ratio
        (figures(1.2, 1.25), 7),  # the ratios, and the streams at once
        (figures(0.5, 0.55, 1e6), 3),  # the large bodies
        (figures(0.5, 0.55) | {"decision_us": 80.0}, 1),
        (figures(0.5, 0.55) | {"standing": {CROSSWIRE: {"start_s": 0.5, "rss_kib": 60 * 1024}}}, 2),
    ],
)
def test_what_is_missed_is_marked(given: dict[str, Any], missed: int) -> None:
    assert "\n".join(table.lines(given)).count("✗") == missed


def test_every_row_has_a_cell_of_each_gateway() -> None:
    head, *rows = table.lines(figures(0.5, 0.55))
    assert len(rows) == 1 + len(groups()) + 5
    assert {row.count("|") for row in rows} == {head.count("|")} == {6}


def test_a_lever_is_shown_where_it_gives_most() -> None:
    name = f"{table.WITHOUT}heads"
    given = figures(0.5, 0.55)
    for number, of in enumerate(given["groups"].values()):
        for case in of:
            of[case] = {**of[case], name: {"cpu_us": 100.0 + number, "of_relay": 0.5 + number / 100, "wrong": 0}}
    _, _, first, second = table.gains(given)
    last = groups()[-1].name, groups()[-2].name
    assert first.startswith(f"| `heads` | {last[0]} |")
    assert second.startswith(f"|  | {last[1]} |")
    assert "✗" not in first + second


@pytest.mark.parametrize("name", ["table", "without", "growth"])
def test_the_page_has_a_place_for_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "benchmarks.md"
    copy.write_text(table.PAGE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(table, "PAGE", copy)
    table.write(name, "| new |")
    assert "| new |" in copy.read_text("utf-8")
    table.write(name, "| newer |")
    assert "| new |" not in copy.read_text("utf-8")
    with pytest.raises(SystemExit, match="no place for nothing"):
        table.write("nothing", "x")


def test_every_lever_is_in_the_page() -> None:
    page = table.PAGE.read_text("utf-8")
    assert [name for name in LEVERS if f"| `{name}` |" not in page] == []


def test_a_chart_is_an_image_for_light_and_dark() -> None:
    text = svg("µs & more", "things", {"one": [(0, 1.0), (10, 20.0)], "two": [(0, 1.0), (10, 20.5)]})
    drawn = ElementTree.fromstring(text)  # noqa: S314 - drawn here
    space = "{http://www.w3.org/2000/svg}"
    ends = [str(line.get("points")).split()[-1] for line in drawn.iter(f"{space}polyline")]
    assert [float(end.partition(",")[0]) for end in ends] == [WIDTH - RIGHT] * 2
    heights = [float(str(each.get("y"))) for each in drawn.iter(f"{space}text") if each.text in ("one", "two")]
    assert abs(heights[0] - heights[1]) >= 14
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(("cost", "said"), [(200.0, "linear or better"), (400.0, "steeper than linear")])
def test_growth_is_judged_by_its_end(cost: float, said: str) -> None:
    (row,) = growth.rows({"turns": {"same protocol": [(1, 10.0), (250, 100.0), (500, cost)]}})[2:]
    assert said in row


@pytest.mark.parametrize("kind", PATHS)
def test_large_bodies_are_as_large_as_they_say(kind: str) -> None:
    assert 1_333_000 < len(str(image(kind))) < 1_334_000
    assert 300_000 < len(str(history(kind))) < 310_000
    assert len(tools(kind)["tools"]) == 100
    assert {CHAT, ANTHROPIC} == set(PATHS)
