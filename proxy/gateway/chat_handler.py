"""Handles one chat request: decode, route, call a backend, encode. Retries and failover are the AttemptLoop's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from .. import headers
from ..errors import ClientError, Malformed, RequestError, failure
from ..ir import Loss, Request
from ..ir.capabilities import required_capabilities
from ..ir.stop_sequences import cut_at_stops
from ..ir.tool_ids import with_unique_ids
from ..observability.request_record import Attempt
from ..protocols.protocol import NewId, Protocol, ReplyContext, UpstreamRequest, UrlParams
from ..routing import Candidate, request_features
from ..wire import json_fields
from ..wire.duplicate_keys import parse_request
from ..wire.text_repair import BOM, without_mark
from .answer_quality import check_quality
from .attempts import AttemptLoop, FailoverChain
from .candidate_selection import select_candidate
from .chat_call import ChatCall
from .context import HttpResponse, RequestContext
from .decision_log import log_decision, log_request, log_success
from .hops import upstream_headers, with_own_headers
from .loss_policy import LossPolicy
from .relay import Relay
from .request_limits import check_request
from .runtime import LARGE
from .state_owners import reference_of
from .stream_writer import ResponseWriter
from .streaming import StreamForwarder
from .url_media import UrlMedia, has_urls

log = logging.getLogger("crosswire")


class ChatRequest(Struct, frozen=True):
    """A chat request as it arrived: its protocol, URL, body, and those of its headers that the gateway reads."""

    frontend: Protocol
    url: UrlParams
    headers: Mapping[str, str]
    body: bytes


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
        is_large = len(self._incoming.body) >= LARGE
        request = await self._context.off_loop(self._decode_request) if is_large else self._decode_request()
        settings = self._context.config.settings
        if settings.fetch.allow and has_urls(request):
            self._media = UrlMedia(settings.fetch, settings.dns)
            chain, call = await self._route_with_media(request, self._media)
        elif is_large:
            chain, call = await self._context.off_loop(partial(self._route, request))
        else:
            chain, call = self._route(request)
        fetch = None if self._media is None else self._media.fetch
        new_id, record = self._new_id, self._context.record
        reply_context = ReplyContext(request, new_id(""), int(record.at), new_id, array=self._wants_array(request))
        context, fingerprint = self._context, hash(self._incoming.body)
        prepare = partial(self._prepare_candidate, request)
        if not request.stream:
            call_unary = partial(self._call_unary, reply_context)
            loop: AttemptLoop[ChatCall, HttpResponse] = AttemptLoop(
                context, chain, prepare, call_unary, fingerprint, fetch
            )
            return await loop.run(call)
        forwarder = StreamForwarder(context, reply_context, writer)
        await forwarder.run(AttemptLoop(context, chain, prepare, forwarder.forward, fingerprint, fetch), call)
        return None

    # ---- decode ------------------------------------------------------------------------------------------------------

    def _decode_request(self) -> Request:
        incoming = self._incoming
        if incoming.body.startswith(BOM):
            incoming = self._incoming = replace(incoming, body=without_mark(incoming.body))
            self._context.repaired(("bom",))
        try:
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

    # ---- route -------------------------------------------------------------------------------------------------------

    def _route(self, request: Request) -> tuple[FailoverChain, ChatCall]:
        """Decides, encodes, and decides again without the candidates that cannot take the request."""
        plan, needed = self._context.config.plan, required_capabilities(request)
        state = self._frontend.stored_state(request) if self._frontend.keeps_replies else None
        chosen = None
        try:
            chain, call = select_candidate(
                self._context,
                self._incoming.headers,
                request.model,
                needed,
                partial(self._prepare_candidate, request),
                request_features(request) if request.model in plan.smart_names else None,
                None if state is None else self._runtime.owners.owner(state.ids),
            )
            chosen = call.backend.config
        finally:
            if log.isEnabledFor(logging.INFO):
                log_request(self._frontend.title, request.model)
                if (made := self._context.record.decision) is not None:
                    log_decision(request.model, needed, plan, made, chosen)
        return replace(chain, state=partial(reference_of, self._frontend, request)), call

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
        """The request encoded for this candidate, or why its backend cannot take it."""
        incoming, backend = self._incoming, self._context.backends[candidate.backend]
        config = backend.config
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
        if own is not None:
            sent, body, relay = UpstreamRequest({}, (), target), b"", None
        elif relay is not None:
            dialect = self._frontend if self._frontend.to_chat is not None else None
            sent, body = UpstreamRequest({}, (), target, dialect=dialect), relay.request(incoming.body)
        else:
            if self._frontend.to_chat is not None:
                request, losses = self._frontend.to_chat(request)
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
                return why
            body = json_fields.encode(sent.payload)
            if sent.headers:
                forwarded = with_own_headers(forwarded, sent.headers, config)
        return ChatCall(
            candidate=candidate,
            backend=backend,
            model=target.model,
            body=body,
            losses=losses,
            relayed=relay is not None,
            is_local=own is not None,
            sent=sent,
            relay=relay,
            headers=forwarded,
            policy=policy,
            reply=own,
        )

    def _must_convert(self, request: Request, candidate: Candidate) -> bool:
        """Returns whether the answer cannot be relayed even by a backend of the client's own protocol.

        Backends stream server-sent events, so a client that wants one array gets a converted stream; and a relayed
        stream is not decoded far enough to be judged by a cascade.
        """
        decision = self._context.record.decision
        is_judged = decision is not None and decision.cascade and candidate != decision.chain[-1]
        return self._wants_array(request) or (is_judged and request.stream)

    # ---- call and encode ---------------------------------------------------------------------------------------------

    async def _call_unary(
        self,
        reply_context: ReplyContext,
        call: ChatCall,
        attempt: Attempt,
        loop: AttemptLoop[ChatCall, HttpResponse],
    ) -> HttpResponse:
        context, backend = self._context, call.backend
        raw = b""
        if call.reply is not None:
            reply = call.reply
        else:
            reply, raw = await backend.reply(call.sent, call.body, call.headers, self._new_id)
            context.log_body("backend_response", raw)
            context.mark_stage("backend")
            if loop.may_escalate(call):
                check_quality(reply)
            if call.sent.stops:
                reply = cut_at_stops(reply, call.sent.stops)
        unique = with_unique_ids(reply)
        if call.relay is not None and unique is reply:
            body = call.relay.reply(raw)
            if self._frontend.keeps_replies:
                self._runtime.owners.remember(reply.id, backend.config.name)
        else:
            answer, losses = self._frontend.encode_reply(unique, reply_context)
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
