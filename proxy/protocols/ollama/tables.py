"""Lookup tables of Ollama's chat: stop reasons, options, thinking levels, image types, error patterns, quirks."""

from __future__ import annotations

import re

from ...ir import StopReason

NAME = "ollama"

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "load": "other",
    "unload": "other",
}
OTHER_STOPS: dict[str, StopReason] = {
    "eos": "end",
    "end_turn": "end",
    "max_tokens": "length",
    "tool_calls": "tool",
    "tool_use": "tool",
    "content_filter": "filter",
}
"""Stop reasons of other protocols, which hosts of this one write, in lower case."""
STOP_WORDS: dict[StopReason, str] = {
    "end": "stop",
    "length": "length",
    "tool": "stop",
    "stop_sequence": "stop",
    "filter": "stop",
    "pause": "stop",
    "other": "stop",
}
INEXACT_STOPS = ("filter", "pause", "other")

FLOATS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
INTEGERS = ("top_k", "seed")
"""The options with a neutral counterpart, besides `num_predict` and `stop`."""

LEVELS: dict[str, str] = {"none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high"}
"""Effort to the nearest level of `think`; any higher effort is high."""

# Images are sent as bare base64 without a type; these are the magic bytes of the formats in base64.
IMAGE_PREFIXES: dict[str, str] = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "Qk": "image/bmp",
}

# An error is one sentence without a code, so the kind follows from the sentence. https://docs.ollama.com/api/errors
KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"does not support \w+|is not supported for this model"), "capability"),
    (re.compile(r"^model .{1,300} not found"), "model_not_found"),
    (re.compile(r"server busy|maximum pending requests exceeded"), "overloaded"),
)

# 429: "you (…) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"
# https://github.com/diegosouzapw/OmniRoute/issues/3709, 403: "this model requires a subscription, upgrade for access"
# https://github.com/ollama/ollama/issues/15990
ACCOUNT_KINDS: tuple[tuple[int, re.Pattern[str], str], ...] = (
    (429, re.compile(r"reached your \w+ usage limit"), "upstream_quota"),
    (403, re.compile(r"model requires a subscription"), "upstream_forbidden"),
)
"""Refusals of the hosted service that are about the proxy's own account: status, message and kind."""

TOOL_NAME = re.compile(r"[^\x00]+")
"""Ollama forbids no name: templates print it as it is."""

QUIRKS = {
    "no_think": "serves models that cannot think: `think: true` would be refused, so it is never sent",
    "think_levels": "takes `think` as low, medium or high, as gpt-oss does, whatever the model is called",
}

# https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx#valid-parameters-and-values
SAMPLERS: dict[str, str] = {
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "repetition_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}
"""Extra fields of hosts of open models, and the options that say the same."""
