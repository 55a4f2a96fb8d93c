"""Calls backends one after the other until one answers: retries, failover, waits, keys, breakers and the deadline.

Every kind of request goes through it: chats, streams, counts, embeddings, compaction and stored responses. The rules
are the table of `resilience.policy`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import cached_property
from time import perf_counter
from typing import Generic, TypeAlias, TypeVar

from msgspec.structs import replace

from ..backends.deadlines import Deadline
from ..balance.strategy import Hedge
from ..errors import RequestError, UpstreamError, failure, upstream_failure
from ..ir import Failure
from ..observability.request_record import Attempt
from ..resilience.policy import RETRIABLE, rule_of
from ..resilience.retry import backoff
from ..resilience.rounds import Rank, Rounds
from ..routing import Candidate
from .admission import Ticket
from .attempt_failures import MISSING, too_deep, worse
from .context import RETRY_AFTER_S, RequestContext
from .decision_log import log_attempt
from .failover_chain import FailoverChain, PrepareCall, PreparedCall
from .hedged_call import Race
from .hints import tell_cooling
from .key_change import change_key
from .runtime import FULL
from .side_effects import effect_of
from .url_media import Unfetched

log = logging.getLogger("crosswire")

C = TypeVar("C", bound=PreparedCall)
R = TypeVar("R")

Call: TypeAlias = "Callable[[C, Attempt, AttemptLoop[C, R]], Awaitable[R]]"
"""Calls the backend once. Sets the attempt's outcome to `answered`, or to a kind of failure where the answer broke
after it had begun; raises UpstreamError where it failed before, so that another backend may be called."""

_SOON_S = 0.001
"""Seconds that are not waited for: a timer may be early by less."""

_Key: TypeAlias = tuple[str, str | None]
"""A candidate's backend and model."""


