"""One request around the chat: decide, ask one backend after the other, answer in one piece.

It knows the plan and the backends, and no endpoint's words: counts, embeddings and forwards bring theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from . import wire
from .backends.door import Door
from .backends.http import HttpBackend, passed_up
from .errors import ClientError, Malformed, Refused, RequestError, UpstreamError, failure
from .gateway import Gateway
from .health import RETRIABLE
from .ir import Failure, Loss
from .protocols.contract import Protocol, Target, Where
from .record import Attempt
from .routing import Candidate, Decision, Facts, Plan, decide
from .told import Told, Whole
from .way import MODE_HEADER, PIN_HEADER, STRICT_HEADER

log = logging.getLogger("crosswire")

T = TypeVar("T")

ESTIMATE = "x-crosswire-estimate"
"""The header, `1`, of an answer whose tokens nobody counted."""


class Asking(Struct, frozen=True):
    """A request as it came: `query` are the address's fields, `where` what stands in its path, a model or an id and
    what is asked of it."""

    frontend: Protocol
    method: str
    where: Where
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes = b""

    def field(self, name: str) -> str | None:
        """The last value of a field of the address."""
        return next((value for key, value in reversed(self.query) if key == name), None)


class Job(Struct, Generic[T], frozen=True):
    """What one backend is asked, and how its answer is read; without a path nobody is asked.

    `read` raises Malformed where the answer is not what it must be. `otherwise` is the answer where the backend has no
    such address.
    """

    read: Callable[[bytes], T]
    path: str | None = None
    body: bytes | None = None
    method: str = "POST"
    losses: tuple[Loss, ...] = ()
    relayed: bool = False
    otherwise: Callable[[], T] | None = None


Prepare: TypeAlias = Callable[[Door, Target], "Job[T] | str"]
"""The job for this backend, or why it cannot have it."""

NONE_SUCH = ("not_found", "model_not_found")
"""Kinds by which a backend says that it does not have what it is asked about."""

ABSENT = (*NONE_SUCH, "upstream_error")
"""Kinds by which a backend may say that it has no such address; 405 and 501 are among the last."""


class Errand:
    """One request's way; the record, the headers and the counters are those of any request."""

    def __init__(self, gateway: Gateway, asking: Asking, what: str) -> None:
        self._gateway = gateway
        self._config = gateway.config
        self._doors = gateway.doors
        self.asking = asking
        self._strict = asking.headers.get(STRICT_HEADER) == "1"
        self.told = Told(gateway, asking.frontend, gateway.ids()("req_"))
        self.record = self.told.record
        self.record.what = what

    @property
    def plan(self) -> Plan:
        """The plan that was there when the request came."""
        return self._config.plan

    async def run(self, work: Callable[[Errand], Awaitable[Whole]]) -> Whole:
        """The answer of this work, or its failure in the client's shape; the record is closed behind it."""
        gateway = self._gateway
        gateway.metrics.in_flight += 1
        gateway.idle.clear()
        try:
            if gateway.draining:
                return self.told.refuse(failure("draining", "The proxy is shutting down; try again elsewhere."))
            async with asyncio.timeout(self._config.settings.retry.deadline_s) as deadline:
                return await work(self)
        except RequestError as fault:
            return self.told.refuse(fault.failure)
        except TimeoutError:
            if not deadline.expired():
                raise
            for last in self.record.attempts[-1:]:  # it was cut off by us, but for its silence
                last.outcome = "upstream_timeout"
                gateway.health.failed(last.backend, last.outcome, hash(self.asking.body), gateway.now())
            limit = self._config.settings.retry.deadline_s
            text = f"No backend answered within {limit:g} s (retry.deadline_s)."
            return self.told.refuse(failure("upstream_timeout", text))
        except RecursionError:
            return self.told.refuse(failure("bad_request", "Invalid request: nested too deeply."))
        except Exception:
            # the last wall, as the gateway has one
            log.exception("request %s failed in the proxy itself", self.record.request_id)
            return self.told.refuse(failure("internal", "The proxy failed; its log names the cause."))
        finally:
            gateway.metrics.in_flight -= 1
            self.told.close()
            gateway.close_retired()
            if not gateway.metrics.in_flight:
                gateway.idle.set()

    # ---- in and out --------------------------------------------------------------------------------------------------

    def understood(self, decode: Callable[[dict[str, Any]], T]) -> T:
        """The body as this decoder understands it; raises ClientError where it does not."""
        try:
            found = decode(wire.parse_object(self.asking.body))
        except Malformed as fault:
            raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
        self.told.log("client_request", self.asking.body)
        self.told.stage("decode")
        return found

    def answer(self, body: bytes, *, is_estimate: bool = False) -> Whole:
        """The answer, with the headers of any answer; ESTIMATE says that its tokens were counted by nobody."""
        self.record.status, self.record.outcome = 200, "answered"
        self.told.stage("encode")
        self.told.log("client_response", body)
        marks = {ESTIMATE: "1"} if is_estimate else {}
        return Whole(200, self.told.headers("application/json") | marks, body)

    # ---- who is asked ------------------------------------------------------------------------------------------------

    async def ask(self, model: str, needed: frozenset[str], prepare: Prepare[T]) -> T:
        """What the first backend that can says to its job; raises Refused, or UpstreamError where all failed."""
        self.record.model = model
        decision, candidate, job = self._choose(model, needed, prepare)
        self.told.stage("decide")
        self._gateway.budget.earn()
        tried: list[Candidate] = []
        while True:
            tried.append(candidate)
            try:
                return await self._attempt(candidate, job, model)
            except UpstreamError as fault:
                following = self._following(fault.failure, decision, tried, prepare, model)
                if following is None:
                    raise
                candidate, job = following

    async def ask_in_turn(self, names: Iterable[str], job: Job[T]) -> T:
        """What the first of these backends says that knows what it is asked about.

        Raises the first failure that is no plain "I have none": it may be the one who has it that failed.
        """
        worst: UpstreamError | None = None
        for name in names:
            try:
                return await self._attempt(Candidate(name, None, True, ""), job, "")
            except UpstreamError as fault:
                if worst is None or worst.failure.kind in NONE_SUCH:
                    worst = fault
        assert worst is not None  # noqa: S101 - whoever calls names at least one
        raise worst

    def _choose(self, model: str, needed: frozenset[str], prepare: Prepare[T]) -> tuple[Decision, Candidate, Job[T]]:
        """Decide, prepare, and decide again without the candidates that cannot have the job."""
        gateway, heard = self._gateway, self.asking.headers
        unfit: dict[str, str] = {}
        while True:
            facts = Facts(
                model,
                needed,
                self.asking.frontend.name,
                unfit,
                pin=heard.get(PIN_HEADER),
                mode=heard.get(MODE_HEADER),
                down=gateway.health.down(gateway.now()),
            )
            decision = decide(facts, self._config.plan)
            self.record.decision = decision
            if decision.refusal is not None or decision.chosen is None:
                raise Refused(decision.refusal or failure("model_not_found", "No backend serves this model."))
            job = self._prepared(decision.chosen, prepare, model)
            if not isinstance(job, str):
                return decision, decision.chosen, job
            unfit[decision.chosen.backend] = job

    def _prepared(self, candidate: Candidate, prepare: Prepare[T], model: str) -> Job[T] | str:
        door = self._doors[candidate.backend]
        job = prepare(door, door.target(candidate.model or model))
        if isinstance(job, str):
            return job
        fatal = self._fatal(job.losses, strict=self._strict or door.backend.strict)
        return f"cannot take {fatal}" if fatal else job

    def _fatal(self, losses: Iterable[Loss], *, strict: bool) -> str:
        actions = self._gateway.actions
        return ", ".join(
            f"{loss.feature} ({loss.path})" for loss in losses if strict or actions[loss.feature] == "refuse"
        )

    def _following(
        self, broken: Failure, decision: Decision, tried: list[Candidate], prepare: Prepare[T], model: str
    ) -> tuple[Candidate, Job[T]] | None:
        """Who is asked next, another key of the same backend or the next of the chain; None where nobody is."""
        gateway, last = self._gateway, tried[-1]
        if len(self.record.attempts) >= self._config.settings.retry.attempts:
            return None
        if broken.kind == "upstream_auth" and self._doors[last.backend].next_key(self._key):
            job = self._prepared(last, prepare, model)
            return None if isinstance(job, str) else (last, job)
        if broken.kind not in RETRIABLE:
            return None
        down = gateway.health.down(gateway.now())
        for candidate in decision.chain:
            if candidate not in tried and candidate.backend not in down:
                job = self._prepared(candidate, prepare, model)
                if not isinstance(job, str):
                    return (candidate, job) if gateway.budget.spend(gateway.now()) else None
        return None

    # ---- one attempt -------------------------------------------------------------------------------------------------

    async def _attempt(self, candidate: Candidate, job: Job[T], model: str) -> T:
        record, health, name = self.record, self._gateway.health, candidate.backend
        record.losses = list(job.losses)
        door = self._doors[name]
        if job.path is None or not isinstance(door, HttpBackend):
            record.backend_used, record.model_used = name, candidate.model or model
            return job.read(b"")
        attempt = Attempt(name, candidate.model or model, relayed=job.relayed)
        record.attempts.append(attempt)
        self.told.log("backend_request", job.body or b"")
        self._key = door.key
        probes = health.ask(name, self._gateway.now())
        started = perf_counter()
        outcome, lacks = None, False
        own = door.backend.protocol == self.asking.frontend.name
        try:
            headers = passed_up(self.asking.headers, door.backend.betas) if own else {}
            raw = await door.send(job.method, job.path, job.body, headers)
            self.told.log("backend_response", raw)
            self.told.stage("backend")
            found = job.read(raw)
            outcome = "answered"
        except UpstreamError as fault:
            outcome = fault.failure.kind
            self.told.log("backend_response", fault.failure)
            if job.otherwise is None or outcome not in ABSENT:
                raise
            found, lacks = job.otherwise(), True
        except (Malformed, RecursionError):
            outcome = "upstream_garbage"
            text = f"Backend '{name}' sent what is no answer to this request."
            raise UpstreamError(Failure(outcome, text, 502, code=outcome)) from None
        finally:
            attempt.ms = (perf_counter() - started) * 1000
            attempt.outcome = outcome or "aborted"
            if outcome == "answered":
                health.succeeded(name)
            elif outcome is not None and not lacks:  # the want of an address says nothing of the chat
                health.failed(name, outcome, hash(self.asking.body), self._gateway.now())
            elif probes:
                health.release(name)
        record.backend_used, record.model_used = name, candidate.model or model or None
        return found
