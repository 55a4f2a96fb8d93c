"""A backend over HTTP: a protocol, a base URL and keys.

Sends an encoded request, or for a relay the client's own bytes, and returns a reply or a stream of events. The client's
credentials never come here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from urllib.parse import urlsplit

import msgspec

from ..errors import Malformed, UpstreamError, failure, upstream_failure
from ..ir import COMMITTING, Event, Failure, Reply, ReplyEnd, Request
from ..protocols.protocol import NewId, Protocol, StreamDecoder, UpstreamRequest, UpstreamTarget
from ..routing import BackendConfig
from ..wire import json_fields
from ..wire.framing import FRAMINGS, NULL, Frame, Framing, write
from ..wire.text_repair import valid_utf8, without_mark
from .backend import StreamChunk
from .relayed_stream import RelayedStream
from .transport import Answer, NameNotResolved, OutOfResources, TimedOut, Transport, Unreachable

SECRET_LENGTH = 8
"""Characters from which a header of the config is masked as a secret; shorter ones are words that texts may hold."""

KEY_LENGTH = 16
"""Characters from which a key is masked in an answer; shorter ones (`ollama`, `not-needed`) are words of models."""

_NO_SUCH_ENDPOINT = (405, 501)
"""Statuses by which a host says, as with 404, that it does not have an endpoint beside the chat."""

_ERROR_LIMIT = 1024 * 1024
"""Bytes of an error's body that are read."""

_UPSTREAM_TEXTS = ("message", "code", "param")
"""The fields of a Failure that an upstream wrote."""

# "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."
# https://github.com/continuedev/continue/issues/11305
_RESET = re.compile(rb"regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC")
"""The end of a quota, as the text of an error says it."""

_UNSEEN = 4
"""Reads of a relayed stream that are kept, to be decoded if it ends without a known end."""

