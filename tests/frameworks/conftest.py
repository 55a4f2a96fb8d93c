"""Fixtures of the frameworks' tests: the test bed, and the versions at the end of the report."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from crosswire.conformance.harness.testbed import Testbed
from crosswire.mockserver.scenarios.loader import load_scenarios

from .frameworks import FRAMEWORKS

HERE = Path(__file__).parent
SCENARIOS = load_scenarios(HERE.parents[1] / "scenarios", HERE / "scenarios")

PREFIXES = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "OLLAMA_")
"""Prefixes of the variables from which SDKs take keys and URLs."""


def installed(package: str) -> str | None:
    """Returns the version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the versions that were tried."""
    packages = sorted({package for each in FRAMEWORKS for package in each.packages})
    found = [f"{package} {has}" for package in packages if (has := installed(package))]
    if found:
        terminalreporter.write_line(f"frameworks: {', '.join(found)}")


@pytest.fixture(scope="session")
def bench() -> Iterator[Testbed]:
    """Starts the mock with the stories of this folder; no key, URL or proxy of the environment is used."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(PREFIXES) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        with Testbed(SCENARIOS) as bench:
            yield bench
        with warnings.catch_warnings():  # frameworks leave connections open, which is theirs
            warnings.simplefilter("ignore")
            gc.collect()
