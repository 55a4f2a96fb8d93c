"""Fixtures: an empty store on SQLite and on PostgreSQL, and a master key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crosswire.proxy.store.crypto import new_key
from crosswire.proxy.store.database import Store

from ..postgres import Missing, fresh, server
from .sample_store import text_of


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    try:
        with server() as url:
            yield url
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return fresh(request.getfixturevalue("postgres"))


@pytest.fixture
def env() -> dict[str, str]:
    return {"CROSSWIRE_MASTER_KEY": text_of(new_key())}


@pytest.fixture
async def store(url: str, env: dict[str, str]) -> AsyncIterator[Store]:
    store = Store(url, env)
    yield store
    await store.close()
