"""Names of the protocols, importable without loading the protocols themselves."""

from __future__ import annotations

NAMES = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
"""Every protocol, in the order of reports."""

WITHOUT_COMMENTS = ("gemini",)
"""Protocols whose provider never sends an SSE comment, and whose official client fails on one."""
