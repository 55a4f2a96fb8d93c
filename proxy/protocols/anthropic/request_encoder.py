"""Encodes neutral requests as Anthropic Messages requests, and declares what is lost."""

from __future__ import annotations

from typing import Any

from ...ir import Loss, Opaque, Request, ResponseFormat, Tool, ToolChoice, reasoning_effort
from ...ir.losses import declare_loss, request_extra_losses
from ...ir.tool_names import ToolNameMap
from ...wire import json_fields
from ..protocol import UpstreamRequest, UpstreamTarget
from .json_schema import close_schema, is_recursive
from .messages import MessageBuilder
from .tables import (
    DEFAULT_MAX_TOKENS,
    EFFORTS,
    JSON_HINT,
    LIMITS,
    MAX_OUTPUT_TOKENS,
    MIN_THINKING_BUDGET,
    NAME,
    SCHEMA_HINT,
    TOOL_NAME,
    TOOL_NAME_LIMIT,
    model_quirks,
)


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    losses = [] if same else request_extra_losses(request)
    # a client of this same protocol follows the rules of its model; only configured quirks apply
    quirks = target.quirks | {"system_messages"} if same else model_quirks(target.model, target.quirks)
    names = ToolNameMap(request, TOOL_NAME, TOOL_NAME_LIMIT)
    builder = MessageBuilder(request, target, quirks, names, losses)
    system, messages = builder.build()
    payload: dict[str, Any] = {"model": target.model, "max_tokens": DEFAULT_MAX_TOKENS}
    hint = _format_out(request.format, quirks, same, payload, losses)
    if hint:
        system.append({"type": "text", "text": hint})
    if system:
        payload["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    payload["messages"] = messages
    _tools_out(request, names, quirks, payload, losses)
    _max_tokens_out(request, target, payload)
    _reasoning_out(request, target, quirks, builder, payload, losses)
    _sampling_out(request, target, quirks, payload, losses)
    if request.user is not None:
        payload["metadata"] = {"user_id": request.user}
    if request.stream:
        payload["stream"] = True
    if same and request.extra:
        for key, value in request.extra.items():
            shared = key in ("metadata", "output_config") and key in payload
            payload[key] = {**payload[key], **value} if shared else value
    return UpstreamRequest(payload, tuple(losses), target, names.aliases)


def _max_tokens_out(request: Request, target: UpstreamTarget, payload: dict[str, Any]) -> None:
    if request.max_tokens is not None:
        payload["max_tokens"] = request.max_tokens
    elif target.max_tokens is not None:
        payload["max_tokens"] = target.max_tokens


def _sampling_out(
    request: Request, target: UpstreamTarget, quirks: frozenset[str], payload: dict[str, Any], losses: list[Loss]
) -> None:
    sampling = request.sampling
    same = request.protocol == NAME
    fixed = "no_sampling" in quirks
    # "Thinking isn't compatible with temperature or top_k modifications […]. When thinking is enabled, you can set
    # top_p to values between 1 and 0.95." https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    thinks = not same and payload.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if sampling.temperature is not None:
        # "Ranges from 0.0 to 1.0." https://platform.claude.com/docs/en/api/messages/create
        most = target.limits.get("temperature", LIMITS["temperature"])
        temperature = sampling.temperature if same else min(max(sampling.temperature, 0), most)
        if fixed or thinks:
            if sampling.temperature != 1:  # 1 is the default of the model
                losses.append(Loss("sampling.temperature", "temperature", "dropped"))
        else:
            payload["temperature"] = temperature
            if temperature != sampling.temperature:
                losses.append(declare_loss("sampling.temperature", "temperature"))
    if sampling.top_p is not None and (same or sampling.top_p != 1):
        both = "one_sampling" in quirks and "temperature" in payload
        if fixed or both or (thinks and sampling.top_p < 0.95):
            losses.append(declare_loss("sampling.top_p", "top_p"))
        else:
            payload["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        if fixed or thinks:
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
        losses += [Loss(f"stop[{i}]", "stop", "dropped") for i in blank]
        stop = [sequence for i, sequence in enumerate(request.stop) if i not in blank]
        if stop:
            payload["stop_sequences"] = stop


def _reasoning_out(
    request: Request,
    target: UpstreamTarget,
    quirks: frozenset[str],
    builder: MessageBuilder,
    payload: dict[str, Any],
    losses: list[Loss],
) -> None:
    thinking = request.reasoning
    if thinking is None:
        return
    if request.protocol == NAME:
        _same_protocol_reasoning_out(request, payload)
        return
    effort, budget = reasoning_effort.effort(thinking), reasoning_effort.budget(thinking)
    if effort is None and not thinking.enabled:
        if thinking.summary in ("auto", "concise", "detailed"):  # a summary without thinking
            losses.append(Loss("reasoning.summary", "reasoning", "dropped"))
        return
    if effort == "none":
        # a model that cannot think, or thinks only on request, needs no field
        if "no_thinking_off" in quirks:
            losses.append(declare_loss("reasoning", "reasoning"))
            payload.setdefault("output_config", {})["effort"] = "low"
        elif "no_thinking" not in quirks:
            payload["thinking"] = {"type": "disabled"}
        return
    if "no_thinking" in quirks:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    display = {"display": "summarized"} if thinking.summary in ("auto", "concise", "detailed") else {}
    if "adaptive" in quirks and (thinking.budget is None or "no_budget" in quirks):
        payload["thinking"] = {"type": "adaptive", **display}
        if effort is not None:
            wire_effort = EFFORTS.get(effort, "high")
            wire_effort = "high" if wire_effort == "xhigh" and "no_xhigh" in quirks else wire_effort
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
    if request.max_tokens is None and target.max_tokens is None:
        given = min(wanted, MAX_OUTPUT_TOKENS - DEFAULT_MAX_TOKENS)
        # no limit was set: the budget is added to the default, so that the answer keeps all of it
        payload["max_tokens"] = DEFAULT_MAX_TOKENS + given
    else:
        # max_tokens covers thinking and answer together: at most three quarters of it go to thinking
        given = min(wanted, payload["max_tokens"] * 3 // 4)
    if given < MIN_THINKING_BUDGET:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    payload["thinking"] = {"type": "enabled", "budget_tokens": given, **display}
    if given != thinking.budget and (thinking.budget is not None or effort is not None):
        losses.append(declare_loss("reasoning", "reasoning"))


def _same_protocol_reasoning_out(request: Request, payload: dict[str, Any]) -> None:
    """Restores `thinking` and the effort as an Anthropic client sent them."""
    thinking = request.reasoning
    assert thinking is not None  # noqa: S101 - the caller checked
    extra = dict(thinking.extra or {})
    effort = extra.pop("effort", thinking.effort)
    if effort is not None:
        payload.setdefault("output_config", {})["effort"] = effort
    kind = extra.pop("thinking", None)
    if kind is None and thinking.enabled is not None:
        kind = "disabled" if not thinking.enabled else "enabled" if thinking.budget is not None else "adaptive"
    if kind is None:
        return
    fields: dict[str, Any] = {"type": kind}
    if thinking.budget is not None:
        fields["budget_tokens"] = thinking.budget
    if thinking.summary is not None:
        fields["display"] = "summarized"
    payload["thinking"] = {**fields, **extra}


def _tools_out(
    request: Request, names: ToolNameMap, quirks: frozenset[str], payload: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.protocol == NAME
    choice = request.tool_choice
    subset = choice.names if choice is not None and choice.mode != "named" else ()
    tools = []
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            if tool.protocol == NAME:
                tools.append(tool.data)
        elif not subset or tool.name in subset:
            tools.append(_tool_out(tool, names, f"tools[{i}]", quirks, same, losses))
    if subset and any(isinstance(tool, Tool) and tool.name not in subset for tool in request.tools):
        losses.append(declare_loss("tool_choice", "allowed_tools"))
    if tools:
        payload["tools"] = tools
    tool_choice = _tool_choice_out(request, names, quirks, losses) if tools else None
    if tool_choice is not None:
        payload["tool_choice"] = tool_choice
    elif choice is not None and choice.mode in ("required", "named"):
        # "tool_choice may only be specified while providing tools", as the API answers
        losses.append(Loss("tool_choice", "tool_choice", "dropped"))


def _tool_out(
    tool: Tool, names: ToolNameMap, path: str, quirks: frozenset[str], same: bool, losses: list[Loss]
) -> dict[str, Any]:
    out: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        text = {"type": "string"}
        out["input_schema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
        return out
    schema = tool.parameters
    if schema is None:
        schema = {"type": "object", "properties": {}}
    elif "type" not in schema and not same:  # "tools.0.custom.input_schema.type: Field required"
        schema = {"type": "object", **schema}
    if tool.strict and ("no_structured" in quirks or (not same and is_recursive(schema))):
        losses.append(declare_loss(f"{path}.strict", "tool_strict"))
    elif tool.strict:
        changed: list[str] = []
        schema = schema if same else close_schema(schema, changed)
        losses += [Loss(f"{path}.parameters{changed_path}", "tool_strict", "approximated") for changed_path in changed]
        out["strict"] = True
    elif tool.strict is False and same:
        out["strict"] = False
    out["input_schema"] = schema
    return {**out, **(tool.extra if same and tool.extra else {})}


def _tool_choice_out(
    request: Request, names: ToolNameMap, quirks: frozenset[str], losses: list[Loss]
) -> dict[str, Any] | None:
    choice = request.tool_choice
    out: dict[str, Any] | None = None
    match choice:
        case ToolChoice("auto" | "none" as mode):
            out = {"type": mode}
        case ToolChoice() if "no_forced_tools" in quirks:
            losses.append(declare_loss("tool_choice", "tool_choice"))
            out = {"type": "auto"}
        case ToolChoice("required"):
            out = {"type": "any"}
        case ToolChoice("named", (name, *_)):
            out = {"type": "tool", "name": names.wire(name)}
    if choice is not None and out is not None and choice.extra and request.protocol == NAME:
        out |= choice.extra
    # "disable_parallel_tool_use" is a field of auto, any and tool alone:
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/parallel-tool-use
    if request.parallel is False and (out is None or out["type"] != "none"):
        out = {**(out or {"type": "auto"}), "disable_parallel_tool_use": True}
    elif request.parallel and out is not None and request.protocol == NAME and out["type"] != "none":
        out["disable_parallel_tool_use"] = False
    return out


def _format_out(
    form: ResponseFormat | None, quirks: frozenset[str], same: bool, payload: dict[str, Any], losses: list[Loss]
) -> str | None:
    """Sets the response format in the payload, or returns an instruction for the model if there is no field for it."""
    if form is None or form.kind == "text":
        return None
    if form.kind == "json_object" or form.schema is None:
        losses.append(declare_loss("format", form.kind))
        return JSON_HINT
    if "no_structured" in quirks or (not same and is_recursive(form.schema)):
        losses.append(declare_loss("format", "json_schema"))
        return SCHEMA_HINT + json_fields.encode(form.schema).decode()
    changed: list[str] = []
    schema = form.schema if same else close_schema(form.schema, changed)
    extra = form.extra if same and form.extra else {}
    payload["output_config"] = {"format": {"type": "json_schema", "schema": schema, **extra}}
    losses += [declare_loss(f"format.schema{changed_path}", "json_schema") for changed_path in changed]
    if form.description is not None:
        losses.append(Loss("format.description", "json_schema", "dropped"))
    return None
