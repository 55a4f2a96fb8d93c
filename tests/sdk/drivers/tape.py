"""The tape: every response of an SDK's client, byte by byte as it came. It knows httpx and httpx2, and no protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
import httpx2
from msgspec import Struct, field


class Taken(Struct):
    """One response as it came."""

    status: int
    headers: Mapping[str, str]
    parts: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


class Tape:
    """The responses since the last `rewind`, oldest first."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []

    def rewind(self) -> None:
        self.taken.clear()

    def take(self, status: int, headers: Mapping[str, str]) -> Taken:
        """Begin a response; its bytes are added as they are read."""
        self.taken.append(Taken(status, {name.lower(): value for name, value in headers.items()}))
        return self.taken[-1]

    @property
    def last(self) -> Taken:
        return self.taken[-1]


# ---- httpx2: openai, anthropic, google-genai -------------------------------------------------------------------------


class Recorder(httpx2.BaseTransport):
    """A transport whose responses go onto a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._inner = httpx2.HTTPTransport(verify=False)  # loopback only; a context with roots takes long to load

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        taken = self._tape.take(response.status_code, response.headers)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Tee(response.stream, taken)
        return response

    def close(self) -> None:
        self._inner.close()


class _Tee(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, taken: Taken) -> None:
        self._stream = stream
        self._taken = taken

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._taken.parts.append(part)
            yield part

    def close(self) -> None:
        self._stream.close()


# ---- httpx: ollama ---------------------------------------------------------------------------------------------------


class OldRecorder(httpx.BaseTransport):
    """The same for the elder library."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._inner = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        taken = self._tape.take(response.status_code, response.headers)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _OldTee(response.stream, taken)
        return response

    def close(self) -> None:
        self._inner.close()


class _OldTee(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, taken: Taken) -> None:
        self._stream = stream
        self._taken = taken

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._taken.parts.append(part)
            yield part

    def close(self) -> None:
        self._stream.close()
