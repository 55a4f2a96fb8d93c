"""The spans on the wire, read by the vendors' own classes: the same as what the vendors' SDK writes for equal spans."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from crosswire.proxy.config import load
from crosswire.proxy.errors import failure
from crosswire.proxy.ir import Loss, Usage
from crosswire.proxy.observability import span_names as names
from crosswire.proxy.observability.request_record import Attempt, Record
from crosswire.proxy.observability.span_writer import RequestSpans, SpanWriter
from crosswire.proxy.routing import Candidate, Decision

RESOURCE = {"service.name": "s", "service.version": "1", "odd": "ä", "number": 7, "share": 0.5, "is": True}

BACKENDS = {
    backend.name: SimpleNamespace(config=backend)
    for backend in load(
        """
        backends:
          a: {protocol: openai-chat, base_url: 'https://api.example/v1', api_key: k}
          b: {protocol: anthropic, base_url: 'http://127.0.0.1:8000', api_key: k, provider: anthropic}
        """,
        "c.yaml",
        {},
    ).plan.backends
}

DECISION = Decision(
    Candidate("a", "m", True, "it is mapped"),
    "model_mapping",
    "the models of 'a' name it",
    (Candidate("a", "m", True, "it is mapped"), Candidate("b", None, False, "lacks vision")),
)
REFUSAL = Decision(None, "failed", "nothing fits", (), refusal=failure("model_not_found", "no"))

ANSWERED = Record(
    "req_0123456789abcdef01234567",
    1.0,
    "openai-chat",
    model="m",
    decision=DECISION,
    attempts=[Attempt("a", "m", "answered", True, 3.25, began_ms=0.5)],
    backend_used="a",
    model_used="m",
    usage=Usage(90, 20),
    status=200,
    outcome="answered",
    total_ms=4.125,
)


def spans(record: Record, **more: Any) -> RequestSpans:
    given: dict[str, Any] = {
        "trace_id": 0x0AF7651916CD43DD8448EB211C80319C,
        "span_id": 0xB7AD6B7169203331,
        "parent_id": 0,
        "state": "",
        "came": 1_700_000_000_123_456_789,
        "operation": record.what,
        "attempts": [*range(1, len(record.attempts) + 1)],
        "record": record,
        "client": None,
        "backends": BACKENDS,
    }
    return RequestSpans(**(given | more))


CASES: dict[str, RequestSpans] = {
    "answered": spans(ANSWERED),
    "no attempt": spans(
        replace(ANSWERED, attempts=[], usage=None, backend_used=None, outcome="model_not_found", status=404)
    ),
    "refused": spans(
        Record("req_1", 1.0, "gemini", decision=REFUSAL, outcome="model_not_found", status=404, total_ms=1.0)
    ),
    "nothing is known": spans(Record("req_1", 1.0, "ollama", "count")),
    "failed here": spans(replace(ANSWERED, outcome="internal", status=500)),
    "the client left": spans(replace(ANSWERED, outcome="aborted", status=None, usage=None)),
    "of a client, with its trace": spans(ANSWERED, client="näme", parent_id=2**64 - 1, state="a=b,c=d"),
    "a stream": spans(replace(ANSWERED, stream=True, ttft_ms=2.5)),
    "a word before its attempt began": spans(replace(ANSWERED, stream=True, ttft_ms=0.25)),
    "all of the usage": spans(replace(ANSWERED, usage=Usage(0, 127, 128, 16_384, 2**40), cost=1_234_567)),
    "the largest number": spans(replace(ANSWERED, usage=Usage(2**63 - 1, 16_383))),
    "a failover": spans(
        replace(
            ANSWERED,
            attempts=[
                Attempt("a", "m", "overloaded", True, 1.0, began_ms=0.5),
                Attempt("b", "claude", "answered", protocol="openai-chat", ms=2.0, began_ms=1.75),
            ],
            backend_used="b",
        )
    ),
    "losses": spans(
        replace(ANSWERED, losses=[Loss("sampling.seed", "seed", "dropped"), Loss("n", "n", "approximated")])
    ),
    "more losses than a record keeps": spans(
        replace(ANSWERED, losses=[Loss(str(n), "n", "dropped") for n in range(120)])
    ),
    "a long name": spans(
        replace(ANSWERED, attempts=[Attempt("a", "m" * 300, "answered", True, 3.0)], decision=None), client="c" * 200
    ),
    "a name that is no text": spans(replace(ANSWERED, attempts=[Attempt("a", "\0 ", "answered", True, 3.0)])),
}


# ---- what the SDK writes ---------------------------------------------------------------------------------------------


def known(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def events(record: Record, when: int) -> list[Event]:
    found = []
    if (decision := record.decision) is not None:
        of_decision = {
            names.MODE: decision.mode,
            names.BECAUSE: decision.because,
            names.CONSIDERED: [f"{each.backend}: {each.why}" for each in decision.considered],
            names.BACKEND: None if decision.chosen is None else decision.chosen.backend,
        }
        found.append(Event("crosswire.decision", known(of_decision), when))
    for loss in record.losses[:100]:
        of_loss = {names.FEATURE: loss.feature, names.PATH: loss.path, names.HOW: loss.how}
        found.append(Event("crosswire.loss", of_loss, when))
    return found


def of_attempt(record: Record, attempt: Attempt, *, is_last: bool) -> dict[str, Any]:
    where = {"a": ("openai-chat", "a", "api.example", 443), "b": ("anthropic", "anthropic", "127.0.0.1", 8000)}
    protocol, provider, host, port = where[attempt.backend]
    found = {
        names.GEN_AI_OPERATION: record.what,
        names.GEN_AI_PROVIDER: provider,
        names.GEN_AI_MODEL: attempt.model,
        names.GEN_AI_STREAM: record.stream or None,
        names.SERVER_ADDRESS: host,
        names.SERVER_PORT: port,
        names.BACKEND: attempt.backend,
        names.PROTOCOL: attempt.protocol or protocol,
        names.RELAYED: attempt.relayed,
        names.OUTCOME: attempt.outcome,
        names.ERROR_TYPE: None if attempt.outcome == "answered" else attempt.outcome,
    }
    if is_last and record.ttft_ms is not None:
        found[names.GEN_AI_FIRST_CHUNK] = max(record.ttft_ms - attempt.began_ms, 0.0) / 1000
    if is_last and record.usage is not None and record.backend_used == attempt.backend:
        usage = record.usage
        found |= {
            names.GEN_AI_INPUT: usage.prompt,
            names.GEN_AI_OUTPUT: usage.output,
            names.GEN_AI_CACHE_READ: usage.cache_read,
            names.GEN_AI_CACHE_WRITE: usage.cache_write,
            names.GEN_AI_REASONING: usage.reasoning,
        }
    return known(found)


def written_by_the_sdk(of: RequestSpans) -> ExportTraceServiceRequest:
    record = of.record

    def context(span_id: int, *, is_remote: bool = False) -> SpanContext:
        pairs = [(name, value) for name, _, value in (each.partition("=") for each in of.state.split(",") if each)]
        return SpanContext(of.trace_id, span_id, is_remote, TraceFlags(1), TraceState(pairs))

    def span(name: str, span_id: int, parent: SpanContext | None, kind: SpanKind, ms: tuple[float, float], **more: Any):
        code = StatusCode.ERROR if more.pop("failed") else StatusCode.UNSET
        began, ended = (of.came + int(each * 1_000_000) for each in ms)
        return ReadableSpan(
            name,
            context(span_id),
            parent,
            Resource(RESOURCE),
            kind=kind,
            status=Status(code),
            start_time=began,
            end_time=ended,
            instrumentation_scope=InstrumentationScope("crosswire", "1.2"),
            **more,
        )

    made = []
    for index, (span_id, attempt) in enumerate(zip(of.attempts, record.attempts, strict=True)):
        made.append(
            span(
                f"{of.operation} {attempt.model}",
                span_id,
                context(of.span_id),
                SpanKind.CLIENT,
                (attempt.began_ms, attempt.began_ms + attempt.ms),
                attributes=of_attempt(record, attempt, is_last=index == len(record.attempts) - 1),
                failed=attempt.outcome not in ("answered", "aborted"),
            )
        )
    of_request = {
        names.REQUEST_ID: record.request_id,
        names.FRONTEND: record.frontend,
        names.OPERATION: record.what,
        names.CLIENT: of.client,
        names.STREAM: record.stream,
        names.ATTEMPTS: len(record.attempts),
        names.OUTCOME: record.outcome,
        names.BACKEND: record.backend_used,
        names.COST: None if record.cost is None else record.cost / 10**9,
        names.STATUS_CODE: record.status,
        names.ERROR_TYPE: None if record.outcome == "answered" else record.outcome,
    }
    total = record.total_ms or 0
    made.append(
        span(
            f"{of.operation} {record.frontend}",
            of.span_id,
            context(of.parent_id, is_remote=True) if of.parent_id else None,
            SpanKind.SERVER,
            (0, total),
            attributes=known(of_request),
            events=events(record, of.came + int(total * 1_000_000)),
            failed=record.outcome == "internal",
        )
    )
    return encode_spans(made)


def in_order(message: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """The message with the attributes of each span by name: their order says nothing."""
    for span in message.resource_spans[0].scope_spans[0].spans:
        for holder in (span, *span.events):
            holder.attributes.sort(key=lambda each: each.key)
    return message


def read(writer: SpanWriter, *found: RequestSpans) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(writer.message([writer.encode(each) for each in found]))


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_the_sdk_writes(case: str) -> None:
    assert in_order(read(SpanWriter(RESOURCE, "1.2"), CASES[case])) == in_order(written_by_the_sdk(CASES[case]))


def test_what_is_kept_of_some_is_not_said_of_others() -> None:
    """One writer encodes all of them, and again, in one message."""
    writer = SpanWriter(RESOURCE, "1.2")
    for _ in range(2):
        found = list(read(writer, *CASES.values()).resource_spans[0].scope_spans[0].spans)
        for case, of in CASES.items():
            count = 1 + len(of.attempts)
            alone = read(SpanWriter(RESOURCE, "1.2"), of).resource_spans[0].scope_spans[0].spans
            assert found[:count] == list(alone), case
            del found[:count]
        assert found == []


def test_a_backend_that_changes_is_told_as_it_is_now() -> None:
    writer = SpanWriter(RESOURCE, "1.2")
    moved = {"a": SimpleNamespace(config=replace(BACKENDS["a"].config, base_url="https://other.example/v1"))}
    for backends, host in ((BACKENDS, "api.example"), (moved, "other.example"), (BACKENDS, "api.example")):
        attempt = read(writer, spans(ANSWERED, backends=backends)).resource_spans[0].scope_spans[0].spans[0]
        assert [each.value.string_value for each in attempt.attributes if each.key == "server.address"] == [host]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosswire.proxy.observability.span_writer._KEPT", 2000)
    writer = SpanWriter(RESOURCE, "1.2")
    for number in range(50):
        record = replace(ANSWERED, attempts=[Attempt("a", f"m{number}", "answered", True, 3.0)])
        writer.encode(spans(record, client=f"c{number}"))
        for parts in (writer._requests, writer._attempts):
            assert sum(len(part) for _, part in parts._parts.values()) == parts._size <= 2000


@pytest.mark.parametrize(
    ("record", "gone", "cut"),
    [
        # an int64 holds no more: of a backend that counts so far nothing is told, and the rest of the span is
        (replace(ANSWERED, usage=Usage(2**63, 5)), "gen_ai.usage.input_tokens", None),
        (replace(ANSWERED, usage=Usage(5, -1)), "gen_ai.usage.output_tokens", None),
        (replace(ANSWERED, attempts=[Attempt("a", "ä" * 600, "answered")]), None, "gen_ai.request.model"),
    ],
)
def test_what_an_attribute_cannot_hold(record: Record, gone: str | None, cut: str | None) -> None:
    attempt = read(SpanWriter(RESOURCE, "1.2"), spans(record)).resource_spans[0].scope_spans[0].spans[0]
    found = {each.key: each.value.string_value for each in attempt.attributes}
    assert gone not in found
    assert cut is None or found[cut] == "ä" * 512


def test_texts_of_events_are_cut_too() -> None:
    record = replace(ANSWERED, losses=[Loss("p" * 600, "n", "dropped")])
    *_, loss = read(SpanWriter(RESOURCE, "1.2"), spans(record)).resource_spans[0].scope_spans[0].spans[1].events
    assert {each.key: len(each.value.string_value) for each in loss.attributes}["crosswire.loss.path"] == 512


def test_a_text_that_is_no_unicode_is_replaced() -> None:
    record = replace(ANSWERED, attempts=[Attempt("a", "m\ud800", "answered")])
    assert read(SpanWriter(RESOURCE, "1.2"), spans(record)).resource_spans[0].scope_spans[0].spans[0].name == "chat m?"
