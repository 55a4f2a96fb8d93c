"""Writes logs from threads of their own: a full or stalled disk costs entries, which are counted, and nothing else."""

from __future__ import annotations

import logging
import os
import queue
import stat
import threading
from pathlib import Path

log = logging.getLogger("crosswire")

MIB = 1024 * 1024


class LogWriter:
    """Writes entries of bytes in a thread, at most `limit` bytes of which wait; what comes beyond is dropped.

    Where writing fails the entry is dropped, and the next one is tried; the first loss and the recovery are logged.
    """

    what = "log"
    reports = True
    """True if losses are logged; not of the log itself."""

    def __init__(self, limit: int = 16 * MIB, end_s: float = 1.0) -> None:
        self.limit = limit
        self.end_s = end_s
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        # each number has one thread that changes it, so that none needs a lock
        self._put = self._taken = 0
        self._overflown = self._failed = 0
        self._losing = False
        self._thread = threading.Thread(target=self._run, name=self.what, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The number of entries that were lost."""
        return self._overflown + self._failed

    def put(self, data: bytes, name: str = "") -> None:
        """Queues an entry, or drops it where too much waits; never blocks. One alone may be larger than the limit."""
        waiting = self._put - self._taken
        if waiting and waiting + len(data) > self.limit:
            self._overflown += 1
            self._lose("it is written too slowly")
            return
        self._put += len(data)
        self._queue.put((name, data))

    def close(self) -> bool:
        """Writes what waits and ends the thread; returns False where that takes too long and is given up."""
        self._queue.put(None)
        self._thread.join(self.end_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            name, data = entry
            try:
                self._write(name, data)
            except Exception as fault:  # whatever it is, the thread lives on for the next entry
                self._failed += 1
                where = f"{file} " if (file := getattr(fault, "filename", None)) else ""
                self._lose(f"{where}cannot be written: {getattr(fault, 'strerror', None) or type(fault).__name__}")
            else:
                self._recover(len(data))
            self._taken += len(data)
        self._end()

    def _write(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        """Releases what the writer holds, after the last entry."""

    def _lose(self, why: str) -> None:
        if not self._losing and self.reports:
            log.error("the %s loses entries: %s", self.what, why)
        self._losing = True

    def _recover(self, size: int) -> None:
        """An entry was written; once little waits as well, nothing is being lost any more."""
        if self._losing and self._put - self._taken - size <= self.limit // 2:
            self._losing = False
            if self.reports:
                log.warning("the %s is written again; %d entries were lost in all", self.what, self.dropped)


class LineWriter(LogWriter):
    """Appends lines to an open file."""

    def __init__(self, handle: int, path: str, limit: int = 16 * MIB, end_s: float = 1.0) -> None:
        self._handle = handle
        self._path = path
        self._torn = False
        """True if the last line was written in part, so that the next must begin on a line of its own."""
        super().__init__(limit, end_s)

    def _write(self, name: str, data: bytes) -> None:
        rest = memoryview(b"\n" + data if self._torn else data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
                self._torn = bool(rest)
        except OSError as fault:
            fault.filename = self._path
            raise


def open_private(path: Path) -> int:
    """Opens a file to append to it, readable by its owner alone, also where it is there already."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode) and mode & 0o077:
        try:
            os.fchmod(handle, 0o600)
        except OSError as fault:
            os.close(handle)
            fault.filename = str(path)
            raise
        log.warning("%s was readable by others; it holds requests, so it is its owner's alone from now on", path)
    return handle
