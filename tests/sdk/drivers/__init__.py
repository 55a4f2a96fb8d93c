"""The SDK drivers, one for each protocol; each uses its official SDK as that SDK's users do."""

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
"""The drivers by their frontend."""
