"""The drivers, one a protocol: each asks in its official SDK's own idiom. They know neither proxy nor mock."""

from __future__ import annotations

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .driver import Driver

DRIVERS: dict[str, Driver] = {
    driver.name: driver
    for driver in (
        openai_chat.DRIVER,
        openai_responses.DRIVER,
        anthropic.DRIVER,
        gemini.DRIVER,
        ollama.DRIVER,
    )
}
"""By the frontend that each drives."""
