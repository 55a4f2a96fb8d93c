"""`crosswire doctor`: a line for each thing that must be as it is, with a hint where it is not."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.cli.doctor import backend_findings, port_finding
from crosswire.proxy.cli.main import main
from crosswire.proxy.config import from_environment, load

from ..scripted_upstream import http, upstream


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def doctor(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, list[dict[str, Any]]]:
    file = folder / "crosswire.yaml"
    file.write_text(text)
    code = main(["doctor", "--config", str(file), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_a_missing_key_and_a_taken_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"listen: 127.0.0.1:{port}\nbackends: {{openai: {{}}}}"
        code, found = doctor(tmp_path, text, capsys, "--offline")
    bad = {each["what"]: each for each in found if each["level"] == "bad"}
    assert code == 1
    assert set(bad) == {"openai", "port"}
    assert bad["openai"]["hint"] == "set OPENAI_API_KEY"
    assert "--port" in bad["port"]["hint"]


async def test_a_port_that_another_proxy_has() -> None:
    async with upstream([http(b'{"status": "ok"}', "200 OK\r\nserver: crosswire")]) as it:
        listen = it.url.removeprefix("http://")
        found = load(f"listen: {listen}\nbackends: {{openai: {{api_key: k}}}}", "c.yaml", {})
        finding = await asyncio.to_thread(port_finding, found)
    assert (finding.level, finding.said) == ("warning", f"a Crosswire listens on {listen} already")


def test_a_wrong_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(tmp_path, "backend: {}", capsys)
    assert code == 2
    assert any("unknown key" in each["said"] for each in found)


def test_all_is_well_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    text = f"listen: 127.0.0.1:{free_port + 1}\nbackends: {{openai: {{api_key: sk-proj-0123456789abcdef}}}}"
    _, found = doctor(tmp_path, text, capsys, "--offline")
    assert {each["what"] for each in found} >= {"version", "config", "port", "store", "openai"}
    assert "0123456789abcdef" not in json.dumps(found)


@pytest.mark.parametrize(
    ("answer", "level", "said", "hint"),
    [
        (http(b'{"data": [{"id": "m"}]}'), "good", "lists 1 model;", ""),
        (http(b'{"error": {"message": "bad"}}', "401 Unauthorized"), "bad", "", "is the key right"),
        (http(b"nothing here", "404 Not Found"), "bad", "", "base_url"),
        (http(b"{}"), "bad", "no list of models", "base_url"),
    ],
)
async def test_a_backend_is_asked(answer: bytes, level: str, said: str, hint: str) -> None:
    async with upstream([answer]) as it:
        found = await backend_findings(from_environment({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{it.url}/v1"}))
    assert found[0].level == level
    assert said in found[0].said
    assert hint in found[0].hint


async def test_a_model_that_is_not_there() -> None:
    async with upstream([http(b'{"data": [{"id": "m"}]}')]) as it:
        text = f"backends: {{b: {{protocol: openai-chat, base_url: '{it.url}/v1', models: [m, n]}}}}"
        found = await backend_findings(load(text, "c.yaml", {}))
    assert [(each.level, each.said) for each in found[1:]] == [("warning", "does not list n")]


async def test_a_backend_behind_a_proxy_is_asked_through_it() -> None:
    async with upstream([http(b'{"data": [{"id": "m"}]}')]) as way:
        backend = f"{{protocol: openai-chat, base_url: 'http://no-such-host.invalid/v1', proxy: '{way.url}'}}"
        found = await backend_findings(load(f"backends: {{b: {backend}}}", "c.yaml", {}))
    assert [each.level for each in found] == ["good"]
    assert "by the proxy 127.0.0.1" in found[0].said


async def test_nobody_is_there() -> None:
    found = await backend_findings(from_environment({"OLLAMA_HOST": "127.0.0.1:1"}))
    assert found[0].level == "bad"
    assert found[0].hint
