"""A run as one page to look at: the grid in colours, and behind each cell its reasons, losses, decision and four texts.

It knows HTML. The page loads nothing: `page.html` is its frame, and the texts lie in it, deflated.
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

from .bench import Bench
from .cells import Cell, Outcome, Result
from .report import MARKS

FRAME = Path(__file__).with_name("page.html")

WIRES = ("client_request", "upstream_request", "upstream_response", "client_response")
"""The four texts of an exchange in the order in which they came to be."""


def page(results: Sequence[Result], frontends: Iterable[str]) -> str:
    """The whole page."""
    played = {result.cell.frontend for result in results}
    return (
        FRAME.read_text("utf-8")
        .replace("<!-- legend -->", legend(results))
        .replace("<!-- grid -->", table(results, [name for name in frontends if name in played]))
        .replace("<!-- cells -->", packed(results))
    )


def legend(results: Iterable[Result]) -> str:
    """How many cells ended how; each outcome can be shown alone."""
    counts = Counter(result.outcome for result in results)
    return "\n".join(
        f'<label class="{outcome}"><input type="checkbox" value="{outcome}" checked> {MARKS[outcome]} '
        f"{counts[outcome]} {outcome}</label>"
        for outcome in MARKS
    )


def table(results: Iterable[Result], frontends: Sequence[str]) -> str:
    """A row a story, a group of columns a provider, a column a frontend; unary marks stand before the stream's."""
    by_cell = {result.cell: result for result in results}
    providers = list(dict.fromkeys(cell.provider for cell in by_cell))
    groups = "".join(f'<th colspan="{len(frontends)}" class="first">{escape(name)}</th>' for name in providers)
    names = "".join(
        f'<th{_first(at)}><span title="{escape(name)}">{escape(name)}</span></th>'
        for _ in providers
        for at, name in enumerate(frontends)
    )
    rows = []
    for story in dict.fromkeys(cell.story for cell in by_cell):
        marks = []
        for provider in providers:
            for at, frontend in enumerate(frontends):
                twins = (by_cell.get(Cell(frontend, provider, story, stream)) for stream in (False, True))
                marks.append(f"<td{_first(at)}>{''.join(_mark(result) for result in twins if result)}</td>")
        rows.append(f"<tr><th>{escape(story)}</th>{''.join(marks)}</tr>")
    head = f'<tr><th></th>{groups}</tr>\n<tr class="names"><th></th>{names}</tr>'
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>"


def _first(at: int) -> str:
    return ' class="first"' if at == 0 else ""


def _mark(result: Result) -> str:
    cell, outcome = result.cell, result.outcome
    way = f"{cell.frontend} → {cell.provider}, {cell.story}, {'stream' if cell.stream else 'unary'}"
    told = [f"{way}: {outcome}", *(["lost: " + ", ".join(result.losses)] if result.losses else []), *result.reasons]
    return f'<a class="{outcome}" href="#{escape(str(cell))}" title="{escape(chr(10).join(told))}">{MARKS[outcome]}</a>'


def packed(results: Iterable[Result]) -> str:
    """What lies behind the marks, as base64 of deflated JSON: `texts`, each once, and `cells` that point into them."""
    texts: dict[str, int] = {}
    cells = {str(result.cell): _behind(result, texts) for result in results}
    data = json.dumps({"texts": list(texts), "cells": cells}, ensure_ascii=False, separators=(",", ":"))
    return b64encode(zlib.compress(data.encode(), 9)).decode()


def _behind(result: Result, texts: dict[str, int]) -> dict[str, Any]:
    cell = result.cell
    steps = []
    for step in result.steps:
        plain = (Bench.plain(getattr(step.wires, wire)) for wire in WIRES)
        places = [texts.setdefault(text, len(texts)) for text in plain]
        decision = (step.record or {}).get("decision")
        told = {"status": step.answer.status, "decision": decision, "texts": dict(zip(WIRES, places, strict=True))}
        steps.append(told)
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
