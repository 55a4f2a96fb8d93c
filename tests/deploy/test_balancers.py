"""Two replicas behind `deploy/haproxy.cfg` and `deploy/nginx.conf`: the shipped files, with other addresses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..proxy.proxy_fixture import Answer, Stage, config, one, read_answer, read_chunk, read_head, request, stage
from ..proxy.sample_messages import ask, dumps, path, reply, stream
from ..proxy.scripted_upstream import LAST, chunk, head, http, upstream
from .programs import DEPLOY, program

BALANCERS = ("haproxy", "nginx")

HOST = {"host": "ai.example.org"}
"""The name that clients use; each replica has it in `hosts`."""


@dataclass
class Balancer:
    """A running balancer: its port, its process, and for nginx its config's file."""

    port: int
    process: asyncio.subprocess.Process
    file: Path

    async def ask(self, where: str, body: object = None, method: str = "") -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request(where, body, HOST, method=method))  # type: ignore[arg-type]
            return await read_answer(reader)
        finally:
            writer.close()

    async def chat(self) -> Answer:
        return await self.ask(path("openai-chat"), ask("openai-chat"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def nginx_config(folder: Path, port: int, replicas: tuple[int, int]) -> str:
    """The shipped file with a test's addresses, and with its files in a folder of the test."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    changes = {
        "pid /run/nginx.pid;": f"pid {folder}/nginx.pid;\ndaemon off;",
        "/var/log/nginx/error.log": f"{folder}/error.log",
        "worker_processes auto;": "worker_processes 1;",
        "worker_connections 20000;": "worker_connections 200;",
        "listen 0.0.0.0:8080;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:9001 ": f"server 127.0.0.1:{replicas[0]} ",
        "server 127.0.0.1:9002 ": f"server 127.0.0.1:{replicas[1]} ",
        "  access_log off;": "  access_log off;\n"
        + "".join(
            f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def balancer(name: str, folder: Path, replicas: tuple[int, int]) -> AsyncIterator[Balancer]:
    command, port = program(name), free_port()
    env = dict(os.environ)
    if name == "nginx":
        file = folder / "nginx.conf"
        file.write_text(nginx_config(folder, port, replicas), "utf-8")
        words = ["-p", str(folder), "-c", str(file), "-e", f"{folder}/error.log"]
    else:
        file = DEPLOY / "haproxy.cfg"
        words = ["-db", "-f", str(file)]
        env |= {"LISTEN": f"127.0.0.1:{port}"}
        env |= {f"CROSSWIRE_{number}": f"127.0.0.1:{there}" for number, there in enumerate(replicas, 1)}
    process = await asyncio.create_subprocess_exec(
        command, *words, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    it = Balancer(port, process, file)
    try:
        async with asyncio.timeout(30):
            while not await is_up(it):  # noqa: ASYNC110 - a program of its own tells nobody
                await asyncio.sleep(0.02)
        yield it
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def is_up(it: Balancer) -> bool:
    """Returns whether the balancer answers anything, be it that no replica does."""
    try:
        return (await it.ask("/metrics")).status == 404
    except (OSError, asyncio.IncompleteReadError):
        return False


async def has_a_replica(it: Balancer) -> None:
    """Waits until the balancer knows of a replica that takes requests."""
    async with asyncio.timeout(30):
        while (await it.ask("/v1/models")).status != 200:  # noqa: ASYNC110 - a program of its own tells nobody
            await asyncio.sleep(0.05)


@asynccontextmanager
async def replicas(name: str, folder: Path, *script: object) -> AsyncIterator[tuple[Balancer, Stage, Stage]]:
    """The balancer before two replicas, whose backends play this script."""
    async with upstream(list(script)) as up:
        plan = config(one("openai-chat", up.url, models={"m": "m"}), hosts=["ai.example.org"])
        async with (
            stage(plan) as first,
            stage(plan) as second,
            balancer(name, folder, (first.port, second.port)) as it,
        ):
            yield it, first, second


def served(*stages: Stage) -> list[int]:
    return [each.gateway.metrics.totals().requests for each in stages]


@pytest.mark.parametrize("name", BALANCERS)
async def test_both_replicas_get_requests(name: str, tmp_path: Path) -> None:
    async with replicas(name, tmp_path, http(dumps(reply("openai-chat")))) as (it, first, second):
        for _ in range(6):
            assert (await it.chat()).status == 200
        assert sum(served(first, second)) == 6
        assert all(served(first, second))


@pytest.mark.parametrize("name", BALANCERS)
async def test_a_stream_arrives_at_once(name: str, tmp_path: Path) -> None:
    """The client has the first event while the backend still waits to be allowed to send the second."""
    first, *others = stream("openai-chat", words=("one", "two"))
    told, go_on = others[0], asyncio.Event()
    script = (head(), chunk(first), chunk(told), go_on, *(chunk(frame) for frame in others[1:]), LAST)
    async with replicas(name, tmp_path, *script) as (it, *_):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(path("openai-chat", stream=True), ask("openai-chat", stream=True), HOST))
        status, _ = await read_head(reader)
        seen = b""
        async with asyncio.timeout(20):
            while b"one" not in seen:
                seen += await read_chunk(reader) or b""
        assert status == 200
        assert b"two" not in seen
        go_on.set()
        async with asyncio.timeout(20):
            while (more := await read_chunk(reader)) is not None:
                seen += more
        writer.close()
    assert b"two" in seen
    assert b"[DONE]" in seen


@pytest.mark.parametrize("name", BALANCERS)
async def test_no_request_is_sent_twice(name: str, tmp_path: Path) -> None:
    """A replica that hangs up in the middle of a request is not followed by the other one."""
    async with upstream(["close"]) as first, upstream(["close"]) as second:
        # well as long as their health is asked for
        first.scripts[:] = second.scripts[:] = [[http(b"ready", kind="text/plain")]]
        async with balancer(name, tmp_path, (first.port, second.port)) as it:
            await has_a_replica(it)
            first.scripts[:] = second.scripts[:] = [["close"]]
            answer = await it.chat()
        posts = [heard for up in (first, second) for heard in up.requests if heard.method == "POST"]
    assert answer.status in (502, 503)
    assert len(posts) == 1


@pytest.mark.parametrize("name", BALANCERS)
async def test_draining_a_replica(name: str, tmp_path: Path) -> None:
    """The stream that the replica has under way ends as it should; every new request goes to the other one."""
    frames = stream("openai-chat", words=("one", "two"))
    go_on = asyncio.Event()
    script = (head(), *(chunk(frame) for frame in frames[:2]), go_on, *(chunk(frame) for frame in frames[2:]), LAST)
    async with replicas(name, tmp_path, *script) as (it, first, second):
        await has_a_replica(it)
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(path("openai-chat", stream=True), ask("openai-chat", stream=True), HOST))
        await read_head(reader)
        there, other = (first, second) if first.gateway.metrics.in_flight else (second, first)
        await drain(it, there, name)
        before = served(there)
        for _ in range(4):
            assert (await it.ask("/v1/models")).status == 200
        assert served(there) == before
        assert other.gateway.draining is False
        go_on.set()
        seen = b""
        async with asyncio.timeout(20):
            while (more := await read_chunk(reader)) is not None:
                seen += more
        writer.close()
    assert b"[DONE]" in seen


async def drain(it: Balancer, there: Stage, name: str) -> None:
    """Takes a replica out: HAProxy sees by itself that it drains, nginx is told."""
    if name == "nginx":
        text = it.file.read_text("utf-8")
        server = f"server 127.0.0.1:{there.port} "
        it.file.write_text(text.replace(server, f"{server}down "), "utf-8")
        it.process.send_signal(signal.SIGHUP)
    there.gateway.draining = True
    async with asyncio.timeout(30):
        good = 0
        while good < 8:  # both would have been asked by now
            good = good + 1 if (await it.ask("/v1/models")).status == 200 else 0
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", BALANCERS)
async def test_the_operators_paths_end_at_the_balancer(name: str, tmp_path: Path) -> None:
    async with replicas(name, tmp_path, http(dumps(reply("openai-chat")))) as (it, *both):
        for where in ("/metrics", "/crosswire/requests/1", "/crosswire", "/admin/x", "/ui", "/ui/data"):
            assert (await it.ask(where)).status == 404
        assert served(*both) == [0, 0]
