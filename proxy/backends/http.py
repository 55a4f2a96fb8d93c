"""A backend over HTTP: a protocol, an address and a key.

It takes a neutral request (or, relaying, the client's own bytes) and gives back a reply or a stream of events. It
knows nothing of clients. The client's credentials never come here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from io import BytesIO
from math import isfinite

import aiohttp
import msgspec
from yarl import URL

from .. import wire
from ..errors import Malformed, UpstreamError, upstream_failure
from ..framing import FRAMINGS, Framing, write
from ..ir import SEMANTIC, Event, Failure, Finish, Reply, Request
from ..protocols.contract import NewId, Protocol, Sent, StreamDecoder, Target
from ..routing import Backend
from .door import Piece
from .transport import Answer, TimedOut, Timeouts, Transport, Unreachable

PASSED_UP = ("anthropic-beta", "anthropic-version", "openai-beta")
"""The client's headers that an equal protocol's backend gets; no credential is among them."""


def passed_up(headers: Mapping[str, str], betas: tuple[str, ...] | None) -> dict[str, str]:
    """What of a client's headers goes up to a backend of its own protocol, and of its beta flags those allowed."""
    found = {name: text for name in PASSED_UP if (text := headers.get(name)) and text.isascii() and text.isprintable()}
    if betas is not None and "anthropic-beta" in found:
        # a host that knows only some flags refuses the whole request for one more: "invalid beta flag"
        # https://github.com/anthropics/claude-code/issues/49370
        flags = (flag.strip() for flag in found.pop("anthropic-beta").split(","))
        if kept := [flag for flag in flags if any(fnmatchcase(flag, pattern) for pattern in betas)]:
            found["anthropic-beta"] = ",".join(kept)
    return found


SECRET_LENGTH = 8
"""Characters from which a header of the config may be a secret; shorter ones are words, and stay in texts."""

_ERROR_LIMIT = 1024 * 1024
"""Bytes of an error's body that are read; the rest says nothing that a client could be told."""

_TOLD = ("message", "code", "param")
"""What of an upstream's failure is its own words."""

_HEADER_LIMIT = 64 * 1024
_LARGE = 1024 * 1024

_UNSEEN = 4
"""How many reads of a relayed stream are kept, to look into them if it ends without a known end."""


