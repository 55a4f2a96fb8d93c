"""Handles one request beside the chat: decode, route, call a backend, answer in one piece.

Counts, embeddings, compaction and stored responses bring what they ask a backend for and how they read its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from .. import headers
from ..backends.backend import Backend
from ..clients.client import Client
from ..errors import ClientError, Malformed, Refused, UpstreamError, body_cut, failure
from ..ir import Failure, Loss, Usage
from ..ir.token_estimate import estimate_text
from ..observability.request_record import Attempt
from ..protocols.protocol import Protocol, StoredState, UpstreamTarget, UrlParams
from ..routing import Candidate, Plan
from ..wire import json_fields
from ..wire.duplicate_keys import parse_request
from ..wire.text_repair import BOM, without_mark
from .attempts import AttemptLoop
from .candidate_selection import select_candidate
from .context import HttpResponse, RequestContext
from .failover_chain import FailoverChain, PreparedCall
from .hops import upstream_headers
from .loss_policy import LossPolicy
from .place_queue import with_place
from .protocol_choice import choose_protocol
from .request_limits import check_model
from .runtime import LARGE

T = TypeVar("T")

NOTHING: frozenset[str] = frozenset()
"""The needs of a request beside the chat, that a protocol has or has not as a whole."""


class EndpointRequest(Struct, frozen=True):
    """A request as it arrived. `url` has the model or id of the path and its method, `query` the URL's fields."""

    frontend: Protocol
    method: str
    url: UrlParams
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes = b""
    client: Client | None = None

    def fields(self) -> dict[str, str]:
        """The query's fields; of one that stands there twice the last value."""
        return dict(self.query)


class UpstreamCall(Struct, Generic[T], frozen=True):
    """A request to one backend, and the reader of its answer; without a path the proxy answers by itself.

    `read` raises Malformed where the answer is not what it must be. `fallback` makes the answer where the backend has
    no such endpoint.
    """

    read: Callable[[bytes], T]
    path: str | None = None
    body: bytes | None = None
    method: str = "POST"
    losses: tuple[Loss, ...] = ()
    relayed: bool = False
    fallback: Callable[[], T] | None = None


BuildCall: TypeAlias = Callable[[Backend, UpstreamTarget], "UpstreamCall[T] | str"]
"""Builds the call for this backend, or says why it cannot take the request."""


class _EndpointCall(PreparedCall, Generic[T], frozen=True, kw_only=True):
    """An UpstreamCall for one candidate."""

    call: UpstreamCall[T]


def _prepared(candidate: Candidate, backend: Backend, model: str, call: UpstreamCall[T]) -> _EndpointCall[T]:
    return _EndpointCall(
        candidate=candidate,
        backend=backend,
        model=model,
        body=call.body or b"",
        losses=call.losses,
        relayed=call.relayed,
        is_local=call.path is None,
        fallback=call.fallback,
        call=call,
    )


