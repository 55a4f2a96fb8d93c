"""The words of OpenAI Responses: its events, item types, error codes, fields and bounds. It does nothing."""

from __future__ import annotations

NAME = "openai-responses"

PATH = "/responses"

COUNT_PATH = "/responses/input_tokens"
"""https://platform.openai.com/docs/api-reference/responses/input-tokens"""

STOPS: dict[str, str | None] = {
    "end": None,
    "tool": None,
    "stop_sequence": None,
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "pause": None,
}
"""Neutral stop -> `incomplete_details.reason`; None is a response with status `completed`."""

HEARD_STOPS: dict[str, str] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""`incomplete_details.reason` -> neutral stop; an unknown one is heard as `other`."""

BLURS: dict[str, str] = {"stop_sequence": "end"}
"""A request has no stop sequences, and a response no word for having met one.

https://platform.openai.com/docs/api-reference/responses/create
"""

SEALS = "reasoning.encrypted_content"
"""The word of `include` that asks for signatures on reasoning.

"Includes an encrypted version of reasoning tokens in reasoning item outputs."
https://platform.openai.com/docs/api-reference/responses/create
"""

LENIENT = "ignores_unknown"
"""The habit of compatible hosts that take any field."""

# ---- errors ----------------------------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[str, str | None]] = {
    "bad_request": ("invalid_request_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "permission": ("permission_error", None),
    "not_found": ("invalid_request_error", None),
    "too_large": ("invalid_request_error", "request_too_large"),
    "media_type": ("invalid_request_error", "unsupported_media_type"),
    "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
    "internal": ("server_error", "server_error"),
    "overloaded": ("service_unavailable_error", "server_is_overloaded"),
    "timeout": ("server_error", "timeout"),
}
"""Kind -> (`error.type`, `error.code`). https://platform.openai.com/docs/guides/error-codes/api-errors

The overloaded pair is what the service itself sends, even inside a stream: https://github.com/openai/codex/issues/43337
"""

FAILED: dict[str, str] = {"bad_request": "invalid_prompt", "rate_limit": "rate_limit_exceeded"}
"""Kind -> `response.error.code`, where it is not the code of the `error` event or `server_error`.

https://platform.openai.com/docs/api-reference/responses/object
"""

HEARD_ERRORS: dict[str, str] = {
    "invalid_api_key": "authentication",
    "model_not_found": "not_found",
    "request_too_large": "too_large",
    "unsupported_media_type": "media_type",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "overloaded": "overloaded",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "upstream_timeout": "timeout",
    "timeout": "timeout",
    "invalid_prompt": "bad_request",
    "context_length_exceeded": "bad_request",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "rate_limit_error": "rate_limit",
    "service_unavailable_error": "overloaded",
    "invalid_request_error": "bad_request",
    "server_error": "internal",
}
"""`code`, else `type` of an error -> kind, where the HTTP status says nothing (an error inside a stream)."""

# ---- the request -----------------------------------------------------------------------------------------------------

FIELDS: frozenset[str] = frozenset(
    {
        *("input", "model", "instructions", "previous_response_id", "conversation", "prompt", "context_management"),
        *("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls", "include", "reasoning", "text"),
        *("temperature", "top_p", "top_logprobs", "presence_penalty", "frequency_penalty", "max_output_tokens"),
        *("stream", "stream_options", "background", "store", "truncation", "service_tier", "metadata", "moderation"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "user"),
        *("access_programs", "image"),
    }
)
"""Every field of a request body. https://platform.openai.com/docs/api-reference/responses/create"""

MOVED: dict[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
"""Fields of Chat Completions -> where they are here; the service says so.

https://platform.openai.com/docs/guides/migrate-to-responses
"""

UNSUPPORTED: tuple[str, ...] = ("presence_penalty", "frequency_penalty")
"""Fields that the service knows and the models of this API refuse; the reference does not list them."""

TYPES: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("tools", (list,), "an array of objects"),
    ("include", (list,), "an array"),
    ("metadata", (dict,), "an object"),
    ("text", (dict,), "an object"),
    ("temperature", (int, float), "a decimal"),
    ("top_p", (int, float), "a decimal"),
    ("parallel_tool_calls", (bool,), "a boolean"),
    ("stream", (bool,), "a boolean"),
    ("stream_options", (dict,), "an object"),
    ("background", (bool,), "a boolean"),
    ("max_output_tokens", (int,), "an integer"),
    ("max_tool_calls", (int,), "an integer"),
    ("reasoning", (dict,), "an object"),
    ("user", (str,), "a string"),
    ("safety_identifier", (str,), "a string"),
    ("prompt_cache_key", (str,), "a string"),
    ("instructions", (str,), "a string"),
    ("store", (bool,), "a boolean"),
    ("top_logprobs", (int,), "an integer"),
)
"""Field, its types and their word, in the order in which the service complains."""

