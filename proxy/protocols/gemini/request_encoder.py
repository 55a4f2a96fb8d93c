"""Encodes neutral requests as Gemini generateContent requests, and declares what is lost."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import Loss, ReasoningConfig, Request, ResponseFormat, Tool, ToolChoice, reasoning_effort
from ...ir.hosted import hosted_choice_losses
from ...ir.json_schema import fit_schema
from ...ir.losses import declare_loss, request_extra_losses
from ...ir.model_fit import fitted
from ...ir.readable import readable
from ...ir.stop_sequences import said_stops
from ...ir.tool_choice import remaining_choice
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from ...ir.tool_schema import with_fitted_tools
from ...wire import json_fields
from ..protocol import UpstreamRequest, UpstreamTarget
from ..schema_targets import GEMINI_ANSWER, GEMINI_FUNCTION
from .contents import RESOLUTIONS, ContentBuilder
from .fields import restore_extra
from .hosted_tools import hosted_tools_out, runs_beside_functions
from .model_rules import clamp_budget, fits_thinking, has_functions, thinking_level, without_json_beside_functions
from .tables import LIMITS, NAME, TOOL_NAME

CARRIED = frozenset(("detail", "mediaResolution", "namespace.description"))
"""Extra fields of other protocols' blocks and tools that this one has too, or tells in a description."""


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    tier = None
    if not same:
        request, tier = _service_tier(request)
    losses = [] if same else request_extra_losses(request, CARRIED)
    if not same:
        request, named = readable(request, "results")
        losses += named + hosted_choice_losses(request)
    traits = target.traits
    request, misfits = fitted(request, traits)
    losses += misfits
    request, hint = without_json_beside_functions(request, traits, losses)
    if not same:
        request, misshapen = with_fitted_tools(request, GEMINI_FUNCTION)
        losses += misshapen
    names = ToolNameMap(request, TOOL_NAME)
    builder = ContentBuilder(request, target, names, losses)
    system, contents = builder.build()
    payload: dict[str, Any] = {"contents": contents}
    if hint:
        system.append({"text": hint})
    if system:
        payload["systemInstruction"] = {"parts": system}
    if tools := _tools_out(request, target, names, losses):
        payload["tools"] = tools
    # "Function calling config is set without function_declarations" is the error of the API
    choice, gone = remaining_choice(request, [tool for tool in request.tools if isinstance(tool, Tool)])
    losses += gone
    is_strict = any(isinstance(tool, Tool) and bool(tool.strict) for tool in request.tools)
    if choice is None and is_strict:
        choice = ToolChoice("auto")
    if choice is not None:
        _tool_choice_out(choice, request, names, payload, is_strict)
        if choice.mode == "none":  # the mode that makes tools strict makes calls too
            strict = (i for i, tool in enumerate(request.tools) if isinstance(tool, Tool) and tool.strict)
            losses += [declare_loss(f"tools[{i}].strict", "tool_strict") for i in strict]
    if runs_beside_functions(request, target):
        payload.setdefault("toolConfig", {})["includeServerSideToolInvocations"] = True
    if request.parallel is False:
        # the API has no field for it: https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling
        losses.append(declare_loss("parallel", "parallel_tool_calls"))
    config: dict[str, Any] = {}
    _sampling_out(request, target, config, losses)
    if "part_resolution" not in traits.takes and any(builder.details):
        config["mediaResolution"] = max(filter(None, builder.details), key=list(RESOLUTIONS.values()).index)
        if len(set(builder.details)) > 1:
            losses.append(declare_loss("detail", "image_detail"))
    if request.reasoning is not None:
        _reasoning_out(request.reasoning, request, target, config, losses)
    if request.format is not None:
        _format_out(request.format, same, config, losses)
    if request.logprobs is not None:
        config["responseLogprobs"] = True
        if request.logprobs:
            config["logprobs"] = request.logprobs
    if config or hint:  # what was asked in words leaves the object empty, as the SDKs send it
        payload["generationConfig"] = config
    if request.user is not None:
        losses.append(declare_loss("user", "user"))
    if tier is not None:
        payload["serviceTier"] = tier
    if same:
        restore_extra(payload, request.extra)
    stops = said_stops(request.stop, [])[len(config.get("stopSequences", ())) :]
    return UpstreamRequest(payload, tuple(losses), target, names.aliases, stops=stops)


