"""The traits behind the quirks that a config gives a backend, by the quirk's name."""

from __future__ import annotations

from .row import Trait, words

QUIRKS: dict[str, Trait] = {
    "max_tokens": Trait(renames={"max_completion_tokens": "max_tokens"}),
    "no_developer": Trait(renames={"developer": "system"}),
    "no_stream_options": Trait(refuses=words("stream_options")),
    "no_parallel_tool_calls": Trait(refuses=words("parallel_tool_calls")),
    "no_reasoning_effort": Trait(refuses=words("effort")),
    "no_content_parts": Trait(refuses=words("content_parts")),
    "top_k": Trait(takes=words("top_k")),
    "penalties": Trait(takes=words("penalties")),
    "reasoning_content": Trait(takes=words("reasoning_content")),
    "no_reasoning_content": Trait(refuses=words("reasoning_content")),
    "reasoning_details": Trait(takes=words("reasoning_details")),
    "no_encrypted_reasoning": Trait(refuses=words("encrypted_reasoning")),
    "reasoning_text": Trait(takes=words("reasoning_text")),
    "adaptive": Trait(takes=words("adaptive")),
    "no_budget": Trait(refuses=words("budget")),
    "no_thinking": Trait(refuses=words("thinking")),
    "no_thinking_off": Trait(refuses=words("thinking_off")),
    "no_xhigh": Trait(efforts=("low", "medium", "high", "max")),
    "no_sampling": Trait(refuses=words("temperature top_p top_k")),
    "one_sampling": Trait(refuses=words("temperature_with_top_p")),
    "no_forced_tools": Trait(refuses=words("forced_tools")),
    "no_structured": Trait(refuses=words("structured")),
    "system_messages": Trait(takes=words("system_messages")),
    "gemini_3": Trait(takes=words("thinking_levels budget media_in_results part_resolution signed_calls")),
    "cache_control": Trait(takes=words("cache_control")),
    "video_url": Trait(takes=words("video_url")),
    "web_search": Trait(takes=words("web_search")),
    "min_p": Trait(takes=words("min_p")),
    "llama_samplers": Trait(takes=words("llama_samplers")),
    "completions": Trait(takes=words("completions")),
    "no_think": Trait(refuses=words("thinking")),
    "think_levels": Trait(takes=words("thinking_levels")),
}
"""A quirk without a row changes nothing that a request says."""
