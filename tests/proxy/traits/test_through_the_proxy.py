"""Traits through the whole proxy: what a backend gets, converted and relayed, and what the client is told is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ...complaints.exchange import Exchange
from ...complaints.exchange import exchange as exchange_body
from ..sample_messages import ask

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "The colour is"}
FUNCTION = {"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
DECLARED = {"name": "w", "parametersJsonSchema": SCHEMA}
TEXT = {"role": "user", "parts": [{"text": "hi"}]}
CALL = {"type": "tool_use", "id": "toolu_01AbCdEfGh", "name": "w", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": CALL["id"], "content": "sunny"}
ABSENT = object()
LONG = "user_" + "a" * 150


def at(body: Any, path: str) -> Any:
    """The value at a dotted path of keys and indexes; ABSENT where there is none."""
    for step in path.split("."):
        try:
            body = body[int(step) if type(body) is list else step]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return body


async def exchange(frontend: str, backend: str, *, body: dict[str, Any], model: str = "m", **keys: Any) -> Exchange:
    """Sends the smallest request with these fields."""
    return await exchange_body(frontend, backend, body={**ask(frontend, model), **body}, model=model, **keys)


Case = tuple[str, str, str, dict[str, Any], dict[str, Any], list[str]]
"""Frontend, backend, model, the client's fields, what the backend gets at these paths, and the losses."""

