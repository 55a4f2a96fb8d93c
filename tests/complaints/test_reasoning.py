"""Complaints about thinking: its text, its signatures, and how much of it is requested (K)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, dumps, reply
from tests.proxy.scripted_upstream import http

from .exchange import anthropic, anthropic_reply, call_delta, candidate, chat, chat_reply, exchange, message_blocks

TOOL: JSON = {"name": "f", "description": "F.", "input_schema": {"type": "object", "properties": {}}}
CHAT_TOOL: JSON = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
USER: JSON = {"role": "user", "content": "Think."}
ON: JSON = {"type": "enabled", "budget_tokens": 2048}
NEVER = {"relay": "never"}


def tool_use(id: str = "toolu_1", name: str = "f") -> JSON:
    return {"type": "tool_use", "id": id, "name": name, "input": {}}


def result(id: str = "toolu_1") -> JSON:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "1"}]}


def request_of(*messages: JSON, **more: Any) -> JSON:
    return {"messages": list(messages), "max_tokens": 9000, "thinking": ON, "tools": [TOOL], **more}


# ---- the text of thinking, and its signatures ------------------------------------------------------------------------

SILENT: JSON = {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}


@pytest.mark.parametrize("keys", [{}, NEVER], ids=["relayed", "converted"])
async def test_k1_thinking_without_text_keeps_its_signature(keys: JSON) -> None:
    body = request_of(USER, {"role": "assistant", "content": [SILENT, tool_use()]}, result())
    it = await exchange("anthropic", "anthropic", anthropic_reply(SILENT, tool_use(), stop="tool_use"), body, keys=keys)
    assert it.upstream["messages"][1]["content"][0] == SILENT
    assert it.body["content"][0] == SILENT
    script = anthropic(SILENT, tool_use(), stop="tool_use")
    streamed = await exchange("anthropic", "anthropic", script, body, stream=True, keys=keys)
    assert message_blocks(streamed.events)[0] == SILENT


@pytest.mark.parametrize("keys", [{}, NEVER], ids=["relayed", "converted"])
async def test_k2_interleaved_thinking_goes_back_in_order_and_unchanged(keys: JSON) -> None:
    content = [
        {"type": "thinking", "thinking": "One.", "signature": "b25l"},
        {"type": "text", "text": "First."},
        {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
        tool_use("toolu_1"),
        {"type": "thinking", "thinking": "Two.\u2028 ", "signature": "dHdv"},
        tool_use("toolu_2"),
    ]
    results = [{"type": "tool_result", "tool_use_id": id_, "content": "1"} for id_ in ("toolu_1", "toolu_2")]
    body = request_of(USER, {"role": "assistant", "content": content}, {"role": "user", "content": results})
    it = await exchange("anthropic", "anthropic", body=body, keys=keys)
    assert it.upstream["messages"][1]["content"] == content
    assert it.losses == []


async def test_k4_a_chat_client_sends_signed_thinking_back() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
    body = {"messages": [USER], "tools": [CHAT_TOOL], "reasoning_effort": "low", "max_tokens": 9000}
    first = await exchange("openai-chat", "anthropic", anthropic_reply(thinking, tool_use(), stop="tool_use"), body)
    message = first.body["choices"][0]["message"]
    tool = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
    again = await exchange("openai-chat", "anthropic", body=body | {"messages": [USER, message, tool]})
    assert again.upstream["messages"][1]["content"] == [thinking, tool_use()]
    assert {"signature", "reasoning_text"} & set(again.losses) == set()


GEMINI_3 = "gemini-3-pro-preview"
SIGNED: JSON = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2lnbmVk"}


def gemini_tool(frontend: str) -> JSON:
    match frontend:
        case "openai-chat":
            return {"messages": [USER], "tools": [CHAT_TOOL]}
        case "anthropic":
            return {"messages": [USER], "tools": [TOOL]}
        case _:
            function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
            return {"input": [{"role": "user", "content": "Think."}], "tools": [function]}


def second_turn(frontend: str, body: JSON, answer: JSON) -> JSON:
    """Returns the next request: the history with the whole answer, and the result of the call."""
    match frontend:
        case "openai-chat":
            message = answer["choices"][0]["message"]
            tool = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
            return body | {"messages": [USER, message, tool]}
        case "anthropic":
            (call,) = (block for block in answer["content"] if block["type"] == "tool_use")
            return body | {"messages": [USER, {"role": "assistant", "content": answer["content"]}, result(call["id"])]}
        case _:
            (call,) = (item for item in answer["output"] if item["type"] == "function_call")
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}
            return body | {"input": [*body["input"], *answer["output"], output]}


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "anthropic"])
async def test_k6_a_calls_signature_survives_the_round_trip(frontend: str) -> None:
    body = gemini_tool(frontend)
    first = await exchange(frontend, "gemini", candidate(SIGNED, finish="STOP"), body, model=GEMINI_3)
    again = await exchange(frontend, "gemini", body=second_turn(frontend, body, first.body), model=GEMINI_3)
    (part,) = (part for part in again.upstream["contents"][1]["parts"] if "functionCall" in part)
    assert part["thoughtSignature"] == "c2lnbmVk"
    assert "signature" not in again.losses


async def test_k6_a_missing_signature_becomes_the_documented_bypass() -> None:
    """https://ai.google.dev/gemini-api/docs/thought-signatures"""
    body = gemini_tool("openai-chat")
    message = {"role": "assistant", "content": None, "tool_calls": call_delta(0, "{}", "call_1", "f")["tool_calls"]}
    body["messages"] += [message, {"role": "tool", "tool_call_id": "call_1", "content": "1"}]
    it = await exchange("openai-chat", "gemini", body=body, model=GEMINI_3)
    (part,) = it.upstream["contents"][1]["parts"]
    assert part["thoughtSignature"] in (
        "skip_thought_signature_validator",
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
    )
    assert it.losses == ["signature"]


