"""Validates Chat Completions requests as OpenAI does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

from ..openai_platform import ACCESS_RULES, IDENTIFIER_RULES
from ..rule import Rule
from . import field_rules, message_rules, model_rules, tool_rules

RULES: tuple[Rule, ...] = (
    *ACCESS_RULES,
    *field_rules.SHAPE_RULES,
    # A recorded request to gpt-5-nano with max_tokens and a temperature out of range is refused for the former.
    *model_rules.RULES,
    *field_rules.VALUE_RULES,
    *IDENTIFIER_RULES,
    *tool_rules.RULES,
    *message_rules.RULES,
)
"""The rules, in the order in which the service checks them."""
