"""The ledger of usage: batches, a database that fails, and the bound on what waits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from crosswire.proxy.errors import StoreError
from crosswire.proxy.ir import Loss, Usage
from crosswire.proxy.observability import usage_log
from crosswire.proxy.observability.request_record import Record
from crosswire.proxy.observability.usage_log import BATCH, COLUMNS, FRESH, Row, UsageLog


class Database:
    def __init__(self) -> None:
        self.batches: list[Sequence[Row]] = []
        self.fails = False

    async def write(self, rows: Sequence[Row]) -> None:
        if self.fails:
            raise StoreError("store: is gone")
        self.batches.append(list(rows))


def record(number: int = 0) -> Record:
    return Record(f"req_{number}", 1.0, "f", client="ada", usage=Usage(1, 2, 3, 4, 5), cost=6, total_ms=7.0)


async def test_rows_are_written_in_batches_and_in_order() -> None:
    database = Database()
    log = UsageLog(database.write)
    for number in range(BATCH + 5):
        log.add(record(number), ("a", "b"))
    assert await log.flush()
    assert [len(batch) for batch in database.batches] == [BATCH, 5]
    first = dict(zip(COLUMNS, database.batches[0][0], strict=True))
    assert first["request_id"] == "req_0"
    assert (first["client"], first["tags"], first["cost"]) == ("ada", ",a,b,", 6)
    assert [first[name] for name in ("input", "output", "cache_read", "cache_write", "reasoning")] == [1, 2, 3, 4, 5]
    assert (log.written, log.waiting) == (BATCH + 5, 0)


async def test_rows_of_other_processes_stand_among_them() -> None:
    """As many rows wait as there are, also of requests whose rows are not made yet."""
    database = Database()
    log = UsageLog(database.write)
    theirs = tuple(range(len(COLUMNS)))
    for number in range(FRESH + 1):
        log.add(record(number), ())
    assert log.take([theirs, theirs])
    assert log.waiting == FRESH + 3
    assert await log.flush()
    assert [len(batch) for batch in database.batches] == [FRESH + 3]
    assert {row[1] for row in database.batches[0]} == {f"req_{number}" for number in range(FRESH + 1)} | {1}
    assert log.waiting == 0


async def test_a_database_that_fails_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    database = Database()
    log = UsageLog(database.write)
    database.fails = True
    for number in range(3):
        log.add(record(number), ())
        assert not await log.flush()
    database.fails = False
    assert await log.flush()
    assert [row[1] for row in database.batches[0]] == ["req_0", "req_1", "req_2"]
    assert len(caplog.messages) == 2, "said once, and once that it is over"


async def test_what_waits_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_log, "MOST_WAITING", 10)
    log = UsageLog(Database().write)
    for number in range(25):
        log.add(record(number), ())
    assert (log.waiting, log.dropped) == (10, 15)


async def test_losses_are_words() -> None:
    found = record()
    found.losses = [Loss("$.top_k", "top_k", "dropped"), Loss("$.seed", "seed", "dropped")]
    database = Database()
    log = UsageLog(database.write)
    log.add(found, ())
    await log.flush()
    row = dict(zip(COLUMNS, database.batches[0][0], strict=True))
    assert set(row["losses"].strip(",").split(",")) == {"top_k", "seed"}
