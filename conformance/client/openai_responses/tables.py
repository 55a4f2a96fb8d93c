"""Tables of the Responses client: stop reasons, error kinds, and other names that only replies have."""

from __future__ import annotations

STOP_REASONS: dict[str, str] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""`incomplete_details.reason` -> neutral stop; an unknown one is parsed as `other`."""

MERGED_STOPS: dict[str, str] = {"stop_sequence": "end"}
"""The protocol has no stop sequences.

https://platform.openai.com/docs/api-reference/responses/create
"""

ERROR_KINDS: dict[str, str] = {
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
"""`code`, else `type` of an error -> kind, for errors inside a 200 response."""

TERMINAL: dict[str, str] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
"""Terminal event -> status of its response.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

RESPONSE_KEYS: dict[str, tuple[type, ...]] = {
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
"""Key of a response -> its types; all keys are required, null is a value.

https://platform.openai.com/docs/api-reference/responses/object and https://www.openresponses.org/specification
"""

ITEM_KEYS: dict[str, type] = {"item_id": str, "output_index": int}

PART_KEYS = ITEM_KEYS | {"content_index": int}

SUMMARY_KEYS = ITEM_KEYS | {"summary_index": int}
"""Keys that identify the item and the part of an event."""

EVENTS: dict[str, dict[str, type]] = {
    "response.created": {"response": dict},
    "response.queued": {"response": dict},
    "response.in_progress": {"response": dict},
    "response.completed": {"response": dict},
    "response.incomplete": {"response": dict},
    "response.failed": {"response": dict},
    "response.output_item.added": {"output_index": int, "item": dict},
    "response.output_item.done": {"output_index": int, "item": dict},
    "response.content_part.added": PART_KEYS | {"part": dict},
    "response.content_part.done": PART_KEYS | {"part": dict},
    "response.output_text.delta": PART_KEYS | {"delta": str, "logprobs": list},
    "response.output_text.done": PART_KEYS | {"text": str, "logprobs": list},
    "response.output_text.annotation.added": PART_KEYS | {"annotation_index": int, "annotation": dict},
    "response.refusal.delta": PART_KEYS | {"delta": str},
    "response.refusal.done": PART_KEYS | {"refusal": str},
    "response.reasoning_text.delta": PART_KEYS | {"delta": str},
    "response.reasoning_text.done": PART_KEYS | {"text": str},
    "response.reasoning_summary_part.added": SUMMARY_KEYS | {"part": dict},
    "response.reasoning_summary_part.done": SUMMARY_KEYS | {"part": dict},
    "response.reasoning_summary_text.delta": SUMMARY_KEYS | {"delta": str},
    "response.reasoning_summary_text.done": SUMMARY_KEYS | {"text": str},
    "response.function_call_arguments.delta": ITEM_KEYS | {"delta": str},
    "response.function_call_arguments.done": ITEM_KEYS | {"arguments": str},
    "response.custom_tool_call_input.delta": ITEM_KEYS | {"delta": str},
    "response.custom_tool_call_input.done": ITEM_KEYS | {"input": str},
}
"""Event type -> its keys besides `type` and `sequence_number`.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

HOSTED_EVENTS: tuple[str, ...] = (
    *("response.web_search_call.", "response.file_search_call.", "response.code_interpreter_call"),
    *("response.image_generation_call.", "response.mcp_", "response.shell_call_", "response.apply_patch_call_"),
    *("response.audio.", "response.compaction."),
)
"""Prefixes of event types of hosted tools, whose content is not checked."""

OUTPUT_ITEM_KEYS: dict[str, dict[str, type]] = {
    "message": {"id": str, "role": str, "status": str, "content": list},
    "function_call": {"id": str, "call_id": str, "name": str, "arguments": str, "status": str},
    "custom_tool_call": {"id": str, "call_id": str, "name": str, "input": str},
    "reasoning": {"id": str, "summary": list},
    "image_generation_call": {"id": str, "status": str},
}
"""Output item type -> required keys. https://platform.openai.com/docs/api-reference/responses/object"""

OUTPUT_PART_KEYS: dict[str, dict[str, type]] = {
    "output_text": {"text": str, "annotations": list},
    "refusal": {"refusal": str},
    "reasoning_text": {"text": str},
    "summary_text": {"text": str},
}
"""Output part type -> required keys."""

PART_TEXT: dict[str, str] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "summary_text": "text",
}
"""Part type -> the key of its text."""
