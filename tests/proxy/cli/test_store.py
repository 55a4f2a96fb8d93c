"""The commands on the store, as somebody types them: what they print, keep, refuse, and never show."""

from __future__ import annotations

import base64
import io
import sqlite3
import sys
from pathlib import Path

import pytest

from crosswire.proxy.cli.exit_codes import OK, USAGE
from crosswire.proxy.cli.main import main

SECRET = "sk-ant-typed-by-a-person-00001234"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a config of one local backend, and no provider's variable."""
    for name in ("CROSSWIRE_STORE", "CROSSWIRE_MASTER_KEY", "CROSSWIRE_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crosswire.yaml").write_text("backends: {local: {provider: ollama}}\n")
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRET}\n"))


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = OK) -> tuple[str, str]:
    assert main(argv) == code
    return capsys.readouterr()


def test_mappings(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("mappings", "add", "team-*", "local", "--model", "m-{1}", "--priority", "3")
    assert said(capsys, *argv, "--fallback", "groq/llama", "local")[0] == "mapping 1: team-* -> local\n"
    table = said(capsys, "mappings", "list")[0].splitlines()
    assert table[1].split(maxsplit=6) == ["1", "team-*", "local", "m-{1}", "3", "yes", "groq/llama, local"]
    assert "team-a -> local (m-a)" in said(capsys, "explain", "--model", "team-a")[0]
    assert said(capsys, "mappings", "disable", "1")[0] == "mapping 1: disabled\n"
    assert "team-a -> local (team-a)" in said(capsys, "explain", "--model", "team-a")[0]
    assert said(capsys, "mappings", "enable", "1")[0] == "mapping 1: enabled\n"
    assert said(capsys, "mappings", "remove", "1")[0] == "mapping 1: removed\n"
    assert len(said(capsys, "mappings", "list")[0].splitlines()) == 1


def test_a_change_that_would_stop_the_proxy_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "mappings", "add", "a", "local")
    for argv, complaint in (
        (("mappings", "add", "b", "lokal"), "no backend and no provider is called 'lokal'; did you mean local?"),
        (("mappings", "add", "a", "local"), "another enabled mapping has the pattern 'a' and the priority 0"),
        (("settings", "add", "keepalive", "1"), "did you mean keepalive_s?"),
        (("settings", "add", "keepalive_s", "soon"), "is not a number"),
        (("mappings", "remove", "99"), "mapping 99 does not exist; `list` shows all"),
        (("credentials", "disable", "groq"), "credential groq/default does not exist"),
        (("settings", "enable", "mode"), "setting mode does not exist"),
    ):
        out, err = said(capsys, *argv, code=USAGE)
        assert out == ""
        assert complaint in err
    assert len(said(capsys, "mappings", "list")[0].splitlines()) == 2
    assert len(said(capsys, "settings", "list")[0].splitlines()) == 1


def test_a_config_is_checked_with_what_is_stored(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "crosswire.yaml").write_text("backends: {local: {provider: ollama}}\nroutes: [{match: x, backend: groq}]\n")
    assert "no backend is called groq" in said(capsys, "check", code=USAGE)[1].replace("'", "")
    monkeypatch.setenv("MINE", SECRET)
    said(capsys, "credentials", "add", "groq", "--from-env", "MINE")
    assert "no mistakes; 2 backends" in said(capsys, "check")[0]


