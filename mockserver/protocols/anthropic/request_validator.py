"""Validates Messages requests as Anthropic does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...scenarios.provider import Provider
from ..protocol import MalformedRequest
from ..reply_context import Failure, is_foreign_signature, sent_key
from .request_parser import parse_request
from .tables import (
    ADAPTIVE_MODELS,
    CALL_ID,
    COUNT_PATH,
    ERRORS,
    FIELDS,
    IMAGE_TYPES,
    MAX_CACHE_BREAKPOINTS,
    MIN_BUDGET,
    NESTED,
    REDACTED_SUFFIX,
    SYSTEM_MESSAGE_MODELS,
    TOOL_NAME,
    UNSUPPORTED_KEYWORDS,
)


def validate_request(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """Returns the error of the first rule that the request breaks, or None."""
    lower = {name.lower(): value for name, value in headers.items()}
    given = sent_key(headers, provider.auth)
    if given is None:
        return _failure("authentication", f"{provider.auth.header} header is required")
    if given != provider.auth.key:
        return _failure("authentication", "invalid x-api-key")
    # "When making API requests, you must send an anthropic-version request header."
    # https://platform.claude.com/docs/en/api/versioning
    if "anthropic-version" not in lower:
        return _failure("bad_request", "anthropic-version: header is required")
    if path.partition("?")[0].endswith("/models"):
        return None
    if not isinstance(body, dict):
        return _failure("bad_request", "The request body is not valid JSON: an object was expected")
    counting = path.partition("?")[0].endswith(COUNT_PATH)
    for rule in RULES:
        for failure in rule(body | ({"max_tokens": 1} if counting else {}), provider):
            return failure
    return None


def _failure(kind: str, message: str) -> Failure:
    return Failure(ERRORS[kind][0], kind, message)


def _invalid_request(message: str) -> Failure:
    return _failure("bad_request", message)


def _dotted_path(path: str) -> str:
    """Converts a path to the form of this provider's messages: `$.messages[0].role` -> `messages.0.role`."""
    return re.sub(r"\[(\d+)\]", r".\1", path.removeprefix("$."))


# ---- the rules, in the order in which the service checks them --------------------------------------------------------

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]


