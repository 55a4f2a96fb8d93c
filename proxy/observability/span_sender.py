"""Sends encoded spans by OTLP over HTTP, from the thread that calls it, on one connection that is kept.

"The client SHOULD keep the connection alive between requests."
https://opentelemetry.io/docs/specs/otlp/#otlphttp-connection
"""

from __future__ import annotations

import gzip
import math
import random
import ssl
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .trace_settings import TraceSettings

_PASSING = frozenset((429, 502, 503, 504))
"""Statuses of what may pass: what gets one "SHOULD be retried. All other 4xx or 5xx response status codes MUST NOT be
retried." https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
"""

_MOST_TRIES = 6
_JITTER = 0.2
"""Share by which a wait between two tries differs: "The interval between retries must have a random jitter."

https://opentelemetry.io/docs/specs/otlp/#otlphttp-connection
"""

_ANSWER = 64 * 1024
"""Bytes of an answer that are read; after a longer one the connection is not used again."""

_COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


class SpanSender:
    """One connection to a collector. `environment` may have what OpenTelemetry's exporters read of theirs.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/
    """

    def __init__(self, settings: TraceSettings, agent: str, environment: Mapping[str, str]) -> None:
        self._url = urlsplit(settings.endpoint)
        self._timeout_s = settings.timeout_s
        self._environment = environment
        self._compress = _COMPRESSIONS.get(self._variable("COMPRESSION").strip().lower())
        # "The client and the server MUST set "Content-Type: application/x-protobuf" request and response headers when
        # sending binary Protobuf encoded payload." https://opentelemetry.io/docs/specs/otlp/#binary-protobuf-encoding
        self._headers = {"content-type": "application/x-protobuf", "user-agent": agent}
        if self._compress is not None:
            self._headers["content-encoding"] = self._variable("COMPRESSION").strip().lower()
        given = _read_pairs(self._variable("HEADERS"))
        self._headers |= {**{name.lower(): value for name, value in given.items()}, **settings.headers}
        self._connection: HTTPConnection | None = None
        self._context: ssl.SSLContext | None = None
        self._proxy = _proxy_of(self._url)
        self._target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        if self._proxy is not None and self._url.scheme == "http":
            # "a client MUST send the target URI in 'absolute-form'" https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
            self._target = f"http://{self._url.netloc}{self._target}"
            self._headers |= _authorization(self._proxy)
        self._closing = threading.Event()

    def send(self, message: bytes) -> bool:
        """Sends an `ExportTraceServiceRequest`, again while that may help; returns whether it was taken.

        No redirect is followed: the collector is where the config says.
        """
        body = message if self._compress is None else self._compress(message)
        end = time.monotonic() + self._timeout_s
        for number in range(_MOST_TRIES):
            wait = 2**number * random.uniform(1 - _JITTER, 1 + _JITTER)
            try:
                status, after = self._post(body, end)
            except (OSError, HTTPException) as fault:
                # "If the server disconnects without returning a response, the client SHOULD retry and send the same
                # request." https://opentelemetry.io/docs/specs/otlp/#all-other-responses
                self._disconnect()
                if isinstance(fault, ssl.SSLError):
                    self._context = None  # the certificates in its files may be others by now
            else:
                if 200 <= status < 300:
                    return True
                if status not in _PASSING:
                    return False
                # "The client SHOULD honour the waiting interval specified in the "Retry-After" header if it is
                # present." https://opentelemetry.io/docs/specs/otlp/#otlphttp-throttling
                wait = wait if after is None else after
            if wait > end - time.monotonic() or self._closing.wait(wait):
                return False
        return False

    def close(self) -> None:
        """Ends the waiting for another try, and closes the connection."""
        self._closing.set()
        self._disconnect()

    def _post(self, body: bytes, end: float) -> tuple[int, float | None]:
        """The status of an answer, and the seconds to wait that it names."""
        was_open = self._connection is not None
        try:
            return self._exchange(body, end)
        except (OSError, HTTPException):
            self._disconnect()
            if not was_open or self._closing.is_set() or time.monotonic() >= end:
                raise
        # the collector had closed the connection since
        return self._exchange(body, end)

    def _exchange(self, body: bytes, end: float) -> tuple[int, float | None]:
        left = max(end - time.monotonic(), 0.001)
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)
        connection.request("POST", self._target, body, self._headers)
        answer = connection.getresponse()
        answer.read(_ANSWER)
        if not answer.isclosed():
            self._disconnect()
        return answer.status, _seconds(answer.getheader("retry-after"))

    def _connect(self) -> HTTPConnection:
        """A connection by the way that the environment names, for which libraries look there by these names too."""
        url, proxy = self._url, self._proxy
        near = url if proxy is None else proxy
        host, port = near.hostname or "", near.port
        if url.scheme == "http":
            return HTTPConnection(host, port or 80)
        if self._context is None:
            self._context = self._tls()
        connection = HTTPSConnection(host, port or (443 if proxy is None else 80), context=self._context)
        if proxy is not None:
            connection.set_tunnel(url.hostname or "", url.port or 443, _authorization(proxy))
        return connection

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._variable("CERTIFICATE") or None)
        if own := self._variable("CLIENT_CERTIFICATE"):
            context.load_cert_chain(own, self._variable("CLIENT_KEY") or None)
        return context

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _variable(self, name: str) -> str:
        """A variable of the exporter's own, that of traces before that of all signals; empty where there is none."""
        given = (self._environment.get(f"OTEL_EXPORTER_OTLP_{kind}{name}") for kind in ("TRACES_", ""))
        return next(filter(None, given), "")


def read_resource(environment: Mapping[str, str]) -> dict[str, str]:
    """The attributes of all spans that the environment names.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    return _read_pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))


def _read_pairs(text: str) -> dict[str, str]:
    """Names and values, percent-encoded; what is no pair is left out."""
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _proxy_of(url: SplitResult) -> SplitResult | None:
    """The HTTP proxy that the environment names for this address; None where it names none."""
    known = getproxies()
    given = known.get(url.scheme) or known.get("all")
    if not given or proxy_bypass(url.netloc.rpartition("@")[2]):
        return None
    return urlsplit(given if "://" in given else f"http://{given}")


def _authorization(proxy: SplitResult) -> dict[str, str]:
    """The header with the user and the password in a proxy's address; none where it has none."""
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _seconds(text: str | None) -> float | None:
    """The seconds of a `retry-after`, which may be a date. https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3"""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
