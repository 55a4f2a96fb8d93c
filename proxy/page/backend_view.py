"""The backends as the page shows them: breaker, load, and what their last attempts took and came to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..gateway.runtime import Runtime
from ..observability.failure_log import address_of
from ..resilience.circuit_breaker import STATES

PERCENTILES = (50, 90, 99)

BLAMELESS = ("answered", "aborted", "bad_request", "context_length", "content_filter", "unprocessable", "too_large")
"""Outcomes of an attempt that are no error of its backend."""


def show_backends(runtime: Runtime) -> dict[str, Any]:
    """Every backend, with figures of its attempts in the records that are kept."""
    return add_backends([figures_of(runtime)])


def figures_of(runtime: Runtime) -> dict[str, Any]:
    """Every backend as this process knows it, with the times and outcomes of its attempts one by one."""
    now = runtime.now()
    down = runtime.breakers.open_reasons(now)
    times: defaultdict[str, list[float]] = defaultdict(list)
    firsts: defaultdict[str, list[float]] = defaultdict(list)
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    newest = runtime.records.newest()
    for _, record in newest:
        for attempt in record.attempts:
            outcomes[attempt.backend][attempt.outcome] += 1
            if attempt.outcome == "answered":
                times[attempt.backend].append(attempt.ms)
        if record.ttft_ms is not None and record.backend_used is not None:
            firsts[record.backend_used].append(record.ttft_ms)
    rows = []
    for name, backend in runtime.backends.items():
        config = backend.config
        rows.append(
            {
                "name": name,
                "protocols": [config.protocol, *(each.config.protocol for each in backend.others)],
                "address": address_of(config),
                "models": list(config.models) or list(runtime.config.plan.offered.get(name, ())),
                "breaker": runtime.breakers.state(name, now),
                "reason": down.get(name) or config.missing_key or runtime.full_reason(name),
                "busy": backend.busy,
                "max_in_flight": config.max_in_flight,
                "outcomes": dict(outcomes[name]),
                "ms": times[name],
                "first_ms": firsts[name],
            }
        )
    return {"backends": rows, "requests": len(newest)}


def add_backends(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several processes as one: the worst breaker, all attempts, and the percentiles of all."""
    rows = []
    for first in every[0]["backends"]:
        same = [row for one in every for row in one["backends"] if row["name"] == first["name"]]
        counts = sum((Counter(row["outcomes"]) for row in same), Counter[str]())
        attempts = counts.total()
        errors = {outcome: number for outcome, number in counts.items() if outcome not in BLAMELESS}
        shown = {key: value for key, value in first.items() if key != "outcomes"}
        rows.append(
            shown
            | {
                "breaker": max((row["breaker"] for row in same), key=STATES.index),
                "reason": next((row["reason"] for row in same if row["reason"]), None),
                "busy": sum(row["busy"] for row in same),
                "attempts": attempts,
                "errors": errors,
                "error_rate": sum(errors.values()) / attempts if attempts else None,
                "ms": percentiles([each for row in same for each in row["ms"]]),
                "first_ms": percentiles([each for row in same for each in row["first_ms"]]),
            }
        )
    return {"backends": rows, "requests": sum(one["requests"] for one in every)}


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """The percentiles of these values, each one of them: the smallest that so many per cent do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return {f"p{each}": ordered[max(0, -(-each * len(ordered) // 100) - 1)] for each in PERCENTILES}