class HttpBackend:
    """One configured backend, its client made at first use and closed once."""

    def __init__(
        self,
        backend: Backend,
        protocol: Protocol,
        connect: Callable[[], Transport],
        *,
        frame_limit: int,
        linger: float,
    ) -> None:
        self.backend = backend
        self.protocol = protocol
        self._connect = connect
        self._transport: Transport | None = None
        self._frame_limit = frame_limit
        self._linger = linger
        self._urls: dict[tuple[str, bool], str] = {}
        self._targets: dict[str, Target] = {}
        self.busy = 0
        keys = (backend.api_key, *backend.spare_keys) if backend.api_key else (None,)
        self._headers_by_key = [
            {
                "content-type": "application/json",
                "accept-encoding": "identity",  # a relayed stream must go on as it came
                **protocol.headers,
                **(protocol.auth(key) if key else {}),
                **backend.headers,
            }
            for key in keys
        ]
        self.key = 0
        self._secrets = _secrets(backend)

    def next_key(self, refused: int) -> bool:
        """Whether there is another key to try than this one, which was refused; it is in use from now on.

        After the last comes the first again, so that later requests find keys that are good once more.
        """
        if self.key == refused:
            self.key = (refused + 1) % len(self._headers_by_key)
        return self.key != 0

    def encode(self, request: Request, target: Target) -> Sent:
        """The request in the backend's protocol, and what it cannot say."""
        return self.protocol.encode_request(request, target)

    def target(self, model: str) -> Target:
        """This backend as an encoder sees it."""
        target = self._targets.get(model)
        if target is None:
            backend = self.backend
            target = Target(model, backend.provider, backend.max_tokens, backend.limits, backend.quirks)
            if len(self._targets) < 1000:  # model names may come from clients
                self._targets[model] = target
        return target

    async def reply(self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId) -> tuple[Reply, bytes]:
        """The whole answer, decoded, and its bytes."""
        self.busy += 1
        try:
            answer = await self._post(sent.target.model, False, body, headers)
            try:
                raw = await self._read(answer)
            finally:
                answer.close()
        finally:
            self.busy -= 1
        try:
            return self.protocol.decode_reply(wire.parse_object(raw), sent, new_id), raw
        except Malformed as fault:
            raise self._garbage(fault) from None

    async def stream(
        self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId, *, relayed: bool
    ) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; the last events are Finish or a Failure.

        A relayed stream is decoded until the first semantic event; after it only frames that may hold usage or the
        end are looked into.
        """
        self.busy += 1
        answer = None
        try:
            answer = await self._post(sent.target.model, True, body, headers)
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise self._garbage("HTML where a stream was asked for")
            decoder = self.protocol.stream_decoder(sent, new_id)
            framing = FRAMINGS[self.protocol.framing](self._frame_limit)
            watch = self.protocol.watch
            unseen: deque[bytes] = deque(maxlen=_UNSEEN)
            chunks = answer.chunks()
            async for chunk in chunks:
                whole = framing.cut(chunk)
                if not whole:
                    continue
                if decoder.skims and not any(mark in whole for mark in watch):
                    unseen.append(whole)
                    yield Piece([], whole)
                    continue
                unseen.clear()
                events, good = self._events(framing, decoder, whole, relayed)
                if events or relayed:
                    yield Piece(events, good)
                if decoder.done:
                    break
            else:
                for whole in unseen:  # an end that a host wrote in an odd way is an end all the same
                    events = [event for frame in framing.parse(whole) for event in decoder.feed(frame)]
                    yield Piece([event for event in events if type(event) in (Finish, Failure)], b"")
                yield self._ending(framing, decoder)
                return
            async for whole in self._rest(chunks, framing):
                if relayed:
                    yield Piece([], whole)
        except Malformed as fault:
            yield Piece([self._garbage(fault).failure], b"")
        except TimedOut:
            yield Piece([upstream_failure(504)], b"")
        except Unreachable:
            yield Piece([_cut()], b"")
        finally:
            self.busy -= 1
            if answer is not None:
                answer.close()

    async def _rest(self, chunks: AsyncIterator[bytes], framing: Framing) -> AsyncIterator[bytes]:
        """What is left after the answer's own end (`[DONE]`); read to its last byte, a connection can be used again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._linger
        try:
            while True:
                chunk = await asyncio.wait_for(anext(chunks), deadline - loop.time())
                if whole := framing.cut(chunk):
                    yield whole
        except (StopAsyncIteration, TimeoutError, TimedOut, Unreachable, Malformed):
            return  # the answer was whole; at worst this connection is lost

    def _events(
        self, framing: Framing, decoder: StreamDecoder, whole: bytes, relayed: bool
    ) -> tuple[list[Event], bytes]:
        """The events in these bytes, and the bytes without a frame that is an error, which is never relayed."""
        events: list[Event] = []
        frames = framing.parse(whole)
        watch = self.protocol.watch
        for f, frame in enumerate(frames):
            if decoder.skims and not any(mark in frame.data for mark in watch):
                continue
            try:
                found = decoder.feed(frame)
            except Malformed as fault:
                found = [self._garbage(fault).failure]
            events += found
            if found and type(found[-1]) is Failure:
                events[-1] = self._scrubbed(found[-1])
                return events, write(self.protocol.framing, frames[:f])
            if relayed and not decoder.skims:
                decoder.skims = any(isinstance(event, SEMANTIC) for event in found)
        return events, whole

    def _ending(self, framing: Framing, decoder: StreamDecoder) -> Piece:
        """What the end of the bytes means: a last frame without its blank line, then the decoder's own word."""
        frames = framing.rest()
        events = [event for frame in frames for event in decoder.feed(frame)] + decoder.close()
        whole = not any(type(event) is Failure for event in events)
        events = [self._scrubbed(event) if type(event) is Failure else event for event in events]
        return Piece(events, write(self.protocol.framing, frames) if whole else b"")

    async def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """Ask what else stands below the base URL, beside the chat; the whole answer's bytes."""
        self.busy += 1
        try:
            answer = await self._ask(method, self.backend.base_url + path, body, headers)
            try:
                return await self._read(answer)
            finally:
                answer.close()
        finally:
            self.busy -= 1

    async def _post(self, model: str, stream: bool, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = self._urls.get((model, stream))
        if url is None:
            url = self.backend.base_url + self.protocol.address(model, stream)
            if len(self._urls) < 1000:
                self._urls[model, stream] = url
        return await self._ask("POST", url, body, headers)

    async def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send, and return a 2xx; anything else is an UpstreamError in neutral words."""
        if self._transport is None:
            self._transport = self._connect()
        own = self._headers_by_key[self.key]
        fields = {**own, **headers} if headers else own
        try:
            if body is None:
                answer = await self._transport.ask(method, url, fields)
            else:
                answer = await self._transport.post(url, fields, body)
        except TimedOut:
            raise UpstreamError(upstream_failure(504)) from None
        except Unreachable as fault:
            text = f"Backend '{self.backend.name}' cannot be reached ({fault})."
            raise UpstreamError(Failure("upstream_unreachable", text, 502, code="upstream_unreachable")) from None
        if 200 <= answer.status < 300:
            return answer
        try:
            raw = await answer.read(_ERROR_LIMIT)
        except (TimedOut, Unreachable, OverflowError):
            raw = b""  # the status alone says enough
        finally:
            answer.close()
        failure = self.protocol.decode_failure(answer.status, raw, _retry_after(answer.headers))
        raise UpstreamError(self._scrubbed(failure))

    async def _read(self, answer: Answer) -> bytes:
        try:
            return await answer.read(self._frame_limit)
        except TimedOut:
            raise UpstreamError(upstream_failure(504)) from None
        except Unreachable:
            raise UpstreamError(_cut()) from None
        except OverflowError:
            raise self._garbage(f"more than {self._frame_limit} bytes") from None

    def _garbage(self, what: object) -> UpstreamError:
        text = f"Backend '{self.backend.name}' sent what is not of its protocol ({what})."
        return UpstreamError(self._scrubbed(Failure("upstream_garbage", text, 502, code="upstream_garbage")))

    def _scrubbed(self, failure: Failure) -> Failure:
        """The failure without our key and without our address, which upstreams like to repeat."""
        told = {key: text for key in _TOLD if (text := getattr(failure, key)) and self._secrets.search(text)}
        if not told:
            return failure
        return msgspec.structs.replace(failure, **{key: self._secrets.sub("***", text) for key, text in told.items()})

    async def close(self) -> None:
        """Close the pool; twice, or before the first use, is harmless."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()


def _cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's connection broke before its answer ended.")


def _secrets(backend: Backend) -> re.Pattern[str]:
    """The key, the headers of the config, and where the backend is; a bare word such as `ollama` names no place."""
    url = URL(backend.base_url)
    host = url.host or ""
    words = [backend.api_key, *backend.spare_keys, url.authority, host if "." in host or ":" in host else None]
    words += [value for value in backend.headers.values() if len(value) >= SECRET_LENGTH]
    return re.compile("|".join(re.escape(word) for word in sorted(filter(None, words), key=len, reverse=True)))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait that an upstream asks for, in seconds: milliseconds, seconds, or a date."""
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


# ---- aiohttp's client ------------------------------------------------------------------------------------------------


class AiohttpTransport:
    """aiohttp's client, without what it does by itself: no redirects, no cookies, no environment, no total time."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            # the default ends a stream after five minutes
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.read),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=True,
            max_line_size=_HEADER_LIMIT,  # hosts behind several proxies pass aiohttp's 8 KiB
            max_field_size=_HEADER_LIMIT,
        )
        self._parsed: dict[str, URL] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self._request("POST", url, headers, body)

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._request(method, url, headers, None)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        parsed = self._parsed.get(url)
        if parsed is None:
            # encoded: a model named `../../admin` must not climb out of its place
            parsed = URL(url, encoded=True)
            if len(self._parsed) < 1000:
                self._parsed[url] = parsed
        try:
            # aiohttp would forward x-api-key to wherever a redirect points
            data = (
                body if body is None or len(body) <= _LARGE else BytesIO(body)
            )  # aiohttp warns of larger ones in one piece
            response = await self._session.request(method, parsed, data=data, headers=headers, allow_redirects=False)
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Unreachable(type(fault).__name__) from None
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        await self._session.close()


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int) -> bytes:
        chunks = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise OverflowError
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            # iter_any and our own framing: aiohttp's line iteration raises past 512 KiB
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Unreachable(type(fault).__name__) from None

    def close(self) -> None:
        self._response.release()


def aiohttp_transport(timeouts: Timeouts) -> Callable[[], Transport]:
    """Makes a pool when it is first needed."""
    return lambda: AiohttpTransport(timeouts)
