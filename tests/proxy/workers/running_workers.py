"""A proxy with several workers as processes, and the processes of it that live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.proxy.proxy_fixture import KEY, Answer, Stage

LIMIT_S = 60.0
"""Seconds for what takes one on a machine that has nothing else to do."""


class Workers(Stage):
    """The proxy on its port; `folder` is where its config lies."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, folder: Path, env: dict[str, str]) -> None:
        super().__init__(web.Application(), port)
        self.process = process
        self.folder = folder
        self.env = env
        self.config: dict[str, Any] = {}

    def pids(self) -> list[int]:
        """The processes that the supervisor started and that live."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)  # noqa: S603, S607
        return [int(line) for line in found.stdout.split()]

    def private_files(self) -> list[Path]:
        """The files that it keeps for itself while it runs."""
        return list(Path(self.env["XDG_RUNTIME_DIR"]).glob("*/*"))

    def write(self, **keys: Any) -> None:
        """Writes the config anew, with these keys changed."""
        self.config |= keys
        (self.folder / "crosswire.yaml").write_text(json.dumps(self.config))

    async def crosswire(self, *args: str) -> tuple[int, str]:
        """Runs a command beside it; returns its exit code and output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crosswire.proxy", *args),
            cwd=self.folder,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        return process.returncode or 0, out.decode()

    async def number(self, name: str, **labels: str) -> float:
        """A number of the metrics: the sum of the samples that have these labels."""
        admin = {"authorization": f"Bearer {self.config['admin_key']}"} if "admin_key" in self.config else {}
        text = (await self.get("/metrics", admin)).body.decode()
        lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))

    async def record(self, answer: Answer) -> dict[str, Any]:
        """The record of this answer's request, from whichever worker is asked."""
        found = await self.get(f"/crosswire/requests/{answer.headers['x-request-id']}")
        assert found.status == 200, found
        value = json.loads(found.body)
        assert isinstance(value, dict)
        return value

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and what stood on standard error."""
        self.process.send_signal(how)
        _, err = await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


async def until(true: Callable[[], Awaitable[Any]]) -> None:
    """Waits until this is true."""
    async with asyncio.timeout(LIMIT_S):
        while not await true():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def workers(
    tmp_path: Path, backends: dict[str, Any], *args: str, number: int = 2, **settings: Any
) -> AsyncIterator[Workers]:
    """Starts a proxy with so many workers on a free port, and ends it, whatever is left of it."""
    runtime = tempfile.mkdtemp(prefix="cw-")  # a socket's path is short
    env = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "XDG_RUNTIME_DIR": runtime}
    full = {name: {"api_key": KEY, **keys} if "base_url" in keys else keys for name, keys in backends.items()}
    it = Workers.__new__(Workers)
    it.folder, it.config = tmp_path, {}
    it.write(backends=full, model_lists_s=0, retry={"attempts": 1}, reload_settle_s=0.02, **settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crosswire.proxy", "serve", "--port", "0", "--workers", str(number), *args),
        cwd=tmp_path,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    pids: list[int] = []
    try:
        welcome = await asyncio.wait_for(process.stdout.read(64), LIMIT_S)
        port = re.search(rb"http://127\.0\.0\.1:(\d+)", welcome)
        assert port, (welcome, (await process.communicate())[1].decode())
        started = Workers(process, int(port[1]), tmp_path, env)
        started.config = it.config
        pids = started.pids()
        yield started
    finally:
        for pid in (*pids, process.pid):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ValueError):
            await process.communicate()
        shutil.rmtree(runtime, ignore_errors=True)


def answered(answers: list[Answer]) -> list[int]:
    """The statuses of these answers, each of which is whole."""
    assert all(each.whole for each in answers)
    return [each.status for each in answers]
