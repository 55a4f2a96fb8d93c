"""Conversion between the two measures of reasoning: effort levels and budgets in tokens.

The bounds of single models are not considered. OpenAI publishes no budgets for its levels; Google does, for clients
that send these levels to Gemini: "low", "medium" and "high" are 1,024, 8,192 and 24,576 tokens. The other levels
continue that scale. https://ai.google.dev/gemini-api/docs/openai#thinking
"""

from __future__ import annotations

from collections.abc import Sequence

from .model import ReasoningConfig

BUDGETS: dict[str, int] = {
    **{"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 40960},
}
"""Effort level to budget in tokens; a budget maps to the lowest level that covers it."""


def effort(thinking: ReasoningConfig) -> str | None:
    """Returns the effort level of this config; None where the target's default applies."""
    if thinking.effort is not None:
        return thinking.effort
    if thinking.enabled is False or thinking.budget == 0:
        return "none"
    if thinking.budget is not None and thinking.budget > 0:
        return next((name for name, budget in BUDGETS.items() if thinking.budget <= budget), "max")
    return None


def effort_for(thinking: ReasoningConfig, efforts: Sequence[str] | None, *, same: bool) -> str | None:
    """Returns the effort level for a model whose levels are these, or not known.

    Few models know `max`, so that one of another protocol's client is `xhigh` for a model of which nothing is known.
    """
    level = effort(thinking)
    return "xhigh" if level == "max" and efforts is None and not same else level


def budget(thinking: ReasoningConfig) -> int | None:
    """Returns the budget in tokens of this config; None where the target's default applies."""
    if thinking.budget is not None:
        return thinking.budget
    if thinking.enabled is False:
        return 0
    if thinking.effort is not None:
        return BUDGETS.get(thinking.effort)
    return None
