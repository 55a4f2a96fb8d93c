"""A static upstream as fast as Python allows: it reads a request and writes bytes made beforehand, whatever was asked.

The path's end chooses the answer (chat, Anthropic), the body's `"stream":true` the stream of 200 events, of which as
many go into one write as the command line says.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, ClassVar, cast

import uvloop

EVENTS = 200

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


def chat_stream() -> list[bytes]:
    """A chat stream of EVENTS content chunks."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_770_000_000, "model": "bench"}
        return _sse({**head, "choices": [choice]})

    usage = {**CHAT, "object": "chat.completion.chunk", "choices": []}
    body = [chunk({"content": f" word{n}"}) for n in range(EVENTS)]
    return [chunk({"role": "assistant", "content": ""}), *body, chunk({}, "stop"), _sse(usage), b"data: [DONE]\n\n"]


def anthropic_stream() -> list[bytes]:
    """An Anthropic stream of EVENTS text deltas."""
    start = {**ANTHROPIC, "content": [], "stop_reason": None}
    frames = [
        _sse({"type": "message_start", "message": start}, "message_start"),
        _sse(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            "content_block_start",
        ),
    ]
    for n in range(EVENTS):
        delta = {"type": "text_delta", "text": f" word{n}"}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        frames.append(_sse(event, "content_block_delta"))
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    frames.append(_sse({"type": "content_block_stop", "index": 0}, "content_block_stop"))
    frames.append(_sse({"type": "message_delta", "delta": stop, "usage": {"output_tokens": EVENTS}}, "message_delta"))
    frames.append(_sse({"type": "message_stop"}, "message_stop"))
    return frames


def _whole(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def _chunked(frames: list[bytes]) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames]
    return [head + chunks[0], *chunks[1:-1], chunks[-1] + b"0\r\n\r\n"]


class Upstream(asyncio.Protocol):
    """One connection: counts the bytes of each request, answers, and waits for the next."""

    unary: ClassVar = {b"messages": _whole(ANTHROPIC), b"completions": _whole(CHAT)}
    streams: ClassVar = {b"messages": _chunked(anthropic_stream()), b"completions": _chunked(chat_stream())}

    def __init__(self, coalesce: int) -> None:
        self._coalesce = coalesce

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            kind = b"messages" if b"/messages" in head[:200] else b"completions"
            if b'"stream":true' in body:
                asyncio.get_running_loop().create_task(self._stream(kind))
            else:
                self._transport.write(self.unary[kind])

    async def _stream(self, kind: bytes) -> None:
        frames = self.streams[kind]
        for n in range(0, len(frames), self._coalesce):
            self._transport.write(b"".join(frames[n : n + self._coalesce]))
            await asyncio.sleep(0)


async def _main(port: int, coalesce: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(coalesce), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2])))