def _check_fields(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for key in ("max_tokens", "messages", "model"):
        if body.get(key) is None:
            yield _invalid_request(f"{key}: Field required")
    for key, value in body.items():
        if key not in FIELDS:
            yield _invalid_request(f"{key}: Extra inputs are not permitted")
        # Every documented field is optional, but only these are nullable.
        if value is None and key not in ("cache_control", "container", "inference_geo", "speed", "diagnostics"):
            yield _invalid_request(f"{key}: Input should be a valid value, not null")
    if provider.models and body["model"] not in provider.upstream_models:
        yield _failure("not_found", f"model: {body['model']}")
    try:
        parsed = parse_request("", {}, body)
    except MalformedRequest as problem:
        reason = "Field required" if problem.reason == "is missing" else problem.reason
        yield _invalid_request(f"{_dotted_path(problem.path)}: {reason}")
        return
    for path in parsed.extra:
        parent, _, key = _dotted_path(path).rpartition(".")
        known = (names for pattern, names in NESTED.items() if re.fullmatch(pattern, parent))
        blocks = key.isdecimal() or parent == "" or parent == "metadata"
        if not blocks and not any(key in names for names in known):
            yield _invalid_request(f"{parent}.{key}: Extra inputs are not permitted")


def _check_ranges(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "temperature … Ranges from 0.0 to 1.0." https://platform.claude.com/docs/en/api/messages/create
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is not None and not 0 <= value <= 1:
            yield _invalid_request(f"{name}: range: 0..1")
    if body["max_tokens"] < 1:
        yield _invalid_request("max_tokens: Input should be greater than or equal to 1")
    # "use only temperature OR top_p, not both" for Claude Opus 4.1 and later models.
    # https://platform.claude.com/docs/en/about-claude/models/migration-guide
    if "temperature" in body and "top_p" in body and re.search(r"-4-[1-9](?!\d)", body["model"]):
        yield _invalid_request(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    for at, stop in enumerate(body.get("stop_sequences") or []):
        if not stop.strip():
            yield _invalid_request(f"stop_sequences.{at}: each stop sequence must contain non-whitespace")
    thinking = body.get("thinking") or {}
    if ADAPTIVE_MODELS.search(body["model"]):
        # https://github.com/earendil-works/pi/issues/3297
        if thinking.get("type") == "enabled":
            yield _invalid_request(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        # "Setting temperature, top_p, or top_k to a non-default value returns a 400 error"
        # https://platform.claude.com/docs/en/about-claude/models/migration-guide
        for name in ("temperature", "top_p", "top_k"):
            if body.get(name) is not None:
                yield _invalid_request(f"`{name}` is deprecated for this model.")
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int):
            yield _invalid_request("thinking.enabled.budget_tokens: Field required")
        elif budget < MIN_BUDGET:
            yield _invalid_request(
                f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}"
            )
        elif budget >= body["max_tokens"]:
            yield _invalid_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
    # "Thinking isn't compatible with temperature or top_k modifications as well as forced tool use."
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    if thinking.get("type") in ("enabled", "adaptive"):
        if body.get("temperature") not in (None, 1):
            yield _invalid_request("`temperature` may only be set to 1 when thinking is enabled.")
        if body.get("top_k") is not None:
            yield _invalid_request("`top_k` must be unset when thinking is enabled.")
        # "When thinking is enabled, you can set top_p to values between 1 and 0.95." (same page)
        if (body.get("top_p") or 1) < 0.95:
            yield _invalid_request("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            yield _invalid_request("Thinking may not be enabled when tool_choice forces tool use.")


def _check_response_format(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    form = (body.get("output_config") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        # "Not supported: Recursive schemas"
        # https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
        if _is_recursive(form.get("schema"), form.get("schema"), ()):
            yield _invalid_request("output_config.format.schema: Recursive schemas are not supported")
        for error in _schema_errors(form.get("schema")):
            # https://github.com/agentjido/req_llm/issues/302
            yield _invalid_request(f"output_config.format.schema: {error}")


def _is_recursive(node: Any, root: Any, within: tuple[str, ...]) -> bool:
    """Returns whether a reference below a node leads to a definition that contains it; `within` are those followed."""
    if isinstance(node, list):
        return any(_is_recursive(inner, root, within) for inner in node)
    if not isinstance(node, dict):
        return False
    ref = node.get("$ref")
    if ref in (*within, "#"):
        return True
    if isinstance(ref, str):
        key, _, name = ref.removeprefix("#/").partition("/")
        target = (root.get(key) or {}).get(name)
        return _is_recursive(target, root, (*within, ref))
    inner = [value for key, value in node.items() if not (node is root and key in ("$defs", "definitions"))]
    return _is_recursive(inner, root, within)


def _schema_errors(schema: Any) -> Iterator[str]:
    """Yields the unsupported keywords of the schema of a response format, at any depth."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _schema_errors(inner)
    if not isinstance(schema, dict):
        return
    given = schema.get("type")
    for kind in given if isinstance(given, list) else [given]:
        for key in sorted(schema.keys() & UNSUPPORTED_KEYWORDS.get(str(kind), frozenset())):
            yield f"For '{kind}' type, property '{key}' is not supported"
        if kind == "array" and schema.get("minItems", 0) not in (0, 1):
            yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if kind == "object" and schema.get("additionalProperties") is not False:
            yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions"):
            yield from _schema_errors(list(value.values()))
        elif key in ("items", "anyOf", "allOf", "prefixItems"):
            yield from _schema_errors(value)


def _check_tools(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    names = []
    for at, tool in enumerate(body.get("tools") or []):
        names.append(tool.get("name"))
        if tool.get("type") not in (None, "custom"):
            continue
        where = f"tools.{at}.custom"
        if not re.fullmatch(TOOL_NAME, tool["name"]):
            yield _invalid_request(f"{where}.name: String should match pattern '{TOOL_NAME}'")
        if tool.get("input_schema") is None:
            yield _invalid_request(f"{where}.input_schema: Field required")
        elif "type" not in tool["input_schema"]:
            yield _invalid_request(f"{where}.input_schema.type: Field required")
        elif tool["input_schema"]["type"] != "object":
            yield _invalid_request(f"{where}.input_schema.type: Input should be 'object'")
    if len(set(names)) != len(names):
        yield _invalid_request("tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not names:
        yield _invalid_request("tool_choice: may only be specified while providing tools.")
    # https://platform.claude.com/docs/en/api/messages/create (ToolChoiceNone has `type` alone)
    if choice.get("type") == "none" and "disable_parallel_tool_use" in choice:
        yield _invalid_request("tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted")
    if choice.get("type") == "tool" and choice.get("name") not in names:
        yield _invalid_request(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_messages(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    messages = body["messages"]
    if not messages:
        yield _invalid_request("messages: at least one message is required")
    if isinstance(body.get("system"), list):
        yield from _check_texts(body["system"], "system")
    breakpoints = _count_cache_breakpoints([body.get("system"), body.get("tools"), messages])
    if breakpoints > MAX_CACHE_BREAKPOINTS:
        # https://github.com/continuedev/continue/pull/6937
        yield _invalid_request(
            f"A maximum of {MAX_CACHE_BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}."
        )
    for at, message in enumerate(messages):
        content = message.get("content")
        if message["role"] == "system" and not SYSTEM_MESSAGE_MODELS.search(body["model"]):
            # https://github.com/ianarawjo/ChainForge/issues/271; newer models take one, after a user's turn:
            # https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
            yield _invalid_request(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        final = at == len(messages) - 1 and message["role"] == "assistant"
        if content is None:
            yield _invalid_request(f"messages.{at}.content: Field required")
        if content in ("", []) and not final:
            yield _invalid_request(
                f"messages.{at}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        for n, block in enumerate(content if isinstance(content, list) else []):
            where = f"messages.{at}.content.{n}"
            kind = block["type"]
            if kind == "tool_use" and not re.fullmatch(CALL_ID, block["id"]):
                yield _invalid_request(f"{where}.tool_use.id: String should match pattern '{CALL_ID}'")
            if kind == "tool_use" and not re.fullmatch(TOOL_NAME, block["name"]):
                yield _invalid_request(f"{where}.tool_use.name: String should match pattern '{TOOL_NAME}'")
            if kind == "tool_use" and "input" not in block:
                yield _invalid_request(f"{where}.tool_use.input: Field required")
            if kind in ("tool_use", "thinking") and message["role"] != "assistant":
                yield _invalid_request(f"messages.{at}: `{kind}` blocks can only be in `assistant` messages")
            if kind == "tool_result" and message["role"] != "user":
                yield _invalid_request(f"messages.{at}: `tool_result` blocks can only be in `user` messages")
            source = block.get("source") or {}
            if kind == "image" and source.get("type") == "base64" and source.get("media_type") not in IMAGE_TYPES:
                wanted = ", ".join(f"'{mime}'" for mime in IMAGE_TYPES[:-1]) + f" or '{IMAGE_TYPES[-1]}'"
                yield _invalid_request(f"{where}.image.source.base64.media_type: Input should be {wanted}")
            if kind == "document" and source.get("type") == "base64" and source.get("media_type") != "application/pdf":
                # https://platform.claude.com/docs/en/build-with-claude/pdf-support
                yield _invalid_request(f"{where}.document.source.base64.media_type: Input should be 'application/pdf'")
            if kind == "tool_result" and isinstance(block.get("content"), list):
                yield from _check_texts(block["content"], f"{where}.tool_result.content")
            if kind == "thinking":
                signature = block.get("signature")
                if signature is None:
                    yield _invalid_request(f"{where}.thinking.signature: Field required")
                # "thinking blocks must be passed back unmodified"
                # https://platform.claude.com/docs/en/build-with-claude/extended-thinking
                elif is_foreign_signature(signature, provider) or signature.endswith(REDACTED_SUFFIX):
                    yield _invalid_request(f"{where}: Invalid `signature` in `thinking` block")
            data = str(block.get("data"))
            if kind == "redacted_thinking" and (
                is_foreign_signature(data, provider) or not data.endswith(REDACTED_SUFFIX)
            ):
                yield _invalid_request(f"{where}: Invalid `data` in `redacted_thinking` block")
        if isinstance(content, list):
            yield from _check_texts(content, "messages")
        if final and _last_text(content).rstrip() != _last_text(content):
            # https://github.com/anthropics/anthropic-sdk-python/issues/461
            yield _invalid_request("messages: final assistant content cannot end with trailing whitespace")


def _last_text(content: Any) -> str:
    if isinstance(content, list):
        content = content[-1].get("text") if content else ""
    return content if isinstance(content, str) else ""


def _count_cache_breakpoints(value: Any) -> int:
    """Counts the blocks with `cache_control` at any depth; the input of a call and a schema contain no blocks."""
    if isinstance(value, list):
        return sum(map(_count_cache_breakpoints, value))
    if not isinstance(value, dict):
        return 0
    inner = sum(
        _count_cache_breakpoints(held) for key, held in value.items() if key not in ("input", "input_schema", "source")
    )
    return inner + (value.get("cache_control") is not None)


def _check_texts(blocks: list[Any], where: str) -> Iterator[Failure]:
    for block in blocks:
        text = block.get("text") if block.get("type") == "text" else None
        if text == "":
            yield _invalid_request(f"{where}: text content blocks must be non-empty")
        elif text is not None and not text.strip():
            yield _invalid_request(f"{where}: text content blocks must contain non-whitespace text")


def _check_pairing(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "Each tool_use block must have a corresponding tool_result block in the next message."
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
    merged = list(_merge_turns(body["messages"]))
    called: list[str] = []
    called_at = 0
    ever: set[str] = set()
    for at, role, blocks in merged:
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        lead = [b["type"] for b in blocks[: len(results)]]
        missing = [id for id in called if id not in results]
        if missing or (called and set(lead) != {"tool_result"}):
            yield _missing_results(called_at, missing or called)
        for n, id in enumerate(results):
            if id not in called:
                yield _invalid_request(
                    f"messages.{at}.content.{n}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            if results.count(id) > 1:
                yield _invalid_request(
                    f"messages.{at}.content.{n}: each tool_use must have a single result. Found multiple "
                    f"`tool_result` blocks with id: {id}"
                )
        called = [b["id"] for b in blocks if b["type"] == "tool_use"] if role == "assistant" else []
        called_at = at
        for id in called:
            if id in ever:
                yield _invalid_request(f"messages.{at}: `tool_use` ids must be unique")
            ever.add(id)
    if called:
        yield _missing_results(called_at, called)


def _check_thinking_blocks(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "During tool use, you must pass thinking blocks back to the API, and include the complete unmodified block". The
    # error message: https://github.com/anomalyco/opencode/issues/3077
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    *_, (_, role, blocks) = turns = list(_merge_turns(body["messages"]))
    if role == "user" and not any(block["type"] == "tool_result" for block in blocks):
        return
    at, _, last_blocks = next((turn for turn in reversed(turns) if turn[1] == "assistant"), (0, "", []))
    if last_blocks and last_blocks[0]["type"] not in ("thinking", "redacted_thinking"):
        yield _invalid_request(
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{last_blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you "
            "include thinking blocks from previous turns. To avoid this requirement, disable `thinking`."
        )


def _missing_results(at: int, ids: list[str]) -> Failure:
    return _invalid_request(
        f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(ids)}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _merge_turns(messages: list[Any]) -> Iterator[tuple[int, str, list[Any]]]:
    """Yields the index, role and blocks of each turn.

    "Consecutive user or assistant turns in your request will be combined into a single turn."
    https://platform.claude.com/docs/en/api/messages/create
    """
    pending: tuple[int, str, list[Any]] | None = None
    for at, message in enumerate(messages):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if pending is not None and pending[1] == message["role"]:
            pending[2].extend(blocks)
            continue
        if pending is not None:
            yield pending
        pending = (at, message["role"], list(blocks))
    if pending is not None:
        yield pending


RULES: tuple[Rule, ...] = (
    *(_check_fields, _check_ranges, _check_response_format, _check_tools),
    *(_check_messages, _check_pairing, _check_thinking_blocks),
)
