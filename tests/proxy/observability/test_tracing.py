"""Traces: the spans of each kind of request, whose trace they are of, and what an exporter that is down costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from crosswire.proxy.config import Config
from crosswire.proxy.errors import failure
from crosswire.proxy.ir import Loss
from crosswire.proxy.observability import span_names, tracing
from crosswire.proxy.observability.request_record import Record
from crosswire.proxy.observability.trace_settings import TraceSettings
from crosswire.proxy.observability.tracing import Tracer

from ..proxy_fixture import KEY, Stage, config, one, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunked, http, upstream

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers"""

SETTINGS = TraceSettings(endpoint="http://127.0.0.1:1/v1/traces")


class Kept:
    """Keeps what it is given, or fails, or stands still until it is let go."""

    def __init__(self, *, fails: bool = False, stands: bool = False) -> None:
        self.spans: list[Span] = []
        self.fails = fails
        self.goes_on = threading.Event()
        if not stands:
            self.goes_on.set()

    def send(self, message: bytes) -> bool:
        self.goes_on.wait(20)
        if self.fails:
            return False
        (resource,) = ExportTraceServiceRequest.FromString(message).resource_spans
        self.spans += resource.scope_spans[0].spans
        return True

    def close(self) -> None:
        self.goes_on.set()


def values(of: Any) -> dict[str, Any]:
    """The attributes of a span, an event or a resource by their names."""
    found = {}
    for each in of.attributes:
        value = getattr(each.value, each.value.WhichOneof("value"))
        found[each.key] = [one.string_value for one in value.values] if hasattr(value, "values") else value
    assert len(found) == len(of.attributes)
    return found


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    sender = Kept()
    monkeypatch.setattr(tracing, "_otlp_sender", lambda settings: sender)
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    return sender


def traced(backends: Mapping[str, Mapping[str, Any]], **settings: Any) -> Config:
    return config(backends, tracing={"endpoint": SETTINGS.endpoint, **settings.pop("tracing", {})}, **settings)


async def spans(kept: Kept, count: int) -> list[Span]:
    """The spans once there are so many, those of requests first."""
    async with asyncio.timeout(20):
        while len(kept.spans) < count:  # noqa: ASYNC110 - the thread that exports tells nobody
            await asyncio.sleep(0.01)
    return sorted(kept.spans, key=lambda span: span.kind != Span.SPAN_KIND_SERVER)


