"""Bars: a run below one fails, one above says so, and they only rise."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosswire.conformance.replay.bars import ANY_FOLDER, compare, percent, raise_bars, read_bars

BARS = {"corpus": {"own": 98.5, "crossed": 97.0}, ANY_FOLDER: {"own": 90.0}}


def test_percent_is_rounded_down() -> None:
    assert (percent(2, 3), percent(1999, 2000), percent(5, 5), percent(0, 0)) == (66.66, 99.95, 100.0, 100.0)


def test_equal_figures_pass() -> None:
    found = compare({"own": 98.5, "crossed": 97.0}, BARS, "corpus")
    assert (found.passed, found.below, found.above) == (True, (), ())


def test_a_figure_below_its_bar_fails() -> None:
    found = compare({"own": 98.49, "crossed": 97.0}, BARS, "corpus")
    assert not found.passed
    assert found.below == ("own: 98.49 %, the bar is 98.50 %",)


def test_a_figure_above_its_bar_is_told() -> None:
    found = compare({"own": 98.5, "crossed": 97.1}, BARS, "corpus")
    assert found.passed
    assert found.above == ("crossed: 97.10 %, the bar is 97.00 %",)


def test_a_figure_that_is_no_longer_measured_fails() -> None:
    found = compare({"own": 98.5}, BARS, "corpus")
    assert not found.passed
    assert found.missing == ("crossed: no figure, the bar is 97.00 %",)


@pytest.mark.parametrize(("own", "passed"), [(89.99, False), (90.0, True), (99.0, True)])
def test_another_folder_has_the_common_bars(own: float, passed: bool) -> None:
    found = compare({"own": own}, BARS, "elsewhere")
    assert found.passed is passed
    assert found.above == ()


def test_bars_only_rise(tmp_path: Path) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text("# why\ncorpus: {own: 98.5, crossed: 97.0}\n")
    assert raise_bars({"own": 98.0, "crossed": 97.5, "over sockets": 90.0}, "corpus", file) == [
        "crossed",
        "over sockets",
    ]
    assert read_bars(file) == {"corpus": {"own": 98.5, "crossed": 97.5, "over sockets": 90.0}}
    assert file.read_text().startswith("# why\n")
    assert raise_bars({"own": 50.0}, "another", file) == ["own"]


def test_the_projects_own_bars() -> None:
    bars = read_bars()
    assert ANY_FOLDER in bars
    assert all(0 <= bar <= 100 for figures in bars.values() for bar in figures.values())
