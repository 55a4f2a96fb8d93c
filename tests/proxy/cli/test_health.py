"""`crosswire health`: its exit code is what a running proxy says of itself."""

from __future__ import annotations

import asyncio
import socket

import pytest

from crosswire.proxy.cli.main import main

from ..proxy_fixture import config, one, stage


async def health(*words: str) -> int:
    return await asyncio.to_thread(main, ["health", *words])


async def test_a_running_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as it:
        assert await health("--url", it.url) == 0
        assert capsys.readouterr().out == "ready\n"
        it.gateway.draining = True
        assert await health("--url", it.url) == 1
        assert await health("--url", it.url, "--live") == 0


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        assert main(["health", "--url", f"http://127.0.0.1:{taken.getsockname()[1]}"]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://h", "127.0.0.1:9001", "http://h:x", "http://"])
def test_no_address(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--url", url]) == 2
    assert "is not an address" in capsys.readouterr().err