class AttemptLoop(Generic[C, R]):
    """Calls one backend after the other for one request; the only code that touches breakers, budgets and keys.

    `content` is the request's, so that one request which breaks every backend opens no breaker.
    `fetch` gets what a candidate needs before it can take the request.
    """

    def __init__(
        self,
        context: RequestContext,
        chain: FailoverChain,
        prepare: PrepareCall[C],
        call: Call[C, R],
        content: bytes,
        fetch: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._context = context
        self._runtime = context.runtime
        self._retry = context.config.settings.retry
        self._chain = chain
        self._prepare = prepare
        self._call = call
        self._content = content
        self._fetch = fetch
        self._begun_rounds: Rounds[_Key] | None = None
        """The rounds of calls, once a failure made them matter."""
        self._key = 0
        """The backend's key that the last attempt used."""
        self._refused_keys: dict[str, set[int]] = {}
        """The keys of each backend that were refused."""
        self._free: set[_Key] = set()
        """The candidates that were not reached for a reason of our own, so that repeats cost nothing."""
        self._ticket: Ticket | None = None
        """The admitted call that has not begun."""
        self._running: Ticket | None = None
        """The call under way."""
        self._bound: str | None = None
        """The field by which the request is bound to one backend, once a failure made that matter."""
        self._deadline: Deadline | None = None
        self.race: Race[C, R] | None = None
        """The two calls of a hedged request, if this loop makes one of them."""
        self.attempt_under_way: Attempt | None = None
        """The last attempt that began."""
        self._began = 0.0
        """The time at which it began, by the stopwatch, at a backend that is timed."""

    async def run(self, first: C) -> R:
        """Returns the first answer. Raises the failure that the client gets, where no candidate answers in time."""
        self._context.mark_stage("decide")
        call: C | None = first
        last, worst = first, None
        try:
            with Deadline(self._runtime.deadlines) as deadline:
                self._deadline = deadline
                if not first.is_local and not (self._runtime.breakers.quiet and self._has_room(first.candidate)):
                    call, worst = await self.next_attempt(worst, first)
                while call is not None:
                    last = call
                    if self._runtime.limited and not await self._is_within_limits(call):
                        worst = worst or UpstreamError(self._full(call.candidate))
                        call, worst = await self.next_attempt(worst, call)
                        continue
                    try:
                        if (hedge := self._chain.hedge) is not None and not self._context.record.attempts:
                            return await self._hedged(call, hedge)
                        return await self.attempt(call)
                    except UpstreamError as error:
                        worst = worse(worst, error)
                        if self._key_was_changed(error.failure, call):
                            continue
                        if (again := self._in_another_protocol(error.failure, call)) is not None:
                            call = again
                            continue
                        if not self._goes_on(error, call):
                            break
                        call, worst = await self.next_attempt(worst, call)
        except TimeoutError:
            if not deadline.has_expired:
                raise
            self._cut_off_last_attempt()
            text = f"No backend answered within {self._retry.deadline_s:g} s (retry.deadline_s)."
            raise UpstreamError(failure("upstream_timeout", text)) from None
        assert worst is not None  # noqa: S101 - without a failure there is a next candidate
        if last.fallback is not None and worst.failure.kind == "upstream_error":
            return self._fall_back(last)  # some hosts answer 500 at an endpoint that they do not have
        raise self._final(worst) from None

    def commit(self) -> None:
        """The answer has begun: the deadline no longer applies."""
        if self._deadline is not None:
            self._deadline.lift()
        if self._running is not None:
            self._proven(self._running)
            if self._running.backend in self._runtime.watched and self.attempt_under_way is not None:
                self._measured(self.attempt_under_way)

    def may_escalate(self, call: C) -> bool:
        """Returns whether a better model follows this one in a cascade, so that a poor answer may be dropped."""
        chain = self._chain
        if not chain.cascade:
            return False
        best = chain.candidates[-1]
        return best != call.candidate and best.backend not in self._runtime.health().unavailable

    @property
    def key(self) -> int:
        """The backend's key that the last attempt used."""
        return self._key

    @cached_property
    def _candidates(self) -> dict[_Key, Candidate]:
        return {(each.backend, each.model): each for each in self._chain.candidates}

    @property
    def _rounds(self) -> Rounds[_Key]:
        if self._begun_rounds is None:
            self._begun_rounds = Rounds(tuple(self._candidates), self._retry.attempts)
        return self._begun_rounds

    # ---- one attempt -------------------------------------------------------------------------------------------------

    async def attempt(self, call: C) -> R:
        """Calls one backend; raises UpstreamError where it failed before the answer began."""
        context, runtime, name = self._context, self._runtime, call.candidate.backend
        if call.is_local:
            context.record.losses = list(call.losses)
            return await self._call(call, Attempt(name, call.model), self)
        if log.isEnabledFor(logging.INFO):
            log_attempt(call.backend.config, call.model)
        attempt = context.attempt_started(name, call.model, call.body, call.losses, call.added, relayed=call.relayed)
        if context.backends[name].others:
            attempt.protocol = call.backend.config.protocol
        now = runtime.now()
        ticket, self._ticket = self._ticket or Ticket(name, now), None
        self._running = ticket
        is_probe = runtime.breakers.begin(name, now)
        if self._begun_rounds is None or not self._begun_rounds.tries(_key(call.candidate)):
            runtime.retry_budget.earn(name)
        ring = call.backend.ring if name in runtime.keyed else None
        if ring is not None:
            call.backend.use_key(ring.take(now, runtime.dice, self._chain.subject))
        self._key = key = call.backend.key
        self.attempt_under_way = attempt
        if name in runtime.watched:
            self._began = runtime.stopwatch()
        started = perf_counter()
        failed = None
        outcome = None
        was_sent = True
        try:
            answer = await self._call(call, attempt, self)
            outcome = attempt.outcome
            return answer
        except UpstreamError as error:
            kind = attempt.outcome = error.failure.kind
            context.log_body("backend_response", error.failure)
            if call.fallback is not None and self._lacks_endpoint(kind, call):
                return self._fall_back(call)  # no outcome: the want of an endpoint says nothing of the backend's health
            outcome, failed, was_sent = kind, error.failure, error.was_sent
            raise
        except RecursionError:
            outcome = attempt.outcome = "upstream_garbage"
            raise UpstreamError(too_deep()) from None
        finally:
            attempt.ms = (perf_counter() - started) * 1000
            self._running = None
            if outcome == "answered":
                self._proven(ticket)
                runtime.breakers.succeeded(name)
            elif outcome is not None:
                runtime.breakers.failed(name, outcome, hash(self._content), runtime.now(), was_sent=was_sent)
                told = failed or context.record.error
                if told is not None and told.kind == outcome and not self._chain.lookup:
                    runtime.failures.note(call.backend.config, told)
            if ring is not None:
                ring.give_back(key)
            if name in runtime.watched:
                self._judge(attempt, outcome)
            if is_probe:
                runtime.breakers.abandon(name)  # where the outcome neither closed nor opened the breaker
            runtime.admission.leave(ticket, failed)
            if name in runtime.queues:
                runtime.places.freed(name)

    def _proven(self, ticket: Ticket) -> None:
        """The backend answers: whoever waits for it may call it, and those that failed before it were at fault."""
        runtime = self._runtime
        runtime.admission.answering(ticket)
        if runtime.breakers.quiet:
            return
        now = runtime.now()
        runtime.breakers.answering(ticket.backend, now)
        for attempt in self._context.record.attempts[:-1]:
            if attempt.backend != ticket.backend and rule_of(attempt.outcome).evidence in ("each", "once"):
                runtime.breakers.confirmed(attempt.backend, hash(self._content), now)

    def _judge(self, attempt: Attempt, outcome: str | None) -> None:
        """An attempt at a backend that is timed is over; a stream was measured when it began to answer."""
        if outcome == "answered":
            if not self._context.record.stream:
                self._measured(attempt)
        elif outcome is not None and (rule_of(outcome).again or rule_of(outcome).next_key):
            self._measured(attempt, failed=True)

    def _measured(self, attempt: Attempt, *, failed: bool = False) -> None:
        """Notes the time from the beginning of this attempt until now."""
        runtime, target = self._runtime, (attempt.backend, attempt.model, self._context.record.stream)
        note = runtime.beliefs.failed if failed else runtime.beliefs.answered
        note(target, (runtime.stopwatch() - self._began) * 1000, runtime.now())

    # ---- a second call where the first is late -----------------------------------------------------------------------

    async def _hedged(self, call: C, hedge: Hedge) -> R:
        """Calls a backend, and another one too if that is late; raises the failure of the first where both fail."""
        race = Race(self._context, hedge, self._racer, self._second_call)
        try:
            return await race.run(call)
        except UpstreamError:
            if race.second_failure is not None and race.second is not None:
                self._goes_on(race.second_failure, race.second)
            raise
        finally:
            self._key = race.first_key

    def _racer(self, call: C, race: Race[C, R]) -> AttemptLoop[C, R]:
        """A loop for one of the two calls, with what the first of them holds."""
        chain = replace(self._chain, candidates=(call.candidate,), balance=None)
        racer = AttemptLoop(self._context, chain, self._prepare, self._call, self._content, self._fetch)
        racer.race, racer._deadline = race, self._deadline
        racer._ticket, self._ticket = self._ticket, None
        return racer

    def _second_call(self, first: C) -> C | None:
        """The call of the next candidate that is up, at another backend; None where there is none, or it may not be."""
        if self._chain.state() or effect_of(first.body, first.backend.config.protocol):
            return None
        for candidate in self._chain.candidates:
            if candidate.backend == first.candidate.backend or self._rank(_key(candidate))[0]:
                continue
            prepared = self._prepare(candidate) if self._has_room(candidate) else FULL
            if not isinstance(prepared, str) and not prepared.is_local:
                return None if effect_of(prepared.body, prepared.backend.config.protocol) else prepared
        return None

    def _fall_back(self, call: C) -> R:
        assert call.fallback is not None  # noqa: S101 - both callers looked
        self._context.answered_by(call.candidate.backend, call.model)
        answer: R = call.fallback()
        return answer

    def _lacks_endpoint(self, kind: str, call: C) -> bool:
        """Returns whether the backend lacks the endpoint, not just a model that the chain's next candidate may have."""
        if kind not in MISSING:
            return False
        if kind != "model_not_found" or not self._chain.missing_moves_on:
            return True
        others = (each for each in self._rounds.remaining() if each != _key(call.candidate))
        return all(isinstance(self._prepare(self._candidates[each]), str) for each in others)

    def _cut_off_last_attempt(self) -> None:
        """The deadline ended the attempt under way: its backend was silent for too long."""
        for attempt in self._context.record.attempts:  # two of a hedged request may be under way
            if attempt.outcome == "aborted":
                attempt.outcome = "upstream_timeout"
                silent, runtime = upstream_failure(504), self._runtime
                runtime.failures.note(self._context.backends[attempt.backend].config, silent)
                runtime.breakers.failed(attempt.backend, attempt.outcome, hash(self._content), runtime.now())

    # ---- what follows a failure --------------------------------------------------------------------------------------

    def _key_was_changed(self, failed: Failure, call: C) -> bool:
        """Switches to the backend's next key after this failure; returns whether the call is sent again with it."""
        if not rule_of(failed.kind).next_key or self._is_bound(failed):
            return False
        refused = self._refused_keys.setdefault(call.candidate.backend, set())
        refused.add(self._key)
        return change_key(self._runtime, call.backend, self._key, refused, failed)

    def _in_another_protocol(self, failed: Failure, call: C) -> C | None:
        """The same call in another protocol, where the backend turned out to have no address for this one; else None.

        A request that refers to what the backend keeps may be missing that, and not the address.
        """
        primary = self._context.backends[call.candidate.backend]
        if failed.kind != "not_found" or not primary.others or self._chain.state():
            return None
        lacking, now = self._runtime.lacking, self._runtime.now()
        config = call.backend.config
        if lacking.has(config, now):
            return None
        lacking.note(config, now)
        again = self._prepare(call.candidate)
        if isinstance(again, str) or again.backend is call.backend:
            return None
        log.warning(
            "backend '%s' has no address for %s; it is asked by %s from now on",
            config.name,
            config.protocol,
            again.backend.config.protocol,
        )
        return again

    def _goes_on(self, error: UpstreamError, call: C) -> bool:
        """Returns whether another attempt follows this failure; drops the candidates that cannot serve the request."""
        chain, rounds, kind, key = self._chain, self._rounds, error.failure.kind, _key(call.candidate)
        rule = rule_of(kind)
        if self._is_bound(error.failure):
            rounds.keep_only(key)
            if not rule.again or (error.was_sent and not rule.refused):
                return False
        if rule.again:
            self._failed(key, error.failure)
            return True
        rounds.drop(key)
        if kind in MISSING:
            # an earlier attempt may have failed in a way that a later one does not
            attempts = self._context.record.attempts
            return (
                chain.missing_moves_on or chain.cascade or chain.lookup or any(a.outcome in RETRIABLE for a in attempts)
            )
        return rule.elsewhere or chain.cascade or chain.lookup

    def _failed(self, key: _Key, failed: Failure) -> None:
        """Notes when the candidate may be called again, if ever."""
        now, retry = self._runtime.now(), self._retry
        (self._free.add if rule_of(failed.kind).free else self._free.discard)(key)
        asked = failed.retry_after or 0.0
        wait = asked + backoff(retry, self._rounds.tries(key), random.random())
        self._rounds.failed(key, now + wait, now + asked if asked else 0.0)
        if asked:
            tell_cooling(self._runtime, key[0], self._model(key), asked)
            self._runtime.breakers.cool(key[0], self._model(key), now + asked, now)
        if asked > retry.max_wait_s:
            self._rounds.drop(key)

    async def next_attempt(self, worst: UpstreamError | None, before: C) -> tuple[C | None, UpstreamError | None]:
        """The next call once it is admitted, None where there is none; and the failure that says the most until now."""
        rounds, runtime = self._rounds, self._runtime
        while (key := rounds.next(self._rank)) is not None:
            candidate = self._candidates[key]
            prepared = before if candidate == before.candidate else self._prepare(candidate)
            if isinstance(prepared, Unfetched) and self._fetch is not None:
                await self._fetch()
                prepared = self._prepare(candidate)
            if isinstance(prepared, str):
                rounds.drop(key)
                continue
            if prepared.is_local:
                return prepared, worst  # no backend is called, so nothing is admitted
            if not self._has_room(candidate):
                rounds.pass_over(key)
                worst = worst or UpstreamError(self._full(candidate))
                continue
            repeats = rounds.tries(key)
            if repeats and (wait := rounds.due(key) - runtime.now()) > _SOON_S:
                await asyncio.sleep(wait)
                continue  # another candidate may be up by now
            pays = repeats > 0 and key not in self._free
            admitted = await runtime.admission.enter(candidate.backend, pays=pays)
            if admitted is None:
                rounds.pass_over(key)
                continue
            if isinstance(admitted, Failure):
                worst = worse(worst, UpstreamError(admitted))
                self._failed(key, admitted)
                continue
            self._ticket = admitted
            if worst is not None and not repeats and not (self._chain.cascade or self._chain.lookup):
                origin = "Local" if before.backend.config.local else before.backend.config.name
                log.warning("%s failed, falling back to %s: %s", origin, candidate.backend, worst.failure.message)
            return prepared, worst
        return None, worst

    def _has_room(self, candidate: Candidate) -> bool:
        return self._runtime.full_reason(candidate.backend) is None

    async def _is_within_limits(self, call: C) -> bool:
        """Counts the call on its backend's limits; where one has no room, the candidate is passed over."""
        runtime, name = self._runtime, call.candidate.backend
        if call.is_local or name not in runtime.limited:
            return True
        reserved = await runtime.reserve_backend(name, self._context.tokens)
        if reserved is not None:
            self._context.held.append(reserved)
            return True
        self._rounds.pass_over(_key(call.candidate))
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            runtime.admission.leave(ticket, None)
        return False

    def _full(self, candidate: Candidate) -> Failure:
        reason = self._runtime.full_reason(candidate.backend) or FULL
        text = f"The backend {candidate.backend} was not called: {reason}; try again later."
        return replace(failure("overloaded", text), retry_after=RETRY_AFTER_S)

    def _rank(self, key: _Key) -> Rank:
        """Candidates that asked to be left alone come after the others, those with an open breaker last."""
        breakers = self._runtime.breakers
        if breakers.quiet:
            return 0, 0.0
        name, now = key[0], self._runtime.now()
        if breakers.state(name, now) == "open":
            return 2, breakers.left_alone_since(name)
        until = breakers.cooling(name, self._model(key), now)
        return (1, until) if until else (0, 0.0)

    def _model(self, key: _Key) -> str:
        return key[1] or self._context.record.model or ""

    def _is_bound(self, failed: Failure) -> bool:
        """Returns whether no other backend can serve the request, because this one keeps what it refers to."""
        if failed.kind in MISSING:
            return False
        if self._bound is None:
            self._bound = self._chain.state() or ""
        return bool(self._bound)

    def _final(self, worst: UpstreamError) -> RequestError:
        """The failure for the client."""
        failed = worst.failure
        if self._bound and rule_of(failed.kind).elsewhere:
            text = f"{failed.message} No other backend was called: only this one has what `{self._bound}` refers to."
            return UpstreamError(replace(failed, message=text))
        if self._chain.all_down and rule_of(failed.kind).evidence in ("each", "once"):
            return UpstreamError(self._all_down(failed))
        return worst

    def _all_down(self, failed: Failure) -> Failure:
        """Every breaker was open, and every backend failed once more."""
        breakers, now = self._runtime.breakers, self._runtime.now()
        names = dict.fromkeys(name for name, _ in self._candidates)
        reasons = "; ".join(f"{name}: its breaker is open" for name in names)
        model = (self._context.record.model or "")[:200]
        text = f"No backend can serve the model {model!r} right now: {reasons}. The last one said: {failed.message}"
        waits = [wait for name in names if (wait := breakers.retry_after(name, now))]
        return replace(failure("overloaded", text), retry_after=min(waits, default=1.0))


def _key(candidate: Candidate) -> _Key:
    return candidate.backend, candidate.model
