"""The neutral request as a Gemini backend gets it, and what that could not say."""

from __future__ import annotations

from typing import Any

from ... import effort, ledger
from ...ir import (
    Format,
    Loss,
    Request,
    Thinking,
    Tool,
    ToolChoice,
)
from ...names import Names
from ..contract import Sent, Target
from .contents import Contents
from .fields import put_back
from .models import bounded, level, version
from .words import LIMITS, NAME, TOOL_NAME


def encode_request(request: Request, target: Target) -> Sent:
    same = request.dialect == NAME
    losses = [] if same else ledger.request_leftovers(request)
    names = Names(request, TOOL_NAME)
    system, contents = Contents(request, target, names, losses).write()
    payload: dict[str, Any] = {"contents": contents}
    if system:
        payload["systemInstruction"] = {"parts": system}
    if tools := _tools_out(request, names, losses):
        payload["tools"] = tools
    if request.tool_choice is not None:
        _tool_choice_out(request.tool_choice, request, names, payload, losses)
    if request.parallel is False:
        # the API has no word for it: https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling
        losses.append(ledger.loss("parallel", "parallel_tool_calls"))
    config: dict[str, Any] = {}
    _sampling_out(request, target, config, losses)
    if request.reasoning is not None:
        _thinking_out(request.reasoning, request, target, config, losses)
    if request.format is not None:
        _format_out(request.format, same, config)
    if config:
        payload["generationConfig"] = config
    if request.user is not None:
        losses.append(ledger.loss("user", "user"))
    if same:
        put_back(payload, request.own)
    return Sent(payload, tuple(losses), target, names.aliases)


def _sampling_out(request: Request, target: Target, config: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    if sampling.temperature is not None:
        # "Values can range from [0.0, 2.0]." https://ai.google.dev/api/generate-content#generationconfig
        most = target.limits.get("temperature", LIMITS["temperature"])
        temperature = sampling.temperature if request.dialect == NAME else min(max(sampling.temperature, 0), most)
        config["temperature"] = temperature
        if temperature != sampling.temperature:
            losses.append(ledger.loss("sampling.temperature", "temperature"))
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
            losses.append(ledger.loss(f"stop[{count}:]", "stop"))


def _thinking_out(
    thinking: Thinking, request: Request, target: Target, config: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.dialect == NAME
    fields: dict[str, Any] = {}
    word, generation = effort.effort(thinking), version(target)
    if generation < (2, 5) and not same:
        # "An error will be returned if this field is set for models that don't support thinking."
        # https://ai.google.dev/api/generate-content#ThinkingConfig
        if word not in (None, "none") or thinking.enabled:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    if thinking.budget is not None:
        budget = thinking.budget if same else bounded(target.model, thinking.budget)
        fields["thinkingBudget"] = budget
        if budget != thinking.budget:
            losses.append(ledger.loss("reasoning", "reasoning"))
    elif word is not None and generation >= (3, 0):
        # the levels are what Gemini 3 knows; it still takes a budget, but not both:
        # https://ai.google.dev/gemini-api/docs/thinking
        fields["thinkingLevel"] = word if same and thinking.effort else level(target.model, word)
        if fields["thinkingLevel"] != word:
            losses.append(ledger.loss("reasoning", "reasoning"))
    elif word is not None and same and thinking.effort:
        fields["thinkingLevel"] = word
    elif word is not None:
        wanted = effort.BUDGETS.get(word, effort.BUDGETS["xhigh"])
        fields["thinkingBudget"] = bounded(target.model, wanted)
        if word != "none" or fields["thinkingBudget"] != 0:
            losses.append(ledger.loss("reasoning", "reasoning"))
    elif thinking.enabled and (same or generation < (3, 0)):
        fields["thinkingBudget"] = -1  # "-1 is AUTOMATIC"; from Gemini 3 on there is no other
    # dialects with a switch or a budget show what was thought without being asked
    shows = not same and (thinking.enabled or thinking.budget) and thinking.summary is None
    if shows or thinking.summary not in (None, "none", "omitted"):
        fields["includeThoughts"] = True
    if same:
        put_back(fields, thinking.own)
    if fields:
        config["thinkingConfig"] = fields


def _tools_out(request: Request, names: Names, losses: list[Loss]) -> list[dict[str, Any]]:
    same = request.dialect == NAME
    functions, others = [], []
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool):
            functions.append(_function_out(tool, f"tools[{i}]", names, same, losses))
        elif tool.dialect == NAME:
            others.append(tool.data)
    return [{"functionDeclarations": functions}, *others] if functions else others


def _function_out(tool: Tool, path: str, names: Names, same: bool, losses: list[Loss]) -> dict[str, Any]:
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        losses.append(ledger.loss(path, "custom_tool"))
        text = {"type": "string", "description": "The whole input of the tool, as plain text."}
        body["parametersJsonSchema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
    elif tool.parameters:
        # `parameters` knows a subset of keywords and answers 400 to any other; this field takes JSON Schema.
        # https://ai.google.dev/api/caching#FunctionDeclaration
        body["parametersJsonSchema"] = tool.parameters
    if tool.strict:
        losses.append(ledger.loss(f"{path}.strict", "tool_strict"))
    if same:
        put_back(body, tool.own)
    return body


def _tool_choice_out(
    choice: ToolChoice, request: Request, names: Names, payload: dict[str, Any], losses: list[Loss]
) -> None:
    same = request.dialect == NAME
    if not same and not any(isinstance(tool, Tool) for tool in request.tools):
        # "Function calling config is set without function_declarations", answers the API
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
        put_back(calling, choice.own)
    payload["toolConfig"] = {"functionCallingConfig": calling}


def _format_out(form: Format, same: bool, config: dict[str, Any]) -> None:
    match form.kind:
        case "text":
            if same:
                config["responseMimeType"] = "text/plain"
        case "json_object":
            config["responseMimeType"] = "application/json"
        case "json_schema":
            config["responseMimeType"] = "application/json"
            if form.schema is not None:
                # a format's description has no field of its own, the schema's has
                described = {"description": form.description} if form.description else {}
                config["responseJsonSchema"] = {**described, **form.schema}
