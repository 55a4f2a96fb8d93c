"""Compares the client's request with the one that reached the provider; each difference names a loss feature.

It uses the mock's neutral types and the names of loss features, and shares no code with the proxy.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.protocols.openai_models import family_of
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import NamedTool, Thinking, ToolCall

from ..checks.signatures import (
    PLACEHOLDER_SIGNATURES,
    is_carried_before_calls,
    request_signature_errors,
    signatures_of_turns,
)
from ..checks.tool_names import match_tools, needless_renames, rename_for_upstream
from ..client.protocol import ClientProtocol
from .blocks import of_kind
from .difference import WRONG, Difference
from .hosted import client_function, hosted_kind, hosted_tools, settings_of
from .json_schema import refers_to_itself
from .tools import choice_differences, format_differences, tool_differences, without_format_hint
from .turns import turn_differences

EXTRA_FIELD_FEATURES: dict[str, str] = {
    "n": "n",
    "candidateCount": "n",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "logit_bias": "logit_bias",
    "user": "user",
    "safety_identifier": "user",
    "metadata": "metadata",
    "name": "name",
    "detail": "image_detail",
    "mediaResolution": "image_detail",
    "truncation": "context_management",
    "context_management": "context_management",
    "cachedContent": "previous_response_id",
    "service_tier": "service_tier",
    "serviceTier": "service_tier",
    "speed": "service_tier",
    "store": "store",
    "prediction": "prediction",
    "cache_control": "cache_control",
    "prompt_cache_key": "cache_control",
    "prompt_cache_retention": "cache_control",
    "inference_geo": "data_residency",
    "num_ctx": "load_options",
    "min_p": "sampler",
    "repeat_penalty": "penalties",
    "safetySettings": "safety_settings",
    "verbosity": "verbosity",
    "display": "reasoning",
    "summary": "reasoning",
    "tools": "hosted_tools",
    "web_search_options": "hosted_tools",
    "googleSearch": "hosted_tools",
    "urlContext": "hosted_tools",
    "codeExecution": "hosted_tools",
    "namespace": "tool_namespace",
    "content": "hosted_output",
    "input": "hosted_output",
    "tool_choice": "allowed_tools",
    "allowedFunctionNames": "allowed_tools",
    "citations": "citations",
    "annotations": "citations",
}
"""Last name of a protocol-specific field -> the feature of its loss; by default unknown_field."""

DEFAULT_VALUES: dict[str, tuple[Any, ...]] = {
    "usage": ({"include": True},),
    "service_tier": ("default", "auto", "standard_only"),
    "modalities": (["text"],),
    "partMetadata": ({"redacted": True},),  # comes with a foreign signature and is sent back with it
}
"""Values of protocol-specific fields that ask for the default; an empty value always does."""

OTHER_NAMES: dict[str, str] = {
    "display": "includeThoughts",
    "summary": "includeThoughts",
    "tool_choice": "allowedFunctionNames",
    "allowedFunctionNames": "tool_choice",
    "citations": "annotations",
    "service_tier": "serviceTier",
    "serviceTier": "service_tier",
    "mediaResolution": "detail",
    "detail": "mediaResolution",
    "repeat_penalty": "repetition_penalty",
    "repetition_penalty": "repeat_penalty",
}
"""Protocol-specific field -> its name in another protocol."""

RETURNS_RESULTS = ("include", "includeServerSideToolInvocations")
"""Fields by which a provider is told to return what its own tools did."""

COUNTED = ("cache_control",)
"""Fields of which each one must arrive, because one at another place says something else."""

SAMPLING_DEFAULTS: dict[str, float] = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""Sampling values that equal the provider's defaults."""

WARM = ("anthropic", "openai-chat", "openai-responses")
"""Protocols whose default temperature is 1."""

THINKS_ONLY_ON_REQUEST = ("anthropic", "openai-chat")
"""Protocols whose models may not think at all unless the request enables it."""

