"""`python -m benchmarks.keys`: what keys, limits and usage rows cost a unary request; prints µs of CPU.

Measured are the very functions that a request calls for it, beside the same request without clients: the client of a
key, its permissions, the reservation on its limits, the headers, the settlement, the cost, and the row of usage, which
is then written to a SQLite file in batches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from multidict import CIMultiDict

from crosswire.proxy.clients.client import Client
from crosswire.proxy.config import load
from crosswire.proxy.gateway.backend_factory import make_backend
from crosswire.proxy.gateway.context import RequestContext
from crosswire.proxy.gateway.gateway import Gateway
from crosswire.proxy.gateway.ids import random_ids
from crosswire.proxy.ir import Usage
from crosswire.proxy.observability.request_record import Attempt
from crosswire.proxy.observability.usage_log import COLUMNS, Row, UsageLog
from crosswire.proxy.protocols import DEFAULT
from crosswire.proxy.store import usage
from crosswire.proxy.store.database import Store

TARGET_US = 20
CLIENTS = 50
MODEL = "gpt-5-mini"
LIMITS = {"requests": "1000000/min", "tokens": "1000000000/min", "concurrent": 1000}
BUDGETS = {
    "budgets": [{"usd": 1e6, "per": "day", "zone": "Europe/Berlin"}, {"usd": 1e6, "per": "month", "rolling": True}]
}


def a_gateway(**grants: Any) -> Gateway:
    """A gateway with clients, each with these grants."""
    clients = {
        f"client-{n}": {"key": f"cw-bench-{n:03}-0123456789abcdef", "models": ["gpt-*"], **grants}
        for n in range(CLIENTS)
    }
    backends = {"b": {"protocol": "openai-chat", "base_url": "http://127.0.0.1:1/v1", "api_key": "sk-0123456789"}}
    config = load(json.dumps({"clients": clients, "backends": backends}), "bench.yaml", {})
    return Gateway(config, make_backend, clock=time.time, ids=random_ids)


def ended(context: RequestContext) -> None:
    """Fills in what a request's record has at its end."""
    record = context.record
    record.attempts.append(Attempt("b", MODEL, "answered"))
    record.backend_used, record.model_used, record.model = "b", MODEL, MODEL
    record.usage, record.outcome, record.total_ms = Usage(100, 50), "answered", 1.0


async def without(gateway: Gateway) -> None:
    context = RequestContext(gateway, DEFAULT, "req_0123456789")
    ended(context)


async def with_clients(gateway: Gateway, fields: CIMultiDict[str]) -> None:
    registry, guard = gateway.config.clients, gateway.guard
    assert registry is not None
    assert guard is not None
    client = registry.identify(fields, {}, gateway.clock())
    assert isinstance(client, Client)
    context = RequestContext(gateway, DEFAULT, "req_0123456789")
    caller = context.caller = guard.caller(client)
    await caller.check_state(gateway.owners, None)
    caller.check(DEFAULT.name, MODEL, {})
    await caller.reserve(MODEL, gateway.backends["b"].config, MODEL, 100, None)
    ended(context)
    now = gateway.clock()
    DEFAULT.write_rate_limits(caller.rate_limits(now), now)
    context._account()


async def measure(folder: str, rounds: int, calls: int, **grants: Any) -> float:
    """The best of the rounds, in microseconds of CPU a request."""
    gateway = a_gateway(**grants)

    store = Store(f"sqlite:///{folder}/usage.db", {})

    async def write(rows: Sequence[Row]) -> None:
        async with store.appending() as connection:
            await usage.append(connection, COLUMNS, rows)

    fields = CIMultiDict({"host": "x", "authorization": "Bearer cw-bench-007-0123456789abcdef", "accept": "*/*"})
    best = float("inf")
    for _ in range(rounds):
        gateway.ledger = UsageLog(write)
        started = time.process_time()
        for _ in range(calls):
            await without(gateway)
        base = time.process_time() - started
        started = time.process_time()
        for _ in range(calls):
            await with_clients(gateway, fields)
        await gateway.ledger.flush()
        best = min(best, (time.process_time() - started - base) / calls)
    await gateway.close()
    await store.close()
    return best * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=10_000)
    args = parser.parse_args()
    cases = {
        "keys, usage rows": {},
        "keys, limits, usage rows": LIMITS,
        "keys, limits, budgets, usage rows": {**LIMITS, **BUDGETS},
    }
    figures = {}
    for name, grants in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = asyncio.run(measure(folder, args.rounds, args.calls, **grants))
    for name, figure in figures.items():
        print(f"{name:36} {figure:6.1f} µs")
    return 0 if figures["keys, limits, usage rows"] <= TARGET_US else 1


if __name__ == "__main__":
    sys.exit(main())
