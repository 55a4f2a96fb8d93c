"""Lookup tables of Chat Completions: stop reasons, error codes, the keys of plain text chunks, quirks and limits."""

from __future__ import annotations

from ...ir import StopReason
from ..openai import tables as openai

NAME = openai.CHAT

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
OTHER_STOPS: dict[str, StopReason] = {
    "eos": "end",  # Together
    "eos_token": "end",  # https://huggingface.co/docs/text-generation-inference
    "stop_sequence": "stop_sequence",
    "end_turn": "end",
    "complete": "end",
    "max_tokens": "length",
    "max_length": "length",
    # "finish_reason: stop, length, model_length, error, tool_calls" https://docs.mistral.ai/api
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "tool_call": "tool",
    "safety": "filter",
    "refusal": "filter",
    # "sensitive", beside stop, length, tool_calls and network_error: https://docs.z.ai/api-reference/llm/chat-completion
    "sensitive": "filter",
}
"""Stop reasons of compatible hosts and of other protocols, in lower case."""
FAILED_STOPS: dict[str, tuple[int, str]] = {
    # "finish_reason: error" https://openrouter.ai/docs/api-reference/overview
    "error": (502, "The backend failed while it wrote the answer."),
    # "the request is interrupted due to insufficient resource of the inference system"
    # https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": (503, "The backend lacked the resources to complete the answer."),
    "network_error": (502, "The backend's network failed while it wrote the answer."),
    "abort": (502, "The backend aborted the answer."),
}
"""Stop reasons that tell of a failure inside a 200, with the HTTP status and the sentence that they stand for."""
STOP_WORDS: dict[StopReason, str] = {
    "end": "stop",
    "length": "length",
    "tool": "tool_calls",
    "stop_sequence": "stop",
    "filter": "content_filter",
    "pause": "stop",
    "other": "stop",
}

KINDS: dict[str, str] = {**openai.KINDS, "too_many_prompt_tokens": "context_length"}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""

USAGE = "usage"
"""The extra field of a reply whose usage came beside its text, which a client of this protocol gets though unasked."""

CHUNK = "chat.completion.chunk"
"""The `object` of a chunk."""

PLAIN_CHUNK = frozenset(
    (
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "obfuscation",
        "provider",
    )
)
PLAIN_CHOICE = frozenset(("index", "delta", "finish_reason", "logprobs", "native_finish_reason"))
PLAIN_DELTA = frozenset(("role", "content"))
"""The keys of a chunk, its choice and its delta that carry nothing but another piece of text."""

QUIRKS = {
    "max_tokens": "knows only the older max_tokens, not max_completion_tokens",
    "no_developer": "knows no developer role; such messages are sent as system",
    "no_stream_options": "refuses stream_options; usage comes unasked or not at all",
    "no_parallel_tool_calls": "refuses parallel_tool_calls",
    "no_reasoning_effort": "refuses reasoning_effort",
    "top_k": "takes top_k, as many open hosts do",
    "completions": "has the older /completions, to which requests of that form go as they are",
    "reasoning_content": "wants its reasoning_content back with every assistant message",
    "no_reasoning_content": "refuses what was thought in an assistant message, though the client sends it",
    "no_content_parts": "wants a message's text as one string, not as a list of parts",
    "reasoning_details": "wants its signed reasoning_details back (OpenRouter)",
    "cache_control": "takes Anthropic's cache_control on parts and tools, as OpenRouter does",
    "web_search": "takes web_search_options with every model",
    "video_url": "takes videos as parts of type video_url",
    "min_p": "takes min_p and repetition_penalty",
    "llama_samplers": "takes the samplers of llama.cpp: min_p, mirostat, typical_p, repeat_penalty and others",
}

SAMPLERS: dict[str, dict[str, str]] = {
    # https://openrouter.ai/docs/api-reference/parameters, https://docs.vllm.ai/en/latest/serving/openai_compatible_server/
    "min_p": {
        "options.min_p": "min_p",
        "options.repeat_penalty": "repetition_penalty",
    },
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#post-completion-given-a-prompt-it-returns-the-predicted-completion
    "llama_samplers": {
        f"options.{name}": name
        for name in (
            *("min_p", "typical_p", "mirostat", "mirostat_tau", "mirostat_eta", "repeat_penalty", "repeat_last_n"),
            *("dynatemp_range", "dynatemp_exponent", "dry_multiplier", "dry_base", "xtc_probability", "xtc_threshold"),
        )
    },
}
"""By quirk: extra fields of an Ollama client's request, and the names that such hosts have for them."""

# "Up to 4 sequences where the API will stop generating further tokens."
# https://platform.openai.com/docs/api-reference/chat/create
# "temperature: What sampling temperature to use, between 0 and 2."
# https://platform.openai.com/docs/api-reference/chat/create
# "Invalid 'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a string
# with length 53 instead." https://github.com/agno-agi/agno/issues/5382
LIMITS = {"stop": 4, "temperature": 2.0, "tool_call_id": 40}
