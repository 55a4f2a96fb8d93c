"""The names of the dialects, for those who must know them without loading one."""

from __future__ import annotations

NAMES = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")

WITHOUT_COMMENTS = ("gemini",)
"""Dialects whose provider never sends an SSE comment, and whose official client breaks on one."""
