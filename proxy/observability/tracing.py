"""Traces: a span for each request and for each attempt, sent by OTLP over HTTP from a thread.

No span holds a body, a key or the text of an error. Nothing of a span is made on the event loop but its ids.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from importlib.metadata import version
from random import getrandbits
from time import time_ns
from typing import Protocol

from .otlp_fields import LONGEST
from .request_record import Attempt, Record
from .span_sender import SpanSender, read_resource
from .span_writer import Configured, RequestSpans, SpanWriter
from .trace_context import RANDOM, SAMPLED, read_parent
from .trace_settings import TraceSettings

log = logging.getLogger("crosswire")

BATCH = 512
"""Spans of one export."""

EVERY_S = 1.0
"""Seconds between two exports, where no batch is full before."""

_MANY_LOSSES = 8
"""Losses of a record that may wait to be encoded."""

_LOW = 2**64 - 1
"""The bits of a trace's id by which it is sampled."""


class Sender(Protocol):
    """Something that sends encoded spans; it is called from one thread, but for `close`."""

    def send(self, message: bytes) -> bool:
        """Sends an `ExportTraceServiceRequest`; returns whether it was taken."""
        ...

    def close(self) -> None: ...


class SpanQueue:
    """Keeps the spans of requests that are over for a thread that encodes and sends them.

    Those beyond the limit, or of a failed export, are counted. The thread alone talks to the collector, so that one
    which is down or slow costs the event loop nothing.
    """

    what = "traces"

    def __init__(self, writer: SpanWriter, sender: Sender, limit: int) -> None:
        self._writer = writer
        self._sender = sender
        self._limit = limit
        self._waiting: deque[tuple[RequestSpans | bytes, int]] = deque()
        self._wake = threading.Event()
        self._closing = False
        # each number has one thread that changes it, so that none needs a lock
        self._added = self._taken = 0
        self._overflown = self._failed = 0
        self._losing = False
        self._thread = threading.Thread(target=self._run, name=self.what, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The number of spans that were lost."""
        return self._overflown + self._failed

    @property
    def waiting(self) -> int:
        """The number of spans that nobody sends yet."""
        return self._added - self._taken

    def add(self, spans: RequestSpans) -> None:
        """Queues the spans of a request; never blocks. Those of one alone may be more than the limit."""
        count, record = 1 + len(spans.attempts), spans.record
        waiting = self._added - self._taken
        if waiting and waiting + count > self._limit:
            self._overflown += count
            return
        # what a client or a backend can make large is encoded at once, which cuts it, so that it need not be kept
        is_large = record.error is not None or len(record.losses) > _MANY_LOSSES or len(record.model or "") > LONGEST
        self._waiting.append((self._writer.encode(spans) if is_large else spans, count))
        self._added += count
        if waiting + count >= BATCH and not self._wake.is_set():
            self._wake.set()

    def close(self, end_s: float) -> None:
        """Exports what waits and ends the thread, as far as that does not take longer than `end_s` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(end_s)
        self._sender.close()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            while self._waiting:
                self._export()

    def _export(self) -> None:
        """Sends the next batch."""
        batch = []
        size = 0
        while self._waiting and size < BATCH:
            spans, count = self._waiting.popleft()
            batch.append(spans)
            size += count
        self._taken += size
        try:
            encoded = [each if isinstance(each, bytes) else self._writer.encode(each) for each in batch]
            good = self._sender.send(self._writer.message(encoded))
        except Exception:  # whatever it is, the thread lives on for the next batch
            good = False
        if not good:
            self._failed += size
            if not self._losing:
                log.warning("traces are lost: the endpoint of tracing does not take them")
        elif self._losing:
            log.warning("the endpoint of tracing takes traces again; %d spans were lost in all", self.dropped)
        self._losing = not good


class Tracer:
    """Begins the trace of each request."""

    def __init__(
        self,
        settings: TraceSettings,
        instance: str,
        make_sender: Callable[[TraceSettings], Sender] | None = None,
    ) -> None:
        self.settings = settings
        own = version("crosswire")
        resource = {
            # "If another SDK [...] is used, this SDK MUST set the telemetry.sdk.name attribute to [...] another
            # suitable identifier" https://opentelemetry.io/docs/specs/semconv/registry/attributes/telemetry/
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "crosswire",
            "telemetry.sdk.version": own,
            **read_resource(os.environ),
            "service.name": settings.service,
            "service.version": own,
            "service.instance.id": instance,
        }
        self.queue = SpanQueue(SpanWriter(resource, own), (make_sender or _otlp_sender)(settings), settings.queue)
        self._bound = round(settings.sample * (_LOW + 1))
        """The trace ids that are recorded of those that begin here: those whose lower half is below."""

    def begin(self, fields: Mapping[str, str], frontend: str, operation: str) -> Trace:
        """Begins the spans of a request; their parent is the span that the client's headers name, if they name one.

        A trace that a client began is recorded if the client records it; of those that begin here a share is.
        """
        given = fields.get("traceparent")
        parent = None if given is None else read_parent(given, fields.get("tracestate"))
        if parent is not None:
            return Trace(self.queue, operation, parent.trace_id, parent.span_id, parent.flags, parent.state)
        trace_id = getrandbits(128) or 1
        flags = RANDOM | SAMPLED if trace_id & _LOW < self._bound else RANDOM
        return Trace(self.queue, operation, trace_id, 0, flags, "")

    def close(self) -> None:
        """Exports what waits, in at most a second."""
        self.queue.close(1.0)


class Trace:
    """The spans of one request; those of a trace that is not recorded are ids alone, for the backends."""

    __slots__ = (
        "_attempts",
        "_came",
        "_flags",
        "_operation",
        "_parent_id",
        "_queue",
        "_span_id",
        "_state",
        "_trace_id",
    )

    def __init__(self, queue: SpanQueue, operation: str, trace_id: int, parent_id: int, flags: int, state: str) -> None:
        self._came = time_ns()
        self._queue = queue
        self._operation = operation
        self._trace_id = trace_id
        self._parent_id = parent_id
        self._span_id = getrandbits(64) or 1
        # "Vendors MUST set those to zero": the flags that this version does not know
        # https://www.w3.org/TR/trace-context/#other-flags
        self._flags = flags & (SAMPLED | RANDOM)
        self._state = state
        self._attempts: list[int] = []

    @property
    def trace_id(self) -> str:
        """The id of the trace, as other programs show it."""
        return f"{self._trace_id:032x}"

    def attempt_started(self, attempt: Attempt) -> None:
        """Begins the span of an attempt."""
        self._attempts.append(getrandbits(64) or 1)

    def with_parent(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """Returns the headers with those that name the span of the last attempt as the parent of what is done there."""
        if not self._attempts:
            return fields
        parent = f"00-{self._trace_id:032x}-{self._attempts[-1]:016x}-{self._flags:02x}"
        found = {**fields, "traceparent": parent}
        if self._state:
            found["tracestate"] = self._state
        return found

    def finish(self, record: Record, client: str | None, backends: Mapping[str, Configured]) -> None:
        """Ends all spans of a request that is over, with what its record knows."""
        if self._flags & SAMPLED:
            self._queue.add(
                RequestSpans(
                    self._trace_id,
                    self._span_id,
                    self._parent_id,
                    self._state,
                    self._came,
                    self._operation,
                    self._attempts,
                    record,
                    client,
                    backends,
                )
            )


def _otlp_sender(settings: TraceSettings) -> Sender:
    return SpanSender(settings, f"crosswire/{version('crosswire')}", os.environ)
