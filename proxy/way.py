"""The way of one request: decode, decide, encode, send, and back, as often as the plan allows before a word is out.

It knows protocols, backends and the plan, and nothing of sockets: a streamed answer goes out through a Line.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from time import perf_counter

from msgspec import Struct
from msgspec.structs import replace

from . import wire
from .backends.door import Door, Piece
from .backends.http import PASSED_UP, passed_up
from .cascade import unsure
from .errors import ClientError, Malformed, Refused, RequestError, UpstreamError, failure
from .health import RETRIABLE, backoff
from .ir import SEMANTIC, Failure, Finish, Loss, Request, Start, Usage, fold
from .line import ClientGone, Line, Out, Sink
from .needs import required_capabilities
from .protocols.contract import Asked, NewId, Protocol, Sent, Where
from .record import Attempt
from .relay import Relay
from .routing import (
    LOCAL,
    Backend,
    Candidate,
    Decision,
    Facts,
    decide,
    find_backend_for_model,
    missing_capabilities,
    shape_of,
)
from .shared import Shared
from .told import Told, Whole

log = logging.getLogger("crosswire")

PROVIDER_TITLES = {
    "openai": "OpenAI",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "openrouter": "OpenRouter",
}

STRICT_HEADER = "x-crosswire-strict"
PIN_HEADER = "x-crosswire-backend"
MODE_HEADER = "x-crosswire-mode"

HEARD_HEADERS = (*PASSED_UP, STRICT_HEADER, PIN_HEADER, MODE_HEADER)
"""The client's headers that mean anything here, in lower case; whatever else a client sends stays with the server."""

UNLISTED = ("explicit", "auto", "capability")
"""Modes whose chain is everybody who fits, where a 404 of one says nothing about the next."""

ABSENT = ("not_found", "model_not_found")
"""Kinds by which a backend says that it has no such model: a route that lists others goes on to them."""


UNMAPPED = ("explicit", "auto")
"""Modes in which no rule names the model."""


class Incoming(Struct, frozen=True):
    """A request as it came: its frontend, address, body, and those of its headers that HEARD_HEADERS names."""

    frontend: Protocol
    where: Where
    headers: Mapping[str, str]
    body: bytes


class _Ready(Struct, frozen=True):
    """A candidate with all that its attempt needs: what is sent, or the relay of the client's own bytes."""

    candidate: Candidate
    door: Door
    sent: Sent
    relay: Relay | None


