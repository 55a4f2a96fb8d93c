"""Writes plain reads of a stream to the client at once: the task that forwards the stream sleeps on."""

from __future__ import annotations

from time import perf_counter

from ..ir.stream import Texts
from .context import RequestContext
from .keepalive import KeepaliveWriter
from .stream_writer import StreamTranscoder


class DirectWrites:
    """The direct writes of one backend's answer, and how long it is already."""

    def __init__(self, context: RequestContext, transcoder: StreamTranscoder, writer: KeepaliveWriter) -> None:
        limits = context.config.settings.limits
        self._latest = perf_counter() + limits.stream_s
        self._most = limits.stream
        self._kept = context.kept_bytes
        self._transcoder = transcoder
        self._writer = writer
        self.is_on = False
        """True once the answer is committed and its beginning was written."""
        self.size = 0
        """Bytes of the backend's frames until now."""

    def is_too_long(self) -> bool:
        """True if the answer has more bytes, or took longer, than it may."""
        return self.size > self._most or perf_counter() > self._latest

    def take(self, whole: bytes, texts: Texts | None) -> bool:
        """Writes these frames; False where that is left to the task: before the commitment, while the client has to
        read first, once the answer is too long, and where bytes are kept."""
        write = self._writer.write_now if self.is_on else None
        size = self.size + len(whole)
        if write is None or self.size < self._kept or size > self._most or perf_counter() > self._latest:
            return False
        data = self._transcoder.transcode_plain(whole, texts)
        if data is None:
            return False
        self.size = size
        write(data)
        return True