_UNSEEN_BYTES = 16 * 1024
"""Bytes beyond which the last of them is enough."""


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
    ) -> None:
        self.config = config
        self.protocol = protocol
        self._connect = connect
        self._transport: Transport | None = None
        self._frame_limit = frame_limit
        self._linger = linger
        self._max_retry_after = max_retry_after
        self._response_limit = response_limit
        self._urls: dict[tuple[str, bool], str] = {}
        self._targets: dict[str, UpstreamTarget] = {}
        self.busy = 0
        keys = (config.api_key, *config.spare_keys) if config.api_key else (None,)
        self._headers_by_key = [
            {
                "content-type": "application/json",
                "accept-encoding": "identity",  # a relayed stream is passed on as it comes
                **protocol.headers,
                **(protocol.auth(key) if key else {}),
                **config.headers,
            }
            for key in keys
        ]
        self.key = 0
        self._secrets = _secrets(config)
        self._keys = [key.encode() for key in keys if key and len(key) >= KEY_LENGTH]

    def next_key(self, refused: Collection[int]) -> bool:
        """Switches to a key that is not among those that were refused; False where all of them were.

        Then the next one stays in use, so that later requests try keys that may be valid once more.
        """
        keys = len(self._headers_by_key)
        if self.key not in refused:
            return True  # another request switched already
        following = [(self.key + step) % keys for step in range(1, keys)]
        found = next((key for key in following if key not in refused), None)
        self.key = found if found is not None else (self.key + 1) % keys
        return found is not None

    def encode(self, request: Request, target: UpstreamTarget) -> UpstreamRequest:
        """The request in the backend's protocol, with its losses."""
        return self.protocol.encode_request(request, target)

    def target(self, model: str) -> UpstreamTarget:
        """This backend as an encoder sees it."""
        target = self._targets.get(model)
        if target is None:
            config = self.config
            target = UpstreamTarget(model, config.provider, config.max_tokens, config.limits, config.quirks)
            if len(self._targets) < 1000:  # model names may come from clients
                self._targets[model] = target
        return target

    async def reply(
        self, sent: UpstreamRequest, body: bytes, headers: Mapping[str, str], new_id: NewId
    ) -> tuple[Reply, bytes]:
        """The decoded answer, and its bytes."""
        self.busy += 1
        try:
            answer = await self._post(sent.target.model, False, body, headers)
            try:
                raw = self._clean(without_mark(await self._read(answer)))
            finally:
                answer.close()
        finally:
            self.busy -= 1
        try:
            return self.protocol.decode_reply(json_fields.parse_object(raw), sent, new_id), raw
        except Malformed as fault:
            raise self._garbage(fault) from None

    async def stream(
        self, sent: UpstreamRequest, body: bytes, headers: Mapping[str, str], new_id: NewId, *, relayed: bool
    ) -> AsyncGenerator[StreamChunk, None]:
        """The answer as it comes; the last event is a ReplyEnd or a Failure.

        A relayed stream is decoded until the first content event; after it only frames that may hold usage or the end
        are.
        """
        self.busy += 1
        answer = None
        try:
            answer = await self._post(sent.target.model, True, body, headers)
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise self._garbage("HTML where a stream was asked for")
            decoder = self.protocol.stream_decoder(sent, new_id)
            framing = FRAMINGS[self.protocol.framing](self._frame_limit)
            filter_ = RelayedStream(self.protocol) if relayed else None
            watch = self.protocol.terminal_markers
            unseen: deque[bytes] = deque(maxlen=_UNSEEN)
            chunks = answer.chunks()
            is_first = True
            async for chunk in chunks:
                whole = framing.cut(chunk)
                if not whole:
                    continue
                if is_first:
                    whole, is_first = without_mark(whole), False
                whole = self._clean(whole)
                if (
                    decoder.fast_forward
                    and not any(mark in whole for mark in watch)
                    and (filter_ is None or filter_.is_sound(framing, whole))
                ):
                    if len(whole) > _UNSEEN_BYTES:
                        unseen.clear()
                    unseen.append(whole)
                    yield StreamChunk([], whole)
                    continue
                unseen.clear()
                events, good = self._events(framing, decoder, whole, filter_)
                if events or relayed:
                    yield StreamChunk(events, good)
                if decoder.done:
                    break
            else:
                for whole in unseen:  # a host may write the end in a way that the markers do not match
                    events = [event for frame in framing.parse(whole) for event in decoder.feed(frame)]
                    yield StreamChunk([event for event in events if type(event) in (ReplyEnd, Failure)], b"")
                yield self._ending(framing, decoder)
                return
            async for whole in self._rest(chunks, framing):
                if filter_ is not None:
                    frames = framing.parse(self._clean(whole))
                    kept = [frame for frame in frames if filter_.keeps(frame, is_done=True)]
                    yield StreamChunk([], write(self.protocol.framing, kept))
        except Malformed as fault:
            yield StreamChunk([self._garbage(fault).failure], b"")
        except TimedOut:
            yield StreamChunk([upstream_failure(504)], b"")
        except Unreachable:
            yield StreamChunk([_cut()], b"")
        finally:
            self.busy -= 1
            if answer is not None:
                answer.close()

    async def _rest(self, chunks: AsyncIterator[bytes], framing: Framing) -> AsyncIterator[bytes]:
        """Yields what follows the answer's own end (`[DONE]`), so that the connection can be used again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._linger
        try:
            while True:
                chunk = await asyncio.wait_for(anext(chunks), deadline - loop.time())
                if whole := framing.cut(chunk):
                    yield whole
        except (StopAsyncIteration, TimeoutError, TimedOut, Unreachable, Malformed):
            return  # the answer was complete; at worst this connection is lost

    def _events(
        self, framing: Framing, decoder: StreamDecoder, whole: bytes, filter_: RelayedStream | None
    ) -> tuple[list[Event], bytes]:
        """The events in these bytes, and for a relay the bytes that the client gets: no errors, and nothing behind."""
        events: list[Event] = []
        frames = framing.parse(whole)
        kept: list[Frame] = []
        watch = self.protocol.terminal_markers
        for frame in frames:
            if frame.data == NULL:
                continue
            try:
                if filter_ is None or filter_.keeps(frame, is_done=decoder.done):
                    kept.append(frame)
                if decoder.fast_forward and not any(mark in frame.data for mark in watch):
                    continue
                found = decoder.feed(frame)
            except Malformed as fault:
                found = [self._garbage(fault).failure]
            events += found
            if found and type(found[-1]) is Failure:
                events[-1] = self._scrubbed(found[-1])
                return events, write(self.protocol.framing, [each for each in kept if each is not frame])
            if filter_ is not None and not decoder.fast_forward:
                decoder.fast_forward = any(isinstance(event, COMMITTING) for event in found)
        return events, whole if len(kept) == len(frames) else write(self.protocol.framing, kept)

    def _ending(self, framing: Framing, decoder: StreamDecoder) -> StreamChunk:
        """The events at the end of the bytes: of a last frame without its blank line, then those of the decoder."""
        frames = [frame for frame in framing.rest() if frame.data != NULL]
        events = [event for frame in frames for event in decoder.feed(frame)] + decoder.close()
        whole = not any(type(event) is Failure for event in events)
        events = [self._scrubbed(event) if type(event) is Failure else event for event in events]
        return StreamChunk(events, write(self.protocol.framing, frames) if whole else b"")

    async def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """Calls another endpoint below the base URL; returns the whole answer's bytes."""
        self.busy += 1
        try:
            answer = await self._ask(method, self.config.base_url + path, body, headers, _NO_SUCH_ENDPOINT)
            try:
                return await self._read(answer)
            finally:
                answer.close()
        finally:
            self.busy -= 1

    async def _post(self, model: str, stream: bool, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = self._urls.get((model, stream))
        if url is None:
            url = self.config.base_url + self.protocol.address(model, stream)
            if len(self._urls) < 1000:
                self._urls[model, stream] = url
        return await self._ask("POST", url, body, headers)

    async def _ask(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], missing: tuple[int, ...] = ()
    ) -> Answer:
        """Sends a request and returns a 2xx; anything else is an UpstreamError, a status of `missing` as a 404."""
        if self._transport is None:
            self._transport = self._connect()
        fields = self._headers_by_key[self.key]
        if headers:
            fields = {**fields, **headers}
        try:
            if body is None:
                answer = await self._transport.ask(method, url, fields)
            else:
                answer = await self._transport.post(url, fields, body)
        except TimedOut as fault:
            raise UpstreamError(upstream_failure(504), was_sent=fault.was_sent) from None
        except Unreachable as fault:
            raise UpstreamError(self._unreachable(fault), was_sent=fault.was_sent) from None
        if 200 <= answer.status < 300:
            return answer
        try:
            raw = await answer.read(_ERROR_LIMIT)
        except (TimedOut, Unreachable, OverflowError):
            raw = b""  # the status alone is enough
        finally:
            answer.close()
        status = 404 if answer.status in missing else answer.status
        wait = _retry_after(answer.headers)
        found = self.protocol.decode_failure(status, raw, _reset_after(raw) if wait is None else wait)
        raise UpstreamError(self._scrubbed(found))

    async def _read(self, answer: Answer) -> bytes:
        try:
            return await answer.read(self._response_limit)
        except TimedOut:
            raise UpstreamError(upstream_failure(504)) from None
        except Unreachable:
            raise UpstreamError(_cut()) from None
        except OverflowError:
            raise self._garbage(f"more than {self._response_limit} bytes, limits.response") from None

    def _clean(self, data: bytes) -> bytes:
        """Bytes of an answer as UTF-8, without our keys, which some hosts repeat."""
        for key in self._keys:
            if key in data:
                data = data.replace(key, b"***")
        return valid_utf8(data)

    def _unreachable(self, fault: Unreachable) -> Failure:
        """The failure for a connection that was not made, or that broke before an answer began."""
        name = self.config.name
        match fault:
            case OutOfResources():
                text = (
                    f"The proxy itself has no file descriptor, memory or port left ({fault}) to call backend '{name}'."
                )
                return failure("out_of_resources", text)
            case NameNotResolved():
                return failure("upstream_dns", f"The host name of backend '{name}' cannot be resolved ({fault}).")
            case _:
                return failure("upstream_unreachable", f"Backend '{name}' cannot be reached ({fault}).")

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
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()


def _cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's connection broke before its answer ended.")


def _secrets(config: BackendConfig) -> re.Pattern[str]:
    """Matches the keys, the headers of the config, and the backend's address; a host that is a bare word is none."""
    url = urlsplit(config.base_url)
    host = url.hostname or ""
    words = [config.api_key, *config.spare_keys, url.netloc, host if "." in host or ":" in host else None]
    words += [value for value in config.headers.values() if len(value) >= SECRET_LENGTH]
    return re.compile("|".join(re.escape(word) for word in sorted(filter(None, words), key=len, reverse=True)))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait that an upstream asks for, in seconds; it may say milliseconds, seconds or a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if isfinite(seconds):
            return max(0.0, seconds)
    return None


def _reset_after(raw: bytes) -> float | None:
    """Seconds until the time at which the text of an error says that a quota is restored."""
    match = _RESET.search(raw)
    if match is None:
        return None
    try:
        at = datetime.strptime((b"%b %b" % match.groups()).decode(), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
