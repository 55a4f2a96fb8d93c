"""The requests as the page shows them: rows of a list, one request with its bodies, and its decision made once more."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from ..costs.price import NANO
from ..endpoints.explain import explain
from ..errors import Malformed
from ..gateway.context import RequestContext
from ..gateway.runtime import Runtime
from ..ir.losses import features
from ..observability.body_buffer import Exchange, Wire
from ..observability.request_record import Record
from ..wire import json_fields

MOST_ROWS = 2000
"""Rows of one answer."""

UNDER_WAY = "aborted"
"""The outcome of an attempt that has no other yet."""

MOST_RUNNING = 100
"""Requests under way that are shown, those that began first."""

NO_BODIES = "The bodies of this request are not kept; `ui: {bodies: true}` in the config keeps those of later ones."


def list_requests(runtime: Runtime, after: int) -> dict[str, Any]:
    """The requests that ended after the one with this number, the newest first, those under way, and the state of the
    proxy."""
    newest = runtime.records.newest(after)[:MOST_ROWS]
    return {
        "rows": [_row(runtime, number, record) for number, record in newest],
        "running": [_running(runtime, each) for each in islice(runtime.under_way.values(), MOST_RUNNING)],
        "last": runtime.records.added,
        "state": {
            "now": runtime.clock(),
            "began": runtime.began,
            "in_flight": runtime.metrics.in_flight,
            "streams": runtime.streams,
            "keeps": runtime.config.settings.records,
            "bodies": runtime.bodies is not None,
            "complaints": [*runtime.config_complaints, *filter(None, (runtime.store_complaint,))],
        },
    }


def _running(runtime: Runtime, it: RequestContext) -> dict[str, Any]:
    """A request that has not ended: what is known of it so far, how far it is, and its age."""
    record = it.record
    last = record.attempts[-1] if record.attempts else None
    if last is None:
        stage = "waits" if record.stages else "is read"
    elif record.ttft_ms is not None:
        stage = "streams"
    else:
        stage = "is called" if last.outcome == UNDER_WAY else "waits"  # between two attempts
    return {
        "id": record.request_id,
        "at": record.at,
        "client": it.client_name,
        "frontend": record.frontend,
        "what": record.what,
        "model": record.model,
        "stream": record.stream,
        "backend": None if last is None else last.backend,
        "model_used": None if last is None else last.model,
        "stage": stage,
        "attempts": len(record.attempts),
        "losses": features(record.losses),
        "ms": max(0.0, (runtime.clock() - record.at) * 1000),
    }


def cost_of(runtime: Runtime, record: Record) -> int | None:
    """The cost of a request in billionths of a dollar; None where the price or the usage is not known."""
    if record.cost is not None:
        return record.cost
    backend = runtime.backends.get(record.backend_used or "")
    if backend is None or record.usage is None:
        return None
    price = runtime.prices.price_at(backend.config.provider, record.model_used or "", local=backend.config.local)
    return None if price is None else price.cost(record.usage)


def _row(runtime: Runtime, number: int, record: Record) -> dict[str, Any]:
    usage, cost = record.usage, cost_of(runtime, record)
    return {
        "number": number,
        "id": record.request_id,
        "at": record.at,
        "client": record.client,
        "frontend": record.frontend,
        "what": record.what,
        "model": record.model,
        "stream": record.stream,
        "backend": record.backend_used,
        "model_used": record.model_used,
        "status": record.status,
        "outcome": record.outcome,
        "attempts": len(record.attempts),
        "losses": features(record.losses),
        "input": None if usage is None else usage.prompt,
        "output": None if usage is None else usage.output,
        "cost": None if cost is None else cost / NANO,
        "first_ms": record.ttft_ms,
        "ms": record.total_ms,
    }


def show_request(runtime: Runtime, record: Record) -> dict[str, Any]:
    """One request: its record, the beginnings of its attempts, its cost, and its bodies as far as they are kept."""
    shown = record.rendered()
    for attempt, told in zip(record.attempts, shown["attempts"], strict=True):
        told["began_ms"] = attempt.began_ms
    cost, exchange = cost_of(runtime, record), _exchange(runtime, record)
    return {
        "record": shown,
        "cost": None if cost is None else cost / NANO,
        "wires": None if exchange is None else [_wire(wire, record) for wire in exchange.wires],
        "no_wires": NO_BODIES if exchange is None else None,
    }


def _exchange(runtime: Runtime, record: Record) -> Exchange | None:
    return None if runtime.bodies is None else runtime.bodies.get(record.request_id)


def _wire(wire: Wire, record: Record) -> dict[str, Any]:
    backend = None
    if wire.stage.startswith("backend") and 0 < wire.attempt <= len(record.attempts):
        backend = record.attempts[wire.attempt - 1].backend
    return {
        "stage": wire.stage,
        "attempt": wire.attempt,
        "backend": backend,
        "ms": wire.ms,
        "body": wire.body.decode("utf-8", "replace"),
        "is_cut": wire.is_cut,
        "is_failure": wire.is_failure,
    }


def client_body(exchange: Exchange | None) -> bytes | None:
    """The whole body of the client's request; None where it is not kept."""
    wires = () if exchange is None else exchange.wires
    return next((wire.body for wire in wires if wire.stage == "client_request" and not wire.is_cut), None)


def explain_again(runtime: Runtime, record: Record) -> dict[str, Any]:
    """The decision for this request by the config and the breakers of now, and whether it is still the same.

    Without its body only its model is known, which `by_model_alone` says. Raises Malformed where it cannot be read.
    """
    asked: dict[str, Any] = {"frontend": record.frontend}
    if record.model:
        asked["model"] = record.model
    if record.decision is not None and record.decision.mode == "pin" and record.decision.chosen is not None:
        asked["pin"] = record.decision.chosen.backend
    body = client_body(_exchange(runtime, record)) if record.what == "chat" else None
    if body is not None:
        asked["request"] = json_fields.parse_object(body)
    elif not record.model:
        raise Malformed("model", "is not known: the request failed before it was read")
    found = explain(runtime.config, asked, runtime.breakers.open_reasons(runtime.now()), runtime)
    before = None if record.decision is None or record.decision.chosen is None else record.decision.chosen
    was = None if before is None else {"backend": before.backend, "model": before.model}
    return {**found, "by_model_alone": body is None, "was": was, "is_same": _is_same(found["chosen"], was)}


def _is_same(now: Mapping[str, Any] | None, was: Mapping[str, Any] | None) -> bool:
    if now is None or was is None:
        return now is was
    return all(now[key] == was[key] for key in ("backend", "model"))
