"""Encodes neutral requests as Anthropic Messages requests, and declares what is lost."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import Added, Loss, Opaque, ReasoningConfig, Request, ResponseFormat, Tool, ToolChoice, reasoning_effort
from ...ir.bounded_values import bounded_user
from ...ir.hosted import hosted_choice_losses
from ...ir.json_schema import fit_schema, is_convertible
from ...ir.losses import declare_loss, request_extra_losses
from ...ir.model_fit import fitted, nearest_effort
from ...ir.plain_turns import plain_turns
from ...ir.readable import readable
from ...ir.token_estimate import estimate_request
from ...ir.tool_choice import kept_tools, remaining_choice
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from ...traits import Traits
from ...wire import json_fields
from ..protocol import UpstreamRequest, UpstreamTarget
from ..schema_targets import ANTHROPIC_ANSWER, ANTHROPIC_FUNCTION, ANTHROPIC_STRICT
from .hosted_tools import TAKES, hosted_tools_out
from .messages import MessageBuilder, cache_mark
from .tables import (
    CONTEXT_WINDOW,
    DEFAULT_MAX_TOKENS,
    EFFORTS,
    JSON_HINT,
    LARGE_WINDOW_MAX_TOKENS,
    LIMITS,
    MAX_OUTPUT_TOKENS,
    MIN_THINKING_BUDGET,
    NAME,
    SCHEMA_HINT,
    TOOL_ADDITION,
    TOOL_NAME,
    TOOL_NAME_LIMIT,
    USER_LIMIT,
)

CARRIED = frozenset(("cache_control", "namespace.description"))
"""Extra fields of other protocols' blocks and tools that this one has too, or tells in a description."""


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    if not same and (plain := _encode_plain(request, target)) is not None:
        return plain
    if not same and request.user is None:
        request = _with_identified_user(request)
    added: list[Added] = []
    losses = [] if same else request_extra_losses(request, CARRIED)
    if not same:
        request, named = readable(request, "none")
        losses += named
    traits = target.traits
    request, misfits = fitted(request, traits)
    losses += misfits
    names = ToolNameMap(request, TOOL_NAME, TOOL_NAME_LIMIT)
    builder = MessageBuilder(request, target, traits, names, losses)
    system, messages = builder.build()
    payload: dict[str, Any] = {"model": target.model, "max_tokens": DEFAULT_MAX_TOKENS}
    hint = _format_out(request.format, traits, same, payload, losses)
    if hint:
        system.append({"type": "text", "text": hint})
    if system:
        payload["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    payload["messages"] = messages
    headers = _tools_out(request, names, traits, payload, losses)
    _max_tokens_out(request, target, payload, added)
    _reasoning_out(request, target, builder, payload, losses)
    if added:  # thinking may have raised it
        added[0] = replace(added[0], value=payload["max_tokens"])
    _sampling_out(request, target, payload, losses)
    if request.logprobs is not None:
        losses.append(declare_loss("logprobs", "logprobs"))
    if request.user is not None:
        payload["metadata"] = {"user_id": bounded_user(request.user, target.limit("user") or USER_LIMIT, losses)}
    if not same and request.extra and (mark := cache_mark(request.extra)):
        payload |= mark
    if request.stream:
        payload["stream"] = True
    if same and request.extra:
        for key, value in request.extra.items():
            shared = key in ("metadata", "output_config") and key in payload
            payload[key] = {**payload[key], **value} if shared else value
    stops = () if same else tuple(sequence for sequence in request.stop if not sequence.strip())
    return UpstreamRequest(payload, tuple(losses), target, names.aliases, headers, stops, tuple(added))


def _encode_plain(request: Request, target: UpstreamTarget) -> UpstreamRequest | None:
    """Encodes instructions, and a conversation of plain text that begins and ends with the user; None for any other."""
    if (said := plain_turns(request)) is None:
        return None
    lead = 0
    while lead < len(said) and said[lead][0] in ("system", "developer"):
        lead += 1
    turns = said[lead:]
    if not len(turns) % 2 or [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        return None
    request, losses = fitted(request, target.traits)
    if request.reasoning is not None:
        return None
    payload: dict[str, Any] = {"model": target.model, "max_tokens": DEFAULT_MAX_TOKENS}
    if lead:
        system = [text for _, text in said[:lead]]
        payload["system"] = system[0] if lead == 1 else [{"type": "text", "text": text} for text in system]
    payload["messages"] = [{"role": role, "content": text} for role, text in turns]
    added: list[Added] = []
    _max_tokens_out(request, target, payload, added)
    _sampling_out(request, target, payload, losses)
    if request.stream:
        payload["stream"] = True
    return UpstreamRequest(payload, tuple(losses), target, added=tuple(added))


def _with_identified_user(request: Request) -> Request:
    """Returns the request with its safety identifier as the user.

    "safety_identifier: A stable identifier used to help detect users of your application that may be violating usage
    policies" https://platform.openai.com/docs/api-reference/chat/create, "user_id: An external identifier for the user
    who is associated with the request. […] This may be used to help detect abuse."
    https://platform.claude.com/docs/en/api/messages/create
    """
    found, rest = json_fields.renamed(request.extra, {"safety_identifier": "user"})
    user = found.get("user")
    return replace(request, user=user, extra=rest) if type(user) is str else request


def _max_tokens_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], added: list[Added]) -> None:
    """Sets the bound on the answer's length, which the protocol requires: the client's own, else the most there is."""
    if request.max_tokens is not None:
        payload["max_tokens"] = request.max_tokens
        return
    most = target.limit("max_tokens")
    if target.max_tokens is not None:
        number, why = target.max_tokens, "the backend's max_tokens"
    elif most is not None:
        number, why = _within_window(most, request), "the most that the model can"
    else:
        number, why = DEFAULT_MAX_TOKENS, "the default for a model whose most is not known"
    payload["max_tokens"] = number
    added.append(Added("max_tokens", number, why))