def _service_tier(request: Request) -> tuple[Request, str | None]:
    """Returns the request without its tier, and the tier, where Gemini has one of the same name.

    "serviceTier: flex, standard, priority" https://ai.google.dev/gemini-api/docs/flex-inference
    """
    found, rest = json_fields.renamed(request.extra, {"service_tier": "tier"})
    tier = found.get("tier")
    return (replace(request, extra=rest), str(tier)) if tier in ("flex", "priority") else (request, None)


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
        ("topK", _top_k_out(request, losses)),
        ("seed", _seed_out(request, losses)),
        ("frequencyPenalty", sampling.frequency_penalty),
        ("presencePenalty", sampling.presence_penalty),
        ("maxOutputTokens", request.max_tokens),
    ):
        if value is not None:
            config[key] = value
    if stops := said_stops(request.stop, losses):
        # "The set of character sequences (up to 5) that will stop output generation." (same page)
        count = int(target.limits.get("stop", LIMITS["stop"]))
        config["stopSequences"] = list(stops[:count])  # at the others the proxy cuts the answer


def _top_k_out(request: Request, losses: list[Loss]) -> int | None:
    """Returns top_k; a negative one, by which local hosts turn it off, is refused as "not nonnegative".

    https://github.com/mnfst/modelparams.dev/pull/16
    """
    top_k = request.sampling.top_k
    if top_k is None or top_k >= 0 or request.protocol == NAME:
        return top_k
    losses.append(Loss("sampling.top_k", "top_k", "dropped"))
    return None


def _seed_out(request: Request, losses: list[Loss]) -> int | None:
    """Returns the seed, or the same 31 bits of one that is too large for each of its requests.

    "Invalid value at 'generation_config.seed' (TYPE_INT32)" is the answer otherwise.
    https://ai.google.dev/api/generate-content#generationconfig
    """
    seed = request.sampling.seed
    if seed is None or -(2**31) <= seed < 2**31 or request.protocol == NAME:
        return seed
    losses.append(Loss("sampling.seed", "seed", "approximated"))
    return seed % 2**31


def _reasoning_out(
    thinking: ReasoningConfig, request: Request, target: UpstreamTarget, config: dict[str, Any], losses: list[Loss]
) -> None:
    same, traits = request.protocol == NAME, target.traits
    fields: dict[str, Any] = {}
    effort, has_levels = reasoning_effort.effort(thinking), "thinking_levels" in traits.takes
    if "thinking" in traits.refuses:
        # "An error will be returned if this field is set for models that don't support thinking."
        # https://ai.google.dev/api/generate-content#ThinkingConfig
        if effort not in (None, "none") or thinking.enabled:
            losses.append(Loss("reasoning", "reasoning", "dropped"))
        return
    if thinking.budget is not None:
        budget = clamp_budget(traits, thinking.budget)
        fields["thinkingBudget"] = budget
        if budget != thinking.budget:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None and has_levels:
        # Gemini 3 has levels; it still accepts a budget, but not both:
        # https://ai.google.dev/gemini-api/docs/thinking
        fields["thinkingLevel"] = effort if same and thinking.effort else thinking_level(traits, effort)
        if fields["thinkingLevel"] != effort:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif effort is not None and same and thinking.effort and fits_thinking(thinking, traits):
        fields["thinkingLevel"] = effort  # of a model that is in no table
    elif effort is not None:
        wanted = reasoning_effort.BUDGETS.get(effort, reasoning_effort.BUDGETS["xhigh"])
        fields["thinkingBudget"] = clamp_budget(traits, wanted)
        if effort != "none" or fields["thinkingBudget"] != 0:
            losses.append(declare_loss("reasoning", "reasoning"))
    elif thinking.enabled and (same or not has_levels):
        fields["thinkingBudget"] = -1  # "-1 is AUTOMATIC"; Gemini 3 and later have no other mode
    # protocols with a switch or a budget return the thinking by default
    include_thoughts = not same and (thinking.enabled or thinking.budget) and thinking.summary is None
    wants_thoughts = include_thoughts or thinking.summary not in (None, "none", "omitted")
    # "Thinking_config.include_thoughts is only enabled when thinking is enabled." is the error of the API
    if wants_thoughts and (same or fields.get("thinkingBudget") != 0):
        fields["includeThoughts"] = True
    elif wants_thoughts:
        losses.append(Loss("reasoning.summary", "reasoning", "dropped"))
    if same:
        restore_extra(fields, thinking.extra)
    if fields:
        config["thinkingConfig"] = fields


