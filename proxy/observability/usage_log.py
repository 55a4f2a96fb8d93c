"""The ledger of usage: a row a request, collected in memory and written in batches, off the path of requests."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, TypeAlias

from ..errors import StoreError
from ..ir.losses import features
from .request_record import Record

log = logging.getLogger("crosswire")

EVERY_S = 1.0
"""Seconds between two batches."""

BATCH = 1000
"""Rows of a batch."""

FRESH = 100
"""Requests whose rows are made together, which costs half of what it does one by one."""

MOST_WAITING = 100_000
"""Rows that wait while the database cannot be written; what comes beyond is lost and counted."""

Row: TypeAlias = tuple[Any, ...]

COLUMNS = (
    *("at", "request_id", "client", "tags", "frontend", "operation", "model", "backend", "model_used", "stream"),
    *("status", "outcome", "attempts", "input", "output", "cache_read", "cache_write", "reasoning", "cost"),
    *("losses", "first_ms", "total_ms"),
)
"""The columns of a row, in its order."""


class UsageLog:
    """Collects rows, and gives them to `write` in batches. A batch that cannot be written waits for the next try."""

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[None]]) -> None:
        self._write = write
        self._fresh: list[tuple[Record, tuple[str, ...]]] = []
        """The last requests, of which there are no rows yet."""
        self._waiting: deque[Row] = deque()
        self._failing = False
        self.dropped = 0
        """Rows that were lost because too many waited."""
        self.written = 0
        """Rows that were written."""

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._waiting) + len(self._fresh)

    def add(self, record: Record, tags: tuple[str, ...]) -> None:
        """Takes the row of a request that has ended, of which nothing changes any more."""
        fresh = self._fresh
        if len(self._waiting) + len(fresh) >= MOST_WAITING:
            self.dropped += 1
            return
        fresh.append((record, tags))
        if len(fresh) >= FRESH:
            self._make_rows()

    def take(self, rows: Sequence[Row]) -> bool:
        """Takes rows that another process collected, all of them or none; returns whether there was room."""
        if self.waiting + len(rows) > MOST_WAITING:
            return False
        self._waiting.extend(rows)
        return True

    async def run(self) -> None:
        """Writes for ever; a database that fails is tried again with the next batch."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> bool:
        """Writes all that waits; returns whether it is all written."""
        while self.waiting:
            self._make_rows()
            batch = list(islice(self._waiting, BATCH))
            try:
                await self._write(batch)
            except StoreError as fault:
                if not self._failing:
                    log.warning("the usage is not written, and waits: %s", fault)
                self._failing = True
                return False
            for _ in batch:
                self._waiting.popleft()
            self.written += len(batch)
            if self._failing:
                self._failing = False
                log.warning("the usage is written again")
        return True

    def _make_rows(self) -> None:
        self._waiting.extend([_row(record, tags) for record, tags in self._fresh])
        self._fresh.clear()


def _row(record: Record, tags: tuple[str, ...]) -> Row:
    usage = record.usage
    tokens: tuple[int | None, ...] = (None,) * 5
    if usage is not None:
        tokens = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    losses = _joined(features(record.losses)) if record.losses else ""
    return (
        *(record.at, record.request_id, record.client, _joined(tags), record.frontend, record.what, record.model),
        *(record.backend_used, record.model_used, record.stream, record.status, record.outcome, len(record.attempts)),
        *(*tokens, record.cost, losses, record.ttft_ms, record.total_ms or 0.0),
    )


def _joined(words: Sequence[str]) -> str:
    """The words with a comma around each, so that one can be searched for."""
    return f",{','.join(words)}," if words else ""