class Way:
    """One request's way through the gateway, on the plan and the backends that were there when it came."""

    def __init__(self, shared: Shared, incoming: Incoming, new_id: NewId) -> None:
        self._shared = shared
        self._config = shared.config
        self._doors = shared.doors
        self._incoming = incoming
        self._frontend = incoming.frontend
        self._new_id = new_id
        self._asks_strict = incoming.headers.get(STRICT_HEADER) == "1"
        self._strict = self._asks_strict
        self._not_before: dict[str, float] = {}
        """Until when each backend asked to be left alone."""
        self._key = 0
        """Which of its backend's keys the last attempt used."""
        self.told = Told(shared, incoming.frontend, new_id("req_"))
        self.record = self.told.record

    async def go(self, sink: Sink) -> Whole | None:
        """The whole way; None once a stream went through the sink. Raises RequestError where nothing went out."""
        request = self._decode()
        ready = self._choose(request)
        asked = Asked(request, self._new_id(""), int(self.record.at), self._new_id, array=self._wants_array(request))
        if not request.stream:
            return await self._in_time(ready, asked, None)
        line = Line(
            sink,
            self._frontend.ping,
            self._config.settings.keepalive_s,
            self.told.headers(self._stream_type(asked), held=True),
            self._shared.stages is not None,
        )
        try:
            await self._in_time(ready, asked, line)
        except RequestError as fault:
            if not line.opened:
                raise
            await self._break(line, asked, fault.failure)
        except ClientGone:
            raise
        except Exception:
            if not line.opened:
                raise
            # headers are out, so the last wall of `handle` stands too late: what it does is done here, in band
            log.exception("request %s failed in the proxy itself", self.record.request_id)
            await self._break(line, asked, failure("internal", "The proxy failed; its log names the cause."))
        finally:
            line.stop()
            if line.said:
                self.told.log("client_response", b"".join(line.said))
        return None

    # ---- in ----------------------------------------------------------------------------------------------------------

    def _decode(self) -> Request:
        try:
            request = self._frontend.decode_request(wire.parse_object(self._incoming.body), self._incoming.where)
        except Malformed as fault:
            raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
        except RecursionError:
            raise _too_deep_request() from None
        self.record.model = request.model
        self.record.stream = request.stream
        if log.isEnabledFor(logging.INFO):
            log.info("%s request for model: %s", self._frontend.title, _printed(request.model))
        self.told.log("client_request", self._incoming.body)
        self.told.stage("decode")
        return request

    def _choose(self, request: Request) -> _Ready:
        """Decide, encode, and decide again without the candidates that could not take what must not be lost."""
        plan = self._config.plan
        needed = required_capabilities(request)
        heard = self._incoming.headers
        unfit: dict[str, str] = {}
        while True:
            facts = Facts(
                request.model,
                needed,
                self._frontend.name,
                unfit,
                pin=heard.get(PIN_HEADER),
                mode=heard.get(MODE_HEADER),
                down=self._shared.health.down(self._shared.now()),
                shape=shape_of(request) if request.model in plan.smart_names else None,
            )
            decision = decide(facts, plan)
            self.record.decision = decision
            if decision.refusal is not None or decision.chosen is None:
                self._explain(request.model, needed, None)
                raise Refused(self._with_wait(decision))
            ready = self._ready(request, decision.chosen)
            if isinstance(ready, _Ready):
                break
            unfit[decision.chosen.backend] = ready
        self._explain(request.model, needed, ready.door.backend)
        self.told.stage("decide")
        return ready

    def _with_wait(self, decision: Decision) -> Failure:
        """The refusal; where all who could serve are down, with the time after which one may be asked again."""
        refusal = decision.refusal or failure("model_not_found", "No backend serves this model.")
        now = self._shared.now()
        down = self._shared.health.down(now)
        if refusal.kind != "overloaded" or not down:
            return refusal
        waits = [self._shared.health.wait(c.backend, now) for c in decision.considered if c.backend in down]
        return replace(refusal, retry_after=min(waits)) if waits else refusal

    def _ready(self, request: Request, candidate: Candidate) -> _Ready | str:
        """The candidate with its request encoded, or why it cannot take it."""
        door = self._doors[candidate.backend]
        target = door.target(candidate.model or request.model)
        self._strict = self._asks_strict or door.backend.strict
        decision = self.record.decision
        judged = decision is not None and decision.cascade and candidate != decision.chain[-1]
        # backends stream as SSE: a client that wants one array gets a converted stream; and of a relayed stream nobody
        # reads enough to judge it
        converts = self._wants_array(request) or (judged and request.stream)
        relay = None if converts else Relay.between(self._frontend, request, door.backend, target)
        if relay is not None:
            return _Ready(candidate, door, Sent({}, (), target), relay)
        try:
            sent = door.encode(request, target)
        except RecursionError:
            raise _too_deep_request() from None
        fatal = [loss for loss in sent.losses if self._is_fatal(loss)]
        if fatal:
            return "cannot take " + ", ".join(f"{loss.feature} ({loss.path})" for loss in fatal)
        return _Ready(candidate, door, sent, None)

    def _explain(self, model: str, needed: frozenset[str], chosen: Backend | None) -> None:
        """Say how the decision came about, if anybody listens."""
        if not log.isEnabledFor(logging.INFO):
            return
        decision = self.record.decision
        mapped = find_backend_for_model(model, self._config.plan)
        if mapped is not None:
            log.info("✓ Model '%s' mapped to backend '%s'", _printed(model), mapped.name)
            if lacks := missing_capabilities(mapped, needed):
                log.info("✗ Backend '%s' lacks required capabilities: %s", mapped.name, ", ".join(lacks))
        if chosen is not None and decision is not None and decision.mode in UNMAPPED:
            log.info("No mapping for %s, using %s", _printed(model), chosen.name)
        elif mapped is not chosen or chosen is None:
            log.info("%s %s", "✗" if chosen is None else "→", decision and decision.because)
        if chosen is None:
            return
        if lacks := missing_capabilities(chosen, needed):
            log.info("✗ Backend '%s' lacks required capabilities: %s", chosen.name, ", ".join(lacks))
        else:
            log.info("✓ Backend '%s' supports required capabilities", chosen.name)
        log.info("Routing %s to %s", _printed(model), chosen.name)

    def _wants_array(self, request: Request) -> bool:
        """Whether the stream goes out as one JSON array: Gemini's, without `alt=sse`."""
        where = self._incoming.where
        return request.stream and where.method is not None and where.alt != "sse"

    def _is_fatal(self, loss: Loss) -> bool:
        return self._strict or self._shared.actions[loss.feature] == "refuse"

    def _bear(self, losses: Iterable[Loss]) -> None:
        """Note an answer's losses; one that must not be is the end of this answer."""
        losses = list(losses)
        self.record.losses += losses
        fatal = [loss for loss in losses if self._is_fatal(loss)]
        if fatal:
            raise UpstreamError(_lost(fatal))

    # ---- attempts ----------------------------------------------------------------------------------------------------

    async def _in_time(self, ready: _Ready, asked: Asked, line: Line | None) -> Whole | None:
        """One attempt after the other, until one has said its first word or the time for that is over."""
        limit = self._config.settings.retry.deadline_s
        self._shared.budget.earn()
        try:
            async with asyncio.timeout(limit) as self._deadline:
                while True:
                    try:
                        return await self._attempt(ready, asked, line)
                    except UpstreamError as fault:
                        following = await self._following(fault, ready, asked.request)
                        if following is None:
                            raise
                        ready = following
        except TimeoutError:
            if not self._deadline.expired():
                raise
            last = self.record.attempts[-1]  # it was cut off by us, but for its silence
            last.outcome = "upstream_timeout"
            self._shared.health.failed(last.backend, last.outcome, hash(self._incoming.body), self._shared.now())
            text = f"No backend answered within {limit:g} s (retry.deadline_s)."
            raise UpstreamError(failure("upstream_timeout", text)) from None

    async def _attempt(self, ready: _Ready, asked: Asked, line: Line | None) -> Whole | None:
        """Ask one backend; raises UpstreamError where it failed before the client heard a word."""
        shared, door, relay = self._shared, ready.door, ready.relay
        name = door.backend.name
        if relay is None:
            self.record.losses = list(ready.sent.losses)
            body = wire.encode(ready.sent.payload)
        else:
            self.record.losses = []
            body = relay.request(self._incoming.body)
        attempt = Attempt(name, ready.sent.target.model, relayed=relay is not None)
        self.record.attempts.append(attempt)
        self.told.log("backend_request", body)
        if log.isEnabledFor(logging.INFO):
            log.info("%s Request: %s", _provider_title(door), _printed(ready.sent.target.model))
        self._key = door.key
        probes = shared.health.ask(name, shared.now())
        started = perf_counter()
        outcome = None
        try:
            if line is not None:
                await self._stream(ready, asked, body, line)
                whole = None
            else:
                whole = await self._unary(ready, asked, body)
            outcome = attempt.outcome
            return whole
        except UpstreamError as fault:
            outcome = attempt.outcome = fault.failure.kind
            self.told.log("backend_response", fault.failure)
            raise
        except RecursionError:
            outcome = attempt.outcome = "upstream_garbage"
            raise UpstreamError(_too_deep()) from None
        finally:
            attempt.ms = _ms(started)
            if outcome == "answered":
                shared.health.succeeded(name)
            elif outcome is not None:
                shared.health.failed(name, outcome, hash(self._incoming.body), shared.now())
            elif probes:
                shared.health.release(name)

    async def _following(self, fault: UpstreamError, ready: _Ready, request: Request) -> _Ready | None:
        """What is tried next, after the wait that it needs; None where the failure goes to the client."""
        shared, retry, attempts = self._shared, self._config.settings.retry, self.record.attempts
        broken, decision = fault.failure, self.record.decision
        if decision is None or len(attempts) >= retry.attempts:
            return None
        if broken.kind == "upstream_auth" and ready.door.next_key(self._key):
            return ready
        fails_over = decision.cascade or broken.kind in RETRIABLE
        fails_over = fails_over or (broken.kind in ABSENT and decision.mode not in UNLISTED)
        if not fails_over:
            return None
        now = shared.now()
        if broken.retry_after is not None:
            self._not_before[ready.candidate.backend] = now + broken.retry_after
        if (other := self._untried(request, decision)) is not None:
            # a cascade is no repair: the better model is a part of the plan
            if not decision.cascade and not shared.budget.spend(now):
                return None
            origin = "Local" if ready.door.backend.protocol in LOCAL else ready.door.backend.name
            log.warning("%s failed, falling back to %s: %s", origin, other.door.backend.name, broken.message)
            return other
        if broken.kind not in RETRIABLE:
            return None
        return await self._again(ready, request, decision)

    def _untried(self, request: Request, decision: Decision) -> _Ready | None:
        """The first of the chain that was not asked yet, is not down and can take the request."""
        tried = {(attempt.backend, attempt.model) for attempt in self.record.attempts}
        down = self._shared.health.down(self._shared.now())
        for candidate in decision.chain:
            asked = (candidate.backend, candidate.model or request.model)
            if asked not in tried and candidate.backend not in down:
                found = self._ready(request, candidate)
                if isinstance(found, _Ready):
                    return found
        return None

    async def _again(self, ready: _Ready, request: Request, decision: Decision) -> _Ready | None:
        """All were asked: the one that may be asked again first, after a wait."""
        shared, retry, attempts = self._shared, self._config.settings.retry, self.record.attempts
        now = shared.now()
        down = shared.health.down(now)
        up = [candidate for candidate in decision.chain if candidate.backend not in down]
        if not up:
            return None
        candidate = min(up, key=lambda each: self._not_before.get(each.backend, 0.0))
        found = ready if candidate == ready.candidate else self._ready(request, candidate)
        if isinstance(found, str):
            return None
        tried = sum(attempt.backend == candidate.backend for attempt in attempts) - 1
        wait = max(self._not_before.get(candidate.backend, 0.0) - now, 0.0)
        if wait > retry.max_wait_s or not shared.budget.spend(now):
            return None
        await asyncio.sleep(wait + backoff(retry, tried, random.random()))
        return found

    # ---- out, in one piece -------------------------------------------------------------------------------------------

    async def _unary(self, ready: _Ready, asked: Asked, body: bytes) -> Whole:
        door, sent, relay = ready.door, ready.sent, ready.relay
        reply, raw = await door.reply(sent, body, self._passed_up(door), self._new_id)
        self.told.log("backend_response", raw)
        self.told.stage("backend")
        if self._may_cascade(ready) and (why := unsure(reply)):
            raise UpstreamError(_unsure(why))
        if relay is not None:
            out = relay.reply(raw)
        else:
            answer, losses = self._frontend.encode_reply(reply, asked)
            self._bear(losses)
            out = wire.encode(answer)
        self._answered(door, sent)
        self.record.usage = reply.usage
        self._finished(door)
        self.told.stage("encode")
        self.told.log("client_response", out)
        return Whole(200, self.told.headers("application/json"), out)

    def _may_cascade(self, ready: _Ready) -> bool:
        """Whether a better model stands behind this one, so that its answer may be judged."""
        decision, retry = self.record.decision, self._config.settings.retry
        if decision is None or not decision.cascade or len(self.record.attempts) >= retry.attempts:
            return False
        return decision.chain[-1] != ready.candidate and decision.chain[-1].backend not in self._shared.health.down(
            self._shared.now()
        )

    def _passed_up(self, door: Door) -> dict[str, str]:
        """The client's headers that a backend of its own protocol gets, relayed or converted."""
        if door.backend.protocol != self._frontend.name:
            return {}
        return passed_up(self._incoming.headers, door.backend.betas)

    def _answered(self, door: Door, sent: Sent) -> None:
        """This attempt is the one that answers: from here on the record names it."""
        self.record.backend_used = door.backend.name
        self.record.model_used = sent.target.model

    def _finished(self, door: Door) -> None:
        """The answer is whole."""
        self.record.attempts[-1].outcome = "answered"
        self.record.status = 200
        self.record.outcome = "answered"
        if log.isEnabledFor(logging.INFO):
            log.info("%s Success: %s", _provider_title(door), _printed(self.record.model_used or ""))

    # ---- out, as a stream --------------------------------------------------------------------------------------------

    async def _stream(self, ready: _Ready, asked: Asked, body: bytes, line: Line) -> None:
        """Waiting, held open, committed: see the design's section 4. Before the last, every failure is raised."""
        door, relay = ready.door, ready.relay
        pieces = door.stream(ready.sent, body, self._passed_up(door), self._new_id, relayed=relay is not None)
        out = Out(relay, self._frontend, self._frontend.stream_encoder(asked))
        heard: list[bytes] = []
        source = _judged(pieces) if self._may_cascade(ready) else pieces
        try:
            await self._pump(source, out, ready, asked, line, heard if line.keeps else None)
        except RequestError as fault:
            if not line.committed:
                raise
            await self._break(line, asked, fault.failure, out)
        except RecursionError:
            if not line.committed:
                raise
            await self._break(line, asked, _too_deep(), out)
        except ClientGone:
            raise
        except Exception:
            if not line.committed:
                raise
            log.exception("request %s failed in the proxy itself", self.record.request_id)
            broken = failure("internal", "The proxy failed; its log names the cause.")
            await self._break(line, asked, broken, out)
        finally:
            if heard:
                self.told.log("backend_response", b"".join(heard))
            await pieces.aclose()

    async def _pump(
        self,
        pieces: AsyncIterator[Piece],
        out: Out,
        ready: _Ready,
        asked: Asked,
        line: Line,
        heard: list[bytes] | None,
    ) -> None:
        """Every piece to the client; raises UpstreamError where the answer breaks, whatever went out before."""
        waiting: list[Piece] = []  # handshakes: nothing goes out before the first word
        told = 0
        committed = finished = False
        async for piece in pieces:
            if heard is not None:
                heard.append(piece.raw)
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
                self.record.ttft_ms = self.told.ms()
                self._answered(ready.door, ready.sent)
                data = b"".join([out.piece(part) for part in waiting])
            fresh, told = out.losses[told:], len(out.losses)
            if fresh:
                self._bear(fresh)
            self._note_usage(piece)
            if not line.committed:
                line.committed = True
                self._deadline.reschedule(None)
                if not line.opened:
                    await line.open(self.told.headers(self._stream_type(asked)))
            if data:
                await line.write(data)
            if broken is not None:
                await self._break(line, asked, broken, None if not out.relayed else out, said=not out.relayed)
                return
            if not finished and any(type(event) is Finish for event in piece.events):
                finished = True
                self._finished(ready.door)
                if not out.relayed:
                    await line.end()
        if finished and out.relayed:  # a relay ends with the upstream's own last bytes
            await line.end()

    def _note_usage(self, piece: Piece) -> None:
        for event in piece.events:
            if isinstance(event, Start | Finish) and event.usage is not None:
                self.record.usage = (self.record.usage or Usage()).merge(event.usage)

    async def _break(
        self, line: Line, asked: Asked, broken: Failure, out: Out | None = None, *, said: bool = False
    ) -> None:
        """End with the error in band, then close without the last chunk: a broken stream never ends cleanly."""
        self.record.error = broken
        self.record.outcome = broken.kind
        self.record.status = 200
        if self.record.attempts:
            self.record.attempts[-1].outcome = broken.kind
        if not said:
            out = out or Out(None, self._frontend, self._frontend.stream_encoder(asked))
            await line.write(out.failure(broken))
        line.abort()

    def _stream_type(self, asked: Asked) -> str:
        return "application/json" if asked.array else self._frontend.stream_type


