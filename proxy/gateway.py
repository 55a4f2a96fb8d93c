"""The door of the proxy: a request in, an answer out, whoever carries the bytes; and the end of what is under way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .errors import RequestError, failure
from .ir import Failure
from .line import ClientGone, Sink
from .protocols.contract import Protocol
from .shared import Shared
from .told import Told, Whole
from .way import Incoming, Way

log = logging.getLogger("crosswire")


class Gateway(Shared):
    """Answers requests until it drains, and knows which are under way."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self.draining = False
        self.idle = asyncio.Event()
        """Set while no request is under way."""
        self.idle.set()
        self._under_way: set[asyncio.Task[object]] = set()

    async def handle(self, incoming: Incoming, sink: Sink) -> Whole | None:
        """Answer one request: a Whole, or None once a stream has gone through the sink.

        Raises ClientGone, or is cancelled, where the client left; the record then stays at `aborted`.
        """
        way = Way(self, incoming, self.ids())
        self.metrics.in_flight += 1
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self._under_way.add(task)
        self.idle.clear()
        try:
            if self.draining:
                return way.told.refuse(failure("draining", "The proxy is shutting down; try again elsewhere."))
            return await way.go(sink)
        except RequestError as fault:
            return way.told.refuse(fault.failure)
        except ClientGone:
            raise
        except Exception:
            # the last wall: a mistake of ours becomes a plain 500, and the log says what it was
            log.exception("request %s failed in the proxy itself", way.record.request_id)
            return way.told.refuse(failure("internal", "The proxy failed; its log names the cause."))
        finally:
            self.metrics.in_flight -= 1
            way.told.close()
            self._under_way.discard(task)
            self.close_retired()
            if not self.metrics.in_flight:  # counts and embeddings are under way too
                self.idle.set()

    def reject(self, frontend: Protocol, fault: Failure) -> Whole:
        """An error for what never became a request (its body, its address), in the frontend's shape."""
        told = Told(self, frontend, self.ids()("req_"))
        answer = told.refuse(fault)
        told.close()
        return answer

    def cut(self) -> None:
        """End what is under way; its clients see a break, never a clean end."""
        for task in self._under_way:
            task.cancel()
