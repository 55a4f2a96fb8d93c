"""Puts how much a model is to think into a Chat Completions request, in the words of its host."""

from __future__ import annotations

from typing import Any

from ...ir import Loss, ReasoningConfig, Request, reasoning_effort
from ...ir.losses import declare_loss
from ...traits import Traits
from ..protocol import UpstreamTarget
from .tables import NAME

WITHOUT_OBJECT = ("openai", "azure-openai")
"""Providers that refuse the object `reasoning`, which OpenRouter and other hosts have."""


def put_reasoning(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    """Sets the effort, the host's switch, or the object of a client of this protocol; declares what they cannot say."""
    reasoning, traits = request.reasoning, target.traits
    if reasoning is None:
        return
    has_more = reasoning.extra is not None or reasoning.budget is not None or reasoning.enabled is not None
    if request.protocol == NAME and has_more and target.provider not in WITHOUT_OBJECT:
        # OpenRouter's object, kept as it is: https://openrouter.ai/docs/use-cases/reasoning-tokens
        fields = {"effort": reasoning.effort, "max_tokens": reasoning.budget, "enabled": reasoning.enabled}
        payload["reasoning"] = {
            **{key: value for key, value in fields.items() if value is not None},
            **(reasoning.extra or {}),
        }
        return
    if "reasoning_details" in traits.takes and reasoning.effort is None and (reasoning.budget or reasoning.enabled):
        # "reasoning.max_tokens: Directly specifies the maximum number of tokens to use for reasoning"; by it the host
        # chooses a level for models that have those, and "enabled" leaves the length to the model.
        # https://openrouter.ai/docs/use-cases/reasoning-tokens
        budget = reasoning.budget
        payload["reasoning"] = {"max_tokens": budget} if budget and budget > 0 else {"enabled": True}
    else:
        _put_effort(reasoning, request.protocol == NAME, traits, payload, losses)
    if reasoning.summary in ("auto", "concise", "detailed"):  # the host decides what it shows
        losses.append(Loss("reasoning.summary", "reasoning", "dropped"))


def _put_effort(
    reasoning: ReasoningConfig, same: bool, traits: Traits, payload: dict[str, Any], losses: list[Loss]
) -> None:
    """Sets the effort, or the host's own switch for thinking."""
    effort = reasoning_effort.effort_for(reasoning, traits.efforts, same=same)
    switch = traits.renames.get("thinking")
    wanted = reasoning.enabled if effort is None else effort != "none"
    if switch is not None and wanted is not None:
        _put_switch(payload, switch, wanted)
    if effort is not None and "effort" not in traits.refuses and (switch is None or wanted):
        payload["reasoning_effort"] = effort
        if reasoning.effort != effort and effort != "none":
            losses.append(declare_loss("reasoning", "reasoning"))
    elif switch is not None:
        if wanted and effort is not None:  # the switch says that the model thinks, and not how much
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None or reasoning.enabled:
        losses.append(Loss("reasoning", "reasoning", "dropped"))


def _put_switch(payload: dict[str, Any], switch: str, on: bool) -> None:
    """Sets the host's own field for thinking; one named `type` has words for on and off."""
    *outer, key = switch.split(".")
    fields = payload
    for name in outer:
        fields = fields.setdefault(name, {})
    fields[key] = on if key != "type" else "enabled" if on else "disabled"
