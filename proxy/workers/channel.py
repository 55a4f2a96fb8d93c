"""Messages between two processes over a stream socket: questions with answers, and news without.

A frame is four bytes of length and an array in MessagePack: `[number, kind, values]` is a question, or news where the
number is 0; `[-number, is_good, value]` is its answer.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, TypeAlias, cast

import msgspec

log = logging.getLogger("crosswire")

LONGEST = 128 * 1024 * 1024
"""Bytes of a frame; a longer one is an error of the program, and ends the channel."""

HEAD = 4

Handler: TypeAlias = Callable[..., Any]
"""Answers a question, at once or as a coroutine; it is called with the values of the frame."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class ChannelError(Exception):
    """A question that has no answer: the other side is gone, is too slow, or failed."""


class Channel(asyncio.Protocol):
    """One end of a connection. `handlers` answer what the other end asks; `lost` is called once when it is gone."""

    def __init__(self, handlers: Mapping[str, Handler], lost: Callable[[Channel], None] = lambda channel: None) -> None:
        self.handlers = handlers
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_open = False

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, kind: str, *values: Any, limit_s: float | None = None) -> Any:
        """Returns the answer to a question; raises ChannelError where none comes within `limit_s` seconds."""
        return await self.answer_of(self.begin(kind, *values), limit_s)

    def begin(self, kind: str, *values: Any) -> asyncio.Future[Any]:
        """Asks without waiting; whoever no longer wants the answer cancels the future."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.is_open:
            answer.set_exception(ChannelError("the other process is gone"))
            return answer
        number = next(self._numbers)
        self._asked[number] = answer
        answer.add_done_callback(lambda done: self._asked.pop(number, None))
        self._send([number, kind, values])
        return answer

    async def answer_of(self, answer: asyncio.Future[Any], limit_s: float | None = None) -> Any:
        """Waits for an answer, for so many seconds."""
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            raise ChannelError(f"the other process gave no answer within {limit_s:g} s") from None

    def tell(self, kind: str, *values: Any) -> None:
        """Sends news; nothing happens where the other side is gone."""
        if self.is_open:
            self._send([0, kind, values])

    def close(self) -> None:
        """Ends the connection; what was sent still arrives."""
        if self._transport is not None:
            self._transport.close()

    async def closed(self) -> None:
        """Ends the connection, and waits until it has."""
        self.close()
        while self.is_open:  # noqa: ASYNC110 - for a turn or two of the loop
            await asyncio.sleep(0.001)

    def _send(self, frame: object) -> None:
        data = _encode(frame)
        transport = cast(asyncio.Transport, self._transport)
        transport.write(len(data).to_bytes(HEAD, "big") + data)

    # ---- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        for answer in list(self._asked.values()):
            if not answer.done():
                answer.set_exception(ChannelError("the other process is gone"))
                answer.exception()  # nobody may be waiting for it
        for task in self._tasks:
            task.cancel()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= HEAD:
            size = int.from_bytes(received[at : at + HEAD], "big")
            if size > LONGEST:
                log.error("a frame between the processes of the proxy is too long (%d bytes)", size)
                self.close()
                return
            if len(received) - at - HEAD < size:
                break
            frame = bytes(received[at + HEAD : at + HEAD + size])
            at += HEAD + size
            self._take(*_decode(frame))
        del received[:at]

    def _take(self, number: int, kind: Any, values: Any) -> None:
        if number < 0:
            answer = self._asked.get(-number)
            if answer is None or answer.done():
                return
            if kind:
                answer.set_result(values)
            else:
                answer.set_exception(ChannelError(values))
            return
        try:
            found = self.handlers[kind](*values)
        except Exception as fault:
            self._failed(number, kind, fault)
            return
        if isawaitable(found):
            task = asyncio.ensure_future(self._finish(number, kind, found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number:
            self._send([-number, True, found])

    async def _finish(self, number: int, kind: str, work: Awaitable[Any]) -> None:
        try:
            found = await work
        except Exception as fault:
            self._failed(number, kind, fault)
            return
        if number and self.is_open:
            self._send([-number, True, found])

    def _failed(self, number: int, kind: str, fault: Exception) -> None:
        """Answers that a handler failed; what is not the other side's fault is logged with its traceback."""
        if isinstance(fault, Refusal):
            text = str(fault)
        else:
            log.error("the message %r of another process of the proxy failed", kind, exc_info=fault)
            text = f"{type(fault).__name__}: {fault}"
        if number and self.is_open:
            self._send([-number, False, text])


class Refusal(Exception):
    """Raised by a handler to say why it does not do what is asked."""
