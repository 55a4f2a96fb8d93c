"""Writes the stage log and the files of records, each in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .request_record import Record

log = logging.getLogger("crosswire")


class _Writer:
    """Writes in a thread of its own, so that the loop never waits; an error is logged once and ends the writing."""

    what: str

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        broken = False
        while (entry := self._queue.get()) is not None:
            if broken:
                continue
            try:
                self._write(entry)
            except OSError as fault:  # a full disk, mostly; requests go on without their log
                broken = True
                log.error("the %s ends here, %s cannot be written: %s", self.what, fault.filename, fault.strerror)
        self._end()

    def _write(self, entry: Any) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        """Releases what the writer holds, after the last entry."""

    def close(self) -> None:
        """Write what is left, then end the thread."""
        self._queue.put(None)
        self._thread.join()


class StageLog(_Writer):
    """JSON lines of the four stages of each request."""

    what = "stage log"

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        super().__init__("stage-log")

    def write(self, entry: dict[str, Any]) -> None:
        self._queue.put(msgspec.json.encode(entry) + b"\n")

    def _write(self, entry: bytes) -> None:
        try:
            self._file.write(entry)
            if self._queue.empty():
                self._file.flush()
        except OSError as fault:
            fault.filename = self._file.name
            raise

    def _end(self) -> None:
        with suppress(OSError):
            self._file.close()


class RecordFiles(_Writer):
    """A JSON file for each record, named by its id, in a folder that is made if it is not there."""

    what = "writing of records"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        super().__init__("record-files")

    def write(self, record: Record) -> None:
        self._queue.put(record)

    def _write(self, entry: Record) -> None:
        text = msgspec.json.format(msgspec.json.encode(entry.rendered()), indent=2)
        (self._folder / f"{entry.id}.json").write_bytes(text + b"\n")
