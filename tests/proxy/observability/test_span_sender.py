"""Sending spans: the head of an export, what is sent again and when, and the way to the collector."""

from __future__ import annotations

import gzip
import http.client
import socket
import socketserver
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.observability.span_sender import SpanSender, read_resource
from crosswire.proxy.observability.trace_settings import TraceSettings

from ..backends.test_tls import DAY, NOW, Authority

Sender = Callable[..., SpanSender]

MESSAGE = b"\x0a\x00" * 50


class Collector(socketserver.ThreadingTCPServer):
    """Answers each export as the script says: a status with headers, or a broken connection; in the end with 200."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.script: list[tuple[int, Mapping[str, str]]] = []
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        self.connections = 0
        self.context: ssl.SSLContext | None = None
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def get_request(self) -> tuple[socket.socket, Any]:
        given, address = super().get_request()
        return (given if self.context is None else self.context.wrap_socket(given, server_side=True)), address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        fields = {name.lower(): text for name, text in self.headers.items()}
        self.server.got.append((self.path, fields, self.rfile.read(int(fields["content-length"]))))
        status, more = self.server.script.pop(0) if self.server.script else (200, {})
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        for name, text in {"content-length": "0", **more}.items():
            self.send_header(name, text)
        self.end_headers()

    def do_CONNECT(self) -> None:
        self.server.got.append((self.path, {name.lower(): text for name, text in self.headers.items()}, b""))
        self.send_error(403)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Waits(threading.Event):
    """The seconds that were waited between tries, which nobody waits here."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.found.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def sender() -> Iterator[Callable[..., SpanSender]]:
    made: list[SpanSender] = []

    def make(
        url: str, environment: Mapping[str, str] = {}, waits: threading.Event | None = None, **settings: Any
    ) -> SpanSender:
        it = SpanSender(TraceSettings(endpoint=url, **settings), "crosswire/1", environment)
        if waits is not None:
            it._closing = waits
        made.append(it)
        return it

    yield make
    for it in made:
        it.close()


def test_an_export(sender: Sender, collector: Collector) -> None:
    """Several go by one connection."""
    it = sender(f"{collector.url}?a=b", headers={"authorization": "Bearer secret"})
    assert it.send(MESSAGE)
    assert it.send(MESSAGE)
    assert collector.connections == 1
    for path, fields, body in collector.got:
        assert path == "/v1/traces?a=b"
        assert body == MESSAGE
        assert fields["content-type"] == "application/x-protobuf"
        assert fields["user-agent"] == "crosswire/1"
        assert fields["authorization"] == "Bearer secret"
        assert fields["host"] == collector.url.split("/")[2]
        assert "content-encoding" not in fields


@pytest.mark.parametrize(
    ("script", "good", "tries"),
    [
        ([(200, {})], True, 1),
        ([(202, {})], True, 1),
        ([(429, {}), (502, {}), (503, {}), (504, {}), (200, {})], True, 5),
        ([(400, {})], False, 1),
        ([(401, {})], False, 1),
        ([(404, {})], False, 1),
        ([(408, {})], False, 1),
        ([(413, {})], False, 1),
        ([(500, {})], False, 1),
        ([(503, {})] * 9, False, 6),
        ([(0, {}), (200, {})], True, 2),  # the connection broke
        ([(503, {}), (0, {}), (200, {})], True, 3),
        # no redirect is followed, wherever it leads
        ([(301, {"location": "/v1/traces"})], False, 1),
        ([(307, {"location": "/v1/traces"})], False, 1),
        ([(308, {"location": "http://127.0.0.1:1/"})], False, 1),
    ],
)
def test_answers(sender: Sender, collector: Collector, script: list[Any], good: bool, tries: int) -> None:
    collector.script = list(script)
    assert sender(collector.url, waits=Waits(), timeout_s=1000).send(MESSAGE) == good
    assert [body for _, _, body in collector.got] == [MESSAGE] * tries


def test_the_waits_between_tries_double(sender: Sender, collector: Collector) -> None:
    collector.script = [(503, {})] * 9
    waits = Waits()
    sender(collector.url, waits=waits, timeout_s=1000).send(MESSAGE)
    assert [0.8 * 2**n <= wait <= 1.2 * 2**n for n, wait in enumerate(waits.found)] == [True] * 6


@pytest.mark.parametrize(
    ("after", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("-3", 0, 0),
        (timedelta(seconds=500), 400, 501),  # as a date
        (timedelta(days=-1), 0, 0),
        ("soon", 0.8, 1.2),
        ("nan", 0.8, 1.2),
        ("inf", 0.8, 1.2),
    ],
)
def test_an_answer_says_how_long_to_wait(
    sender: Sender, collector: Collector, after: str | timedelta, low: float, high: float
) -> None:
    if isinstance(after, timedelta):
        after = format_datetime(datetime.now(UTC) + after, usegmt=True)
    collector.script = [(429, {"retry-after": after})]
    waits = Waits()
    assert sender(collector.url, waits=waits, timeout_s=1000).send(MESSAGE)
    (wait,) = waits.found
    assert low <= wait <= high


