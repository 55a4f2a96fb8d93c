"""The protocols that Crosswire speaks: one literal table, from which everything else learns their names."""

from __future__ import annotations

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .contract import Protocol

PROTOCOLS: dict[str, Protocol] = {
    "openai-chat": openai_chat.PROTOCOL,
    "openai-responses": openai_responses.PROTOCOL,
    "anthropic": anthropic.PROTOCOL,
    "gemini": gemini.PROTOCOL,
    "ollama": ollama.PROTOCOL,
}
