"""The five wire protocols that the mock can play, by name."""

from __future__ import annotations

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .contract import Dialect

DIALECTS: dict[str, Dialect] = {
    "openai-chat": openai_chat.DIALECT,
    "openai-responses": openai_responses.DIALECT,
    "anthropic": anthropic.DIALECT,
    "gemini": gemini.DIALECT,
    "ollama": ollama.DIALECT,
}
