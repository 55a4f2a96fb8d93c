"""Traces by OpenTelemetry: a span for each request and for each attempt, sent by OTLP over HTTP from a thread.

Imported only where the config has `tracing`. No span holds a body, a key or the text of an error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from ..costs.price import NANO
from ..ir import Loss
from ..providers import TRACE_NAMES
from ..routing import BackendConfig, Decision
from . import span_names as names
from .request_record import MOST_LOSSES, Attempt, Record
from .trace_settings import TraceSettings

log = logging.getLogger("crosswire")

BATCH = 512
"""Spans of one export."""

EVERY_S = 1.0
"""Seconds between two exports, where no batch is full before."""

_LONGEST = 512
"""Characters of an attribute: the name of a model is what a client wrote."""

_NS = 1_000_000
"""Nanoseconds of a millisecond."""

_PROPAGATOR = TraceContextTextMapPropagator()
_PORTS = {"http": 80, "https": 443}
_FINE = ("answered", "aborted")
"""Outcomes of an attempt that are no error of its backend."""


class SpanQueue(SpanProcessor):
    """Keeps ended spans for a thread that exports them. Those beyond the limit, or of a failed export, are counted.

    The thread alone talks to the exporter, so that one which is down or slow costs the event loop nothing.
    """

    what = "traces"

    def __init__(self, exporter: SpanExporter, limit: int) -> None:
        self._exporter = exporter
        self._limit = limit
        self._waiting: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        # each number has one thread that changes it, so that none needs a lock
        self._overflown = self._failed = 0
        self._losing = False
        self._thread = threading.Thread(target=self._run, name=self.what, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The number of spans that were lost."""
        return self._overflown + self._failed

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a span that has ended; never blocks."""
        if len(self._waiting) >= self._limit:
            self._overflown += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self._wake.set()

    def close(self, end_s: float) -> None:
        """Exports what waits and ends the thread, as far as that does not take longer than `end_s` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(end_s)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            while self._waiting:
                self._export([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _export(self, batch: list[ReadableSpan]) -> None:
        try:
            good = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # whatever it is, the thread lives on for the next batch
            good = False
        if not good:
            self._failed += len(batch)
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
        make_exporter: Callable[[TraceSettings], SpanExporter] | None = None,
    ) -> None:
        self.settings = settings
        self.queue = SpanQueue((make_exporter or _otlp_exporter)(settings), settings.queue)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample)),
            resource=Resource.create(
                {
                    "service.name": settings.service,
                    "service.version": version("crosswire"),
                    "service.instance.id": instance,
                }
            ),
            span_limits=SpanLimits(max_span_attribute_length=_LONGEST, max_event_attributes=64),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self.queue)
        self._tracer = self._provider.get_tracer("crosswire", version("crosswire"))

    def begin(self, fields: Mapping[str, str], frontend: str, operation: str) -> Trace:
        """Begins the span of a request; its parent is the span that the client's headers name, if they name one."""
        came = time.time_ns()
        context = _PROPAGATOR.extract(fields, Context())
        span = self._tracer.start_span(f"{operation} {frontend}", context, SpanKind.SERVER, start_time=came)
        return Trace(self, span, came, operation)

    def begin_attempt(self, name: str, context: Context, began: int) -> Span:
        """Begins the span of an attempt at this time."""
        return self._tracer.start_span(name, context, SpanKind.CLIENT, start_time=began)

    def close(self) -> None:
        """Exports what waits, in at most a second."""
        self.queue.close(1.0)