STOP_LIMITS: dict[str, int] = {"openai-chat": 4, "gemini": 5}
"""Protocol -> how many stop sequences it takes, where its owner says a number.

https://platform.openai.com/docs/api-reference/chat/create#chat_create-stop: "Up to 4 sequences";
https://ai.google.dev/api/generate-content#generationconfig: stopSequences, "up to 5".
"""

NAMES_FORMATS = ("openai-chat", "openai-responses")
"""Protocols in which a response format has a name and a `strict` flag."""

NAMES_USERS = ("openai-chat", "openai-responses", "anthropic")
"""Protocols in which a request may name the end user."""

CITES_IN_HISTORY = ("openai-responses",)
"""Protocols in which the model's texts in a history may have citations, whoever made them."""

SHARED_FIELDS: dict[tuple[str, str], frozenset[str]] = {
    ("openai-chat", "openai-responses"): frozenset(
        (
            *("metadata", "service_tier", "store", "verbosity", "safety_identifier"),
            *("prompt_cache_key", "prompt_cache_retention"),
        )
    ),
    ("openai-responses", "openai-chat"): frozenset(
        ("service_tier", "verbosity", "prompt_cache_key", "prompt_cache_retention", "safety_identifier")
    ),
}
"""Client's and provider's protocol -> fields that both have; Chat Completions takes metadata only of stored answers."""

ALWAYS_SHOWS_THINKING = ("anthropic", "ollama")
"""Protocols that return thinking without being asked to show it."""

THINKING_DEFAULTS: dict[Any, Any] = {True: "auto", -1: "auto", False: "none"}
"""Equivalent reasoning settings: `auto` for automatic, `none` for disabled."""


def _takes_no_schema(upstream: ClientProtocol, received: ParsedRequest) -> bool:
    """Returns whether the provider's model takes no schema for the answer in this request.

    Structured outputs begin with Claude 4: https://platform.claude.com/docs/en/build-with-claude/structured-outputs;
    before Gemini 3 they do not go with functions: https://github.com/googleapis/python-genai/issues/867
    """
    model = received.model or ""
    if upstream.name == "anthropic":
        return model.startswith(("claude-2", "claude-3"))
    return upstream.name == "gemini" and bool(received.tools) and model.startswith(("gemini-1", "gemini-2"))


def takes_no_stops(upstream: ClientProtocol, model: str) -> bool:
    """Returns whether the provider takes no stop sequences: Responses has no such field, some models refuse it."""
    if upstream.name != "openai-chat":
        return upstream.name == "openai-responses"
    family = family_of(model)
    return family is not None and not family.stop


