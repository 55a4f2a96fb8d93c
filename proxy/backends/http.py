"""A backend over HTTP: a protocol, a base URL and keys.

Sends an encoded request, or for a relay the client's own bytes, and returns a reply or a stream of events. The client's
credentials never come here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from ..balance.key_ring import KeyRing
from ..errors import Malformed, UpstreamError, connection_cut, upstream_cut, upstream_failure
from ..ir import BlockDelta, BlockStart, Event, Failure, Reply, ReplyEnd, Request, is_committing, unfold
from ..ir.rate_limits import RateLimit, has_limits
from ..ir.repairs import Repairs
from ..protocols.protocol import NewId, Protocol, StreamDecoder, UpstreamRequest, UpstreamTarget
from ..routing import BackendConfig
from ..wire import json_fields
from ..wire.framing import DONE, FRAMINGS, NULL, Frame, Framing, write
from ..wire.json_repair import JsonRepair
from ..wire.text_repair import valid_utf8
from .answer_body import parse_body, parse_body_or_lines
from .answer_repairs import is_body, note_repairs, rest_of_body, with_repairs, without_mark_noted
from .backend import Sink, StreamChunk, no_sink
from .plain_reads import PlainReads
from .relayed_stream import RelayedStream, first_of
from .retry_after import quota_reset_after, wait_of
from .secrets import bearer, secrets_of
from .shared_state import SharedState, ring_of
from .transport import Answer, ProxyRefused, TimedOut, Transport, Unreachable
from .unreachable import unreachable

KEY_LENGTH = 16
"""Characters from which a key is masked in an answer; shorter ones (`ollama`, `not-needed`) are words of models."""

_NO_SUCH_ENDPOINT = (405, 501)
"""Statuses by which a host says, as with 404, that it does not have an endpoint beside the chat."""

_ERROR_LIMIT = 1024 * 1024
"""Bytes of an error's body that are read."""

_UPSTREAM_TEXTS = ("message", "code", "param")
"""The fields of a Failure that an upstream wrote."""


