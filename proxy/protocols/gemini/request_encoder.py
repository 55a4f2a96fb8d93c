"""Encodes neutral requests as Gemini generateContent requests, and declares what is lost."""

from __future__ import annotations

from typing import Any

from ...ir import Loss, ReasoningConfig, Request, ResponseFormat, Tool, ToolChoice, reasoning_effort
from ...ir.losses import declare_loss, request_extra_losses
from ...ir.tool_names import ToolNameMap
from ..protocol import UpstreamRequest, UpstreamTarget
from .contents import ContentBuilder
from .fields import restore_extra
from .model_rules import clamp_budget, thinking_level, version
from .tables import LIMITS, NAME, TOOL_NAME


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    losses = [] if same else request_extra_losses(request)
    names = ToolNameMap(request, TOOL_NAME)
    system, contents = ContentBuilder(request, target, names, losses).build()
    payload: dict[str, Any] = {"contents": contents}
    if system:
        payload["systemInstruction"] = {"parts": system}
    if tools := _tools_out(request, names, losses):
        payload["tools"] = tools
    if request.tool_choice is not None:
        _tool_choice_out(request.tool_choice, request, names, payload, losses)
    if request.parallel is False:
        # the API has no field for it: https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling
        losses.append(declare_loss("parallel", "parallel_tool_calls"))
    config: dict[str, Any] = {}
    _sampling_out(request, target, config, losses)
    if request.reasoning is not None:
        _reasoning_out(request.reasoning, request, target, config, losses)
    if request.format is not None:
        _format_out(request.format, same, config)
    if config:
        payload["generationConfig"] = config
    if request.user is not None:
        losses.append(declare_loss("user", "user"))
    if same:
        restore_extra(payload, request.extra)
    return UpstreamRequest(payload, tuple(losses), target, names.aliases)


def _sampling_out(request: Request, target: UpstreamTarget, config: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    if sampling.temperature is not None:
        # "Values can range from [0.0, 2.0]." https://ai.google.dev/api/generate-content#generationconfig
        maximum = target.limits.get("temperature", LIMITS["temperature"])
        temperature = sampling.temperature if request.protocol == NAME else min(max(sampling.temperature, 0), maximum)
        config["temperature"] = temperature
        if temperature != sampling.temperature:
            losses.append(declare_loss("sampling.temperature", "temperature"))
    for key, value in (
        ("topP", sampling.top_p),
        ("topK", sampling.top_k),
        ("seed", sampling.seed),
        ("frequencyPenalty", sampling.frequency_penalty),
        ("presencePenalty", sampling.presence_penalty),
        ("maxOutputTokens", request.max_tokens),
    ):
        if value is not None:
            config[key] = value
    if request.stop:
        # "The set of character sequences (up to 5) that will stop output generation." (same page)
        count = int(target.limits.get("stop", LIMITS["stop"]))
        config["stopSequences"] = list(request.stop[:count])
        if len(request.stop) > count:
            losses.append(declare_loss(f"stop[{count}:]", "stop"))


def _reasoning_out(
    thinking: ReasoningConfig, request: Request, target: UpstreamTarget, config: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.protocol == NAME
    fields: dict[str, Any] = {}
    effort, generation = reasoning_effort.effort(thinking), version(target)
    if generation < (2, 5) and not same:
        # "An error will be returned if this field is set for models that don't support thinking."
        # https://ai.google.dev/api/generate-content#ThinkingConfig
        if effort not in (None, "none") or thinking.enabled:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    if thinking.budget is not None:
        budget = thinking.budget if same else clamp_budget(target.model, thinking.budget)
        fields["thinkingBudget"] = budget
        if budget != thinking.budget:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None and generation >= (3, 0):
        # Gemini 3 has levels; it still accepts a budget, but not both:
        # https://ai.google.dev/gemini-api/docs/thinking
        fields["thinkingLevel"] = effort if same and thinking.effort else thinking_level(target.model, effort)
        if fields["thinkingLevel"] != effort:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None and same and thinking.effort:
        fields["thinkingLevel"] = effort
    elif effort is not None:
        wanted = reasoning_effort.BUDGETS.get(effort, reasoning_effort.BUDGETS["xhigh"])
        fields["thinkingBudget"] = clamp_budget(target.model, wanted)
        if effort != "none" or fields["thinkingBudget"] != 0:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif thinking.enabled and (same or generation < (3, 0)):
        fields["thinkingBudget"] = -1  # "-1 is AUTOMATIC"; Gemini 3 and later have no other mode
    # protocols with a switch or a budget return the thinking by default
    include_thoughts = not same and (thinking.enabled or thinking.budget) and thinking.summary is None
    if include_thoughts or thinking.summary not in (None, "none", "omitted"):
        fields["includeThoughts"] = True
    if same:
        restore_extra(fields, thinking.extra)
    if fields:
        config["thinkingConfig"] = fields


def _tools_out(request: Request, names: ToolNameMap, losses: list[Loss]) -> list[dict[str, Any]]:
    same = request.protocol == NAME
    functions, others = [], []
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool):
            functions.append(_function_out(tool, f"tools[{i}]", names, same, losses))
        elif tool.protocol == NAME:
            others.append(tool.data)
    return [{"functionDeclarations": functions}, *others] if functions else others


def _function_out(tool: Tool, path: str, names: ToolNameMap, same: bool, losses: list[Loss]) -> dict[str, Any]:
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        text = {"type": "string", "description": "The whole input of the tool, as plain text."}
        body["parametersJsonSchema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
    elif tool.parameters:
        # `parameters` takes a subset of keywords and answers 400 to any other; this field takes JSON Schema.
        # https://ai.google.dev/api/caching#FunctionDeclaration
        body["parametersJsonSchema"] = tool.parameters
    if tool.strict:
        losses.append(declare_loss(f"{path}.strict", "tool_strict"))
    if same:
        restore_extra(body, tool.extra)
    return body


def _tool_choice_out(
    choice: ToolChoice, request: Request, names: ToolNameMap, payload: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.protocol == NAME
    if not same and not any(isinstance(tool, Tool) for tool in request.tools):
        # "Function calling config is set without function_declarations" is the error of the API
        if choice.mode in ("required", "named"):
            losses.append(Loss("tool_choice", "tool_choice", "dropped"))
        return
    # VALIDATED: "Model is constrained to predict either function calls or natural language response. If
    # "allowed_function_names" are set, the predicted function calls will be limited to any one of" them; AUTO takes no
    # such names. https://ai.google.dev/api/caching#Mode
    modes = {"auto": "VALIDATED" if choice.names else "AUTO", "none": "NONE"}
    calling: dict[str, Any] = {"mode": modes.get(choice.mode, "ANY")}
    if choice.names and choice.mode != "none":
        calling["allowedFunctionNames"] = [names.wire(name) for name in choice.names]
    if same:
        restore_extra(calling, choice.extra)
    payload["toolConfig"] = {"functionCallingConfig": calling}


def _format_out(form: ResponseFormat, same: bool, config: dict[str, Any]) -> None:
    match form.kind:
        case "text":
            if same:
                config["responseMimeType"] = "text/plain"
        case "json_object":
            config["responseMimeType"] = "application/json"
        case "json_schema":
            config["responseMimeType"] = "application/json"
            if form.schema is not None:
                # a format has no field for a description, but its schema has
                described = {"description": form.description} if form.description else {}
                config["responseJsonSchema"] = {**described, **form.schema}
