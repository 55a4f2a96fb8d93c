"""The programs before the faulty backends of `benchmarks.faults`, and clients that count what became of requests."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import aiohttp

from .fault_upstream import WORDS, FaultyBackend
from .ports import free_port
from .with_names import Names

ROOT = Path(__file__).parent.parent

# ---- what stands before the backends ---------------------------------------------------------------------------------


class Target(Protocol):
    """A running program that relays to backends: its URL, and its process if it has one of its own."""

    url: str
    pid: int | None


class Start(Protocol):
    """Starts a program before these backends, given as URLs by name in the order in which they are tried."""

    def __call__(
        self, backends: Mapping[str, str], names: Names | None = None
    ) -> AbstractAsyncContextManager[Target]: ...


def proxy_config(backends: Mapping[str, str], port: int) -> dict[str, Any]:
    """A config with nothing but the backends: every setting is the default."""
    entries = {n: {"protocol": "openai-chat", "base_url": f"{url}/v1", "models": {n: n}} for n, url in backends.items()}
    routes = [{"match": "m", "to": [{"backend": name, "model": name} for name in backends]}]
    return {"listen": f"127.0.0.1:{port}", "backends": entries, "routes": routes}


class _Process:
    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid: int | None = pid


@asynccontextmanager
async def _process(arguments: Sequence[str], ready: str, url: str, names: Names | None) -> AsyncIterator[Target]:
    if names is not None:
        arguments = ["benchmarks.with_names", json.dumps(names), *arguments]
    process = subprocess.Popen(  # noqa: ASYNC220 - its own loop has nothing else to do yet
        [sys.executable, "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                break
        yield _Process(url, process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@asynccontextmanager
async def start_proxy(backends: Mapping[str, str], names: Names | None = None) -> AsyncIterator[Target]:
    """The proxy, as its command line starts it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crosswire.yaml"
        file.write_text(json.dumps(proxy_config(backends, port)))  # JSON is YAML
        arguments = [*("proxy" if names is None else "crosswire.proxy.__main__", "serve", "--config", str(file))]
        async with _process(arguments, "Try it", f"http://127.0.0.1:{port}", names) as target:
            yield target


@asynccontextmanager
async def start_relay(backends: Mapping[str, str], names: Names | None = None) -> AsyncIterator[Target]:
    """The relay."""
    port = free_port()
    arguments = ["benchmarks.failover_relay", str(port), *(f"{name}={url}" for name, url in backends.items())]
    async with _process(arguments, "ready", f"http://127.0.0.1:{port}", names) as target:
        yield target


# ---- the clients -----------------------------------------------------------------------------------------------------


def body(text: str = "Say your name, again and again.", *, stream: bool = False, model: str = "m") -> bytes:
    """A chat request."""
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked | ({"stream": True} if stream else {})).encode()


def _models(text: str) -> str:
    return "+".join(sorted(set(text.split()))) or "nobody"


class Client:
    """Sends requests and counts what became of them."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self._url = f"{target.url}/v1/chat/completions"
        self._session = session
        self.seen: Counter[str] = Counter()
        self.answered_at: list[float] = []

    async def send(self, data: bytes) -> None:
        try:
            outcome = await (self._streamed(data) if b'"stream": true' in data else self._unary(data))
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            outcome = f"lost: {type(fault).__name__}"
        self.seen[outcome] += 1
        if outcome.startswith("whole"):
            self.answered_at.append(perf_counter())

    async def all(self, count: int, connections: int, data: Callable[[int], bytes] = lambda _: body()) -> None:
        """So many requests over so many connections."""
        numbers = iter(range(count))

        async def one() -> None:
            for number in numbers:
                await self.send(data(number))

        await asyncio.gather(*(one() for _ in range(connections)))

    async def until(self, over: asyncio.Event, connections: int) -> None:
        """Requests over so many connections until the event."""

        async def one() -> None:
            while not over.is_set():
                await self.send(body())

        await asyncio.gather(*(one() for _ in range(connections)))

    @property
    def lost(self) -> int:
        return sum(number for outcome, number in self.seen.items() if not outcome.startswith(("whole", "broken")))

    @property
    def mixed(self) -> int:
        return sum(number for outcome, number in self.seen.items() if "+" in outcome)

    def silence(self, began: float) -> float:
        """The longest time without any answer."""
        times = [began, *sorted(self.answered_at)]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    async def _unary(self, data: bytes) -> str:
        async with self._session.post(self._url, data=data, headers=JSON) as response:
            found = await response.json()
            if response.status != 200:
                return f"lost: {response.status} {found['error']['message']}"
            return f"whole, by {_models(found['choices'][0]['message']['content'])}"

    async def _streamed(self, data: bytes) -> str:
        text, ended, error = "", False, False
        async with self._session.post(self._url, data=data, headers=JSON) as response:
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
        return f"broken in band, by {_models(text)}" if error else f"lost in silence, by {_models(text)}"


JSON = {"content-type": "application/json"}


@asynccontextmanager
async def two(
    start: Start, first: FaultyBackend, second: FaultyBackend, names: Names | None = None
) -> AsyncIterator[tuple[Client, Target]]:
    """Two backends, the program before them, and its client."""
    for backend in (first, second):
        await backend.start()
    try:
        async with start({first.name: first.url, second.name: second.url}, names) as target, session() as http:
            yield Client(target, http), target
    finally:
        first.kill()
        second.kill()


def session() -> aiohttp.ClientSession:
    """A client without limits of its own."""
    timeout = aiohttp.ClientTimeout(total=120)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