class HttpBackend:
    """One configured backend; its connections are made at first use."""

    def __init__(
        self,
        config: BackendConfig,
        protocol: Protocol,
        connect: Callable[[], Transport],
        *,
        frame_limit: int,
        linger: float,
        max_retry_after: float = 3600,
        response_limit: int = 64 * 2**20,
        others: tuple[HttpBackend, ...] = (),
    ) -> None:
        """`others` are the same backend in its further protocols, which share this one's connections and key."""
        self.config = config
        self.protocol = protocol
        self.others = others
        self._shared = SharedState(connect, ring_of(config))
        for other in others:
            other._shared = self._shared
        self._frame_limit = frame_limit
        self._linger = linger
        self._max_retry_after = max_retry_after
        self._response_limit = response_limit
        self._urls: dict[tuple[str, bool], str] = {}
        self._targets: dict[str, UpstreamTarget] = {}
        keys = (config.api_key, *config.spare_keys) if config.api_key else (None,)
        self._headers_by_key = [
            {
                "content-type": "application/json",
                "accept-encoding": "identity",  # a relayed stream is passed on as it comes
                **protocol.headers,
                **((bearer(key) if config.bearer else protocol.auth(key)) if key else {}),
                **config.headers,
            }
            for key in keys
        ]
        self._secrets = secrets_of(config)
        self._keys = [key.encode() for key in keys if key and len(key) >= KEY_LENGTH]

    @property
    def busy(self) -> int:
        return self._shared.busy

    @property
    def key(self) -> int:
        return self._shared.key

    @property
    def rate_limits(self) -> Mapping[str, tuple[RateLimit, ...]]:
        return self._shared.rate_limits

    @property
    def ring(self) -> KeyRing | None:
        return self._shared.ring

    def use_key(self, key: int) -> None:
        self._shared.key = key

    def next_key(self, refused: Collection[int]) -> bool:
        """Switches to a key that is not among those that were refused; False where all of them were.

        Then the next one stays in use, so that later requests try keys that may be valid once more.
        """
        keys = len(self._headers_by_key)
        if self.key not in refused:
            return True  # another request switched already
        following = [(self.key + step) % keys for step in range(1, keys)]
        found = next((key for key in following if key not in refused), None)
        self._shared.key = found if found is not None else (self.key + 1) % keys
        return found is not None

    def encode(self, request: Request, target: UpstreamTarget) -> UpstreamRequest:
        """The request in the backend's protocol, with its losses."""
        return self.protocol.encode_request(request, target)

    def target(self, model: str) -> UpstreamTarget:
        """This backend as an encoder sees it."""
        target = self._targets.get(model)
        if target is None:
            config = self.config
            target = UpstreamTarget(
                model,
                config.provider,
                config.max_tokens,
                config.limits,
                config.quirks,
                config.host,
                config.traits,
            )
            if len(self._targets) < 1000:  # model names may come from clients
                self._targets[model] = target
        return target

    async def reply(
        self, sent: UpstreamRequest, body: bytes, headers: Mapping[str, str], new_id: NewId
    ) -> tuple[Reply, bytes]:
        """The decoded answer, and its bytes."""
        self._shared.busy += 1
        try:
            answer = await self._post(sent, False, body, headers)
            try:
                raw = answer.whole(self._response_limit)
                if raw is None:
                    raw = await self._read(answer)
            finally:
                answer.close()
        finally:
            self._shared.busy -= 1
        repairs = Repairs()
        try:
            is_plain = sent.dialect is None and self._clean(raw, repairs) is raw
            plain = self.protocol.plain_reply(raw, sent.relayed) if is_plain else None
            if plain is not None:
                return plain, raw
            value, raw = parse_body(raw, repairs, self._clean)
            if type(value) is list and len(value) == 1:
                value = value[0]  # Google answers errors so
            if type(value) is not dict:
                raise Malformed("", f"must be a JSON object, is {json_fields.describe(value)}")
            return with_repairs((sent.dialect or self.protocol).decode_reply(value, sent, new_id), repairs), raw
        except Malformed as fault:
            raise self._garbage(fault) from None
        except UpstreamError as error:
            raise UpstreamError(self._scrubbed(error.failure)) from None

    async def stream(
        self,
        sent: UpstreamRequest,
        body: bytes,
        headers: Mapping[str, str],
        new_id: NewId,
        *,
        relayed: bool,
        sink: Sink = no_sink,
    ) -> AsyncGenerator[StreamChunk, None]:
        """The answer as it comes, but for what the sink takes; the last event is a ReplyEnd or a Failure.

        A relayed stream is decoded until the first content event; after it only frames that may hold usage or the end
        are.
        """
        self._shared.busy += 1
        answer = None
        try:
            answer = await self._post(sent, True, body, headers)
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise self._garbage("HTML where a stream was asked for")
            protocol = sent.dialect or self.protocol
            decoder = protocol.stream_decoder(sent, new_id)
            framing = FRAMINGS[protocol.framing](self._frame_limit)
            filter_ = RelayedStream(protocol) if relayed else None
            repairs = Repairs()
            decode = partial(self._decoded, framing, decoder, filter_, JsonRepair(repairs))
            reads = PlainReads(protocol.terminal_markers, framing, self._clean, repairs, decoder, filter_, sink)
            chunks = answer.chunks(reads.take)
            head: bytes | None = b""
            async for chunk in chunks:
                if head is not None:
                    head = without_mark_noted(head + chunk, repairs)
                    found = is_body(head, self.protocol.framing)
                    if found:
                        yield self._whole(await rest_of_body(head, chunks, self._response_limit), sent, new_id, repairs)
                        return
                    if found is None:
                        continue
                    chunk, head = head, None
                    reads.is_on = True
                    if reads.take(chunk):
                        continue
                whole, is_plain, texts = reads.left()
                if is_plain:
                    yield StreamChunk.of_plain(whole, texts)
                    reads.has_begun = True
                    continue
                reads.unseen.clear()
                for part in self._parts(reads, whole, decode, relayed=relayed):
                    note_repairs(part.events, repairs)
                    yield part
                    reads.has_begun = reads.has_begun or any(map(is_committing, part.events))
                if decoder.done:
                    reads.is_on = False
                    break
            else:
                if head:
                    framing.cut(head)
                for whole in reads.unseen:  # a host may write the end in a way that the markers do not match
                    events = [event for frame in framing.parse(whole) for event in decoder.feed(frame)]
                    ends = [event for event in events if type(event) in (ReplyEnd, Failure)]
                    note_repairs(ends, repairs)
                    yield StreamChunk(ends, b"")
                ending = self._ending(framing, decoder)
                note_repairs(ending.events, repairs)
                yield ending
                return
            async for whole in self._rest(answer, chunks, framing):
                if filter_ is not None:
                    whole = self._clean(whole, repairs)
                    frames = framing.parse(whole)
                    kept = [frame for frame in frames if filter_.keeps(frame, is_done=True)]
                    yield StreamChunk([], whole if len(kept) == len(frames) else write(self.protocol.framing, kept))
        except Malformed as fault:
            yield StreamChunk([self._garbage(fault).failure], b"")
        except TimedOut:
            yield StreamChunk([upstream_failure(504)], b"")
        except Unreachable:
            yield StreamChunk([connection_cut()], b"")
        finally:
            self._shared.busy -= 1
            if answer is not None:
                answer.close()

    async def _rest(self, answer: Answer, chunks: AsyncIterator[bytes], framing: Framing) -> AsyncIterator[bytes]:
        """Yields what follows the answer's own end (`[DONE]`), so that the connection can be used again."""
        deadline = asyncio.get_running_loop().time() + self._linger
        try:
            while not answer.is_over:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks)
                if whole := framing.cut(chunk):
                    yield whole
        except (StopAsyncIteration, TimeoutError, TimedOut, Unreachable, Malformed):
            return  # the answer was complete; at worst this connection is lost

    def _parts(
        self, reads: PlainReads, whole: bytes, decode: Callable[[bytes], tuple[list[Event], bytes]], *, relayed: bool
    ) -> Iterator[StreamChunk]:
        """Yields the events in these bytes, and for a relay what the client gets of them, but for what the sink takes.

        An answer that begins and ends in them is one part, so that its headers can tell of all losses.
        """
        events: list[Event] = []
        raw: list[bytes] = []
        begins, left = not reads.has_begun, len(whole)
        for piece, is_plain, texts in reads.pieces(whole):
            left -= len(piece)
            if is_plain and begins and left:
                events += [] if texts is None else texts.events()
                raw.append(piece)
            elif is_plain:
                if events or (raw and relayed):
                    yield StreamChunk(events, b"".join(raw))
                events, raw = [], []
                if not reads.passes(piece, texts):
                    yield StreamChunk.of_plain(piece, texts)
            else:
                found, good = decode(piece)
                reads.may_be_plain = bool(found) and type(found[-1]) in (BlockStart, BlockDelta)
                events += found
                raw.append(good)
                if found and type(found[-1]) is Failure:
                    break
        if events or (raw and relayed):
            yield StreamChunk(events, b"".join(raw))

    def _decoded(
        self, framing: Framing, decoder: StreamDecoder, filter_: RelayedStream | None, mend: JsonRepair, whole: bytes
    ) -> tuple[list[Event], bytes]:
        """The events in these bytes, and for a relay the bytes that the client gets: no errors, and nothing behind."""
        events: list[Event] = []
        frames = framing.parse(whole)
        kept: list[Frame] = []
        is_changed = False
        for frame in frames:
            if frame.data == NULL:
                is_changed = True
                mend.repairs.add("null_frame")
                continue
            before = len(kept)
            try:
                found = self._fed(frame, decoder, filter_, kept)
            except Malformed:
                del kept[before:]
                is_changed |= (repaired := mend.of_frame(frame.data)) is not None
                try:
                    if repaired is None:
                        raise
                    found = self._fed(Frame(repaired, frame.event), decoder, filter_, kept) if repaired else []
                except Malformed as fault:
                    found = [self._garbage(fault).failure]
            events += found
            if found and type(found[-1]) is Failure:
                events[-1] = self._scrubbed(found[-1])
                return events, write(self.protocol.framing, kept[:before])
            if filter_ is not None and not decoder.fast_forward:
                decoder.fast_forward = any(is_committing(event) for event in found)
        is_same = not is_changed and len(kept) == len(frames)
        return events, whole if is_same else write(self.protocol.framing, kept)

    def _fed(
        self, frame: Frame, decoder: StreamDecoder, filter_: RelayedStream | None, kept: list[Frame]
    ) -> list[Event]:
        """The events of a frame, which is kept where the client of a relay gets it."""
        if filter_ is None or filter_.keeps(frame, is_done=decoder.done):
            kept.append(frame)
        if decoder.fast_forward and first_of(self.protocol.terminal_markers, frame.data) < 0:
            if not decoder.done and frame.data != DONE:
                json_fields.parse_object(frame.data)  # for its faults alone
            return []
        return decoder.feed(frame)

    def _whole(self, body: bytes, sent: UpstreamRequest, new_id: NewId, repairs: Repairs) -> StreamChunk:
        """The events of a body that came where a stream was asked for: an answer, an error, or a stream's frames."""
        repairs.add("whole_body")
        protocol = sent.dialect or self.protocol
        try:
            value, body = parse_body_or_lines(body, repairs, self._clean)
        except UpstreamError as error:
            return StreamChunk([error.failure], b"")
        events: list[Event] = []
        if type(value) is dict:
            try:
                events += unfold(protocol.decode_reply(value, sent, new_id))
            except UpstreamError as error:
                events.append(self._scrubbed(error.failure))
        elif type(value) is list:
            decoder = protocol.stream_decoder(sent, new_id)
            for item in value:
                events += decoder.feed(Frame(json_fields.encode(item)))
            events += decoder.close()
            events = [self._scrubbed(event) if type(event) is Failure else event for event in events]
        else:
            raise Malformed("", f"must be a JSON object, is {json_fields.describe(value)}")
        note_repairs(events, repairs)
        failed = any(type(event) is Failure for event in events)
        return StreamChunk(events, b"" if failed else body, is_whole=True)

    def _ending(self, framing: Framing, decoder: StreamDecoder) -> StreamChunk:
        """The events at the end of the bytes: of a last frame without its blank line, then those of the decoder."""
        frames = [frame for frame in framing.rest() if frame.data != NULL]
        if frames and json_fields.is_cut(frames[-1].data):
            return StreamChunk([upstream_cut()], b"")
        events = [event for frame in frames for event in decoder.feed(frame)] + decoder.close()
        whole = not any(type(event) is Failure for event in events)
        events = [self._scrubbed(event) if type(event) is Failure else event for event in events]
        return StreamChunk(events, write(self.protocol.framing, frames) if whole else b"")

    async def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """Calls another endpoint below the base URL; returns the whole answer's bytes."""
        self._shared.busy += 1
        try:
            answer = await self._ask(method, self.config.base_url + path, body, headers, _NO_SUCH_ENDPOINT)
            try:
                return await self._read(answer)
            finally:
                answer.close()
        finally:
            self._shared.busy -= 1

    def _post(
        self, sent: UpstreamRequest, stream: bool, body: bytes, headers: Mapping[str, str]
    ) -> Coroutine[Any, Any, Answer]:
        model = sent.target.model
        if sent.dialect is not None:
            own = self.config.base_url + sent.dialect.address(model, stream)
            return self._ask("POST", own, body, headers, model=model)
        url = self._urls.get((model, stream))
        if url is None:
            url = self.config.base_url + self.protocol.address(model, stream)
            if len(self._urls) < 1000:
                self._urls[model, stream] = url
        return self._ask("POST", url, body, headers, model=model)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        missing: tuple[int, ...] = (),
        model: str = "",
    ) -> Answer:
        """Sends a request and returns a 2xx; anything else is an UpstreamError, a status of `missing` as a 404."""
        transport, fields = self._shared.transport(), self._headers_by_key[self._shared.key]
        if headers:
            fields = {**fields, **headers}
        try:
            if body is None:
                answer = await transport.ask(method, url, fields)
            else:
                answer = await transport.post(url, fields, body)
        except TimedOut as fault:
            raise UpstreamError(upstream_failure(504), was_sent=fault.was_sent) from None
        except Unreachable as fault:
            raise UpstreamError(unreachable(self.config.name, fault), was_sent=fault.was_sent) from None
        if has_limits(answer.headers):
            self._shared.note_limits(model, self.protocol.read_rate_limits(answer.headers, time.time()))
        if 200 <= answer.status < 300:
            return answer
        if answer.status == 407 and self.config.proxy is not None:
            answer.close()
            raise UpstreamError(
                unreachable(self.config.name, ProxyRefused("the HTTP proxy answered 407")), was_sent=False
            )
        try:
            raw = await answer.read(_ERROR_LIMIT)
        except (TimedOut, Unreachable, OverflowError):
            raw = b""  # the status alone is enough
        finally:
            answer.close()
        status = 404 if answer.status in missing else answer.status
        wait = wait_of(answer.status, answer.headers, self.protocol.read_rate_limits)
        found = self.protocol.decode_failure(status, raw, quota_reset_after(raw) if wait is None else wait)
        raise UpstreamError(self._scrubbed(found))

    async def _read(self, answer: Answer) -> bytes:
        try:
            return await answer.read(self._response_limit)
        except TimedOut:
            raise UpstreamError(upstream_failure(504)) from None
        except Unreachable:
            raise UpstreamError(connection_cut()) from None
        except OverflowError:
            raise self._garbage(f"more than {self._response_limit} bytes, limits.response") from None

    def _clean(self, data: bytes, repairs: Repairs) -> bytes:
        """Bytes of an answer as UTF-8, without our keys, which some hosts repeat."""
        for key in self._keys:
            if data.find(key) >= 0:  # `in` costs twice as much
                data = data.replace(key, b"***")
        if data.isascii():
            return data
        valid = valid_utf8(data)
        if valid is not data:
            repairs.add("utf8")
        return valid

    def _garbage(self, what: object) -> UpstreamError:
        text = f"Backend '{self.config.name}' sent what is not of its protocol ({what})."
        return UpstreamError(self._scrubbed(Failure("upstream_garbage", text, 502, code="upstream_garbage")))

    def _scrubbed(self, failure: Failure) -> Failure:
        """The failure without our keys and our address, which upstreams may repeat, and with a wait that is bounded."""
        changed: dict[str, object] = {
            key: self._secrets.sub("***", text)
            for key in _UPSTREAM_TEXTS
            if (text := getattr(failure, key)) and self._secrets.search(text)
        }
        if failure.retry_after is not None and failure.retry_after > self._max_retry_after:
            changed["retry_after"] = self._max_retry_after
        return msgspec.structs.replace(failure, **changed) if changed else failure

    async def close(self) -> None:
        """Closes the connections; twice, or before the first use, is harmless."""
        await self._shared.close()
