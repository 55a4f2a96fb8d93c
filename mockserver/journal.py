"""Everything that the mock received and sent, in order; it knows no dialect and no socket."""

from __future__ import annotations

import base64
from typing import Any


class Entry:
    """One exchange; `sent` grows while the answer goes out, `done` says how it ended (None: not yet)."""

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

    def plain(self) -> dict[str, Any]:
        """As JSON: bytes as text where they are UTF-8, else in base64 under `<name>_base64`."""
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
        return out


class Journal:
    """The entries since the last reset. Their numbers go on through a reset, so that `since` never lies."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.next = 0

    def open(self, provider: str, backend: str, method: str, path: str, headers: dict[str, str]) -> Entry:
        entry = Entry(self.next, provider, backend, method, path, headers)
        self.next += 1
        self.entries.append(entry)
        return entry

    def since(self, seq: int) -> list[Entry]:
        return [entry for entry in self.entries if entry.seq >= seq]

    def reset(self) -> None:
        self.entries.clear()
