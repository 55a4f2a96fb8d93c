"""Complaints about tools and their ids (T, I)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS

from .exchange import (
    anthropic,
    anthropic_reply,
    call_delta,
    candidate,
    chat,
    chat_reply,
    exchange,
    gemini,
    message_blocks,
)

FUNCTION: JSON = {"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOL: JSON = {"type": "function", "function": FUNCTION}
ANTHROPIC_TOOL: JSON = {"name": "f", "description": "F.", "input_schema": {"type": "object", "properties": {}}}
TOOLS: dict[str, list[JSON]] = {
    "openai-chat": [CHAT_TOOL],
    "openai-responses": [{"type": "function", **FUNCTION}],
    "anthropic": [ANTHROPIC_TOOL],
    "gemini": [{"functionDeclarations": [{"name": "f", "description": "F."}]}],
    "ollama": [CHAT_TOOL],
}


def request_with_tool(frontend: str, **more: Any) -> JSON:
    """Returns a request that offers a tool called f."""
    user = {"role": "user", "content": "Call f."}
    match frontend:
        case "openai-responses":
            body: JSON = {"input": "Call f."}
        case "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": "Call f."}]}]}
        case _:
            body = {"messages": [user]}
    return {**body, "tools": TOOLS[frontend], **more}


def without_arguments(missing: bool) -> JSON:
    """Returns a chat reply that calls f without arguments: an empty text, or no field at all."""
    function = {"name": "f"} if missing else {"name": "f", "arguments": ""}
    return chat_reply({"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]})


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_t1_a_call_without_arguments_has_an_empty_object(frontend: str, missing: bool) -> None:
    it = await exchange(
        frontend, "openai-chat", without_arguments(missing), request_with_tool(frontend), keys={"relay": "never"}
    )
    found: Any
    match frontend:
        case "openai-chat":
            found = json.loads(it.body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
        case "openai-responses":
            found = json.loads(it.body["output"][0]["arguments"])
        case "anthropic":
            found = it.body["content"][0]["input"]
        case "gemini":
            found = it.body["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]
        case _:
            found = it.body["message"]["tool_calls"][0]["function"]["arguments"]
    assert found == {}


def with_results(calls: int, *after: JSON) -> JSON:
    """Returns a chat request with this many calls in one turn, their results, and further messages."""
    ids = [f"call_{n}" for n in range(calls)]
    return {
        "messages": [
            {"role": "user", "content": "Call f."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids
                ],
            },
            *({"role": "tool", "tool_call_id": id_, "content": f"result of {id_}"} for id_ in ids),
            *after,
        ],
        "tools": [CHAT_TOOL],
    }


async def test_t3_parallel_results_are_one_message_before_text() -> None:
    it = await exchange("openai-chat", "anthropic", body=with_results(3, {"role": "user", "content": "Well?"}))
    _, assistant, user = it.upstream["messages"]
    assert [block["type"] for block in assistant["content"]] == ["tool_use"] * 3
    assert [block["type"] for block in user["content"]] == ["tool_result"] * 3 + ["text"]
    assert [block["tool_use_id"] for block in user["content"][:3]] == ["call_0", "call_1", "call_2"]


async def test_t5_an_orphan_is_dropped_and_declared() -> None:
    messages = [
        {"role": "user", "content": "Well?"},
        {"role": "tool", "tool_call_id": "call_lost", "content": "of a call that was cut away"},
        {"role": "assistant", "content": "Hm."},
        {"role": "assistant", "content": "", "tool_calls": with_results(1)["messages"][1]["tool_calls"]},
        {"role": "user", "content": "Never mind."},
    ]
    it = await exchange("openai-chat", "anthropic", body={"messages": messages})
    blocks = [block for message in it.upstream["messages"] for block in _blocks(message["content"])]
    calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
    results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
    assert calls == results
    assert "call_lost" not in results
    assert it.losses == ["orphan"]


def _blocks(content: Any) -> list[JSON]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


async def test_t6_disabled_parallel_calls_force_no_call() -> None:
    it = await exchange("openai-chat", "anthropic", body=request_with_tool("openai-chat", parallel_tool_calls=False))
    assert it.upstream["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize("mode", ["auto", "any"])
async def test_t7_disabled_parallel_calls_are_converted_from_anthropic(backend: str, mode: str) -> None:
    choice = {"type": mode, "disable_parallel_tool_use": True}
    it = await exchange("anthropic", backend, body=request_with_tool("anthropic", tool_choice=choice))
    assert it.upstream["parallel_tool_calls"] is False
    assert it.upstream.get("tool_choice", "auto") == {"auto": "auto", "any": "required"}[mode]


NONES: dict[str, JSON] = {
    "openai-chat": {"tool_choice": "none", "parallel_tool_calls": False},
    "openai-responses": {"tool_choice": "none", "parallel_tool_calls": False},
    "anthropic": {"tool_choice": {"type": "none"}},
    "gemini": {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
}


@pytest.mark.parametrize("frontend", NONES)
@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses", "anthropic", "gemini"])
async def test_t8_tool_choice_none_is_kept(frontend: str, backend: str) -> None:
    it = await exchange(frontend, backend, body=request_with_tool(frontend, **NONES[frontend]), keys={"relay": "never"})
    match backend:
        case "anthropic":
            assert it.upstream["tool_choice"] == {"type": "none"}
        case "gemini":
            assert it.upstream["toolConfig"]["functionCallingConfig"]["mode"] == "NONE"
        case _:
            assert it.upstream["tool_choice"] == "none"


CHOICES: tuple[tuple[JSON, Any, Any], ...] = (
    ({"type": "auto"}, "auto", "auto"),
    ({"type": "none"}, "none", "none"),
    ({"type": "any"}, "required", "required"),
    ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
)


@pytest.mark.parametrize(("choice", "in_chat", "in_responses"), CHOICES, ids=[one["type"] for one, *_ in CHOICES])
async def test_t9_each_tool_choice_is_converted(choice: JSON, in_chat: Any, in_responses: Any) -> None:
    for backend, want in (("openai-chat", in_chat), ("openai-responses", in_responses)):
        it = await exchange("anthropic", backend, body=request_with_tool("anthropic", tool_choice=choice))
        assert it.upstream["tool_choice"] == want


async def test_t10_allowed_tools_and_strict_are_kept() -> None:
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tools = [{"type": "function", "name": name, "parameters": closed, "strict": True} for name in "fgh"]
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": name} for name in "fh"]}
    body = {"input": "Call f.", "tools": tools, "tool_choice": allowed}
    to_chat = await exchange("openai-responses", "openai-chat", body=body)
    choice = to_chat.upstream["tool_choice"]["allowed_tools"]
    assert [tool["function"]["name"] for tool in choice["tools"]] == ["f", "h"]
    assert [tool["function"]["strict"] for tool in to_chat.upstream["tools"]] == [True] * 3
    to_anthropic = await exchange("openai-responses", "anthropic", body=body)
    assert [tool["name"] for tool in to_anthropic.upstream["tools"]] == ["f", "h"]
    assert "allowed_tools" in to_anthropic.losses
    to_gemini = await exchange("openai-responses", "gemini", body=body)
    calling = to_gemini.upstream["toolConfig"]["functionCallingConfig"]
    assert calling == {"mode": "VALIDATED", "allowedFunctionNames": ["f", "h"]}
    assert to_gemini.losses == []
    to_ollama = await exchange("openai-responses", "ollama", body=body)
    assert "tool_strict" in to_ollama.losses


async def test_t10_allowed_callers_are_declared_lost() -> None:
    tool = {**ANTHROPIC_TOOL, "allowed_callers": ["code_execution_20250825"]}
    it = await exchange("anthropic", "openai-chat", body=request_with_tool("anthropic", tools=[tool]))
    assert it.losses == ["unknown_field"]
    assert [loss["path"] for loss in it.record["losses"]] == ["tools[0].allowed_callers"]


async def test_t11_a_tool_of_anthropic_has_three_fields() -> None:
    it = await exchange("openai-chat", "anthropic", body=request_with_tool("openai-chat"))
    assert it.upstream["tools"] == [ANTHROPIC_TOOL]
    bare = {"type": "function", "function": {"name": "g"}}
    it = await exchange("openai-chat", "anthropic", body=request_with_tool("openai-chat", tools=[bare]))
    (tool,) = it.upstream["tools"]
    assert (tool["name"], tool["input_schema"]["type"]) == ("g", "object")
    assert tool.keys() <= {"name", "description", "input_schema"}


FORBIDDEN = ("fs.read", "fs_read", "fs:read", "x" * 70, "x" * 71)
FITS = {
    "openai-chat": r"[a-zA-Z0-9_-]{1,64}",
    "openai-responses": r"[a-zA-Z0-9_-]{1,64}",
    "anthropic": r"[a-zA-Z0-9_-]{1,128}",
    "gemini": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}",
}


@pytest.mark.parametrize("backend", FITS)
async def test_t12_tool_names_are_valid_distinct_and_restored(backend: str) -> None:
    tools = [{"name": name, "description": name, "input_schema": {"type": "object"}} for name in FORBIDDEN]
    it = await exchange("anthropic", backend, body=request_with_tool("anthropic", tools=tools), keys={"relay": "never"})
    sent = it.upstream["tools"]
    named = sent[0]["functionDeclarations"] if backend == "gemini" else [tool.get("function", tool) for tool in sent]
    names = [tool["name"] for tool in named]
    assert len(set(names)) == len(FORBIDDEN)
    assert all(re.fullmatch(FITS[backend], name) for name in names)
    again = await exchange(
        "anthropic", backend, body=request_with_tool("anthropic", tools=tools), keys={"relay": "never"}
    )
    assert again.sent == it.sent
    if backend == "openai-chat":
        call = {"id": "call_1", "type": "function", "function": {"name": names[0], "arguments": "{}"}}
        reply = chat_reply({"content": None, "tool_calls": [call]}, "tool_calls")
        back = await exchange("anthropic", backend, reply, request_with_tool("anthropic", tools=tools))
        assert back.body["content"][0]["name"] == "fs.read"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_t13_a_namespace_is_flattened_and_restored(stream: bool) -> None:
    space = {"type": "namespace", "name": "mcp", "description": "Files.", "tools": [{"type": "function", **FUNCTION}]}
    body = {"input": "Call f.", "tools": [space]}
    script = chat(call_delta(0, "{}", "call_1", "mcp__f"), finish="tool_calls")
    if stream:
        it = await exchange("openai-responses", "openai-chat", script, body, stream=True)
        (item,) = it.events[-1]["response"]["output"]
    else:
        call = {"id": "call_1", "type": "function", "function": {"name": "mcp__f", "arguments": "{}"}}
        reply = chat_reply({"content": None, "tool_calls": [call]}, "tool_calls")
        it = await exchange("openai-responses", "openai-chat", reply, body)
        (item,) = it.body["output"]
    assert [tool["function"]["name"] for tool in it.upstream["tools"]] == ["mcp__f"]
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "mcp", "f")


PATCH = '*** Begin Patch\n+say "hi"\n*** End Patch'


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_t14_a_free_text_tool_becomes_a_function_and_is_restored(stream: bool) -> None:
    body = {"input": "Patch it.", "tools": [{"type": "custom", "name": "apply_patch", "description": "Patches."}]}
    use = {"type": "tool_use", "id": "toolu_1", "name": "apply_patch", "input": {"input": PATCH}}
    if stream:
        it = await exchange("openai-responses", "anthropic", anthropic(use, stop="tool_use"), body, stream=True)
        (item,) = it.events[-1]["response"]["output"]
        deltas = [event for event in it.events if event["type"] == "response.custom_tool_call_input.delta"]
        assert "".join(event["delta"] for event in deltas) == PATCH
    else:
        it = await exchange("openai-responses", "anthropic", anthropic_reply(use, stop="tool_use"), body)
        (item,) = it.body["output"]
    (tool,) = it.upstream["tools"]
    schema = tool["input_schema"]
    assert (tool["name"], list(schema["properties"]), schema["required"]) == ("apply_patch", ["input"], ["input"])
    assert schema["properties"]["input"]["type"] == "string"
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", PATCH)


async def test_t15_two_calls_of_one_tool_have_two_ids() -> None:
    parts = [{"functionCall": {"name": "w", "args": {"n": n}}} for n in (1, 2)]
    results = [{"functionResponse": {"name": "w", "response": {"result": f"r{n}"}}} for n in (1, 2)]
    contents = [
        {"role": "user", "parts": [{"text": "Both."}]},
        {"role": "model", "parts": parts},
        {"role": "user", "parts": results},
    ]
    it = await exchange("gemini", "openai-chat", body={"contents": contents})
    _, assistant, *tools = it.upstream["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert len(set(ids)) == 2
    assert [tool["tool_call_id"] for tool in tools] == ids
    assert ["r1" in tool["content"] for tool in tools] == [True, False]


RESULTS: tuple[tuple[JSON, str], ...] = (
    ({"celsius": 12, "wet": True}, '{"celsius":12,"wet":true}'),
    ({"result": {"a": [1]}}, '{"result":{"a":[1]}}'),
    ({"result": "plain words"}, "plain words"),
    ({"output": "plain words"}, "plain words"),
)


@pytest.mark.parametrize(("response", "text"), RESULTS)
async def test_t16_a_result_becomes_its_json_text(response: JSON, text: str) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Both."}]},
        {"role": "model", "parts": [{"functionCall": {"name": "w", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "w", "response": response}}]},
    ]
    it = await exchange("gemini", "openai-chat", body={"contents": contents})
    assert it.upstream["messages"][-1]["content"] == text


@pytest.mark.parametrize("text", ["plain words", "[1, 2]", "12", ""])
async def test_t16_a_result_that_is_not_an_object_is_wrapped_for_gemini(text: str) -> None:
    body = with_results(1)
    body["messages"][-1]["content"] = text
    it = await exchange("openai-chat", "gemini", body=body)
    (part,) = it.upstream["contents"][-1]["parts"]
    assert part["functionResponse"]["response"] == {"result": text}


async def test_t17_a_tool_error_is_sent_as_text_and_declared() -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "no such file"}
    messages = [
        {"role": "user", "content": "Call f."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    for backend in ("openai-chat", "openai-responses", "ollama"):
        it = await exchange("anthropic", backend, body=request_with_tool("anthropic", messages=messages))
        last = (it.upstream.get("messages") or it.upstream["input"])[-1]
        assert last.get("content", last.get("output")) == "Error: no such file"
        assert it.losses == ["tool_error"]
    it = await exchange("anthropic", "gemini", body=request_with_tool("anthropic", messages=messages))
    assert it.upstream["contents"][-1]["parts"][0]["functionResponse"]["response"] == {"error": "no such file"}


LIMITS = {"openai-chat": 40, "openai-responses": 64}


@pytest.mark.parametrize("frontend", LIMITS)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_i1_generated_ids_are_short(frontend: str, stream: bool) -> None:
    chunk = candidate(
        {"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}}, finish="STOP"
    )
    it = await exchange(
        frontend, "gemini", gemini(chunk) if stream else chunk, request_with_tool(frontend), stream=stream
    )
    found = re.findall(rb'"(?:call_id|id|item_id)": ?"([^"]+)"', it.answer.body)
    assert found
    assert max(map(len, found)) <= 40
    calls = set(re.findall(rb'"(?:call_id|id)": ?"(call[^"]*)"', it.answer.body))
    assert len(calls) == 2


@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses"])
async def test_i1_long_ids_are_shortened(backend: str) -> None:
    long = "toolu_" + "a" * 80
    messages = [
        {"role": "user", "content": "Call f."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": long, "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": long, "content": "1"}]},
    ]
    it = await exchange("anthropic", backend, body=request_with_tool("anthropic", messages=messages))
    found = re.findall(r'"(?:tool_call_id|call_id|id)": ?"([^"]+)"', json.dumps(it.upstream))
    assert len(set(found)) == 1
    assert len(found) == 2
    assert len(found[0]) <= LIMITS[backend]


@pytest.mark.parametrize("backend", [name for name in PROTOCOLS if name != "anthropic"])
async def test_i4_a_message_has_a_message_id(backend: str) -> None:
    it = await exchange("anthropic", backend)
    assert re.fullmatch(r"msg_\w{1,36}", it.body["id"])


async def test_t1_a_call_without_arguments_in_a_stream() -> None:
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}
    it = await exchange("anthropic", "openai-chat", chat({"tool_calls": [head]}, finish="tool_calls"), stream=True)
    assert message_blocks(it.events)[0]["input"] == {}