@asynccontextmanager
async def answered(frontend: str, *answers: Any, **settings: Any) -> AsyncIterator[tuple[Stage, Any]]:
    async with (
        upstream(*answers) as up,
        stage(traced(one(frontend, up.url, models={"m": "m"}), **settings)) as it,
    ):
        yield it, up


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_the_spans_of_a_request(kept: Kept, frontend: str, streams: bool) -> None:
    answer = chunked(stream(frontend), stream_kind(frontend)) if streams else [http(dumps(reply(frontend)))]
    async with answered(frontend, answer) as (it, up):
        fields = {"traceparent": PARENT, "tracestate": "vendor=1"}
        await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams), fields)
        whole, attempt = await spans(kept, 2)
        sent = up.requests[0].headers
    assert whole.name == f"chat {frontend}"
    assert attempt.name == "chat m"
    assert (whole.kind, attempt.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    # the client's trace goes on here and at the upstream
    assert whole.trace_id.hex() == attempt.trace_id.hex() == PARENT[3:35]
    assert whole.parent_span_id.hex() == PARENT[36:52]
    assert attempt.parent_span_id == whole.span_id
    assert sent["traceparent"] == f"00-{PARENT[3:35]}-{attempt.span_id.hex()}-01"
    assert sent["tracestate"] == whole.trace_state == attempt.trace_state == "vendor=1"
    assert whole.start_time_unix_nano <= attempt.start_time_unix_nano
    assert attempt.start_time_unix_nano < attempt.end_time_unix_nano <= whole.end_time_unix_nano
    of_whole, of_attempt = values(whole), values(attempt)
    assert of_whole["http.response.status_code"] == 200
    assert of_whole["crosswire.outcome"] == of_attempt["crosswire.outcome"] == "answered"
    assert of_attempt["gen_ai.operation.name"] == "chat"
    assert of_attempt["gen_ai.request.model"] == "m"
    assert of_attempt["server.address"] == "127.0.0.1"
    assert of_attempt["gen_ai.usage.output_tokens"] == 2
    assert ("gen_ai.request.stream" in of_attempt) == streams
    assert ("gen_ai.response.time_to_first_chunk" in of_attempt) == streams
    assert whole.events[0].name == "crosswire.decision"
    assert "error.type" not in of_whole


async def test_attempts_losses_and_failures(kept: Kept) -> None:
    """Each attempt has its span; a failed one says so, and a loss is an event of the request."""
    body = ask("openai-chat", seed=7)
    async with (
        upstream([http(b'{"error": {"message": "no"}}', "503 Service Unavailable")]) as down,
        upstream([http(dumps(reply("anthropic")))]) as up,
    ):
        backends = {
            "a": {"protocol": "openai-chat", "base_url": down.url, "priority": 2},
            "b": {"protocol": "anthropic", "base_url": up.url, "provider": "anthropic"},
        }
        async with stage(traced(backends)) as it:
            await it.ask(path("openai-chat"), body)
            whole, *attempts = await spans(kept, 3)
        first, second = (upstream.requests[0].headers["traceparent"] for upstream in (down, up))
    assert first[:35] == second[:35]
    assert first != second
    by_backend = {values(span)["crosswire.backend"]: span for span in attempts}
    assert by_backend["a"].status.code == Status.STATUS_CODE_ERROR
    assert values(by_backend["a"])["error.type"] == "overloaded"
    assert values(by_backend["b"])["gen_ai.provider.name"] == "anthropic"
    assert values(whole)["crosswire.attempts"] == 2
    assert whole.status.code == Status.STATUS_CODE_UNSET
    losses = [values(event) for event in whole.events if event.name == "crosswire.loss"]
    assert [loss["crosswire.loss.feature"] for loss in losses] == ["seed"]
    text = " ".join(str(span) for span in kept.spans)
    assert KEY not in text
    assert TEXT not in text
    assert "Say hello." not in text


async def test_every_name_is_in_the_table(kept: Kept) -> None:
    body = ask("openai-chat", stream=True, seed=7)
    async with (
        upstream(chunked(stream("anthropic")), [http(b"{}", "400 Bad Request")]) as up,
        stage(traced(one("anthropic", up.url, models={"m": "m"}))) as it,
    ):
        for _ in range(2):
            await it.ask(path("openai-chat", stream=True), body)
        found = await spans(kept, 4)
    table = {row.name: row.places for row in span_names.SPAN_NAMES}
    assert len(table) == len(span_names.SPAN_NAMES)
    for span in found:
        place = "request" if span.kind == Span.SPAN_KIND_SERVER else "attempt"
        assert [name for name in values(span) if place not in table[name]] == []
        for event in span.events:
            place = event.name.removeprefix("crosswire.")
            assert [name for name in values(event) if place not in table[name]] == []


@pytest.mark.parametrize(
    ("sample", "parent", "recorded", "flag"),
    [
        (0.0, None, 0, 0),
        (1.0, None, 2, 1),
        (0.0, PARENT, 2, 1),  # the client's trace is recorded
        (1.0, PARENT[:-1] + "0", 0, 0),  # and is not, where the client says so
        (1.0, "00-zz", 2, 1),  # what is no parent begins a new trace
        (1.0, f"{PARENT}, {PARENT}", 2, 1),
    ],
)
async def test_sampling(kept: Kept, sample: float, parent: str | None, recorded: int, flag: int) -> None:
    async with answered("openai-chat", [http(dumps(reply("openai-chat")))], tracing={"sample": sample}) as (it, up):
        fields = {} if parent is None else {"traceparent": parent}
        await it.ask(path("openai-chat"), ask("openai-chat"), fields)
        await spans(kept, recorded)
        sent = up.requests[0].headers["traceparent"]
    assert len(kept.spans) == recorded
    assert int(sent[-2:], 16) & 1 == flag  # the other bits say more than whether it is recorded


async def test_off_nothing_is_passed_on() -> None:
    """Without `tracing` the client's headers end here, as all others do."""
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url, models={"m": "m"}))) as it,
    ):
        await it.ask(path("openai-chat"), ask("openai-chat"), {"traceparent": PARENT, "tracestate": "a=b"})
        assert it.gateway.tracer is None
        assert not {"traceparent", "tracestate"} & set(up.requests[0].headers)


async def test_beside_the_chat(kept: Kept) -> None:
    async with answered("anthropic", [http(b'{"input_tokens": 3}')]) as (it, up):
        body = ask("anthropic")
        del body["max_tokens"]
        await it.ask("/v1/messages/count_tokens", body, {"traceparent": PARENT})
        whole, attempt = await spans(kept, 2)
        sent = up.requests[0].headers["traceparent"]
    assert (whole.name, attempt.name) == ("count anthropic", "count m")
    assert sent[3:35] == PARENT[3:35]


# ---- what an exporter may cost ---------------------------------------------------------------------------------------


