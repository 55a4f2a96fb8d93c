"""Complaints about roles, empty content, parameters and headers (M, Z, A, H)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, upstream_error
from tests.proxy.scripted_upstream import http

from .exchange import exchange

USER: JSON = {"role": "user", "content": "One."}
ASSISTANT: JSON = {"role": "assistant", "content": "Two."}
LATE: JSON = {"role": "system", "content": "From now on in French."}
AGAIN: JSON = {"role": "user", "content": "Three."}


def texts(value: Any) -> list[str]:
    """Yields every text of a turn, in order, at any depth."""
    match value:
        case str():
            return [value]
        case list():
            return [text for part in value for text in texts(part)]
        case dict():
            return texts(value.get("text", value.get("content", value.get("parts", []))))
        case _:
            return []


# ---- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["anthropic", "gemini"])
async def test_m1_a_late_system_message_stays_in_its_position(backend: str) -> None:
    it = await exchange("openai-chat", backend, body={"messages": [USER, ASSISTANT, LATE, AGAIN]})
    assert it.answer.status == 200
    turns = it.upstream.get("messages", it.upstream.get("contents"))
    assert [turn["role"] for turn in turns] == ["user", "assistant" if backend == "anthropic" else "model", "user"]
    first, second = texts(turns[-1])
    assert "From now on in French." in first
    assert second == "Three."
    assert it.losses == ["role"]


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "ollama"])
async def test_m1_chat_keeps_a_late_system_message(frontend: str) -> None:
    turns = [USER, ASSISTANT, LATE, AGAIN]
    body = {"input": turns} if frontend == "openai-responses" else {"messages": turns}
    it = await exchange(frontend, "openai-chat", body=body, keys={"relay": "never"})
    assert [message["role"] for message in it.upstream["messages"]] == ["user", "assistant", "system", "user"]
    assert it.losses == []


async def test_m1_a_late_system_message_of_claude_code_is_not_refused() -> None:
    for backend in ("openai-chat", "openai-responses", "gemini", "ollama"):
        it = await exchange("anthropic", backend, body={"messages": [USER, ASSISTANT, LATE, AGAIN]})
        assert it.answer.status == 200, backend
        assert "From now on in French." in json.dumps(it.upstream)


REFUSED = "messages.2: role 'system' is not supported by this model"
"""Texts after which clients retry without such a message: `not supported`, and `role .{0,2}system`."""


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("frontend", ["anthropic", "openai-chat", "ollama"])
async def test_m2_the_message_of_a_backend_that_rejects_one_is_passed_on(frontend: str, backend: str) -> None:
    script = http(upstream_error(backend, REFUSED, 400), "400 Bad Request")
    body = {"messages": [USER, ASSISTANT, LATE, AGAIN]}
    it = await exchange(frontend, backend, script, body, keys={"relay": "never"})
    assert it.answer.status == 400
    error = it.body["error"]
    assert (error if frontend == "ollama" else error["message"]) == REFUSED


@pytest.mark.parametrize("backend", ["anthropic", "gemini"])
async def test_m3_roles_alternate_and_no_text_is_lost(backend: str) -> None:
    messages = [
        USER,
        {"role": "user", "content": "And one."},
        ASSISTANT,
        {"role": "assistant", "content": "Too."},
        AGAIN,
    ]
    it = await exchange("openai-chat", backend, body={"messages": messages})
    turns = it.upstream.get("messages", it.upstream.get("contents"))
    assert len({turn["role"] for turn in turns}) == 2
    assert [turn["role"] for turn in turns] == [turns[0]["role"], turns[1]["role"], turns[0]["role"]]
    assert [texts(turn) for turn in turns] == [["One.", "And one."], ["Two.", "Too."], ["Three."]]
    assert it.losses == []


DEVELOPER: JSON = {"role": "developer", "content": "Be brief."}


@pytest.mark.parametrize("backend", ["anthropic", "gemini", "ollama"])
async def test_m4_a_developer_message_becomes_system_where_needed(backend: str) -> None:
    body = {"instructions": "You are a pilot.", "input": [DEVELOPER, USER]}
    it = await exchange("openai-responses", backend, body=body)
    match backend:
        case "anthropic":
            assert texts(it.upstream["system"]) == ["You are a pilot.", "Be brief."]
        case "gemini":
            assert texts(it.upstream["systemInstruction"]) == ["You are a pilot.", "Be brief."]
        case _:
            assert [(m["role"], m["content"]) for m in it.upstream["messages"][:2]] == [
                ("system", "You are a pilot."),
                ("system", "Be brief."),
            ]
    assert it.losses == []


async def test_m4_a_host_without_the_developer_role_gets_system() -> None:
    it = await exchange(
        "openai-responses", "openai-chat", body={"input": [DEVELOPER, USER]}, keys={"quirks": ["no_developer"]}
    )
    assert [message["role"] for message in it.upstream["messages"]] == ["system", "user"]


# ---- what is empty ---------------------------------------------------------------------------------------------------

CALL: JSON = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("content", ["", None, []])
async def test_z1_no_text_is_invented_for_empty_content(content: Any) -> None:
    calling = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    body = {"messages": [USER, calling, {"role": "tool", "tool_call_id": "call_1", "content": "1"}]}
    to_anthropic = await exchange("openai-chat", "anthropic", body=body)
    assert [block["type"] for block in to_anthropic.upstream["messages"][1]["content"]] == ["tool_use"]
    to_gemini = await exchange("openai-chat", "gemini", body=body)
    assert [list(part) for part in to_gemini.upstream["contents"][1]["parts"]] == [["functionCall"]]
    to_chat = await exchange("openai-chat", "openai-chat", body=body, keys={"relay": "never"})
    assert not to_chat.upstream["messages"][1].get("content")


@pytest.mark.parametrize("content", ["", []])
async def test_z2_a_result_may_be_empty(content: Any) -> None:
    calling = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]}
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": content}]}
    body = {"messages": [USER, calling, results]}
    to_gemini = await exchange("anthropic", "gemini", body=body)
    (part,) = to_gemini.upstream["contents"][-1]["parts"]
    assert part["functionResponse"]["response"] == {"result": ""}
    to_chat = await exchange("anthropic", "openai-chat", body=body)
    assert to_chat.upstream["messages"][-1]["content"] == ""
    to_anthropic = await exchange("anthropic", "anthropic", body=body, keys={"relay": "never"})
    assert not to_anthropic.upstream["messages"][-1]["content"][0].get("content")


# ---- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "most"), [("openai-chat", 4), ("gemini", 5)])
async def test_a2_stop_sequences_are_limited_to_the_targets_maximum(backend: str, most: int) -> None:
    sequences = ["a", "b", "c", "d", "e", "f"]
    it = await exchange("anthropic", backend, body={"messages": [USER], "stop_sequences": sequences})
    sent = it.upstream.get("stop") or it.upstream["generationConfig"]["stopSequences"]
    assert sent == sequences[:most]
    assert it.losses == []  # the proxy cuts the answer at the others


async def test_a3_a_temperature_out_of_range_is_clamped() -> None:
    it = await exchange("openai-chat", "anthropic", body={"messages": [USER], "temperature": 1.5})
    assert it.upstream["temperature"] == 1
    assert it.losses == ["temperature"]


ASKING: JSON = {"messages": [USER], "seed": 7, "logprobs": True}


async def test_a4_unsupported_parameters_are_dropped_and_declared_or_refused() -> None:
    it = await exchange("openai-chat", "anthropic", body=ASKING)
    assert it.answer.status == 200
    assert {"seed", "logprobs"} & it.upstream.keys() == set()
    assert sorted(it.losses) == ["logprobs", "seed"]
    strict = await exchange("openai-chat", "anthropic", body=ASKING, headers={"x-crosswire-strict": "1"})
    assert strict.answer.status == 400
    assert re.search(r"\bseed\b", strict.body["error"]["message"])
    assert strict.sent == []


async def test_a5_metadata_is_mapped_or_declared_lost() -> None:
    body = {"messages": [USER], "top_k": 5, "metadata": {"user_id": "u-1"}, "service_tier": "standard_only"}
    to_chat = await exchange("anthropic", "openai-chat", body=body)
    assert to_chat.upstream["user"] == "u-1"
    assert to_chat.losses == ["top_k"]  # standard_only is the default
    to_gemini = await exchange("anthropic", "gemini", body=body)
    assert to_gemini.upstream["generationConfig"]["topK"] == 5
    assert to_gemini.losses == ["user"]
    chat = {"messages": [USER], "user": "u-1", "service_tier": "flex", "metadata": {"a": "b"}}
    to_anthropic = await exchange("openai-chat", "anthropic", body=chat)
    assert to_anthropic.upstream["metadata"] == {"user_id": "u-1"}
    assert sorted(to_anthropic.losses) == ["metadata", "service_tier"]


# ---- headers and what costs money ------------------------------------------------------------------------------------

BETA = {"anthropic-beta": "interleaved-thinking-2025-05-14"}


async def test_h1_beta_flags_are_sent_to_anthropic_only() -> None:
    same = await exchange("anthropic", "anthropic", headers=BETA)
    assert same.headers["anthropic-beta"] == BETA["anthropic-beta"]
    for backend in ("openai-chat", "openai-responses", "gemini", "ollama"):
        other = await exchange("anthropic", backend, headers=BETA)
        assert "anthropic-beta" not in other.headers, backend


MARK = {"type": "ephemeral"}
MARKED: JSON = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "One.", "cache_control": MARK}]}],
}


async def test_h3_cache_control_is_kept_for_anthropic_and_declared_lost_elsewhere() -> None:
    for keys in ({}, {"relay": "never"}):
        same = await exchange("anthropic", "anthropic", body=MARKED, keys=keys)
        assert (same.upstream["system"], same.upstream["messages"]) == (MARKED["system"], MARKED["messages"])
    for backend in ("openai-chat", "openai-responses", "gemini", "ollama"):
        other = await exchange("anthropic", backend, body=MARKED)
        assert "cache_control" not in json.dumps(other.upstream)
        assert other.losses == ["cache_control"]


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "gemini", "ollama", "anthropic"])
async def test_h3_no_cache_control_is_added(frontend: str) -> None:
    it = await exchange(frontend, "anthropic", keys={"relay": "never"})
    assert "cache_control" not in json.dumps(it.upstream)


FLAGS = "interleaved-thinking-2025-05-14, claude-code-20250219,context-1m-2025-08-07"
ALLOWED: tuple[tuple[list[str] | None, str | None], ...] = (
    (None, FLAGS),
    (["interleaved-thinking-*", "context-1m-2025-08-07"], "interleaved-thinking-2025-05-14,context-1m-2025-08-07"),
    (["tool-search-*"], None),
    ([], None),
)


@pytest.mark.parametrize("relay", ["auto", "never"])
@pytest.mark.parametrize(("betas", "sent"), ALLOWED)
async def test_h1_a_backend_may_accept_only_some_flags(betas: list[str] | None, sent: str | None, relay: str) -> None:
    """https://github.com/anthropics/claude-code/issues/49370"""
    keys = {"relay": relay} | ({} if betas is None else {"betas": betas})
    it = await exchange("anthropic", "anthropic", headers={"anthropic-beta": FLAGS}, keys=keys)
    assert it.answer.status == 200
    assert it.headers.get("anthropic-beta") == sent
