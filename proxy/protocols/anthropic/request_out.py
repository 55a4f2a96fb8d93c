"""The neutral request as an Anthropic backend gets it, and what that could not say."""

from __future__ import annotations

from typing import Any

from ... import effort, ledger, wire
from ...ir import (
    Format,
    Loss,
    Opaque,
    Request,
    Tool,
    ToolChoice,
)
from ...names import Names
from ..contract import Sent, Target
from .messages import Messages
from .schema import closed, is_recursive
from .words import (
    EFFORTS,
    JSON_HINT,
    LIMITS,
    MAX_OUTPUT,
    MAX_TOKENS,
    MIN_BUDGET,
    NAME,
    SCHEMA_HINT,
    TOOL_NAME,
    TOOL_NAME_LIMIT,
    traits,
)


def encode_request(request: Request, target: Target) -> Sent:
    same = request.dialect == NAME
    losses = [] if same else ledger.request_leftovers(request)
    # a client of this very dialect knows its model's rules; only what the config says is added to them
    quirks = target.quirks | {"system_messages"} if same else traits(target.model, target.quirks)
    names = Names(request, TOOL_NAME, TOOL_NAME_LIMIT)
    writer = Messages(request, target, quirks, names, losses)
    system, messages = writer.write()
    payload: dict[str, Any] = {"model": target.model, "max_tokens": MAX_TOKENS}
    hint = _format_out(request.format, quirks, same, payload, losses)
    if hint:
        system.append({"type": "text", "text": hint})
    if system:
        payload["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    payload["messages"] = messages
    _tools_out(request, names, quirks, payload, losses)
    _max_tokens_out(request, target, payload)
    _thinking_out(request, target, quirks, writer, payload, losses)
    _sampling_out(request, target, quirks, payload, losses)
    if request.user is not None:
        payload["metadata"] = {"user_id": request.user}
    if request.stream:
        payload["stream"] = True
    if same and request.own:
        for key, value in request.own.items():
            shared = key in ("metadata", "output_config") and key in payload
            payload[key] = {**payload[key], **value} if shared else value
    return Sent(payload, tuple(losses), target, names.aliases)


def _max_tokens_out(request: Request, target: Target, payload: dict[str, Any]) -> None:
    if request.max_tokens is not None:
        payload["max_tokens"] = request.max_tokens
    elif target.max_tokens is not None:
        payload["max_tokens"] = target.max_tokens


def _sampling_out(
    request: Request, target: Target, quirks: frozenset[str], payload: dict[str, Any], losses: list[Loss]
) -> None:
    sampling = request.sampling
    same = request.dialect == NAME
    fixed = "no_sampling" in quirks
    # "Thinking isn't compatible with temperature or top_k modifications […]. When thinking is enabled, you can set
    # top_p to values between 1 and 0.95." https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    thinks = not same and payload.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if sampling.temperature is not None:
        # "Ranges from 0.0 to 1.0." https://platform.claude.com/docs/en/api/messages/create
        most = target.limits.get("temperature", LIMITS["temperature"])
        temperature = sampling.temperature if same else min(max(sampling.temperature, 0), most)
        if fixed or thinks:
            if sampling.temperature != 1:  # which is what the model does anyway
                losses.append(Loss("sampling.temperature", "temperature", "dropped"))
        else:
            payload["temperature"] = temperature
            if temperature != sampling.temperature:
                losses.append(ledger.loss("sampling.temperature", "temperature"))
    if sampling.top_p is not None and (same or sampling.top_p != 1):
        both = "one_sampling" in quirks and "temperature" in payload
        if fixed or both or (thinks and sampling.top_p < 0.95):
            losses.append(ledger.loss("sampling.top_p", "top_p"))
        else:
            payload["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        if fixed or thinks:
            losses.append(ledger.loss("sampling.top_k", "top_k"))
        else:
            payload["top_k"] = sampling.top_k
    if sampling.seed is not None:
        losses.append(ledger.loss("sampling.seed", "seed"))
    for key in ("frequency_penalty", "presence_penalty"):
        if getattr(sampling, key):
            losses.append(ledger.loss(f"sampling.{key}", "penalties"))
    if request.stop:
        # "stop_sequences: each stop sequence must contain non-whitespace", as the API answers otherwise
        blank = [] if same else [i for i, word in enumerate(request.stop) if not word.strip()]
        losses += [Loss(f"stop[{i}]", "stop", "dropped") for i in blank]
        stop = [word for i, word in enumerate(request.stop) if i not in blank]
        if stop:
            payload["stop_sequences"] = stop


def _thinking_out(
    request: Request,
    target: Target,
    quirks: frozenset[str],
    writer: Messages,
    payload: dict[str, Any],
    losses: list[Loss],
) -> None:
    thinking = request.reasoning
    if thinking is None:
        return
    if request.dialect == NAME:
        _own_thinking_out(request, payload)
        return
    word, budget = effort.effort(thinking), effort.budget(thinking)
    if word is None and not thinking.enabled:
        if thinking.summary in ("auto", "concise", "detailed"):  # thoughts to be shown, where nobody said to think
            losses.append(Loss("reasoning.summary", "reasoning", "dropped"))
        return
    if word == "none":
        # who cannot think, or does not unless told to, needs no telling
        if "no_thinking_off" in quirks:
            losses.append(ledger.loss("reasoning", "reasoning"))
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
        if word is not None:
            said = EFFORTS.get(word, "high")
            said = "high" if said == "xhigh" and "no_xhigh" in quirks else said
            payload.setdefault("output_config", {})["effort"] = said
            if said != thinking.effort:
                losses.append(ledger.loss("reasoning", "reasoning"))
        return
    if not writer.may_think or payload.get("tool_choice", {}).get("type") in ("any", "tool"):
        # "Tool use with manual extended thinking only supports tool_choice: {"type": "auto"} or {"type": "none"}"
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    wanted = max(budget or effort.BUDGETS["medium"], MIN_BUDGET)
    if request.max_tokens is None and target.max_tokens is None:
        given = min(wanted, MAX_OUTPUT - MAX_TOKENS)
        payload["max_tokens"] = MAX_TOKENS + given  # the bound is ours: the answer keeps its room
    else:
        # the bound holds for thought and answer together; at most three quarters of it go into thought
        given = min(wanted, payload["max_tokens"] * 3 // 4)
    if given < MIN_BUDGET:
        losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    payload["thinking"] = {"type": "enabled", "budget_tokens": given, **display}
    if given != thinking.budget and (thinking.budget is not None or word is not None):
        losses.append(ledger.loss("reasoning", "reasoning"))


def _own_thinking_out(request: Request, payload: dict[str, Any]) -> None:
    """The same words that came in."""
    thinking = request.reasoning
    assert thinking is not None  # noqa: S101 - the caller asked
    own = dict(thinking.own or {})
    said = own.pop("effort", thinking.effort)
    if said is not None:
        payload.setdefault("output_config", {})["effort"] = said
    kind = own.pop("thinking", None)
    if kind is None and thinking.enabled is not None:
        kind = "disabled" if not thinking.enabled else "enabled" if thinking.budget is not None else "adaptive"
    if kind is None:
        return
    fields: dict[str, Any] = {"type": kind}
    if thinking.budget is not None:
        fields["budget_tokens"] = thinking.budget
    if thinking.summary is not None:
        fields["display"] = "summarized"
    payload["thinking"] = {**fields, **own}


def _tools_out(
    request: Request, names: Names, quirks: frozenset[str], payload: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.dialect == NAME
    choice = request.tool_choice
    subset = choice.names if choice is not None and choice.mode != "named" else ()
    tools = []
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            if tool.dialect == NAME:
                tools.append(tool.data)
        elif not subset or tool.name in subset:
            tools.append(_tool_out(tool, names, f"tools[{i}]", quirks, same, losses))
    if subset and any(isinstance(tool, Tool) and tool.name not in subset for tool in request.tools):
        losses.append(ledger.loss("tool_choice", "allowed_tools"))
    if tools:
        payload["tools"] = tools
    said = _tool_choice_out(request, names, quirks, losses) if tools else None
    if said is not None:
        payload["tool_choice"] = said
    elif choice is not None and choice.mode in ("required", "named"):
        # "tool_choice may only be specified while providing tools", as the API answers
        losses.append(Loss("tool_choice", "tool_choice", "dropped"))


def _tool_out(
    tool: Tool, names: Names, path: str, quirks: frozenset[str], same: bool, losses: list[Loss]
) -> dict[str, Any]:
    out: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.kind == "custom":
        losses.append(ledger.loss(path, "custom_tool"))
        text = {"type": "string"}
        out["input_schema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
        return out
    schema = tool.parameters
    if schema is None:
        schema = {"type": "object", "properties": {}}
    elif "type" not in schema and not same:  # "tools.0.custom.input_schema.type: Field required"
        schema = {"type": "object", **schema}
    if tool.strict and ("no_structured" in quirks or (not same and is_recursive(schema))):
        losses.append(ledger.loss(f"{path}.strict", "tool_strict"))
    elif tool.strict:
        changed: list[str] = []
        schema = schema if same else closed(schema, changed)
        losses += [Loss(f"{path}.parameters{where}", "tool_strict", "approximated") for where in changed]
        out["strict"] = True
    elif tool.strict is False and same:
        out["strict"] = False
    out["input_schema"] = schema
    return {**out, **(tool.own if same and tool.own else {})}


def _tool_choice_out(
    request: Request, names: Names, quirks: frozenset[str], losses: list[Loss]
) -> dict[str, Any] | None:
    choice = request.tool_choice
    out: dict[str, Any] | None = None
    match choice:
        case ToolChoice("auto" | "none" as mode):
            out = {"type": mode}
        case ToolChoice() if "no_forced_tools" in quirks:
            losses.append(ledger.loss("tool_choice", "tool_choice"))
            out = {"type": "auto"}
        case ToolChoice("required"):
            out = {"type": "any"}
        case ToolChoice("named", (name, *_)):
            out = {"type": "tool", "name": names.wire(name)}
    if choice is not None and out is not None and choice.own and request.dialect == NAME:
        out |= choice.own
    # "disable_parallel_tool_use" is a field of auto, any and tool alone:
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/parallel-tool-use
    if request.parallel is False and (out is None or out["type"] != "none"):
        out = {**(out or {"type": "auto"}), "disable_parallel_tool_use": True}
    elif request.parallel and out is not None and request.dialect == NAME and out["type"] != "none":
        out["disable_parallel_tool_use"] = False
    return out


def _format_out(
    form: Format | None, quirks: frozenset[str], same: bool, payload: dict[str, Any], losses: list[Loss]
) -> str | None:
    """Put the format into the payload, or give back the words that ask for it where the wire has no field."""
    if form is None or form.kind == "text":
        return None
    if form.kind == "json_object" or form.schema is None:
        losses.append(ledger.loss("format", form.kind))
        return JSON_HINT
    if "no_structured" in quirks or (not same and is_recursive(form.schema)):
        losses.append(ledger.loss("format", "json_schema"))
        return SCHEMA_HINT + wire.encode(form.schema).decode()
    changed: list[str] = []
    schema = form.schema if same else closed(form.schema, changed)
    own = form.own if same and form.own else {}
    payload["output_config"] = {"format": {"type": "json_schema", "schema": schema, **own}}
    losses += [ledger.loss(f"format.schema{where}", "json_schema") for where in changed]
    if form.description is not None:
        losses.append(Loss("format.description", "json_schema", "dropped"))
    return None
