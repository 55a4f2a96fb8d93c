"""Tables of the losses of replies: which extra fields of a reply say something to a client, and which only keep books.

A reply repeats much of its request (its tier, its metadata, its prompt), which is nothing that could be lost.
"""

from __future__ import annotations

REPLY_FEATURES: dict[str, str] = {
    "n": "n",
    "logprobs": "logprobs",
    "logprobsResult": "logprobs",
    "audio": "media_out",
    "images": "media_out",
    "video": "video",
    "phase": "phase",
    "annotations": "citations",
    "citations": "citations",
    "citationMetadata": "citations",
    "groundingMetadata": "citations",
    "search_results": "citations",
    "webSearchQueries": "hosted_output",
    "searchEntryPoint": "hosted_output",
    "retrievalMetadata": "hosted_output",
    "urlContextMetadata": "hosted_output",
    "executed_tools": "hosted_output",  # Groq: https://console.groq.com/docs/agentic-tooling
    "container": "hosted_tools",
    "thoughtSignature": "signature",
    "stop_details": "stop_details",
    "finishMessage": "stop_details",
    "promptFeedback": "stop_details",
    "blockReasonMessage": "stop_details",
    "context_management": "metadata",
    "search_result": "citations",
    "source": "citations",
    "cache_control": "cache_control",
    # a client of another protocol did not ask for it, and sends the whole conversation with its next request
    "compaction": "context_management",
}
"""Wire name of an extra field of a reply to its feature in LOSS_RULES."""

CONTENT_PLACES = ("blocks[", "message.", "choices[0].message.", "candidates[0].content.")
"""Beginnings of the paths below which an unknown field may be content; elsewhere it is the host's own bookkeeping."""

BOOKKEEPING: frozenset[str] = frozenset(
    (
        "caller",
        "channel",
        "closed",
        "custom",
        "item_id",
        "output_index",
        "provider_metadata",
        "provider_specific_fields",
        "role",
        "stop_reason",
        "weight",
    )
)
"""Unknown fields beside content that are none."""
