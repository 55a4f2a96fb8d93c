"""The commands of clients, usage and audit, and a running proxy that writes and reads what they show."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.cli.exit_codes import OK, USAGE
from crosswire.proxy.cli.main import main

from ..clients.test_clients import ADMIN, bearer
from ..proxy_fixture import one, request
from ..sample_messages import ask, dumps, path, reply
from ..scripted_upstream import http, upstream
from .test_cli import Program, serving


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a config that has clients and no store yet."""
    for name in ("CROSSWIRE_STORE", "CROSSWIRE_MASTER_KEY", "CROSSWIRE_MASTER_KEY_FILE", "SSH_CLIENT", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crosswire.yaml").write_text("clients: {}\nbackends: {local: {provider: ollama}}\n")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = OK) -> tuple[str, str]:
    assert main(argv) == code
    return capsys.readouterr()


def test_a_key_is_shown_once_and_kept_nowhere(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    key, told = said(capsys, "clients", "add", "ada", "--models", "gpt-*", "--requests", "60/min", "--budget", "5/week")
    assert key.startswith("cw-")
    assert "client ada: added" in told
    said(capsys, "clients", "add", "bob")
    table = said(capsys, "clients", "list")[0]
    assert "gpt-*" in table
    assert key.strip() not in table
    kept = b"".join(file.read_bytes() for file in here.iterdir())
    assert key.strip().encode() not in kept
    assert key.strip().removeprefix("cw-").encode() not in kept
    second, _ = said(capsys, "clients", "rotate", "ada", "--grace", "24h")
    assert second != key
    for verb in ("disable", "enable", "remove"):
        said(capsys, "clients", verb, "bob")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (("clients", "add", "ada"), "the client ada exists"),
        (("clients", "add", "eve", "--requests", "many"), "clients.eve.requests: is no rate"),
        (("clients", "add", "eve", "--frontends", "smtp"), "clients.eve.frontends[0]: 'smtp' is unknown"),
        (("clients", "add", "eve", "--budget", "much"), "--budget: 'much' is no budget"),
        (("clients", "add", "eve", "--budget", "1/day", "--zone", "Moon"), "clients.eve.budgets[0].zone"),
        (("clients", "add", "e v e"), "is no name of a client"),
        (("clients", "rotate", "eve"), "client eve does not exist"),
        (("clients", "rotate", "ada", "--grace", "soon"), "--grace: 'soon' is no time"),
        (("clients", "remove", "eve"), "client eve does not exist"),
        (("usage", "--by", "colour"), "--by: 'colour' is no column"),
        (("usage", "--since", "once"), "--since: 'once' is no time"),
    ],
)
def test_mistakes_change_nothing(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], complaint: str) -> None:
    said(capsys, "clients", "add", "ada")
    before = said(capsys, "clients", "list")[0], said(capsys, "audit")[0]
    out, told = said(capsys, *argv, code=USAGE)
    assert complaint in told
    assert "cw-" not in out
    assert (said(capsys, "clients", "list")[0], said(capsys, "audit")[0]) == before