def request_differences(
    sent: ParsedRequest,
    client: ClientProtocol,
    received: ParsedRequest,
    upstream: ClientProtocol,
    provider: str | None = None,
) -> list[Difference]:
    """Returns the differences between the client's request and the provider's, each parsed by its protocol's parser.

    With `provider` signatures are checked by their origin; without it they are only counted.
    """
    found: list[Difference] = []

    def differ(feature: str, path: str, one: Any, other: Any) -> None:
        if one != other:
            found.append(Difference(feature, path, one, other))

    # the tools of a provider's own that the client runs, and the functions in their place
    found_functions = {id(value): client_function(value, received.tools) for value in sent.extra.values()}
    stand_ins = {key: tool for key, tool in found_functions.items() if tool is not None}
    if stand_ins and client.name != upstream.name:
        kept = tuple(tool for tool in received.tools if all(tool is not other for other in stand_ins.values()))
        received = replace(received, tools=kept)
    names = match_tools(sent, received)
    for error in needless_renames(names, sent.tools, upstream):
        found.append(Difference(WRONG, "tools", error, None))
    sent = rename_for_upstream(sent, names)
    ids, order = client.call_ids and upstream.call_ids, client.keeps_order and upstream.keeps_order
    comparable = without_format_hint(sent, received)
    if comparable is not received and received.format is not None:
        found.append(Difference("json_object", "system", sent.system, received.system))
    found += turn_differences(sent, comparable, upstream, ids=ids, order=order)
    found += _signature_differences(sent, client, received, upstream, provider)
    differ(WRONG, "stream", sent.stream, received.stream)
    if sent.tool_choice == "none" and not received.tools:
        pass  # a request without tools is how a protocol without tool choice expresses `none`
    else:
        # a choice among tools that include hosted ones stays an extra field: elsewhere only the named tools are sent
        has_subset = any(EXTRA_FIELD_FEATURES.get(_field_name(path)) == "allowed_tools" for path in sent.extra)
        tools = tool_differences(sent, received)
        found += [Difference("allowed_tools", d.path, d.sent, d.received) for d in tools] if has_subset else tools
        if not has_subset:
            found += choice_differences(sent, received)
    differ("parallel_tool_calls", "parallel", sent.parallel is not False, received.parallel is not False)
    for name in dict.fromkeys((*sent.sampling, *received.sampling)):
        feature = "penalties" if name.endswith("_penalty") else name
        default = SAMPLING_DEFAULTS.get(name, 1 if name == "temperature" and upstream.name in WARM else None)
        differ(feature, f"sampling.{name}", sent.sampling.get(name, default), received.sampling.get(name, default))
    if sent.max_tokens is not None or not requires_max_tokens(upstream):
        is_raised = sent.max_tokens is not None and (received.max_tokens or 0) > sent.max_tokens
        differ("max_tokens" if is_raised else WRONG, "max_tokens", sent.max_tokens, received.max_tokens)
    # at the sequences that the provider is not told the proxy cuts the answer
    untold = not received.stop and takes_no_stops(upstream, received.model or "")
    is_cut = client.name != upstream.name or (untold and upstream.name == "openai-chat")
    takes = 0 if untold else max(STOP_LIMITS.get(upstream.name, len(sent.stop)), len(received.stop))
    told = sent.stop[:takes] if is_cut else sent.stop
    # Anthropic takes no blank ones
    is_chosen = upstream.name == "anthropic" and received.stop == tuple(stop for stop in sent.stop if stop.strip())
    differ("stop" if is_chosen else WRONG, "stop", told, received.stop)
    reasoning = (
        THINKING_DEFAULTS.get(sent.reasoning, sent.reasoning),
        THINKING_DEFAULTS.get(received.reasoning, received.reasoning),
    )
    # `auto` equals any enabled thinking, and in most protocols an absent setting
    off = ("none", None) if upstream.name in THINKS_ONLY_ON_REQUEST else ("none",)
    if reasoning[0] != "auto" or reasoning[1] in off:
        differ("reasoning", "reasoning", *reasoning)
    if sent.show_reasoning and not received.show_reasoning and upstream.name not in ALWAYS_SHOWS_THINKING:
        found.append(Difference("reasoning", "reasoning.shown", sent.show_reasoning, received.show_reasoning))
    differ("logprobs", "logprobs", sent.logprobs, received.logprobs)
    differ(WRONG if upstream.name in NAMES_USERS else "user", "user", sent.user, received.user)
    if sent.format is not None and received.format is None:
        is_asked_in_text = comparable is not received
        schema = sent.format.schema
        is_excused = schema is None or refers_to_itself(schema) or _takes_no_schema(upstream, received)
        if not (is_asked_in_text and is_excused):
            found.append(Difference(WRONG, "format", sent.format, None))
    found += format_differences(sent.format, received.format)
    if sent.format is not None and received.format is not None and upstream.name in NAMES_FORMATS:
        # in the other protocols a format has neither a `strict` flag nor a name
        named = client.name in NAMES_FORMATS
        differ(WRONG, "format.strict", named and bool(sent.format.strict), bool(received.format.strict))
        differ(WRONG, "format.name", sent.format.name if named else received.format.name, received.format.name)
    same = client.name == upstream.name
    fields = {_field_name(path): value for path, value in received.extra.items()}
    tools_received = hosted_tools(received.extra)
    names_sent, names_received = (Counter(map(_field_name, side.extra)) for side in (sent, received))
    for path, value in sent.extra.items():
        hosted = EXTRA_FIELD_FEATURES.get(_field_name(path)) == "hosted_tools"  # identified by the key alone
        if (value in ("", [], {}) and not hosted) or value in DEFAULT_VALUES.get(_field_name(path), ()):
            continue
        # between two protocols, fields of the same or equivalent name are the same
        name, other = _field_name(path), OTHER_NAMES.get(_field_name(path))
        alike = other in fields or (name in fields and (hosted or fields[name] == value or isinstance(value, dict)))
        if name == "namespace":  # what a group of tools is for may be told in the description of a tool
            alike = alike or any(str(value) in (tool.description or "") for tool in received.tools)
        kind = None if same else hosted_kind(path, value)
        if kind is not None and name == "tool_choice":
            alike = (
                isinstance(received.tool_choice, NamedTool)
                and hosted_kind("", {"type": received.tool_choice.name}) == kind
            )
        elif kind is not None and kind in tools_received:
            # each setting that the provider is not told is a loss of its own
            for setting, own_name in settings_of(value).items():
                if setting not in tools_received[kind]:
                    feature = "cache_control" if own_name == "cache_control" else "hosted_tools"
                    found.append(Difference(feature, f"{path}.{own_name}", value, None))
            continue
        elif kind is not None:
            alike = False
        elif not same and id(value) in stand_ins:
            alike = True
        if name in COUNTED and names_received[name] < names_sent[name]:
            alike = False
        if not (received.extra.get(path) == value if same else alike):
            shared = SHARED_FIELDS.get((client.name, upstream.name), frozenset())
            feature = WRONG if name in shared else EXTRA_FIELD_FEATURES.get(name, "unknown_field")
            if feature == "citations" and upstream.name in CITES_IN_HISTORY:
                feature = WRONG
            found.append(Difference(feature, path, value, None))
    return found


