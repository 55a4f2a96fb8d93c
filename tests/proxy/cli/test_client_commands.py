"""The commands about client programs: how each is pointed at the proxy, and one run behind a proxy of its own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from crosswire.proxy.cli.main import main
from crosswire.proxy.known_clients import CLIENTS, Client, find_client, setup_of

from ..sample_messages import dumps, reply
from ..scripted_upstream import http, upstream

BASE = "http://127.0.0.1:9001"

ASK = """
import json, os, sys, urllib.request
body = {"model": sys.argv[1], "top_k": 5, "max_tokens": 9, "messages": [{"role": "user", "content": "Hello!"}]}
request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
    {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_API_KEY"]})
print(json.load(urllib.request.urlopen(request))["content"][0]["text"])
sys.exit(7)
"""
"""A client that is not known: it asks once as Anthropic's clients do, and ends with a code of its own."""


# ---- the table -------------------------------------------------------------------------------------------------------


def test_names_and_commands_are_unique() -> None:
    words = [word for client in CLIENTS for word in {client.name, client.command} if word]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_row_points_somewhere_and_names_its_source(client: Client) -> None:
    assert client.source.startswith("https://")
    setup = setup_of(client, BASE, "m-1", "/folder")
    texts = [*setup.variables.values(), *setup.arguments, setup.file_text or "", client.example]
    assert any("127.0.0.1:9001" in text or "{base}" in text for text in texts)
    assert not any("{model}" in text or "{base}" in text for text in texts[:-1])
    if client.command is not None:
        assert any("m-1" in text for text in texts) or "{model}" in client.example
        assert find_client(f"/usr/bin/{client.command}") is client


@pytest.mark.parametrize("client", [each for each in CLIENTS if each.file], ids=lambda client: client.name)
def test_a_config_file_can_be_read(client: Client) -> None:
    assert client.file is not None
    text = setup_of(client, BASE, "vendor/model-1.5:x").file_text or ""
    reader = {".json": json.loads, ".toml": tomllib.loads, ".yaml": yaml.safe_load}[Path(client.file.name).suffix]
    found = json.dumps(reader(text))
    assert f"{BASE}/v1" in found
    assert "vendor/model-1.5:x" in found


def test_a_model_of_llm_may_use_all_that_the_proxy_takes() -> None:
    llm = find_client("llm")
    assert llm is not None
    setup = setup_of(llm, BASE, "m-1", "/folder", key="cw-key")
    (model,) = yaml.safe_load(setup.file_text or "")
    assert {name: model[name] for name in ("supports_tools", "supports_schema", "vision")} == dict.fromkeys(
        ("supports_tools", "supports_schema", "vision"), True
    )
    assert model["api_key_name"] not in ("", "openai"), "the key for OpenAI would be sent"
    assert setup.variables["OPENAI_API_KEY"] == "cw-key"


# ---- env -------------------------------------------------------------------------------------------------------------


def exported(text: str) -> dict[str, str]:
    """The variables that a shell would have after these lines."""
    run = subprocess.run(["sh", "-c", f"{text}\nenv -0"], capture_output=True, check=True, env={})  # noqa: S603, S607
    pairs = (pair.partition("=") for pair in run.stdout.decode().split("\0") if pair)
    return {name: value for name, _, value in pairs if name not in ("PWD", "_", "SHLVL", "OLDPWD")}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_env_prints_what_a_shell_takes(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", client.name, "--model", "gpt-5"]) == 0
    assert exported(capsys.readouterr().out) == dict(setup_of(client, BASE, "gpt-5").variables)


def test_env_for_claude_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "claude", "--model", "gpt-5", "--url", "http://127.0.0.1:8000/v1"]) == 0
    text = capsys.readouterr().out
    found = exported(text)
    assert found["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8000"
    assert found["ANTHROPIC_MODEL"] == found["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "gpt-5"
    assert 'aliases: {"claude-*": gpt-5}' in text


def test_env_writes_a_file_where_the_user_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "home" / "config.toml"
    assert main(["env", "codex", "--model", "gpt-5", "--write", str(file)]) == 0
    assert tomllib.loads(file.read_text("utf-8"))["model"] == "gpt-5"
    assert exported(capsys.readouterr().out)["CODEX_HOME"] == str(file.parent)
    file.write_text("mine")
    assert main(["env", "codex", "--model", "gpt-5", "--write", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zzz"], "no client that is known"),
        (["opencode"], "--model"),
        (["claude-code", "--write", "x"], "needs no config file"),
    ],
)
def test_env_says_what_is_wrong(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", *words]) == 2
    assert said in capsys.readouterr().err


def test_env_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CLIENTS)


# ---- run -------------------------------------------------------------------------------------------------------------


async def ran(words: list[str], variables: Mapping[str, str], folder: Path) -> tuple[int | None, str, str]:
    """`crosswire run` in a process of its own: its code, and what it wrote."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crosswire.proxy", "run", *words),
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_run_starts_a_client_and_ends_with_its_code(tmp_path: Path) -> None:
    async with upstream([http(b'{"data": [{"id": "gpt-5-nano"}]}')], [http(dumps(reply("openai-chat")))]) as it:
        variables = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{it.url}/v1"}
        words = ["--", sys.executable, "-c", ASK, "gpt-5-nano"]
        code, out, err = await ran(words, variables, tmp_path)
    assert code == 7, err
    assert out.strip()
    assert "1 request; " in err
    assert "tokens in" in err
    assert "lost: top_k (1)" in err


async def test_run_points_a_known_client_and_serves_the_names_it_insists_on(tmp_path: Path) -> None:
    client = tmp_path / "claude"
    client.write_text(f"#!{sys.executable}\n{ASK.replace('x-api-key', 'x-none')}")
    client.chmod(0o755)
    async with upstream([http(b'{"data": []}')], [http(dumps(reply("openai-chat")))]) as it:
        variables = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{it.url}/v1"}
        words = ["-q", "--model", "gpt-5-nano", "--", str(client), "claude-haiku-4-5"]
        code, _, err = await ran(words, variables, tmp_path)
        assert code == 7, err
        assert err == ""
        asked = [json.loads(heard.body)["model"] for heard in it.requests if heard.method == "POST"]
    assert asked == ["gpt-5-nano"]


@pytest.mark.parametrize(("key", "code"), [("xw-of-ada-0123456789", 7), ("xw-of-nobody-012345", 1), ("", 2)])
async def test_run_gives_the_client_its_key(key: str, code: int, tmp_path: Path) -> None:
    async with upstream([http(b'{"data": []}')], [http(dumps(reply("openai-chat")))]) as it:
        backend = {"protocol": "openai-chat", "base_url": f"{it.url}/v1", "models": ["m"]}
        config = {"backends": {"b": backend}, "clients": {"ada": {"key": "xw-of-ada-0123456789"}}}
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump(config))
        words = ["--config", str(file), "--", sys.executable, "-c", ASK, "m"]
        found, _, err = await ran(words, {"CROSSWIRE_KEY": key} if key else {}, tmp_path)
    assert found == code, err
    assert ("HTTP Error 401" in err) == (code == 1)
    assert ("the variable CROSSWIRE_KEY" in err) == (code == 2)
    assert not key or key not in err


def test_env_and_its_file_have_the_clients_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROSSWIRE_KEY", "xw-of-ada")
    assert main(["env", "claude-code", "--model", "gpt-5"]) == 0
    assert exported(capsys.readouterr().out)["ANTHROPIC_AUTH_TOKEN"] == "xw-of-ada"
    assert main(["env", "pi", "--model", "gpt-5", "--write", str(tmp_path / "models.json")]) == 0
    assert json.loads((tmp_path / "models.json").read_text())["providers"]["crosswire"]["apiKey"] == "xw-of-ada"
    assert (tmp_path / "models.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "name a command"),
        (["--", "no-such-command-here"], 127, "there is no command"),
        (["--", "sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM, "0 requests"),
        (["--", "true"], 0, "nothing lost"),
    ],
)
async def test_how_run_ends(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    found, _, err = await ran(words, {"OLLAMA_HOST": "127.0.0.1:1"}, tmp_path)
    assert (found, said in err) == (code, True), err


def test_the_lines_are_quoted() -> None:
    setup = setup_of(CLIENTS[0], BASE, "it's")
    assert shlex.split(f"X={shlex.quote(setup.variables['ANTHROPIC_MODEL'])}") == ["X=it's"]
