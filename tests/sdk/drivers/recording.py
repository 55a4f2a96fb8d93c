"""Records every response of an SDK's client, byte by byte, with transports for httpx and httpx2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
import httpx2
from msgspec import Struct, field


class RecordedResponse(Struct):
    """One response: status, headers with lowercase names, and the parts of its body."""

    status: int
    headers: Mapping[str, str]
    parts: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


class Recording:
    """The responses since the last `clear`, oldest first."""

    def __init__(self) -> None:
        self.responses: list[RecordedResponse] = []

    def clear(self) -> None:
        self.responses.clear()

    def start(self, status: int, headers: Mapping[str, str]) -> RecordedResponse:
        """Adds a response, whose body is recorded as it is read."""
        self.responses.append(RecordedResponse(status, {name.lower(): value for name, value in headers.items()}))
        return self.responses[-1]

    @property
    def last(self) -> RecordedResponse:
        return self.responses[-1]


# ---- httpx2: openai, anthropic, google-genai -------------------------------------------------------------------------


class Recorder(httpx2.BaseTransport):
    """A transport that records its responses."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._inner = httpx2.HTTPTransport(verify=False)  # loopback only; a context with roots takes long to load

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        recorded = self._recording.start(response.status_code, response.headers)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Tee(response.stream, recorded)
        return response

    def close(self) -> None:
        self._inner.close()


class _Tee(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, recorded: RecordedResponse) -> None:
        self._stream = stream
        self._recorded = recorded

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._recorded.parts.append(part)
            yield part

    def close(self) -> None:
        self._stream.close()


# ---- httpx: ollama ---------------------------------------------------------------------------------------------------


class HttpxRecorder(httpx.BaseTransport):
    """The same transport for httpx, which the `ollama` SDK uses."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._inner = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        recorded = self._recording.start(response.status_code, response.headers)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _HttpxTee(response.stream, recorded)
        return response

    def close(self) -> None:
        self._inner.close()


class _HttpxTee(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, recorded: RecordedResponse) -> None:
        self._stream = stream
        self._recorded = recorded

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._recorded.parts.append(part)
            yield part

    def close(self) -> None:
        self._stream.close()
