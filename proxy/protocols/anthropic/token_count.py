"""Anthropic's count of tokens.

Source: https://platform.claude.com/docs/en/api/messages/count_tokens
"""

from __future__ import annotations

from ..protocol import TokenCount

FIELDS = (
    *("model", "messages", "system", "tools", "tool_choice", "thinking"),
    *("output_config", "cache_control", "mcp_servers", "context_management", "speed"),
)
"""The fields of a chat request that a count request takes."""

TOKEN_COUNT = TokenCount(
    render=lambda count: {"input_tokens": count},
    path=lambda model: "/v1/messages/count_tokens",
    body=lambda payload, model: {key: payload[key] for key in FIELDS if key in payload},
    key="input_tokens",
)