@pytest.mark.parametrize(
    ("quirks", "expected"), [(["reasoning_content"], ["Hm.", ""]), ([], [None, None])], ids=["wanted", "refused"]
)
async def test_k7_reasoning_content_is_sent_to_hosts_that_require_it(
    quirks: list[str], expected: list[str | None]
) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    messages = [
        USER,
        {"role": "assistant", "content": [thought, tool_use("toolu_1")]},
        result("toolu_1"),
        {"role": "assistant", "content": [tool_use("toolu_2")]},
        result("toolu_2"),
    ]
    it = await exchange("anthropic", "openai-chat", body=request_of(*messages), keys={"quirks": quirks})
    replayed = [m.get("reasoning_content") for m in it.upstream["messages"] if m["role"] == "assistant"]
    assert replayed == expected


@pytest.mark.parametrize("quirks", [[], ["no_reasoning_content"]], ids=["taken", "refused"])
async def test_k7_reasoning_content_is_not_sent_to_hosts_that_refuse_it(quirks: list[str]) -> None:
    """https://github.com/janhq/jan/issues/8136"""
    assistant = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
    body = {"messages": [USER, assistant, USER]}
    it = await exchange("openai-chat", "openai-chat", body=body, keys={"quirks": quirks})
    assert it.upstream["messages"][1] == ({"role": "assistant", "content": "So."} if quirks else assistant)
    assert it.losses == (["reasoning_text"] if quirks else [])


async def test_k8_unsigned_thinking_never_reaches_anthropic() -> None:
    assistant = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
    it = await exchange("openai-chat", "anthropic", body={"messages": [USER, assistant, USER]})
    blocks = it.upstream["messages"][1]["content"]
    assert blocks in ("So.", [{"type": "text", "text": "So."}])
    assert it.losses == ["reasoning_text"]


FOREIGN = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z0FBQUFBbm90LW1pbmU="}


@pytest.mark.parametrize("backend", ["anthropic", "gemini"])
async def test_k9_no_signature_is_forged(backend: str) -> None:
    items = [{"role": "user", "content": "Think."}, FOREIGN, {"role": "assistant", "content": "So."}]
    body = {"input": [*items, {"role": "user", "content": "Go on."}]}
    it = await exchange("openai-responses", backend, body=body)
    assert FOREIGN["encrypted_content"] not in json.dumps(it.upstream)
    assert "signature" in it.losses


async def test_k10_a_reasoning_item_survives_a_messages_client() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    script = reply("openai-responses") | {"output": [item, call | {"status": "completed"}]}
    body = request_of(USER)
    first = await exchange("anthropic", "openai-responses", script, body)
    assert first.upstream["include"] == ["reasoning.encrypted_content"]
    again = await exchange("anthropic", "openai-responses", body=second_turn("anthropic", body, first.body))
    (back,) = (entry for entry in again.upstream["input"] if entry["type"] == "reasoning")
    assert back["encrypted_content"] == "c2VhbGVk"
    assert [entry["type"] for entry in again.upstream["input"][-3:]] == [
        *("reasoning", "function_call", "function_call_output")
    ]