CONVERTED: dict[str, Case] = {
    "a temperature for a model that thinks": (
        "anthropic", "openai-responses", "gpt-5.5", {"temperature": 0.3}, {"temperature": ABSENT}, ["temperature"],
    ),
    "a temperature for one that does not unless it is asked": (
        "anthropic", "openai-responses", "gpt-5.1", {"temperature": 0.3}, {"temperature": 0.3}, [],
    ),
    "stop sequences": (
        "anthropic", "openai-chat", "o4-mini", {"stop_sequences": ["END"]}, {"stop": ABSENT}, [],
    ),
    "effort beside tools": (
        "anthropic", "openai-chat", "gpt-5.6-terra",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000,
         "tools": [{"name": "w", "input_schema": SCHEMA}]},
        {"reasoning_effort": "none"}, ["reasoning"],
    ),
    "effort beside tools on the other wire": (
        "openai-chat", "openai-responses", "gpt-5.6-terra", {"reasoning_effort": "high", "tools": [FUNCTION]},
        {"reasoning.effort": "high"}, [],
    ),
    "the beginning of an answer": (
        "openai-chat", "anthropic", "claude-opus-4-6", {"messages": [USER, SAID]},
        {"messages.1.content": "The colour is", "messages.2.role": "user"}, ["role"],
    ),
    "the beginning of an answer for a model that continues it": (
        "openai-chat", "anthropic", "claude-sonnet-4-5", {"messages": [USER, SAID]},
        {"messages.1.content": "The colour is", "messages.2": ABSENT}, [],
    ),
    "thinking that is shown in the client's protocol": (
        "ollama", "anthropic", "claude-opus-4-7", {"think": True},
        {"thinking": {"type": "adaptive", "display": "summarized"}}, [],
    ),
    "a budget that is legal": (
        "gemini", "anthropic", "claude-sonnet-4-5",
        {"generationConfig": {"maxOutputTokens": 1200, "thinkingConfig": {"thinkingBudget": 1024}}},
        {"thinking.budget_tokens": 1024, "max_tokens": 1200}, [],
    ),
    "a level for a model that has budgets": (
        "gemini", "gemini", "gemini-2.5-flash", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {
            "generationConfig.thinkingConfig.thinkingLevel": ABSENT,
            "generationConfig.thinkingConfig.thinkingBudget": 1024,
        },
        ["reasoning"],
    ),
    "the highest effort": (
        "anthropic", "openai-chat", "gpt-6-astra",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}, [],
    ),
    "the highest effort for a model without it": (
        "anthropic", "openai-responses", "gpt-5.4",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning.effort": "xhigh"},
        ["reasoning"],
    ),
    "functions beside JSON": (
        "openai-chat", "gemini", "gemini-2.5-flash", {"tools": [FUNCTION], "response_format": JSON_SCHEMA},
        {"generationConfig.responseMimeType": ABSENT, "tools.0.functionDeclarations.0.name": "w"}, ["json_schema"],
    ),
    "functions beside JSON for a newer model": (
        "openai-chat", "gemini", "gemini-3-pro-preview", {"tools": [FUNCTION], "response_format": JSON_SCHEMA},
        {"generationConfig.responseMimeType": "application/json"}, [],
    ),
    "a history that begins with a call": (
        "anthropic", "gemini", "gemini-2.5-flash",
        {"messages": [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]},
        {"contents.0.role": "user", "contents.1.role": "model", "contents.2.role": "user"}, [],
    ),
    "instructions alone": (
        "openai-chat", "openai-responses", "gpt-4.1", {"messages": [{"role": "system", "content": "Go."}]},
        {"instructions": ABSENT, "input.0.role": "system", "input.0.content": "Go."}, [],
    ),
    "another host's word for the default tier": (
        "openai-chat", "openai-responses", "gpt-4.1", {"service_tier": "on_demand"}, {"service_tier": ABSENT}, [],
    ),
    "a tier that the target lacks": (
        "openai-chat", "openai-responses", "gpt-4.1", {"service_tier": "performance"}, {"service_tier": ABSENT},
        ["service_tier"],
    ),
    "a choice without tools": (
        "openai-responses", "openai-chat", "gpt-4.1",
        {"input": "hi", "tools": [], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tool_choice": ABSENT, "parallel_tool_calls": ABSENT}, [],
    ),
    "a user's name that is too long": (
        "openai-chat", "anthropic", "claude-sonnet-4-5", {"user": "u" * 300}, {}, ["user"],
    ),
    "a temperature beyond that of chat": (
        "ollama", "openai-chat", "my-model", {"options": {"temperature": 3.5}}, {"temperature": 2}, ["temperature"],
    ),
    "a temperature beyond that of Responses": (
        "ollama", "openai-responses", "my-model", {"options": {"temperature": -1}}, {"temperature": 0}, ["temperature"],
    ),
    "a seed beyond 32 bits": (
        "openai-chat", "gemini", "gemini-2.5-flash", {"seed": 3898845386}, {"generationConfig.seed": 1751361738},
        ["seed"],
    ),
    "a negative seed": (
        "openai-chat", "gemini", "gemini-2.5-flash", {"seed": -5}, {"generationConfig.seed": -5}, [],
    ),
    "a top_k that is off, for Gemini": (
        "ollama", "gemini", "gemini-2.5-flash", {"options": {"top_k": -1, "seed": 1}},
        {"generationConfig": {"seed": 1}}, ["top_k"],
    ),
    "a top_k that is off, for Anthropic": (
        "ollama", "anthropic", "claude-sonnet-4-5", {"options": {"top_k": -1}}, {"top_k": ABSENT}, ["top_k"],
    ),
    "empty stop sequences for chat": (
        "gemini", "openai-chat", "my-model", {"generationConfig": {"stopSequences": ["", "END"]}}, {"stop": ["END"]},
        ["stop"],
    ),
    "empty stop sequences for Gemini": (
        "openai-chat", "gemini", "gemini-2.5-flash", {"stop": [""]}, {"generationConfig": ABSENT}, ["stop"],
    ),
    "empty stop sequences for Ollama": (
        "openai-chat", "ollama", "my-model", {"stop": ["", "END"]}, {"options.stop": ["END"]}, ["stop"],
    ),
    "empty stop sequences for Responses": ("openai-chat", "openai-responses", "my-model", {"stop": ""}, {}, ["stop"]),
    "no answer at all": ("ollama", "openai-chat", "my-model", {"options": {"num_predict": 0}}, {}, ["max_tokens"]),
    "the name of a fine-tuned model": (
        "anthropic", "openai-chat", "ft:gpt-5-mini:acme::1", {"temperature": 0.3}, {"temperature": ABSENT},
        ["temperature"],
    ),
    "an answer longer than the model's": (
        "openai-chat", "anthropic", "claude-opus-4-1", {"max_tokens": 64_000}, {"max_tokens": 32_000}, ["max_tokens"],
    ),
}  # fmt: skip


