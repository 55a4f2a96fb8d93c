"""The type of a row, and the words that rows use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The levels of effort, lowest first."""

WORDS: dict[str, str] = {
    "temperature": "a temperature",
    "top_p": "nucleus sampling",
    "temperature_with_top_p": "a temperature and nucleus sampling in one request",
    "top_k": "sampling from the k likeliest",
    "penalties": "frequency and presence penalties",
    "seed": "a seed",
    "stop": "stop sequences",
    "logprobs": "token probabilities",
    "logit_bias": "a bias of single tokens",
    "user": "a name of the end user",
    "max_tokens": "the bound on the answer's length under its older name",
    "parallel_tool_calls": "a word on whether several calls may come at once",
    "forced_tools": "a tool choice that forces a call",
    "prefill": "a last message of the assistant, which the answer continues",
    "system_messages": "system messages in the midst of a conversation",
    "content_parts": "a message's text as a list of parts",
    "thinking": "any request to think",
    "thinking_off": "thinking that is switched off",
    "adaptive": "thinking whose length the model chooses",
    "budget": "a budget of tokens for thinking",
    "effort": "a level of effort",
    "thinking_levels": "thinking by level",
    "signed_calls": "calls that must carry a signature",
    "encrypted_reasoning": "encrypted reasoning in the answer",
    "reasoning_text": "unsigned thinking, given back as text",
    "reasoning_content": "thinking that is given back with every message",
    "reasoning_details": "signed thinking that is given back as details",
    "structured": "a schema for the answer, and strict tools",
    "functions_with_json": "functions beside an answer in JSON",
    "functions_with_search": "functions beside tools that the provider runs",
    "media_in_results": "pictures and files inside a tool's result",
    "part_resolution": "a resolution for each picture",
    "cache_control": "marks of what is to be cached, as Anthropic has them",
    "image_url": "pictures by their address",
    "video_url": "videos, by address or as data",
    "web_search": "a search of the web that the host runs",
    "min_p": "the samplers of vLLM, min_p and repetition_penalty among them",
    "llama_samplers": "the samplers of llama.cpp",
    "completions": "the older address of completions",
    "stream_options": "options of a stream",
}
"""Everything that a row may refuse or take, and its meaning."""

FIELDS: dict[str, str] = {
    "effort_with_tools": "the effort that must be sent beside tools",
    "max_completion_tokens": "the name of the bound on the answer's length",
    "developer": "the role of a developer's message",
    "system": "the role of a system message",
    "seed": "the name of the seed",
    "thinking": "the field that switches thinking on or off",
    "effort": "how much the model thinks where nothing is said",
    "display": "whether thinking is shown where nothing is said",
    "user": "characters of the end user's name",
    "safety_identifier": "characters of the identifier of an end user",
    "prompt_cache_key": "characters of the key of the prompt cache",
    "max_tokens": "tokens of an answer",
    "alphanumeric_call_id": "letters and digits of a call's id, which holds nothing else",
    "budget_min": "the smallest budget of tokens for thinking",
    "budget_max": "the largest budget of tokens for thinking",
}
"""The keys of what a row forces, renames, sets by default or bounds, and their meaning."""

FORCES = ("effort_with_tools",)
RENAMES = ("max_completion_tokens", "developer", "system", "seed", "thinking")
DEFAULTS = ("effort", "display")
LIMITS = (
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "max_tokens",
    "alphanumeric_call_id",
    "budget_min",
    "budget_max",
)
"""The keys of each column."""

SWITCHES = ("thinking.type", "enable_thinking", "chat_template_kwargs.enable_thinking", "chat_template_kwargs.thinking")
"""The fields that switch thinking on and off at hosts without a level for it."""


class Trait(Struct, frozen=True, kw_only=True):
    """A row of the table: what differs for the models whose name `models` matches, at `provider` if that is named.

    `models` is a regular expression that is searched in the name in lower case. `takes` cancels what an earlier row
    refuses; `replaces` cancels all earlier rows.
    """

    models: str = ""
    provider: str = ""
    refuses: frozenset[str] = frozenset()
    refuses_while_thinking: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    forces: Mapping[str, str] = {}
    renames: Mapping[str, str] = {}
    defaults: Mapping[str, str] = {}
    limits: Mapping[str, float] = {}
    efforts: tuple[str, ...] | None = None
    replaces: bool = False
    source: str = ""
    date: str = ""

    def __hash__(self) -> int:
        return hash((self.models, self.provider, self.refuses, self.takes, self.efforts, self.source))

    def matches(self, name: str, host: str) -> bool:
        """Returns whether the row applies to this model, whose name is in lower case, at this host."""
        return (not self.provider or self.provider == host) and _compiled(self.models).search(name) is not None


@lru_cache(None)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def words(text: str) -> frozenset[str]:
    """Returns the words of a text as a set, for tables that are read by people."""
    return frozenset(text.split())
