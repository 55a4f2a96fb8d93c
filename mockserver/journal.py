"""In-memory log of every request the mock received and every reply it sent, in order."""

from __future__ import annotations

import base64
from time import monotonic
from typing import Any


class Entry:
    """One request and its reply.

    `sent` grows while the reply is being sent. `fault` is what befell the reply by the server's own `--faults`; `began`
    and `ended` are seconds of a clock that only rises. `done` is `sent`, `reset`, `client left`, or None while it is
    running.
    """

    def __init__(self, seq: int, provider: str, backend: str, method: str, path: str, headers: dict[str, str]) -> None:
        self.seq = seq
        self.provider = provider
        self.backend = backend
        self.method = method
        self.path = path
        self.headers = headers
        self.story: str | None = None
        self.step: int | None = None
        self.received = b""
        self.body: Any = None
        self.status: int | None = None
        self.reply_headers: dict[str, str] = {}
        self.sent = bytearray()
        self.done: str | None = None
        self.note: str | None = None
        self.fault: str | None = None
        self.began = monotonic()
        self.ended: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the entry as JSON: bytes as text where they are UTF-8, else in base64 under `<name>_base64`."""
        out: dict[str, Any] = {
            "seq": self.seq,
            "provider": self.provider,
            "backend": self.backend,
            "story": self.story,
            "step": self.step,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": self.body,
            "status": self.status,
            "reply_headers": self.reply_headers,
            "done": self.done,
            "note": self.note,
        }
        for name, data in (("received", self.received), ("sent", bytes(self.sent))):
            try:
                out[name] = data.decode()
            except UnicodeDecodeError:
                out[f"{name}_base64"] = base64.b64encode(data).decode()
        return out if self.fault is None else out | {"fault": self.fault}


class Journal:
    """The entries since the last reset. Sequence numbers continue across a reset, so `since` stays valid."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.next = 0

    def open(self, provider: str, backend: str, method: str, path: str, headers: dict[str, str]) -> Entry:
        """Appends an entry for a new request and returns it."""
        entry = Entry(self.next, provider, backend, method, path, headers)
        self.next += 1
        self.entries.append(entry)
        return entry

    def since(self, seq: int) -> list[Entry]:
        """Returns the entries from a sequence number on."""
        first = self.entries[0].seq if self.entries else 0
        return self.entries[max(0, seq - first) :]

    def reset(self) -> None:
        """Removes all entries."""
        self.entries.clear()
