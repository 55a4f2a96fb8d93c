"""The record of one request, for headers, logs, metrics and `/crosswire/requests/{id}`: no bodies, no secrets."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .. import headers
from ..costs.price import NANO
from ..ir import Added, Failure, Loss, Usage
from ..ir.losses import features
from ..ir.rate_limits import RateLimit
from ..routing import Decision

OUTRUN = "outrun"
"""The outcome of an attempt that was given up because another one at the same time answered first."""


class Attempt(Struct):
    """One attempt at one backend: its outcome (`answered`, a kind of failure, `outrun` or `aborted`), and its
    milliseconds.

    `rate_limits` are those that its provider had named last when the request ended.
    """

    backend: str
    model: str
    outcome: str = "aborted"
    relayed: bool = False
    ms: float = 0.0
    rate_limits: tuple[RateLimit, ...] = ()
    protocol: str | None = None
    """The protocol that it was asked by, of a backend that speaks several."""
    began_ms: float = 0.0
    """Milliseconds from the arrival of the request to the beginning of the attempt."""


class Hedged(Struct):
    """Two calls for one request, because the first was late: who was called `after_ms`, and what both cost.

    `winner` answered; the `loser` was given up, and its cost is that of its prompt alone. Both are None where neither
    began to answer. Costs are in dollars, None where they are not known.
    """

    first: str
    second: str
    after_ms: float
    winner: str | None = None
    loser: str | None = None
    loser_model: str | None = None
    cost_usd: float | None = None
    loser_cost_usd: float | None = None


class Record(Struct):
    """One request from arrival to end. `backend_used` and `model_used` are of the attempt that answered, or None.

    `what` was asked: `chat`, `count`, `embeddings`, `compact` or `stored`.
    `repaired` names what was accepted of the client's request and the backend's answer although it breaks its protocol.
    `stages` are the ends of its stages, in milliseconds since it arrived.
    """

    request_id: str
    at: float
    frontend: str
    what: str = "chat"
    model: str | None = None
    stream: bool = False
    decision: Decision | None = None
    attempts: list[Attempt] = []
    backend_used: str | None = None
    model_used: str | None = None
    losses: list[Loss] = []
    losses_left_out: int = 0
    """Number of losses beyond those that a record in memory keeps."""
    added: tuple[Added, ...] = ()
    """Additions that the backend needs, or the config asks for, and that the client did not say."""
    repaired: list[str] = []
    usage: Usage | None = None
    status: int | None = None
    outcome: str = "aborted"
    error: Failure | None = None
    ttft_ms: float | None = None
    stages: list[tuple[str, float]] = []
    total_ms: float | None = None
    client: str | None = None
    """The name of the client that asked; None where nobody needs a key."""
    hedged: Hedged | None = None
    """The two calls of a hedged request; None where it was sent once."""
    cost: int | None = None
    """The cost in billionths of a dollar; None where it is not counted, or the price is not known."""

    @property
    def id(self) -> str:
        """The id of this execution: its time of arrival (UTC), and the end of its request's id."""
        came = time.strftime("%Y%m%d_%H%M%S", time.gmtime(self.at))
        return f"exec_{came}_{self.request_id[-8:]}"

    def rendered(self) -> dict[str, Any]:
        """The record as JSON shows it: with its id, its mode, and each stage with its own milliseconds.

        Of the decision, empty notes, score and cascade and a chain of one are left out.
        """
        ends = [0.0, *(end for _, end in self.stages)]
        stages = [
            {"stage": name, "ms": round(end - before, 3)}
            for (name, end), before in zip(self.stages, ends, strict=False)
        ]
        attempts = msgspec.to_builtins(self.attempts)
        for attempt in attempts:
            for key in ("rate_limits", "protocol"):
                if not attempt[key]:
                    del attempt[key]
            del attempt["began_ms"]
        shown: dict[str, Any] = {"id": self.id, **msgspec.to_builtins(self), "mode": None, "stages": stages}
        shown["attempts"] = attempts
        if not self.losses_left_out:
            del shown["losses_left_out"]
        del shown["cost"]
        if self.client is None:
            del shown["client"]
        if self.cost is not None:
            shown["cost_usd"] = self.cost / NANO
        if not self.added:
            del shown["added"]
        if self.hedged is None:
            del shown["hedged"]
        if self.decision is not None:
            shown["mode"] = self.decision.mode
            shown["decision"] |= shown_balance(shown["decision"])
            for key in ("notes", "score", "cascade", "balance", "weights", "standings"):
                if not shown["decision"][key]:
                    del shown["decision"][key]
            if len(self.decision.chain) <= 1:  # `chosen` once more
                del shown["decision"]["chain"]
        return shown

    def response_headers(self, kept: Container[str] = headers.ROUTING) -> dict[str, str]:
        """Those `x-crosswire-*` headers that are kept, as far as they are known by now."""
        out = {}
        attempts, decision = self.attempts, self.decision
        if attempts and headers.ATTEMPTS in kept:
            out[headers.ATTEMPTS] = str(len(attempts))
        if self.backend_used is not None and headers.BACKEND in kept:
            out[headers.BACKEND] = self.backend_used
        if self.model_used is not None and headers.MODEL in kept:
            out[headers.MODEL] = headers.printable(self.model_used)
        if decision is not None and headers.ROUTE in kept:
            protocol = attempts[-1].protocol if attempts else None
            spoken = "" if protocol is None else f"; by {protocol}"
            out[headers.ROUTE] = headers.printable(f"{decision.mode}; {decision.because}{spoken}")
        if self.losses and headers.LOSS in kept:
            out[headers.LOSS] = ",".join(features(self.losses))
        return out


