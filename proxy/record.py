"""What happened to each request: one struct, for the headers, the log line and /crosswire/requests/{id}.

It holds no bodies and no secrets, and knows no HTTP.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
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
    """One request from arrival to end. `backend_used` and `model_used` are of the attempt that answered, or None.

    `what` was asked: `chat`, `count`, `embeddings`, `compact` or `stored`.
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
    usage: Usage | None = None
    status: int | None = None
    outcome: str = "aborted"
    error: Failure | None = None
    ttft_ms: float | None = None
    stages: list[tuple[str, float]] = []
    total_ms: float | None = None

    @property
    def id(self) -> str:
        """The name of this execution: when it came (UTC), and the end of its request's id."""
        came = time.strftime("%Y%m%d_%H%M%S", time.gmtime(self.at))
        return f"exec_{came}_{self.request_id[-8:]}"

    def rendered(self) -> dict[str, Any]:
        """The record as it is shown and written: with its name, its mode, and each stage with its own ms.

        Of the decision notes, score, cascade and a chain are there only where they say something.
        """
        ends = [0.0, *(end for _, end in self.stages)]
        stages = [
            {"stage": name, "ms": round(end - before, 3)}
            for (name, end), before in zip(self.stages, ends, strict=False)
        ]
        shown: dict[str, Any] = {"id": self.id, **msgspec.to_builtins(self), "mode": None, "stages": stages}
        if self.decision is not None:
            shown["mode"] = self.decision.mode
            for key in ("notes", "score", "cascade"):
                if not shown["decision"][key]:
                    del shown["decision"][key]
            if len(self.decision.chain) <= 1:  # `chosen` once more
                del shown["decision"]["chain"]
        return shown

    def headers(self) -> dict[str, str]:
        """What the client is told of the way that its request took, as far as it is true by now."""
        out = {}
        if self.attempts:
            out["x-crosswire-attempts"] = str(len(self.attempts))
        if self.backend_used is not None:
            out["x-crosswire-backend"] = self.backend_used
        if self.model_used is not None:
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
            self._records[record.request_id] = record
            if len(self._records) > self._size:
                self._records.popitem(last=False)

    def get(self, id_: str) -> Record | None:
        """By the request's id, or by the execution's."""
        if id_.startswith("exec_"):
            return next((record for record in self._records.values() if record.id == id_), None)
        return self._records.get(id_)


class _Writer:
    """Writes in a thread of its own, so that the loop never waits; a fault is said once and ends the writing."""

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
        """What is left to do when all is written."""

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
