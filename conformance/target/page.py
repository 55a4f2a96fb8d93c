"""The page of one run or several: board, grid, changes and the four wires of each cell, in one file.

`page.html` is its template; the runs are embedded, compressed.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from .badge import share, shown_share
from .report import WIRES
from .run_diff import run_diffs
from .verdict import LABELS, CellVerdict, TargetRun

PAGE_TEMPLATE = Path(__file__).with_name("page.html")


def render_page(runs: Sequence[TargetRun]) -> str:
    """Returns the complete page."""
    names = ", ".join(dict.fromkeys(run.gateway.name for run in runs))
    page = PAGE_TEMPLATE.read_text("utf-8")
    return page.replace("<!-- names -->", escape(names)).replace("<!-- runs -->", packed(runs))


def packed(runs: Sequence[TargetRun]) -> str:
    """Returns the runs as base64 of compressed JSON; each text stands there once."""
    texts: dict[str, int] = {}
    data = {
        "outcomes": list(LABELS.items()),
        "wires": [title for _, title in WIRES],
        "runs": [_run(run, texts) for run in runs],
        "diffs": msgspec.to_builtins(run_diffs(runs)),
    }
    data["texts"] = list(texts)
    plain = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return b64encode(zlib.compress(plain.encode("utf-8", "replace"), 9)).decode()


def _run(run: TargetRun, texts: dict[str, int]) -> dict[str, Any]:
    return {
        "name": run.gateway.name,
        "version": run.gateway.version,
        "at": run.at,
        "house": run.house,
        "crosswire": run.crosswire,
        "share": share(run),
        "shown": shown_share(run),
        "counts": run.outcomes,
        "cells": [_cell(cell, texts) for cell in run.cells],
    }


def _cell(cell: CellVerdict, texts: dict[str, int]) -> list[Any]:
    """Returns a cell as a row: the page's script names the columns."""

    def place(text: str) -> int:
        return texts.setdefault(text, len(texts))

    findings = [
        [each.outcome, each.by, place(each.what), place(each.says), place(each.source), each.step, each.path]
        for each in cell.findings
    ]
    steps = []
    for step in cell.steps:
        wires = [getattr(step, name) for name, _ in WIRES]
        steps.append([None if wire is None else [place(wire.head), wire.headers, place(wire.body)] for wire in wires])
    axes = (cell.id, cell.frontend, cell.provider, cell.story, cell.stream)
    return [*axes, cell.outcome, cell.fine, place(cell.reason), findings, steps]
