"""Writes one streamed answer: the interface to the client's connection, and the transcoder of a backend's chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol as Interface

from ..backends.backend import StreamChunk
from ..ir import Event, Failure
from ..ir.stop_sequences import StopCutter
from ..ir.stream import Texts
from ..ir.tool_ids import UniqueIds
from ..protocols.protocol import Protocol, StreamEncoder
from ..wire.framing import FRAMINGS
from .relay import Relay


class ClientGone(Exception):
    """The client closed its connection before the answer ended; raised by a ResponseWriter, and no error of anybody."""


class ResponseWriter(Interface):
    """The client's connection. `abort` flushes what was written and closes without a proper end of the body."""

    has_headers: bool
    """True if the client gets the headers, which tell of losses."""

    @property
    def write_now(self) -> Callable[[bytes], None] | None:
        """Writes without waiting; None where the client has to read first, or where every write waits."""
        ...

    async def open(self, headers: Mapping[str, str]) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    def abort(self) -> None: ...


class StreamTranscoder:
    """Turns a backend's chunks into the client's bytes: re-encoded, or relayed with the model's name replaced."""

    def __init__(
        self, relay: Relay | None, frontend: Protocol, encoder: StreamEncoder, stops: tuple[str, ...] = ()
    ) -> None:
        """`stops` are the stop sequences at which the proxy cuts the answer."""
        self._relay = relay
        self._frontend = frontend
        self._first = self._last = b""
        self._ids = UniqueIds()
        self._cutter = StopCutter(stops) if stops else None
        self.encoder = encoder
        self.relayed = relay is not None
        self.losses = encoder.losses

    def transcode(self, chunk: StreamChunk) -> bytes:
        """The bytes for the client; they count as sent once the next chunk is transcoded."""
        if self._relay is None or chunk.is_whole:
            plain = None if chunk.texts is None else self.transcode_plain(chunk.raw, chunk.texts)
            if plain is not None:
                return plain
            if self._last:
                self._first = self._last
            events: Sequence[Event] = chunk.events
            if self._cutter is not None:
                events = self._cutter.feed(events)
            self._last = self.encoder.encode(self._ids.events(events))
            return self._last
        return self._relayed(self._relay, chunk.raw)

    def _relayed(self, relay: Relay, whole: bytes) -> bytes:
        if whole and self._frontend.resume_after_relay is not None:
            self._first = self._first or whole
            self._last = whole
        return relay.frames(whole)

    def transcode_plain(self, whole: bytes, texts: Texts | None) -> bytes | None:
        """The same of frames that hold nothing but texts, or are relayed; None where they need more than that."""
        if self._relay is not None:
            return self._relayed(self._relay, whole)
        if texts is None:
            return None
        data = None if self._cutter is not None else self.encoder.encode_texts(texts)
        if data is not None:
            self._first, self._last = self._last or self._first, data
        return data

    def failure(self, failure: Failure) -> bytes:
        """The error in band, after what was sent; a converted chunk that failed for its loss was not sent."""
        if self._relay is not None:
            sent = (self._first, self._last)
        else:
            sent = (self._first, b"") if failure.kind == "loss" else (b"", b"")
        if self._frontend.resume_after_relay is not None and any(sent):
            framing = FRAMINGS[self._frontend.framing](sum(map(len, sent)))
            self._frontend.resume_after_relay(self.encoder, [frame for data in sent for frame in framing.parse(data)])
        return self.encoder.encode([failure])