class Trace:
    """The spans of one request."""

    def __init__(self, tracer: Tracer, span: Span, came: int, operation: str) -> None:
        self._tracer = tracer
        self._span = span
        self._came = came
        self._operation = operation
        self._context = set_span_in_context(span, Context())
        self._attempts: list[Span] = []

    @property
    def trace_id(self) -> str:
        """The id of the trace, as other programs show it."""
        return format(self._span.get_span_context().trace_id, "032x")

    def attempt_started(self, attempt: Attempt) -> None:
        """Begins the span of an attempt.

        "Span name SHOULD be `{gen_ai.operation.name} {gen_ai.request.model}`."
        https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
        """
        name = f"{self._operation} {attempt.model}"[:_LONGEST]
        began = self._came + int(attempt.began_ms * _NS)
        self._attempts.append(self._tracer.begin_attempt(name, self._context, began))

    def with_parent(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """Returns the headers with those that name the span of the last attempt as the parent of what is done there."""
        if not self._attempts:
            return fields
        found = dict(fields)
        _PROPAGATOR.inject(found, set_span_in_context(self._attempts[-1], Context()))
        return found

    def finish(self, record: Record, client: str | None, backends: Mapping[str, BackendConfig]) -> None:
        """Ends all spans of a request that is over, with what its record knows."""
        for number, (span, attempt) in enumerate(zip(self._attempts, record.attempts, strict=False)):
            if span.is_recording():
                is_last = number == len(record.attempts) - 1
                span.set_attributes(_of_attempt(record, attempt, backends[attempt.backend], is_last=is_last))
                if attempt.outcome not in _FINE:
                    span.set_status(Status(StatusCode.ERROR))
            span.end(self._came + int((attempt.began_ms + attempt.ms) * _NS))
        span = self._span
        if span.is_recording():
            span.set_attributes(_of_request(record, client))
            if record.decision is not None:
                span.add_event(names.DECISION_EVENT, _of_decision(record.decision))
            for loss in record.losses[:MOST_LOSSES]:
                span.add_event(names.LOSS_EVENT, _of_loss(loss))
            # "For HTTP status codes in the 4xx range span status MUST be left unset in case of SpanKind.SERVER"
            # https://opentelemetry.io/docs/specs/semconv/http/http-spans/
            if record.outcome not in _FINE and (record.status is None or not 400 <= record.status < 500):
                span.set_status(Status(StatusCode.ERROR))
        span.end(self._came + int((record.total_ms or 0) * _NS))


def _otlp_exporter(settings: TraceSettings) -> SpanExporter:
    # the queue says once that traces are lost; the exporter would say it with every batch
    logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(settings.endpoint, headers=dict(settings.headers), timeout=settings.timeout_s)


def _of_request(record: Record, client: str | None) -> dict[str, AttributeValue]:
    known: dict[str, AttributeValue | None] = {
        names.REQUEST_ID: record.request_id,
        names.FRONTEND: record.frontend,
        names.OPERATION: record.what,
        names.CLIENT: client,
        names.STREAM: record.stream,
        names.ATTEMPTS: len(record.attempts),
        names.OUTCOME: record.outcome,
        names.BACKEND: record.backend_used,
        names.COST: None if record.cost is None else record.cost / NANO,
        names.STATUS_CODE: record.status,
        names.ERROR_TYPE: None if record.outcome == "answered" else record.outcome,
    }
    return {name: value for name, value in known.items() if value is not None}


def _of_attempt(
    record: Record, attempt: Attempt, backend: BackendConfig, *, is_last: bool
) -> dict[str, AttributeValue]:
    where = urlsplit(backend.base_url)
    provider = backend.provider or backend.name
    known: dict[str, AttributeValue | None] = {
        names.GEN_AI_OPERATION: record.what,
        names.GEN_AI_PROVIDER: TRACE_NAMES.get(provider, provider),
        names.GEN_AI_MODEL: attempt.model or None,
        names.GEN_AI_STREAM: record.stream or None,
        names.SERVER_ADDRESS: where.hostname,
        names.SERVER_PORT: where.port or _PORTS.get(where.scheme),
        names.BACKEND: attempt.backend,
        names.PROTOCOL: attempt.protocol or backend.protocol,
        names.RELAYED: attempt.relayed,
        names.OUTCOME: attempt.outcome,
        names.ERROR_TYPE: None if attempt.outcome == "answered" else attempt.outcome,
    }
    if is_last and record.ttft_ms is not None:
        known[names.GEN_AI_FIRST_CHUNK] = max(record.ttft_ms - attempt.began_ms, 0.0) / 1000
    if is_last and record.usage is not None and record.backend_used == attempt.backend:
        usage = record.usage
        known |= {
            names.GEN_AI_INPUT: usage.prompt,
            names.GEN_AI_OUTPUT: usage.output,
            names.GEN_AI_CACHE_READ: usage.cache_read,
            names.GEN_AI_CACHE_WRITE: usage.cache_write,
            names.GEN_AI_REASONING: usage.reasoning,
        }
    return {name: value for name, value in known.items() if value is not None}


def _of_decision(decision: Decision) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        names.MODE: decision.mode,
        names.BECAUSE: decision.because,
        names.CONSIDERED: [f"{each.backend}: {each.why}" for each in decision.considered],
    }
    if decision.chosen is not None:
        found[names.BACKEND] = decision.chosen.backend
    return found


def _of_loss(loss: Loss) -> dict[str, AttributeValue]:
    return {names.FEATURE: loss.feature, names.PATH: loss.path, names.HOW: loss.how}
