"""A proxy that runs while its store changes: it sees the change soon, and what is under way ends as it began."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from crosswire.proxy.config import Config, load_file
from crosswire.proxy.server.app import gateway_of
from crosswire.proxy.server.reload import Reloader
from crosswire.proxy.store import credentials, mappings
from crosswire.proxy.store.crypto import new_key
from crosswire.proxy.store.database import Store
from crosswire.proxy.store.reader import read_store
from crosswire.proxy.store.watch import Watcher

from ..proxy_fixture import Stage, read_chunk, read_head, request, stage
from ..sample_messages import TEXT, ask, dumps, reply, said, stream
from ..scripted_upstream import LAST, chunk, head, http, upstream

FIRST, SECOND = "sk-the-first-key-0000001", "sk-the-second-key-000002"


class Desk:
    """A proxy over a store, and a hand that changes it."""

    def __init__(self, it: Stage, store: Store) -> None:
        self.it = it
        self.store = store

    async def key(self, key: str, base_url: str) -> None:
        async with self.store.writing() as connection:
            ring = await self.store.ring(connection)
            assert ring is not None
            await credentials.add(connection, ring, "anthropic", key, base_url=base_url)


@asynccontextmanager
async def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    url, file = f"sqlite:///{folder}/s.db", folder / "c.yaml"
    file.write_text("backends: {anthropic: {}}\nstore_poll_s: 0.01\nretry: {attempts: 1}\n")
    env = {"CROSSWIRE_MASTER_KEY": base64.b64encode(new_key()).decode()}
    monkeypatch.setenv("CROSSWIRE_MASTER_KEY", env["CROSSWIRE_MASTER_KEY"])

    def load() -> Config:
        return load_file(file, {}, stored=read_store(url, create=True))

    async with stage(load()) as it:
        gateway, store = gateway_of(it.app), Store(url, env)
        reload = Reloader(gateway, load, None).reload
        reports: list[str | None] = []
        watcher = Watcher(lambda: url, env, lambda: 0.01, lambda: gateway.config.revision, reload, reports.append)
        task = asyncio.ensure_future(watcher.watch())
        yield Desk(it, store)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()


async def until(it: Stage, status: int) -> dict[str, str]:
    """The headers of the first answer with this status."""
    async with asyncio.timeout(20):
        while (answer := await it.ask("/v1/messages", ask("anthropic"))).status != status:
            pass
        return answer.headers


async def test_credential_changes_apply_to_a_running_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, desk(tmp_path, monkeypatch) as it:
        assert (
            "No credentials configured for anthropic"
            in (await it.it.ask("/v1/messages", ask("anthropic"))).body.decode()
        )
        assert up.requests == []
        await it.key(FIRST, up.url)
        await until(it.it, 200)
        old = gateway_of(it.it.app).backends["anthropic"]
        await it.key(SECOND, up.url)
        async with asyncio.timeout(20):
            while up.requests[-1].headers["x-api-key"] != SECOND:
                await until(it.it, 200)
        assert gateway_of(it.it.app).backends["anthropic"] is not old
        async with it.store.writing() as connection:
            await credentials.remove(connection, "anthropic")
        await until(it.it, 502)


async def test_a_stream_keeps_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, frames = asyncio.Event(), stream("anthropic")
    script = [head(), *(chunk(frame) for frame in frames[:4]), gate, *(chunk(frame) for frame in frames[4:]), LAST]
    async with (
        upstream([http(dumps(reply("anthropic")))], script) as a,
        upstream([http(dumps(reply("anthropic")))]) as b,
        desk(tmp_path, monkeypatch) as it,
    ):
        await it.key(FIRST, a.url)
        await until(it.it, 200)
        assert len(a.requests) == 1
        reader, writer = await it.it.connect()
        writer.write(request("/v1/messages", ask("anthropic", stream=True)))
        await read_head(reader)
        body = await read_chunk(reader) or b""
        await it.key(SECOND, b.url)
        async with asyncio.timeout(20):
            while not b.requests:
                await it.it.get("/livez")
                if gateway_of(it.it.app).config.plan.by_name["anthropic"].base_url == b.url:
                    await until(it.it, 200)
        gate.set()
        while (piece := await read_chunk(reader)) is not None:
            body += piece
        writer.close()
    assert said("anthropic", body) == TEXT
    assert [heard.headers["x-api-key"] for heard in (*a.requests, *b.requests)] == [FIRST, FIRST, SECOND]


async def command(folder: Path, *argv: str, key: str = "") -> str:
    """Runs a command in this folder, which must succeed; returns its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crosswire.proxy", *argv),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(f"{key}\n".encode()), 60)
    assert process.returncode == 0, out
    return out.decode()


async def test_store_commands_apply_to_a_running_proxy(tmp_path: Path) -> None:
    """A proxy that began without a store serves what the commands put into one, under their keys."""
    (tmp_path / "crosswire.yaml").write_text(
        "backends: {box: {provider: ollama}}\nstore_poll_s: 0.05\nmodel_lists_s: 0\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crosswire.proxy", "serve", "--port", "0"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        welcome = await asyncio.wait_for(process.stdout.readuntil(b"curl "), 30)
        it = Stage(web.Application(), int(welcome.partition(b"127.0.0.1:")[2].partition(b"\n")[0]))
        async with upstream([http(dumps(reply("anthropic")))]) as up:
            added = await command(tmp_path, "credentials", "add", "claude", "--base-url", up.url, key=FIRST)
            assert "credential anthropic/default: added" in added
            assert FIRST not in added
            await command(tmp_path, "mappings", "add", "small", "anthropic", "--model", "claude-x")
            async with asyncio.timeout(60):
                while (answer := await it.ask("/v1/messages", ask("anthropic", model="small"))).status != 200:
                    await it.get("/livez")
            assert answer.headers["x-crosswire-backend"] == "anthropic"
            assert (up.requests[0].headers["x-api-key"], b"claude-x" in up.requests[0].body) == (FIRST, True)
    finally:
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    assert FIRST.encode() not in err


async def test_an_invalid_row_keeps_the_running_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up, desk(tmp_path, monkeypatch) as it:
        await it.key(FIRST, up.url)
        await until(it.it, 200)
        async with it.store.writing() as connection:
            await mappings.add(connection, "x", "nobody")
        async with asyncio.timeout(20):
            while b"nobody" not in (ready := await it.it.get("/readyz")).body:
                pass
        assert (ready.status, (await it.it.ask("/v1/messages", ask("anthropic"))).status) == (200, 200)
        assert "store: mapping 1: no backend and no provider is called 'nobody'" in caplog.text
