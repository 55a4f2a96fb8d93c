"""Rules of Chat Completions about what single models refuse."""

from __future__ import annotations

from collections.abc import Iterator

from ..openai_models import TOOLS_5_4, TOOLS_5_6, OpenAIModel, family_of
from ..rule import TODAY, Asked, Breach, Rule

CREATE = "https://platform.openai.com/docs/api-reference/chat/create"


def _reasoning_family(asked: Asked) -> OpenAIModel | None:
    """Returns the family of the model if it reasons in this request."""
    family = family_of(asked.model)
    return family if family is not None and family.reasons(asked.body.get("reasoning_effort")) else None


def _old_max_tokens(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if asked.body.get("max_tokens") is not None and family is not None and not family.old_max_tokens:
        yield {}


def _effort_of_no_reasoner(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    if asked.body.get("reasoning_effort") is not None and family is not None and not family.efforts:
        yield {}


def _effort_of_another_model(asked: Asked) -> Iterator[Breach]:
    family, effort = family_of(asked.model), asked.body.get("reasoning_effort")
    if effort is not None and family is not None and effort not in family.efforts:
        *head, last = (f"'{name}'" for name in family.efforts)
        names = f"{', '.join(head)}{',' if len(head) > 1 else ''} and {last}" if head else last
        yield {"value": effort, "names": names}


def _system_role(asked: Asked) -> Iterator[Breach]:
    family = family_of(asked.model)
    for at, message in enumerate(asked.body["messages"]):
        if message.get("role") in ("system", "developer") and family is not None and not family.system:
            yield {"at": at, "role": message["role"]}


def _sampling(asked: Asked) -> Iterator[Breach]:
    for name in ("temperature", "top_p"):
        value = asked.body.get(name)
        if value not in (None, 1) and _reasoning_family(asked) is not None:
            yield {"name": name, "value": value}


def _parameters(asked: Asked) -> Iterator[Breach]:
    body, family = asked.body, _reasoning_family(asked)
    if family is None:
        return
    refused = [name for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs") if body.get(name)]
    refused += [name for name in ("top_logprobs",) if body.get(name) is not None]
    refused += [name for name in ("stop",) if body.get(name) is not None and not family.stop]
    for name in refused:
        yield {"name": name}


def _tools_while_reasoning(asked: Asked) -> Iterator[Breach]:
    family = _reasoning_family(asked)
    functions = [tool for tool in asked.body.get("tools") or [] if tool.get("type") in (None, "function")]
    if functions and family is not None and not family.tools_while_reasoning:
        yield {"model": asked.model, "source": family.source}


def _tools_beside_effort(asked: Asked) -> Iterator[Breach]:
    yield from (breach for breach in _tools_while_reasoning(asked) if breach["source"] != TOOLS_5_6)


def _tools_without_none(asked: Asked) -> Iterator[Breach]:
    yield from (breach for breach in _tools_while_reasoning(asked) if breach["source"] == TOOLS_5_6)


RULES: tuple[Rule, ...] = (
    Rule(
        id="max-tokens-old",
        says="max_tokens … is not compatible with o-series models.",
        source=CREATE,
        check=_old_max_tokens,
        message="Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
        "instead.",
        param="max_tokens",
        code="unsupported_parameter",
        strict=True,
    ),
    Rule(
        id="effort-of-no-reasoner",
        says="A model that does not reason takes no effort.",
        source="https://github.com/BerriAI/litellm/pull/38842",
        checked=TODAY,
        check=_effort_of_no_reasoner,
        message="Unrecognized request argument supplied: reasoning_effort",
        strict=True,
    ),
    Rule(
        id="effort-of-another-model",
        says="Not all reasoning models support every value.",
        source="https://github.com/anomalyco/opencode/issues/4451",
        checked=TODAY,
        check=_effort_of_another_model,
        message="Unsupported value: 'reasoning_effort' does not support '{value}' with this model. Supported values "
        "are: "
        "{names}.",
        param="reasoning_effort",
        code="unsupported_value",
        strict=True,
    ),
    Rule(
        id="system-of-o1-mini",
        says="The error of a system message to o1-mini.",
        source="https://github.com/microsoft/agent-framework/issues/1077",
        checked=TODAY,
        check=_system_role,
        message="Unsupported value: 'messages[{at}].role' does not support '{role}' with this model.",
        param="messages[{at}].role",
        code="unsupported_value",
        strict=True,
    ),
    Rule(
        id="sampling-while-reasoning",
        says="Only the default (1) value is supported.",
        source="https://github.com/diffbot/code-gpt-docs/issues/445",
        checked=TODAY,
        check=_sampling,
        message="Unsupported value: '{name}' does not support {value} with this model. Only the default (1) value is "
        "supported.",
        param="{name}",
        code="unsupported_value",
        strict=True,
    ),
    Rule(
        id="parameter-while-reasoning",
        says="Unsupported parameter: 'stop' is not supported with this model.",
        source="https://github.com/BittnerPierre/AI-Agent-Casebook/issues/133",
        checked=TODAY,
        check=_parameters,
        message="Unsupported parameter: '{name}' is not supported with this model.",
        param="{name}",
        code="unsupported_parameter",
        strict=True,
    ),
    Rule(
        id="tools-beside-effort",
        says="The error of gpt-5.4 and 5.5 for function tools while they reason.",
        source=TOOLS_5_4,
        checked=TODAY,
        check=_tools_beside_effort,
        message="Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please "
        "use "
        "/v1/responses instead.",
        param="reasoning_effort",
        strict=True,
    ),
    Rule(
        id="tools-without-none",
        says="tools only: 400. tools + reasoning_effort=none: 200.",
        source=TOOLS_5_6,
        checked=TODAY,
        check=_tools_without_none,
        message="Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. To use "
        "function tools, use /v1/responses or set reasoning_effort to 'none'.",
        param="reasoning_effort",
        strict=True,
    ),
)
"""Rules about models, by the table of families."""
