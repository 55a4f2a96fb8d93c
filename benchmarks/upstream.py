"""A static upstream as fast as Python allows: it reads a request and writes bytes made beforehand, whatever was asked.

The path's end chooses the answer (chat, Anthropic), the body's `"stream":true` the stream of 200 events, of which as
many go into one write as the command line says. A path can begin with other numbers: `/4/v1/…` are four events a write,
`/1x50/…` a stream of 50 events, and a stream of `/held/…` says its first words and no more. Its answers name the model
`chat-4`, that of the path and of its end, so that a gateway need not rename it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any, ClassVar, cast

import uvloop
from msgspec import Struct

from crosswire.proxy.server.descriptors import raise_descriptor_limit

EVENTS = 200

BACKLOG = 4096
"""Connections that may wait to be accepted: more than a crowd has."""

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_770_000_000,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello! How can I help you today?", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "bench",
    "content": [{"type": "text", "text": "Hello! How can I help you today?"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 9},
}


def _sse(event: dict[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


def chat_stream(model: str = "bench", events: int = EVENTS) -> list[bytes]:
    """A chat stream of so many content chunks."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_770_000_000, "model": model}
        return _sse({**head, "choices": [choice]})

    usage = {**CHAT, "object": "chat.completion.chunk", "model": model, "choices": []}
    body = [chunk({"content": f" word{n}"}) for n in range(events)]
    return [chunk({"role": "assistant", "content": ""}), *body, chunk({}, "stop"), _sse(usage), b"data: [DONE]\n\n"]


def anthropic_stream(model: str = "bench", events: int = EVENTS) -> list[bytes]:
    """An Anthropic stream of so many text deltas."""
    start = {**ANTHROPIC, "model": model, "content": [], "stop_reason": None}
    frames = [
        _sse({"type": "message_start", "message": start}, "message_start"),
        _sse(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            "content_block_start",
        ),
    ]
    for n in range(events):
        delta = {"type": "text_delta", "text": f" word{n}"}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        frames.append(_sse(event, "content_block_delta"))
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    frames.append(_sse({"type": "content_block_stop", "index": 0}, "content_block_stop"))
    frames.append(_sse({"type": "message_delta", "delta": stop, "usage": {"output_tokens": events}}, "message_delta"))
    frames.append(_sse({"type": "message_stop"}, "message_stop"))
    return frames


def _whole(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def _chunked(frames: list[bytes]) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames]
    return [head + chunks[0], *chunks[1:-1], chunks[-1] + b"0\r\n\r\n"]


HELD = "held"
"""The beginning of a path whose streams stay open after their first words."""


class Answers(Struct, frozen=True):
    """The answers to requests at one path: a whole one, and the writes of a stream, which may be held open."""

    whole: bytes
    writes: tuple[bytes, ...]
    is_held: bool


def answers(path: bytes, writes_of: int) -> Answers:
    """The answers at this path; streams have so many events a write, if it names no other number."""
    kind = ANTHROPIC if path.endswith(b"/messages") else CHAT
    first = path.decode().split("/")[1]
    is_held, found = first == HELD, _NUMBERS.fullmatch(first)
    name = "anthropic" if kind is ANTHROPIC else "chat"
    model = f"{name}-{first}" if found or is_held else "bench"
    coalesce = int(found[1]) if found else writes_of
    events = int(found[2] or EVENTS) if found else EVENTS
    frames = (anthropic_stream if kind is ANTHROPIC else chat_stream)(model, events)
    chunks = _chunked(frames)
    if is_held:
        writes = [b"".join(chunks[: next(n for n, frame in enumerate(frames) if b"word0" in frame) + 1])]
    else:
        writes = [b"".join(chunks[n : n + coalesce]) for n in range(0, len(chunks), coalesce)]
    return Answers(_whole({**kind, "model": model}), tuple(writes), is_held)


_NUMBERS = re.compile(r"(\d+)(?:x(\d+))?")


class Upstream(asyncio.Protocol):
    """One connection: counts the bytes of each request, answers, and waits for the next."""

    known: ClassVar[dict[bytes, Answers]] = {}

    def __init__(self, coalesce: int) -> None:
        self._coalesce = coalesce

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance
        self._parts: list[bytes] = []
        self._size = self._due = 0

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        while self._size >= self._due:
            buffer = b"".join(self._parts)
            end = buffer.find(b"\r\n\r\n")
            self._parts, self._due = [buffer], 0
            if end < 0:
                return
            head = buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._due = end + 4 + length
            if self._size < self._due:
                return
            body, rest = buffer[end + 4 : self._due], buffer[self._due :]
            self._parts, self._size, self._due = [rest], len(rest), 0
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        found = self.known.get(path)
        if found is None:
            found = self.known[path] = answers(path, self._coalesce)
        if b'"stream":true' in body:
            asyncio.get_running_loop().create_task(self._stream(found))
        else:
            self._transport.write(found.whole)

    async def _stream(self, found: Answers) -> None:
        for data in found.writes:
            self._transport.write(data)
            await asyncio.sleep(0)


async def _main(port: int, coalesce: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(coalesce), "127.0.0.1", port, backlog=BACKLOG
    )
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    raise_descriptor_limit()
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2])))
