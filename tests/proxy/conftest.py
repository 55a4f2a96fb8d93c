"""Fixtures: a running Valkey, and a prefix of a test's own on it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from crosswire.proxy.state.settings import StateSettings

from .valkey import Missing, Mortal, server


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    try:
        with server() as url:
            yield url
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def shared(valkey: str) -> StateSettings:
    """The settings of one deployment, whose keys no other test has."""
    return StateSettings(url=valkey, prefix=f"t-{uuid4().hex}", timeout_s=2)


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    """A server that can be killed and started again."""
    try:
        found = Mortal()
    except Missing as missing:
        pytest.skip(str(missing))
    found.start()
    try:
        yield found
    finally:
        found.kill()
