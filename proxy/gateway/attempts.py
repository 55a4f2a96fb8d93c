"""Calls backends one after the other until one answers: retries, failover, waits, keys, breakers and the deadline.

Every kind of request goes through it: chats, streams, counts, embeddings, compaction and stored responses.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from ..backends.backend import Backend
from ..errors import UpstreamError, failure
from ..ir import Failure, Loss
from ..observability.request_record import Attempt
from ..resilience.retry import RETRIABLE, backoff
from ..routing import Candidate, Decision
from .candidate_selection import PrepareCall
from .context import RequestContext
from .decision_log import log_attempt

log = logging.getLogger("crosswire")

MISSING = ("not_found", "model_not_found")
"""Kinds by which a backend says that it has no such model, response or endpoint."""

CHOSEN_BY_CAPABILITY = ("explicit", "auto", "capability")
"""Modes whose chain was chosen by capability; a 404 from one backend does not fail over."""


class PreparedCall(Struct, frozen=True, kw_only=True):
    """A request encoded for one candidate's backend.

    `is_local` where the proxy answers by itself, so that calling is no attempt. `fallback` makes the answer where the
    backend has no such endpoint.
    """

    candidate: Candidate
    backend: Backend
    model: str
    body: bytes
    losses: tuple[Loss, ...] = ()
    relayed: bool = False
    is_local: bool = False
    fallback: Callable[[], Any] | None = None


C = TypeVar("C", bound=PreparedCall)
R = TypeVar("R")

Call: TypeAlias = "Callable[[C, Attempt, AttemptLoop[C, R]], Awaitable[R]]"
"""Calls the backend once. Sets the attempt's outcome to `answered`, or to a kind of failure where the answer broke
after it had begun; raises UpstreamError where it failed before, so that another backend may be called."""


class FailoverChain(Struct, frozen=True):
    """The candidates of one request in the order in which they are called.

    `missing_moves_on`: a backend that says that it has no such model is followed by the next. `cascade`: any failure
    and any poor answer of a candidate is followed by the next. `lookup`: each backend is asked for something that one
    of them keeps; asking the next is neither a retry nor a failover.
    """

    candidates: tuple[Candidate, ...]
    missing_moves_on: bool = False
    cascade: bool = False
    lookup: bool = False

    @staticmethod
    def of(decision: Decision) -> FailoverChain:
        return FailoverChain(decision.chain, decision.mode not in CHOSEN_BY_CAPABILITY, decision.cascade)


class AttemptLoop(Generic[C, R]):
    """Calls one backend after the other for one request; the only code that touches breakers, budget and keys.

    `fingerprint` identifies the request's content, so that one request which breaks every backend opens no breaker.
    """

    def __init__(
        self,
        context: RequestContext,
        chain: FailoverChain,
        prepare: PrepareCall[C],
        call: Call[C, R],
        fingerprint: int,
    ) -> None:
        self._context = context
        self._runtime = context.runtime
        self._retry = context.config.settings.retry
        self._chain = chain
        self._prepare = prepare
        self._call = call
        self._fingerprint = fingerprint
        self._not_before: dict[str, float] = {}
        """Until when each backend asked to be left alone."""
        self._missing: set[Candidate] = set()
        """The candidates that do not have what is asked for."""
        self._key = 0
        """The backend's key that the last attempt used."""
        self._deadline: asyncio.Timeout | None = None

    async def run(self, first: C) -> R:
        """Returns the first answer. Raises the failure that the client gets, where no candidate answers in time."""
        limit = self._retry.deadline_s
        self._context.mark_stage("decide")
        self._runtime.retry_budget.earn()
        call, worst = first, None
        try:
            async with asyncio.timeout(limit) as deadline:
                self._deadline = deadline
                while True:
                    try:
                        return await self.attempt(call)
                    except UpstreamError as error:
                        worst = _worse(worst, error)
                        following = await self.next_attempt(error.failure, call)
                        if following is None:
                            break
                        call = following
        except TimeoutError:
            if not deadline.expired():
                raise
            self._cut_off_last_attempt()
            text = f"No backend answered within {limit:g} s (retry.deadline_s)."
            raise UpstreamError(failure("upstream_timeout", text)) from None
        if call.fallback is not None and worst.failure.kind == "upstream_error":
            return self._fall_back(call)  # some hosts answer 500 at an endpoint that they do not have
        raise worst from None

    def commit(self) -> None:
        """The answer has begun: the deadline no longer applies."""
        if self._deadline is not None:
            self._deadline.reschedule(None)

    def may_escalate(self, call: C) -> bool:
        """Whether a better model follows this one in a cascade, so that a poor answer may be dropped."""
        chain = self._chain
        if not chain.cascade or len(self._context.record.attempts) >= self._retry.attempts:
            return False
        best = chain.candidates[-1]
        return best != call.candidate and best.backend not in self._open_breakers()

    # ---- one attempt -------------------------------------------------------------------------------------------------

    async def attempt(self, call: C) -> R:
        """Calls one backend; raises UpstreamError where it failed before the answer began."""
        context, breakers, name = self._context, self._runtime.breakers, call.candidate.backend
        if call.is_local:
            context.record.losses = list(call.losses)
            return await self._call(call, Attempt(name, call.model), self)
        if log.isEnabledFor(logging.INFO):
            log_attempt(call.backend.config, call.model)
        attempt = context.attempt_started(name, call.model, call.body, call.losses, relayed=call.relayed)
        self._key = call.backend.key
        is_probe = breakers.begin(name, self._runtime.now())
        started = perf_counter()
        outcome = None
        try:
            answer = await self._call(call, attempt, self)
            outcome = attempt.outcome
            return answer
        except UpstreamError as error:
            kind = attempt.outcome = error.failure.kind
            context.log_body("backend_response", error.failure)
            if call.fallback is not None and self._lacks_endpoint(kind):
                return self._fall_back(call)  # no outcome: the want of an endpoint says nothing of the backend's health
            outcome = kind
            raise
        except RecursionError:
            outcome = attempt.outcome = "upstream_garbage"
            raise UpstreamError(too_deep()) from None
        finally:
            attempt.ms = (perf_counter() - started) * 1000
            if outcome == "answered":
                breakers.succeeded(name)
            elif outcome is not None:
                breakers.failed(name, outcome, self._fingerprint, self._runtime.now())
            elif is_probe:
                breakers.abandon(name)

    def _fall_back(self, call: C) -> R:
        assert call.fallback is not None  # noqa: S101 - both callers looked
        self._context.answered_by(call.candidate.backend, call.model)
        answer: R = call.fallback()
        return answer

    def _lacks_endpoint(self, kind: str) -> bool:
        """Whether this failure is the want of an endpoint, not of a model that the chain's next candidate may have."""
        if kind not in MISSING:
            return False
        return not (kind == "model_not_found" and self._chain.missing_moves_on and self.next_candidate() is not None)

    def _cut_off_last_attempt(self) -> None:
        """The deadline ended the attempt under way: its backend was silent for too long."""
        for attempt in self._context.record.attempts[-1:]:
            if attempt.outcome == "aborted":
                attempt.outcome = "upstream_timeout"
                self._runtime.breakers.failed(attempt.backend, attempt.outcome, self._fingerprint, self._runtime.now())

    # ---- what follows a failure --------------------------------------------------------------------------------------

    async def next_attempt(self, failure: Failure, call: C) -> C | None:
        """The next call, after the wait that it needs; None where the failure goes to the client."""
        chain, kind = self._chain, failure.kind
        exhausted = self._attempts_left() <= 0
        if exhausted and not chain.lookup:
            return None
        if kind == "upstream_auth" and not exhausted and call.backend.next_key(self._key):
            return call
        missing = kind in MISSING
        if missing:
            self._missing.add(call.candidate)
        retriable = kind in RETRIABLE or (missing and self._may_retry_another())
        if not (retriable or chain.cascade or (missing and chain.missing_moves_on) or chain.lookup):
            return None
        now = self._runtime.now()
        if failure.retry_after is not None:
            self._not_before[call.candidate.backend] = now + failure.retry_after
        if (other := self.next_candidate()) is not None:
            if not (chain.cascade or chain.lookup):  # there the next candidate is a part of the plan, no repair
                if not self._runtime.retry_budget.spend(now):
                    return None
                origin = "Local" if call.backend.config.local else call.backend.config.name
                log.warning("%s failed, falling back to %s: %s", origin, other.candidate.backend, failure.message)
            return other
        return await self.retry_after_backoff(call) if retriable and not exhausted else None

    def next_candidate(self) -> C | None:
        """The first candidate that was not called yet, whose breaker is closed, and that can take the request."""
        record = self._context.record
        called = {(attempt.backend, attempt.model) for attempt in record.attempts}
        down = self._open_breakers()
        for candidate in self._chain.candidates:
            if candidate.backend in down or (candidate.backend, candidate.model or record.model or "") in called:
                continue
            prepared = self._prepare(candidate)
            if not isinstance(prepared, str):
                return prepared
        return None

    async def retry_after_backoff(self, call: C) -> C | None:
        """Every candidate was called: the one that may be called again first, once its wait is over."""
        now, retry, down = self._runtime.now(), self._retry, self._open_breakers()
        again = [c for c in self._chain.candidates if c.backend not in down and c not in self._missing]
        if not again:
            return None
        candidate = min(again, key=lambda each: self._not_before.get(each.backend, 0.0))
        prepared = call if candidate == call.candidate else self._prepare(candidate)
        if isinstance(prepared, str):
            return None
        attempts = self._context.record.attempts
        repeats = sum(attempt.backend == candidate.backend for attempt in attempts) - 1
        wait = max(self._not_before.get(candidate.backend, 0.0) - now, 0.0)
        if wait > retry.max_wait_s or not self._runtime.retry_budget.spend(now):
            return None
        await asyncio.sleep(wait + backoff(retry, repeats, random.random()))
        return prepared

    def _attempts_left(self) -> int:
        """The first calls of a lookup's backends count as one."""
        attempts = self._context.record.attempts
        made = len(attempts)
        if self._chain.lookup:
            made -= len({attempt.backend for attempt in attempts}) - 1
        return self._retry.attempts - made

    def _may_retry_another(self) -> bool:
        """Whether an earlier attempt failed in a way that a later one may not."""
        return any(attempt.outcome in RETRIABLE for attempt in self._context.record.attempts)

    def _open_breakers(self) -> Mapping[str, str]:
        return self._runtime.breakers.open_reasons(self._runtime.now())


def _worse(before: UpstreamError | None, error: UpstreamError) -> UpstreamError:
    """The failure that says more: a backend that does not have what is asked for says less than one that failed."""
    if before is None or before.failure.kind in MISSING or error.failure.kind not in MISSING:
        return error
    return before


def too_deep() -> Failure:
    """The failure for an answer that nests more deeply than the interpreter can follow."""
    return failure("upstream_garbage", "The backend's answer is nested too deeply.")