async def sent(case: Case, **keys: Any) -> tuple[Any, list[str]]:
    frontend, backend, model, fields, _, _ = case
    it = await exchange(frontend, backend, body=fields, model=model, keys=keys)
    assert it.answer.status == 200, it.body
    return it.upstream, it.losses


@pytest.mark.parametrize("case", CONVERTED.values(), ids=CONVERTED)
async def test_a_converted_request_fits_its_model(case: Case) -> None:
    body, losses = await sent(case)
    assert {path: at(body, path) for path in case[4]} == case[4]
    assert losses == case[5]


RELAYED: dict[str, Case] = {
    "a temperature": (
        "openai-chat", "openai-chat", "gpt-5", {"temperature": 0.3, "seed": 1}, {"temperature": ABSENT, "seed": 1},
        ["temperature"],
    ),
    "the older name of a limit": (
        "openai-chat", "openai-chat", "o3", {"max_tokens": 99}, {"max_tokens": ABSENT, "max_completion_tokens": 99}, [],
    ),
    "probabilities": (
        "openai-chat", "openai-chat", "gpt-5-mini", {"logprobs": True}, {"logprobs": ABSENT}, ["logprobs"],
    ),
    "sampling on the other wire": (
        "openai-responses", "openai-responses", "gpt-5-mini", {"top_p": 0.5}, {"top_p": ABSENT}, ["top_p"],
    ),
    "a budget where the model has none": (
        "anthropic", "anthropic", "claude-opus-4-7",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000},
        {"thinking": {"type": "adaptive"}, "output_config.effort": "medium"}, ["reasoning"],
    ),
    "thinking of a length that the model cannot choose": (
        "anthropic", "anthropic", "claude-sonnet-4-5",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "max_tokens": 4000},
        {"thinking.type": "enabled", "output_config": ABSENT}, ["reasoning"],
    ),
    "the beginning of an answer": (
        "anthropic", "anthropic", "claude-sonnet-5", {"messages": [USER, SAID]}, {"messages.2.role": "user"}, ["role"],
    ),
    "two ways of sampling": (
        "anthropic", "anthropic", "claude-opus-4-1", {"temperature": 0.5, "top_p": 0.9},
        {"temperature": 0.5, "top_p": ABSENT}, ["top_p"],
    ),
    "a level for a model that has budgets": (
        "gemini", "gemini", "gemini-2.5-flash", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {
            "generationConfig.thinkingConfig.thinkingLevel": ABSENT,
            "generationConfig.thinkingConfig.thinkingBudget": 1024,
        },
        ["reasoning"],
    ),
    "functions beside JSON": (
        "gemini", "gemini", "gemini-2.5-flash",
        {"contents": [TEXT], "tools": [{"functionDeclarations": [DECLARED]}],
         "generationConfig": {"responseMimeType": "application/json"}},
        {"generationConfig.responseMimeType": ABSENT}, ["json_object"],
    ),
    "functions beside a search": (
        "gemini", "gemini", "gemini-2.5-flash",
        {"contents": [TEXT], "tools": [{"functionDeclarations": [DECLARED]}, {"googleSearch": {}}]},
        {"tools.1": ABSENT}, ["hosted_tools"],
    ),
    "thinking for a model that cannot": (
        "gemini", "gemini", "gemini-2.0-flash",
        {"contents": [TEXT], "generationConfig": {"thinkingConfig": {"thinkingBudget": 100}}},
        {"generationConfig": ABSENT}, ["reasoning"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RELAYED.values(), ids=RELAYED)
async def test_a_request_of_the_same_protocol_is_patched_where_its_model_refuses_it(case: Case) -> None:
    body, losses = await sent(case)
    assert {path: at(body, path) for path in case[4]} == case[4]
    assert losses == case[5]


@pytest.mark.parametrize(
    ("protocol", "model", "fields"),
    [
        ("openai-chat", "gpt-5", {"temperature": 1, "reasoning_effort": "low", "max_completion_tokens": 9}),
        ("openai-chat", "gpt-5.1", {"temperature": 0.2}),
        ("openai-chat", "my-model", {"temperature": 0.2, "stop": "a", "max_tokens": 5}),
        ("anthropic", "claude-opus-4-7", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        ("gemini", "gemini-3-pro-preview", {"contents": [TEXT], "tools": [{"googleSearch": {}}]}),
    ],
)
async def test_what_the_model_takes_is_relayed_byte_for_byte(protocol: str, model: str, fields: Any) -> None:
    it = await exchange(protocol, protocol, body=fields, model=model)
    assert it.record["attempts"][0]["relayed"]
    assert it.losses == []


async def test_a_config_says_otherwise() -> None:
    keys = {"traits": {"gpt-5": {"takes": ["temperature"]}}}
    it = await exchange("anthropic", "openai-chat", body={"temperature": 0.3}, model="gpt-5", keys=keys)
    assert (it.upstream["temperature"], it.losses) == (0.3, [])


HOSTS: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("openrouter", "openai/gpt-5", {"metadata": {"user_id": LONG}}, {}, ["user"]),
    ("mistral", "m", {"metadata": {"user_id": "me"}}, {"user": ABSENT}, ["user"]),
    ("deepseek", "deepseek-v4", {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
     {"thinking": {"type": "disabled"}, "reasoning_effort": ABSENT}, ["reasoning"]),
    ("deepseek", "deepseek-v4", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
     {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, ["reasoning"]),
    ("vllm", "Qwen/Qwen3-8B", {"thinking": {"type": "disabled"}},
     {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": ABSENT}, []),
    ("openai", "qwen3-32b", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
     {"enable_thinking": True, "reasoning_effort": ABSENT}, ["reasoning"]),
    ("nvidia", "m", {"system": [{"type": "text", "text": "A."}, {"type": "text", "text": "B."}]},
     {"messages.0.content": "A.\n\nB."}, []),
    ("groq", "qwen/qwen3-32b", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
     {"reasoning_effort": "default"}, ["reasoning"]),
]  # fmt: skip


@pytest.mark.parametrize(("host", "model", "fields", "expected", "losses"), HOSTS)
async def test_a_host_gets_what_it_takes(
    host: str, model: str, fields: dict[str, Any], expected: dict[str, Any], losses: list[str]
) -> None:
    it = await exchange("anthropic", "openai-chat", body=fields, model=model, keys={"provider": host})
    assert {path: at(it.upstream, path) for path in expected} == expected
    assert it.losses == losses
    assert len(it.upstream.get("user", "")) <= 128


IDENTIFIERS: list[tuple[str, str, str, dict[str, Any], str, list[str]]] = [
    ("openai", "anthropic", "openai-chat", {"metadata": {"user_id": LONG}}, "user", ["user"]),
    ("openai-responses", "anthropic", "openai-responses", {"metadata": {"user_id": LONG}}, "user", ["user"]),
    ("azure-openai", "openai-chat", "openai-chat", {"user": LONG}, "user", ["user"]),
    ("openai", "openai-chat", "openai-chat", {"safety_identifier": LONG}, "safety_identifier", ["user"]),
    ("openai-responses", "openai-chat", "openai-responses", {"prompt_cache_key": LONG}, "prompt_cache_key",
     ["cache_control"]),
    ("openai-responses", "openai-responses", "openai-responses", {"safety_identifier": LONG}, "safety_identifier",
     ["user"]),
    ("azure-openai", "openai-responses", "openai-chat", {"prompt_cache_key": LONG}, "prompt_cache_key",
     ["cache_control"]),
]  # fmt: skip


@pytest.mark.parametrize(("host", "frontend", "backend", "fields", "key", "losses"), IDENTIFIERS)
async def test_openai_gets_identifiers_of_64_characters_at_most(
    host: str, frontend: str, backend: str, fields: dict[str, Any], key: str, losses: list[str]
) -> None:
    it, again = [
        await exchange(frontend, backend, body=fields, model="gpt-4.1", keys={"provider": host}) for _ in range(2)
    ]
    assert len(it.upstream[key]) == 64
    assert it.upstream[key] == again.upstream[key]
    assert it.losses == losses


@pytest.mark.parametrize("role", ["developer", "system"])
@pytest.mark.parametrize("host", ["vllm", "llama.cpp", "lmstudio", "mistral"])
async def test_a_relayed_role_is_renamed_where_the_host_lacks_it(host: str, role: str) -> None:
    body = {"messages": [{"role": role, "content": "rules"}, USER]}
    it = await exchange("openai-chat", "openai-chat", body=body, keys={"provider": host})
    assert it.upstream["messages"][0] == {"role": "system", "content": "rules"}


async def test_ids_of_calls_are_the_same_in_call_and_result() -> None:
    messages = [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]
    it = await exchange("anthropic", "openai-chat", body={"messages": messages}, keys={"provider": "mistral"})
    called = it.upstream["messages"][1]["tool_calls"][0]["id"]
    assert it.upstream["messages"][2]["tool_call_id"] == called
    assert (len(called), called.isalnum()) == (9, True)


# ---- names that contradict each other --------------------------------------------------------------------------------

STRING = {"type": "STRING"}
OPEN_FORMAT = {"type": "json_schema", "schema": {}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
TWICE = {"tools": [{"functionDeclarations": [{**DECLARED, "parameters": {"type": "OBJECT"}}]}]}

CONFLICTS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("openai-chat", {"max_tokens": 5, "max_completion_tokens": 6}, ("max_tokens", "max_completion_tokens")),
    ("openai-chat", {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
     ("reasoning_effort", "reasoning.effort")),
    ("openai-chat", {"tool_choice": "auto", "function_call": "none", "functions": []},
     ("function_call", "tool_choice")),
    ("openai-responses", {"reasoning": {"summary": "auto", "generate_summary": "concise"}},
     ("generate_summary", "summary")),
    ("anthropic", {"output_format": OPEN_FORMAT, "output_config": {"format": FORMAT}},
     ("output_format", "output_config.format")),
    ("gemini", {"generationConfig": {"topK": 1}, "generation_config": {"topK": 2}},
     ("generationConfig", "generation_config")),
    ("gemini", {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 2}},
     ("maxOutputTokens", "max_output_tokens")),
    ("gemini", {"generationConfig": {"responseSchema": STRING, "responseJsonSchema": SCHEMA}},
     ("responseSchema", "responseJsonSchema")),
    ("gemini", TWICE, ("parameters", "parametersJsonSchema")),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "fields", "names"), CONFLICTS)
async def test_two_names_of_one_field_that_differ_are_an_error(
    protocol: str, fields: dict[str, Any], names: tuple[str, str]
) -> None:
    it = await exchange(protocol, protocol, body=fields, model="m")
    assert it.answer.status == 400
    assert all(name in json.dumps(it.body) for name in names)


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [
        ("openai-chat", {"max_tokens": 5, "max_completion_tokens": 5}),
        ("openai-chat", {"reasoning_effort": "low", "reasoning": {"effort": "low"}}),
        ("gemini", {"contents": [TEXT], "generationConfig": {"topK": 1}, "generation_config": {"topK": 1}}),
    ],
)
async def test_two_names_of_one_field_that_agree_are_none(protocol: str, fields: dict[str, Any]) -> None:
    assert (await exchange(protocol, protocol, body=fields)).answer.status == 200
