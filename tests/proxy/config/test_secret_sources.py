"""Secrets from files and commands: read with the config, again when they change, and told to nobody."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.config import Config, load, load_file
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.server.reload import Reloader

from ..proxy_fixture import stage

SECRET = "sk-from-elsewhere-0123456789"


def config_of(api_key: Any, tmp_path: Path) -> Config:
    text = f"backends: {{b: {{protocol: openai-chat, base_url: 'http://127.0.0.1:9', api_key: {api_key}}}}}"
    return load(text.replace("TMP", str(tmp_path)), "c.yaml", {"SECRET_FILE": f"{tmp_path}/key"})


@pytest.mark.parametrize(
    "given",
    [
        "{file: TMP/key}",
        "{file: '${SECRET_FILE}'}",
        "{command: [cat, TMP/key]}",
        "{command: cat TMP/key, every_s: 60}",
        "[{file: TMP/key}, another-0123456789]",
    ],
)
def test_secrets_from_elsewhere(given: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    found = config_of(given, tmp_path)
    assert found.plan.backends[0].api_key == SECRET
    assert len(found.secret_sources) == 1
    assert SECRET not in f"{found!r}"


WRONG = {
    "{file: TMP/none}": "api_key.file: cannot be read: No such file",
    "{file: TMP/empty}": "api_key: is empty",
    "{file: TMP/utf8}": "api_key.file: is not ASCII",
    "{file: TMP/two}": "white space or a line break",
    "{file: TMP/key, command: cat}": "needs either file or command",
    "{}": "needs either file or command",
    "{file: TMP/key, every_s: 5}": "every_s: is for commands",
    "{command: []}": "command: is empty",
    "{command: 'cat \"'}": "has a quote that does not end",
    "{command: /no/such/program}": "command: cannot be run",
    f"{{command: ['{sys.executable}', -c, 'import sys; print(\"{SECRET}\"); sys.exit(3)']}}": "ended with 3",
    "{command: [cat, TMP/utf8]}": "wrote what is not ASCII",
    "{path: TMP/key}": "unknown key",
}


@pytest.mark.parametrize("given", WRONG)
def test_mistakes(given: str, tmp_path: Path) -> None:
    for name, text in {"key": SECRET, "empty": "", "utf8": f"{SECRET}ü", "two": f"{SECRET} {SECRET}"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        config_of(given, tmp_path)
    assert WRONG[given] in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosswire.proxy.config.secret_sources.COMMAND_S", 0.1)
    with pytest.raises(ConfigError, match=r"took more than 0\.1 s"):
        config_of("{command: sleep 30}", tmp_path)


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    found = config_of("{command: 'echo $HOME;id'}", tmp_path)
    assert found.plan.backends[0].api_key == "$HOME;id"


@pytest.mark.parametrize("source", ["file: KEY", "command: [cat, KEY], every_s: 1"])
async def test_a_secret_is_read_again_when_it_changes(source: str, tmp_path: Path) -> None:
    file, key = tmp_path / "c.yaml", tmp_path / "key"
    key.write_text("cw-the-first-0123456789")
    file.write_text(
        "reload_s: 0.05\nreload_settle_s: 0.05\n"
        f"clients: {{ada: {{key: {{{source.replace('KEY', str(key))}}}}}}}\n"
        "backends: {b: {protocol: openai-chat, base_url: 'http://127.0.0.1:9', models: [m]}}\n"
    )
    async with stage(load_file(file, {})) as it:
        task = asyncio.ensure_future(Reloader(it.gateway, lambda: load_file(file, {}), file).watch())

        async def status(key: str) -> int:
            return (await it.get("/v1/models", {"x-api-key": key})).status

        assert await status("cw-the-first-0123456789") == 200
        taken = it.gateway.config
        await asyncio.sleep(0.3)
        assert it.gateway.config is taken, "what did not change is not taken again"
        key.write_text("cw-the-second-0123456789")
        async with asyncio.timeout(20):
            while await status("cw-the-second-0123456789") != 200:  # noqa: ASYNC110 - the reload tells nobody
                await asyncio.sleep(0.05)
        assert await status("cw-the-first-0123456789") == 401
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
