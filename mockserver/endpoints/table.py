"""Table of the non-chat endpoints, and the dispatcher over it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..journal import Entry
from ..protocols.protocol import MockProtocol
from ..scenarios.provider import Provider
from .embeddings import gemini_embed, ollama_embed, ollama_embeddings, openai_embed
from .errors import EndpointReply, invalid_request
from .responses_store import cancel, compact, delete, input_items, retrieve
from .version import ollama_version

EndpointFunction: TypeAlias = Callable[[Entry, Provider, "re.Match[str]", Sequence[Entry]], EndpointReply]
"""Answers one request: its journal entry, the provider, the match of the path, and the journal so far."""

_OPENAI = ("openai-chat", "openai-responses")
_STORED = ("openai-responses",)

ENDPOINTS: tuple[tuple[tuple[str, ...], str, str, EndpointFunction], ...] = (
    (_OPENAI, "POST", r"/embeddings", openai_embed),
    (("gemini",), "POST", r"/v1(?:beta)?/models/(.+):(embedContent|batchEmbedContents)", gemini_embed),
    (("ollama",), "POST", r"/api/embed", ollama_embed),
    (("ollama",), "POST", r"/api/embeddings", ollama_embeddings),
    (("ollama",), "GET", r"/api/version", ollama_version),
    (_STORED, "POST", r"/responses/compact", compact),
    (_STORED, "GET", r"/responses/([^/]+)", retrieve),
    (_STORED, "DELETE", r"/responses/([^/]+)", delete),
    (_STORED, "POST", r"/responses/([^/]+)/cancel", cancel),
    (_STORED, "GET", r"/responses/([^/]+)/input_items", input_items),
)
"""Rows of protocols, method, path below the base path, and function."""

AUTHENTICATED_PATHS = {
    "openai-chat": "/models",
    "openai-responses": "/models",
    "gemini": "/v1beta/models",
    "ollama": "/api/tags",
}
"""Protocol -> a path for which only the API key is validated."""


def has_endpoint(protocol: str, method: str, path: str) -> bool:
    """Returns whether a protocol has a non-chat endpoint at a path."""
    bare = path.partition("?")[0]
    return any(
        protocol in protocols and method == known and re.fullmatch(pattern, bare)
        for protocols, known, pattern, _ in ENDPOINTS
    )


def answer_endpoint(
    entry: Entry, provider: Provider, protocol: MockProtocol, path: str, before: Sequence[Entry]
) -> EndpointReply | None:
    """Answers a request to a non-chat endpoint; returns None if the path is not one of them.

    `before` is the journal so far, the source of stored responses.
    """
    bare = path.partition("?")[0]
    for protocols, method, pattern, function in ENDPOINTS:
        match = re.fullmatch(pattern, bare)
        if provider.protocol not in protocols or method != entry.method or match is None:
            continue
        rejection = protocol.validate_request(AUTHENTICATED_PATHS[provider.protocol], entry.headers, {}, provider)
        if rejection is not None:
            return rejection
        if method == "POST" and entry.received:
            try:
                entry.body = json.loads(entry.received)
            except (ValueError, RecursionError) as problem:
                return invalid_request(f"We could not parse the JSON body of your request: {problem}")
            if not isinstance(entry.body, dict):
                return invalid_request("We could not parse the JSON body of your request: it is not an object.")
        return function(entry, provider, match, before)
    return None
