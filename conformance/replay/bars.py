"""The bars of the replay: the shares that each folder of recordings has reached, which may only rise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

FILE = Path(__file__).with_name("bars.yaml")

ANY_FOLDER = "any other folder"
"""Name of the bars for a folder that has none of its own."""

Figures: TypeAlias = dict[str, float]
"""Name of a share -> percent, rounded down to two decimals."""


class Comparison(Struct, frozen=True):
    """The figures of a run that are below their bars, and those above; `missing` bars have no figure in this run."""

    below: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.below and not self.missing


def percent(part: int, whole: int) -> float:
    """Returns a share in percent, rounded down to two decimals, so that 100 means all."""
    return (part * 10_000 // whole) / 100 if whole else 100.0


def read_bars(file: Path = FILE) -> dict[str, Figures]:
    """Returns the bars of each folder, by the folder's name."""
    bars: dict[str, Figures] = yaml.safe_load(file.read_text("utf-8")) or {}
    return bars


def compare(figures: Mapping[str, float], bars: Mapping[str, Figures], folder: str) -> Comparison:
    """Compares the figures of a run with the bars of its folder."""
    own = bars.get(folder)
    wanted = bars.get(ANY_FOLDER, {}) if own is None else own
    below = [
        f"{name}: {figures[name]:.2f} %, the bar is {bar:.2f} %"
        for name, bar in wanted.items()
        if name in figures and figures[name] < bar
    ]
    above = [
        f"{name}: {figures[name]:.2f} %, the bar is {bar:.2f} %"
        for name, bar in wanted.items()
        if name in figures and figures[name] > bar
    ]
    missing = [f"{name}: no figure, the bar is {bar:.2f} %" for name, bar in wanted.items() if name not in figures]
    return Comparison(tuple(below), tuple(above) if own is not None else (), tuple(missing))


def raise_bars(figures: Mapping[str, float], folder: str, file: Path = FILE) -> list[str]:
    """Writes the figures that are above the folder's bars, or new, as its bars; returns the names of those raised."""
    text = file.read_text("utf-8")
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    bars: dict[str, Any] = yaml.safe_load(text) or {}
    own = dict(bars.get(folder) or {})
    raised = [name for name, figure in figures.items() if figure > own.get(name, -1.0)]
    bars[folder] = own | {name: figures[name] for name in raised}
    file.write_text(comment + yaml.safe_dump(bars, sort_keys=False, allow_unicode=True, width=120), "utf-8")
    return raised