# ---- how much --------------------------------------------------------------------------------------------------------

BUDGETS = {"low": 1024, "medium": 8192, "high": 24576}


@pytest.mark.parametrize(("effort", "tokens"), BUDGETS.items())
async def test_k11_an_effort_becomes_the_documented_budget(effort: str, tokens: int) -> None:
    """https://ai.google.dev/gemini-api/docs/openai#thinking"""
    body = {"messages": [USER], "reasoning_effort": effort, "max_completion_tokens": 64000}
    to_gemini = await exchange("openai-chat", "gemini", body=body, model="gemini-2.5-flash")
    assert to_gemini.upstream["generationConfig"]["thinkingConfig"]["thinkingBudget"] == tokens
    to_anthropic = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert to_anthropic.upstream["thinking"] == {"type": "enabled", "budget_tokens": tokens}


async def test_k11_a_budget_stays_below_max_tokens() -> None:
    body = {"messages": [USER], "reasoning_effort": "high", "max_completion_tokens": 4000}
    it = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert 1024 <= it.upstream["thinking"]["budget_tokens"] < it.upstream["max_tokens"]


@pytest.mark.parametrize(("tokens", "effort"), [(1024, "low"), (8192, "medium"), (16000, "high")])
async def test_k12_a_budget_becomes_an_effort(tokens: int, effort: str) -> None:
    body = {"messages": [USER], "max_tokens": 20000, "thinking": {"type": "enabled", "budget_tokens": tokens}}
    it = await exchange("anthropic", "openai-chat", body=body)
    assert it.upstream["reasoning_effort"] == effort


async def test_k12_a_forced_call_disables_thinking() -> None:
    """https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking"""
    body = {"messages": [USER], "tools": [CHAT_TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    it = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert it.upstream["tool_choice"]["type"] == "any"
    assert it.upstream.get("thinking", {"type": "disabled"}) == {"type": "disabled"}
    assert it.losses == ["reasoning"]


THINKING = (
    ("openai-chat", chat_reply({"content": "So.", "reasoning_content": "Hm."})),
    ("openai-chat", chat_reply({"content": "So.", "reasoning": "Hm."})),
    ("ollama", reply("ollama") | {"message": {"role": "assistant", "content": "So.", "thinking": "Hm."}}),
)


@pytest.mark.parametrize(("backend", "script"), THINKING, ids=["reasoning_content", "reasoning", "thinking"])
async def test_k13_each_field_for_thinking_is_decoded(backend: str, script: JSON) -> None:
    it = await exchange("anthropic", backend, script)
    assert [block.get("thinking", block.get("text")) for block in it.body["content"]] == ["Hm.", "So."]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_k13_each_field_for_thinking_is_decoded_in_a_stream(name: str) -> None:
    it = await exchange("openai-responses", "openai-chat", chat({name: "Hm."}, {"content": "So."}), stream=True)
    reasoning, message = it.events[-1]["response"]["output"]
    assert (reasoning["summary"][0]["text"], message["content"][0]["text"]) == ("Hm.", "So.")


THINKS: tuple[tuple[JSON, list[str], Any], ...] = (
    ({"type": "adaptive"}, [], True),
    ({"type": "adaptive"}, ["no_think"], None),
    ({"type": "disabled"}, [], False),
)


@pytest.mark.parametrize(("thinking", "quirks", "think"), THINKS, ids=["can", "cannot", "off"])
async def test_k14_think_is_sent_to_models_that_support_it(
    thinking: JSON, quirks: list[str], think: bool | None
) -> None:
    it = await exchange("anthropic", "ollama", body={"messages": [USER], "thinking": thinking}, keys={"quirks": quirks})
    assert it.upstream.get("think") is think
    assert ("reasoning" in it.losses) is ("no_think" in quirks)


async def test_k14_a_model_that_cannot_think_is_a_bad_request() -> None:
    refusal = http(dumps({"error": '"llama3.2" does not support thinking'}), "400 Bad Request")
    it = await exchange("anthropic", "ollama", refusal, {"messages": [USER], "thinking": {"type": "adaptive"}})
    assert it.answer.status == 400
    assert "does not support thinking" in it.body["error"]["message"]