def test_a_broken_config_does_not_keep_its_store_from_being_mended(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    said(capsys, "mappings", "add", "a", "local")
    (here / "crosswire.yaml").write_text("backends: {other: {provider: ollama}}\n")
    said(capsys, "explain", "--model", "a", code=USAGE)
    said(capsys, "mappings", "remove", "1")
    said(capsys, "explain", "--model", "a")


@pytest.mark.usefixtures("typed")
def test_credentials(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    out, err = said(capsys, "credentials", "add", "Claude", "--base-url", "https://eu.example/")
    assert out == "credential anthropic/default: added\n"
    assert "created the master key in crosswire.key" in err
    table, err = said(capsys, "credentials", "list")
    assert table.splitlines()[1].split() == ["anthropic", "default", "…1234", "https://eu.example", "yes"]
    assert SECRET not in table + err
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in here.iterdir())
    assert "anthropic/x -> anthropic (x)" in said(capsys, "explain", "--model", "anthropic/x")[0]
    assert said(capsys, "credentials", "disable", "anthropic")[0] == "credential anthropic/default: disabled\n"
    assert said(capsys, "credentials", "rotate")[0] == "1 credentials encrypted with the new key\n"
    assert said(capsys, "credentials", "enable", "claude")[0] == "credential anthropic/default: enabled\n"
    assert "…1234" in said(capsys, "credentials", "list")[0]
    (here / "crosswire.key").unlink()
    assert "which is not configured" in said(capsys, "credentials", "list")[0]
    assert said(capsys, "credentials", "remove", "anthropic")[0] == "credential anthropic/default: removed\n"


def test_where_a_key_comes_from(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", SECRET)
    said(capsys, "credentials", "add", "groq", "--from-env", "MINE", "--name", "work")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "is empty or not ASCII" in said(capsys, "credentials", "add", "groq", code=USAGE)[1]
    assert (
        "--base-url: is not an http"
        in said(capsys, "credentials", "add", "groq", "--from-env", "MINE", "--base-url", "x", code=USAGE)[1]
    )
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("crosswire.proxy.cli.store.getpass", lambda prompt: f" {SECRET[::-1]} ")
    assert said(capsys, "credentials", "add", "groq", "--name", "work")[0] == "credential groq/work: changed\n"
    assert f"…{SECRET[::-1][-4:]}" in said(capsys, "credentials", "list")[0]


@pytest.mark.usefixtures("typed")
def test_a_credential_without_anybody_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "credentials", "add", "nobody")
    assert "added" in out
    assert "warning: store: credential nobody: no backend or provider has this name" in err


def test_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "settings", "add", "unmapped", "local")[0] == "setting unmapped: added\n"
    assert "mode: default" in said(capsys, "explain", "--model", "x")[0]
    assert said(capsys, "settings", "disable", "unmapped")[0] == "setting unmapped: disabled\n"
    assert "mode: auto" in said(capsys, "explain", "--model", "x")[0]
    assert said(capsys, "settings", "add", "unmapped", "capability")[0] == "setting unmapped: changed\n"
    assert said(capsys, "settings", "list")[0].splitlines()[1].split() == ["unmapped", "capability", "yes"]
    assert said(capsys, "settings", "remove", "unmapped")[0] == "setting unmapped: removed\n"


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_which_store(way: str, capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{here}/mine.db"
    argv: tuple[str, ...] = ()
    if way == "flag":
        argv = ("--store", url)
    elif way == "variable":
        monkeypatch.setenv("CROSSWIRE_STORE", url)
    else:
        (here / "crosswire.yaml").write_text(f"backends: {{local: {{provider: ollama}}}}\nstore: {url}\n")
    said(capsys, "mappings", *argv, "add", "a", "local")
    assert (here / "mine.db").is_file()
    assert not (here / "crosswire.db").exists()


def test_a_store_that_cannot_be_read_stops_the_start_and_says_why(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "crosswire.db").write_text("no database " * 100)
    assert "cannot be used: file is not a database" in said(capsys, "explain", "--model", "x", code=USAGE)[1]
    (here / "crosswire.db").unlink()
    with sqlite3.connect(here / "crosswire.db") as plain:
        plain.execute("CREATE TABLE store (version INTEGER, revision BIGINT, salt BLOB)")
        plain.execute("INSERT INTO store VALUES (99, 0, x'00')")
    plain.close()
    assert "use the newer Crosswire" in said(capsys, "explain", "--model", "x", code=USAGE)[1]
    monkeypatch.setenv("CROSSWIRE_STORE", "mysql://u:hunter2@h/d")
    err = said(capsys, "explain", "--model", "x", code=USAGE)[1]
    assert "is not a database URL" in err
    assert "hunter2" not in err


def test_help_tells_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    for command, verbs in (("mappings", 5), ("credentials", 6), ("settings", 5)):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        out = capsys.readouterr().out
        assert f"usage: crosswire {command}" in out
        assert sum(verb in out for verb in ("add ", "list ", "remove ", "enable ", "disable ", "rotate ")) == verbs
    with pytest.raises(SystemExit) as left:
        main(["mappings"])
    assert left.value.code == USAGE


def test_without_the_extra_the_store_says_what_to_install(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    for name in [
        name for name in sys.modules if name.startswith(("crosswire.proxy.store.", "crosswire.proxy.cli.store"))
    ]:
        if name != "crosswire.proxy.store.snapshot":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("crosswire.proxy.cli.store", raising=False)
    said(capsys, "explain", "--model", "x")  # who has no store needs none of it
    (here / "crosswire.db").touch()
    assert "pip install 'crosswire[store]'" in said(capsys, "explain", "--model", "x", code=USAGE)[1]


# ---- a store that is not there ---------------------------------------------------------------------------------------

MISSING = "is missing or empty; correct it, add the first row (crosswire credentials add"


@pytest.mark.parametrize("how", ["the file", "the environment"])
def test_a_missing_store_is_a_mistake(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    backends = "backends: {local: {provider: ollama}}\n"
    if how == "the file":
        (here / "crosswire.yaml").write_text(f"{backends}store: sqlite:///keys.db\n")
    else:
        monkeypatch.setenv("CROSSWIRE_STORE", "sqlite:///keys.db")
    for argv in (("check",), ("explain", "--model", "m"), ("serve",)):
        assert MISSING in said(capsys, *argv, code=USAGE)[1]
    assert "is missing" in said(capsys, "mappings", "list", code=USAGE)[1]
    assert sorted(file.name for file in here.iterdir()) == ["crosswire.yaml"]
    said(capsys, "mappings", "add", "x", "local")
    said(capsys, "check")
    said(capsys, "mappings", "remove", "1")
    said(capsys, "check")  # a store without rows is one all the same


@pytest.mark.parametrize(
    "argv",
    [
        ("mappings", "list"),
        ("mappings", "remove", "1"),
        ("mappings", "disable", "1"),
        ("settings", "enable", "strict"),
        ("credentials", "remove", "groq"),
    ],
    ids=" ".join,
)
def test_what_adds_nothing_makes_no_store(
    capsys: pytest.CaptureFixture[str], here: Path, argv: tuple[str, ...]
) -> None:
    assert "is missing" in said(capsys, *argv, code=USAGE)[1]
    assert not list(here.glob("*.db"))


def test_a_store_of_a_failed_change_is_still_missing(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "crosswire.yaml").write_text("backends: {local: {provider: ollama}}\nstore: sqlite:///keys.db\n")
    said(capsys, "mappings", "add", "x", "nobody", code=USAGE)
    assert MISSING in said(capsys, "check", code=USAGE)[1]


def test_a_store_that_may_be_made_later(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    text = "backends: {local: {provider: ollama}}\nstore: {url: 'sqlite:///keys.db', create: true}\n"
    (here / "crosswire.yaml").write_text(text)
    said(capsys, "check")
    assert not (here / "keys.db").exists()
    said(capsys, "mappings", "add", "x", "local", "--model", "y")
    assert "x -> local (y)" in said(capsys, "explain", "--model", "x")[0]


def test_a_database_of_something_else_stays_as_it_is(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    with sqlite3.connect(here / "other.db") as other:
        other.execute("CREATE TABLE mine (x INTEGER)")
    other.close()
    (here / "crosswire.yaml").write_text("backends: {local: {provider: ollama}}\nstore: sqlite:///other.db\n")
    assert MISSING in said(capsys, "check", code=USAGE)[1]
    with sqlite3.connect(here / "other.db") as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    other.close()


# ---- a master key that does not fit ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("how", ["another", "none", "half a rotation"])
def test_a_wrong_master_key_is_a_mistake(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nothing is served with half of its keys; the commands that mend it work meanwhile."""
    said(capsys, "credentials", "add", "groq")
    key = (here / "crosswire.key").read_text().strip()
    if how == "none":
        (here / "crosswire.key").unlink()
    else:
        monkeypatch.setenv("CROSSWIRE_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    for argv in (("check",), ("explain", "--model", "m"), ("serve",)):
        err = said(capsys, *argv, code=USAGE)[1]
        assert "store: the credential groq is encrypted with the master key " in err
        assert "which is not configured; set CROSSWIRE_MASTER_KEY" in err
        assert SECRET not in err
        assert key not in err
    if how == "half a rotation":
        monkeypatch.setenv("CROSSWIRE_MASTER_KEY", f"{base64.b64encode(bytes(32)).decode()},{key}")
    else:
        said(capsys, "credentials", "disable", "groq")  # what is not used need not be read
    assert "no mistakes" in said(capsys, "check")[0]
