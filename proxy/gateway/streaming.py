"""Forwards a backend's stream to the client: chunk, transcoder, writer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from msgspec.structs import replace

from .. import headers
from ..backends.backend import StreamChunk
from ..errors import Refused, RequestError, UpstreamError, failure, upstream_failure
from ..ir import Failure, Reply, ReplyEnd, ReplyStart, Usage, fold, is_committing, unfold
from ..observability.request_record import Attempt
from ..protocols.protocol import ReplyContext
from .answer_quality import check_quality
from .attempt_failures import too_deep
from .attempts import AttemptLoop
from .chat_call import ChatCall
from .context import RETRY_AFTER_S, RequestContext
from .decision_log import log_success
from .direct_writes import DirectWrites
from .keepalive import KeepaliveWriter
from .runtime import SHUTTING_DOWN
from .stream_writer import ClientGone, ResponseWriter, StreamTranscoder

log = logging.getLogger("crosswire")

HANDSHAKE = 4 * 1024 * 1024
"""Bytes that a backend may send before the first content."""


class StreamForwarder:
    """Forwards the stream of whichever backend answers. See KeepaliveWriter for the states of the response.

    Until the first content event every failure is raised, so that another backend may be called; after it the failure
    is sent in band and the connection is closed without a proper end.
    """

    def __init__(
        self,
        context: RequestContext,
        reply_context: ReplyContext,
        writer: ResponseWriter,
        *,
        ends_whole: bool = False,
    ) -> None:
        """`ends_whole` where the client must get a whole body even of a stream that failed."""
        self._context = context
        self._ends_whole = ends_whole
        self._frontend = context.frontend
        self._reply_context = reply_context
        self._limits = context.config.settings.limits
        self._tells_losses = headers.LOSS in context.runtime.kept_headers
        self._writer = KeepaliveWriter(
            writer,
            self._frontend.ping,
            context.config.settings.keepalive_s,
            lambda: context.response_headers(self._content_type(), held=True),
            context.kept_bytes,
        )

    async def run(self, loop: AttemptLoop[ChatCall, None], first: ChatCall) -> None:
        """Streams the first answer; raises RequestError where nothing was sent."""
        writer, runtime = self._writer, self._context.runtime
        if runtime.streams >= self._limits.streams:
            writer.stop()
            text = "The proxy has as many streams under way as it takes (limits.streams); try again later."
            raise Refused(replace(failure("overloaded", text), retry_after=RETRY_AFTER_S))
        runtime.streams += 1
        try:
            await loop.run(first)
        except RequestError as error:
            if not writer.opened:
                raise
            await self._fail(error.failure)
        except ClientGone:
            raise
        except asyncio.CancelledError:
            if not (runtime.is_ending and writer.opened):
                raise
            if not writer.is_over:
                await self._fail(failure("draining", SHUTTING_DOWN))
        except Exception:
            if not writer.opened:
                raise
            await self._fail(self._internal_error())
        finally:
            runtime.streams -= 1
            writer.stop()
            if writer.body:
                self._context.log_body("client_response", b"".join(writer.body))

    async def forward(self, call: ChatCall, attempt: Attempt, loop: AttemptLoop[ChatCall, None]) -> None:
        """Streams one backend's answer; raises UpstreamError where it failed before its first content event."""
        context, writer = self._context, self._writer
        fields = call.headers if context.trace is None else context.trace.with_parent(call.headers)
        encoder = self._frontend.stream_encoder(self._reply_context)
        transcoder = StreamTranscoder(call.relay, self._frontend, encoder, call.sent.stops)
        direct = DirectWrites(context, transcoder, writer)
        new_id = self._reply_context.new_id
        chunks = (
            call.backend.stream(call.sent, call.body, fields, new_id, relayed=call.relayed, sink=direct.take)
            if call.reply is None
            else _own_chunks(call.reply)
        )
        received: list[bytes] = []
        try:
            is_judged = call.reply is None and loop.may_escalate(call)
            source = _buffer_until_judged(chunks) if is_judged else chunks
            await self._forward_chunks(source, transcoder, direct, call, loop, received if context.kept_bytes else None)
        except RequestError as error:
            if not writer.committed or _is_lost(loop):
                raise
            await self._fail(error.failure, transcoder)
        except RecursionError:
            if not writer.committed or _is_lost(loop):
                raise
            await self._fail(too_deep(), transcoder)
        except ClientGone:
            raise
        except asyncio.CancelledError:
            if not (context.runtime.is_ending and writer.committed and not writer.is_over) or _is_lost(loop):
                raise
            await self._fail(failure("draining", SHUTTING_DOWN), transcoder)
        except Exception:
            if not writer.committed or _is_lost(loop):
                raise
            await self._fail(self._internal_error(), transcoder)
        finally:
            if received:
                context.log_body("backend_response", b"".join(received))
            await chunks.aclose()

    async def _forward_chunks(
        self,
        chunks: AsyncIterator[StreamChunk],
        transcoder: StreamTranscoder,
        direct: DirectWrites,
        call: ChatCall,
        loop: AttemptLoop[ChatCall, None],
        received: list[bytes] | None,
    ) -> None:
        """Every chunk to the client; raises UpstreamError where the answer fails, whatever was sent before."""
        context, writer = self._context, self._writer
        waiting: list[StreamChunk] = []  # handshakes: nothing is sent before the first content event
        recorded = 0
        committed = finished = will_tell = False
        async for chunk in chunks:
            if received is not None and direct.size < context.kept_bytes:
                received.append(chunk.raw)
            direct.size += len(chunk.raw)
            if direct.is_too_long():
                raise UpstreamError(self._too_long(direct.size))
            events = chunk.events  # none of most chunks of a relay
            failed = next((event for event in events if type(event) is Failure), None) if events else None
            if committed:
                data = transcoder.transcode(chunk)
            else:
                waiting.append(chunk)
                if not any(is_committing(event) for event in events):
                    if failed is not None:
                        raise UpstreamError(failed)
                    if direct.size > HANDSHAKE:
                        raise UpstreamError(upstream_failure(502, kind="upstream_garbage"))
                    continue
                committed = True
                if loop.race is not None:
                    loop.race.won_by(loop, call)
                will_tell = await writer.will_tell()
                if not will_tell:
                    self._headers_told_nothing(transcoder)
                context.record.ttft_ms = context.elapsed_ms()
                context.answered_by(call.backend.config.name, call.model)
                if call.relayed and self._frontend.keeps_replies:
                    self._remember_owner(waiting, call.backend.config.name)
                data = b"".join([transcoder.transcode(part) for part in waiting])
            if len(transcoder.losses) > recorded:
                fresh, recorded = transcoder.losses[recorded:], len(transcoder.losses)
                call.policy.record_losses(fresh, context.record)
            if events:
                self._record_facts(chunk)
            if not writer.committed:
                writer.committed = True
                loop.commit()
                if not writer.opened:
                    await writer.open(context.response_headers(self._content_type()))
                if will_tell and self._tells_losses:
                    transcoder.losses.headers_sent()
            if data:
                await writer.write(data)
            direct.is_on = True
            if failed is not None:
                # a converted chunk has the error in it already; of a relayed one it was left out
                await self._fail(failed, transcoder if transcoder.relayed else None, is_sent=not transcoder.relayed)
                return
            if events and not finished and any(type(event) is ReplyEnd for event in events):
                finished = True
                self._finished(call)
                if not transcoder.relayed:
                    await writer.end()
        if finished and transcoder.relayed:  # a relay ends with the upstream's own last bytes
            await writer.end()

    def _remember_owner(self, chunks: Iterable[StreamChunk], backend: str) -> None:
        """Notes which backend keeps this answer, for the requests that go on with it."""
        for event in (event for chunk in chunks for event in chunk.events):
            if type(event) is ReplyStart:
                self._context.runtime.owners.remember(event.id, backend, self._context.client_name)

    def _record_facts(self, chunk: StreamChunk) -> None:
        """Notes the usage in these events, and what was repaired."""
        record = self._context.record
        for event in chunk.events:
            if (type(event) is ReplyStart or type(event) is ReplyEnd) and event.usage is not None:
                record.usage = (record.usage or Usage()).merge(event.usage)
            if type(event) is ReplyEnd and event.repaired:
                self._context.repaired(event.repaired)

    def _finished(self, call: ChatCall) -> None:
        record = self._context.record
        if record.attempts:  # else the proxy answered by itself
            record.attempts[-1].outcome = "answered"
        record.status, record.outcome = 200, "answered"
        if log.isEnabledFor(logging.INFO):
            log_success(call.backend.config, call.model)

    async def _fail(
        self, failure: Failure, transcoder: StreamTranscoder | None = None, *, is_sent: bool = False
    ) -> None:
        """Sends the error in band, then closes without the last chunk: a failed stream must not look whole.

        The clients of the table of agents that read the error only from a whole body get the last chunk.
        """
        self._context.stream_failed(failure)
        if not is_sent:
            if transcoder is None:
                encoder = self._frontend.stream_encoder(self._reply_context)
                transcoder = StreamTranscoder(None, self._frontend, encoder)
                self._headers_told_nothing(transcoder)  # nothing is committed, so the response is held open
            await self._writer.write(transcoder.failure(failure))
        if self._ends_whole:
            await self._writer.end()
        else:
            self._writer.abort()

    def _headers_told_nothing(self, transcoder: StreamTranscoder) -> None:
        """The client knows of no loss yet: the response was held open, or it has no headers."""
        if self._tells_losses:
            transcoder.losses.headers_sent(untold=self._context.record.losses)

    def _internal_error(self) -> Failure:
        """The failure for an exception of our own; its headers are sent, so the gateway can no longer answer 500."""
        log.exception("request %s failed in the proxy itself", self._context.record.request_id)
        return failure("internal", "The proxy failed; its log names the cause.")

    def _too_long(self, size: int) -> Failure:
        limits = self._limits
        if size > limits.stream:
            text = f"The answer has more than {limits.stream} bytes (limits.stream)."
        else:
            text = f"The answer took more than {limits.stream_s:g} s (limits.stream_s)."
        return failure("stream_limit", text)

    def _content_type(self) -> str:
        return "application/json" if self._reply_context.array else self._frontend.stream_type


def _is_lost(loop: AttemptLoop[ChatCall, None]) -> bool:
    """Returns whether this is a call of a hedged request, and the other one is answering."""
    return loop.race is not None and loop.race.winner is not loop


async def _own_chunks(reply: Reply) -> AsyncGenerator[StreamChunk, None]:
    """The proxy's own reply as a stream."""
    yield StreamChunk(list(unfold(reply)), b"")


async def _buffer_until_judged(chunks: AsyncIterator[StreamChunk]) -> AsyncIterator[StreamChunk]:
    """Holds a cheap model's stream back to its end; raises UpstreamError where it failed or is poor."""
    held = [chunk async for chunk in chunks]
    reply = fold([event for chunk in held for event in chunk.events])
    if isinstance(reply, Failure):
        raise UpstreamError(reply)
    check_quality(reply)
    for chunk in held:
        yield chunk
