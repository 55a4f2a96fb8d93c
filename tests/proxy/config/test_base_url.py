"""A base URL of OpenAI's protocols without a path is warned of: nearly every host answers 404 there."""

from __future__ import annotations

import pytest

from crosswire.proxy.config import load

WARNED: dict[str, tuple[str, bool]] = {
    "without a version": ("{protocol: openai-chat, base_url: 'http://127.0.0.1:8000'}", True),
    "without a version, with a slash": ("{protocol: openai-responses, base_url: 'https://api.openai.com/'}", True),
    "with one": ("{protocol: openai-chat, base_url: 'http://127.0.0.1:8000/v1'}", False),
    "with a path of its own": ("{protocol: openai-chat, base_url: 'https://host.example/api'}", False),
    "a provider's own address": ("{provider: deepseek, base_url: 'https://api.deepseek.com'}", False),
    "a protocol whose paths have it": ("{protocol: anthropic, base_url: 'https://api.anthropic.com'}", False),
    "another such protocol": ("{protocol: ollama, base_url: 'http://127.0.0.1:11434'}", False),
}


@pytest.mark.parametrize(("backend", "warned"), WARNED.values(), ids=list(WARNED))
def test_a_base_url_without_a_version(backend: str, warned: bool) -> None:
    warnings = load(f"backends: {{b: {backend}}}", "c.yaml", {"DEEPSEEK_API_KEY": "sk-1"}).warnings
    assert any("b.base_url: has no path" in warning and "/v1" in warning for warning in warnings) == warned