RANGES: tuple[tuple[str, float, float | None, str], ...] = (
    ("temperature", 0, 2, "decimal"),
    ("top_p", 0, 1, "decimal"),
    ("max_output_tokens", 16, None, "integer"),
    ("max_tool_calls", 1, None, "integer"),
    ("top_logprobs", 0, 20, "integer"),
)
"""Field, lowest and highest value. "Expected a value >= 16" for `max_output_tokens` is the service's own word.

https://platform.openai.com/docs/api-reference/responses/create
"""

CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reasoning.effort", ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    ("reasoning.summary", ("auto", "concise", "detailed")),
    ("text.verbosity", ("low", "medium", "high")),
    ("truncation", ("auto", "disabled")),
    ("service_tier", ("auto", "default", "fast", "flex", "priority")),
    ("prompt_cache_retention", ("in_memory", "24h")),
)
"""Path of a field -> its words. https://platform.openai.com/docs/api-reference/responses/create"""

INCLUDABLE: tuple[str, ...] = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
"""The words of `include`. https://platform.openai.com/docs/api-reference/responses/create"""

NESTED: tuple[tuple[str, frozenset[str]], ...] = (
    ("text", frozenset({"format", "verbosity"})),
    ("reasoning", frozenset({"effort", "summary", "generate_summary", "context", "mode"})),
    ("stream_options", frozenset({"include_obfuscation"})),
)
"""Objects of the body -> the keys they may have. https://platform.openai.com/docs/api-reference/responses/create"""

HARMLESS: dict[str, tuple[object, ...]] = {
    "store": (False,),
    "background": (False,),
    "truncation": ("disabled",),
    "service_tier": ("auto",),
    "top_logprobs": (0,),
}
"""Fields whose value asks only for the default, or for no memory."""

ITEMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "message": (("role", "content"), ("type", "id", "status", "phase")),
    "function_call": (("call_id", "name", "arguments"), ("type", "id", "status", "namespace", "caller")),
    "function_call_output": (
        ("call_id", "output"),
        ("type", "id", "status", "name", "namespace", "caller"),
    ),
    "reasoning": (("summary",), ("type", "id", "content", "encrypted_content", "status")),
    "custom_tool_call": (("call_id", "name", "input"), ("type", "id", "status", "namespace", "caller")),
    "custom_tool_call_output": (("call_id", "output"), ("type", "id", "status", "name", "namespace", "caller")),
    "item_reference": (("id",), ("type",)),
    "additional_tools": (("role", "tools"), ("type", "id")),
}
"""Type of an input item -> (the keys that it needs, the keys that it may have).

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

HOSTED_ITEMS: tuple[str, ...] = (
    *("apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "compaction_trigger"),
    *("computer_call", "computer_call_output", "configuration_update", "file_search_call", "image_generation_call"),
    *("local_shell_call", "local_shell_call_output", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
    *("mcp_list_tools", "program", "program_output", "shell_call", "shell_call_output", "tool_search_call"),
    *("tool_search_output", "web_search_call"),
)
"""Types of input items whose inside is not judged here."""

PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "input_text": (("text",), ("type", "prompt_cache_breakpoint")),
    "input_image": ((), ("type", "image_url", "file_id", "detail", "prompt_cache_breakpoint")),
    "input_file": ((), ("type", "file_data", "file_id", "file_url", "filename", "detail", "prompt_cache_breakpoint")),
    "output_text": (("text",), ("type", "annotations", "logprobs")),
    "refusal": (("refusal",), ("type",)),
    "computer_screenshot": ((), ("type", "image_url", "file_id", "detail")),
    "summary_text": (("text",), ("type",)),
}
"""Type of a content part -> (the keys that it needs, the keys that it may have); the service lists just these.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

SAID_BY: dict[str, tuple[str, ...]] = {
    "user": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "system": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "developer": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "assistant": ("output_text", "refusal"),
}
"""Role -> the parts that its messages may hold."""

OUTPUT_PARTS: tuple[str, ...] = ("input_text", "input_image", "input_file")
"""The parts that a function call's output may hold.

https://platform.openai.com/docs/guides/function-calling
"""

ID_PREFIXES: dict[str, str] = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
"""Type of an item -> how its id begins: "Expected an ID that begins with 'msg'."."""

TOOL_KEYS: frozenset[str] = frozenset(
    {
        *("type", "name", "description", "parameters", "strict", "output_schema", "defer_loading", "allowed_callers"),
        "async",
    }
)
"""The keys of a function tool. https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools"""

TOOL_TYPES: tuple[str, ...] = (
    *("function", "file_search", "computer", "computer_use_preview", "web_search", "web_search_2025_08_26", "mcp"),
    *("code_interpreter", "programmatic_tool_calling", "image_generation", "local_shell", "shell", "custom"),
    *("namespace", "tool_search", "web_search_preview", "web_search_preview_2025_03_11", "apply_patch"),
)
"""https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools"""

