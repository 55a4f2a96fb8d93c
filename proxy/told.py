"""What everyone is told of one request: the client by headers and errors, the stage log, the record, the counters."""

from __future__ import annotations

import logging
from math import ceil, isfinite
from time import perf_counter

import msgspec
from msgspec import Struct

from . import ledger, wire
from .errors import Malformed
from .ir import Failure
from .protocols.contract import Protocol
from .record import Record
from .shared import Shared

log = logging.getLogger("crosswire")

FUTILE = ("loss", "no_credentials", "upstream_auth")
"""Kinds that the same request meets again for certain."""


class Whole(Struct, frozen=True):
    """An answer in one piece."""

    status: int
    headers: dict[str, str]
    body: bytes


class Told:
    """The record of one request as it grows, and everything that is said out of it."""

    def __init__(self, shared: Shared, frontend: Protocol, request_id: str) -> None:
        self._shared = shared
        self._frontend = frontend
        self._began = perf_counter()
        self._logged: set[tuple[str, int]] = set()
        self.record = Record(request_id, shared.clock(), frontend.name)

    def ms(self) -> float:
        """Milliseconds since the request came."""
        return (perf_counter() - self._began) * 1000

    def stage(self, name: str) -> None:
        """A stage of the way is over."""
        self.record.stages.append((name, self.ms()))

    def headers(self, content_type: str, *, held: bool = False) -> dict[str, str]:
        """The headers of an answer; while it is held open, without those that could turn false."""
        record = self.record
        headers = {"content-type": content_type, "x-request-id": record.request_id}
        if self._frontend.name == "anthropic":
            headers["request-id"] = record.request_id  # the header that this SDK reads
        if not held:
            kept = self._shared.kept_headers
            headers.update((name, text) for name, text in record.headers().items() if name in kept)
        return headers

    def refuse(self, fault: Failure) -> Whole:
        """The error as a status and a body in the client's own shape."""
        record = self.record
        status = self._frontend.failure_status.get(fault.kind, fault.status)
        record.status, record.outcome, record.error = status, fault.kind, fault
        headers = self.headers("application/json")
        if fault.retry_after is not None and isfinite(fault.retry_after):
            headers["retry-after"] = str(ceil(fault.retry_after))
        if fault.kind in FUTILE or 1 < self._shared.config.settings.retry.attempts <= len(record.attempts):
            headers["x-should-retry"] = "false"  # an SDK would only multiply what was tried already
        body = wire.encode(self._frontend.encode_failure(fault, record.request_id))
        self.log("client_response", body)
        return Whole(status, headers, body)

    def log(self, stage: str, said: bytes | Failure) -> None:
        """One line of the stage log, if anybody asked for one; of each stage of an attempt the first counts."""
        stages, record = self._shared.stages, self.record
        key = (stage, len(record.attempts) if stage.startswith("backend") else 0)
        if stages is None or key in self._logged:
            return
        self._logged.add(key)
        entry: dict[str, object] = {
            "time": self._shared.clock(),
            "id": record.request_id,
            "stage": stage,
            "frontend": record.frontend,
            "model": record.model,
            "ms": round(self.ms(), 3),
        }
        if stage.startswith("backend"):
            entry |= {"backend": record.attempts[-1].backend, "upstream_model": record.attempts[-1].model}
        if stage == "client_response":
            entry |= self._figures()
        if isinstance(said, Failure):
            entry["error"] = said
        else:
            entry["body"] = _readable(self._shared.without_keys(said))
        stages.write(entry)

    def _figures(self) -> dict[str, object]:
        record = self.record
        seconds = max((self.ms() - (record.ttft_ms or 0)) / 1000, 1e-6)
        output = record.usage.output if record.usage else None
        return {
            "status": record.status,
            "outcome": record.outcome,
            "losses": ledger.words(record.losses),
            "ttft_ms": record.ttft_ms,
            "tokens_per_s": round(output / seconds, 1) if output else None,
        }

    def close(self) -> None:
        """The request is over: keep its record and count it."""
        shared, record = self._shared, self.record
        record.total_ms = self.ms()
        shared.records.add(record)
        shared.metrics.add(record)
        if shared.record_files is not None:
            shared.record_files.write(record)


def _readable(body: bytes) -> object:
    """A body for the stage log: JSON as it is, anything else as text."""
    try:
        wire.parse(body)
        return msgspec.Raw(msgspec.json.format(body, indent=-1))  # a body may be written over several lines
    except Malformed:
        return body.decode("utf-8", "replace")
