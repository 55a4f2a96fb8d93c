"""`python -m benchmarks.scale`: several workers beside one, and what a killed or a replaced worker costs its clients.

Every measurement is bounded in time. Figures of CPU are ratios in one run; on a machine with two cores the loader and
the upstream take the second, so that the requests a second say little there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import uvloop

from crosswire.proxy.server.descriptors import raise_descriptor_limit

from .keep_alive import Outcome, keep_asking, post
from .load import load
from .ports import free_port
from .upstream import EVENTS, chat_stream

ROOT = Path(__file__).parent.parent
PATH = "/v1/chat/completions"
BODY = {"model": "bench", "messages": [{"role": "user", "content": "Hello! Please say something nice about proxies."}]}
CONNECTIONS = 256
"""Connections of the loader, so many that the system spreads them evenly over the workers' sockets."""

CPU_RATIO, BUSIEST, LOST, STREAM_KIB = 1.10, 0.60, 0, 40
"""The targets: CPU a request with two workers to one, the busiest one's share, lost requests, memory a stream."""


class Proxy:
    """A running proxy with so many workers."""

    def __init__(self, process: subprocess.Popen[str], port: int, workers: int, runtime: str) -> None:
        self.process = process
        self.port = port
        self.workers = workers
        self.runtime = runtime

    def pids(self) -> list[int]:
        """Its processes that serve: the workers, or itself where it has none."""
        if self.workers == 1:
            return [self.process.pid]
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(line) for line in found.stdout.split()]

    def cpu_s(self) -> float:
        """The seconds of CPU of all its processes, the supervisor among them."""
        return sum(map(_cpu_s, {self.process.pid, *self.pids()}))

    def rss_kib(self) -> int:
        """The memory of the processes that serve."""
        return sum(_rss_kib(pid) for pid in self.pids())

    async def served(self) -> list[float]:
        """The requests of each worker so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nconnection: close\r\n\r\n".encode())
        text = (await asyncio.wait_for(reader.read(), 30)).decode()
        writer.close()
        return [float(each) for each in re.findall(r"^crosswire_worker_requests_total\{.*\} (\S+)", text, re.MULTILINE)]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


@contextmanager
def _started(arguments: list[str], ready: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program of ours, once it says that it is ready; ended by its own id."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if ready in line:
                    break
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _proxy(workers: int, upstream: int) -> Iterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        port = free_port()
        backend = {"protocol": "openai-chat", "base_url": f"http://127.0.0.1:{upstream}/v1", "api_key": "key"}
        file = Path(folder) / "crosswire.yaml"
        config = {
            "listen": f"127.0.0.1:{port}",
            "backends": {"bench": backend},
            "model_lists_s": 0,
            "limits": {"connections": 20_000, "streams": 20_000},
            "max_in_flight": 0,
        }
        file.write_text(json.dumps(config))
        arguments = ["-m", "crosswire.proxy", "serve", "--config", str(file), "--workers", str(workers)]
        with _started(arguments, "Try it", {"XDG_RUNTIME_DIR": folder}) as process:
            yield Proxy(process, port, workers, folder)


# ---- two workers beside one ------------------------------------------------------------------------------------------


async def compare(proxies: list[Proxy], seconds: float, rounds: int, *, stream: bool) -> list[dict[str, float]]:
    """CPU a request, requests a second and the busiest worker's share of each proxy, in turn; medians of the rounds."""
    body = json.dumps(BODY | ({"stream": True} if stream else {}), separators=(",", ":")).encode()
    found: list[list[dict[str, float]]] = [[] for _ in proxies]
    for number in range(rounds + 1):  # the first warms up and is thrown away
        for proxy, figures in zip(proxies, found, strict=True):
            before, served = proxy.cpu_s(), await proxy.served()
            figure = await load(proxy.port, PATH, body, CONNECTIONS, seconds if number else 0.5)
            cpu = proxy.cpu_s() - before
            shares = [after - was for after, was in zip(await proxy.served(), served, strict=True)]
            if number:
                busiest = max(shares) / sum(shares) if shares and sum(shares) else 1.0
                answers = max(figure["answers"], 1)
                figures.append(figure | {"cpu_us": cpu / answers * 1e6, "busiest": busiest})
    return [{key: median(each[key] for each in figures) for key in figures[0]} for figures in found]


