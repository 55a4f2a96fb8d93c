"""OpenAI Responses' count of input tokens.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens
"""

from __future__ import annotations

from typing import Any

from ..protocol import TokenCount

FIELDS = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("truncation", "conversation", "previous_response_id", "personality"),
)
"""The fields of a chat request that a count request takes."""


def _request_to_count(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the request with an input: every field is optional here, and instructions alone count as one."""
    if body.get("input"):
        return body
    return {**body, "input": body.get("instructions") or "", "instructions": None}


TOKEN_COUNT = TokenCount(
    unwrap=_request_to_count,
    render=lambda count: {"object": "response.input_tokens", "input_tokens": count},
    path=lambda model: "/responses/input_tokens",
    body=lambda payload, model: {key: payload[key] for key in FIELDS if key in payload},
    key="input_tokens",
)
