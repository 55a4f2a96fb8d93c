"""Waits, deadlines, breakers and budgets take a monotonic clock: a wall clock that jumps moves none of them."""

from __future__ import annotations

import ast
from pathlib import Path

PROXY = Path(__file__).resolve().parents[2] / "proxy"

WALL_CLOCKS = ("time.time", "datetime.now", "datetime.datetime.now", "datetime.utcnow", "time.localtime", "time.gmtime")

READERS = {
    "backends/http.py": "the resets of rate limits, which are kept as unix times",
    "backends/retry_after.py": "a `retry-after` that is a date",
    "observability/span_sender.py": "a `retry-after` that is a date",
    "cli/clients.py": "`--since` and `--grace`, which count from now",
    "cli/doctor.py": "how far this machine's clock is off",
    "cli/supervisor.py": "the time in rows of usage and of limits by the calendar",
    "library.py": "the time in records and answers",
    "server/app.py": "the time in records and answers",
    "observability/access_log.py": "the time in its lines",
    "page/views.py": "the order of records of several workers",
    "observability/request_record.py": "the name of a record's file",
    "store/audit.py": "when a row was written",
    "store/clients.py": "when a row was changed",
    "store/credentials.py": "when a row was changed",
    "store/mappings.py": "when a row was changed",
    "store/settings.py": "when a row was changed",
    "store/usage.py": "when a response was stored",
    "workers/supervisor.py": "when the proxy was started",
}
"""The files that read the wall clock, and for what."""


def test_the_wall_clock_is_read_in_few_places() -> None:
    found = set()
    for file in PROXY.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCKS:
                found.add(str(file.relative_to(PROXY)))
    assert found == set(READERS)
