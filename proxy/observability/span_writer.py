"""Encodes the spans of requests as OTLP: what many spans share is encoded once, and joined with what is different.

Field numbers are those of `opentelemetry.proto.trace.v1`, version 1:
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

from __future__ import annotations

import typing
from collections.abc import Hashable, Mapping, Sequence
from struct import Struct as Layout
from urllib.parse import urlsplit

from msgspec import Struct

from ..costs.price import NANO
from ..ir import Usage
from ..providers import TRACE_NAMES
from ..routing import BackendConfig, Decision
from . import span_names as names
from .otlp_fields import (
    FIXED64,
    Value,
    attributes,
    double_attribute,
    int_attribute,
    number,
    sized,
    text,
    text_attribute,
    varint,
)
from .request_record import MOST_LOSSES, Attempt, Record

_NS = 1_000_000
"""Nanoseconds of a millisecond."""

_SERVER, _CLIENT = 2, 3
"""Kinds of spans."""

_PORTS = {"http": 80, "https": 443}
_FINE = ("answered", "aborted")
"""Outcomes of an attempt that are no error of its backend."""

_KNOWS_PARENT, _REMOTE_PARENT = 0x100, 0x200
"""Flags of a span: "Bits 8 and 9 are used to indicate that the parent span or link span is remote.
Bit 8 (`HAS_IS_REMOTE`) indicates whether the value is known. Bit 9 (`IS_REMOTE`) indicates whether the span or link is
remote."
"""

# trace_id = 1, span_id = 2, start_time_unix_nano = 7, end_time_unix_nano = 8, flags = 16; their sizes are fixed
_IDS_AND_TIMES = Layout("<2s16s2s8scQcQ2sI").pack

_UNSET, _ERROR = sized(15, b""), sized(15, number(3, 2))  # status = 15; of it code = 3: STATUS_CODE_ERROR = 2
_ATTRIBUTES, _EVENTS = 9, 11
_EVENT_TIME = b"\x09"  # of an event time_unix_nano = 1, name = 2, attributes = 3

_KEPT = 1024 * 1024
"""Bytes of encoded parts that are kept, of each kind."""

_request_id = text_attribute(_ATTRIBUTES, names.REQUEST_ID)
_cost = double_attribute(_ATTRIBUTES, names.COST)
_first_chunk = double_attribute(_ATTRIBUTES, names.GEN_AI_FIRST_CHUNK)
_input = int_attribute(_ATTRIBUTES, names.GEN_AI_INPUT)
_output = int_attribute(_ATTRIBUTES, names.GEN_AI_OUTPUT)
_cache_read = int_attribute(_ATTRIBUTES, names.GEN_AI_CACHE_READ)
_cache_write = int_attribute(_ATTRIBUTES, names.GEN_AI_CACHE_WRITE)
_reasoning = int_attribute(_ATTRIBUTES, names.GEN_AI_REASONING)


class Configured(typing.Protocol):
    """Something that has the config of a backend."""

    @property
    def config(self) -> BackendConfig: ...


class RequestSpans(Struct):
    """The spans of one request that is over: their ids, and all that is known of the request."""

    trace_id: int
    span_id: int
    parent_id: int
    """The span of the client; 0 where the trace begins here."""
    state: str
    """The `tracestate`."""
    came: int
    """The arrival, in unix nanoseconds."""
    operation: str
    attempts: list[int]
    """The id of the span of each attempt."""
    record: Record
    client: str | None
    backends: Mapping[str, Configured]


class _Parts:
    """Encoded parts by what they are made of; forgotten all at once where they take too much memory."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, tuple[object, bytes]] = {}
        self._size = 0

    def get(self, key: Hashable, made_of: object) -> bytes | None:
        """The part of this key, if it was made of this very object."""
        found = self._parts.get(key)
        return None if found is None or found[0] is not made_of else found[1]

    def put(self, key: Hashable, made_of: object, part: bytes) -> bytes:
        self._size += len(part)
        if self._size > _KEPT:
            self._parts.clear()
            self._size = len(part)
        self._parts[key] = made_of, part
        return part


