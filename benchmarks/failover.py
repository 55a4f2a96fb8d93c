"""`python -m benchmarks.failover`: one of two backends is killed under load; prints what clients saw of it.

Unary requests must all be answered. A stream that had begun cannot be: it must end with its protocol's error, and no
answer may hold words of both models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp

from .ports import free_port

ROOT = Path(__file__).parent.parent
WORDS = 20
"""Words of each stream, and a pause before each."""
PAUSE_S = 0.002
BODY = {"model": "m", "messages": [{"role": "user", "content": "Say your name, again and again."}]}


# ---- the upstreams ---------------------------------------------------------------------------------------------------


async def _serve(name: str, port: int) -> None:
    """A chat backend whose every word is its own name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                if b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b""):
                    await _stream(name, writer)
                else:
                    await asyncio.sleep(PAUSE_S)
                    message = {"role": "assistant", "content": f"{name} " * WORDS}
                    body = _json("chat.completion", name, message=message, finish_reason="stop")
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    writer.write(head % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


async def _stream(name: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(WORDS):
        await asyncio.sleep(PAUSE_S)
        _chunk(writer, _json("chat.completion.chunk", name, delta={"content": f"{name} "}, finish_reason=None))
    _chunk(writer, _json("chat.completion.chunk", name, delta={}, finish_reason="stop"))
    _chunk(writer, b"[DONE]")
    writer.write(b"0\r\n\r\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    frame = b"data: " + data + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))


def _json(kind: str, name: str, **choice: Any) -> bytes:
    body = {"id": "x", "object": kind, "created": 1, "model": name, "choices": [{"index": 0, **choice}]}
    return json.dumps(body).encode()


# ---- the clients -----------------------------------------------------------------------------------------------------


def _models(text: str) -> str:
    return "+".join(sorted(set(text.split()))) or "nobody"


async def _unary(session: aiohttp.ClientSession, url: str) -> str:
    async with session.post(url, json=BODY) as response:
        body = await response.json()
        if response.status != 200:
            return f"lost: {response.status} {body['error']['message']}"
        return f"whole, by {_models(body['choices'][0]['message']['content'])}"


async def _streamed(session: aiohttp.ClientSession, url: str) -> str:
    text, ended, error = "", False, False
    async with session.post(url, json=BODY | {"stream": True}) as response:
        if response.status != 200:
            return f"lost: {response.status}"
        try:
            async for line in response.content:
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    frame = json.loads(line[6:])
                    error = error or "error" in frame
                    text += "".join(choice["delta"].get("content", "") for choice in frame.get("choices", ()))
        except aiohttp.ClientError:
            pass
    if ended and not error and len(text.split()) == WORDS:
        return f"whole, by {_models(text)}"
    return f"broken by an error in band, by {_models(text)}" if error else f"lost in silence, by {_models(text)}"


async def _run(kind: str, count: int, connections: int, url: str, victim: int) -> Counter[str]:
    """Send so many, and kill the first backend after a third of them."""
    seen: Counter[str] = Counter()
    numbers = iter(range(count))
    send = _unary if kind == "unary" else _streamed

    async def client() -> None:
        async with aiohttp.ClientSession() as session:
            for number in numbers:
                if number == count // 3:
                    os.kill(victim, signal.SIGKILL)  # a child of ours
                try:
                    seen[await send(session, url)] += 1
                except aiohttp.ClientError as fault:
                    seen[f"lost: {type(fault).__name__}"] += 1

    await asyncio.gather(*(client() for _ in range(connections)))
    return seen


# ---- the run ---------------------------------------------------------------------------------------------------------


def _start(arguments: Sequence[str], ready: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if ready in line:
            break
    return process


def _round(kind: str, count: int, connections: int) -> bool:
    """One kill; whether nothing was lost and nothing mixed."""
    first, second, port = free_port(), free_port(), free_port()
    running = []
    with tempfile.TemporaryDirectory() as folder:
        backends = {
            name: {"protocol": "openai-chat", "base_url": f"http://127.0.0.1:{at}/v1", "models": {name: name}}
            for name, at in (("first", first), ("second", second))
        }
        routes = [{"match": "m", "to": [{"backend": name, "model": name} for name in backends]}]
        config = {"listen": f"127.0.0.1:{port}", "backends": backends, "routes": routes}
        file = Path(folder) / "crosswire.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        try:
            running += [_start(["-m", "benchmarks.failover", "--serve", "first", str(first)], "ready")]
            running += [_start(["-m", "benchmarks.failover", "--serve", "second", str(second)], "ready")]
            running += [_start(["-m", "crosswire.proxy", "serve", "--config", str(file)], "Try it")]
            began = perf_counter()
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            seen = asyncio.run(_run(kind, count, connections, url, running[0].pid))
            took = perf_counter() - began
        finally:
            for process in running:
                process.terminate()
                process.wait(10)
    lost = sum(number for what, number in seen.items() if what.startswith("lost"))
    mixed = sum(number for what, number in seen.items() if "+" in what)
    print(f"{kind}: {count} requests, {connections} connections, {took:.1f} s: {lost} lost, {mixed} of two models")
    for what, number in seen.most_common():
        print(f"  {number:6} {what}")
    return lost == mixed == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover")
    parser.add_argument("--requests", type=int, default=10_000, help="unary; a fifth as many streams")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "PORT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(_serve(args.serve[0], int(args.serve[1])))
    good = [_round("unary", args.requests, args.connections), _round("stream", args.requests // 5, args.connections)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
