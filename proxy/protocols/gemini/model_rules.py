"""Applies what the traits of a model say in Gemini's terms: budgets, levels, and what may not stand together."""

from __future__ import annotations

from msgspec.structs import replace

from ...ir import Loss, ReasoningConfig, Request, Tool
from ...ir.losses import declare_loss
from ...ir.model_fit import nearest_effort
from ...traits import Traits
from ...wire import json_fields

LEVELS = ("minimal", "low", "medium", "high")
"""The levels of thinking, of which a model knows all or some."""

JSON_HINT = "Answer with one JSON object and nothing else: no prose, no code fence."
SCHEMA_HINT = "Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: "


def clamp_budget(traits: Traits, budget: int) -> int:
    """Returns the nearest budget that the model accepts; -1, which leaves the budget to the model, is kept."""
    least, most = traits.limits.get("budget_min"), traits.limits.get("budget_max")
    if least is None or most is None or budget < 0 or (budget == 0 and "thinking_off" not in traits.refuses):
        return budget
    return int(min(max(budget, least), most))


def thinking_level(traits: Traits, effort: str) -> str:
    """Maps an effort to the nearest thinking level of the model."""
    level = nearest_effort(effort, traits.efforts or LEVELS)
    return level if level in LEVELS else "high"


def fits_thinking(reasoning: ReasoningConfig, traits: Traits) -> bool:
    """Returns whether the model takes the level or budget of thinking that a client of Gemini asks for."""
    if "thinking" in traits.refuses:
        return False
    if reasoning.budget is not None and clamp_budget(traits, reasoning.budget) != reasoning.budget:
        return False
    return not reasoning.effort or "budget_max" not in traits.limits


def has_functions(request: Request) -> bool:
    """Returns whether the request offers functions of the client's."""
    return any(isinstance(tool, Tool) for tool in request.tools)


def without_json_beside_functions(request: Request, traits: Traits, losses: list[Loss]) -> tuple[Request, str | None]:
    """Returns the request, and words that ask for JSON in place of a format that the model takes no functions beside.

    "Function calling with a response mime type: 'application/json' is unsupported"
    https://github.com/googleapis/python-genai/issues/867
    """
    form = request.format
    if form is None or form.kind == "text" or "functions_with_json" not in traits.refuses or not has_functions(request):
        return request, None
    losses.append(declare_loss("format", form.kind))
    schema = form.schema if form.kind == "json_schema" else None
    hint = JSON_HINT if schema is None else SCHEMA_HINT + json_fields.encode(schema).decode()
    return replace(request, format=None), hint