async def _judged(pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """A cheap model's stream, held back to its end; raises UpstreamError where it failed or is unsure."""
    held = [piece async for piece in pieces]
    answer = fold([event for piece in held for event in piece.events])
    if isinstance(answer, Failure):
        raise UpstreamError(answer)
    if why := unsure(answer):
        raise UpstreamError(_unsure(why))
    for piece in held:
        yield piece


def _unsure(why: str) -> Failure:
    return Failure("unsure", f"The cheap model's answer was not used: {why}.", 502, code="unsure")


def _lost(losses: list[Loss]) -> Failure:
    named = ", ".join(f"{loss.feature} ({loss.path})" for loss in losses)
    return Failure("loss", f"The answer cannot be told without a loss: {named}.", 502, code="loss")


def _too_deep() -> Failure:
    return failure("upstream_garbage", "The backend's answer is nested too deeply.")


def _too_deep_request() -> ClientError:
    return ClientError(failure("bad_request", "Invalid request: nested too deeply."))


def _provider_title(door: Door) -> str:
    provider = door.backend.provider
    return PROVIDER_TITLES.get(provider, provider.capitalize())


def _printed(model: str) -> str:
    """A name that a client typed, for one line of a log."""
    return model if model.isprintable() else repr(model)[1:-1]


def _ms(since: float) -> float:
    return (perf_counter() - since) * 1000
