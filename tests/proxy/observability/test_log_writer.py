"""Logs on disks that are full, that stall, or that others can read: entries are lost and counted, nothing else."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crosswire.proxy.observability import log_writer
from crosswire.proxy.observability.log_writer import LineWriter, LogWriter
from crosswire.proxy.observability.record_log import RecordFiles, StageLog
from crosswire.proxy.observability.request_record import Record

from ..proxy_fixture import config, one, stage
from ..sample_messages import ask, dumps, reply
from ..scripted_upstream import http, upstream


def until(holds: Callable[[], bool]) -> None:
    """Waits for a writer's thread."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def record(number: int = 0) -> Record:
    return Record(f"req_{number:08d}", 1_760_000_000.0, "ollama")


# ---- who can read them -----------------------------------------------------------------------------------------------


def test_logs_and_records_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log = StageLog(tmp_path / "new.jsonl")
        files = RecordFiles(tmp_path / "deep" / "records")
        files.write(record())
        log.close()
        files.close()
    finally:
        os.umask(before)
    (file,) = (tmp_path / "deep" / "records").iterdir()
    assert (mode(tmp_path / "new.jsonl"), mode(file), mode(file.parent)) == (0o600, 0o600, 0o700)


def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text("{}\n")
    path.chmod(0o644)
    StageLog(path).close()
    assert (mode(path), path.read_text()) == (0o600, "{}\n")
    assert "was readable by others" in caplog.text


def test_a_log_that_is_no_file_keeps_its_mode() -> None:
    before = mode(Path("/dev/null"))
    StageLog(Path("/dev/null")).close()
    assert mode(Path("/dev/null")) == before


# ---- full disks ------------------------------------------------------------------------------------------------------


class Disk:
    """Stands in for `os.write`: full until it is told otherwise, after `room` more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room: float = room
        self._write = os.write
        monkeypatch.setattr(log_writer.os, "write", self.write)

    def write(self, handle: int, data: bytes) -> int:
        size = int(min(len(data), self.room))
        if not size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size
        return self._write(handle, bytes(data[:size]))


def test_a_stage_log_recovers_from_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line that was cut stays alone on its line, and every other one is whole."""
    disk = Disk(monkeypatch, room=12)
    log = StageLog(tmp_path / "s.jsonl")
    for number in range(3):
        log.write({"n": number})
    until(lambda: log.dropped == 2)
    assert disk.room == 0
    disk.room = float("inf")
    log.write({"n": 3})
    assert log.close()
    assert (tmp_path / "s.jsonl").read_text().splitlines() == ['{"n":0}', '{"n"', '{"n":3}']
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR, logging.WARNING]
    assert "the stage log is written again; 2 entries were lost in all" in caplog.text


def test_records_recover_and_none_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk fails in the middle of a file; what has a record's name is whole at every moment."""
    folder = tmp_path / "r"
    files = RecordFiles(folder)
    real, full = Path.rename, True

    def rename(self: Path, target: Path) -> Path:
        assert json.loads(self.read_bytes())["request_id"].startswith("req_")  # whole before it has its name
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    for number in range(2):
        files.write(record(number))
    until(lambda: files.dropped == 2)
    assert list(folder.iterdir()) == []
    full = False
    files.write(record(2))
    assert files.close()
    (found,) = folder.iterdir()
    assert (found.name, json.loads(found.read_bytes())["request_id"]) == (f"{record(2).id}.json", "req_00000002")


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    files = RecordFiles(tmp_path / "r")
    (tmp_path / "r").rmdir()
    files.write(record())
    assert files.close()
    assert len(list((tmp_path / "r").iterdir())) == 1


# ---- stalled disks ---------------------------------------------------------------------------------------------------


class Stalled(LogWriter):
    """A log whose disk answers once the test lets it."""

    what = "stalled log"

    def __init__(self, limit: int) -> None:
        self.gate = threading.Event()
        self.written: list[bytes] = []
        super().__init__(limit, end_s=0.05)

    def _write(self, name: str, data: bytes) -> None:
        self.gate.wait(20)
        self.written.append(data)


def test_a_stalled_disk_costs_a_bounded_number_of_bytes(caplog: pytest.LogCaptureFixture) -> None:
    log = Stalled(limit=10_000)
    for _ in range(1000):
        log.put(b"x" * 1000)
    assert log.dropped == 990
    assert caplog.text.count("loses entries: it is written too slowly") == 1
    assert not log.close()  # gives up, and does not wait for the disk
    log.gate.set()
    until(lambda: len(log.written) == 10)
    assert "stalled log is written again" in caplog.text


def test_one_entry_may_be_larger_than_all_that_may_wait() -> None:
    log = Stalled(limit=10)
    log.gate.set()
    log.put(b"x" * 100)
    until(lambda: len(log.written) == 1)
    assert (log.close(), log.dropped) == (True, 0)


def test_a_pipe_without_a_reader_does_not_stop_the_writer(tmp_path: Path) -> None:
    """A file on a stalled disk: a write that never returns."""
    read, write = os.pipe()
    log = LineWriter(write, "pipe", limit=100_000, end_s=0.05)
    for _ in range(1000):
        log.put(b"x" * 999 + b"\n")
    assert log.dropped > 500
    assert not log.close()
    os.set_blocking(read, False)
    until(lambda: not _drained(read, log))
    os.close(read)
    os.close(write)


def _drained(read: int, log: LineWriter) -> bool:
    """Reads what is in the pipe; returns whether the writer is still busy."""
    with contextlib.suppress(BlockingIOError):
        os.read(read, 2**20)
    return log._thread.is_alive()


async def test_lost_entries_are_a_metric(tmp_path: Path) -> None:
    full = Path("/dev/full")
    async with (
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url)), stage_log=full) as it,
    ):
        assert (await it.ask("/api/chat", ask("ollama"))).status == 200
        while 'crosswire_log_dropped_total{log="stage log"} 4.0' not in await it.metrics():
            pass