def shown_balance(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Of a decision as plain data how it was balanced, as records and explanations show it; empty where it was not."""
    balance, standings = decision["balance"], decision["standings"]
    if balance is None:
        return {}
    shown = {"strategy": balance["strategy"]}
    if balance["strategy"] == "sticky":
        shown["sticky_by"] = balance["sticky_by"]
    if balance["hedge"] is not None:
        shown["hedge"] = {key: value for key, value in balance["hedge"].items() if value is not None}
    targets = [{key: value for key, value in each.items() if value is not None} for each in standings]
    return {"balance": shown, "weights": (), "standings": targets}


RECORD_SIZE = 4096
"""Bytes that a record takes beside the texts that clients and backends wrote."""

BATCH = 64
"""Ended requests that are sorted in and counted together: one by one that costs three times as much."""

MOST_LOSSES = 100
"""Losses of a record that are kept."""


class RecordBuffer:
    """The last records by id, as many as there may be and as fit into `memory` bytes; the oldest are dropped."""

    def __init__(self, size: int, memory: int) -> None:
        self._size = size
        self.memory = memory
        self._records: OrderedDict[str, tuple[Record, int, int]] = OrderedDict()
        """A record, its bytes and its number, by the id of its request."""
        self._fresh: list[tuple[Record, int]] = []
        """The newest records with their numbers, which are not sorted in yet."""
        self._used = 0
        self.added = 0
        """The number of the last record; of one process, how many were ever added."""
        self.next_number: Callable[[int], int] = _one_more
        """The number that follows another one."""

    @property
    def used(self) -> int:
        """Bytes of the records, by estimate."""
        self._sort_in()
        return self._used

    def add(self, record: Record) -> None:
        if self._size:
            self.added = self.next_number(self.added)
            self._fresh.append((record, self.added))
            if len(self._fresh) >= BATCH or is_large(record):
                self._sort_in()

    def _sort_in(self) -> None:
        """Sorts the newest records in, and drops the oldest ones."""
        fresh, self._fresh = self._fresh, []
        for record, number in fresh:
            self._sort_in_one(record, number)

    def _sort_in_one(self, record: Record, number: int) -> None:
        if len(record.losses) > MOST_LOSSES:
            left_out = len(record.losses) - MOST_LOSSES
            record = replace(record, losses=record.losses[:MOST_LOSSES], losses_left_out=left_out)
        taken = memory_of(record)
        if (before := self._records.pop(record.request_id, None)) is not None:
            self._used -= before[1]
        self._records[record.request_id] = record, taken, number
        self._used += taken
        while self._records and (len(self._records) > self._size or self._used > self.memory):
            self._used -= self._records.popitem(last=False)[1][1]

    def get(self, id_: str) -> Record | None:
        """The record with this request id or execution id."""
        self._sort_in()
        if id_.startswith("exec_"):
            return next((record for record, *_ in self._records.values() if record.id == id_), None)
        found = self._records.get(id_)
        return None if found is None else found[0]

    def newest(self, after: int = 0) -> list[tuple[int, Record]]:
        """The records with a number above this one, each with its number, the newest first."""
        self._sort_in()
        found = []
        for record, _, number in reversed(self._records.values()):
            if number <= after:
                break
            found.append((number, record))
        return found


def is_large(record: Record) -> bool:
    """Returns whether a record holds what a client or a backend can make large, so that it must not wait whole."""
    return record.error is not None or len(record.losses) > MOST_LOSSES


def _one_more(number: int) -> int:
    return number + 1


def memory_of(record: Record) -> int:
    """The bytes that a record takes, by estimate: what varies are texts."""
    size = RECORD_SIZE + 4 * len(record.model or "") + 400 * len(record.attempts)
    if record.error is not None:
        size += 4 * len(record.error.message)
    if record.losses:
        size += sum(100 + 4 * len(loss.path) for loss in record.losses)
    if record.decision is not None:
        size += 300 * (len(record.decision.considered) + len(record.decision.chain))
    return size
