"""A new config while the proxy runs: taken whole, or not at all and said so; what is under way ends as it began."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.config import Config, load_file
from crosswire.proxy.server.app import gateway_of
from crosswire.proxy.server.reload import Reloader

from ..proxy_fixture import KEY, Stage, config, one, read_chunk, read_head, request, stage
from ..sample_messages import TEXT, ask, dumps, reply, said, stream
from ..scripted_upstream import LAST, chunk, head, http, upstream


def written(file: Path, backends: dict[str, Any], **settings: Any) -> Config:
    """The config of this file, which says this from now on."""
    full = {name: {"api_key": KEY, **keys} for name, keys in backends.items()}
    file.write_text(json.dumps({"backends": full, "retry": {"attempts": 1}, **settings}))
    return load_file(file, {})


def reloader(it: Stage, file: Path) -> Reloader:
    return Reloader(gateway_of(it.app), lambda: load_file(file, {}), file)


async def test_a_new_config_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    async with (
        upstream([http(dumps(reply("anthropic")))]) as a,
        upstream([http(dumps(reply("ollama")))]) as b,
        stage(written(file, one("anthropic", a.url))) as it,
    ):
        first = await it.ask("/v1/messages", ask("anthropic"))
        written(file, {"other": {"protocol": "ollama", "base_url": b.url}})
        assert await reloader(it, file).reload()
        second = await it.ask("/v1/messages", ask("anthropic"))
        metrics = await it.metrics()
    assert [answer.headers["x-crosswire-backend"] for answer in (first, second)] == ["b", "other"]
    assert 'crosswire_config_reloads_total{outcome="taken"} 1.0' in metrics
    assert "crosswire_config_good 1.0" in metrics
    assert 'crosswire_breaker_state{backend="other"}' in metrics
    assert 'crosswire_breaker_state{backend="b"}' not in metrics


async def test_a_broken_file_changes_nothing_but_what_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "c.yaml"
    async with upstream([http(dumps(reply("anthropic")))]) as up, stage(written(file, one("anthropic", up.url))) as it:
        good = file.read_text()
        file.write_text("backends:\n  b: {protocol: anthropc}\n")
        door = reloader(it, file)
        assert not await door.reload()
        answer = await it.ask("/v1/messages", ask("anthropic"))
        ready = await it.get("/readyz")
        metrics = await it.metrics()
        file.write_text(good)
        assert await door.reload()
        after = await it.get("/readyz")
    assert answer.status == ready.status == 200
    assert b"the new config has errors" in ready.body
    assert f"{file}:2: backends.b.protocol".encode() in ready.body
    assert "crosswire_config_good 0.0" in metrics
    assert "the new config has errors" in caplog.text
    assert after.body == b"ready\n"


async def test_a_stream_ends_on_the_plan_that_it_began_with(tmp_path: Path) -> None:
    file, gate = tmp_path / "c.yaml", asyncio.Event()
    frames = stream("anthropic")
    script = [head(), *(chunk(f) for f in frames[:4]), gate, *(chunk(f) for f in frames[4:]), LAST]
    async with (
        upstream(script) as a,
        upstream([http(dumps(reply("ollama")))]) as b,
        stage(written(file, one("anthropic", a.url))) as it,
    ):
        reader, writer = await it.connect()
        writer.write(request("/v1/chat/completions", ask("openai-chat", stream=True)))
        _, headers = await read_head(reader)
        body = await read_chunk(reader) or b""
        old = gateway_of(it.app).backends["b"]
        written(file, {"other": {"protocol": "ollama", "base_url": b.url}})
        assert await reloader(it, file).reload()
        between = await it.ask("/api/chat", ask("ollama"))
        assert (old.busy, between.headers["x-crosswire-backend"]) == (1, "other")
        gate.set()
        while (piece := await read_chunk(reader)) is not None:
            body += piece
        writer.close()
    assert headers["x-crosswire-backend"] == "b"
    assert said("openai-chat", body) == TEXT
    assert old.busy == 0


async def test_what_stays_keeps_its_connections_and_beliefs(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    async with upstream([http(dumps(reply("anthropic")))]) as up:
        backends = one("anthropic", up.url)
        async with stage(written(file, backends, breaker={"failures": 1, "open_s": 60})) as it:
            gateway = gateway_of(it.app)
            await it.ask("/v1/messages", ask("anthropic"))
            kept, dead = gateway.backends["b"], {"dead": {"protocol": "ollama", "base_url": "http://127.0.0.1:9"}}
            gateway.breakers.failed("b", "upstream_unreachable", 0, gateway.now())
            written(file, backends | dead, breaker={"failures": 1, "open_s": 60})
            assert await reloader(it, file).reload()
            assert gateway.backends["b"] is kept
            assert gateway.breakers.state("b", gateway.now()) == "open"
            written(file, one("anthropic", up.url, priority=3) | dead)
            assert await reloader(it, file).reload()
            assert gateway.backends["b"] is not kept
        assert up.connections == 1


async def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        stage(written(file, one("anthropic", up.url), reload_s=0.01)) as it,
    ):
        watching = asyncio.ensure_future(reloader(it, file).watch())
        await asyncio.sleep(0.03)
        written(file, one("anthropic", up.url, models={"new": "new"}), reload_s=0.01)
        async with asyncio.timeout(5):
            while b"new" not in (await it.get("/v1/models")).body:
                pass
        watching.cancel()


async def test_what_needs_a_new_start_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "c.yaml"
    backends = one("ollama", "http://127.0.0.1:9")
    async with stage(written(file, backends)) as it:
        written(file, backends, listen="127.0.0.1:1234", body_limit=17)
        assert await reloader(it, file).reload()
    assert "listen takes effect at the next start" in caplog.text
    assert "body_limit takes effect at the next start" in caplog.text


def test_the_stage_is_no_signal_handler() -> None:
    """A proxy inside another program leaves that program's signals alone; `serve` alone listens to SIGHUP."""
    before = signal.getsignal(signal.SIGHUP)

    async def run() -> None:
        async with stage(config(one("ollama", "http://127.0.0.1:9"))):
            assert signal.getsignal(signal.SIGHUP) is before

    asyncio.run(run())
