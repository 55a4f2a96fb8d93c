"""Per-request context: response headers, error bodies, stage log and metrics from one record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import ceil, isfinite
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from .. import headers
from ..balance.measures import TargetKey
from ..costs.price import NANO, dollars
from ..errors import Malformed
from ..ir import Added, Failure, Loss, Usage
from ..ir.losses import features
from ..ir.rate_limits import RateLimit
from ..observability.body_buffer import READ, Exchange
from ..observability.request_record import Attempt, Hedged, Record
from ..protocols.protocol import Protocol
from ..wire import json_fields
from ..wire.content_coding import ACCEPTED
from .guard import Caller
from .runtime import BackendHealth, Reservation, Runtime

if TYPE_CHECKING:
    from ..observability.tracing import Trace

T = TypeVar("T")

RETRY_AFTER_S = 1.0
"""Seconds after which a client that was refused for the load may try again."""

FUTILE = frozenset(
    (
        *("loss", "no_credentials", "upstream_auth", "upstream_quota", "upstream_region"),
        *("upstream_moderation", "upstream_forbidden", "loop", "budget", "over_limit"),
    )
)
"""Kinds of failure that the same request meets again for certain."""


class HttpResponse(Struct, frozen=True):
    """A response in one piece."""

    status: int
    headers: dict[str, str]
    body: bytes


class RequestContext:
    """One request from its arrival to its end: its handlers report events, from which all output is made.

    `config` and `backends` are pinned at arrival, so that a reload changes nothing for a request under way.
    """

    def __init__(self, runtime: Runtime, frontend: Protocol, request_id: str, operation: str = "chat") -> None:
        self.runtime = runtime
        self.frontend = frontend
        self.config = runtime.config
        self.backends = runtime.backends
        self.record = Record(request_id, runtime.clock(), frontend.name, operation)
        self.caller: Caller | None = None
        """The client, its permissions and what is reserved for it; None where nobody has limits."""
        self.tokens = 0
        """The tokens of the request, by estimate, as far as a limit asks for them."""
        self.held: list[Reservation] = []
        """The amounts that are reserved of the limits of backends."""
        self.trace: Trace | None = None
        """The spans of the request; None where no traces are recorded."""
        self._promised: str | None = None
        """The backend that was chosen among equals and is not called yet."""
        self._health: BackendHealth | None = None
        self._began = perf_counter()
        self._logged: set[tuple[str, int]] = set()
        self._exchange = None if runtime.bodies is None else Exchange()

    @property
    def client_name(self) -> str | None:
        """The name of the client; None where nobody needs a key."""
        client = None if self.caller is None else self.caller.client
        return None if client is None else client.name

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Runs work on a large request in a thread, which sees the backends' health as it is now."""
        self._health = self.runtime.health()
        try:
            return await self.runtime.off_loop(work)
        finally:
            self._health = None

    def health(self) -> BackendHealth:
        """The backends that are not to be called now."""
        return self.runtime.health() if self._health is None else self._health

    def promise(self, target: TargetKey) -> None:
        """This target was chosen among equals, in place of any before."""
        self.arrived()
        self.runtime.beliefs.choose(target)
        self._promised = target[0]

    def arrived(self) -> None:
        """The chosen backend is called, or will not be."""
        if self._promised is not None:
            self.runtime.beliefs.arrive(self._promised)
            self._promised = None

    # ---- what the handlers report ------------------------------------------------------------------------------------

    def decoded(self, body: bytes, model: str | None = None, *, stream: bool = False) -> None:
        """The client's request was decoded."""
        record = self.record
        record.model, record.stream = model, stream
        self.log_body("client_request", body)
        self.mark_stage("decode")

    def attempt_started(
        self,
        backend: str,
        model: str,
        body: bytes,
        losses: tuple[Loss, ...],
        added: tuple[Added, ...] = (),
        *,
        relayed: bool,
    ) -> Attempt:
        """One backend is about to be called; losses and additions are those of this attempt's request alone."""
        if self._promised is not None:
            self.arrived()
        record, now = self.record, (perf_counter() - self._began) * 1000
        attempt = Attempt(backend, model, "aborted", relayed, 0.0, (), None, now)
        record.losses = list(losses)
        record.added = added
        record.attempts.append(attempt)
        if self.trace is not None:
            self.trace.attempt_started(attempt)
        self.log_body("backend_request", body)
        return attempt

    def repaired(self, names: tuple[str, ...]) -> None:
        """These repairs were made on the request or on the answer."""
        if names:
            known = self.record.repaired
            known += [name for name in names if name not in known]

    def answered_by(self, backend: str, model: str | None) -> None:
        """This backend's answer is the one that the client gets."""
        self.record.backend_used = backend
        self.record.model_used = model

    def response(self, body: bytes, usage: Usage | None = None, *, is_estimate: bool = False) -> HttpResponse:
        """The whole answer; `is_estimate` marks a number of tokens that no backend counted."""
        record = self.record
        record.status, record.outcome = 200, "answered"
        if usage is not None:
            record.usage = usage
        self.mark_stage("encode")
        self.log_body("client_response", body)
        fields = self.response_headers("application/json")
        if self.config.settings.cost_header and (cost := self.cost()) is not None:
            fields[headers.COST] = dollars(cost)
        if is_estimate:
            fields[headers.ESTIMATE] = "1"
        return HttpResponse(200, fields, body)

    def error_response(self, failure: Failure) -> HttpResponse:
        """The error as a status and a body of the client's own protocol."""
        record = self.record
        status = self.frontend.failure_status.get(failure.kind, failure.status)
        record.status, record.outcome, record.error = status, failure.kind, failure
        fields = self.response_headers("application/json")
        if failure.retry_after is not None and isfinite(failure.retry_after):
            fields["retry-after"] = str(ceil(failure.retry_after))
        if failure.kind in FUTILE or 1 < self.runtime.config.settings.retry.attempts <= len(record.attempts):
            fields[headers.SHOULD_RETRY] = "false"  # an SDK would only multiply the attempts that were made already
        if failure.kind == "content_coding":
            # "an origin server SHOULD include an Accept-Encoding header field" in such a 415
            # https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
            fields["accept-encoding"] = ACCEPTED
        body = json_fields.encode(self.frontend.encode_failure(failure, record.request_id))
        self.log_body("client_response", body)
        return HttpResponse(status, fields, body)

    def stream_failed(self, failure: Failure) -> None:
        """A stream ends with this failure in band."""
        record = self.record
        record.status, record.outcome, record.error = 200, failure.kind, failure
        if record.attempts:
            record.attempts[-1].outcome = failure.kind

    def finish(self, *, is_request: bool = True) -> None:
        """The request is over: its record is kept, written and counted. What never became one has no row of usage."""
        runtime, record = self.runtime, self.record
        if self._promised is not None:
            self.arrived()
        if record.hedged is not None:
            self._price_hedged(record.hedged)
        for attempt in record.attempts:
            if self.backends[attempt.backend].rate_limits:
                attempt.rate_limits = self._rate_limits(attempt)
        record.total_ms = self.elapsed_ms()
        if is_request and (runtime.guard is not None or runtime.ledger is not None):
            self._account()
        elif self.held:
            self._settle_backends()
        runtime.records.add(record)
        runtime.metrics.add(record)
        if self._exchange is not None and runtime.bodies is not None:
            runtime.bodies.add(record.request_id, self._exchange)
        if runtime.record_files is not None:
            runtime.record_files.write(record)
        if self.trace is not None:
            self.trace.finish(record, record.client, self.backends)
        if runtime.access_log is not None:
            runtime.access_log.write(record, self.client_name, None if self.trace is None else self.trace.trace_id)

    def cost(self) -> int | None:
        """The cost of the answer in billionths of a dollar; None where the price or the usage is not known."""
        record = self.record
        if record.usage is None or record.backend_used is None:
            return None
        backend = self.backends[record.backend_used].config
        price = self.runtime.prices.price_at(backend.provider, record.model_used or "", local=backend.local)
        return None if price is None else price.cost(record.usage)

    def _price_hedged(self, hedged: Hedged) -> None:
        """Notes the cost of both calls; of the one that was given up its prompt, which is as long as the other's."""
        cost, usage = self.cost(), self.record.usage
        hedged.cost_usd = None if cost is None else cost / NANO
        backend = self.backends[hedged.loser].config if hedged.loser is not None else None
        if backend is None or usage is None:
            return
        price = self.runtime.prices.price_at(backend.provider, hedged.loser_model or "", local=backend.local)
        if price is not None:
            hedged.loser_cost_usd = price.cost(Usage(input=usage.prompt)) / NANO

    def _account(self) -> None:
        """Settles what was reserved, and adds the request to the ledger of usage."""
        runtime, record, caller = self.runtime, self.record, self.caller
        record.cost = self.cost()
        tags: tuple[str, ...] = ()
        if caller is not None:
            caller.settle(record)
            if caller.client is not None:
                record.client, tags = caller.client.name, caller.client.tags
        if self.held:
            self._settle_backends()
        if runtime.ledger is not None:
            runtime.ledger.add(record, tags)

    def _settle_backends(self) -> None:
        held, self.held = self.held, []
        usage = self.record.usage
        actual = {"concurrent": 0}
        if usage is not None:
            actual["tokens"] = (usage.prompt or 0) + (usage.output or 0)
        for reservation in held:
            self.runtime.limits.settle(reservation, actual)

    # ---- what is made of it ------------------------------------------------------------------------------------------

    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (perf_counter() - self._began) * 1000

    @property
    def kept_bytes(self) -> int:
        """The bytes of a stream that are kept for the stage log or the page; 0 without either."""
        if self.runtime.stages is not None:
            return sys.maxsize
        return 0 if self._exchange is None else READ

    def mark_stage(self, name: str) -> None:
        """A stage of the request ends now."""
        self.record.stages.append((name, (perf_counter() - self._began) * 1000))

    def response_headers(self, content_type: str, *, held: bool = False) -> dict[str, str]:
        """The headers of a response; while it is held open, without those that a failover could make false."""
        record = self.record
        fields = {"content-type": content_type, headers.REQUEST_ID: record.request_id}
        if self.frontend.request_id_header is not None:
            fields[self.frontend.request_id_header] = record.request_id
        if not held:
            fields.update(record.response_headers(self.runtime.kept_headers))
            own = () if self.caller is None else self.caller.rate_limits(now := self.runtime.clock())
            if own:
                fields.update(self.frontend.write_rate_limits(own, now))
            elif record.attempts and self.config.settings.rate_limit_headers:
                limits = self._rate_limits(record.attempts[-1])
                if limits:
                    fields.update(self.frontend.write_rate_limits(limits, self.runtime.clock()))
        return fields

    def _rate_limits(self, attempt: Attempt) -> tuple[RateLimit, ...]:
        """The limits that this attempt's provider named last, for its model or for what is beside the chat."""
        known = self.backends[attempt.backend].rate_limits
        return known.get(attempt.model if self.record.what == "chat" else "", ()) if known else ()

    def log_body(self, stage: str, content: bytes | Failure) -> None:
        """Keeps a body for the stage log and the page, if they want it; of each stage of an attempt only the first."""
        stages, record = self.runtime.stages, self.record
        if stages is None and self._exchange is None:
            return
        key = (stage, len(record.attempts) if stage.startswith("backend") else 0)
        if key in self._logged:
            return
        self._logged.add(key)
        if self._exchange is not None:
            self._exchange.add(stage, len(record.attempts), self.elapsed_ms(), content, self.runtime.without_keys)
        if stages is None:
            return
        entry: dict[str, object] = {
            "time": self.runtime.clock(),
            "id": record.request_id,
            "stage": stage,
            "frontend": record.frontend,
            "model": record.model,
            "ms": round(self.elapsed_ms(), 3),
        }
        if stage.startswith("backend"):
            entry |= {"backend": record.attempts[-1].backend, "upstream_model": record.attempts[-1].model}
        if stage == "client_response":
            entry |= self._figures()
        if isinstance(content, Failure):
            entry["error"] = content
        else:
            entry["body"] = _readable(self.runtime.without_keys(content))
        stages.write(entry)

    def _figures(self) -> dict[str, object]:
        record = self.record
        seconds = max((self.elapsed_ms() - (record.ttft_ms or 0)) / 1000, 1e-6)
        output = record.usage.output if record.usage else None
        return {
            "status": record.status,
            "outcome": record.outcome,
            "losses": features(record.losses),
            "ttft_ms": record.ttft_ms,
            "tokens_per_s": round(output / seconds, 1) if output else None,
        }


def _readable(body: bytes) -> object:
    """A body for the stage log: JSON as it is, anything else as text."""
    try:
        json_fields.parse(body)
        return msgspec.Raw(msgspec.json.format(body, indent=-1))  # a body may be written over several lines
    except Malformed:
        return body.decode("utf-8", "replace")
