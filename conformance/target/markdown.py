"""Runs as Markdown, for the summary of a job in continuous integration and for the leaderboard of the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .badge import share, shown_share
from .report import causes
from .run_diff import Change, RunDiff, run_diffs
from .verdict import LABELS, TargetRun

SHOWN_CHANGES = 20
"""Changed cells that the Markdown names."""


def ranked(runs: Sequence[TargetRun]) -> list[TargetRun]:
    """Returns the runs, that with the greatest share of fine cells first."""
    return sorted(runs, key=lambda run: -(share(run) or 0.0))


def board(runs: Sequence[TargetRun]) -> Iterator[str]:
    """Yields the table of runs: gateway, version, date, cells that it offers, share that is fine, and each outcome."""
    shown = [outcome for outcome in LABELS if any(run.outcomes.get(outcome) for run in runs)]
    heads = ["gateway", "version", "date", "cells", "fine", *(LABELS[outcome] for outcome in shown)]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * 3 + "---:|" * (len(heads) - 3)
    for run in ranked(runs):
        cells = len(run.cells) - run.outcomes.get("not-offered", 0)
        counts = (f"{run.outcomes.get(outcome, 0):,}" for outcome in shown)
        row = (run.gateway.name, run.gateway.version, run.at[:10], f"{cells:,}", shown_share(run), *counts)
        yield "| " + " | ".join(map(_cell, row)) + " |"


def worst_causes(run: TargetRun, most: int) -> Iterator[str]:
    """Yields a line for each of the causes that concern most cells, with one of these cells."""
    for cause, count, cell in causes(run.cells)[:most]:
        yield f"- {count:,} cells: {_line(cause)} (`{cell}`)"


def markdown(runs: Sequence[TargetRun]) -> str:
    """Returns the summary: the board, the causes of each run, and what changed between runs of one gateway."""
    lines = ["## LLM gateway conformance", "", *board(runs)]
    for run in ranked(runs):
        if found := list(worst_causes(run, 5)):
            lines += ["", f"### {_line(run.gateway.name)}: what concerns most cells", "", *found]
    for diff in run_diffs(runs):
        lines += ["", *_changes(runs, diff)]
    return "\n".join(lines) + "\n"


def _changes(runs: Sequence[TargetRun], diff: RunDiff) -> Iterator[str]:
    old, new = runs[diff.before], runs[diff.after]
    names = " → ".join(f"{run.gateway.version or 'no version'} ({run.at[:16].replace('T', ' ')})" for run in (old, new))
    yield f"### {_line(new.gateway.name)}: {names}"
    yield ""
    yield f"{len(diff.fixed):,} fixed, {len(diff.broken):,} broken, {len(diff.changed):,} changed otherwise."
    for title, changes in (("broken", diff.broken), ("fixed", diff.fixed)):
        yield from _listed(title, changes)


def _listed(title: str, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes[:SHOWN_CHANGES]:
        yield f"- {title}: `{change.cell}`: {LABELS[change.before]} → {LABELS[change.after]}"
    if len(changes) > SHOWN_CHANGES:
        yield f"- {title}: and {len(changes) - SHOWN_CHANGES:,} more"


def _line(text: str) -> str:
    return text.replace("<", "&lt;").replace("\n", " ")


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
