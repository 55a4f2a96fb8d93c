"""The rules by which a gateway is judged: a vendor's, which hold for anybody, or those of this house."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

By = Literal["vendor", "house"]


class Rule(Struct, frozen=True):
    """A rule: who made it, what it says, and where; an empty source is that of the story."""

    id: str
    by: By
    says: str
    source: str = ""


def _rule(id: str, by: By, says: str, source: str = "") -> Rule:
    return Rule(id, by, says, source)


RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        _rule("content", "vendor", "What a client asks reaches the model, and what the model says reaches the client."),
        _rule("loss", "vendor", "A field of the protocol that the client sets has its documented effect."),
        _rule("limit", "vendor", "The target's protocol has no place for it; the client has to be told."),
        _rule("refusal", "vendor", "A request that the protocol allows is answered."),
        _rule("provider", "vendor", "The provider refuses such a request."),
        _rule("model", "vendor", "The model that answers is the one that the request names."),
        _rule("error", "vendor", "A failure is told as a failure, and an answer as an answer."),
        _rule(
            "error-kind",
            "vendor",
            "The status tells clients what to do: 4xx blames the request, 429 asks to wait, 5xx may be tried again.",
            "https://www.rfc-editor.org/rfc/rfc9110#name-status-codes",
        ),
        _rule(
            "framing",
            "vendor",
            "A message that ends before its framing says so is incomplete.",
            "https://www.rfc-editor.org/rfc/rfc9112#name-handling-incomplete-message",
        ),
        _rule("shape", "vendor", "Replies and errors have the shape that the protocol's owner documents."),
        _rule("answer", "vendor", "A server answers, or says that it cannot."),
        _rule("own-shape", "house", "A reply has every member that the protocol's owner sends, and no other."),
        _rule("once", "house", "One request is one request to the provider, unless that failed."),
        _rule("exact", "house", "Every check of the conformance suite holds, in Crosswire's own terms."),
        _rule("needless-loss", "house", "What the target can express is not lost, even if the client is told."),
        _rule("false-loss", "house", "A loss that is declared did happen."),
        _rule("secrets", "house", "No credential crosses the gateway, in either direction."),
        _rule(
            "feature-headers", "house", "A protocol's feature headers reach providers of that protocol, and no others."
        ),
        _rule("added-field", "house", "A provider gets no field that the client did not send."),
        _rule(
            "status", "house", "Status and message of a provider's error are passed on; the gateway's own key is a 502."
        ),
        _rule("broken-end", "house", "After an error within a stream the connection breaks: a clean end is a success."),
        _rule("retry-after", "house", "A provider's retry-after reaches the client."),
    )
}

PROTOCOL_SOURCES: dict[str, str] = {
    "openai-chat": "https://platform.openai.com/docs/api-reference/chat/object",
    "openai-responses": "https://platform.openai.com/docs/api-reference/responses/object",
    "anthropic": "https://platform.claude.com/docs/en/api/messages/create",
    "gemini": "https://ai.google.dev/api/generate-content",
    "ollama": "https://docs.ollama.com/api/chat",
}
"""Protocol -> where its owner documents the shape of replies."""
