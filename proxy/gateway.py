"""The way of one request: decode, decide, encode, send, and back, with a record of all of it.

It knows protocols, backends and the plan, and nothing of sockets: the answer goes out through a Sink.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from math import ceil, isfinite
from time import perf_counter
from typing import Protocol as Interface

import msgspec
from msgspec import Struct

from . import ledger, wire
from .backends.http import PASSED_UP, SECRET_LENGTH, HttpBackend, Piece
from .config import Config
from .errors import ClientError, Malformed, Refused, RequestError, UpstreamError, failure
from .framing import FRAMINGS
from .ir import (
    SEMANTIC,
    Audio,
    Block,
    Document,
    Failure,
    Finish,
    Image,
    Loss,
    Request,
    Start,
    ToolResult,
    Usage,
)
from .metrics import Metrics
from .protocols.contract import Asked, NewId, Protocol, Sent, StreamEncoder, Where
from .record import Attempt, Record, Ring, StageLog
from .relay import Relay
from .routing import Backend, Facts, decide, find_backend_for_model, missing_capabilities

log = logging.getLogger("crosswire")

Ids = Callable[[], NewId]
"""Called once a request; makes that request's ids."""

PROVIDER_TITLES = {
    "openai": "OpenAI",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "openrouter": "OpenRouter",
}


STRICT_HEADER = "x-crosswire-strict"

HEARD_HEADERS = (*PASSED_UP, STRICT_HEADER)
"""The client's headers that mean anything here, in lower case; whatever else a client sends stays with the server."""


class Incoming(Struct, frozen=True):
    """A request as it came: its frontend, address, body, and those of its headers that HEARD_HEADERS names."""

    frontend: Protocol
    where: Where
    headers: Mapping[str, str]
    body: bytes


class Whole(Struct, frozen=True):
    """An answer in one piece."""

    status: int
    headers: dict[str, str]
    body: bytes


class ClientGone(Exception):
    """The client left while its answer was under way; a Sink raises it, and nobody failed."""


class Sink(Interface):
    """Where a streamed answer goes. `abort` lets out what was written and closes without a proper end."""

    async def open(self, headers: Mapping[str, str]) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    def abort(self) -> None: ...


class Gateway:
    """All that one running proxy has: plan, backends, records, metrics, a clock (unix seconds) and ids."""

    def __init__(
        self,
        config: Config,
        backends: Mapping[str, HttpBackend],
        frontends: Mapping[str, Protocol],
        *,
        clock: Callable[[], float],
        ids: Ids,
        stages: StageLog | None = None,
    ) -> None:
        self.config = config
        self.backends = backends
        self.records = Ring(config.settings.records)
        self.metrics = Metrics(frontends, backends)
        self.draining = False
        self.idle = asyncio.Event()
        """Set while no request is under way."""
        self.idle.set()
        self._under_way: set[asyncio.Task[object]] = set()
        self._clock = clock
        self._ids = ids
        self._stages = stages
        self._actions = {word: rule.action for word, rule in ledger.LEDGER.items()} | dict(config.settings.ledger)
        self._kept = config.settings.response_headers
        self._keys = _keys(config)

    async def handle(self, incoming: Incoming, sink: Sink) -> Whole | None:
        """Answer one request: a Whole, or None once a stream has gone through the sink.

        Raises ClientGone, or is cancelled, where the client left; the record then stays at `aborted`.
        """
        new_id = self._ids()
        way = _Way(self, incoming, new_id)
        self.metrics.in_flight.inc()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self._under_way.add(task)
        self.idle.clear()
        try:
            return await way.go(sink)
        except RequestError as fault:
            return way.refuse(fault.failure)
        except ClientGone:
            raise
        except Exception:
            # the last wall: a mistake of ours becomes a plain 500, and the log says what it was
            log.exception("request %s failed in the proxy itself", way.record.id)
            return way.refuse(failure("internal", "The proxy failed; its log names the cause."))
        finally:
            self.metrics.in_flight.dec()
            way.close()
            self._under_way.discard(task)
            if not self._under_way:
                self.idle.set()

    def told(self, headers: dict[str, str]) -> dict[str, str]:
        """Of the headers about the way, those that the config lets clients see."""
        return {name: text for name, text in headers.items() if name in self._kept}

    def without_keys(self, text: bytes) -> bytes:
        """Bytes that may repeat a key of the config, as some hosts do in their answers, without it."""
        return text if self._keys is None else self._keys.sub(b"***", text)

    def reject(self, frontend: Protocol, fault: Failure) -> Whole:
        """An error for what never became a request (its body, its address), in the frontend's shape."""
        way = _Way(self, Incoming(frontend, Where(), {}, b""), self._ids())
        answer = way.refuse(fault)
        way.close()
        return answer

    def cut(self) -> None:
        """End what is under way; its clients see a break, never a clean end."""
        for task in self._under_way:
            task.cancel()

    async def close(self) -> None:
        """Close every backend's pool and the stage log; twice is harmless."""
        for backend in self.backends.values():
            await backend.close()
        if self._stages is not None:
            stages, self._stages = self._stages, None
            await asyncio.to_thread(stages.close)


