"""Lookup tables of Chat Completions: stop reasons, error codes, the keys of plain text chunks, quirks and limits."""

from __future__ import annotations

import re

from ...ir import StopReason
from ..openai import tables as openai

NAME = openai.CHAT

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
STOP_WORDS: dict[StopReason, str] = {
    "end": "stop",
    "length": "length",
    "tool": "tool_calls",
    "stop_sequence": "stop",
    "filter": "content_filter",
    "pause": "stop",
    "other": "stop",
}

KINDS: dict[str, str] = {**openai.KINDS, "too_many_prompt_tokens": "context_length"}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""
# "This model's maximum context length is 8192 tokens. However, you requested …" https://github.com/vllm-project/vllm,
# "This endpoint's maximum context length is …" https://openrouter.ai/docs/api-reference/errors
CONTEXT_LENGTH = re.compile(r"exceeds? the (?:model's )?context window|max(?:imum)? context length", re.IGNORECASE)
"""Matches the message of hosts that report a prompt that is too long without a code."""

PLAIN_CHUNK = frozenset(
    (
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "obfuscation",
        "provider",
    )
)
PLAIN_CHOICE = frozenset(("index", "delta", "finish_reason", "logprobs", "native_finish_reason"))
PLAIN_DELTA = frozenset(("role", "content"))
"""The keys of a chunk, its choice and its delta that carry nothing but another piece of text."""

QUIRKS = {
    "max_tokens": "knows only the older max_tokens, not max_completion_tokens",
    "no_developer": "knows no developer role; such messages are sent as system",
    "no_stream_options": "refuses stream_options; usage comes unasked or not at all",
    "no_parallel_tool_calls": "refuses parallel_tool_calls",
    "no_reasoning_effort": "refuses reasoning_effort",
    "top_k": "takes top_k, as many open hosts do",
    "reasoning_content": "wants its reasoning_content back with every assistant message",
    "no_reasoning_content": "refuses what was thought in an assistant message, though the client sends it",
    "reasoning_details": "wants its signed reasoning_details back (OpenRouter)",
}

# "Up to 4 sequences where the API will stop generating further tokens."
# https://platform.openai.com/docs/api-reference/chat/create
# "Invalid 'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a string
# with length 53 instead." https://github.com/agno-agi/agno/issues/5382
LIMITS = {"stop": 4, "tool_call_id": 40}
