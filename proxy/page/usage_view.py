"""The usage as the page plots it: requests, tokens and cost by client, by model, and over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..costs.price import NANO
from ..gateway.runtime import Runtime
from .request_view import cost_of

SLOTS = 24
"""Slots of time in a plot of the records that are kept."""

DAY_S = 86400

DAYS = (1, 7, 30, 90)
"""Numbers of days that can be asked for."""

NOBODY = "—"
"""Name of whoever has none: no client, no model."""


async def show_usage(runtime: Runtime, days: int) -> dict[str, Any]:
    """Sums of the last days from the store, where there is one; else of the requests whose records are kept."""
    since = runtime.clock() - days * DAY_S
    budgets = [] if runtime.guard is None else runtime.guard.spent_budgets()
    shown: dict[str, Any] = {
        "days": days,
        "budgets": [
            {"owner": owner, "period": kind, "spent": used, "limit": most} for owner, kind, used, most in budgets
        ],
    }
    if runtime.read_usage is None:
        return shown | _of_records(runtime, since)
    by_client = await runtime.read_usage(("client",), since)
    by_model = await runtime.read_usage(("model_used",), since)
    by_day = await runtime.read_usage(("day", "client"), since)
    return shown | {
        "source": "store",
        "by_client": [_sum(row["client"], row) for row in by_client],
        "by_model": [_sum(row["model_used"], row) for row in by_model],
        "over_time": [
            {"at": row["day"] * DAY_S, "name": row["client"] or NOBODY, **_money(row)}
            for row in sorted(by_day, key=lambda row: int(row["day"]))
        ],
        "slot_s": DAY_S,
    }


def _of_records(runtime: Runtime, since: float) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "at": record.at,
            "client": record.client,
            "model_used": record.model_used or record.model,
            "requests": 1,
            "failed": int(record.outcome != "answered"),
            "input": 0 if record.usage is None else record.usage.prompt or 0,
            "output": 0 if record.usage is None else record.usage.output or 0,
            "cost": cost_of(runtime, record) or 0,
        }
        for _, record in runtime.records.newest()
        if record.at >= since
    ]
    first: float = min((row["at"] for row in rows), default=since)
    slot = max(1.0, (runtime.clock() - first) / SLOTS)
    over_time = _grouped(rows, lambda row: (first + (row["at"] - first) // slot * slot, row["client"]))
    return {
        "source": "records",
        "by_client": [_sum(name, row) for name, row in _ordered(_grouped(rows, lambda row: row["client"]))],
        "by_model": [_sum(name, row) for name, row in _ordered(_grouped(rows, lambda row: row["model_used"]))],
        "over_time": [
            {"at": at, "name": name or NOBODY, **_money(row)}
            for (at, name), row in sorted(over_time.items(), key=lambda each: (each[0][0], str(each[0][1])))
        ],
        "slot_s": slot,
    }


def _grouped(rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], Any]) -> dict[Any, dict[str, int]]:
    found: dict[Any, dict[str, int]] = {}
    for row in rows:
        total = found.setdefault(key(row), dict.fromkeys(("requests", "failed", "input", "output", "cost"), 0))
        for name in total:
            total[name] += row[name]
    return found


def _ordered(found: Mapping[Any, dict[str, int]]) -> list[tuple[Any, dict[str, int]]]:
    return sorted(found.items(), key=lambda each: (-each[1]["cost"], -each[1]["requests"], str(each[0])))


def _sum(name: str | None, row: Mapping[str, Any]) -> dict[str, Any]:
    tokens = {"input": row["input"] + row.get("cache_read", 0) + row.get("cache_write", 0), "output": row["output"]}
    return {"name": name or NOBODY, "failed": row["failed"], **tokens, **_money(row)}


def _money(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"requests": row["requests"], "cost": row["cost"] / NANO}


def add_usage(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of several processes; where they come from the store each has those of all."""
    if every[0]["source"] == "store":
        return dict(every[0])
    over_time = sorted((row for one in every for row in one["over_time"]), key=lambda row: float(row["at"]))
    added = {key: _added(row for one in every for row in one[key]) for key in ("by_client", "by_model")}
    return {**every[0], **added, "over_time": over_time, "slot_s": max(one["slot_s"] for one in every)}


def _added(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(row["name"], dict.fromkeys(row, 0) | {"name": row["name"]})
        for key in row:
            if key != "name":
                known[key] += row[key]
    return sorted(found.values(), key=lambda row: (-row["cost"], -row["requests"], row["name"]))