def required_capabilities(request: Request) -> frozenset[str]:
    """What a backend must be able to do to serve this request at all."""
    needed = {"text"}
    if request.tools:
        needed.add("tools")
    if request.format is not None and request.format.kind != "text":
        needed.add(request.format.kind)
    for turn in request.turns:
        _media_capabilities(turn.blocks, needed)
    return frozenset(needed)


def _media_capabilities(blocks: tuple[Block, ...], needed: set[str]) -> None:
    for block in blocks:
        match block:
            case Image():
                needed.add("vision")
            case Document():
                needed.add("documents")
            case Audio():
                needed.add("audio")
            case ToolResult(blocks=inner):
                _media_capabilities(inner, needed)


class _Way:
    """One request's way through the gateway."""

    def __init__(self, gateway: Gateway, incoming: Incoming, new_id: NewId) -> None:
        self._gateway = gateway
        self._incoming = incoming
        self._frontend = incoming.frontend
        self._new_id = new_id
        self._began = perf_counter()
        self._asks_strict = incoming.headers.get(STRICT_HEADER) == "1"
        self._strict = self._asks_strict
        self.record = Record(new_id("req_"), gateway._clock(), incoming.frontend.name)
        self._told: set[str] = set()

    async def go(self, sink: Sink) -> Whole | None:
        if self._gateway.draining:
            raise ClientError(failure("draining", "The proxy is shutting down; try again elsewhere."))
        request = self._decode()
        backend, sent, relay = self._choose(request)
        asked = Asked(
            request,
            self._new_id(""),
            int(self.record.at),
            self._new_id,
            array=self._wants_array(request),
        )
        if relay is None:
            self.record.losses += sent.losses
            body = wire.encode(sent.payload)
        else:
            body = relay.request(self._incoming.body)
        attempt = Attempt(backend.backend.name, sent.target.model, relayed=relay is not None)
        self.record.attempts.append(attempt)
        self._tell("backend_request", body)
        if log.isEnabledFor(logging.INFO):
            log.info("%s Request: %s", _provider_title(backend), _printed(sent.target.model))
        started = perf_counter()
        try:
            if request.stream:
                return await self._stream(backend, sent, asked, relay, body, sink)
            return await self._unary(backend, sent, asked, relay, body)
        except UpstreamError as fault:
            attempt.outcome = fault.failure.kind
            self._tell("backend_response", fault.failure)
            raise
        except RecursionError:
            attempt.outcome = "upstream_garbage"
            raise UpstreamError(_too_deep()) from None
        finally:
            attempt.ms = _ms(started)

    # ---- in ----------------------------------------------------------------------------------------------------------

    def _decode(self) -> Request:
        try:
            request = self._frontend.decode_request(wire.parse_object(self._incoming.body), self._incoming.where)
        except Malformed as fault:
            raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
        except RecursionError:
            raise ClientError(failure("bad_request", "Invalid request: nested too deeply.")) from None
        self.record.model = request.model
        self.record.stream = request.stream
        if log.isEnabledFor(logging.INFO):
            log.info("%s request for model: %s", self._frontend.title, _printed(request.model))
        self._tell("client_request", self._incoming.body)
        return request

    def _choose(self, request: Request) -> tuple[HttpBackend, Sent, Relay | None]:
        """Decide, encode, and decide again without the candidates that could not take what must not be lost."""
        gateway = self._gateway
        needed = required_capabilities(request)
        unfit: dict[str, str] = {}
        while True:
            decision = decide(Facts(request.model, needed, self._frontend.name, unfit), gateway.config.plan)
            self.record.decision = decision
            if decision.refusal is not None or decision.chosen is None:
                self._explain(request.model, needed, None)
                raise Refused(decision.refusal or failure("model_not_found", "No backend serves this model."))
            backend = gateway.backends[decision.chosen.backend]
            target = backend.target(decision.chosen.model or request.model)
            # backends stream as SSE: a client that wants one array gets a converted stream
            relay = (
                None if self._wants_array(request) else Relay.between(self._frontend, request, backend.backend, target)
            )
            if relay is not None:
                sent = Sent({}, (), target)
            else:
                try:
                    sent = backend.protocol.encode_request(request, target)
                except RecursionError:
                    raise ClientError(failure("bad_request", "Invalid request: nested too deeply.")) from None
            self._strict = self._asks_strict or backend.backend.strict
            fatal = [loss for loss in sent.losses if self._is_fatal(loss)]
            if not fatal:
                break
            unfit[decision.chosen.backend] = "cannot take " + ", ".join(
                f"{loss.feature} ({loss.path})" for loss in fatal
            )
        self._explain(request.model, needed, backend.backend)
        return backend, sent, relay

    def _explain(self, model: str, needed: frozenset[str], chosen: Backend | None) -> None:
        """Say how the decision came about, if anybody listens."""
        if not log.isEnabledFor(logging.INFO):
            return
        mapped = find_backend_for_model(model, self._gateway.config.plan)
        if mapped is not None:
            log.info("✓ Model '%s' mapped to backend '%s'", _printed(model), mapped.name)
            if lacks := missing_capabilities(mapped, needed):
                log.info("✗ Backend '%s' lacks required capabilities: %s", mapped.name, ", ".join(lacks))
        if mapped is not chosen or chosen is None:
            log.info("%s %s", "✗" if chosen is None else "→", self.record.decision and self.record.decision.because)
        if chosen is None:
            return
        if lacks := missing_capabilities(chosen, needed):
            log.info("✗ Backend '%s' lacks required capabilities: %s", chosen.name, ", ".join(lacks))
        else:
            log.info("✓ Backend '%s' supports required capabilities", chosen.name)

    def _wants_array(self, request: Request) -> bool:
        """Whether the stream goes out as one JSON array: Gemini's, without `alt=sse`."""
        where = self._incoming.where
        return request.stream and where.method is not None and where.alt != "sse"

    def _is_fatal(self, loss: Loss) -> bool:
        return self._strict or self._gateway._actions[loss.feature] == "refuse"

    def _bear(self, losses: Iterable[Loss]) -> None:
        """Note an answer's losses; one that must not be is the end of this answer."""
        losses = list(losses)
        self.record.losses += losses
        fatal = [loss for loss in losses if self._is_fatal(loss)]
        if fatal:
            raise UpstreamError(_lost(fatal))

    # ---- out, in one piece -------------------------------------------------------------------------------------------

    async def _unary(self, backend: HttpBackend, sent: Sent, asked: Asked, relay: Relay | None, body: bytes) -> Whole:
        reply, raw = await backend.reply(sent, body, self._passed_up(relay), self._new_id)
        self._answered(backend, sent)
        self._tell("backend_response", raw)
        if relay is not None:
            out = relay.reply(raw)
        else:
            answer, losses = self._frontend.encode_reply(reply, asked)
            self._bear(losses)
            out = wire.encode(answer)
        self.record.usage = reply.usage
        self._finished(backend)
        self._tell("client_response", out)
        return Whole(200, self._headers("application/json"), out)

    def _passed_up(self, relay: Relay | None) -> dict[str, str]:
        if relay is None:
            return {}
        headers = self._incoming.headers
        found = {name: headers[name] for name in PASSED_UP if name in headers}
        return {name: text for name, text in found.items() if text.isascii() and text.isprintable()}

    def _answered(self, backend: HttpBackend, sent: Sent) -> None:
        """This attempt is the one that answers: from here on the record names it."""
        self.record.backend_used = backend.backend.name
        self.record.model_used = sent.target.model

    def _finished(self, backend: HttpBackend) -> None:
        """The answer is whole."""
        self.record.attempts[-1].outcome = "answered"
        self.record.status = 200
        self.record.outcome = "answered"
        if log.isEnabledFor(logging.INFO):
            log.info("%s Success: %s", _provider_title(backend), _printed(self.record.model_used or ""))

    # ---- out, as a stream --------------------------------------------------------------------------------------------

    async def _stream(
        self, backend: HttpBackend, sent: Sent, asked: Asked, relay: Relay | None, body: bytes, sink: Sink
    ) -> Whole | None:
        """Waiting, held open, committed: see the design's section 4."""
        line = _Line(sink, self._frontend.ping, self._gateway.config.settings.keepalive_s)
        line.keeps = self._gateway._stages is not None
        line.held_headers = self._headers(self._stream_type(asked), held=True)
        pieces = backend.stream(sent, body, self._passed_up(relay), self._new_id, relayed=relay is not None)
        out = _Out(relay, self._frontend, self._frontend.stream_encoder(asked))
        try:
            await self._pump(pieces, out, backend, sent, asked, line)
        except RequestError as fault:
            if not line.opened:
                raise
            await self._break(out, line, fault.failure)
        except RecursionError:
            if not line.opened:
                raise
            await self._break(out, line, _too_deep())
        except ClientGone:
            raise
        except Exception:
            if not line.opened:
                raise
            # headers are out, so the last wall of `handle` stands too late: what it does is done here, in band
            log.exception("request %s failed in the proxy itself", self.record.id)
            await self._break(out, line, failure("internal", "The proxy failed; its log names the cause."))
        finally:
            line.stop()
            if line.heard:
                self._tell("backend_response", b"".join(line.heard))
            if line.said:
                self._tell("client_response", b"".join(line.said))
            await pieces.aclose()
        return None

    async def _pump(
        self, pieces: AsyncIterator[Piece], out: _Out, backend: HttpBackend, sent: Sent, asked: Asked, line: _Line
    ) -> None:
        """Every piece to the client; raises UpstreamError where the answer breaks, whatever went out before."""
        waiting: list[Piece] = []  # handshakes: nothing goes out before the first word
        told = 0
        committed = finished = False
        async for piece in pieces:
            if line.keeps:
                line.heard.append(piece.raw)
            broken = next((event for event in piece.events if type(event) is Failure), None)
            if committed:
                data = out.piece(piece)
            else:
                waiting.append(piece)
                if not any(isinstance(event, SEMANTIC) for event in piece.events):
                    if broken is not None:
                        raise UpstreamError(broken)
                    continue
                committed = True
                self.record.ttft_ms = _ms(self._began)
                self._answered(backend, sent)
                data = b"".join([out.piece(part) for part in waiting])
            fresh, told = out.losses[told:], len(out.losses)
            if fresh:
                self._bear(fresh)
            self._note_usage(piece)
            if not line.opened:
                await line.open(self._headers(self._stream_type(asked)))
            if data:
                await line.write(data)
            if broken is not None:
                await self._break(out, line, broken, said=not out.relayed)
                return
            if not finished and any(type(event) is Finish for event in piece.events):
                finished = True
                self._finished(backend)
                if not out.relayed:
                    await line.end()
        if finished and out.relayed:  # a relay ends with the upstream's own last bytes
            await line.end()

    def _note_usage(self, piece: Piece) -> None:
        for event in piece.events:
            if isinstance(event, Start | Finish) and event.usage is not None:
                self.record.usage = (self.record.usage or Usage()).merge(event.usage)

    async def _break(self, out: _Out, line: _Line, broken: Failure, said: bool = False) -> None:
        """End with the error in band, then close without the last chunk: a broken stream never ends cleanly."""
        self.record.error = broken
        self.record.outcome = broken.kind
        self.record.status = 200
        self.record.attempts[-1].outcome = broken.kind
        if not said:
            await line.write(out.failure(broken))
        line.abort()

    def _stream_type(self, asked: Asked) -> str:
        return "application/json" if asked.array else self._frontend.stream_type

    # ---- what everyone is told ---------------------------------------------------------------------------------------

    def _headers(self, content_type: str, *, held: bool = False) -> dict[str, str]:
        headers = {"content-type": content_type, "x-request-id": self.record.id}
        if self._frontend.name == "anthropic":
            headers["request-id"] = self.record.id  # the header that this SDK reads
        if not held:
            headers.update(self._gateway.told(self.record.headers()))
        return headers

    def refuse(self, fault: Failure) -> Whole:
        """The error as a status and a body in the client's own shape."""
        status = self._frontend.failure_status.get(fault.kind, fault.status)
        self.record.status = status
        self.record.outcome = fault.kind
        self.record.error = fault
        headers = self._headers("application/json")
        if fault.retry_after is not None and isfinite(fault.retry_after):
            headers["retry-after"] = str(ceil(fault.retry_after))
        if fault.kind == "loss":
            headers["x-should-retry"] = "false"  # the SDKs would only lose it again
        body = wire.encode(self._frontend.encode_failure(fault, self.record.id))
        self._tell("client_response", body)
        return Whole(status, headers, body)

    def _tell(self, stage: str, said: bytes | Failure) -> None:
        """One line of the stage log, if anybody asked for one; of each stage the first counts."""
        stages = self._gateway._stages
        if stages is None or stage in self._told:
            return
        self._told.add(stage)
        record = self.record
        entry: dict[str, object] = {
            "time": self._gateway._clock(),
            "id": record.id,
            "stage": stage,
            "frontend": record.frontend,
            "model": record.model,
            "ms": round(_ms(self._began), 3),
        }
        if stage.startswith("backend"):
            entry |= {"backend": record.attempts[-1].backend, "upstream_model": record.attempts[-1].model}
        if stage == "client_response":
            entry |= self._figures()
        if isinstance(said, Failure):
            entry["error"] = said
        else:
            entry["body"] = _readable(self._gateway.without_keys(said))
        stages.write(entry)

    def _figures(self) -> dict[str, object]:
        record = self.record
        seconds = max(perf_counter() - self._began - (record.ttft_ms or 0) / 1000, 1e-6)
        output = record.usage.output if record.usage else None
        return {
            "status": record.status,
            "outcome": record.outcome,
            "losses": ledger.words(record.losses),
            "ttft_ms": record.ttft_ms,
            "tokens_per_s": round(output / seconds, 1) if output else None,
        }

    def close(self) -> None:
        """The request is over: keep its record and count it."""
        self.record.total_ms = _ms(self._began)
        self._gateway.records.add(self.record)
        self._gateway.metrics.add(self.record)


