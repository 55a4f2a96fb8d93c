"""Sample protocols and variables, and helpers that tests of the config share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import pytest

from crosswire.proxy.errors import ConfigError

SECRET = "sk-verysecretvalue"


class SampleSpec(msgspec.Struct, frozen=True):
    """A protocol as far as a config looks at it."""

    capabilities: frozenset[str] = frozenset(("text", "tools"))
    quirks: Mapping[str, str] = MappingProxyType({"no_index": "calls come without one", "no_done": "no last word"})
    limits: Mapping[str, float] = MappingProxyType({"stop": 4, "temperature": 2})
    local: bool = False
    base_url_suffixes: tuple[str, ...] = ()
    usual_base_path: str = ""


SPECS: dict[str, SampleSpec] = {
    "openai-chat": SampleSpec(),
    "openai-responses": SampleSpec(),
    "anthropic": SampleSpec(quirks={}, limits={}, base_url_suffixes=("/v1",)),
    "gemini": SampleSpec(base_url_suffixes=("/v1", "/v1beta")),
    "ollama": SampleSpec(local=True, base_url_suffixes=("/api", "/v1")),
}
CONFIG_VARIABLES = {"KEY": SECRET, "EMPTY": "", "PORT": "9005", "BAD": "two\nlines", "ON": "true", "WORD": "gemini"}


def errors_of(make: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make()
    return list(caught.value.complaints)