def _signature_differences(
    sent: ParsedRequest, client: ClientProtocol, received: ParsedRequest, upstream: ClientProtocol, provider: str | None
) -> list[Difference]:
    """Compares the signatures of both histories; see `request_differences` for `provider`."""
    one, other = ([turn.blocks for turn in side.turns] for side in (sent, received))
    given = [
        [b.signature for blocks in side for b in of_kind(blocks, Thinking, ToolCall) if b.signature]
        for side in (one, other)
    ]
    if provider is None:
        same = len(given[0]) == len(given[1])
        return [] if same else [Difference("signature", "signatures", *given)]
    errors, foreign = request_signature_errors(
        signatures_of_turns(one, before_calls=is_carried_before_calls(client, upstream)),
        signatures_of_turns(other),
        provider,
        same_protocol=client.name == upstream.name,
    )
    found = [Difference(WRONG, "signatures", error, None) for error in errors]
    placeholders = [
        signature for signature in given[1] if signature in PLACEHOLDER_SIGNATURES and signature not in given[0]
    ]
    if foreign or placeholders:
        found.append(Difference("signature", "signatures", foreign, placeholders))
    return found


def requires_max_tokens(upstream: ClientProtocol) -> bool:
    """Returns True if the protocol requires `max_tokens`, so that a proxy must add it if the client sets none."""
    return upstream.name == "anthropic"


def _field_name(path: str) -> str:
    """Returns the last name of a JSON path."""
    return path.rpartition(".")[2].partition("[")[0]


def added_fields(sent: ParsedRequest, received: ParsedRequest, *, same: bool) -> dict[str, Any]:
    """Returns the protocol-specific fields, by path, that the provider received and the client never sent."""
    if same:
        return {path: value for path, value in received.extra.items() if sent.extra.get(path) != value}
    sent_fields = [(_field_name(path), value) for path, value in sent.extra.items()]
    names = {OTHER_NAMES.get(_field_name(path)) for path in sent.extra}
    kinds = hosted_tools(sent.extra)
    return {
        path: value
        for path, value in received.extra.items()
        if (_field_name(path), value) not in sent_fields
        and _field_name(path) not in names
        # a tool of the provider's own under its name there, and that its results are to be returned
        and not (hosted_kind(path, value) in kinds or (kinds and _field_name(path) in RETURNS_RESULTS))
    }
