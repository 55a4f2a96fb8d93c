"""What the tests of the SDKs share: the bench, and for every frontend a client of its SDK whose bytes are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from drivers import DRIVERS
from drivers.desk import Desk, desk_at
from sdk_stories import SCENARIOS

from conformance.bench import Bench, proxy_config

FAMILIES = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "OLLAMA_")
"""How the variables begin from which SDKs take keys and addresses."""


@pytest.fixture(scope="session", autouse=True)
def _no_keys_of_the_machine() -> Iterator[None]:
    """No SDK may find a key, an address or a proxy of the machine that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FAMILIES) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def bench(_no_keys_of_the_machine: None) -> Iterator[Bench]:
    with Bench(SCENARIOS) as bench:
        yield bench


@pytest.fixture(scope="session")
def _desks(bench: Bench) -> Iterator[dict[str, Desk]]:
    desks = {name: desk_at(name, bench.base_url) for name in DRIVERS}
    yield desks
    for desk in desks.values():
        desk.client.close()


@pytest.fixture
def desk(frontend: str, _desks: dict[str, Desk]) -> Desk:
    """The desk of this test's frontend, its tape empty."""
    _desks[frontend].tape.rewind()
    return _desks[frontend]


@pytest.fixture(scope="session")
def _choosy_url(bench: Bench) -> str:
    """A proxy whose backends take the models that they name and no other."""
    config = proxy_config(SCENARIOS, bench.mock_url)
    for backend in config["backends"].values():
        del backend["default_model"]
    return bench.wait(bench.start_proxy(config))


@pytest.fixture
def choosy_desk(frontend: str, _choosy_url: str) -> Iterator[Desk]:
    """A desk at a proxy that refuses models which no backend names."""
    desk = desk_at(frontend, _choosy_url)
    yield desk
    desk.client.close()
