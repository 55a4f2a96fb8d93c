"""Registry of the five wire protocols of the mock server, by name."""

from __future__ import annotations

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .protocol import MockProtocol

MOCK_PROTOCOLS: dict[str, MockProtocol] = {
    "openai-chat": openai_chat.PROTOCOL,
    "openai-responses": openai_responses.PROTOCOL,
    "anthropic": anthropic.PROTOCOL,
    "gemini": gemini.PROTOCOL,
    "ollama": ollama.PROTOCOL,
}
