"""The interface of a driver, and the ways to ask for structured output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

KEY = "any"
"""The key that a client gives to a proxy without clients of its own."""

Tool = Callable[[str], str]
"""The tool `tide`, which takes a port."""


class Shape(Struct, frozen=True):
    """A way to ask for structured output: `mode` as the framework calls it, `story` is the one that answers it."""

    mode: str
    story: str


class Client(Protocol):
    """A framework that is pointed at the proxy, for one model."""

    def text(self, prompt: str) -> str:
        """Returns the whole answer."""

    def stream(self, prompt: str) -> list[str]:
        """Returns the pieces of the answer as they come."""

    def tools(self, prompt: str, tool: Tool) -> str:
        """Lets the model call the tool, and returns its last answer."""

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        """Returns the answer as this model of pydantic's."""


AS_TEXT = "ship-as-text"
BY_SHIP = "ship-by-ship"
BY_RESULT = "ship-by-final-result"
