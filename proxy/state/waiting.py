"""A call of the state's server that waits for its batch, and for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .connection import Call, StateFault


class Waiting:
    """A call that waits for its batch and its answer."""

    __slots__ = ("answer", "arrived", "call", "failed", "is_named", "orphaned", "since")

    def __init__(self, call: Callable[[], Call], since: float, answer: asyncio.Future[Any] | None = None) -> None:
        self.call = call
        """Makes the call when it is sent."""
        self.since = since
        self.answer = answer
        """The answer for whoever waits; None where nobody does."""
        self.arrived: Callable[[Any], None] | None = None
        self.failed: Callable[[], None] | None = None
        self.orphaned: Callable[[Any], None] | None = None
        """Called with the answer where whoever waited for it has left."""
        self.is_named = True
        """True if an answer of -1 says that the server does not know this replica."""

    def arrive(self, answer: Any) -> None:
        """Hands the answer on."""
        if self.answer is None:
            if self.arrived is not None:
                self.arrived(answer)
        elif not self.answer.done():
            self.answer.set_result(answer)
        elif self.orphaned is not None:
            self.orphaned(answer)

    def fail(self, fault: StateFault) -> None:
        """There is no answer."""
        if self.failed is not None:
            self.failed()
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(fault)
