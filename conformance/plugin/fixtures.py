"""Fixtures and markers of the pytest plugin; what they need is imported with their first use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .loop_thread import LoopThread
    from .mock_fixture import LlmMock
    from .proxy_fixture import CrosswireProxy

MARKERS = (
    "llm_stories(*paths): story files, or folders of them, that the fixture llm_mock plays; relative to the test file",
    "llm_mock(strict=False, environment=True): strict fails a test whose requests were refused or fit no story; "
    "environment=False leaves the variables of the SDKs alone",
    "crosswire_config(**keys): keys of the config of the fixture crosswire_proxy",
)


RIVALS = ("ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
"""Variables that the SDKs would heed beside those that point them at the mock."""


def pytest_configure(config: pytest.Config) -> None:
    """Declares the markers."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)


@pytest.fixture(scope="session")
def _llm_loop() -> Iterator[LoopThread]:
    """Runs an event loop in a thread of its own, on which the servers of all tests are."""
    from .loop_thread import LoopThread

    with LoopThread() as loop:
        yield loop


@pytest.fixture
def llm_mock(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _llm_loop: LoopThread
) -> Iterator[LlmMock]:
    """A mock of the LLM providers with the stories of this test, a journal of its own, and the SDKs pointed at it."""
    from .mock_fixture import LlmMock

    marker = request.node.get_closest_marker("llm_mock")
    options = {"strict": False, "environment": True} | ({} if marker is None else dict(marker.kwargs))
    with LlmMock(_llm_loop) as mock:
        for marked in request.node.iter_markers("llm_stories"):
            for path in marked.args:
                mock.load(Path(request.path).parent / path)
        if options["environment"]:
            for name in RIVALS:
                monkeypatch.delenv(name, raising=False)
            for name, value in mock.environment.items():
                monkeypatch.setenv(name, value)
        yield mock
        told = mock.near_misses()
        if told:
            # shown where the test failed
            request.node.add_report_section("teardown", "llm_mock", told)
        if options["strict"] and told:
            pytest.fail(told, pytrace=False)


@pytest.fixture
def crosswire_proxy(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    llm_mock: LlmMock,
    _llm_loop: LoopThread,
) -> Iterator[CrosswireProxy]:
    """A Crosswire proxy whose backends are the providers of llm_mock, with the SDKs pointed at the proxy."""
    from .proxy_fixture import CrosswireProxy

    keys: dict[str, Any] = {}
    for marked in reversed(list(request.node.iter_markers("crosswire_config"))):
        keys |= marked.kwargs  # the closest one wins
    marker = request.node.get_closest_marker("llm_mock")
    with CrosswireProxy(_llm_loop, llm_mock, tmp_path / "crosswire.yaml", keys) as proxy:
        if marker is None or marker.kwargs.get("environment", True):
            for name, value in proxy.environment.items():
                monkeypatch.setenv(name, value)
        yield proxy
