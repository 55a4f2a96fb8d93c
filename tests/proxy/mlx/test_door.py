"""The local model as a backend among others: its config, its place in a route, its answers through a running proxy."""

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

from proxy.backends.mlx.folder import TINY
from proxy.config import Config, load
from proxy.errors import ConfigError

from ..dialogue import TEXT, dumps, reply, said, text_of
from ..dialogue import stream as words
from ..stage import Stage, stage
from ..upstream import chunked, http, upstream
from . import voice  # noqa: F401 - skips where the extra is not installed

LOCAL = {"protocol": "mlx", "models": ["mlx-tiny"]}


def made(backends: dict[str, Any], **settings: Any) -> Config:
    whole = {
        "backends": backends,
        "drain_s": 0.2,
        "retry": {"attempts": 2, "base_s": 0.001, "cap_s": 0.002},
        **settings,
    }
    return load(json.dumps(whole), "crosswire.yaml", {})


# ---- the config ------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such folder": ({"folder": "/nowhere/at/all"}, "local.folder: /nowhere/at/all is no folder"),
    "an address": ({"base_url": "http://127.0.0.1:1"}, "local.base_url: means nothing to a model in this process"),
    "a key": ({"api_key": "sk-1"}, "local.api_key: means nothing"),
    "a limit that there is not": ({"limits": {"batches": 3}}, "did you mean batch"),
    "a quirk that there is not": ({"quirks": ["no_thinks"]}, "no_think"),
}


@pytest.mark.parametrize(("keys", "what"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_said_at_the_start(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        made({"local": {**LOCAL, **keys}})


def test_a_folder_is_for_a_local_model_alone() -> None:
    with pytest.raises(ConfigError, match="only protocol mlx has one"):
        made({"b": {"protocol": "ollama", "base_url": "http://127.0.0.1:1", "folder": "x"}})


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.config.local.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'crosswire\[local\]'"):
        made({"local": LOCAL})
    made({"b": {"protocol": "ollama", "base_url": "http://127.0.0.1:1"}})


LATE = """
import sys
from proxy.config import load
from proxy.server import make_app
make_app(load('{backends: {local: {protocol: mlx}}}', 'f', {}))
print(sorted({"mlx", "mlx_lm", "transformers", "llguidance", "numpy"} & set(sys.modules)))
"""


def test_nothing_of_the_extra_is_imported_before_the_first_request() -> None:
    ran = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert ran.stdout == "[]\n"


# ---- through the proxy -----------------------------------------------------------------------------------------------


def chat(text: str, **keys: Any) -> dict[str, Any]:
    return {"model": "mlx-tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 60, **keys}


async def asked(it: Stage, **keys: Any) -> tuple[int, dict[str, Any], dict[str, Any]]:
    answer = await it.ask("/v1/chat/completions", chat("Count to 3.", **keys))
    return answer.status, json.loads(answer.body), await it.record(answer)


async def test_the_record_says_who_answered() -> None:
    async with stage(made({"local": LOCAL})) as it:
        status, body, record = await asked(it)
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
    "a schema that cannot be held": (
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
    async with stage(made({"local": LOCAL})) as it:
        answer = await it.ask("/v1/chat/completions", chat("Hi", stream=stream, **{"max_tokens": 60, **keys}))
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"]) == (400, "invalid_request_error")
        assert what in error["message"]


def broken(tmp_path: Path) -> dict[str, Any]:
    """A folder that looks like a model's and cannot be loaded."""
    folder = tmp_path / "broken"
    shutil.copytree(TINY, folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    return {"folder": str(folder)}


FAILS = {"the model cannot be loaded": broken, "the queue is full": lambda _: {"limits": {"queue": 0}}}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("keys", FAILS.values(), ids=list(FAILS))
async def test_the_cloud_answers_where_the_local_model_cannot(keys: Any, stream: bool, tmp_path: Path) -> None:
    script = chunked(words("anthropic", "big")) if stream else [http(dumps(reply("anthropic", "big")))]
    async with upstream(script) as cloud:
        backends = {
            "local": {**LOCAL, "models": ["home"], **keys(tmp_path)},
            "cloud": {"protocol": "anthropic", "base_url": cloud.url, "models": {"big": "big"}},
        }
        fallback = [{"backend": "cloud", "model": "big"}]
        routes = [{"match": "mlx-tiny", "backend": "local", "model": "home", "fallback": fallback}]
        async with stage(made(backends, routes=routes)) as it:
            answer = await it.ask("/v1/chat/completions", chat("Count to 3.", stream=stream))
            record = await it.record(answer)
            assert (answer.status, answer.whole) == (200, True)
            assert (said("openai-chat", answer.body) if stream else text_of("openai-chat", answer.body)) == TEXT
            assert [attempt["backend"] for attempt in record["attempts"]] == ["local", "cloud"]
            assert (record["backend_used"], record["model_used"]) == ("cloud", "big")


def test_the_program_ends_well_with_an_answer_under_way(tmp_path: Path) -> None:
    file = tmp_path / "crosswire.yaml"
    file.write_text("listen: 127.0.0.1:0\ndrain_s: 0.1\nbackends: {local: {protocol: mlx}}\n")
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:  # noqa: S603
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        body = json.dumps(chat("Count to 20.", stream=True, temperature=3, seed=1, max_tokens=1500)).encode()
        request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            assert answer.readline().startswith(b"data:")
            os.kill(program.pid, signal.SIGTERM)
            _, told = program.communicate(timeout=60)
        assert program.returncode == 0, told
        assert "Traceback" not in told