def test_a_client_of_the_file_cannot_be_added(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    config = here / "crosswire.yaml"
    config.write_text(config.read_text().replace("clients: {}", "clients: {ada: {key: cw-0123456789abcdef}}"))
    assert "is in the store too" in said(capsys, "clients", "add", "ada", code=USAGE)[1]


def test_what_opens_the_proxy_to_all_is_not_kept(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """The last client of the store cannot be removed while others can reach the port; it can be disabled."""
    said(capsys, "clients", "add", "ada")
    config = here / "crosswire.yaml"
    config.write_text("listen: 0.0.0.0:9001\nbackends: {local: {provider: ollama}}\n")
    assert "nothing was changed" in said(capsys, "clients", "remove", "ada", code=USAGE)[1]
    said(capsys, "clients", "disable", "ada")


def test_every_change_stands_in_the_audit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setenv("SSH_CLIENT", "192.0.2.7 5000 22")
    monkeypatch.setenv("SUDO_USER", "grace")
    monkeypatch.setenv("A_KEY", "sk-provider-0123456789")
    for argv in (
        ("clients", "add", "ada"),
        ("clients", "disable", "ada"),
        ("mappings", "add", "team-*", "local"),
        ("settings", "add", "keepalive_s", "5"),
        ("credentials", "add", "groq", "--from-env", "A_KEY"),
        ("credentials", "rotate"),
    ):
        said(capsys, *argv)
    table = said(capsys, "audit")[0]
    lines = table.splitlines()[1:]
    for line, action in zip(
        lines,
        ("clients add", "clients disable", "mappings add", "settings add", "credentials add", "credentials rotate"),
        strict=True,
    ):
        assert action in line
        assert "ssh from 192.0.2.7" in line
        assert "sudo by grace" in line
    assert "sk-provider" not in table
    assert len(said(capsys, "audit", "--last", "2")[0].splitlines()) == 3
    with sqlite3.connect(here / "crosswire.db") as database, pytest.raises(sqlite3.IntegrityError):
        database.execute("DELETE FROM audit")
    database.close()


# ---- a running proxy -------------------------------------------------------------------------------------------------

ANSWER = [http(dumps(reply("openai-chat")))]


async def send(it: Program, key: str) -> Any:
    return await it.ask(request(path("openai-chat"), ask("openai-chat"), bearer(key)))


def usage_of(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(said(capsys, "usage", "--csv", *argv)[0])))


async def test_no_row_is_lost_at_the_end_and_budgets_go_on_after_a_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/crosswire.db"
    settings: dict[str, Any] = {"store": {"url": url, "create": True}, "admin_key": ADMIN, "clients": {}}
    settings["prices"] = [{"match": "m", "input": 1000, "output": 1000}]
    budget = ("--budget", "1.09/month", "--tags", "team")
    key = (await asyncio.to_thread(said, capsys, "clients", "add", "ada", *budget))[0].strip()
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backends = one("openai-chat", up.url)
        statuses = []
        for _ in range(2):
            async with serving(tmp_path, backends, **settings) as it:
                statuses.append([(await send(it, key)).status for _ in range(6)])
                metrics = (await it.ask(request("/metrics", None, bearer(ADMIN)))).body.decode()
                code, _ = await it.stop()
                assert code == 0
    rows = await asyncio.to_thread(usage_of, capsys, "--by", "client,model,outcome")
    answered = sum(status == 200 for each in statuses for status in each)
    assert {row["outcome"]: int(row["requests"]) for row in rows} == {"answered": answered, "budget": 12 - answered}
    assert {row["client"] for row in rows} == {"ada"}
    spent = sum(float(row["cost"]) for row in rows)
    assert spent == pytest.approx(answered * 0.005)
    assert statuses[0] == sorted(statuses[0])
    assert 200 in statuses[0]
    assert statuses[1].count(200) < statuses[0].count(200) or 402 not in statuses[0]
    assert f'crosswire_budget_spent_dollars{{owner="client ada",period="month in UTC"}} {spent}' in metrics
    assert [row["tags"] for row in await asyncio.to_thread(usage_of, capsys, "--by", "tags")] == ["team"]


async def test_a_key_that_is_disabled_ends_within_a_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/crosswire.db"
    settings: dict[str, Any] = {"store": {"url": url, "create": True}, "clients": {}}
    key = (await asyncio.to_thread(said, capsys, "clients", "add", "ada"))[0].strip()
    async with upstream(ANSWER) as up, serving(tmp_path, one("openai-chat", up.url), **settings) as it:
        assert (await send(it, key)).status == 200
        await asyncio.to_thread(said, capsys, "clients", "disable", "ada")
        async with asyncio.timeout(10):
            while (await send(it, key)).status != 401:  # noqa: ASYNC110 - the other process tells nobody
                await asyncio.sleep(0.02)
        await it.stop()


async def test_the_store_is_gone_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests go on while no row can be written; the rows are written once the database is there again."""
    url, file = f"sqlite:///{tmp_path}/crosswire.db", tmp_path / "crosswire.db"
    settings: dict[str, Any] = {"store": {"url": url, "create": True}, "admin_key": ADMIN}
    settings["clients"] = {"ada": {"key": "cw-0123456789abcdef"}}
    await asyncio.to_thread(said, capsys, "mappings", "add", "x", "local", "--disabled")
    async with upstream(ANSWER) as up, serving(tmp_path, one("openai-chat", up.url), **settings) as it:
        lock = sqlite3.connect(file, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        statuses = [(await send(it, "cw-0123456789abcdef")).status for _ in range(5)]
        assert statuses == [200] * 5
        metrics = (await it.ask(request("/metrics", None, bearer(ADMIN)))).body.decode()
        assert "crosswire_usage_waiting" in metrics
        lock.execute("ROLLBACK")
        lock.close()
        assert (await it.stop())[0] == 0
    assert json.loads(json.dumps(await asyncio.to_thread(usage_of, capsys, "--by", "client")))[0]["requests"] == "5"
