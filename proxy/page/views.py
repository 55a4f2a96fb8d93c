"""The data of the page by its path: of this process, or of all workers of the proxy together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import Malformed
from ..gateway.runtime import Runtime
from ..observability.request_record import Record
from .backend_view import add_backends, figures_of
from .request_view import MOST_ROWS, MOST_RUNNING, explain_again, list_requests, show_request
from .story import make_story
from .usage_view import DAYS, add_usage, show_usage

GONE = "The record of this request is no longer kept."


TICKS = 100_000
"""Numbers of records in a second, more than a worker serves in one; a clock's time in them has 15 digits."""


def number_by_clock(last: int) -> int:
    """The number of a record that follows another one: ticks of the clock, so that workers need not agree."""
    return max(last + 1, int(time.time() * TICKS))


def _explained(runtime: Runtime, record: Record) -> dict[str, Any]:
    return explain_again(runtime, record)


def _story(runtime: Runtime, record: Record) -> dict[str, Any]:
    return {"story": make_story(runtime, record)}


OF_REQUEST: Mapping[str, Callable[[Runtime, Record], dict[str, Any]]] = {
    "requests/{id}": show_request,
    "requests/{id}/explain": _explained,
    "requests/{id}/story": _story,
}
"""The views of one request, by their path."""


async def show_here(runtime: Runtime, path: str, id_: str, query: Mapping[str, str]) -> Any:
    """The data of this process under a path, such as can be added up; raises Malformed where it has no such request."""
    if path in OF_REQUEST:
        record = runtime.records.get(id_)
        if record is None:
            raise Malformed("", GONE)
        return OF_REQUEST[path](runtime, record)
    if path == "requests":
        after = query.get("after", "0")
        return list_requests(runtime, int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0)
    if path == "backends":
        return figures_of(runtime)
    days = query.get("days", "7")
    return await show_usage(runtime, int(days) if days in map(str, DAYS) else 7)


async def show_everywhere(runtime: Runtime, path: str, id_: str, query: Mapping[str, str]) -> Any:
    """The data of all workers under a path; raises Malformed where none has such a request."""
    if runtime.peers is None or (path in OF_REQUEST and runtime.records.get(id_) is not None):
        found = await show_here(runtime, path, id_, query)
        return add_backends([found]) if path == "backends" else found
    until = int(time.time() * TICKS) - 1
    others = await runtime.peers.view(path, id_, query)
    if path in OF_REQUEST:
        if not others:
            raise Malformed("", GONE)
        return others[0]
    every = [await show_here(runtime, path, id_, query), *others]
    if path == "requests":
        return _add_requests(every, until)
    return add_backends(every) if path == "backends" else add_usage(every)


def _add_requests(every: Sequence[Mapping[str, Any]], until: int) -> dict[str, Any]:
    """The rows of all workers, as far as each of them was asked after the last, and what is under way at each."""
    rows = [row for one in every for row in one["rows"] if row["number"] <= until]
    state = dict(every[0]["state"])
    for name in ("in_flight", "streams", "keeps"):
        state[name] = sum(one["state"][name] for one in every)
    state["began"] = min(one["state"]["began"] for one in every)
    newest = sorted(rows, key=lambda row: row["number"], reverse=True)
    running = sorted((row for one in every for row in one["running"]), key=lambda row: row["at"])
    return {"rows": newest[:MOST_ROWS], "running": running[:MOST_RUNNING], "last": until, "state": state}
