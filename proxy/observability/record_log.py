"""Writes the stage log and the files of records; both hold what clients ask, so they are their owner's alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .log_writer import MIB, LineWriter, LogWriter, open_private
from .request_record import Record


class StageLog(LineWriter):
    """JSON lines of the four stages of each request."""

    what = "stage log"

    def __init__(self, path: Path, limit: int = 16 * MIB, end_s: float = 1.0) -> None:
        super().__init__(open_private(path), str(path), limit, end_s)

    def write(self, entry: dict[str, Any]) -> None:
        """Queues an entry."""
        self.put(msgspec.json.encode(entry) + b"\n")

    def _end(self) -> None:
        with suppress(OSError):
            os.close(self._handle)


class RecordFiles(LogWriter):
    """A JSON file for each record, named by its id, in a folder that is made if it is not there.

    A file is written under another name and renamed, so that under its own it is whole.
    """

    what = "files of records"

    def __init__(self, folder: Path, limit: int = 16 * MIB, end_s: float = 1.0) -> None:
        self._folder = folder
        self._make_folder()
        super().__init__(limit, end_s)

    def write(self, record: Record) -> None:
        """Queues a record."""
        self.put(msgspec.json.encode(record.rendered()), record.id)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        text = msgspec.json.format(data, indent=2) + b"\n"
        unfinished = self._folder / f".{name}.unfinished"
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self._make_folder()
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(text)
            unfinished.rename(self._folder / f"{name}.json")
        except OSError as fault:
            fault.filename = str(unfinished)
            with suppress(OSError):
                unfinished.unlink()
            raise
