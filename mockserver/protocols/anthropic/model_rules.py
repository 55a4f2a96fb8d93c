"""Rules of the Messages API about thinking, and about what single models refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..rule import TODAY, TOKENS, Asked, Breach, Check, Rule
from .model_traits import EVERY_EFFORT, ClaudeModel, family_of
from .tables import MIN_BUDGET

CREATE = "https://platform.claude.com/docs/en/api/messages/create"
MIGRATION = "https://platform.claude.com/docs/en/about-claude/models/migration-guide"
THINKING = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking"


def _thinking(asked: Asked) -> dict[str, Any]:
    return asked.body.get("thinking") or {}


def _effort(asked: Asked) -> Any:
    return (asked.body.get("output_config") or {}).get("effort")


def _forces(asked: Asked) -> bool:
    return (asked.body.get("tool_choice") or {}).get("type") in ("any", "tool")


def _refuses_kind(kind: str, trait: str) -> Check:
    """Returns a check of a kind of thinking that models without the trait refuse."""

    def check(asked: Asked) -> Iterator[Breach]:
        family = family_of(asked.model)
        if family is None or getattr(family, trait) or (kind == "enabled" and _never_thinks(family)):
            return
        if _thinking(asked).get("type") == kind:
            yield {}

    return check


def _never_thinks(family: ClaudeModel) -> bool:
    return not family.budget and not family.adaptive


def _thinking_of_no_thinker(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if _thinking(asked).get("type") == "enabled" and family is not None and _never_thinks(family):
        yield {"model": asked.model}


def _off_at_high_effort(asked: Asked) -> Iterator[Breach]:
    family, effort = family_of(asked.model), _effort(asked)
    if _thinking(asked).get("type") != "disabled" or family is None or family.off_below is None:
        return
    if effort in EVERY_EFFORT[EVERY_EFFORT.index(family.off_below) :]:
        yield {"effort": effort}


def _effort_unknown(asked: Asked) -> Iterator[Breach]:
    effort = _effort(asked)
    if effort is not None and effort not in EVERY_EFFORT:
        yield {}


def _effort_of_no_model(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if _effort(asked) is not None and family is not None and not family.efforts:
        yield {}


def _effort_of_another_model(asked: Asked) -> Iterator[Breach]:
    family, effort = family_of(asked.model), _effort(asked)
    if effort is not None and family is not None and effort not in family.efforts:
        yield {"effort": effort, "efforts": ", ".join(sorted(family.efforts))}


def _sampling(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    for name in ("temperature", "top_p", "top_k"):
        value = asked.body.get(name)
        # "to a non-default value": 1 is the default of temperature and top_p, and top_k has none.
        if value is not None and (name == "top_k" or value != 1) and family is not None and not family.sampling:
            yield {"name": name}


def _both_sampling(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    both = asked.body.get("temperature") is not None and asked.body.get("top_p") is not None
    if both and family is not None and not family.both_sampling:
        yield {}


def _max_tokens_high(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    most = asked.body.get("max_tokens") or 0
    if family is not None and most > family.max_tokens:
        yield {"value": most, "most": family.max_tokens, "model": asked.model}


def _prefill(asked: Asked) -> Iterator[Breach]:
    family, messages = family_of(asked.model), asked.body["messages"]
    if messages and messages[-1].get("role") == "assistant" and family is not None and not family.prefill:
        yield {}


def _forced_tools(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if _forces(asked) and family is not None and not family.forced_tools:
        yield {}


def _budget(asked: Asked) -> Any:
    """Returns the budget of a request that enables thinking with one, else None."""
    return _thinking(asked).get("budget_tokens") if _thinking(asked).get("type") == "enabled" else None


def _budget_missing(asked: Asked) -> Iterator[Breach]:
    if _thinking(asked).get("type") == "enabled" and not isinstance(_budget(asked), int):
        yield {}


def _budget_low(asked: Asked) -> Iterator[Breach]:
    budget = _budget(asked)
    if budget is not None and budget < MIN_BUDGET:
        yield {"least": MIN_BUDGET}


def _budget_high(asked: Asked) -> Iterator[Breach]:
    budget = _budget(asked)
    if budget is not None and budget >= asked.body["max_tokens"]:
        yield {}


def _thinks(asked: Asked) -> bool:
    return _thinking(asked).get("type") in ("enabled", "adaptive")


def _temperature_while_thinking(asked: Asked) -> Iterator[Breach]:
    if _thinks(asked) and asked.body.get("temperature") not in (None, 1):
        yield {}


def _top_k_while_thinking(asked: Asked) -> Iterator[Breach]:
    if _thinks(asked) and asked.body.get("top_k") is not None:
        yield {}


def _top_p_while_thinking(asked: Asked) -> Iterator[Breach]:
    if _thinks(asked) and (asked.body.get("top_p") or 1) < 0.95:
        yield {}


def _forced_while_thinking(asked: Asked) -> Iterator[Breach]:
    # Adaptive thinking takes a forced choice, as recorded traffic of claude-opus-4-6 shows.
    if _thinking(asked).get("type") == "enabled" and _forces(asked):
        yield {}


RULES: tuple[Rule, ...] = (
    Rule(
        id="thinking-of-no-thinker",
        says="Extended thinking is supported from Claude 3.7 on.",
        source=THINKING,
        check=_thinking_of_no_thinker,
        message="'{model}' does not support thinking.",
        own_words=True,
        on=TOKENS,
    ),
    Rule(
        id="thinking-budget-gone",
        says="The error of claude-opus-4-7 for a budget.",
        source="https://github.com/SigmaNight/basiliskLLM/issues/1185",
        checked=TODAY,
        check=_refuses_kind("enabled", "budget"),
        message='"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
        on=TOKENS,
    ),
    Rule(
        id="thinking-not-adaptive",
        says="haiku-4-5 rejects adaptive thinking. Adaptive thinking is supported on Opus 4.6, Sonnet 4.6 and later.",
        source="https://github.com/elizaOS/eliza/pull/16175",
        checked=TODAY,
        check=_refuses_kind("adaptive", "adaptive"),
        message="adaptive thinking is not supported on this model",
        on=TOKENS,
    ),
    Rule(
        id="thinking-not-off",
        says="Fable-family models always think: an explicit disabled returns a 400 error.",
        source="https://github.com/anthropics/skills/tree/main/skills/claude-api",
        checked=TODAY,
        check=_refuses_kind("disabled", "off"),
        message='"thinking.type.disabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
        on=TOKENS,
    ),
    Rule(
        id="thinking-off-at-high-effort",
        says="The error of claude-opus-5 for xhigh without thinking.",
        source="https://github.com/anthropics/claude-code/issues/81084",
        checked=TODAY,
        check=_off_at_high_effort,
        message="output_config.effort '{effort}' is not supported when thinking is disabled on this model. Use effort "
        "'high' or below, or enable thinking.",
        on=TOKENS,
    ),
    Rule(
        id="effort-unknown",
        says="effort: low, medium, high, xhigh or max.",
        source=CREATE,
        check=_effort_unknown,
        message="output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        on=TOKENS,
    ),
    Rule(
        id="effort-of-no-model",
        says="The error of claude-haiku-4-5 for an effort.",
        source="https://github.com/Oaklight/llm-rosetta/pull/289",
        checked=TODAY,
        check=_effort_of_no_model,
        message="This model does not support the effort parameter.",
        on=TOKENS,
    ),
    Rule(
        id="effort-of-another-model",
        says="The recorded error of claude-opus-4-6 for xhigh.",
        source="https://github.com/pydantic/pydantic-ai/tree/main/tests/models/cassettes/test_anthropic",
        checked=TODAY,
        check=_effort_of_another_model,
        message="This model does not support effort level '{effort}'. Supported levels: {efforts}.",
        on=TOKENS,
    ),
    Rule(
        id="sampling-gone",
        says="Setting temperature, top_p, or top_k to a non-default value returns a 400 error",
        source=MIGRATION,
        check=_sampling,
        message="`{name}` is deprecated for this model.",
        on=TOKENS,
    ),
    Rule(
        id="sampling-both",
        says="use only temperature OR top_p, not both",
        source=MIGRATION,
        check=_both_sampling,
        message="`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        on=TOKENS,
    ),
    Rule(
        id="max-tokens-high",
        says="Different models have different maximum values for this parameter.",
        source="https://github.com/OpenHands/OpenHands/issues/11090",
        checked=TODAY,
        check=_max_tokens_high,
        message="max_tokens: {value} > {most}, which is the maximum allowed number of output tokens for {model}",
    ),
    Rule(
        id="prefill",
        says="Prefilling assistant messages is not supported on Claude 4.6 and later.",
        source="https://github.com/agenticloops-ai/agentic-ai-engineering/issues/43",
        checked=TODAY,
        check=_prefill,
        message="This model does not support assistant message prefill. The conversation must end with a user message.",
        on=TOKENS,
    ),
    Rule(
        id="tools-forced",
        says="The error of claude-opus-5-5 for a forced tool.",
        source="https://github.com/can1357/oh-my-pi/issues/12939",
        checked=TODAY,
        check=_forced_tools,
        message='tool_choice: type "tool" and "any" are not supported for this model.',
        on=TOKENS,
    ),
    Rule(
        id="budget-missing",
        says="budget_tokens: Required.",
        source=CREATE,
        check=_budget_missing,
        message="thinking.enabled.budget_tokens: Field required",
        on=TOKENS,
    ),
    Rule(
        id="budget-low",
        says="budget_tokens: Must be ≥1024 and less than max_tokens.",
        source=CREATE,
        check=_budget_low,
        message="thinking.enabled.budget_tokens: Input should be greater than or equal to {least}",
        on=TOKENS,
    ),
    Rule(
        id="budget-high",
        says="budget_tokens: Must be ≥1024 and less than max_tokens.",
        source=CREATE,
        check=_budget_high,
        message="`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    Rule(
        id="temperature-while-thinking",
        says="Thinking isn't compatible with temperature or top_k modifications as well as forced tool use.",
        source=THINKING,
        check=_temperature_while_thinking,
        message="`temperature` may only be set to 1 when thinking is enabled.",
        on=TOKENS,
    ),
    Rule(
        id="top-k-while-thinking",
        says="Thinking isn't compatible with temperature or top_k modifications as well as forced tool use.",
        source=THINKING,
        check=_top_k_while_thinking,
        message="`top_k` must be unset when thinking is enabled.",
        on=TOKENS,
    ),
    Rule(
        id="top-p-while-thinking",
        says="When thinking is enabled, you can set top_p to values between 1 and 0.95.",
        source=THINKING,
        check=_top_p_while_thinking,
        message="`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        on=TOKENS,
    ),
    Rule(
        id="forced-while-thinking",
        says="Thinking isn't compatible with temperature or top_k modifications as well as forced tool use.",
        source=THINKING,
        check=_forced_while_thinking,
        message="Thinking may not be enabled when tool_choice forces tool use.",
        on=TOKENS,
    ),
)
"""Rules about thinking and models, in the order in which the service checks them."""
