"""Tables of OpenAI Responses: events, item types, error codes, fields and bounds."""

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
"""Neutral stop reason -> `incomplete_details.reason`; None is a response with status `completed`."""

LOGPROBS_FIELD = "message.output_text.logprobs"
"""The value of `include` that requests log probabilities."""

SIGNATURE_FIELD = "reasoning.encrypted_content"
"""Value of `include` that requests signatures of reasoning.

"Includes an encrypted version of reasoning tokens in reasoning item outputs."
https://platform.openai.com/docs/api-reference/responses/create
"""


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

The service sends the pair for `overloaded` inside a stream too: https://github.com/openai/codex/issues/43337
"""

FAILURE_CODES: dict[str, str] = {"bad_request": "invalid_prompt", "rate_limit": "rate_limit_exceeded"}
"""Kind -> `response.error.code`, if it is not the code of the `error` event or `server_error`.

https://platform.openai.com/docs/api-reference/responses/object
"""

# ---- the request -----------------------------------------------------------------------------------------------------

FIELDS: frozenset[str] = frozenset(
    {
        *("input", "model", "instructions", "previous_response_id", "conversation", "prompt", "context_management"),
        *("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls", "include", "reasoning", "text"),
        *("temperature", "top_p", "top_logprobs", "presence_penalty", "frequency_penalty", "max_output_tokens"),
        *("stream", "stream_options", "background", "store", "truncation", "service_tier", "metadata", "moderation"),
        "client_metadata",  # codex sends it: https://github.com/openai/codex/blob/main/codex-rs/core/src/client.rs
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "user"),
        *("access_programs", "image"),
    }
)
"""Every field of a request body. https://platform.openai.com/docs/api-reference/responses/create"""

RENAMED_FIELDS: dict[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
"""Field of Chat Completions -> its path in this API; the service's error messages name it.

https://platform.openai.com/docs/guides/migrate-to-responses
"""

UNSUPPORTED_FIELDS: tuple[str, ...] = ("presence_penalty", "frequency_penalty")
"""Fields that the service accepts and the models refuse; the reference does not list them."""

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
"""Field, its types and their name in error messages, in the order of the service's checks."""

RANGES: tuple[tuple[str, float, float | None, str], ...] = (
    ("temperature", 0, 2, "decimal"),
    ("top_p", 0, 1, "decimal"),
    ("max_output_tokens", 16, None, "integer"),
    ("max_tool_calls", 1, None, "integer"),
    ("top_logprobs", 0, 20, "integer"),
)
"""Field, lowest and highest value. "Expected a value >= 16" for `max_output_tokens` is the service's message.

https://platform.openai.com/docs/api-reference/responses/create
"""

ENUMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reasoning.effort", ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    ("reasoning.summary", ("auto", "concise", "detailed")),
    ("text.verbosity", ("low", "medium", "high")),
    ("truncation", ("auto", "disabled")),
    ("service_tier", ("auto", "default", "fast", "flex", "priority")),
    ("prompt_cache_retention", ("in_memory", "24h")),
)
"""Path of a field -> its values. https://platform.openai.com/docs/api-reference/responses/create"""

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
"""Values of `include`. https://platform.openai.com/docs/api-reference/responses/create"""

NESTED_FIELDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("text", frozenset({"format", "verbosity"})),
    ("reasoning", frozenset({"effort", "summary", "generate_summary", "context", "mode"})),
    ("stream_options", frozenset({"include_obfuscation"})),
)
"""Object of the body -> its fields. https://platform.openai.com/docs/api-reference/responses/create"""

HARMLESS: dict[str, tuple[object, ...]] = {
    "store": (False,),
    "background": (False,),
    "truncation": ("disabled",),
    "service_tier": ("auto",),
    "top_logprobs": (0,),
}
"""Field -> values that equal its default, or disable storage."""

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
"""Type of an input item -> (required fields, optional fields).

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

HOSTED_ITEMS: tuple[str, ...] = (
    *("apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "compaction_trigger"),
    *("computer_call", "computer_call_output", "configuration_update", "file_search_call", "image_generation_call"),
    *("local_shell_call", "local_shell_call_output", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
    *("mcp_list_tools", "program", "program_output", "shell_call", "shell_call_output", "tool_search_call"),
    *("tool_search_output", "web_search_call"),
)
"""Types of input items whose contents are not validated."""

PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "input_text": (("text",), ("type", "prompt_cache_breakpoint")),
    "input_image": ((), ("type", "image_url", "file_id", "detail", "prompt_cache_breakpoint")),
    "input_file": ((), ("type", "file_data", "file_id", "file_url", "filename", "detail", "prompt_cache_breakpoint")),
    "output_text": (("text",), ("type", "annotations", "logprobs")),
    "refusal": (("refusal",), ("type",)),
    "computer_screenshot": ((), ("type", "image_url", "file_id", "detail")),
    "summary_text": (("text",), ("type",)),
}
"""Type of a content part -> (required fields, optional fields); the service lists exactly these.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

PARTS_BY_ROLE: dict[str, tuple[str, ...]] = {
    "user": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "system": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "developer": ("input_text", "input_image", "input_file", "computer_screenshot", "summary_text"),
    "assistant": ("output_text", "refusal"),
}
"""Role -> the types of parts in its messages."""

OUTPUT_PARTS: tuple[str, ...] = ("input_text", "input_image", "input_file")
"""Types of parts in the output of a function call.

https://platform.openai.com/docs/guides/function-calling
"""

ID_PREFIXES: dict[str, str] = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
"""Type of an item -> prefix of its id: "Expected an ID that begins with 'msg'."."""

TOOL_KEYS: frozenset[str] = frozenset(
    {
        *("type", "name", "description", "parameters", "strict", "output_schema", "defer_loading", "allowed_callers"),
        "async",
    }
)
"""Fields of a function tool. https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools"""

TOOL_TYPES: tuple[str, ...] = (
    *("function", "file_search", "computer", "computer_use_preview", "web_search", "web_search_2025_08_26", "mcp"),
    *("code_interpreter", "programmatic_tool_calling", "image_generation", "local_shell", "shell", "custom"),
    *("namespace", "tool_search", "web_search_preview", "web_search_preview_2025_03_11", "apply_patch"),
)
"""Types of tools. https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools"""

TOOL_NAME = r"[a-zA-Z0-9_-]+"
MAX_NAME = 128
MAX_CALL_ID = 64
"""`name` and `call_id` of the published schema: pattern "^[a-zA-Z0-9_-]+$", maxLength 128 and 64.

https://github.com/openai/openai-openapi
"""
