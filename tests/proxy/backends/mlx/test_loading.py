"""A model is loaded in the background or with its first request, within a bound of memory, and unloaded when idle."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends.mlx import memory
from crosswire.proxy.backends.mlx.backend import MlxBackend
from crosswire.proxy.backends.mlx.model_folder import TINY, read_folder
from crosswire.proxy.config import load
from crosswire.proxy.errors import ConfigError, UpstreamError
from crosswire.proxy.routing import BackendConfig

from ...proxy_fixture import stage
from .local_model import LocalModel, local_model, make_request, mlx_threads

BOTH = {
    "local": {"protocol": "mlx", "models": ["mlx-tiny"], "load": "start"},
    "lazy": {"protocol": "mlx", "models": ["other"]},
}


def config(backends: dict[str, Any], **settings: Any) -> Any:
    return load(json.dumps({"backends": backends, "drain_s": 0.2, **settings}), "crosswire.yaml", {})


class SlowLoad:
    """A loader that waits until it may load; `fault` is the error with which it ends in place of a model."""

    def __init__(self, fault: str | None = None) -> None:
        self.may_end = threading.Event()
        self.fault = fault
        self.count = 0

    def __call__(self, model: Any, limits: Any) -> Any:
        from crosswire.proxy.backends.mlx.backend import load_runtime

        self.count += 1
        self.may_end.wait(30)
        if self.fault is not None:
            raise RuntimeError(self.fault)
        return load_runtime(model, limits)


async def until(backend: MlxBackend, state: str) -> None:
    async with asyncio.timeout(60):
        while not backend.state.startswith(state):  # noqa: ASYNC110 - it is set on another thread
            await asyncio.sleep(0.005)


async def test_it_is_loaded_with_the_first_request() -> None:
    slow = SlowLoad()
    async with local_model(load=slow) as local:
        local.backend.start()
        assert local.backend.state == "not loaded"
        asked = asyncio.ensure_future(local.reply(make_request("Count to 3.")))
        await until(local.backend, "loading")
        slow.may_end.set()
        await asked
        assert (local.backend.state, slow.count) == ("loaded", 1)


async def test_it_is_loaded_at_the_start_while_the_rest_serves() -> None:
    slow = SlowLoad()
    settings = BackendConfig(name="local", protocol="mlx", base_url="", load="start")
    backend = MlxBackend(settings, read_folder(TINY), first_s=60, load=slow)
    try:
        backend.start()
        backend.start()
        assert backend.state == "loading"
        slow.may_end.set()
        await until(backend, "loaded")
        assert (await LocalModel(backend).reply(make_request("Count to 3."))).usage is not None
        assert slow.count == 1
    finally:
        await backend.close()


async def test_readyz_tells_of_each_model_and_only_the_operator_of_names() -> None:
    async with stage(config(BOTH, admin_key="the-operators-key")) as it:
        operator = {"authorization": "Bearer the-operators-key"}
        backend = it.gateway.backends["local"]
        assert isinstance(backend, MlxBackend)
        assert backend.state in ("loading", "loaded")
        await until(backend, "loaded")
        ready = await it.get("/readyz", operator)
        assert (ready.status, ready.body) == (200, b"ready\nlocal: loaded\nlazy: not loaded\n")
        assert (await it.get("/readyz")).body == b"ready\n"


async def test_a_model_of_a_new_config_is_loaded_too() -> None:
    async with stage(config({"lazy": BOTH["lazy"]})) as it:
        it.gateway.apply_config(config(BOTH))
        assert b"local: load" in (await it.get("/readyz")).body


async def test_a_failed_load_at_the_start_leaves_the_proxy_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    async with stage(config(BOTH)) as it:
        backend = it.gateway.backends["local"]
        assert isinstance(backend, MlxBackend)
        await until(backend, "cannot be loaded")
        ready = await it.get("/readyz")
        assert ready.status == 200
        assert b"local: cannot be loaded: its weights have 1 MB, and 1 MB of memory are free" in ready.body


async def test_it_is_unloaded_when_idle_and_loaded_again() -> None:
    before = mlx_threads()
    slow = SlowLoad()
    slow.may_end.set()
    async with local_model(load=slow, unload_s=0.05) as local:
        for count in (1, 2):
            assert (await local.reply(make_request("Count to 3."))).usage is not None
            await until(local.backend, "not loaded")
            assert slow.count == count
    assert not mlx_threads() - before


async def test_a_model_above_the_bound_is_not_loaded() -> None:
    slow = SlowLoad()
    async with local_model(load=slow, memory_mb=0.1) as local:
        with pytest.raises(UpstreamError, match="cannot be loaded"):
            await local.reply(make_request("Hi"))
        assert slow.count == 0
        assert "limits.memory_mb" in local.backend.state


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "another word": ({"load": "later"}, "load: .*lazy, start"),
    "a bound below the weights": ({"limits": {"memory_mb": 0.2}}, "limits.memory_mb: is 0.2, and the weights in"),
    "not a local model": ({"protocol": "ollama", "base_url": "http://127.0.0.1:1"}, "load: applies to local models"),
}


@pytest.mark.parametrize(("keys", "what"), INVALID.values(), ids=list(INVALID))
def test_an_invalid_config_is_reported_at_the_start(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        config({"local": {**BOTH["local"], **keys}})


def test_the_free_memory_is_that_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       2048 kB\nMemAvailable:   1024 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", file)
    assert memory.available_bytes() == 1024 * 1024
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    assert (memory.available_bytes() or 0) > 0
