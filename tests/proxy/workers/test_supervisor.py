"""The supervisor with processes that are no workers: what dies is started again, later and later."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crosswire.proxy.limits.state import MemoryState
from crosswire.proxy.workers.channel import Refusal
from crosswire.proxy.workers.limit_desk import SharedLimits
from crosswire.proxy.workers.supervisor import Supervisor, Times, open_private_socket
from crosswire.proxy.workers.worker import WorkerSpec
from tests.proxy.proxy_fixture import config, one

PROGRAM = """
import json, socket, sys, msgspec
spec = json.loads(sys.argv[1])
one = socket.socket(socket.AF_UNIX)
one.connect(spec["socket"])
def send(frame):
    data = msgspec.msgpack.encode(frame)
    one.sendall(len(data).to_bytes(4, "big") + data)
send([1, "hello", [spec["role"], spec["version"]]])
one.recv(65536)
send([0, "listening", []])
{then}
"""

SERVES = "while one.recv(65536): pass"
"""A worker that ends when its channel does."""

DIES = "raise SystemExit(7)"


@asynccontextmanager
async def supervisor(then: Callable[[int], str], workers: int = 1, *, hello: bool = True) -> AsyncIterator[Supervisor]:
    """A supervisor of programs that greet it and then do what is said for the first, the second, …"""
    count = 0

    def command(spec: WorkerSpec) -> list[str]:
        nonlocal count
        count += 1
        program = PROGRAM.replace("{then}", then(count)) if hello else "raise SystemExit(1)"
        return [sys.executable, "-S", "-c", _path() + program, spec.as_argument()]

    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        path = Path(folder) / "control"
        it = Supervisor(
            config(one("ollama", "http://127.0.0.1:1")),
            workers,
            [[]],
            WorkerSpec("", str(path), "1"),
            command,
            SharedLimits(MemoryState(time.monotonic, time.time)),
            {},
            times=Times(first_wait_s=0.01, most_wait_s=0.02),
        )
        server = await asyncio.get_running_loop().create_unix_server(it.connect, sock=open_private_socket(path))
        try:
            await it.start()
            yield it
        finally:
            cut = asyncio.Event()
            cut.set()
            await it.stop(cut)
            server.close()


def _path() -> str:
    return f"import sys; sys.path[:] = {sys.path!r}\n"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.01)


async def test_what_dies_is_started_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    async with supervisor(lambda number: DIES if number < 4 else SERVES) as it:
        await until(lambda: it.starts["1"] == 4 and not it.state()["workers"])
    assert caplog.text.count("worker 1 ended (exit code 7) and is started again") == 3


async def test_one_that_never_serves_ends_the_start() -> None:
    async with supervisor(lambda number: SERVES, hello=False) as it:
        assert it.failed.result() == 1


async def test_a_restart_without_a_successor_changes_nothing() -> None:
    async with supervisor(lambda number: SERVES) as it:
        before = it.workers()
        with pytest.raises(Refusal, match="worker 1 does not come up"):
            await _restart_with_a_broken_program(it)
        assert it.workers() == before
        assert not it.state()["workers"]


async def _restart_with_a_broken_program(it: Supervisor) -> None:
    it.command = lambda spec: [sys.executable, "-S", "-c", "raise SystemExit(9)"]
    await it.restart()


async def test_a_restart_replaces_all() -> None:
    async with supervisor(lambda number: SERVES, workers=2) as it:
        before = it.workers()
        assert await it.restart() == "2 workers were replaced"
        assert not set(it.workers()[:2]) & set(before)
        assert it.starts == {"1": 2, "2": 2}


async def test_another_version_is_no_worker() -> None:
    async with supervisor(lambda number: SERVES) as it:
        with pytest.raises(Refusal, match="it is version 2, and the supervisor 1: restart the whole proxy"):
            it.connect().handlers["hello"]("1", "2")
        with pytest.raises(Refusal, match="no such worker"):
            it.connect().handlers["hello"]("9", "1")
        with pytest.raises(Refusal, match="no such worker"):
            it.connect().handlers["hello"]("1", "1")
