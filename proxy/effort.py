"""How much a model may think, in every dialect's measure: a word, a budget in tokens, a switch.

It knows one table, and no model's own bounds. OpenAI publishes no budgets for its words; Google does, for whoever
sends these words to Gemini: "low", "medium" and "high" are 1,024, 8,192 and 24,576 tokens. The words around them go on
by the same steps. https://ai.google.dev/gemini-api/docs/openai#thinking
"""

from __future__ import annotations

from .ir import Thinking

BUDGETS: dict[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768}
"""Effort to budget in tokens; a budget maps to the nearest word that is not below it."""


def effort(thinking: Thinking) -> str | None:
    """The word for this ask; None where it leaves the target's default alone."""
    if thinking.effort is not None:
        return thinking.effort
    if thinking.enabled is False or thinking.budget == 0:
        return "none"
    if thinking.budget is not None and thinking.budget > 0:
        return next((name for name, budget in BUDGETS.items() if thinking.budget <= budget), "xhigh")
    return None


def budget(thinking: Thinking) -> int | None:
    """The budget for this ask; None where it leaves the target's default alone."""
    if thinking.budget is not None:
        return thinking.budget
    if thinking.enabled is False:
        return 0
    if thinking.effort is not None:
        return BUDGETS.get(thinking.effort)
    return None
