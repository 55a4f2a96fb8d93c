"""The access log: a line of JSON for each request that has ended, without what was said and without keys."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ..ir.losses import features
from .log_writer import MIB, LineWriter, open_private
from .request_record import Record

STDOUT = "-"
"""The name that stands for standard output."""


class AccessLog(LineWriter):
    """Appends a line a request to a file, or to standard output; from a thread, like every log."""

    what = "access log"

    def __init__(self, path: str, limit: int = 16 * MIB, end_s: float = 1.0) -> None:
        self.path = path
        """The file's name, or `-`."""
        handle = os.dup(1) if path == STDOUT else open_private(Path(path))
        super().__init__(handle, "standard output" if path == STDOUT else path, limit, end_s)

    def write(self, record: Record, client: str | None, trace_id: str | None) -> None:
        """Queues the line of a request."""
        self.put(msgspec.json.encode(access_line(record, client, trace_id)) + b"\n")

    def _end(self) -> None:
        with suppress(OSError):
            os.close(self._handle)


def access_line(record: Record, client: str | None, trace_id: str | None) -> dict[str, object]:
    """The line of a request: when, who, what was asked, who answered, how it ended, and what it took."""
    seconds, part = divmod(record.at, 1)
    usage = record.usage
    line: dict[str, object] = {
        "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(part * 1000):03d}Z",
        "id": record.request_id,
        "client": client,
        "frontend": record.frontend,
        "operation": record.what,
        "stream": record.stream,
        "model": record.model,
        "backend": record.backend_used,
        "model_used": record.model_used,
        "status": record.status,
        "outcome": record.outcome,
        "attempts": len(record.attempts),
        "input_tokens": None if usage is None else usage.prompt,
        "output_tokens": None if usage is None else usage.output,
        "first_ms": None if record.ttft_ms is None else round(record.ttft_ms, 3),
        "ms": round(record.total_ms or 0.0, 3),
        "losses": features(record.losses) if record.losses else (),
    }
    if trace_id is not None:
        line["trace_id"] = trace_id
    return line
