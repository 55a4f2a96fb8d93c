"""Frameworks above the SDKs, by backends of other protocols: text, stream, tool loop and structured output.

They need the extra `frameworks`, in an environment of its own: `pytest -m frameworks tests/frameworks`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from crosswire.conformance.harness.testbed import Testbed

from .conftest import SCENARIOS, installed
from .drivers.driver import Client, Shape
from .frameworks import FRAMEWORKS, Framework

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]  # their warnings are theirs

BACKENDS = ("openai", "openai-responses", "anthropic", "gemini", "ollama")

CELLS = [
    pytest.param(
        framework,
        backend,
        id=f"{framework.name}-at-{backend}",
        marks=pytest.mark.skipif(
            bool(missing := [each for each in framework.packages if installed(each) is None]),
            reason=f"{', '.join(missing)} not installed; the extra `frameworks` brings it",
        ),
    )
    for framework in FRAMEWORKS
    for backend in BACKENDS
    if SCENARIOS.providers[backend].protocol != framework.protocol
]

CHATS = [cell for cell in CELLS if cell.values[0].chats]

SHAPES = [
    pytest.param(*cell.values, shape, id=f"{cell.id}-{shape.mode}", marks=cell.marks)
    for cell in CELLS
    for shape in cell.values[0].shapes
]


def opened(framework: Framework, backend: str, bench: Testbed) -> Client:
    """Returns the framework, pointed at a proxy before this backend."""
    provider = SCENARIOS.providers[backend]
    url = bench.wait(bench.proxy_for_provider(provider))
    module = import_module(f".drivers.{framework.driver}", __package__)
    return module.Client(framework.protocol, url, next(iter(provider.models)))


@pytest.mark.parametrize(("framework", "backend"), CHATS)
def test_text(framework: Framework, backend: str, bench: Testbed) -> None:
    assert opened(framework, backend, bench).text("Greet the harbour.") == "The harbour greets you."


@pytest.mark.parametrize(("framework", "backend"), CHATS)
def test_stream(framework: Framework, backend: str, bench: Testbed) -> None:
    pieces = opened(framework, backend, bench).stream("Greet the harbour.")
    assert "".join(pieces) == "The harbour greets you."
    assert len(pieces) > 1


@pytest.mark.parametrize(("framework", "backend"), CHATS)
def test_tool_loop(framework: Framework, backend: str, bench: Testbed) -> None:
    asked = []

    def tide(port: str) -> str:
        """Says when high water is."""
        asked.append(port)
        return "high at 14:02"

    answer = opened(framework, backend, bench).tools("When is high water in Brest?", tide)
    assert (asked, answer) == (["Brest"], "High water is at 14:02.")


@pytest.mark.parametrize(("framework", "backend", "shape"), SHAPES)
def test_structured_output(framework: Framework, backend: str, shape: Shape, bench: Testbed) -> None:
    from pydantic import BaseModel

    class Ship(BaseModel):
        """A ship and its masts."""

        name: str
        masts: int

    prompt = SCENARIOS.stories[shape.story].exchanges[0].ask.user[0]
    found: Any = opened(framework, backend, bench).structured(getattr(prompt, "text", prompt), shape.mode, Ship)
    assert isinstance(found, Ship)
    assert found.model_dump() == {"name": "Belem", "masts": 3}