class _Out:
    """Pieces of a backend's stream as the client gets them: re-encoded, or relayed whole."""

    def __init__(self, relay: Relay | None, frontend: Protocol, encoder: StreamEncoder) -> None:
        self._relay = relay
        self._frontend = frontend
        self._first = self._last = b""
        self.encoder = encoder
        self.relayed = relay is not None
        self.losses = encoder.losses

    def piece(self, piece: Piece) -> bytes:
        if self._relay is None:
            return self.encoder.encode(piece.events)
        if piece.raw:
            self._first = self._first or piece.raw
            self._last = piece.raw
        return self._relay.frames(piece.raw)

    def failure(self, broken: Failure) -> bytes:
        """The error in band, after whatever went out."""
        if self._relay is not None and self._frontend.resume is not None and self._first:
            framing = FRAMINGS[self._frontend.framing](len(self._first) + len(self._last))
            self._frontend.resume(self.encoder, framing.parse(self._first) + framing.parse(self._last))
        return self.encoder.encode([broken])


class _Line:
    """The way to the client of one stream, with pings while it is silent."""

    def __init__(self, sink: Sink, ping: bytes, interval: float) -> None:
        self._sink = sink
        self._ping = ping
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)
        self._pinging: asyncio.Task[None] | None = None
        self.held_headers: dict[str, str] = {}
        self.opened = False
        self.ended = False
        self.keeps = False
        self.heard: list[bytes] = []
        self.said: list[bytes] = []

    async def open(self, headers: Mapping[str, str]) -> None:
        await self._settle()
        if not self.opened:
            self.opened = True
            await self._sink.open(headers)

    async def write(self, data: bytes) -> None:
        await self._settle()
        self._last = self._loop.time()
        if self.keeps:
            self.said.append(data)
        await self._sink.write(data)

    async def end(self) -> None:
        await self._settle()
        self.stop()
        self.ended = True
        await self._sink.end()

    def abort(self) -> None:
        self.stop()
        self._sink.abort()

    def stop(self) -> None:
        self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _settle(self) -> None:
        if self._pinging is not None:
            pinging, self._pinging = self._pinging, None
            await pinging

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        if silent >= self._interval and (self._pinging is None or self._pinging.done()):
            self._pinging = self._loop.create_task(self._send_ping())
            silent = 0
        self._timer = self._loop.call_later(self._interval - silent, self._tick)

    async def _send_ping(self) -> None:
        try:
            if not self.opened:
                self.opened = True
                await self._sink.open(self.held_headers)
            self._last = self._loop.time()
            await self._sink.write(self._ping)
        except ClientGone:
            return  # whoever writes next, or the server, notices it too


