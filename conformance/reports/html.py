"""HTML report of a run: the grid, and for each cell its reasons, losses, decision and four bodies.

The page needs no other file: `page.html` is its template, and the bodies are embedded, compressed.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..harness.ids import mask_ids
from ..matrix.result import Cell, Outcome, Result
from .grid import MARKS

PAGE_TEMPLATE = Path(__file__).with_name("page.html")

TRANSCRIPT_FIELDS = ("client_request", "upstream_request", "upstream_response", "client_response")
"""The four bodies of an exchange in chronological order."""


def render_page(results: Sequence[Result], frontends: Iterable[str]) -> str:
    """Returns the complete page."""
    played = {result.cell.frontend for result in results}
    return (
        PAGE_TEMPLATE.read_text("utf-8")
        .replace("<!-- legend -->", legend(results))
        .replace("<!-- grid -->", table(results, [name for name in frontends if name in played]))
        .replace("<!-- cells -->", packed_cells(results))
    )


def legend(results: Iterable[Result]) -> str:
    """Returns the number of cells by outcome, each with a checkbox that filters the grid."""
    counts = Counter(result.outcome for result in results)
    return "\n".join(
        f'<label class="{outcome}"><input type="checkbox" value="{outcome}" checked> {MARKS[outcome]} '
        f"{counts[outcome]} {outcome}</label>"
        for outcome in MARKS
    )


def table(results: Iterable[Result], frontends: Sequence[str]) -> str:
    """Returns the grid: a row per story, a column per provider and frontend, each with a unary and a stream mark."""
    by_cell = {result.cell: result for result in results}
    providers = list(dict.fromkeys(cell.provider for cell in by_cell))
    groups = "".join(f'<th colspan="{len(frontends)}" class="first">{escape(name)}</th>' for name in providers)
    names = "".join(
        f'<th{_column_class(at)}><span title="{escape(name)}">{escape(name)}</span></th>'
        for _ in providers
        for at, name in enumerate(frontends)
    )
    rows = []
    for story in dict.fromkeys(cell.story for cell in by_cell):
        marks = []
        for provider in providers:
            for at, frontend in enumerate(frontends):
                twins = (by_cell.get(Cell(frontend, provider, story, stream)) for stream in (False, True))
                marks.append(f"<td{_column_class(at)}>{''.join(_mark(result) for result in twins if result)}</td>")
        rows.append(f"<tr><th>{escape(story)}</th>{''.join(marks)}</tr>")
    head = f'<tr><th></th>{groups}</tr>\n<tr class="names"><th></th>{names}</tr>'
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>"


def _column_class(at: int) -> str:
    return ' class="first"' if at == 0 else ""


def _mark(result: Result) -> str:
    cell, outcome = result.cell, result.outcome
    title = f"{cell.frontend} → {cell.provider}, {cell.story}, {'stream' if cell.stream else 'unary'}"
    tooltip = [
        f"{title}: {outcome}",
        *(["lost: " + ", ".join(result.losses)] if result.losses else []),
        *result.reasons,
    ]
    return (
        f'<a class="{outcome}" href="#{escape(str(cell))}" title="{escape(chr(10).join(tooltip))}">{MARKS[outcome]}</a>'
    )


def packed_cells(results: Iterable[Result]) -> str:
    """Returns the details of all cells as base64 of compressed JSON: `texts`, and `cells` with indexes into them."""
    texts: dict[str, int] = {}
    cells = {str(result.cell): _cell_details(result, texts) for result in results}
    data = json.dumps({"texts": list(texts), "cells": cells}, ensure_ascii=False, separators=(",", ":"))
    return b64encode(zlib.compress(data.encode(), 9)).decode()


def _cell_details(result: Result, texts: dict[str, int]) -> dict[str, Any]:
    cell = result.cell
    steps = []
    for step in result.steps:
        plain = (mask_ids(getattr(step.transcript, wire)) for wire in TRANSCRIPT_FIELDS)
        places = [texts.setdefault(text, len(texts)) for text in plain]
        decision = (step.record or {}).get("decision")
        details = {
            "status": step.response.status,
            "decision": decision,
            "texts": dict(zip(TRANSCRIPT_FIELDS, places, strict=True)),
        }
        steps.append(details)
    outcome: Outcome = result.outcome
    return {
        "frontend": cell.frontend,
        "provider": cell.provider,
        "story": cell.story,
        "stream": cell.stream,
        "outcome": outcome,
        "reasons": result.reasons,
        "losses": result.losses,
        "ms": round(result.ms, 1),
        "steps": steps,
    }
