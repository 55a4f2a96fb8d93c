"""Rules of the Responses API about what single models refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..openai_models import family_of
from ..rule import TODAY, Asked, Breach, Rule
from .shape_problems import join_words
from .tables import UNSUPPORTED_FIELDS

LOGPROBS = "message.output_text.logprobs"


def _effort(asked: Asked) -> Any:
    return (asked.body.get("reasoning") or {}).get("effort")


def _reasons(asked: Asked) -> bool:
    family = family_of(asked.model)
    return family is not None and family.reasons(_effort(asked))


def _effort_of_no_reasoner(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if _effort(asked) is not None and family is not None and not family.efforts:
        yield {}


def _effort_of_another_model(asked: Asked) -> Iterator[Breach]:
    family, effort = family_of(asked.model), _effort(asked)
    if effort is not None and family is not None and effort not in family.efforts:
        yield {"value": effort, "model": asked.model, "names": join_words(family.efforts)}


def _sampling(asked: Asked) -> Iterator[Breach]:
    for name in ("temperature", "top_p"):
        # 1, the default, is accepted.
        if asked.body.get(name) not in (None, 1) and _reasons(asked):
            yield {"name": name}


def _logprobs(asked: Asked) -> Iterator[Breach]:
    if _reasons(asked):
        if LOGPROBS in (asked.body.get("include") or []):
            yield {"name": "include"}
        if asked.body.get("top_logprobs"):
            yield {"name": "top_logprobs"}


def _penalties(asked: Asked) -> Iterator[Breach]:
    for name in UNSUPPORTED_FIELDS:
        if asked.body.get(name) is not None:
            yield {"name": name}


RULES: tuple[Rule, ...] = (
    Rule(
        id="effort-of-no-reasoner",
        says="The error of gpt-4.1 and of gpt-5-chat for an effort.",
        source="https://github.com/Laisky/one-api/issues/120",
        checked=TODAY,
        check=_effort_of_no_reasoner,
        message="Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        param="reasoning.effort",
        code="unsupported_parameter",
        strict=True,
    ),
    Rule(
        id="effort-of-another-model",
        says="The error of gpt-5.1 for minimal.",
        source="https://github.com/anomalyco/opencode/issues/4451",
        checked=TODAY,
        check=_effort_of_another_model,
        message="Unsupported value: '{value}' is not supported with the '{model}' model. Supported values are: "
        "{names}.",
        param="reasoning.effort",
        code="unsupported_value",
        strict=True,
    ),
    Rule(
        id="sampling-while-reasoning",
        says="The error of gpt-5.2 for a temperature; the default, 1, is accepted.",
        source="https://github.com/OpenHands/software-agent-sdk/issues/1837",
        checked=TODAY,
        check=_sampling,
        message="Unsupported parameter: '{name}' is not supported with this model.",
        param="{name}",
        strict=True,
    ),
    Rule(
        id="logprobs-while-reasoning",
        says="The error of gpt-5-mini for logprobs.",
        source="https://github.com/vllm-project/vllm/pull/23319",
        checked=TODAY,
        check=_logprobs,
        message="logprobs are not supported with reasoning models.",
        param="{name}",
        code="unsupported_parameter",
        strict=True,
    ),
    Rule(
        id="penalty",
        says="The schema has the penalties, the reference does not, and the models refuse them.",
        source="https://platform.openai.com/docs/guides/reasoning",
        check=_penalties,
        message="Unsupported parameter: '{name}' is not supported with this model.",
        param="{name}",
        strict=True,
    ),
)
"""Rules about models, which the service checks last."""
