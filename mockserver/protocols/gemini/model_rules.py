"""Rules of the Gemini API about thinking, and about what single models refuse or do not combine."""

from __future__ import annotations

from collections.abc import Iterator

from ..rule import TODAY, Asked, Breach, Rule
from .asked_body import config, declarations, model_of, native_tools, thinking, tool_config
from .model_traits import THINKING, family_of

COMBINATIONS = "https://ai.google.dev/gemini-api/docs/tool-combination"
SYMFONY = "https://github.com/symfony/ai/issues/803"

RUNS_ALONGSIDE = {"codeExecution"}
"""Native tools that every recorded model takes beside functions."""


def _level_and_budget(asked: Asked) -> Iterator[Breach]:
    if "thinkingLevel" in thinking(asked) and "thinkingBudget" in thinking(asked):
        yield {}


def _no_thinker(asked: Asked) -> Iterator[Breach]:
    family = family_of(model_of(asked))
    thinks = thinking(asked).get("thinkingBudget") or thinking(asked).get("includeThoughts")
    if thinks and family is not None and family.budget is None:
        yield {}


def _level_of_no_model(asked: Asked) -> Iterator[Breach]:
    family = family_of(model_of(asked))
    if "thinkingLevel" in thinking(asked) and family is not None and not family.levels:
        yield {}


def _level_of_another_model(asked: Asked) -> Iterator[Breach]:
    family, level = family_of(model_of(asked)), thinking(asked).get("thinkingLevel")
    if isinstance(level, str) and family is not None and level.upper() not in (*family.levels, UNSET):
        yield {"level": level.upper()}


UNSET = "THINKING_LEVEL_UNSPECIFIED"


def _budget_zero(asked: Asked) -> Iterator[Breach]:
    family = family_of(model_of(asked))
    if thinking(asked).get("thinkingBudget") == 0 and family is not None and not family.budget_off:
        yield {}


def _budget_range(asked: Asked) -> Iterator[Breach]:
    family, budget = family_of(model_of(asked)), thinking(asked).get("thinkingBudget")
    if not isinstance(budget, int) or family is None or family.budget is None:
        return
    low, high = family.budget
    # "-1: dynamic thinking"; 0 has a rule of its own.
    if budget not in (-1, 0) and not low <= budget <= high:
        yield {"budget": budget, "low": low, "high": high}


def _thoughts_without_thinking(asked: Asked) -> Iterator[Breach]:
    if thinking(asked).get("thinkingBudget") == 0 and thinking(asked).get("includeThoughts"):
        yield {}


def _combines_not(asked: Asked) -> bool:
    family = family_of(model_of(asked))
    return family is not None and not family.combines


def _wants_json(asked: Asked) -> bool:
    return config(asked).get("responseMimeType") == "application/json"


def _functions_and_json(asked: Asked) -> Iterator[Breach]:
    if _combines_not(asked) and declarations(asked) and _wants_json(asked):
        yield {}


def _search_and_functions(asked: Asked) -> Iterator[Breach]:
    if _combines_not(asked) and declarations(asked) and native_tools(asked) - RUNS_ALONGSIDE:
        yield {}


def _search_and_json(asked: Asked) -> Iterator[Breach]:
    if _combines_not(asked) and native_tools(asked) - RUNS_ALONGSIDE and _wants_json(asked):
        yield {}


def _search_unannounced(asked: Asked) -> Iterator[Breach]:
    announced = tool_config(asked).get("includeServerSideToolInvocations")
    if declarations(asked) and native_tools(asked) - RUNS_ALONGSIDE and not announced and not _combines_not(asked):
        yield {}


RULES: tuple[Rule, ...] = (
    Rule(
        id="level-and-budget",
        says="You cannot use both thinking_level and the legacy thinking_budget parameter in the same request.",
        source=THINKING,
        check=_level_and_budget,
        message="You can only set only one of thinking budget and thinking level.",
    ),
    Rule(
        id="thinking-of-no-thinker",
        says="The error of gemini-2.0-flash for a thinking budget.",
        source="https://github.com/googleapis/js-genai/issues/681",
        checked=TODAY,
        check=_no_thinker,
        message="Unable to submit request because thinking is not supported by this model. Learn more: "
        "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini",
    ),
    Rule(
        id="level-of-no-model",
        says="If you use the thinking_level parameter with a model earlier than Gemini 3, the model returns an error.",
        source="https://github.com/RooCodeInc/Roo-Code/issues/10700",
        checked=TODAY,
        check=_level_of_no_model,
        message="Thinking level is not supported for this model.",
    ),
    Rule(
        id="level-of-another-model",
        says="The error of gemini-3-pro for MEDIUM and of gemini-3.8-flash for MINIMAL.",
        source="https://github.com/earendil-works/pi/issues/9455",
        checked=TODAY,
        check=_level_of_another_model,
        message="Thinking level {level} is not supported for this model. Please retry with other thinking level.",
    ),
    Rule(
        id="budget-zero",
        says="You cannot turn thinking off when using Gemini 2.5 Pro, the lowest budget is 128.",
        source="https://github.com/snailyp/gemini-balance/issues/206",
        checked=TODAY,
        check=_budget_zero,
        message="Budget 0 is invalid. This model only works in thinking mode.",
    ),
    Rule(
        id="budget-range",
        says="2.5 Pro: 128 to 32768. 2.5 Flash: 0 to 24576. 2.5 Flash Lite: 512 to 24576.",
        source="https://github.com/CherryHQ/cherry-studio/issues/6986",
        checked=TODAY,
        check=_budget_range,
        message="The thinking budget {budget} is invalid. Please choose a value between {low} and {high}.",
    ),
    Rule(
        id="thoughts-without-thinking",
        says="includeThoughts is only enabled when thinking is enabled.",
        source="https://cloud.google.com/vertex-ai/generative-ai/docs/thinking",
        checked=TODAY,
        check=_thoughts_without_thinking,
        message="Unable to submit request because Thinking_config.include_thoughts is only enabled when thinking is "
        "enabled.",
    ),
    Rule(
        id="functions-and-json",
        says="The error of gemini-2.5-flash for functions with a JSON reply.",
        source=SYMFONY,
        checked=TODAY,
        check=_functions_and_json,
        message="Function calling with a response mime type: 'application/json' is unsupported",
    ),
    Rule(
        id="search-and-functions",
        says="The error of models before Gemini 3 for functions beside search or URL context.",
        source=SYMFONY,
        checked=TODAY,
        check=_search_and_functions,
        message="Tool use with function calling is unsupported",
    ),
    Rule(
        id="search-and-json",
        says="The error of models before Gemini 3 for search with a JSON reply.",
        source="https://github.com/snailyp/gemini-balance/issues/264",
        checked=TODAY,
        check=_search_and_json,
        message="Tool use with a response mime type: 'application/json' is unsupported",
    ),
    Rule(
        id="search-unannounced",
        says="Gemini 3 combines search and functions where toolConfig.includeServerSideToolInvocations is set.",
        source="https://github.com/cloudwego/eino-ext/issues/761",
        checked=TODAY,
        check=_search_unannounced,
        message="Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function "
        "calling.",
    ),
)
"""Rules about thinking and models, in the order in which the service checks them."""
