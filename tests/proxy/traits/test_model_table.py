"""Tests of the rows of models: which names belong to a family, and what it refuses, by the vendors' own words."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.traits import traits_of

FAMILIES: dict[str, dict[str, Any]] = {
    "o3": {"refuses": {"stop", "max_tokens"}, "efforts": ("low", "medium", "high")},
    "o4-mini-2025-04-16": {"refuses": {"stop", "max_tokens"}, "efforts": ("low", "medium", "high")},
    "o1-mini": {"efforts": (), "renames": {"developer": "user", "system": "user"}},
    "gpt-5": {"efforts": ("minimal", "low", "medium", "high"), "defaults": {"effort": "medium"}},
    "gpt-5-mini-2025-08-07": {"efforts": ("minimal", "low", "medium", "high")},
    "gpt-5-pro": {"efforts": ("high",)},
    "gpt-5-chat-latest": {"efforts": (), "refuses": set(), "refuses_while_thinking": set()},
    "gpt-5.1": {"efforts": ("none", "low", "medium", "high"), "defaults": {"effort": "none"}},
    "gpt-5.4-mini": {"defaults": {"effort": "none"}, "forces": {"effort_with_tools": ""}},
    "gpt-5.5": {"defaults": {"effort": "medium"}, "forces": {"effort_with_tools": "none"}},
    "gpt-5.5-pro": {"efforts": ("medium", "high", "xhigh"), "forces": {}},
    "gpt-5.2-chat-latest": {"efforts": ("medium",)},
    "gpt-6-astra": {"efforts": ("low", "medium", "high", "xhigh", "max")},
    "gpt-4.1": {"efforts": (), "refuses": set()},
    "gpt-oss:20b": {"efforts": ("low", "medium", "high"), "takes": {"thinking_levels"}},
    "openai/gpt-5": {"rows": ()},  # a gateway has rules of its own
    "claude-3-5-haiku-latest": {"refuses": {"thinking", "structured"}},
    "claude-sonnet-4-5-20250929": {
        "refuses": {"adaptive", "effort", "temperature_with_top_p"},
        "limits": {"max_tokens": 64_000},
    },
    "us.anthropic.claude-opus-4-5-v1:0": {"refuses": {"adaptive", "temperature_with_top_p"}},
    "anthropic/claude-sonnet-4.6": {
        "refuses": {"prefill", "temperature_with_top_p"},
        "efforts": ("low", "medium", "high", "max"),
    },
    "claude-opus-4-7": {
        "refuses": {"budget", "temperature", "top_p", "top_k", "prefill"},
        "defaults": {"display": "omitted"},
        "limits": {"max_tokens": 128_000},
    },
    "claude-opus-4-1": {
        "refuses": {"adaptive", "effort", "temperature_with_top_p"},
        "limits": {"max_tokens": 32_000},
    },
    "claude-fable-5": {"refuses": {"budget", "temperature", "top_p", "top_k", "prefill", "thinking_off"}},
    "claude-opus-5.5": {
        "refuses": {"budget", "temperature", "top_p", "top_k", "prefill", "thinking_off", "forced_tools"}
    },
    "gemini-2.0-flash": {"refuses": {"thinking", "media_in_results", "functions_with_json", "functions_with_search"}},
    "gemini-2.5-pro": {"limits": {"budget_min": 128, "budget_max": 32768}},
    "gemini-2.5-flash-lite": {"limits": {"budget_min": 512, "budget_max": 24576}},
    "gemini-3-pro-preview": {"efforts": ("low", "high"), "refuses": set()},
    "gemini-3-flash-preview": {"efforts": ("minimal", "low", "medium", "high")},
    "gemini-3.7-flash": {"efforts": ("low", "medium", "high")},
    "gemini-flash-latest": {
        "takes": {"thinking_levels", "budget", "media_in_results", "part_resolution", "signed_calls"}
    },
    "glm-4.6": {"renames": {"thinking": "thinking.type"}},
    "qwen3-32b": {"renames": {"thinking": "enable_thinking"}},
    "llama-3.3-70b-instruct": {"rows": ()},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_known_of_a_model(name: str) -> None:
    found = traits_of(name)
    assert {column: getattr(found, column) for column in FAMILIES[name]} == FAMILIES[name]


OPENROUTER = {"top_k", "min_p", "reasoning_details", "cache_control", "video_url", "web_search"}

AT_A_HOST: list[tuple[str, str, dict[str, Any]]] = [
    ("qwen/qwen3-32b", "groq", {"efforts": ("none", "default")}),
    ("grok-4", "xai", {"efforts": (), "refuses": {"penalties", "stop"}}),
    ("grok-4.5", "xai", {"efforts": ("low", "medium", "high")}),
    ("qwen/qwen3-8b", "vllm", {"renames": {"developer": "system", "thinking": "chat_template_kwargs.enable_thinking"}}),
    ("mistral-large-latest", "mistral", {"limits": {"alphanumeric_call_id": 9}}),
    ("anthropic/claude-3.5-haiku", "openrouter", {"limits": {"user": 128, "max_tokens": 8192}, "takes": OPENROUTER}),
]


@pytest.mark.parametrize(("model", "host", "expected"), AT_A_HOST)
def test_what_is_known_of_a_model_at_a_host(model: str, host: str, expected: dict[str, Any]) -> None:
    found = traits_of(model, host)
    assert {column: getattr(found, column) for column in expected} == expected
