"""Handles one chat request: decode, route, call a backend, encode. Retries and failover are the AttemptLoop's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from .. import headers
from ..backends.backend import Backend
from ..clients.client import Client
from ..errors import ClientError, Malformed, Refused, RequestError, failure
from ..ir import Added, Loss, Request
from ..ir.capabilities import required_capabilities
from ..ir.stop_sequences import cut_at_stops
from ..ir.token_estimate import estimate_prompt
from ..ir.tool_ids import with_unique_calls, with_unique_ids
from ..known_clients import client_of
from ..observability.request_record import Attempt
from ..protocols import PROTOCOLS
from ..protocols.protocol import NewId, Protocol, ReplyContext, UpstreamRequest, UrlParams
from ..routing import Candidate, request_features
from ..wire import json_fields
from ..wire.duplicate_keys import parse_request
from ..wire.text_repair import BOM, without_mark
from .answer_quality import check_quality
from .attempts import AttemptLoop
from .cache_rule import marks_cache
from .candidate_selection import select_candidate
from .chat_call import ChatCall
from .context import HttpResponse, RequestContext
from .decision_log import log_decision, log_request, log_success
from .failover_chain import FailoverChain
from .hops import upstream_headers, with_own_headers
from .loss_policy import LossPolicy
from .place_queue import with_place
from .protocol_choice import choose_protocol
from .relay import Relay
from .request_limits import check_request
from .runtime import LARGE, LARGE_SIMPLE
from .state_owners import reference_of
from .stream_writer import ResponseWriter
from .streaming import StreamForwarder
from .target_choice import conversation_of
from .url_media import UrlMedia, has_urls

log = logging.getLogger("crosswire")


class ChatRequest(Struct, frozen=True):
    """A chat request as it arrived: its protocol, URL, body, and those of its headers that the gateway reads."""

    frontend: Protocol
    url: UrlParams
    headers: Mapping[str, str]
    body: bytes
    client: Client | None = None
    is_simple: bool = False
    """True if the body surely holds few values, however long they are."""


class ChatHandler:
    """Handles one chat request, by the config and the backends that were there when it arrived."""

    def __init__(self, context: RequestContext, incoming: ChatRequest, new_id: NewId) -> None:
        self._context = context
        self._runtime = context.runtime
        self._incoming = incoming
        self._frontend = incoming.frontend
        self._new_id = new_id
        self._asks_strict = incoming.headers.get(headers.STRICT) == "1"
        self._media: UrlMedia | None = None
        """Media that the request has by URL, where the config allows to fetch them."""

    async def run(self, writer: ResponseWriter) -> HttpResponse | None:
        """The answer, or None once it was streamed to the writer. Raises RequestError where nothing was sent."""
        size = len(self._incoming.body)
        is_large = size >= (LARGE_SIMPLE if self._incoming.is_simple else LARGE)
        request = await self._context.off_loop(self._decode_request) if is_large else self._decode_request()
        if self._context.caller is not None and (state := self._frontend.stored_state(request)) is not None:
            await self._context.caller.check_state(self._runtime.owners, state)
        settings = self._context.config.settings
        if settings.fetch.allow and has_urls(request):
            self._media = UrlMedia(settings.fetch, settings.dns)
        if self._runtime.queues:
            chain, call = await with_place(self._context, partial(self._route_anywhere, request, is_large))
        elif is_large or self._media is not None:
            chain, call = await self._route_anywhere(request, is_large)
        else:
            chain, call = self._route(request)
        fetch = None if self._media is None else self._media.fetch
        if self._context.caller is not None or self._context.runtime.limited:
            await self._reserve(request, call)
        context, content = self._context, self._incoming.body
        prepare = partial(self._prepare_candidate, request)
        if not request.stream:
            call_unary = partial(self._call_unary, request)
            loop: AttemptLoop[ChatCall, HttpResponse] = AttemptLoop(context, chain, prepare, call_unary, content, fetch)
            return await loop.run(call)
        forwarder = StreamForwarder(
            context, self._reply_context(request), writer, ends_whole=self._is_exempt("ends_whole")
        )
        await forwarder.run(AttemptLoop(context, chain, prepare, forwarder.forward, content, fetch), call)
        return None

    # ---- decode ------------------------------------------------------------------------------------------------------

    def _decode_request(self) -> Request:
        incoming = self._incoming
        if incoming.body.startswith(BOM):
            incoming = self._incoming = replace(incoming, body=without_mark(incoming.body))
            self._context.repaired(("bom",))
        try:
            request = self._frontend.plain_request(incoming.body)
            if request is None:
                known = self._frontend.known_tools
                fields = None if known is None else known.request_fields(incoming.body)
                if fields is None:
                    fields, body = parse_request(incoming.body)
                    if body is not incoming.body:
                        self._incoming = incoming = replace(incoming, body=body)
                request = self._frontend.decode_request(fields, incoming.url)
        except Malformed as fault:
            raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
        except RecursionError:
            raise _too_deep() from None
        check_request(request, self._context.config.settings.limits)
        self._context.repaired(request.repaired)
        self._context.decoded(incoming.body, request.model, stream=request.stream)
        return request

    def _wants_array(self, request: Request) -> bool:
        return request.stream and self._incoming.url.wants_array

    async def _reserve(self, request: Request, call: ChatCall) -> None:
        """Reserves the request on the limits that count for it; raises Refused where one has no room."""
        context = self._context
        if call.is_local:
            return
        prompt = estimate_prompt(request, self._incoming.body)
        context.tokens = prompt
        if context.caller is not None:
            backend = call.backend.config
            try:
                await context.caller.reserve(request.model, backend, call.model, prompt, request.max_tokens)
            except Refused:
                if backend.name in context.runtime.queues:
                    context.runtime.places.freed(backend.name)
                raise

    # ---- route -------------------------------------------------------------------------------------------------------

    async def _route_anywhere(self, request: Request, is_large: bool) -> tuple[FailoverChain, ChatCall]:
        """The same as `_route`; a large request leaves the event loop, one with URLs may wait for what they name."""
        if self._media is not None:
            return await self._route_with_media(request, self._media)
        route = partial(self._route, request)
        return await self._context.off_loop(route) if is_large else route()

    def _route(self, request: Request) -> tuple[FailoverChain, ChatCall]:
        """Decides, encodes, and decides again without the candidates that cannot take the request."""
        plan, needed = self._context.config.plan, required_capabilities(request)
        if (caller := self._context.caller) is not None:
            caller.check(self._frontend.name, request.model, self._incoming.headers)
        state = self._frontend.stored_state(request) if self._frontend.keeps_replies else None
        chosen = None
        try:
            chain, call = select_candidate(
                self._context,
                self._incoming.headers,
                request.model,
                needed,
                partial(self._prepare_candidate, request),
                request_features(request)
                if plan.smart_names and plan.alias_table.meaning(request.model) in plan.smart_names
                else None,
                None if state is None else self._runtime.owners.owner(state.ids),
                request,
                partial(reference_of, self._frontend, request),
            )
            chosen = call.backend.config
            made = self._context.record.decision
            if made is not None and made.notes and made.mode != "smart":
                self._runtime.failures.note_name(request.model, made.notes[0])
        finally:
            if log.isEnabledFor(logging.INFO):
                log_request(self._frontend.title, request.model)
                if (made := self._context.record.decision) is not None:
                    log_decision(request.model, needed, plan, made, chosen)
        if self._runtime.keyed:
            chain = replace(chain, subject=conversation_of(request))
        return chain, call

    async def _route_with_media(self, request: Request, media: UrlMedia) -> tuple[FailoverChain, ChatCall]:
        """Routes the request, again once that was fetched which the candidates need that come before the chosen one."""
        while True:
            try:
                routed = await self._context.off_loop(partial(self._route, request))
            except RequestError:
                if not media.wanted:
                    raise
            else:
                if not media.wanted:
                    return routed
            await media.fetch()

    def _prepare_candidate(self, request: Request, candidate: Candidate) -> ChatCall | str:
        """The request encoded for this candidate, or why its backend cannot take it.

        Of the protocols that the backend speaks it is the one that loses least.
        """
        backend = self._context.backends[candidate.backend]
        if not backend.others:
            return self._prepare_in(request, candidate, backend)
        return choose_protocol(
            self._runtime.spoken(backend, self._frontend.name, required_capabilities(request)),
            lambda each: self._prepare_in(request, candidate, each),
            lambda call: call.losses,
        )

    def _prepare_in(self, request: Request, candidate: Candidate, backend: Backend) -> ChatCall | str:
        """The request encoded for this candidate in one of its backend's protocols."""
        incoming, config = self._incoming, backend.config
        target = backend.target(candidate.model or request.model)
        policy = LossPolicy(self._asks_strict or config.strict, self._runtime.loss_actions)
        # a backend of the client's own protocol gets the client's headers, relayed or converted
        forwarded = upstream_headers(self._frontend, incoming.headers, config, self._runtime.hop_of(config.name))
        relay = (
            None
            if self._must_convert(request, candidate)
            else Relay.between(self._frontend, request, incoming.body, config, target)
        )
        own = self._frontend.local_reply(request, relay is not None)
        losses: tuple[Loss, ...] = ()
        added: tuple[Added, ...] = ()
        if own is not None:
            sent, body, relay = UpstreamRequest({}, (), target), b"", None
        elif relay is not None:
            dialect = self._frontend if self._frontend.to_chat is not None else None
            sent = UpstreamRequest({}, (), target, relayed=dialect is None, dialect=dialect)
            body = relay.request(incoming.body)
        else:
            if self._frontend.to_chat is not None:
                request, losses = self._frontend.to_chat(request)
            if (unique := with_unique_calls(request)) is not request:
                request = unique
                self._context.repaired(("call_repeated",))
            try:
                sent = backend.encode(request, target)
                if self._media is not None:
                    fetched = self._media.encoded(request, sent, lambda with_data: backend.encode(with_data, target))
                    if isinstance(fetched, str):
                        return fetched
                    sent = fetched
            except RecursionError:
                raise _too_deep() from None
            losses += sent.losses
            if losses and (why := policy.rejection(losses)) is not None:
                if (code := self._frontend.refusal_code(request)) is not None:
                    # no other backend knows what it refers to either
                    raise Refused(failure("loss", f"The backend {config.name!r} {why}.", code=code))
                return why
            added = sent.added
            spoken = PROTOCOLS.get(config.protocol)
            if (
                spoken is not None
                and spoken.place_cache_marks is not None
                and marks_cache(config, self._frontend.name, incoming.headers.get(headers.USER_AGENT, ""))
            ):
                added += spoken.place_cache_marks(sent.payload)
            body = json_fields.encode(sent.payload)
            if sent.headers:
                forwarded = with_own_headers(forwarded, sent.headers, config)
        return ChatCall(
            candidate=candidate,
            backend=backend,
            model=target.model,
            body=body,
            losses=losses,
            added=added,
            relayed=relay is not None,
            is_local=own is not None,
            sent=sent,
            relay=relay,
            headers=forwarded,
            policy=policy,
            reply=own,
        )

    def _is_exempt(self, what: str) -> bool:
        """Returns whether the client is one for which this is done, by its user agent."""
        client = client_of(self._incoming.headers.get(headers.USER_AGENT, ""))
        return client is not None and client.is_exempt(what)

    def _must_convert(self, request: Request, candidate: Candidate) -> bool:
        """Returns whether the answer cannot be relayed even by a backend of the client's own protocol.

        Backends stream server-sent events, so a client that wants one array gets a converted stream; and a relayed
        stream is not decoded far enough to be judged by a cascade.
        """
        decision = self._context.record.decision
        is_judged = decision is not None and decision.cascade and candidate != decision.chain[-1]
        return self._wants_array(request) or (is_judged and request.stream)

    # ---- call and encode ---------------------------------------------------------------------------------------------

    def _reply_context(self, request: Request) -> ReplyContext:
        record, new_id = self._context.record, self._new_id
        return ReplyContext(request, new_id(""), int(record.at), new_id, self._wants_array(request), record.request_id)

    async def _call_unary(
        self,
        request: Request,
        call: ChatCall,
        attempt: Attempt,
        loop: AttemptLoop[ChatCall, HttpResponse],
    ) -> HttpResponse:
        context, backend = self._context, call.backend
        raw = b""
        if call.reply is not None:
            reply = call.reply
        else:
            fields = call.headers if context.trace is None else context.trace.with_parent(call.headers)
            reply, raw = await backend.reply(call.sent, call.body, fields, self._new_id)
            context.log_body("backend_response", raw)
            context.mark_stage("backend")
            if loop.race is not None:
                loop.race.won_by(loop, call)
            if loop.may_escalate(call):
                check_quality(reply)
            if call.sent.stops:
                reply = cut_at_stops(reply, call.sent.stops)
        unique = with_unique_ids(reply)
        if call.relay is not None and unique is reply:
            body = call.relay.reply(raw)
            if self._frontend.keeps_replies:
                self._runtime.owners.remember(reply.id, backend.config.name, context.client_name)
        else:
            answer, losses = self._frontend.encode_reply(unique, self._reply_context(request))
            if losses:
                call.policy.record_losses(losses, context.record)
            body = json_fields.encode(answer)
        attempt.outcome = "answered"
        context.answered_by(backend.config.name, call.model)
        if log.isEnabledFor(logging.INFO):
            log_success(backend.config, call.model)
        context.record.usage = reply.usage
        context.repaired(reply.repaired)
        return context.response(body)


def _too_deep() -> ClientError:
    return ClientError(failure("bad_request", "Invalid request: nested too deeply."))
