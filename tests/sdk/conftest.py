"""Fixtures of the SDK tests: the test bed, and for every frontend a session of its SDK with recorded responses."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from crosswire.conformance.harness.testbed import Testbed, proxy_config

from .drivers import DRIVERS
from .drivers.session import SdkSession, open_session
from .sdk_stories import SCENARIOS

PREFIXES = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "OLLAMA_")
"""Prefixes of the variables from which SDKs take keys and URLs."""


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Removes keys, URLs and proxies from the environment, so that no SDK uses them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(PREFIXES) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def bench(_clean_environment: None) -> Iterator[Testbed]:
    with Testbed(SCENARIOS) as bench:
        yield bench


@pytest.fixture(scope="session")
def _sessions(bench: Testbed) -> Iterator[dict[str, SdkSession]]:
    sessions = {name: open_session(name, bench.base_url) for name in DRIVERS}
    yield sessions
    for session in sessions.values():
        session.client.close()


@pytest.fixture
def session(frontend: str, _sessions: dict[str, SdkSession]) -> SdkSession:
    """Returns the session of this test's frontend, its recording empty."""
    _sessions[frontend].recording.clear()
    return _sessions[frontend]


@pytest.fixture(scope="session")
def _strict_url(bench: Testbed) -> str:
    """Starts a proxy whose backends accept only the models that they name."""
    config = proxy_config(SCENARIOS, bench.mock_url)
    for backend in config["backends"].values():
        del backend["default_model"]
    return bench.wait(bench.start_proxy(config))


@pytest.fixture
def strict_session(frontend: str, _strict_url: str) -> Iterator[SdkSession]:
    """Opens a session at a proxy that refuses models which no backend names."""
    session = open_session(frontend, _strict_url)
    yield session
    session.client.close()
