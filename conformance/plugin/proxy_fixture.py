"""The value of the fixture `crosswire_proxy`: a running proxy whose backends are the providers of the mock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.sdk_environment import sdk_environment
from crosswire.proxy.server.app import make_app
from crosswire.proxy.server.lifecycle import make_runner

from ..harness.testbed import proxy_config
from .loop_thread import LoopThread
from .mock_fixture import LlmMock

KEY = "crosswire"
"""A key for the SDKs, which want one; the proxy wants none."""


class CrosswireProxy:
    """A proxy on a port of this test; `config` is what it was started with."""

    def __init__(self, loop: LoopThread, mock: LlmMock, file: Path, keys: Mapping[str, Any]) -> None:
        self._loop = loop
        self.mock = mock
        scenarios = Scenarios(mock.providers, mock.stories)
        self.config = {**proxy_config(scenarios, mock.url), **keys}
        file.write_text(yaml.safe_dump(self.config, sort_keys=False), "utf-8")
        # the environment could add providers, whose keys would be used
        self._runner = make_runner(make_app(file, env={}))
        self.url = ""

    def __enter__(self) -> Self:
        self.url = self._loop.serve(self._runner)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.end(self._runner)

    def base_url(self, provider: str) -> str:
        """Returns the address that the official SDK of this provider takes."""
        return f"{self.url}/v1" if self.mock.providers[provider].protocol.startswith("openai") else self.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the official SDKs at the proxy."""
        return sdk_environment(self.base_url, lambda provider: KEY)
