"""Validates Responses requests as OpenAI does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

from ..openai_platform import ACCESS_RULES, IDENTIFIER_RULES
from ..rule import Rule
from . import field_rules, field_shapes, item_rules, model_rules

RULES: tuple[Rule, ...] = (
    *ACCESS_RULES,
    *field_shapes.RULES,
    *field_rules.RULES,
    *IDENTIFIER_RULES,
    *item_rules.RULES,
    *model_rules.RULES,
)
"""The rules, in the order in which the service checks them."""
