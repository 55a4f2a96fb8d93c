"""Backends that fail on demand, in the benchmark's own process: killed, restarted, refusing, stalling."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WORDS = 20
"""Words of each answer."""

Verdict = Callable[[int], bool]
"""Says of the n-th request whether it fails with a 503."""


def every(share: float) -> Verdict:
    """Fails this share of the requests, the same ones in every run."""
    dice = random.Random(5)
    return lambda _: dice.random() < share


class FaultyBackend:
    """A chat backend whose every word is its own name."""

    def __init__(self, name: str, *, fails: Verdict = lambda _: False, pause: float = 0.002, host: str = "127.0.0.1"):
        self.name = name
        self.fails = fails
        self.pause = pause
        self.host = host
        self.port = 0
        self.requests = 0
        self.under_way = 0
        self.endless = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.reached = asyncio.Condition()
        """Notified with each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, backlog=1024, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Ends the listener and every connection, as the death of the process would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset_connections()
        for task in self._tasks:
            task.cancel()

    def reset_connections(self) -> None:
        """Breaks every connection, whatever it does."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                body = await reader.readexactly(length)
                self.requests += 1
                self.under_way += 1
                async with self.reached:
                    self.reached.notify_all()
                try:
                    await self._answer(writer, b'"stream":true' in body.replace(b" ", b""))
                finally:
                    self.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self._writers.discard(writer)

    async def _answer(self, writer: asyncio.StreamWriter, streams: bool) -> None:
        if self.fails(self.requests):
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        elif streams:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            word = _json("chat.completion.chunk", self.name, delta={"content": f"{self.name} "}, finish_reason=None)
            for _ in range(100_000 if self.endless else WORDS):
                if not self.endless:
                    await asyncio.sleep(self.pause)
                _chunk(writer, word)
                await writer.drain()
            _chunk(writer, _json("chat.completion.chunk", self.name, delta={}, finish_reason="stop"))
            _chunk(writer, b"[DONE]")
            writer.write(b"0\r\n\r\n")
        else:
            await asyncio.sleep(self.pause)
            message = {"role": "assistant", "content": f"{self.name} " * WORDS}
            body = _json("chat.completion", self.name, message=message, finish_reason="stop")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    frame = b"data: " + data + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))


def _json(kind: str, name: str, **choice: Any) -> bytes:
    body = {"id": "x", "object": kind, "created": 1, "model": name, "choices": [{"index": 0, **choice}]}
    return json.dumps(body).encode()


@contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """A listener whose queue is full, so that a connection to it is never made."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((host, port))
                fillers.append(filler)
            yield
        finally:
            for filler in fillers:
                filler.close()
