"""Tables of Ollama's chat API: done reasons, options and levels of thinking."""

from __future__ import annotations

NAME = "ollama"

PATH = "/api/chat"
GENERATE_PATH = "/api/generate"

STOPS: dict[str, str] = {
    "end": "stop",
    "tool": "stop",
    "length": "length",
    "stop_sequence": "stop",
    "content_filter": "stop",
    "pause": "stop",
}
"""Neutral stop reason -> `done_reason`."""

THINK_LEVELS = ("low", "medium", "high", "max")
"""`think`: "Can be a boolean (true/false) or a string ("high", "medium", "low", "max") for supported models".

https://docs.ollama.com/api/chat
"""

OPTIONS: dict[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
"""Neutral sampling field -> its key in `options`. https://docs.ollama.com/modelfile#valid-parameters-and-values"""

OPTION_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(
        (
            *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread"),
            *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "draft_num_predict"),
        ),
        ("integer", (int, float)),
    ),
    **dict.fromkeys(
        (
            *("top_p", "min_p", "typical_p", "temperature"),
            *("repeat_penalty", "presence_penalty", "frequency_penalty"),
        ),
        ("float32", (int, float)),
    ),
    "use_mmap": ("boolean", (bool,)),
    "stop": ("array", (list,)),
}
"""Option -> its type in error messages, and the JSON types accepted for it; unknown options are ignored.

https://github.com/ollama/ollama/blob/main/api/types.go (Options)
"""

HARMLESS: dict[str, tuple[object, ...]] = {
    "format": ("",),
    "logprobs": (False,),
    "keep_alive": ("",),
}
"""Field -> values that equal its default."""

DEFAULT_TAG = ":latest"
"""The tag of a model name without one. https://github.com/ollama/ollama/blob/main/docs/api.md#model-names"""

FIELD_TYPES: dict[str, str] = {
    "$.model": "model of type string",
    "$.messages": "messages of type []api.Message",
    "$.messages[]": "messages of type api.Message",
    "$.messages[].role": "messages.role of type string",
    "$.messages[].content": "messages.content of type string",
    "$.messages[].thinking": "messages.thinking of type string",
    "$.messages[].images": "messages.images of type []api.ImageData",
    "$.messages[].images[]": "messages.images of type api.ImageData",
    "$.messages[].tool_name": "messages.tool_name of type string",
    "$.messages[].tool_call_id": "messages.tool_call_id of type string",
    "$.messages[].tool_calls": "messages.tool_calls of type []api.ToolCall",
    "$.messages[].tool_calls[]": "messages.tool_calls of type api.ToolCall",
    "$.messages[].tool_calls[].id": "messages.tool_calls.id of type string",
    "$.messages[].tool_calls[].function": "messages.tool_calls.function of type api.ToolCallFunction",
    "$.messages[].tool_calls[].function.name": "messages.tool_calls.function.name of type string",
    "$.messages[].tool_calls[].function.arguments": (
        "messages.tool_calls.function.arguments of type api.ToolCallFunctionArguments"
    ),
    "$.stream": "stream of type bool",
    "$.options": "options of type map[string]interface {}",
    "$.tools": "tools of type api.Tools",
    "$.tools[]": "tools of type api.Tool",
    "$.tools[].function": "tools.function of type api.ToolFunction",
    "$.tools[].function.name": "tools.function.name of type string",
    "$.tools[].function.description": "tools.function.description of type string",
    "$.tools[].function.parameters": "tools.function.parameters of type api.ToolFunctionParameters",
}
"""Path -> the field and its type in the messages of the server's JSON decoder.

https://github.com/ollama/ollama/issues/10255 and https://github.com/ollama/ollama/blob/main/api/types.go
"""
