"""Fits a request to the model that gets it: what the model refuses is taken away or replaced, and declared as a loss.

Only what the neutral form can say is treated here; an encoder treats what only its own protocol has. The same function
decides whether a request can be relayed as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ..traits import EFFORTS, Traits
from . import reasoning_effort
from .losses import declare_loss, feature_of, is_harmless
from .model import Loss, ReasoningConfig, Request, Turn

SAMPLING: tuple[tuple[str, str, str, float | None], ...] = (
    ("temperature", "temperature", "temperature", 1),
    ("top_p", "top_p", "top_p", 1),
    ("top_k", "top_k", "top_k", None),
    ("seed", "seed", "seed", None),
    ("frequency_penalty", "penalties", "penalties", 0),
    ("presence_penalty", "penalties", "penalties", 0),
)
"""The sampling fields: name, word of a trait, feature of the loss, and the value that a model has anyway."""

EXTRA_WORDS: dict[str, str] = {
    "logprobs": "logprobs",  # of a request that says false, or another type than a client may send
    "top_logprobs": "logprobs",
    "logit_bias": "logit_bias",
    "generationConfig.responseLogprobs": "logprobs",
    "generationConfig.logprobs": "logprobs",
}
"""The extra fields that a trait can refuse, and its word."""

LISTED_WORDS = {("include", "message.output_text.logprobs"): "logprobs"}
"""By a list of extra fields and one of its entries, the word of what a model may refuse."""


def fitted(request: Request, traits: Traits, *, is_chat: bool = False) -> tuple[Request, list[Loss]]:
    """Returns the request as the model takes it, and a loss for everything that had to change.

    What asks for nothing, such as the temperature that the model has anyway, is taken away without a loss. `is_chat` is
    true for the wire on which some models take no effort beside tools.
    """
    if not traits.rows:
        return request, []
    losses: list[Loss] = []
    changed: dict[str, Any] = {}
    reasoning = _fit_effort(request.reasoning, traits, losses)
    beside_tools = traits.forces.get("effort_with_tools") if is_chat and request.tools else None
    if beside_tools is not None:
        reasoning = _without_effort(reasoning, beside_tools, traits, losses)
    if reasoning is not request.reasoning:
        changed["reasoning"] = reasoning
    refused = traits.refuses
    if traits.refuses_while_thinking and _thinks(reasoning, traits):
        refused |= traits.refuses_while_thinking
    if refused:
        _fit_sampling(request, refused, changed, losses)
        if request.logprobs is not None and "logprobs" in refused:
            changed["logprobs"] = None
            losses.append(declare_loss("logprobs", "logprobs"))
        _fit_extra(request, refused, changed, losses)
        if request.parallel is not None and "parallel_tool_calls" in refused:
            changed["parallel"] = None
            losses.append(declare_loss("parallel", "parallel_tool_calls"))
        if request.user is not None and "user" in refused:
            changed["user"] = None
            losses.append(declare_loss("user", "user"))
        choice = request.tool_choice
        if choice is not None and choice.mode in ("required", "named") and "forced_tools" in refused:
            names = choice.names if choice.mode == "required" else ()
            changed["tool_choice"] = replace(choice, mode="auto", names=names, extra=None)
            losses.append(declare_loss("tool_choice", "tool_choice"))
    most = traits.limits.get("max_tokens")
    if most is not None and request.max_tokens is not None and request.max_tokens > most:
        changed["max_tokens"] = int(most)
        losses.append(declare_loss("max_tokens", "max_tokens"))
    turns = _fit_roles(request.turns, traits, losses) if traits.renames else request.turns
    if turns is not request.turns:
        changed["turns"] = turns
    return (replace(request, **changed) if changed else request), losses


def nearest_effort(wanted: str, efforts: Iterable[str]) -> str:
    """Returns the level of `efforts` that is nearest to `wanted`; of two, the one that is nearer to high.

    Thinking that was asked for is not switched off. A level that is not known stays.
    """
    known = [level for level in efforts if level in EFFORTS and (level != "none" or wanted == "none")]
    if wanted not in EFFORTS or wanted in known:
        return wanted
    if not known:
        return next((level for level in efforts if level not in EFFORTS), wanted)
    rank, high = EFFORTS.index, EFFORTS.index("high")
    return min(known, key=lambda level: (abs(rank(level) - rank(wanted)), abs(rank(level) - high)))


def _fit_effort(reasoning: ReasoningConfig | None, traits: Traits, losses: list[Loss]) -> ReasoningConfig | None:
    """Returns the reasoning with a level of effort that the model knows."""
    if reasoning is None or traits.efforts is None:
        return reasoning
    if reasoning.effort is None and "budget" in traits.takes:
        return reasoning  # such a model takes the budget itself
    effort = reasoning_effort.effort(reasoning)
    if (reasoning.extra or {}).get("effort") in traits.efforts:
        return reasoning  # the client's own word for a level that the neutral form lacks
    if not traits.efforts:
        if effort not in (None, "none") or reasoning.enabled:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return None
    if effort is None or effort in traits.efforts or (effort == "none" and "thinking" in traits.renames):
        return reasoning
    if effort == "none" and traits.takes & {"adaptive", "budget"}:
        return reasoning  # a switch of its own turns thinking off there
    near = nearest_effort(effort, traits.efforts)
    if near == effort:
        return reasoning
    losses.append(declare_loss("reasoning", "reasoning"))
    return replace(reasoning, effort=near, budget=None, enabled=reasoning.enabled if near != "none" else False)


def _without_effort(
    reasoning: ReasoningConfig | None, forced: str, traits: Traits, losses: list[Loss]
) -> ReasoningConfig | None:
    """Returns the reasoning with the one effort that may stand beside tools; an empty one is no effort at all."""
    wanted = None if reasoning is None else reasoning_effort.effort(reasoning)
    said = wanted not in (None, "none") or (reasoning is not None and bool(reasoning.enabled))
    if said or (forced and wanted is None and traits.defaults.get("effort") not in (None, forced)):
        losses.append(declare_loss("reasoning", "reasoning"))
    if not forced:
        return None if wanted is not None or said else reasoning
    return reasoning if wanted == forced else ReasoningConfig(forced)


def _thinks(reasoning: ReasoningConfig | None, traits: Traits) -> bool:
    """Returns whether the model thinks about this request, as far as is known."""
    effort = None if reasoning is None else reasoning_effort.effort(reasoning)
    if effort is None and reasoning is not None and reasoning.enabled:
        return True
    return (effort or traits.defaults.get("effort", "none")) != "none"


def _fit_sampling(request: Request, refused: frozenset[str], changed: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    gone: dict[str, None] = {}
    for name, word, feature, own in SAMPLING:
        value = getattr(sampling, name)
        if value is None or word not in refused:
            continue
        gone[name] = None
        if value != own:  # the model's own value asks for nothing
            losses.append(Loss(f"sampling.{name}", feature, "dropped"))
    if gone:
        changed["sampling"] = replace(sampling, **gone)


def _fit_extra(request: Request, refused: frozenset[str], changed: dict[str, Any], losses: list[Loss]) -> None:
    if not request.extra:
        return
    extra = request.extra
    gone = [key for key, word in EXTRA_WORDS.items() if word in refused and key in extra]
    if gone:
        losses += [Loss(key, feature_of(key), "dropped") for key in gone if not is_harmless(key, extra[key])]
        extra = {key: value for key, value in extra.items() if key not in gone}
    for (key, entry), word in LISTED_WORDS.items():
        listed = extra.get(key)
        if word in refused and type(listed) is list and entry in listed:
            rest = [each for each in listed if each != entry]
            extra = {name: value for name, value in extra.items() if name != key} | ({key: rest} if rest else {})
    if extra is not request.extra:
        changed["extra"] = extra or None


def _fit_roles(turns: tuple[Turn, ...], traits: Traits, losses: list[Loss]) -> tuple[Turn, ...]:
    """Returns the turns with the role of a user where the model knows no other for them."""
    foreign = {role for role in ("system", "developer") if traits.renames.get(role) == "user"}
    if not foreign or not any(turn.role in foreign for turn in turns):
        return turns
    losses += [declare_loss(f"turns[{t}]", "role") for t, turn in enumerate(turns) if turn.role in foreign]
    return tuple(replace(turn, role="user") if turn.role in foreign else turn for turn in turns)