def _tools_out(
    request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]
) -> list[dict[str, Any]]:
    same = request.protocol == NAME
    functions: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    beside_functions = "functions_with_search" in target.traits.refuses and has_functions(request)
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool):
            functions.append(_function_out(tool, f"tools[{i}]", names, same, losses))
        elif tool.protocol != NAME:
            continue
        elif beside_functions and "functionDeclarations" not in tool.data:
            # "Tool use with function calling is unsupported" https://github.com/symfony/ai/issues/803
            losses.append(declare_loss(f"tools[{i}].{tool.kind}", "hosted_tools"))
        else:
            others.append(tool.data)
    if not same:
        hosted_tools_out(request, target, others, losses)
    return [{"functionDeclarations": functions}, *others] if functions else others


def _function_out(tool: Tool, path: str, names: ToolNameMap, same: bool, losses: list[Loss]) -> dict[str, Any]:
    body: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace)}
    if (description := told_description(tool, same, custom=False)) is not None:
        body["description"] = description
    if tool.kind == "custom":
        losses.append(declare_loss(path, "custom_tool"))
        text = {"type": "string", "description": "The whole input of the tool, as plain text."}
        body["parametersJsonSchema"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
    elif tool.parameters:
        # `parameters` takes a subset of keywords and answers 400 to any other; this field takes JSON Schema.
        # https://ai.google.dev/api/caching#FunctionDeclaration
        body["parametersJsonSchema"] = tool.parameters
    if same:
        restore_extra(body, tool.extra)
    return body


def _tool_choice_out(
    choice: ToolChoice, request: Request, names: ToolNameMap, payload: dict[str, Any], is_strict: bool
) -> None:
    same = request.protocol == NAME
    # "VALIDATED: Model decides to predict either a function call or a natural language response, but will validate
    # function calls with constrained decoding. If "allowed_function_names" are set, the predicted function call will be
    # limited to any one of" them; AUTO takes no such names, and ANY validates too: "guarantees function schema
    # adherence". https://ai.google.dev/api/caching#Mode, https://ai.google.dev/gemini-api/docs/function-calling
    modes = {"auto": "VALIDATED" if choice.names or is_strict else "AUTO", "none": "NONE"}
    calling: dict[str, Any] = {"mode": modes.get(choice.mode, "ANY")}
    if choice.names and choice.mode != "none":
        calling["allowedFunctionNames"] = [names.wire(name) for name in choice.names]
    if same:
        restore_extra(calling, choice.extra)
    payload["toolConfig"] = {"functionCallingConfig": calling}


def _format_out(form: ResponseFormat, same: bool, config: dict[str, Any], losses: list[Loss]) -> None:
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
                schema, changed = (form.schema, []) if same else fit_schema(form.schema, GEMINI_ANSWER)
                losses += [declare_loss(f"format.schema{path}", "json_schema") for path in changed]
                config["responseJsonSchema"] = schema if "$ref" in schema else {**described, **schema}
