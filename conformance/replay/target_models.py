"""The models to which recorded requests are converted; encoders and validators have rules by model."""

from __future__ import annotations

TARGET_MODELS: dict[str, tuple[str, ...]] = {
    "openai-chat": ("gpt-5-nano", "gpt-4.1", "o3"),
    "openai-responses": ("gpt-5-nano", "gpt-4.1", "gpt-5.2"),
    "anthropic": ("claude-sonnet-4-5", "claude-3-5-haiku-20241022", "claude-opus-4-7"),
    "gemini": ("gemini-2.5-flash", "gemini-2.0-flash", "gemini-3-pro-preview"),
    "ollama": ("llama3.2", "qwen3", "gpt-oss:20b"),
}
"""Protocol -> models of which each has other rules: with and without reasoning, and of the newest generation."""

WITHOUT_REASONING = ("gpt-4.1", "claude-3-5-haiku-20241022", "gemini-2.0-flash", "llama3.2")
"""Those of the models that never reason, so that a request that switches reasoning off is met without a word."""