def ended(tracer: Tracer, count: int) -> None:
    for _ in range(count):
        tracer.begin({}, "openai-chat", "chat").finish(Record("req_1", 0.0, "openai-chat"), None, {})


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    assert condition()


def test_an_exporter_that_stands_still_costs_spans_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue counts the rest at once, and the one that ends the spans never waits."""
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    exporter = Kept(stands=True)
    tracer = Tracer(TraceSettings(endpoint=SETTINGS.endpoint, queue=10), "i", lambda settings: exporter)
    queue = tracer.queue
    ended(tracer, 1)
    wait_for(lambda: not queue.waiting)  # the thread has it and stands
    ended(tracer, 25)
    assert queue.dropped == 15
    exporter.goes_on.set()
    wait_for(lambda: len(exporter.spans) == 11)
    tracer.close()


@pytest.mark.parametrize(
    "record",
    [
        Record("req_1", 0.0, "openai-chat", model="m" * 1_000_000),
        Record("req_1", 0.0, "openai-chat", error=failure("upstream_error", "e" * 1_000_000)),
        Record("req_1", 0.0, "openai-chat", losses=[Loss("p" * 100_000, "n", "dropped")] * 10),
    ],
    ids=["model", "error", "losses"],
)
def test_what_others_can_make_large_does_not_wait_with_the_spans(record: Record) -> None:
    """It is not kept while an exporter stands still."""
    exporter = Kept(stands=True)
    tracer = Tracer(SETTINGS, "i", lambda settings: exporter)
    tracer.begin({}, "openai-chat", "chat").finish(record, None, {})
    ((waiting, _),) = tracer.queue._waiting
    assert isinstance(waiting, bytes)
    assert len(waiting) < 20_000
    exporter.goes_on.set()
    tracer.close()
    assert len(exporter.spans) == 1


def test_an_export_that_fails_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    exporter = Kept(fails=True)
    tracer = Tracer(SETTINGS, "i", lambda settings: exporter)
    for count in (2, 5):
        ended(tracer, count - tracer.queue.dropped)
        wait_for(lambda count=count: tracer.queue.dropped == count)
    assert len(caplog.records) == 1
    exporter.fails = False
    ended(tracer, 1)
    wait_for(lambda: len(exporter.spans) == 1)
    tracer.close()
    assert len(caplog.records) == 2
    assert tracer.queue.dropped == 5


def test_what_waits_at_the_end_is_exported() -> None:
    exporter = Kept()
    tracer = Tracer(SETTINGS, "i", lambda settings: exporter)
    ended(tracer, 3)
    tracer.close()
    assert len(exporter.spans) == 3


async def test_drops_are_a_metric(kept: Kept) -> None:
    kept.fails = True
    async with answered("openai-chat", [http(dumps(reply("openai-chat")))]) as (it, _):
        assert b'crosswire_log_dropped_total{log="traces"} 0.0' in it.gateway.render_metrics()
        await it.ask(path("openai-chat"), ask("openai-chat"))
        async with asyncio.timeout(20):
            while b'log="traces"} 2.0' not in it.gateway.render_metrics():  # noqa: ASYNC110 - a thread counts
                await asyncio.sleep(0.01)


async def test_a_new_config_moves_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that changes `tracing` makes a new tracer, and one that does not keeps it."""
    made: list[TraceSettings] = []

    def make(settings: TraceSettings) -> Kept:
        made.append(settings)
        return Kept()

    monkeypatch.setattr(tracing, "_otlp_sender", make)
    backends = one("openai-chat", "http://127.0.0.1:1")
    async with stage(traced(backends)) as it:
        it.gateway.apply_config(traced(backends))
        it.gateway.apply_config(traced(backends, tracing={"service": "other"}))
        assert [settings.service for settings in made] == ["crosswire", "other"]
        it.gateway.apply_config(config(backends))
        assert it.gateway.tracer is None


# ---- the wire --------------------------------------------------------------------------------------------------------


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[Mapping[str, str], bytes]]]]:
    """A collector that takes OTLP over HTTP: its URL, and the headers and body of each export."""
    got: list[tuple[Mapping[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_otlp_over_http(collector: tuple[str, list[tuple[Mapping[str, str], bytes]]]) -> None:
    url, got = collector
    tracer = Tracer(TraceSettings(endpoint=url, headers={"authorization": "Bearer secret"}, service="here"), "worker-1")
    ended(tracer, 2)
    tracer.close()
    ((fields, body),) = got
    assert {name.lower(): text for name, text in fields.items()}["authorization"] == "Bearer secret"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    named = values(resource.resource)
    assert (named["service.name"], named["service.instance.id"]) == ("here", "worker-1")
    assert [span.name for span in resource.scope_spans[0].spans] == ["chat openai-chat"] * 2
