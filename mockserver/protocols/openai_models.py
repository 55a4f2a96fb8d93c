"""Models of OpenAI by family: which of them reason, with which efforts, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from .rule import TODAY


class OpenAIModel(Struct, frozen=True, kw_only=True):
    """Traits of one family of models; a model of no family takes everything.

    `efforts` are the values of the reasoning effort, none for a model that never reasons; `default_effort` is the one
    of a request that names none. While it reasons, a model takes no sampling fields but their defaults, no penalties,
    no logit bias and no logprobs. `stop` is whether it then takes stop sequences, `system` whether it takes system
    messages, `old_max_tokens` whether it takes `max_tokens`, and `tools_while_reasoning` whether Chat Completions
    takes function tools beside an effort.
    """

    name: re.Pattern[str]
    source: str
    checked: str = TODAY
    efforts: tuple[str, ...] = ()
    default_effort: str = "medium"
    stop: bool = False
    system: bool = True
    old_max_tokens: bool = False
    tools_while_reasoning: bool = True

    def reasons(self, effort: Any) -> bool:
        """Returns whether the model reasons at this effort, or at its default for None."""
        return bool(self.efforts) and (self.default_effort if effort is None else effort) != "none"


REASONING = "https://developers.openai.com/api/docs/guides/reasoning"
PYDANTIC = "https://github.com/pydantic/pydantic-ai/blob/main/pydantic_ai_slim/pydantic_ai/profiles/openai.py"
CHAT_MODELS = "https://github.com/anomalyco/models.dev/pull/2351"
TOOLS_5_4 = "https://github.com/openai/openai-openapi/issues/541"
TOOLS_5_6 = "https://github.com/BerriAI/litellm/pull/34569"

_LOW_TO_HIGH = ("low", "medium", "high")


def _family(pattern: str) -> re.Pattern[str]:
    """Compiles a family's pattern: the whole name, a dated snapshot of it, or `-latest`."""
    return re.compile(rf"(?:{pattern})(?:-latest|-\d{{4}}-\d\d-\d\d)?$")


FAMILIES: tuple[OpenAIModel, ...] = (
    OpenAIModel(name=_family(r"gpt-(?:3\.5|4).*|chatgpt-4o"), source=PYDANTIC, stop=True, old_max_tokens=True),
    OpenAIModel(
        name=_family(r"o1-(?:mini|preview)"),
        source="https://github.com/microsoft/agent-framework/issues/1077",
        efforts=("medium",),
        system=False,
    ),
    # "Not supported with latest reasoning models o3 and o4-mini" of `stop`; a recorded o3-mini takes it.
    # https://platform.openai.com/docs/api-reference/chat/create#chat_create-stop
    OpenAIModel(name=_family(r"o3-mini|o1"), source=REASONING, efforts=_LOW_TO_HIGH, stop=True),
    OpenAIModel(name=_family(r"o\d(?:-mini|-pro)?"), source=REASONING, efforts=_LOW_TO_HIGH),
    OpenAIModel(name=_family(r"gpt-5-chat"), source=PYDANTIC, stop=True, old_max_tokens=True),
    OpenAIModel(name=_family(r"gpt-5\.\d-chat"), source=CHAT_MODELS, efforts=("medium",)),
    OpenAIModel(name=_family(r"gpt-5-pro"), source=CHAT_MODELS, efforts=("high",), default_effort="high"),
    OpenAIModel(name=_family(r"gpt-5\.[245]-pro"), source=CHAT_MODELS, efforts=("medium", "high", "xhigh")),
    OpenAIModel(name=_family(r"gpt-5(?:-mini|-nano)?"), source=CHAT_MODELS, efforts=("minimal", *_LOW_TO_HIGH)),
    OpenAIModel(name=_family(r"gpt-5\.1"), source=CHAT_MODELS, efforts=("none", *_LOW_TO_HIGH), default_effort="none"),
    OpenAIModel(
        name=_family(r"gpt-5\.[23]"),
        source=CHAT_MODELS,
        efforts=("none", *_LOW_TO_HIGH, "xhigh"),
        default_effort="none",
    ),
    OpenAIModel(
        name=_family(r"gpt-5\.4(?:-mini|-nano)?"),
        source=TOOLS_5_4,
        efforts=("none", *_LOW_TO_HIGH, "xhigh"),
        default_effort="none",
        tools_while_reasoning=False,
    ),
    OpenAIModel(
        name=_family(r"gpt-5\.5"),
        source="https://github.com/Science-Discovery/Aether/issues/1026",
        efforts=("none", *_LOW_TO_HIGH, "xhigh"),
        tools_while_reasoning=False,
    ),
    OpenAIModel(
        name=_family(r"gpt-5\.6(?:-\w+)?"),
        source=TOOLS_5_6,
        efforts=("none", *_LOW_TO_HIGH, "xhigh", "max"),
        tools_while_reasoning=False,
    ),
    OpenAIModel(name=_family(r"gpt-6-astra|gpt-6\.1-sol"), source=PYDANTIC, efforts=(*_LOW_TO_HIGH, "xhigh", "max")),
    OpenAIModel(
        name=_family(r"gpt-6-sol|gpt-6-luna|gpt-6\.1-terra"),
        source=PYDANTIC,
        efforts=("none", *_LOW_TO_HIGH, "xhigh", "max"),
    ),
)
"""Families of models, the first that matches counts.

Efforts and defaults: pydantic-ai keeps them against the live service. `tools_while_reasoning`: the error of each family
is in its source.
"""


def family_of(model: str) -> OpenAIModel | None:
    """Returns the family of a model, or None for a model that is not known."""
    return next((family for family in FAMILIES if family.name.match(model)), None)
