"""Complaints about thinking: what was thought, its seals, and how much of it was asked for (K)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.dialogue import JSON, dumps, reply
from tests.proxy.upstream import http

from .exchange import anthropic, anthropic_reply, called, candidate, chat, chat_reply, exchange, message_blocks

TOOL: JSON = {"name": "f", "description": "F.", "input_schema": {"type": "object", "properties": {}}}
CHAT_TOOL: JSON = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
USER: JSON = {"role": "user", "content": "Think."}
ON: JSON = {"type": "enabled", "budget_tokens": 2048}
NEVER = {"relay": "never"}


def use(id: str = "toolu_1", name: str = "f") -> JSON:
    return {"type": "tool_use", "id": id, "name": name, "input": {}}


def result(id: str = "toolu_1") -> JSON:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "1"}]}


def asked(*messages: JSON, **more: Any) -> JSON:
    return {"messages": list(messages), "max_tokens": 9000, "thinking": ON, "tools": [TOOL], **more}


# ---- what was thought, and its seals ---------------------------------------------------------------------------------

SILENT: JSON = {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}


@pytest.mark.parametrize("keys", [{}, NEVER], ids=["relayed", "converted"])
async def test_k1_thinking_without_words_is_kept_by_its_signature(keys: JSON) -> None:
    body = asked(USER, {"role": "assistant", "content": [SILENT, use()]}, result())
    it = await exchange("anthropic", "anthropic", anthropic_reply(SILENT, use(), stop="tool_use"), body, keys=keys)
    assert it.upstream["messages"][1]["content"][0] == SILENT
    assert it.body["content"][0] == SILENT
    script = anthropic(SILENT, use(), stop="tool_use")
    streamed = await exchange("anthropic", "anthropic", script, body, stream=True, keys=keys)
    assert message_blocks(streamed.events)[0] == SILENT


@pytest.mark.parametrize("keys", [{}, NEVER], ids=["relayed", "converted"])
async def test_k2_interleaved_thinking_goes_back_in_order_and_unchanged(keys: JSON) -> None:
    content = [
        {"type": "thinking", "thinking": "One.", "signature": "b25l"},
        {"type": "text", "text": "First."},
        {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
        use("toolu_1"),
        {"type": "thinking", "thinking": "Two.\u2028 ", "signature": "dHdv"},
        use("toolu_2"),
    ]
    results = [{"type": "tool_result", "tool_use_id": id_, "content": "1"} for id_ in ("toolu_1", "toolu_2")]
    body = asked(USER, {"role": "assistant", "content": content}, {"role": "user", "content": results})
    it = await exchange("anthropic", "anthropic", body=body, keys=keys)
    assert it.upstream["messages"][1]["content"] == content
    assert it.losses == []


async def test_k4_a_chat_client_gives_signed_thinking_back() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
    body = {"messages": [USER], "tools": [CHAT_TOOL], "reasoning_effort": "low", "max_tokens": 9000}
    first = await exchange("openai-chat", "anthropic", anthropic_reply(thinking, use(), stop="tool_use"), body)
    message = first.body["choices"][0]["message"]
    tool = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
    again = await exchange("openai-chat", "anthropic", body=body | {"messages": [USER, message, tool]})
    assert again.upstream["messages"][1]["content"] == [thinking, use()]
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


def second_turn(frontend: str, body: JSON, heard: JSON) -> JSON:
    """What a client asks next: its history with all that it heard, and the result of the call."""
    match frontend:
        case "openai-chat":
            message = heard["choices"][0]["message"]
            tool = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
            return body | {"messages": [USER, message, tool]}
        case "anthropic":
            (call,) = (block for block in heard["content"] if block["type"] == "tool_use")
            return body | {"messages": [USER, {"role": "assistant", "content": heard["content"]}, result(call["id"])]}
        case _:
            (call,) = (item for item in heard["output"] if item["type"] == "function_call")
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}
            return body | {"input": [*body["input"], *heard["output"], output]}


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "anthropic"])
async def test_k6_a_calls_signature_goes_there_and_back(frontend: str) -> None:
    body = gemini_tool(frontend)
    first = await exchange(frontend, "gemini", candidate(SIGNED, finish="STOP"), body, model=GEMINI_3)
    again = await exchange(frontend, "gemini", body=second_turn(frontend, body, first.body), model=GEMINI_3)
    (part,) = (part for part in again.upstream["contents"][1]["parts"] if "functionCall" in part)
    assert part["thoughtSignature"] == "c2lnbmVk"
    assert "signature" not in again.losses


async def test_k6_a_signature_that_was_lost_is_the_documented_bypass_and_said() -> None:
    """https://ai.google.dev/gemini-api/docs/thought-signatures"""
    body = gemini_tool("openai-chat")
    message = {"role": "assistant", "content": None, "tool_calls": called(0, "{}", "call_1", "f")["tool_calls"]}
    body["messages"] += [message, {"role": "tool", "tool_call_id": "call_1", "content": "1"}]
    it = await exchange("openai-chat", "gemini", body=body, model=GEMINI_3)
    (part,) = it.upstream["contents"][1]["parts"]
    assert part["thoughtSignature"] in (
        "skip_thought_signature_validator",
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
    )
    assert it.losses == ["signature"]


