"""Answers requests, whatever carries their bytes, and ends those under way when the proxy stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from ..errors import RequestError, failure
from ..ir import Failure
from ..protocols.protocol import Protocol
from .chat_handler import ChatHandler, ChatRequest
from .context import RETRY_AFTER_S, HttpResponse, RequestContext
from .endpoint_handler import EndpointHandler, EndpointRequest
from .hints import exchange_hints
from .hops import check_hops
from .runtime import SHUTTING_DOWN, Runtime
from .stream_writer import ClientGone, ResponseWriter

log = logging.getLogger("crosswire")

R = TypeVar("R")


class Gateway(Runtime):
    """Answers requests until it drains."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        exchange_hints(self)
        self.stopping = asyncio.Event()
        """Set once the gateway drains, so that connections without a request under way can end."""
        self.idle = asyncio.Event()
        """Set while no request is under way."""
        self.idle.set()
        self.retiring = False
        """True once a successor takes the new connections; requests that still come here are answered, and each answer
        ends its connection."""

    @property
    def draining(self) -> bool:
        """True once no new request is taken."""
        return self.stopping.is_set() and not self.retiring

    @draining.setter
    def draining(self, drains: bool) -> None:
        self.retiring = False
        (self.stopping.set if drains else self.stopping.clear)()

    def retire(self) -> None:
        """Lets a successor take over: connections without a request under way can end, and no request is refused."""
        self.retiring = True
        self.stopping.set()

    async def handle_chat(self, request: ChatRequest, writer: ResponseWriter) -> HttpResponse | None:
        """Answers a chat request: a response in one piece, or None once it was streamed to the writer.

        Raises ClientGone, or is cancelled, where the client left; the record then stays at `aborted`.
        """
        new_id = self.ids()
        context = RequestContext(self, request.frontend, new_id("req_"))
        if self.tracer is not None:
            context.trace = self.tracer.begin(request.headers, request.frontend.name, "chat")
        if self.guard is not None:
            context.caller = self.guard.caller(request.client)
        return await self._handle(context, request.headers, ChatHandler(context, request, new_id).run(writer))

    async def handle_endpoint(
        self,
        request: EndpointRequest,
        operation: str,
        function: Callable[[EndpointHandler], Coroutine[Any, Any, HttpResponse]],
    ) -> HttpResponse:
        """Answers a request beside the chat; `operation` names it in its record."""
        context = RequestContext(self, request.frontend, self.ids()("req_"), operation)
        if self.tracer is not None:
            context.trace = self.tracer.begin(request.headers, request.frontend.name, operation)
        if self.guard is not None:
            context.caller = self.guard.caller(request.client)
        return await self._handle(context, request.headers, function(EndpointHandler(context, request)))

    def reject(self, frontend: Protocol, fault: Failure) -> HttpResponse:
        """An error for what never became a request (its body, its path), in the frontend's shape."""
        context = RequestContext(self, frontend, self.ids()("req_"))
        response = context.error_response(fault)
        context.finish(is_request=False)
        return response

    def end_all(self) -> None:
        """Ends what is under way with an error: in band where a stream has begun, else with a status."""
        self.is_ending = True
        self.cancel_all()

    def cancel_all(self) -> None:
        """Cancels what is under way; its clients see a broken connection, never a proper end."""
        for task in self.under_way:
            task.cancel()

    async def _handle(
        self, context: RequestContext, fields: Mapping[str, str], work: Coroutine[Any, Any, R]
    ) -> R | HttpResponse:
        """Runs a handler, counts it as under way, and turns whatever it raises into an error response."""
        self.metrics.in_flight += 1
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self.under_way[task] = context
        self.idle.clear()
        try:
            if self.draining:
                work.close()
                return context.error_response(failure("draining", SHUTTING_DOWN))
            try:
                check_hops(fields, self.instance, context.config.settings.hop_limit)
            except RequestError:
                work.close()
                raise
            if 0 < self.config.settings.max_in_flight < self.metrics.in_flight:
                work.close()
                text = "The proxy has as many requests under way as it takes (max_in_flight); try again later."
                return context.error_response(replace(failure("overloaded", text), retry_after=RETRY_AFTER_S))
            return await work
        except RequestError as error:
            return context.error_response(error.failure)
        except ClientGone:
            raise
        except asyncio.CancelledError:
            if not self.is_ending:
                raise
            return context.error_response(failure("draining", SHUTTING_DOWN))
        except Exception:
            # catch-all: an unexpected exception becomes a 500; the traceback is logged
            log.exception("request %s failed in the proxy itself", context.record.request_id)
            return context.error_response(failure("internal", "The proxy failed; its log names the cause."))
        finally:
            self.metrics.in_flight -= 1
            context.finish()
            self.under_way.pop(task, None)
            self.close_unused_backends()
            if not self.metrics.in_flight:
                self.idle.set()
