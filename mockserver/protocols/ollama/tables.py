"""Tables of Ollama's chat API: done reasons, options and levels of thinking."""

from __future__ import annotations

NAME = "ollama"

PATH = "/api/chat"

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