class EndpointHandler:
    """Handles one request beside the chat, by the config and the backends that were there when it arrived."""

    def __init__(self, context: RequestContext, request: EndpointRequest) -> None:
        self._context = context
        if request.body.startswith(BOM):
            request = replace(request, body=without_mark(request.body))
            context.repaired(("bom",))
        self.request = request
        self._asks_strict = request.headers.get(headers.STRICT) == "1"

    @property
    def plan(self) -> Plan:
        return self._context.config.plan

    async def decode(self, decode: Callable[[dict[str, Any]], T]) -> T:
        """The body as this decoder reads it; raises ClientError where it is malformed."""
        decoded = await self._maybe_off_loop(partial(self._decode, decode))
        self._context.decoded(self.request.body)
        return decoded

    async def _maybe_off_loop(self, work: Callable[[], T]) -> T:
        return work() if len(self.request.body) < LARGE else await self._context.off_loop(work)

    def _decode(self, decode: Callable[[dict[str, Any]], T]) -> T:
        try:
            fields, body = parse_request(self.request.body)
            if body is not self.request.body:
                self.request = replace(self.request, body=body)
            return decode(fields)
        except Malformed as fault:
            raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
        except RecursionError:
            raise ClientError(failure("bad_request", "Invalid request: nested too deeply.")) from None

    async def call(
        self, model: str, capabilities: frozenset[str], build: BuildCall[T], state: StoredState | None = None
    ) -> T:
        """Routes by the model and returns the first answer; raises Refused, or UpstreamError where all failed.

        `state` is what the request needs of the account that keeps it; no other backend is called then.
        """
        check_model(model, self._context.config.settings.limits)
        self._context.record.model = model

        def prepare(candidate: Candidate) -> _EndpointCall[T] | str:
            return self._prepare_candidate(candidate, build, model)

        context, fields = self._context, self.request.headers
        if context.caller is not None:
            await context.caller.check_state(context.runtime.owners, state)
            context.caller.check(context.frontend.name, model, fields)
        owner = None if state is None else context.runtime.owners.owner(state.ids)

        async def select() -> tuple[FailoverChain, _EndpointCall[T]]:
            return await self._maybe_off_loop(
                lambda: select_candidate(context, fields, model, capabilities, prepare, owner=owner)
            )

        chain, first = await (with_place(context, select) if context.runtime.queues else select())
        if state is not None:
            field = state.field
            chain = replace(chain, state=lambda: field)
        if (context.caller is not None or context.runtime.limited) and not first.is_local:
            context.tokens = estimate_text(self.request.body)
            if context.caller is not None:
                try:
                    await context.caller.reserve(model, first.backend.config, first.model, context.tokens, 0)
                except Refused:
                    if first.backend.config.name in context.runtime.queues:
                        context.runtime.places.freed(first.backend.config.name)
                    raise
        return await self._loop(chain, prepare).run(first)

    async def look_up(self, id_: str, names: Iterable[str], call: UpstreamCall[T]) -> T:
        """Asks these backends in turn and returns the answer of the first that has what is asked for.

        That which is known to have it is the only one to be asked.

        Raises UpstreamError where none has it: `not_found` if all said so, else the failure of one that may have it.
        """

        def prepare(candidate: Candidate) -> _EndpointCall[T] | str:
            backend = self._context.backends[candidate.backend]
            return _prepared(
                candidate, self._context.runtime.spoken(backend, self.request.frontend.name, NOTHING)[0], "", call
            )

        if (caller := self._context.caller) is not None:
            await caller.check_state(self._context.runtime.owners, StoredState("id", (id_,), (("id", id_),)))
        owner = self._context.runtime.owners.owner((id_,))
        names = [name for name in names if name == owner] or names
        candidates = tuple(Candidate(name, None, True, "") for name in names)
        chain = FailoverChain(candidates, missing_moves_on=True, lookup=True)
        first = prepare(candidates[0])
        assert not isinstance(first, str)  # noqa: S101 - this prepare takes every candidate
        return await self._loop(chain, prepare).run(first)

    def respond(self, body: bytes, usage: Usage | None = None, *, is_estimate: bool = False) -> HttpResponse:
        """The answer to the client; `is_estimate` marks a number of tokens that no backend counted."""
        return self._context.response(body, usage, is_estimate=is_estimate)

    def unusable(self, what: object) -> UpstreamError:
        """The failure for an answer that the client cannot be given."""
        text = f"Backend '{self._context.record.backend_used}' sent what cannot be told ({what})."
        return UpstreamError(Failure("upstream_garbage", text, 502, code="upstream_garbage"))

    def _loop(
        self, chain: FailoverChain, prepare: Callable[[Candidate], _EndpointCall[T] | str]
    ) -> AttemptLoop[_EndpointCall[T], T]:
        return AttemptLoop(self._context, chain, prepare, self._call_backend, self.request.body)

    def _prepare_candidate(self, candidate: Candidate, build: BuildCall[T], model: str) -> _EndpointCall[T] | str:
        """The call for this candidate, or why its backend cannot take it."""
        backend = self._context.backends[candidate.backend]
        upstream_model = candidate.model or model
        spoken = self._context.runtime.spoken(backend, self.request.frontend.name, NOTHING)
        return choose_protocol(
            spoken, lambda each: self._prepare_in(candidate, each, build, upstream_model), lambda call: call.losses
        )

    def _prepare_in(
        self, candidate: Candidate, backend: Backend, build: BuildCall[T], upstream_model: str
    ) -> _EndpointCall[T] | str:
        """The call for this candidate in one of its backend's protocols, or why it cannot take it."""
        call = build(backend, backend.target(upstream_model))
        if isinstance(call, str):
            return call
        policy = LossPolicy(self._asks_strict or backend.config.strict, self._context.runtime.loss_actions)
        return policy.rejection(call.losses) or _prepared(candidate, backend, upstream_model, call)

    async def _call_backend(
        self, prepared: _EndpointCall[T], attempt: Attempt, loop: AttemptLoop[_EndpointCall[T], T]
    ) -> T:
        context, backend, call = self._context, prepared.backend, prepared.call
        name = backend.config.name
        if call.path is None:
            answer = call.read(b"")
        else:
            hop = context.runtime.hop_of(name)
            fields = upstream_headers(self.request.frontend, self.request.headers, backend.config, hop)
            if context.trace is not None:
                fields = context.trace.with_parent(fields)
            raw = await backend.send(call.method, call.path, call.body, fields)
            context.log_body("backend_response", raw)
            context.mark_stage("backend")
            try:
                answer = call.read(raw)
            except Malformed:
                if json_fields.is_cut(raw):
                    raise UpstreamError(body_cut()) from None
                text = f"Backend '{name}' sent what is no answer to this request."
                raise UpstreamError(Failure("upstream_garbage", text, 502, code="upstream_garbage")) from None
        attempt.outcome = "answered"
        context.answered_by(name, prepared.model or None)
        return answer