class SpanWriter:
    """Encodes the spans of requests; all have the attributes of one resource."""

    def __init__(self, resource: Mapping[str, Value], version: str) -> None:
        # ResourceSpans: resource = 1, scope_spans = 2; Resource: attributes = 1
        self._resource = sized(1, attributes(1, resource))
        # ScopeSpans: scope = 1, spans = 2; InstrumentationScope: name = 1, version = 2
        self._scope = sized(1, text(1, "crosswire") + text(2, version))
        self._requests = _Parts()
        self._attempts = _Parts()
        self._decisions = _Parts()

    def message(self, spans: Sequence[bytes]) -> bytes:
        """An `ExportTraceServiceRequest` with these spans: resource_spans = 1. It is large, so it is joined once."""
        size = len(self._scope) + sum(map(len, spans))
        scope = b"\x12" + varint(size)
        size += len(self._resource) + len(scope)
        return b"".join((b"\x0a", varint(size), self._resource, scope, self._scope, *spans))

    def encode(self, spans: RequestSpans) -> bytes:
        """The span of the request and those of its attempts, as fields of a `ScopeSpans`."""
        record = spans.record
        trace_id = spans.trace_id.to_bytes(16, "big")
        state = text(3, spans.state) if spans.state else b""
        out: list[bytes] = []
        own_id = spans.span_id.to_bytes(8, "big")
        parent = b"\x22\x08" + own_id + state
        last = len(record.attempts) - 1
        for index, (span_id, attempt) in enumerate(zip(spans.attempts, record.attempts, strict=False)):
            began = spans.came + int(attempt.began_ms * _NS)
            ended = spans.came + int((attempt.began_ms + attempt.ms) * _NS)
            span = b"".join(
                (
                    _ids_and_times(trace_id, span_id.to_bytes(8, "big"), began, ended, _KNOWS_PARENT),
                    parent,
                    self._of_attempt(spans, attempt),
                    _measures(record, attempt) if index == last else b"",
                )
            )
            out += (b"\x12", varint(len(span)), span)
        ended = spans.came + int((record.total_ms or 0) * _NS)
        flags = _KNOWS_PARENT | _REMOTE_PARENT if spans.parent_id else _KNOWS_PARENT
        span = b"".join(
            (
                _ids_and_times(trace_id, own_id, spans.came, ended, flags),
                b"\x22\x08" + spans.parent_id.to_bytes(8, "big") if spans.parent_id else b"",
                state,
                self._of_request(spans),
                _request_id(record.request_id),
                b"" if record.cost is None else _cost(record.cost / NANO),
                b"" if record.decision is None else self._of_decision(record.decision, ended),
                b"" if not record.losses else _of_losses(record, ended),
            )
        )
        out += (b"\x12", varint(len(span)), span)
        return b"".join(out)

    def _of_request(self, spans: RequestSpans) -> bytes:
        """The name, the kind, the status and those attributes of a request that many share."""
        record = spans.record
        count = len(record.attempts)
        key = (
            spans.operation,
            record.what,
            record.frontend,
            spans.client,
            record.stream,
            count,
            record.outcome,
            record.backend_used,
            record.status,
        )
        if (found := self._requests.get(key, None)) is not None:
            return found
        # "For HTTP status codes in the 4xx range span status MUST be left unset in case of SpanKind.SERVER"
        # https://opentelemetry.io/docs/specs/semconv/http/http-spans/
        failed = record.outcome not in _FINE and (record.status is None or not 400 <= record.status < 500)
        known: dict[str, Value | None] = {
            names.FRONTEND: record.frontend,
            names.OPERATION: record.what,
            names.CLIENT: spans.client,
            names.STREAM: record.stream,
            names.ATTEMPTS: count,
            names.OUTCOME: record.outcome,
            names.BACKEND: record.backend_used,
            names.STATUS_CODE: record.status,
            names.ERROR_TYPE: None if record.outcome == "answered" else record.outcome,
        }
        name = f"{spans.operation} {record.frontend}"
        return self._requests.put(key, None, _named(name, _SERVER, known, failed=failed))

    def _of_attempt(self, spans: RequestSpans, attempt: Attempt) -> bytes:
        """The name, the kind, the status and those attributes of an attempt that many share.

        "Span name SHOULD be `{gen_ai.operation.name} {gen_ai.request.model}`."
        https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
        """
        record, backend = spans.record, spans.backends[attempt.backend].config
        key = (
            spans.operation,
            record.what,
            record.stream,
            attempt.model,
            attempt.backend,
            attempt.protocol,
            attempt.relayed,
            attempt.outcome,
        )
        if (found := self._attempts.get(key, backend)) is not None:
            return found
        where = urlsplit(backend.base_url)
        provider = backend.provider or backend.name
        known: dict[str, Value | None] = {
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
        name = f"{spans.operation} {attempt.model}"
        failed = attempt.outcome not in _FINE
        return self._attempts.put(key, backend, _named(name, _CLIENT, known, failed=failed))

    def _of_decision(self, decision: Decision, when: int) -> bytes:
        """The event of the decision, which is the same object for many requests."""
        rest = self._decisions.get(id(decision), decision)
        if rest is None:
            known: dict[str, Value | None] = {
                names.MODE: decision.mode,
                names.BECAUSE: decision.because,
                names.CONSIDERED: [f"{each.backend}: {each.why}" for each in decision.considered],
                names.BACKEND: None if decision.chosen is None else decision.chosen.backend,
            }
            rest = self._decisions.put(id(decision), decision, text(2, names.DECISION_EVENT) + attributes(3, known))
        return sized(_EVENTS, b"".join((_EVENT_TIME, FIXED64(when), rest)))


def _ids_and_times(trace_id: bytes, span_id: bytes, began: int, ended: int, flags: int) -> bytes:
    return _IDS_AND_TIMES(
        b"\x0a\x10", trace_id, b"\x12\x08", span_id, b"\x39", began, b"\x41", ended, b"\x85\x01", flags
    )


def _named(name: str, kind: int, known: Mapping[str, Value | None], *, failed: bool) -> bytes:
    """Fields of a span: name = 5, kind = 6, the attributes and the status."""
    return b"".join((text(5, name), number(6, kind), attributes(_ATTRIBUTES, known), _ERROR if failed else _UNSET))


def _measures(record: Record, attempt: Attempt) -> bytes:
    """The attributes of the last attempt that are other numbers each time."""
    usage = record.usage
    out = b""
    if usage is not None and record.backend_used == attempt.backend:
        out = _of_usage(usage)
    if record.ttft_ms is not None:
        out += _first_chunk(max(record.ttft_ms - attempt.began_ms, 0.0) / 1000)
    return out


def _of_usage(usage: Usage) -> bytes:
    out = b""
    if (prompt := usage.prompt) is not None:
        out = _input(prompt)
    if usage.output is not None:
        out += _output(usage.output)
    if usage.cache_read is not None:
        out += _cache_read(usage.cache_read)
    if usage.cache_write is not None:
        out += _cache_write(usage.cache_write)
    if usage.reasoning is not None:
        out += _reasoning(usage.reasoning)
    return out


def _of_losses(record: Record, when: int) -> bytes:
    events = []
    for loss in record.losses[:MOST_LOSSES]:
        known = {names.FEATURE: loss.feature, names.PATH: loss.path, names.HOW: loss.how}
        event = _EVENT_TIME + FIXED64(when) + text(2, names.LOSS_EVENT) + attributes(3, known)
        events.append(sized(_EVENTS, event))
    return b"".join(events)
