"""What happened to each request: one struct, for the headers, the log line and /crosswire/requests/{id}.

It holds no bodies and no secrets, and knows no HTTP.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from .ir import Failure, Loss, Usage
from .ledger import words
from .routing import Decision

log = logging.getLogger("crosswire")


class Attempt(Struct):
    """One try at one backend: how it ended (`answered`, a kind of failure, or `aborted`), and how long it took."""

    backend: str
    model: str
    outcome: str = "aborted"
    relayed: bool = False
    ms: float = 0.0


class Record(Struct):
    """One request from arrival to end. `backend_used` and `model_used` are of the attempt that answered, or None."""

    id: str
    at: float
    frontend: str
    model: str | None = None
    stream: bool = False
    decision: Decision | None = None
    attempts: list[Attempt] = []
    backend_used: str | None = None
    model_used: str | None = None
    losses: list[Loss] = []
    usage: Usage | None = None
    status: int | None = None
    outcome: str = "aborted"
    error: Failure | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None

    def headers(self) -> dict[str, str]:
        """What the client is told of the way that its request took, as far as it is true by now."""
        out = {}
        if self.attempts:
            out["x-crosswire-attempts"] = str(len(self.attempts))
        if self.backend_used is not None and self.model_used is not None:
            out["x-crosswire-backend"] = self.backend_used
            out["x-crosswire-model"] = ascii_header(self.model_used)
        if self.decision is not None:
            out["x-crosswire-route"] = ascii_header(f"{self.decision.mode}; {self.decision.because}")
        if self.losses:
            out["x-crosswire-loss"] = ",".join(words(self.losses))
        return out


def ascii_header(text: str) -> str:
    """Text that may come from a client, made safe for a header: printable ASCII, one line, bounded."""
    text = text[:256]
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)


class Ring:
    """The last records by id; the oldest make room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._records: OrderedDict[str, Record] = OrderedDict()

    def add(self, record: Record) -> None:
        if self._size:
            self._records[record.id] = record
            if len(self._records) > self._size:
                self._records.popitem(last=False)

    def get(self, id_: str) -> Record | None:
        return self._records.get(id_)


class StageLog:
    """JSON lines of the four stages of each request, written by a thread of its own so that the loop never waits."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="stage-log", daemon=True)
        self._thread.start()

    def write(self, entry: dict[str, Any]) -> None:
        self._queue.put(msgspec.json.encode(entry) + b"\n")

    def _write(self) -> None:
        broken = False
        while (line := self._queue.get()) is not None:
            if broken:
                continue
            try:
                self._file.write(line)
                if self._queue.empty():
                    self._file.flush()
            except OSError as fault:  # a full disk, mostly; requests go on without their log
                broken = True
                log.error("the stage log ends here, %s cannot be written: %s", self._file.name, fault.strerror)
        with suppress(OSError):
            self._file.close()

    def close(self) -> None:
        """Write what is left, then end the thread."""
        self._queue.put(None)
        self._thread.join()