def _lost(losses: list[Loss]) -> Failure:
    named = ", ".join(f"{loss.feature} ({loss.path})" for loss in losses)
    return Failure("loss", f"The answer cannot be told without a loss: {named}.", 502, code="loss")


def _too_deep() -> Failure:
    return failure("upstream_garbage", "The backend's answer is nested too deeply.")


def _provider_title(backend: HttpBackend) -> str:
    provider = backend.backend.provider
    return PROVIDER_TITLES.get(provider, provider.capitalize())


def _keys(config: Config) -> re.Pattern[bytes] | None:
    """Every secret of the config, to be found in bytes."""
    settings, backends = config.settings, config.plan.backends
    keys = {key for backend in backends for key in (backend.api_key, *backend.headers.values())} | {settings.admin_key}
    long = sorted((key for key in keys if key and len(key) >= SECRET_LENGTH), key=len, reverse=True)
    return re.compile(b"|".join(re.escape(key.encode()) for key in long)) if long else None


def _printed(model: str) -> str:
    """A name that a client typed, for one line of a log."""
    return model if model.isprintable() else repr(model)[1:-1]


def _ms(since: float) -> float:
    return (perf_counter() - since) * 1000


def _readable(body: bytes) -> object:
    """A body for the stage log: JSON as it is, anything else as text."""
    try:
        wire.parse(body)
        return msgspec.Raw(msgspec.json.format(body, indent=-1))  # a body may be written over several lines
    except Malformed:
        return body.decode("utf-8", "replace")
