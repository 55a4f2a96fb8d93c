"""The protocols that Crosswire speaks: one table, from which everything else learns their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from .protocol import Protocol

PROTOCOLS: dict[str, Protocol] = {
    "openai-chat": openai_chat.PROTOCOL,
    "openai-responses": openai_responses.PROTOCOL,
    "anthropic": anthropic.PROTOCOL,
    "gemini": gemini.PROTOCOL,
    "ollama": ollama.PROTOCOL,
}

DEFAULT = openai_chat.PROTOCOL
"""The protocol of a client that shows no sign of another."""


def detect_client_protocol(headers: Mapping[str, str], query: Iterable[str]) -> Protocol:
    """The protocol of a client, by the headers and query fields that only one protocol's clients send."""
    fields = frozenset(query)
    for protocol in PROTOCOLS.values():
        if any(name in headers for name in protocol.client_headers):
            return protocol
    for protocol in PROTOCOLS.values():
        if any(name in fields for name in protocol.client_query):
            return protocol
    return DEFAULT


def protocol_of_path(path: str) -> Protocol | None:
    """The protocol whose shape an error at this path has, or None where several share it."""
    return next((each for each in PROTOCOLS.values() if path.startswith(each.path_prefixes)), None)
