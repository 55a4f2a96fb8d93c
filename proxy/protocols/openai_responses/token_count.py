"""OpenAI Responses' count of input tokens.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens
"""

from __future__ import annotations

from ..protocol import TokenCount

FIELDS = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("truncation", "conversation", "previous_response_id", "personality"),
)
"""The fields of a chat request that a count request takes."""

TOKEN_COUNT = TokenCount(
    unwrap=lambda body: {**body, "input": body.get("input") or ""},  # every field is optional here
    render=lambda count: {"object": "response.input_tokens", "input_tokens": count},
    path=lambda model: "/responses/input_tokens",
    body=lambda payload, model: {key: payload[key] for key in FIELDS if key in payload},
    key="input_tokens",
)