TOOL_NAME = r"[a-zA-Z0-9_-]+"
MAX_NAME = 128
MAX_CALL_ID = 64
"""`name` and `call_id` of the published schema: pattern "^[a-zA-Z0-9_-]+$", maxLength 128 and 64.

https://github.com/openai/openai-openapi
"""

# ---- the answer ------------------------------------------------------------------------------------------------------

TERMINAL: dict[str, str] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
"""The event that ends a stream -> the status of the response in it.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

REQUIRED: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "object": (str,),
    "created_at": (int, float),
    "status": (str,),
    "error": (dict, type(None)),
    "incomplete_details": (dict, type(None)),
    "instructions": (str, list, type(None)),
    "max_output_tokens": (int, type(None)),
    "metadata": (dict, type(None)),
    "model": (str,),
    "output": (list,),
    "parallel_tool_calls": (bool,),
    "previous_response_id": (str, type(None)),
    "reasoning": (dict, type(None)),
    "store": (bool,),
    "temperature": (int, float, type(None)),
    "text": (dict,),
    "tool_choice": (str, dict),
    "tools": (list,),
    "top_p": (int, float, type(None)),
    "truncation": (str, type(None)),
    "usage": (dict, type(None)),
}
"""Key of a response -> its types; null is not absent.

https://platform.openai.com/docs/api-reference/responses/object and https://www.openresponses.org/specification
"""

OF_ITEM: dict[str, type] = {"item_id": str, "output_index": int}
OF_PART = OF_ITEM | {"content_index": int}
OF_SUMMARY = OF_ITEM | {"summary_index": int}
"""The keys by which an event says what it belongs to."""

EVENTS: dict[str, dict[str, type]] = {
    "response.created": {"response": dict},
    "response.queued": {"response": dict},
    "response.in_progress": {"response": dict},
    "response.completed": {"response": dict},
    "response.incomplete": {"response": dict},
    "response.failed": {"response": dict},
    "response.output_item.added": {"output_index": int, "item": dict},
    "response.output_item.done": {"output_index": int, "item": dict},
    "response.content_part.added": OF_PART | {"part": dict},
    "response.content_part.done": OF_PART | {"part": dict},
    "response.output_text.delta": OF_PART | {"delta": str, "logprobs": list},
    "response.output_text.done": OF_PART | {"text": str, "logprobs": list},
    "response.output_text.annotation.added": OF_PART | {"annotation_index": int, "annotation": dict},
    "response.refusal.delta": OF_PART | {"delta": str},
    "response.refusal.done": OF_PART | {"refusal": str},
    "response.reasoning_text.delta": OF_PART | {"delta": str},
    "response.reasoning_text.done": OF_PART | {"text": str},
    "response.reasoning_summary_part.added": OF_SUMMARY | {"part": dict},
    "response.reasoning_summary_part.done": OF_SUMMARY | {"part": dict},
    "response.reasoning_summary_text.delta": OF_SUMMARY | {"delta": str},
    "response.reasoning_summary_text.done": OF_SUMMARY | {"text": str},
    "response.function_call_arguments.delta": OF_ITEM | {"delta": str},
    "response.function_call_arguments.done": OF_ITEM | {"arguments": str},
    "response.custom_tool_call_input.delta": OF_ITEM | {"delta": str},
    "response.custom_tool_call_input.done": OF_ITEM | {"input": str},
}
"""Type of an event -> its keys besides `type` and `sequence_number`.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

HOSTED_EVENTS: tuple[str, ...] = (
    *("response.web_search_call.", "response.file_search_call.", "response.code_interpreter_call"),
    *("response.image_generation_call.", "response.mcp_", "response.shell_call_", "response.apply_patch_call_"),
    *("response.audio.", "response.compaction."),
)
"""How the types of events of hosted tools begin; their inside is not judged here."""

OUTPUT_ITEMS: dict[str, dict[str, type]] = {
    "message": {"id": str, "role": str, "status": str, "content": list},
    "function_call": {"id": str, "call_id": str, "name": str, "arguments": str, "status": str},
    "custom_tool_call": {"id": str, "call_id": str, "name": str, "input": str},
    "reasoning": {"id": str, "summary": list},
}
"""Type of an output item -> the keys that it needs. https://platform.openai.com/docs/api-reference/responses/object"""

OUTPUT_PART_KEYS: dict[str, dict[str, type]] = {
    "output_text": {"text": str, "annotations": list},
    "refusal": {"refusal": str},
    "reasoning_text": {"text": str},
    "summary_text": {"text": str},
}
"""Type of a part of an output item -> the keys that it needs."""

PART_TEXT: dict[str, str] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "summary_text": "text",
}
"""Type of a part -> the key of its text."""
