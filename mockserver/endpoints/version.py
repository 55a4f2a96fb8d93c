"""Version endpoint of an Ollama server."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..journal import Entry
from ..scenarios.provider import Provider
from .errors import EndpointReply


def ollama_version(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Returns the version of the simulated server."""
    return {"version": "0.13.5"}