@pytest.mark.parametrize("script", [[(503, {"retry-after": "60"})], [(503, {})]])
def test_nobody_waits_longer_than_the_export_may_take(sender: Sender, collector: Collector, script: list[Any]) -> None:
    collector.script = script
    began = time.monotonic()
    assert not sender(collector.url, timeout_s=0.5).send(MESSAGE)
    assert time.monotonic() - began < 0.5
    assert len(collector.got) == 1


def test_a_connection_that_the_collector_closed_since(sender: Sender, collector: Collector) -> None:
    """It is made anew at once."""
    collector.script = [(200, {"connection": "close"}), (200, {}), (0, {})]
    waits = Waits()
    it = sender(collector.url, waits=waits)
    assert [it.send(MESSAGE) for _ in range(3)] == [True] * 3
    assert waits.found == []
    assert len(collector.got) == 4


def test_an_answer_that_does_not_end(sender: Sender, collector: Collector) -> None:
    collector.script = [(200, {"content-length": str(2**40)})]
    it = sender(collector.url, timeout_s=0.2)
    began = time.monotonic()
    assert not it.send(MESSAGE)
    assert time.monotonic() - began < 5


def test_nobody_listens(sender: Sender) -> None:
    assert not sender("http://127.0.0.1:1/v1/traces", timeout_s=0.2).send(MESSAGE)


def test_the_end_ends_a_wait(sender: Sender, collector: Collector) -> None:
    collector.script = [(503, {"retry-after": "100"})]
    it = sender(collector.url, timeout_s=1000)
    threading.Timer(0.05, it.close).start()
    began = time.monotonic()
    assert not it.send(MESSAGE)
    assert time.monotonic() - began < 10


# ---- the environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "coding"),
    [
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "Gzip ", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "deflate", "deflate"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", None),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", None),
    ],
)
def test_compression(sender: Sender, collector: Collector, variable: str, value: str, coding: str | None) -> None:
    assert sender(collector.url, {variable: value}).send(MESSAGE)
    ((_, fields, body),) = collector.got
    assert fields.get("content-encoding") == coding
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[coding]
    assert unpack(body) == MESSAGE


def test_headers_of_the_environment(sender: Sender, collector: Collector) -> None:
    """Those of the config come before them, and those of traces before those of all signals."""
    variables = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-other=1",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "X-Team=a%20b, authorization=theirs,what",
    }
    assert sender(collector.url, variables, headers={"authorization": "ours"}).send(MESSAGE)
    ((_, fields, _),) = collector.got
    assert (fields["x-team"], fields["authorization"]) == ("a b", "ours")
    assert "x-other" not in fields


def test_resource_attributes() -> None:
    given = "deployment.environment.name=prod, team = a%2Cb ,broken,empty="
    assert read_resource({"OTEL_RESOURCE_ATTRIBUTES": given}) == {
        "deployment.environment.name": "prod",
        "team": "a,b",
        "empty": "",
    }
    assert read_resource({}) == {}


@pytest.mark.parametrize("no_proxy", [None, "collector.example"])
def test_by_a_proxy(
    sender: Sender, collector: Collector, monkeypatch: pytest.MonkeyPatch, no_proxy: str | None
) -> None:
    monkeypatch.setenv("http_proxy", collector.url.replace("//", "//user:pass%20word@"))
    if no_proxy is not None:
        monkeypatch.setenv("no_proxy", no_proxy)
    it = sender("http://collector.example/v1/traces", timeout_s=0.2)
    if no_proxy is None:
        assert it.send(MESSAGE)
        ((path, fields, _),) = collector.got
        assert path == "http://collector.example/v1/traces"
        assert fields["host"] == "collector.example"
        assert fields["proxy-authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    else:
        monkeypatch.setattr(http.client.socket, "create_connection", _refuse)
        assert not it.send(MESSAGE)
        assert collector.got == []


def _refuse(*_: Any, **__: Any) -> None:
    raise ConnectionRefusedError


def test_tls_trusts_the_authority_that_is_named(sender: Sender, collector: Collector, tmp_path: Path) -> None:
    authority = Authority()
    collector.context = authority.server(tmp_path, "localhost", NOW + DAY)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    port = collector.server_address[1]
    for environment, host, good in (
        ({}, "localhost", False),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}, "localhost", True),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}, "127.0.0.1", False),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "none.pem")}, "localhost", False),
    ):
        it = sender(f"https://{host}:{port}/v1/traces", environment, timeout_s=0.5)
        assert it.send(MESSAGE) == good, (environment, host)
    assert [body for _, _, body in collector.got] == [MESSAGE]


def test_tls_goes_through_a_proxy(sender: Sender, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees the name of the collector alone; this one refuses."""
    monkeypatch.setenv("https_proxy", collector.url)
    assert not sender("https://collector.example/v1/traces", timeout_s=0.3, headers={"x-key": "k"}).send(MESSAGE)
    path, fields, _ = collector.got[0]
    assert path == "collector.example:443"
    assert "x-key" not in fields
