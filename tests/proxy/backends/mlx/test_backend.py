"""The local model as a backend: its config, routes with it, and requests through a running proxy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends.mlx.model_folder import TINY
from crosswire.proxy.config import Config, load
from crosswire.proxy.errors import ConfigError

from ...proxy_fixture import Stage, stage
from ...sample_messages import TEXT, dumps, reply, said, text_of
from ...sample_messages import stream as sample_stream
from ...scripted_upstream import chunked, http, upstream
from . import local_model  # noqa: F401 - skips where the extra is not installed

LOCAL = {"protocol": "mlx", "models": ["mlx-tiny"]}


def load_config(backends: dict[str, Any], **settings: Any) -> Config:
    document = {
        "backends": backends,
        "drain_s": 0.2,
        "retry": {"attempts": 2, "base_s": 0.001, "cap_s": 0.002},
        **settings,
    }
    return load(json.dumps(document), "crosswire.yaml", {})


# ---- the config ------------------------------------------------------------------------------------------------------

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no such folder": ({"folder": "/nowhere/at/all"}, "local.folder: /nowhere/at/all is not a folder"),
    "an address": ({"base_url": "http://127.0.0.1:1"}, "local.base_url: does not apply to a model in this process"),
    "a key": ({"api_key": "sk-1"}, "local.api_key: does not apply"),
    "an unknown limit": ({"limits": {"batches": 3}}, "did you mean batch"),
    "an unknown quirk": ({"quirks": ["no_thinks"]}, "no_think"),
}


@pytest.mark.parametrize(("keys", "what"), INVALID.values(), ids=list(INVALID))
def test_invalid_config_is_reported_at_start(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load_config({"local": {**LOCAL, **keys}})


def test_only_a_local_model_has_a_folder() -> None:
    with pytest.raises(ConfigError, match="applies to local models only"):
        load_config({"b": {"protocol": "ollama", "base_url": "http://127.0.0.1:1", "folder": "x"}})


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosswire.proxy.config.mlx.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'crosswire\[local\]'"):
        load_config({"local": LOCAL})
    load_config({"b": {"protocol": "ollama", "base_url": "http://127.0.0.1:1"}})


LAZY_IMPORT_PROGRAM = """
import sys
from crosswire.proxy.config import load
from crosswire.proxy.server.app import make_app
make_app(load('{backends: {local: {protocol: mlx}}}', 'f', {}))
print(sorted({"mlx", "mlx_lm", "transformers", "llguidance", "numpy"} & set(sys.modules)))
"""


def test_nothing_of_the_extra_is_imported_before_the_first_request() -> None:
    command = [sys.executable, "-c", LAZY_IMPORT_PROGRAM]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert ran.stdout == "[]\n"


# ---- through the proxy -----------------------------------------------------------------------------------------------


def chat(text: str, **keys: Any) -> dict[str, Any]:
    return {"model": "mlx-tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 60, **keys}


async def ask(proxy: Stage, **keys: Any) -> tuple[int, dict[str, Any], dict[str, Any]]:
    response = await proxy.ask("/v1/chat/completions", chat("Count to 3.", **keys))
    return response.status, json.loads(response.body), await proxy.record(response)


async def test_the_record_names_the_local_backend() -> None:
    async with stage(load_config({"local": LOCAL})) as proxy:
        status, body, record = await ask(proxy)
        assert (status, body["choices"][0]["message"]["content"]) == (200, "1, 2, 3")
        assert record["backend_used"] == "local"
        assert [attempt["outcome"] for attempt in record["attempts"]] == ["answered"]
        assert record["usage"]["output"] == body["usage"]["completion_tokens"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a picture": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
                }
            ]
        },
        "vision",
    ),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "an unsupported schema": (
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "bad",
                        "parameters": {"type": "object", "properties": {"x": {"not": {"type": "string"}}}},
                    },
                }
            ]
        },
        "tool 'bad'",
    ),
    "too much": ({"messages": [{"role": "user", "content": "x y " * 2000}]}, "context"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("keys", "what"), REFUSED.values(), ids=list(REFUSED))
async def test_bad_input_is_a_400_in_the_clients_protocol(keys: dict[str, Any], what: str, stream: bool) -> None:
    async with stage(load_config({"local": LOCAL})) as proxy:
        response = await proxy.ask("/v1/chat/completions", chat("Hi", stream=stream, **{"max_tokens": 60, **keys}))
        error = json.loads(response.body)["error"]
        assert (response.status, error["type"]) == (400, "invalid_request_error")
        assert what in error["message"]


def broken_model(tmp_path: Path) -> dict[str, Any]:
    """Returns the config of a folder that looks like a model but cannot be loaded."""
    folder = tmp_path / "broken"
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 100}))
    return {"folder": str(folder)}


FAILS = {"the model cannot be loaded": broken_model, "the queue is full": lambda _: {"limits": {"queue": 0}}}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("keys", FAILS.values(), ids=list(FAILS))
async def test_fallback_to_the_cloud_if_the_local_model_fails(keys: Any, stream: bool, tmp_path: Path) -> None:
    script = chunked(sample_stream("anthropic", "big")) if stream else [http(dumps(reply("anthropic", "big")))]
    async with upstream(script) as cloud:
        backends = {
            "local": {**LOCAL, "models": ["home"], **keys(tmp_path)},
            "cloud": {"protocol": "anthropic", "base_url": cloud.url, "models": {"big": "big"}},
        }
        fallback = [{"backend": "cloud", "model": "big"}]
        routes = [{"match": "mlx-tiny", "backend": "local", "model": "home", "fallback": fallback}]
        async with stage(load_config(backends, routes=routes)) as proxy:
            response = await proxy.ask("/v1/chat/completions", chat("Count to 3.", stream=stream))
            record = await proxy.record(response)
            assert (response.status, response.whole) == (200, True)
            assert (said("openai-chat", response.body) if stream else text_of("openai-chat", response.body)) == TEXT
            assert [attempt["backend"] for attempt in record["attempts"]] == ["local", "cloud"]
            assert (record["backend_used"], record["model_used"]) == ("cloud", "big")


def test_the_program_exits_cleanly_during_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "crosswire.yaml"
    file.write_text("listen: 127.0.0.1:0\ndrain_s: 0.1\nbackends: {local: {protocol: mlx}}\n")
    command = [sys.executable, "-m", "crosswire.proxy", "serve", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:  # noqa: S603
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        body = json.dumps(chat("Count to 20.", stream=True, temperature=3, seed=1, max_tokens=1500)).encode()
        request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            while (line := response.readline()) == b"\n" or line.startswith(b":"):
                pass  # the model is still loading
            assert line.startswith(b"data:")
            os.kill(program.pid, signal.SIGTERM)
            _, stderr = program.communicate(timeout=60)
        assert program.returncode == 0, stderr
        assert "Traceback" not in stderr