@pytest.mark.parametrize(
    ("quirks", "said"), [(["reasoning_content"], ["Hm.", ""]), ([], [None, None])], ids=["wanted", "refused"]
)
async def test_k7_reasoning_content_goes_to_whom_wants_it(quirks: list[str], said: list[str | None]) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    messages = [
        USER,
        {"role": "assistant", "content": [thought, use("toolu_1")]},
        result("toolu_1"),
        {"role": "assistant", "content": [use("toolu_2")]},
        result("toolu_2"),
    ]
    it = await exchange("anthropic", "openai-chat", body=asked(*messages), keys={"quirks": quirks})
    replayed = [m.get("reasoning_content") for m in it.upstream["messages"] if m["role"] == "assistant"]
    assert replayed == said


@pytest.mark.parametrize("quirks", [[], ["no_reasoning_content"]], ids=["taken", "refused"])
async def test_k7_a_host_that_refuses_it_never_gets_it(quirks: list[str]) -> None:
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
    body = asked(USER)
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


@pytest.mark.parametrize(("word", "tokens"), BUDGETS.items())
async def test_k11_words_become_the_documented_budgets(word: str, tokens: int) -> None:
    """https://ai.google.dev/gemini-api/docs/openai#thinking"""
    body = {"messages": [USER], "reasoning_effort": word, "max_completion_tokens": 64000}
    to_gemini = await exchange("openai-chat", "gemini", body=body, model="gemini-2.5-flash")
    assert to_gemini.upstream["generationConfig"]["thinkingConfig"]["thinkingBudget"] == tokens
    to_anthropic = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert to_anthropic.upstream["thinking"] == {"type": "enabled", "budget_tokens": tokens}


async def test_k11_a_budget_stays_below_the_bound_of_the_answer() -> None:
    body = {"messages": [USER], "reasoning_effort": "high", "max_completion_tokens": 4000}
    it = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert 1024 <= it.upstream["thinking"]["budget_tokens"] < it.upstream["max_tokens"]


@pytest.mark.parametrize(("tokens", "word"), [(1024, "low"), (8192, "medium"), (16000, "high")])
async def test_k12_a_budget_becomes_a_word(tokens: int, word: str) -> None:
    body = {"messages": [USER], "max_tokens": 20000, "thinking": {"type": "enabled", "budget_tokens": tokens}}
    it = await exchange("anthropic", "openai-chat", body=body)
    assert it.upstream["reasoning_effort"] == word


async def test_k12_a_forced_call_goes_before_thinking() -> None:
    """https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking"""
    body = {"messages": [USER], "tools": [CHAT_TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    it = await exchange("openai-chat", "anthropic", body=body, model="claude-sonnet-4-5")
    assert it.upstream["tool_choice"]["type"] == "any"
    assert it.upstream.get("thinking", {"type": "disabled"}) == {"type": "disabled"}
    assert it.losses == ["reasoning"]


THOUGHTS = (
    ("openai-chat", chat_reply({"content": "So.", "reasoning_content": "Hm."})),
    ("openai-chat", chat_reply({"content": "So.", "reasoning": "Hm."})),
    ("ollama", reply("ollama") | {"message": {"role": "assistant", "content": "So.", "thinking": "Hm."}}),
)


@pytest.mark.parametrize(("backend", "script"), THOUGHTS, ids=["reasoning_content", "reasoning", "thinking"])
async def test_k13_each_spelling_of_thinking_is_read(backend: str, script: JSON) -> None:
    it = await exchange("anthropic", backend, script)
    assert [block.get("thinking", block.get("text")) for block in it.body["content"]] == ["Hm.", "So."]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_k13_each_spelling_of_thinking_is_read_in_a_stream(name: str) -> None:
    it = await exchange("openai-responses", "openai-chat", chat({name: "Hm."}, {"content": "So."}), stream=True)
    reasoning, message = it.events[-1]["response"]["output"]
    assert (reasoning["summary"][0]["text"], message["content"][0]["text"]) == ("Hm.", "So.")


THINKS: tuple[tuple[JSON, list[str], Any], ...] = (
    ({"type": "adaptive"}, [], True),
    ({"type": "adaptive"}, ["no_think"], None),
    ({"type": "disabled"}, [], False),
)


@pytest.mark.parametrize(("thinking", "quirks", "think"), THINKS, ids=["can", "cannot", "off"])
async def test_k14_think_is_sent_to_whom_can(thinking: JSON, quirks: list[str], think: bool | None) -> None:
    it = await exchange("anthropic", "ollama", body={"messages": [USER], "thinking": thinking}, keys={"quirks": quirks})
    assert it.upstream.get("think") is think
    assert ("reasoning" in it.losses) is ("no_think" in quirks)


async def test_k14_a_model_that_cannot_think_is_a_bad_request_and_no_fault_of_the_proxy() -> None:
    refusal = http(dumps({"error": '"llama3.2" does not support thinking'}), "400 Bad Request")
    it = await exchange("anthropic", "ollama", refusal, {"messages": [USER], "thinking": {"type": "adaptive"}})
    assert it.answer.status == 400
    assert "does not support thinking" in it.body["error"]["message"]
