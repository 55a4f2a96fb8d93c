"""The config of a running proxy, loaded again while its store is locked, broken or gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crosswire.proxy.cli.main import main
from crosswire.proxy.config.source import ConfigLoader
from crosswire.proxy.errors import ConfigError, StoreError
from crosswire.proxy.store import database

FILE = "backends: {local: {provider: ollama}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config, and a store with a mapping."""
    for name in ("CROSSWIRE_STORE", "CROSSWIRE_MASTER_KEY", "CROSSWIRE_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(database, "BUSY_MS", 20)
    monkeypatch.chdir(tmp_path)
    Path("crosswire.yaml").write_text(FILE)
    assert main(["mappings", "add", "small", "local", "--model", "m"]) == 0
    return tmp_path


@contextmanager
def locked(file: Path) -> Iterator[None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def broken(file: Path) -> Iterator[None]:
    good = file.read_bytes()
    file.write_bytes(b"this is no database" * 1000)
    yield
    file.write_bytes(good)


@contextmanager
def gone(file: Path) -> Iterator[None]:
    file.rename(file.with_suffix(".away"))
    yield
    file.with_suffix(".away").rename(file)


@contextmanager
def emptied(file: Path) -> Iterator[None]:
    with gone(file):
        file.write_bytes(b"")
        yield


TROUBLES = {"locked": locked, "broken": broken, "gone": gone, "emptied": emptied}


@pytest.mark.parametrize("store", ["the default", "configured", "made later"])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_store_that_fails_is_what_was_read_last(
    trouble: Callable[[Path], Iterator[None]], store: str, here: Path
) -> None:
    """A new config is taken meanwhile; the complaint comes once it fails, and goes once it can be read."""
    line = {
        "the default": "",
        "configured": "store: sqlite:///crosswire.db\n",
        "made later": "store: {url: 'sqlite:///crosswire.db', create: true}\n",
    }[store]
    Path("crosswire.yaml").write_text(FILE + line)
    loader, reports = ConfigLoader(Path("crosswire.yaml")), []
    loader.report = reports.append
    assert "small" in loader.load().plan.by_exact
    with trouble(here / "crosswire.db"):
        Path("crosswire.yaml").write_text(f"{FILE}{line}keepalive_s: 3\n")
        config = loader.load()
        assert ("small" in config.plan.by_exact, config.settings.keepalive_s) == (True, 3)
    assert main(["mappings", "add", "new", "local"]) == 0
    assert "new" in loader.load().plan.by_exact
    assert reports[0] is reports[2] is None
    assert str(reports[1]).startswith("store: ")


def test_a_store_that_was_never_read_is_a_mistake(here: Path) -> None:
    with broken(here / "crosswire.db"), pytest.raises(StoreError, match="not a database"):
        ConfigLoader(Path("crosswire.yaml")).load()


def test_another_store_that_fails_is_a_mistake() -> None:
    """The snapshot of one store is not taken for that of another."""
    loader = ConfigLoader(Path("crosswire.yaml"))
    loader.load()
    Path("crosswire.yaml").write_text(FILE + "store: sqlite:///elsewhere.db\n")
    with pytest.raises(StoreError, match="is missing or empty"):
        loader.load()


def test_a_mistake_in_the_file_is_one_whatever_the_store_does(here: Path) -> None:
    loader = ConfigLoader(Path("crosswire.yaml"))
    loader.load()
    Path("crosswire.yaml").write_text(FILE + "keepalive: 3\n")
    with gone(here / "crosswire.db"), pytest.raises(ConfigError, match="did you mean keepalive_s"):
        loader.load()


def test_a_store_that_appears_is_read() -> None:
    Path("crosswire.db").rename("away.db")
    loader = ConfigLoader(Path("crosswire.yaml"))
    assert "small" not in loader.load().plan.by_exact
    Path("away.db").rename("crosswire.db")
    assert "small" in loader.load().plan.by_exact
