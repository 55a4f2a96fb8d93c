"""The variables of the environment that point the official SDKs at providers of the mock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .scenarios.provider import Provider

VARIABLES: dict[str, tuple[str, str]] = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
    "ollama": ("OLLAMA_HOST", "OLLAMA_API_KEY"),
}
"""Provider to the variables from which its official SDK takes the address and the key."""

OTHERS = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
"""Variables that keep the SDKs' requests on this machine."""


def sdk_environment(base_url: Callable[[str], str], key: Callable[[str], str]) -> dict[str, str]:
    """Returns the variables, by the address and the key of each provider."""
    found = dict(OTHERS)
    for provider, (address, secret) in VARIABLES.items():
        found |= {address: base_url(provider), secret: key(provider)}
    return found


def mock_environment(providers: Mapping[str, Provider], url: str) -> dict[str, str]:
    """Returns the variables for the mock at this URL."""
    return sdk_environment(
        lambda name: f"{url}/{name}{providers[name].base_path}", lambda name: providers[name].auth.key
    )
