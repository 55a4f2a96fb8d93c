"""The suite's own client of each wire protocol, by the protocol's name."""

from __future__ import annotations

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .protocol import ClientProtocol

CLIENTS: dict[str, ClientProtocol] = {
    "openai-chat": openai_chat.CLIENT,
    "openai-responses": openai_responses.CLIENT,
    "anthropic": anthropic.CLIENT,
    "gemini": gemini.CLIENT,
    "ollama": ollama.CLIENT,
}
