"""A new config while the proxy runs: taken whole, or not at all and said so; what is under way ends as it began."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.config import Config, load_file
from crosswire.proxy.server.app import gateway_of
from crosswire.proxy.server.reload import Reloader

from ..proxy_fixture import KEY, Stage, config, one, read_chunk, read_head, request, stage
from ..sample_messages import TEXT, ask, dumps, reply, said, stream
from ..scripted_upstream import LAST, chunk, head, http, upstream

QUICK = {"reload_s": 0.01, "reload_settle_s": 0.02}


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
        stage(written(file, one("anthropic", up.url), **QUICK)) as it,
    ):
        watching = asyncio.ensure_future(reloader(it, file).watch())
        await asyncio.sleep(0.03)
        written(file, one("anthropic", up.url, models={"new": "new"}), **QUICK)
        async with asyncio.timeout(5):
            while b"new" not in (await it.get("/v1/models")).body:
                pass
        watching.cancel()


@asynccontextmanager
async def watching(door: Reloader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(door.watch())
    yield task
    assert not task.done()
    task.cancel()


async def until_listed(it: Stage, model: str) -> None:
    async with asyncio.timeout(60):
        while model.encode() not in (await it.get("/v1/models")).body:
            pass


BROKEN: dict[str, str] = {
    "a mistake": "backends:\n  b: {protocol: anthropc}\n",
    "no YAML": "backends: {",
    "a host with an empty label": "backends: {b: {protocol: ollama, base_url: 'http://a..b/v1'}}",
    "a host that IDNA refuses": "backends: {b: {protocol: ollama, base_url: 'http://xn--zzzzzz/v1'}}",
    "deep": "[" * 5000,
    "nothing": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
async def test_no_broken_file_ends_the_watching(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    backends = one("ollama", "http://127.0.0.1:9", models=["old"])
    async with stage(written(file, backends, **QUICK)) as it, watching(reloader(it, file)):
        file.write_text(text)
        async with asyncio.timeout(60):
            while b"has errors" not in (await it.get("/readyz")).body:
                pass
        await until_listed(it, "old")
        written(file, one("ollama", "http://127.0.0.1:9", models=["new"]), **QUICK)
        await until_listed(it, "new")
        assert (await it.get("/readyz")).body == b"ready\n"


@pytest.mark.parametrize("fault", [UnicodeError("label"), MemoryError(), KeyError("x"), OSError("no disk")])
@pytest.mark.parametrize("where", ["load", "apply", "stat"])
async def test_no_exception_ends_the_watching(
    fault: Exception, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is raised: the one before it serves, the log has the cause, and the next file is taken."""
    file = tmp_path / "c.yaml"
    backends = one("ollama", "http://127.0.0.1:9", models=["old"])
    async with stage(written(file, backends, **QUICK)) as it:
        door, broken = reloader(it, file), asyncio.Event()
        owner, name = {
            "load": (door, "_load"),
            "apply": (gateway_of(it.app), "apply_config"),
            "stat": (door, "_stamp"),
        }[where]

        def fail(*_: object) -> Config:
            loop.call_soon_threadsafe(broken.set)
            raise fault

        loop = asyncio.get_running_loop()
        async with watching(door):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, fail)
                written(file, one("ollama", "http://127.0.0.1:9", models=["new"]), **QUICK)
                async with asyncio.timeout(60):
                    await broken.wait()
                    while "Traceback" not in caplog.text:
                        await it.get("/livez")
                assert b"old" in (await it.get("/v1/models")).body
            written(file, one("ollama", "http://127.0.0.1:9", models=["newest"]), **QUICK)
            await until_listed(it, "newest")


async def test_a_file_that_is_being_written_is_not_taken(tmp_path: Path) -> None:
    """Its first half is valid YAML, a valid config even; it serves only once nothing is added any more."""
    file = tmp_path / "c.yaml"
    settings = {"reload_s": 0.005, "reload_settle_s": 0.15}
    backends = one("ollama", "http://127.0.0.1:9", models=["old"])
    taken: list[tuple[str, ...]] = []
    async with stage(written(file, backends, **settings)) as it:
        gateway = gateway_of(it.app)
        apply = gateway.apply_config

        def seen(config: Config) -> None:
            taken.append(tuple(config.plan.by_name))
            apply(config)

        gateway.apply_config = seen  # type: ignore[method-assign]
        async with watching(reloader(it, file)):
            with file.open("w") as half:
                half.write("reload_s: 0.005\nreload_settle_s: 0.15\nbackends:\n")
                for name in ("b", "c", "d", "e"):
                    half.write(f"  {name}: {{protocol: gemini, base_url: 'http://127.0.0.1:9', models: [of-{name}]}}\n")
                    half.flush()
                    await asyncio.sleep(0.05)
            await until_listed(it, "of-e")
    assert taken == [("b", "c", "d", "e")]


async def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    backends = one("ollama", "http://127.0.0.1:9")
    seen: list[str] = []
    async with stage(written(file, backends, reload_settle_s=0.01)) as it:

        def load() -> Config:
            config = load_file(file, {})
            seen.append(next(iter(config.plan.by_name)))
            if len(seen) == 1:
                written(file, {"whole": backends["b"]}, reload_settle_s=0.01)
            return config

        written(file, {"half": backends["b"]}, reload_settle_s=0.01)
        assert await Reloader(gateway_of(it.app), load, file).reload_settled()
        assert list(gateway_of(it.app).backends) == ["whole"]
    assert seen == ["half", "whole"]


async def test_a_storm_of_changes_is_one_reload(tmp_path: Path) -> None:
    """A hundred renames over the file, as fast as they go; the last one serves, and hardly one before it."""
    file = tmp_path / "c.yaml"
    settings = {"reload_s": 0.005, "reload_settle_s": 0.1}
    async with stage(written(file, one("ollama", "http://127.0.0.1:9"), **settings)) as it:
        async with watching(reloader(it, file)):
            for number in range(100):
                written(tmp_path / "next", one("ollama", "http://127.0.0.1:9", models=[f"m{number}x"]), **settings)
                (tmp_path / "next").rename(file)
                await asyncio.sleep(0.002)
            await until_listed(it, "m99x")
        metrics = await it.metrics()
    taken = float(metrics.partition('crosswire_config_reloads_total{outcome="taken"} ')[2].split()[0])
    assert taken <= 3
    assert 'outcome="refused"' not in metrics


async def test_what_needs_a_new_start_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "c.yaml"
    backends = one("ollama", "http://127.0.0.1:9")
    async with stage(written(file, backends)) as it:
        written(file, backends, listen="127.0.0.1:1234", body_limit=17)
        assert await reloader(it, file).reload()
    assert "listen takes effect at the next start" in caplog.text
    assert "body_limit" not in caplog.text
    assert gateway_of(it.app).config.settings.body_limit == 17


def test_the_stage_is_no_signal_handler() -> None:
    """A proxy inside another program leaves that program's signals alone; `serve` alone listens to SIGHUP."""
    before = signal.getsignal(signal.SIGHUP)

    async def run() -> None:
        async with stage(config(one("ollama", "http://127.0.0.1:9"))):
            assert signal.getsignal(signal.SIGHUP) is before

    asyncio.run(run())
