"""Validates requests as the Gemini API does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

from ..rule import Rule
from . import field_rules, model_rules, tool_rules

RULES: tuple[Rule, ...] = (*field_rules.RULES, *model_rules.RULES, *tool_rules.RULES)
"""The rules, in the order in which the service checks them."""