def _within_window(most: int, request: Request) -> int:
    """Returns a bound that fits into the context window beside this request, of which the tokens are estimated.

    "If the sum of prompt tokens and max_tokens exceeds the model's context window […], the system will return a
    validation error" https://platform.claude.com/docs/en/build-with-claude/context-windows
    """
    if most >= LARGE_WINDOW_MAX_TOKENS:
        return most
    room = CONTEXT_WINDOW - estimate_request(request) * 5 // 4
    return max(min(most, room), min(most, DEFAULT_MAX_TOKENS))


def _sampling_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    same = request.protocol == NAME
    # "Thinking isn't compatible with temperature or top_k modifications […]. When thinking is enabled, you can set
    # top_p to values between 1 and 0.95." https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    thinks = not same and payload.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if sampling.temperature is not None:
        # "Ranges from 0.0 to 1.0." https://platform.claude.com/docs/en/api/messages/create
        most = target.limits.get("temperature", LIMITS["temperature"])
        temperature = sampling.temperature if same else min(max(sampling.temperature, 0), most)
        if thinks:
            if sampling.temperature != 1:  # 1 is the default of the model
                losses.append(Loss("sampling.temperature", "temperature", "dropped"))
        else:
            payload["temperature"] = temperature
            if temperature != sampling.temperature:
                losses.append(declare_loss("sampling.temperature", "temperature"))
    if sampling.top_p is not None and (same or sampling.top_p != 1):
        both = "temperature_with_top_p" in target.traits.refuses and "temperature" in payload
        if both or (thinks and sampling.top_p < 0.95):
            losses.append(declare_loss("sampling.top_p", "top_p"))
        else:
            payload["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        # "top_k: Input should be greater than or equal to 0"; local hosts turn it off by -1
        if thinks or (sampling.top_k < 0 and not same):
            losses.append(declare_loss("sampling.top_k", "top_k"))
        else:
            payload["top_k"] = sampling.top_k
    if sampling.seed is not None:
        losses.append(declare_loss("sampling.seed", "seed"))
    for key in ("frequency_penalty", "presence_penalty"):
        if getattr(sampling, key):
            losses.append(declare_loss(f"sampling.{key}", "penalties"))
    if request.stop:
        # "stop_sequences: each stop sequence must contain non-whitespace", as the API answers otherwise
        blank = [] if same else [i for i, sequence in enumerate(request.stop) if not sequence.strip()]
        losses += [declare_loss(f"stop[{i}]", "stop") for i in blank]
        stop = [sequence for i, sequence in enumerate(request.stop) if i not in blank]
        if stop:
            payload["stop_sequences"] = stop


def _reasoning_out(
    request: Request,
    target: UpstreamTarget,
    builder: MessageBuilder,
    payload: dict[str, Any],
    losses: list[Loss],
) -> None:
    thinking, traits = request.reasoning, target.traits
    if thinking is None:
        return
    if request.protocol == NAME and not is_misfit(thinking, traits):
        _same_protocol_reasoning_out(thinking, traits, payload, losses)
        return
    effort, budget = reasoning_effort.effort(thinking), reasoning_effort.budget(thinking)
    if effort is None and not thinking.enabled:
        if thinking.summary in ("auto", "concise", "detailed"):  # a summary without thinking
            losses.append(Loss("reasoning.summary", "reasoning", "dropped"))
        return
    if effort == "none":
        # a model that cannot think, or thinks only on request, needs no field
        if "thinking_off" in traits.refuses:
            losses.append(declare_loss("reasoning", "reasoning"))
            payload.setdefault("output_config", {})["effort"] = "low"
        elif "thinking" not in traits.refuses:
            payload["thinking"] = {"type": "disabled"}
        return
    if "thinking" in traits.refuses:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    # a model that hides its thinking by default shows it to clients of protocols in which asked thinking is shown
    hidden = traits.defaults.get("display") == "omitted" and thinking.summary is None
    shown = "summarized" if hidden or thinking.summary in ("auto", "concise", "detailed") else None
    if request.protocol == NAME:
        shown = (thinking.extra or {}).get("display") or ("summarized" if thinking.summary is not None else None)
    display = {} if shown is None else {"display": shown}
    if "adaptive" in traits.takes and (thinking.budget is None or "budget" in traits.refuses):
        payload["thinking"] = {"type": "adaptive", **display}
        if effort is not None:
            wire_effort = EFFORTS.get(effort, "high")
            if traits.efforts is not None:
                wire_effort = nearest_effort(wire_effort, traits.efforts)
            payload.setdefault("output_config", {})["effort"] = wire_effort
            if wire_effort != thinking.effort:
                losses.append(declare_loss("reasoning", "reasoning"))
        return
    if not builder.thinking_allowed or payload.get("tool_choice", {}).get("type") in ("any", "tool"):
        # "Tool use with manual extended thinking only supports tool_choice: {"type": "auto"} or {"type": "none"}"
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    wanted = max(budget or reasoning_effort.BUDGETS["medium"], MIN_THINKING_BUDGET)
    is_free, known = request.max_tokens is None and target.max_tokens is None, target.limit("max_tokens")
    if is_free and known is not None and payload["max_tokens"] >= 2 * DEFAULT_MAX_TOKENS:
        given = min(wanted, payload["max_tokens"] - DEFAULT_MAX_TOKENS)  # the answer keeps as much as the default
    elif is_free and known is None:
        given = min(wanted, MAX_OUTPUT_TOKENS - DEFAULT_MAX_TOKENS)
        # no limit was set: the budget is added to the default, so that the answer keeps all of it
        payload["max_tokens"] = DEFAULT_MAX_TOKENS + given
    else:
        # max_tokens covers thinking and answer together. "Must be ≥1024 and less than max_tokens": a budget that was
        # given is kept where it is legal; of any other at most three quarters go to thinking.
        most = int(payload["max_tokens"])
        legal = thinking.budget is not None and MIN_THINKING_BUDGET <= thinking.budget < most
        given = wanted if legal else min(wanted, max(most * 3 // 4, min(MIN_THINKING_BUDGET, most - 1)))
    if given < MIN_THINKING_BUDGET:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    payload["thinking"] = {"type": "enabled", "budget_tokens": given, **display}
    if given != thinking.budget and (thinking.budget is not None or effort is not None):
        losses.append(declare_loss("reasoning", "reasoning"))


def thinking_type(thinking: ReasoningConfig) -> str | None:
    """Returns the type of thinking that an Anthropic client asked for."""
    kind = (thinking.extra or {}).get("thinking")
    if kind is None and thinking.enabled is not None:
        kind = "disabled" if not thinking.enabled else "enabled" if thinking.budget is not None else "adaptive"
    return kind


def is_misfit(thinking: ReasoningConfig, traits: Traits) -> bool:
    """Returns whether the model refuses the type of thinking that an Anthropic client asked for."""
    match thinking_type(thinking):
        case "enabled":
            return bool(traits.refuses & {"budget", "thinking"})
        case "adaptive":
            return bool(traits.refuses & {"adaptive", "thinking"})
        case "disabled":
            return "thinking_off" in traits.refuses
    return False


def _same_protocol_reasoning_out(
    thinking: ReasoningConfig, traits: Traits, payload: dict[str, Any], losses: list[Loss]
) -> None:
    """Restores `thinking` and the effort as an Anthropic client sent them."""
    extra = dict(thinking.extra or {})
    effort = extra.pop("effort", thinking.effort)
    if effort is not None and "effort" in traits.refuses:
        losses.append(Loss("reasoning.effort", "reasoning", "dropped"))
    elif effort is not None:
        payload.setdefault("output_config", {})["effort"] = effort
    kind = thinking_type(thinking)
    extra.pop("thinking", None)
    if kind is None:
        return
    fields: dict[str, Any] = {"type": kind}
    if thinking.budget is not None:
        fields["budget_tokens"] = thinking.budget
    if thinking.summary is not None:
        fields["display"] = "summarized"
    payload["thinking"] = {**fields, **extra}


def _tools_out(
    request: Request, names: ToolNameMap, traits: Traits, payload: dict[str, Any], losses: list[Loss]
) -> dict[str, str]:
    """Sets the tools and the choice among them; returns the headers that they need."""
    same = request.protocol == NAME
    kept = kept_tools(request, NAME, TAKES)
    # "tool_choice may only be specified while providing tools", as the API answers
    choice, gone = remaining_choice(request, kept)
    losses += gone
    subset = choice.names if choice is not None and choice.mode != "named" else ()
    tools = []
    for i, tool in enumerate(request.tools):
        if same and TOOL_ADDITION in ((tool.data if isinstance(tool, Opaque) else tool.extra) or ()):
            continue  # the message that adds it defines it
        if isinstance(tool, Opaque):
            if tool.protocol == NAME and tool.data:
                tools.append(tool.data)
        elif not subset or tool.name in subset:
            tools.append(_tool_out(tool, names, f"tools[{i}]", traits, same, losses))
    if subset and any(isinstance(tool, Tool) and tool.name not in subset for tool in request.tools):
        losses.append(declare_loss("tool_choice", "allowed_tools"))
    if tools:
        payload["tools"] = tools
    headers = {} if same else hosted_tools_out(request, payload, losses)
    if not same:
        losses += hosted_choice_losses(request, frozenset(TAKES) - {"mcp"})
    tool_choice = _tool_choice_out(request, choice, names, traits) if payload.get("tools") else None
    if tool_choice is not None:
        payload["tool_choice"] = tool_choice
    return headers


def _tool_out(
    tool: Tool, names: ToolNameMap, path: str, traits: Traits, same: bool, losses: list[Loss]
) -> dict[str, Any]:
    if tool.vendor is not None and tool.vendor.protocol == NAME:
        return tool.vendor.data
    out: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if (description := told_description(tool, same, custom=False)) is not None:
        out["description"] = description
    if (mark := cache_mark(tool.extra)) and not same:
        out |= mark
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        text = {"type": "string"}
        out["input_schema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
        return out
    schema = tool.parameters
    if schema is None:
        schema = {"type": "object", "properties": {}}
    elif not same:
        schema, changed = fit_schema(schema, ANTHROPIC_FUNCTION)
        losses += [declare_loss(f"{path}.parameters{where}", "tool_schema") for where in changed]
    if tool.strict and ("structured" in traits.refuses or (not same and not is_convertible(schema, ANTHROPIC_STRICT))):
        losses.append(declare_loss(f"{path}.strict", "tool_strict"))
    elif tool.strict:
        if not same:
            schema, changed = fit_schema(schema, ANTHROPIC_STRICT)
            losses += [Loss(f"{path}.parameters{where}", "tool_strict", "approximated") for where in changed]
        out["strict"] = True
    elif tool.strict is False and same:
        out["strict"] = False
    out["input_schema"] = schema
    return {**out, **(tool.extra if same and tool.extra else {})}


def _tool_choice_out(
    request: Request, choice: ToolChoice | None, names: ToolNameMap, traits: Traits
) -> dict[str, Any] | None:
    out: dict[str, Any] | None = None
    match choice:
        case ToolChoice(extra={"forced_hosted_tool": dict(forced)}) if request.protocol == NAME:
            out = dict(forced)
        case ToolChoice(hosted=str(kind)) if kind in TAKES and kind != "mcp" and "forced_tools" not in traits.refuses:
            out = {"type": "tool", "name": kind}
        case ToolChoice("auto" | "none" as mode):
            out = {"type": mode}
        case ToolChoice("required"):
            out = {"type": "any"}
        case ToolChoice("named", (name, *_)):
            out = {"type": "tool", "name": names.wire(name)}
    if choice is not None and out is not None and choice.extra and request.protocol == NAME:
        out |= {key: value for key, value in choice.extra.items() if key != "forced_hosted_tool"}
    # "disable_parallel_tool_use" is a field of auto, any and tool alone:
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/parallel-tool-use
    if request.parallel is False and (out is None or out["type"] != "none"):
        out = {**(out or {"type": "auto"}), "disable_parallel_tool_use": True}
    elif request.parallel and out is not None and request.protocol == NAME and out["type"] != "none":
        out["disable_parallel_tool_use"] = False
    return out


def _format_out(
    form: ResponseFormat | None, traits: Traits, same: bool, payload: dict[str, Any], losses: list[Loss]
) -> str | None:
    """Sets the response format in the payload, or returns an instruction for the model if there is no field for it."""
    if form is None or form.kind == "text":
        return None
    if form.kind == "json_object" or form.schema is None:
        losses.append(declare_loss("format", form.kind))
        return JSON_HINT
    if "structured" in traits.refuses or (not same and not is_convertible(form.schema, ANTHROPIC_STRICT)):
        losses.append(declare_loss("format", "json_schema"))
        return SCHEMA_HINT + json_fields.encode(form.schema).decode()
    changed: list[str] = []
    schema = form.schema
    if not same:
        schema, changed = fit_schema(schema, ANTHROPIC_STRICT if form.strict else ANTHROPIC_ANSWER)
    if form.description is not None:  # a format has no field for a description, but its schema has
        schema = {"description": form.description, **schema}
    extra = form.extra if same and form.extra else {}
    payload["output_config"] = {"format": {"type": "json_schema", "schema": schema, **extra}}
    losses += [declare_loss(f"format.schema{changed_path}", "json_schema") for changed_path in changed]
    return None