# ---- concurrent streams ----------------------------------------------------------------------------------------------


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class HeldStreams:
    """An upstream whose streams begin, and go on once they may."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.begun = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *rest = chat_stream()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head[head.find(b"content-length:") + 15 :].split(b"\r\n", 1)[0]))
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + first + rest[0]
        )
        self.begun += 1
        await self.goes_on.wait()
        writer.write(b"".join(rest[-3:]))
        await writer.drain()
        writer.close()


async def hold_streams(proxy: Proxy, held: HeldStreams, streams: int) -> dict[str, float]:
    """The memory of the workers for each of so many streams at once, and how many of them ended well."""
    body = json.dumps(BODY | {"stream": True}).encode()
    request = post(proxy.port, PATH, body)
    before = proxy.rss_kib()
    clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for at in range(0, streams, 200):
        new = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(min(200, streams - at)))
        )
        for _, writer in new:
            writer.write(request)
        clients += new
        until = perf_counter() + 30
        while held.begun < len(clients) and perf_counter() < until:  # noqa: ASYNC110 - the upstream counts
            await asyncio.sleep(0.02)
    begun, kib = held.begun, (proxy.rss_kib() - before) / max(held.begun, 1)
    held.goes_on.set()
    ends = await asyncio.gather(*(_rest(reader) for reader, _ in clients))
    for _, writer in clients:
        writer.close()
    return {"streams": begun, "kib": kib, "whole": sum(ends)}


async def _rest(reader: asyncio.StreamReader) -> bool:
    """Reads a stream to its end; returns whether it has one."""
    tail = b""
    try:
        async with asyncio.timeout(120):
            while not tail.endswith(b"\r\n0\r\n\r\n"):
                data = await reader.read(65536)
                if not data:
                    return False
                tail = (tail + data)[-16:]
    except (TimeoutError, ConnectionError):
        return False
    return True


# ---- a worker that dies, and workers that are replaced ---------------------------------------------------------------


async def ask_many(proxy: Proxy, requests: int, clients: int, meanwhile: Any) -> tuple[Outcome, Any]:
    """Asks so many times by so many clients, while something happens to the proxy."""
    outcome, left = Outcome(), requests

    def goes_on() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    request = post(proxy.port, PATH, json.dumps(BODY).encode())
    asking = [asyncio.ensure_future(keep_asking(proxy.port, request, goes_on, outcome)) for _ in range(clients)]
    await asyncio.sleep(0.3)
    what = await meanwhile(proxy, outcome)
    await asyncio.gather(*asking)
    return outcome, what


async def kill(proxy: Proxy, outcome: Outcome) -> int:
    """Kills a worker; returns how many requests were under way at all workers."""
    victim, under_way = proxy.pids()[0], outcome.under_way
    os.kill(victim, signal.SIGKILL)
    return under_way


async def restart(proxy: Proxy, outcome: Outcome) -> float:
    """Replaces all workers; returns the seconds that it took."""
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crosswire.proxy", "restart", "--port", str(proxy.port)),
        env={**os.environ, "XDG_RUNTIME_DIR": proxy.runtime},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return perf_counter() - began


# ---- the command line ------------------------------------------------------------------------------------------------


async def measure(args: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    upstream = free_port()
    stack.enter_context(_started(["-m", "benchmarks.upstream", str(upstream), "4"], "ready"))
    figures: dict[str, Any] = {}
    with _proxy(1, upstream) as one, _proxy(args.workers, upstream) as several:
        for name, stream in (("unary", False), ("streams", True)):
            figures[name] = await compare([one, several], args.seconds, args.rounds, stream=stream)
            print(f"measured {name}", file=sys.stderr)
        outcome, under_way = await ask_many(several, args.requests // 2, args.clients, kill)
        figures["kill"] = {"counts": dict(outcome.counts), "under_way": under_way, "slowest_s": outcome.slowest}
        print("measured the kill of a worker", file=sys.stderr)
        await asyncio.sleep(1)
        outcome, took = await ask_many(several, args.requests, args.clients, restart)
        figures["restart"] = {"counts": dict(outcome.counts), "took_s": took, "slowest_s": outcome.slowest}
        print("measured a restart", file=sys.stderr)
    held = HeldStreams()
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0, backlog=2048)
    with _proxy(args.workers, server.sockets[0].getsockname()[1]) as several:
        figures["held"] = await hold_streams(several, held, args.streams)
    server.close()
    return figures


def show(figures: dict[str, Any], workers: int) -> None:
    """Prints the figures beside their targets."""
    print(
        f"| {workers} workers beside one | CPU µs a request | of one | target | busiest | target | requests/s of one |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in ("unary", "streams"):
        one, several = figures[name]
        what = name if name == "unary" else f"streams of {EVENTS} events"
        print(
            f"| {what} | {several['cpu_us']:.0f} | {several['cpu_us'] / one['cpu_us']:.2f} | ≤ {CPU_RATIO} | "
            f"{several['busiest']:.0%} | ≤ {BUSIEST:.0%} | {several['rps'] / one['rps']:.2f} |"
        )
    killed, replaced, held = figures["kill"], figures["restart"], figures["held"]
    print(f"\nkill of a worker: {_counts(killed)}; {killed['under_way']} were under way at all workers")
    print(f"restart of all: {_counts(replaced)} (target: {LOST} lost); it took {replaced['took_s']:.1f} s")
    whole = f"{held['whole']:.0f} of {held['streams']:.0f} ended well"
    print(f"{held['streams']:.0f} streams at once: {held['kib']:.1f} KiB each (target: ≤ {STREAM_KIB}); {whole}")


def _counts(figure: dict[str, Any]) -> str:
    told = ", ".join(f"{number} {what}" for what, number in figure["counts"].items())
    return f"{told}; the slowest took {figure['slowest_s']:.2f} s"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Several workers beside one.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of load a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000, help="while the workers are replaced")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--streams", type=int, default=1_000, help="at once")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    raise_descriptor_limit()
    with ExitStack() as stack:
        figures = uvloop.run(measure(args, stack))
    show(figures, args.workers)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
