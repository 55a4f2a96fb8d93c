"""Content, tools and settings that a target is told in its own words, and answers that come back so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, data

from .exchange import chat, exchange

HI: JSON = {"role": "user", "content": "hi"}
CONTENTS: JSON = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
JPEG = "/9j/4AAQSkZJRg=="
MP4 = "data:video/mp4;base64,AAAAIGZ0eXA="


def part(*parts: JSON) -> JSON:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def result(*content: JSON) -> JSON:
    return {
        "messages": [
            HI,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": list(content)}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
    }


def at(value: Any, path: str) -> Any:
    """Returns what stands at this path of keys and positions."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


OPENROUTER: JSON = {"quirks": ["cache_control", "web_search", "video_url", "min_p"]}
COMPACTION: JSON = {
    "messages": [
        {"role": "user", "content": "go on"},
        {
            "role": "assistant",
            "content": [{"type": "compaction", "content": "We sailed."}, {"type": "text", "text": "ok"}],
        },
        {"role": "user", "content": "and then?"},
    ]
}
CSV = "YSxiCjEsMg=="

# (what is said, frontend, backend, the backend's keys, body, place upstream, what must be there, losses)
CARRIED: dict[str, tuple[str, str, JSON, JSON, str, Any, list[str]]] = {
    "a misnamed image, chat to Anthropic": (
        *("openai-chat", "anthropic", {}),
        part({"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{JPEG}"}}),
        *("messages.0.content.0.source.media_type", "image/jpeg", []),
    ),
    "an image as Anthropic writes it, chat to Gemini": (
        *("openai-chat", "gemini", {}),
        part({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": JPEG}}),
        *("contents.0.parts.0.inlineData.mimeType", "image/jpeg", []),
    ),
    "an image as Qwen's templates take it, chat to Anthropic": (
        *("openai-chat", "anthropic", {}),
        part({"type": "image", "image": "https://h/a.png"}),
        *("messages.0.content.0.source", {"type": "url", "url": "https://h/a.png"}, []),
    ),
    "a document as Anthropic writes it, chat to Responses": (
        *("openai-chat", "openai-responses", {}),
        part({"type": "document", "title": "a.pdf", "source": {"type": "url", "url": "https://h/a.pdf"}}),
        *("input.0.content.0", {"type": "input_file", "file_url": "https://h/a.pdf"}, []),
    ),
    "a refusal of a user, chat to Responses": (
        *("openai-chat", "openai-responses", {}),
        part({"type": "refusal", "refusal": "No."}),
        *("input.0.content", "No.", ["refusal"]),
    ),
    "a refusal in a system message, Responses to Ollama": (
        *("openai-responses", "ollama", {}),
        {"input": [{"role": "system", "content": [{"type": "refusal", "refusal": "No."}]}, HI]},
        *("messages.0.content", "No.", ["refusal"]),
    ),
    "a refusal in a tool's result, Responses to chat": (
        *("openai-responses", "openai-chat", {}),
        {
            "input": [
                HI,
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "refusal", "refusal": "No."}]},
            ]
        },
        *("messages.2.content", "No.", ["refusal"]),
    ),
    "a call in a user's turn, Gemini to Responses": (
        *("gemini", "openai-responses", {}),
        {"contents": [{"role": "user", "parts": [{"text": "hi"}, {"functionCall": {"name": "f", "args": {}}}]}]},
        *("input.0.content.0.text", "hi", ["orphan"]),
    ),
    "thoughts in a system prompt, Anthropic to Gemini": (
        *("anthropic", "gemini", {}),
        {
            "system": [{"type": "text", "text": "Rules."}, {"type": "thinking", "thinking": "hm", "signature": "s"}],
            "messages": [HI],
        },
        *("systemInstruction.parts", [{"text": "Rules."}], ["reasoning_text"]),
    ),
    "a misnamed image, Anthropic to Gemini": (
        *("anthropic", "gemini", {}),
        part({"type": "image", "source": {"type": "base64", "media_type": "image/jpg", "data": JPEG}}),
        *("contents.0.parts.0.inlineData.mimeType", "image/jpeg", []),
    ),
    "a misnamed image, Responses to chat": (
        *("openai-responses", "openai-chat", {}),
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/jpg;base64,{JPEG}"}]}
            ]
        },
        *("messages.0.content.0.image_url.url", f"data:image/jpeg;base64,{JPEG}", []),
    ),
    "a video part to Gemini": (
        *("openai-chat", "gemini", {}),
        part({"type": "video_url", "video_url": {"url": MP4}}),
        *("contents.0.parts.0.inlineData.mimeType", "video/mp4", []),
    ),
    "a video of Gemini to a chat host": (
        *("gemini", "openai-chat", OPENROUTER),
        {"contents": [{"parts": [{"inlineData": {"mimeType": "video/mp4", "data": "AAAAIGZ0eXA="}}]}]},
        *("messages.0.content.0.video_url.url", MP4, []),
    ),
    "a document_url part": (
        *("openai-chat", "anthropic", {}),
        part({"type": "document_url", "document_url": "https://a.example/b.pdf"}),
        *("messages.0.content.0.source", {"type": "url", "url": "https://a.example/b.pdf"}, []),
    ),
    "a file_url part": (
        *("openai-chat", "openai-responses", {}),
        part({"type": "file_url", "file_url": {"url": "https://a.example/b.pdf"}}),
        *("input.0.content.0", {"type": "input_file", "file_url": "https://a.example/b.pdf"}, []),
    ),
    "an input_text part": (
        *("openai-chat", "gemini", {}, part({"type": "input_text", "text": "hi"})),
        *("contents.0.parts.0.text", "hi", []),
    ),
    "a data URL that is percent-encoded": (
        *("openai-chat", "anthropic", {}),
        part({"type": "file", "file": {"file_data": "data:text/plain,a%20b", "filename": "n.txt"}}),
        *("messages.0.content.0.source.data", "a b", []),
    ),
    "a text file to chat": (
        *("openai-responses", "openai-chat", {}),
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "filename": "t.csv", "file_data": f"data:text/csv;base64,{CSV}"}
                    ],
                }
            ]
        },
        *("messages.0.content", "a,b\n1,2", ["name"]),
    ),
    "a text document in a result, to chat": (
        *("anthropic", "openai-chat", {}),
        result({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}),
        *("messages.2.content", "words", []),
    ),
    "a text document in a result, to Gemini": (
        *("anthropic", "gemini", {}),
        result({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}),
        *("contents.2.parts.0.functionResponse.response", {"result": "words"}, []),
    ),
    "two texts of a result, to chat": (
        *("anthropic", "openai-chat", {}, result({"type": "text", "text": "a"}, {"type": "text", "text": "b"})),
        *("messages.2.content", "a\nb", []),
    ),
    "two texts of a result, to Gemini": (
        *("anthropic", "gemini", {}, result({"type": "text", "text": "a"}, {"type": "text", "text": "b"})),
        *("contents.2.parts.0.functionResponse.response", {"result": "a\nb"}, []),
    ),
    "a found tool, to Responses": (
        *("anthropic", "openai-responses", {}, result({"type": "tool_reference", "tool_name": "w"})),
        *("input.2.output", "Tool found: w", []),
    ),
    "a compaction block, to chat": (
        *("anthropic", "openai-chat", {}, COMPACTION),
        *("messages.1", {"role": "user", "content": "Summary of the conversation so far:\nWe sailed."}, []),
    ),
    "a compaction block, to Ollama": (
        *("anthropic", "ollama", {}, COMPACTION),
        *("messages.1.content", "Summary of the conversation so far:\nWe sailed.", []),
    ),
    "a cache mark of Anthropic to a chat host": (
        *("anthropic", "openai-chat", OPENROUTER),
        {
            "system": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}],
            "messages": [HI],
        },
        *("messages.0.content.0.cache_control", {"type": "ephemeral"}, []),
    ),
    "a cache mark on a tool": (
        *("anthropic", "openai-chat", OPENROUTER),
        {
            "messages": [HI],
            "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        },
        *("tools.0.cache_control", {"type": "ephemeral"}, []),
    ),
    "a cache mark of chat to Anthropic": (
        *("openai-chat", "anthropic", {}),
        part({"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        *("messages.0.content.0.cache_control", {"type": "ephemeral", "ttl": "1h"}, []),
    ),
    "a detail to Gemini 2.5": (
        *("openai-chat", "gemini", {}),
        part({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{JPEG}", "detail": "low"}}),
        *("generationConfig.mediaResolution", "MEDIA_RESOLUTION_LOW", []),
    ),
    "a detail to Gemini 3": (
        *("openai-chat", "gemini", {"quirks": ["gemini_3"]}),
        part({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{JPEG}", "detail": "high"}}),
        *("contents.0.parts.0.mediaResolution", {"level": "MEDIA_RESOLUTION_HIGH"}, []),
    ),
    "a media resolution to chat": (
        *("gemini", "openai-chat", {}),
        {
            "contents": [{"parts": [{"inlineData": {"mimeType": "image/jpeg", "data": JPEG}}]}],
            "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
        },
        *("messages.0.content.0.image_url.detail", "low", []),
    ),
    "a detail to Responses": (
        *("openai-chat", "openai-responses", {}),
        part({"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "high"}}),
        *("input.0.content.0.detail", "high", []),
    ),
    "a tier of chat to Gemini": (
        *("openai-chat", "gemini", {}, {"messages": [HI], "service_tier": "flex"}, "serviceTier", "flex", []),
    ),
    "a tier of Gemini to Responses": (
        *("gemini", "openai-responses", {}, {**CONTENTS, "serviceTier": "priority"}, "service_tier", "priority", []),
    ),
    "a safety identifier": (
        *("openai-chat", "anthropic", {}, {"messages": [HI], "safety_identifier": "u-1"}),
        *("metadata", {"user_id": "u-1"}, []),
    ),
    "samplers to a chat host": (
        *("ollama", "openai-chat", OPENROUTER, {"messages": [HI], "options": {"min_p": 0.1}}, "min_p", 0.1, []),
    ),
    "samplers to llama.cpp": (
        *("ollama", "openai-chat", {"quirks": ["llama_samplers"]}),
        *({"messages": [HI], "options": {"mirostat": 2}}, "mirostat", 2, []),
    ),
    "samplers to Ollama": (
        *("openai-chat", "ollama", {}, {"messages": [HI], "repetition_penalty": 1.2}),
        *("options", {"repeat_penalty": 1.2}, []),
    ),
    "a grammar to Anthropic": (
        *("openai-responses", "anthropic", {}),
        {
            "input": "hi",
            "tools": [
                {
                    "type": "custom",
                    "name": "c",
                    "description": "D.",
                    "format": {"type": "grammar", "syntax": "regex", "definition": "a+"},
                }
            ],
        },
        *("tools.0.description", "D.\nThe input must fit this regex grammar:\na+", ["custom_tool"]),
    ),
    "a group's description": (
        *("openai-responses", "openai-chat", {}),
        {
            "input": "hi",
            "tools": [
                {
                    "type": "namespace",
                    "name": "n",
                    "description": "Bells.",
                    "tools": [{"type": "function", "name": "f", "description": "Rings.", "parameters": {}}],
                }
            ],
        },
        *("tools.0.function.description", "Rings.\nOf the group n: Bells.", []),
    ),
    "a format's description to Ollama": (
        *("openai-chat", "ollama", {}),
        {
            "messages": [HI],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "description": "A place.", "schema": {"type": "object"}},
            },
        },
        *("format", {"description": "A place.", "type": "object"}, []),
    ),
    "a web search, Responses to Anthropic": (
        *("openai-responses", "anthropic", {}),
        {
            "input": "hi",
            "tools": [
                {
                    "type": "web_search",
                    "filters": {"allowed_domains": ["a.example"]},
                    "user_location": {"type": "approximate", "city": "Lisbon"},
                }
            ],
        },
        "tools.0",
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.example"],
            "user_location": {"type": "approximate", "city": "Lisbon"},
        },
        [],
    ),
    "a web search, Anthropic to Responses": (
        *("anthropic", "openai-responses", {}),
        {"messages": [HI], "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]},
        *("tools.0", {"type": "web_search"}, ["hosted_tools"]),
    ),
    "a web search, Anthropic to Gemini": (
        *("anthropic", "gemini", {}),
        {"messages": [HI], "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        *("tools", [{"googleSearch": {}}], []),
    ),
    "a web search, Gemini to Anthropic": (
        *("gemini", "anthropic", {}, {**CONTENTS, "tools": [{"googleSearch": {}}]}),
        *("tools.0", {"type": "web_search_20250305", "name": "web_search"}, []),
    ),
    "a web search, chat to Gemini": (
        *("openai-chat", "gemini", {}, {"messages": [HI], "web_search_options": {}}),
        *("tools", [{"googleSearch": {}}], []),
    ),
    "a web search, chat to Responses": (
        *("openai-chat", "openai-responses", {}),
        {"messages": [HI], "web_search_options": {"search_context_size": "low"}},
        *("tools.0", {"type": "web_search", "search_context_size": "low"}, []),
    ),
    "a web search, Responses to chat": (
        *("openai-responses", "openai-chat", OPENROUTER, {"input": "hi", "tools": [{"type": "web_search"}]}),
        *("web_search_options", {}, []),
    ),
    "code execution, Responses to Gemini": (
        *("openai-responses", "gemini", {}),
        {"input": "hi", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        *("tools", [{"codeExecution": {}}], []),
    ),
    "code execution, Gemini to Anthropic": (
        *("gemini", "anthropic", {}, {**CONTENTS, "tools": [{"codeExecution": {}}]}),
        *("tools.0", {"type": "code_execution_20250825", "name": "code_execution"}, []),
    ),
    "fetching pages, Anthropic to Gemini": (
        *("anthropic", "gemini", {}),
        {"messages": [HI], "tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
        *("tools", [{"urlContext": {}}], []),
    ),
    "an MCP server, Anthropic to Responses": (
        *("anthropic", "openai-responses", {}),
        {
            "messages": [HI],
            "mcp_servers": [{"type": "url", "name": "s", "url": "https://s.example", "authorization_token": "k"}],
            "tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}],
        },
        "tools.0",
        {
            "type": "mcp",
            "server_label": "s",
            "server_url": "https://s.example",
            "authorization": "k",
            "require_approval": "never",
        },
        [],
    ),
    "an MCP server, Responses to Anthropic": (
        *("openai-responses", "anthropic", {}),
        {
            "input": "hi",
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "s",
                    "server_url": "https://s.example",
                    "allowed_tools": ["f"],
                    "require_approval": "never",
                }
            ],
        },
        "tools.0",
        {
            "type": "mcp_toolset",
            "mcp_server_name": "s",
            "default_config": {"enabled": False},
            "configs": {"f": {"enabled": True}},
        },
        [],
    ),
    "a forced web search": (
        *("openai-responses", "anthropic", {}),
        {"input": "hi", "tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        *("tool_choice", {"type": "tool", "name": "web_search"}, []),
    ),
    "a shell of Responses, its call": (
        *("openai-responses", "anthropic", {}),
        {
            "input": [
                HI,
                {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}, "status": "completed"},
                {
                    "type": "shell_call_output",
                    "call_id": "c1",
                    "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 1}}],
                },
            ],
            "tools": [{"type": "shell"}],
        },
        "messages.1.content.0",
        {"type": "tool_use", "id": "c1", "name": "shell", "input": {"commands": ["ls"]}},
        [],
    ),
    "a patch of Responses, its outcome": (
        *("openai-responses", "openai-chat", {}),
        {
            "input": [
                HI,
                {"type": "apply_patch_call", "call_id": "c1", "operation": {"type": "delete_file", "path": "a"}},
                {"type": "apply_patch_call_output", "call_id": "c1", "status": "failed", "output": "no such file"},
            ],
            "tools": [{"type": "apply_patch"}],
        },
        *("messages.2.content", "Error: no such file", ["tool_error"]),
    ),
    "a tool that is loaded later": (
        *("anthropic", "openai-chat", {}),
        {"messages": [HI], "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}]},
        *("tools.0.function.name", "f", ["tool_loading"]),
    ),
}


@pytest.mark.parametrize("name", CARRIED)
async def test_it_is_carried(name: str) -> None:
    frontend, backend, keys, body, path, expected, losses = CARRIED[name]
    it = await exchange(frontend, backend, body=body, keys=keys)
    assert it.answer.status == 200, it.answer.body
    assert at(it.upstream, path) == expected
    assert it.losses == losses


@pytest.mark.parametrize("name", [[], {}, 5, "another"])
async def test_a_toolset_of_no_server_is_a_hosted_tool_that_is_lost(name: object) -> None:
    tools = [{"type": "mcp_toolset", "mcp_server_name": name}]
    servers = [{"type": "url", "url": "https://h/mcp", "name": "s"}]
    it = await exchange("anthropic", "openai-chat", body={"messages": [HI], "tools": tools, "mcp_servers": servers})
    assert (it.answer.status, it.losses) == (200, ["hosted_tools"])


COMPACTED: JSON = {"input": [{"type": "compaction", "encrypted_content": "x"}, HI]}
# (frontend, backend, body, a word of the message)
REFUSED: dict[str, tuple[str, str, JSON, str]] = {
    "a video": ("openai-chat", "anthropic", part({"type": "video_url", "video_url": {"url": MP4}}), "video"),
    "a part of an unknown kind": ("openai-chat", "gemini", part({"type": "hologram"}), "content"),
    "a compacted conversation": ("openai-responses", "anthropic", COMPACTED, "compaction"),
    "content that Google keeps": (
        "gemini",
        "openai-chat",
        {**CONTENTS, "cachedContent": "c/1"},
        "previous_response_id",
    ),
    "a region": ("anthropic", "openai-chat", {"messages": [HI], "inference_geo": "us"}, "data_residency"),
    "a document that is no file": (
        *("anthropic", "ollama"),
        part({"type": "text", "text": "a"}, {"type": "container_upload", "file_id": "f"}),
        "document",
    ),
    "an empty turn of chat": (
        "openai-chat",
        "anthropic",
        {"messages": [{"role": "user", "content": ""}]},
        "empty_turn",
    ),
    "a turn of empty parts": ("openai-chat", "gemini", part({"type": "text", "text": ""}), "empty_turn"),
    "an empty turn of Anthropic": (
        "anthropic",
        "openai-chat",
        {"messages": [{"role": "user", "content": []}]},
        "messages",
    ),
    "an empty turn of Gemini": ("gemini", "ollama", {"contents": [{"parts": [{"text": ""}]}]}, "empty_turn"),
    "an empty input": ("openai-responses", "anthropic", {"input": ""}, "empty_turn"),
    "an empty item": ("openai-responses", "anthropic", {"input": [{"role": "user", "content": []}]}, "empty_turn"),
    "an empty turn of Ollama": (
        "ollama",
        "openai-chat",
        {"messages": [{"role": "user", "content": ""}]},
        "empty_turn",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_by_the_right_word(name: str) -> None:
    frontend, backend, body, word = REFUSED[name]
    it = await exchange(frontend, backend, body=body)
    assert (it.answer.status, it.sent) == (400, [])
    assert word in it.answer.body.decode()


async def test_calls_of_two_turns_are_answered_by_one() -> None:
    calls = [{"type": "tool_use", "id": f"t{n}", "name": "f", "input": {}} for n in (1, 2)]
    answers = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": f"r{n}"} for n in (1, 2)]
    body = {
        "messages": [
            HI,
            *({"role": "assistant", "content": [call]} for call in calls),
            {"role": "user", "content": answers},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }
    it = await exchange("anthropic", "openai-chat", body=body)
    assert [message["role"] for message in it.upstream["messages"]] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in it.upstream["messages"][1]["tool_calls"]] == ["t1", "t2"]
    assert it.losses == []


async def test_a_tool_that_anthropics_client_runs_is_a_function_with_its_inputs() -> None:
    tools = [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9},
        {"type": "memory_20250818", "name": "memory"},
        {
            "type": "computer_20251124",
            "name": "computer",
            "display_width_px": 8,
            "display_height_px": 6,
            "enable_zoom": True,
        },
    ]
    it = await exchange("anthropic", "openai-chat", body={"messages": [HI], "tools": tools})
    functions = {tool["function"]["name"]: tool["function"] for tool in it.upstream["tools"]}
    inputs = {name: function["parameters"]["properties"].keys() for name, function in functions.items()}
    assert inputs["bash"] == {"command", "restart"}
    assert {"command", "path", "file_text", "old_str", "new_str", "insert_line", "insert_text", "view_range"} == inputs[
        "str_replace_based_edit_tool"
    ]
    assert {"old_path", "new_path"} <= inputs["memory"]
    assert {"action", "coordinate", "region"} <= inputs["computer"]
    assert "8 x 6" in functions["computer"]["description"]
    assert it.losses == []


CALL_ITEMS: dict[str, tuple[str, str, JSON]] = {
    "shell": ("shell", '{"commands":["ls"]}', {"type": "shell_call", "action": {"commands": ["ls"]}}),
    "local_shell": (
        *("local_shell", '{"command":["ls"]}'),
        {"type": "local_shell_call", "action": {"type": "exec", "env": {}, "command": ["ls"]}},
    ),
    "apply_patch": (
        *("apply_patch", '{"type":"delete_file","path":"a"}'),
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
    ),
    "arguments that no item can hold": ("shell", "ls", {"type": "function_call", "name": "shell", "arguments": "ls"}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CALL_ITEMS)
async def test_calls_of_openais_own_tools_come_back_as_their_items(name: str, stream: bool) -> None:
    tool, arguments, expected = CALL_ITEMS[name]
    function = {"name": tool, "arguments": arguments}
    whole = {
        "id": "c",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "tool_calls": [{"id": "c1", "type": "function", "function": function}],
                },
            }
        ],
    }
    pieces = chat(
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}, finish="tool_calls"
    )
    body = {"input": "hi", "tools": [{"type": tool}]}
    it = await exchange("openai-responses", "openai-chat", pieces if stream else whole, body, stream=stream)
    response = it.events[-1]["response"] if stream else it.body
    (item,) = response["output"]
    assert item.items() >= {**expected, "call_id": "c1", "status": "completed"}.items()
    if stream:
        (done,) = (event["item"] for event in it.events if event["type"] == "response.output_item.done")
        assert done == item


SEARCHED: JSON = {
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "ships"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [
                {"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "x"}
            ],
        },
        {
            "type": "text",
            "text": "Two ships.",
            "citations": [
                {
                    "type": "web_search_result_location",
                    "url": "https://a.example",
                    "title": "A",
                    "cited_text": "two",
                    "encrypted_index": "i",
                }
            ],
        },
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


async def test_a_search_comes_back_with_its_citations() -> None:
    body = {"input": "hi", "tools": [{"type": "web_search"}]}
    it = await exchange("openai-responses", "anthropic", SEARCHED, body)
    search, message = it.body["output"]
    assert (search["type"], search["status"]) == ("web_search_call", "completed")
    assert search["action"] == {
        "type": "search",
        "query": "ships",
        "sources": [{"type": "url", "url": "https://a.example"}],
    }
    assert message["content"][0]["annotations"][0]["url"] == "https://a.example"
    google = await exchange("gemini", "anthropic", SEARCHED, {**CONTENTS, "tools": [{"googleSearch": {}}]})
    metadata = google.body["candidates"][0]["groundingMetadata"]
    assert metadata["webSearchQueries"] == ["ships"]
    assert metadata["groundingChunks"] == [{"web": {"uri": "https://a.example", "title": "A"}}]


async def test_a_search_of_responses_is_told_to_anthropic_and_not_sent_back_there() -> None:
    items = [
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "ships"},
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
    ]
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = {"id": "r", "status": "completed", "output": items}
    it = await exchange("anthropic", "openai-responses", answer, {"messages": [HI], "tools": tools})
    call, found, text = it.body["content"]
    assert (call["type"], call["input"]) == ("server_tool_use", {"query": "ships"})
    assert (found["type"], found["tool_use_id"]) == ("web_search_tool_result", call["id"])
    assert text["text"] == "ok"
    history = [HI, {"role": "assistant", "content": it.body["content"]}, {"role": "user", "content": "more"}]
    back = await exchange("anthropic", "anthropic", body={"messages": history, "tools": tools})
    assert back.upstream["messages"][1] == {"role": "assistant", "content": "ok"} or [
        block["type"] for block in back.upstream["messages"][1]["content"]
    ] == ["text"]
    assert back.losses == ["hosted_output"]


async def test_code_that_gemini_ran_is_told_to_responses_and_anthropic() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "print(2)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
        {"text": "Two."},
    ]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    it = await exchange("openai-responses", "gemini", answer, {"input": "hi", "tools": tools})
    run = it.body["output"][0]
    assert (run["type"], run["code"], run["outputs"]) == (
        *("code_interpreter_call", "print(2)"),
        [{"type": "logs", "logs": "2\n"}],
    )
    own = [{"type": "code_execution_20250825", "name": "code_execution"}]
    there = await exchange("anthropic", "gemini", answer, {"messages": [HI], "tools": own})
    call, ran, _ = there.body["content"]
    assert (call["input"], ran["content"]["stdout"]) == ({"code": "print(2)"}, "2\n")


async def test_the_part_of_a_segment_decides_where_a_citation_is() -> None:
    answer = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "Ano. "}, {"text": "Ano."}]},
                "finishReason": "STOP",
                "groundingMetadata": {
                    "groundingChunks": [{"maps": {"uri": "https://m.example", "title": "M"}}, {"image": {}}],
                    "groundingSupports": [
                        {"segment": {"partIndex": 1, "startIndex": 0, "endIndex": 4}, "groundingChunkIndices": [0]}
                    ],
                },
            }
        ]
    }
    it = await exchange("openai-chat", "gemini", answer)
    (annotation,) = it.body["choices"][0]["message"]["annotations"]
    cited = annotation["url_citation"]
    assert (cited["start_index"], cited["end_index"], cited["url"]) == (5, 9, "https://m.example")
    assert it.losses == ["citations"]  # the source that has no address


@pytest.mark.parametrize("stream", [False, True])
async def test_sources_beside_the_choices_become_citations(stream: bool) -> None:
    sources = {"citations": ["https://a.example"], "search_results": [{"title": "A", "url": "https://a.example"}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": "It is [1]."}, "finish_reason": "stop"}
    frames = chat({"content": "It is [1]."})
    head = {"id": "c", "object": "chat.completion.chunk", "model": "m", **sources}
    frames.insert(1, data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": None}]}))
    script: Any = frames if stream else {"id": "c", "choices": [choice], **sources}
    it = await exchange("anthropic", "openai-chat", script, stream=stream)
    text = json.dumps(it.events if stream else it.body)
    assert '"url": "https://a.example", "title": "A"' in text
    assert [loss for loss in it.losses if loss == "unknown_field"] == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses", "gemini"])
async def test_surplus_stop_sequences_end_the_answer(backend: str, stream: bool) -> None:
    body = {"messages": [HI], "stop_sequences": ["a1", "a2", "a3", "a4", "a5", "STOP"]}
    said = "Two shipsSTOP and more"
    pieces = [said[at : at + 3] for at in range(0, len(said), 3)]
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    scripts: dict[str, tuple[JSON, list[bytes]]] = {
        "openai-chat": (
            {
                "id": "c",
                "choices": [{"index": 0, "message": {"content": said}, "finish_reason": "stop"}],
                "usage": usage,
            },
            chat(*({"content": piece} for piece in pieces), usage=usage),
        ),
        "openai-responses": (
            {
                "id": "r",
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": said}]}],
                "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12},
            },
            [
                data({"type": "response.created", "response": {"id": "r"}}),
                *(data({"type": "response.output_text.delta", "output_index": 0, "delta": piece}) for piece in pieces),
                data(
                    {
                        "type": "response.completed",
                        "response": {
                            "id": "r",
                            "status": "completed",
                            "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12},
                        },
                    }
                ),
            ],
        ),
        "gemini": (
            {
                "candidates": [{"content": {"parts": [{"text": said}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 9, "totalTokenCount": 12},
            },
            [
                *(data({"candidates": [{"content": {"parts": [{"text": piece}]}}]}) for piece in pieces),
                data(
                    {
                        "candidates": [{"content": {"parts": []}, "finishReason": "STOP"}],
                        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 9, "totalTokenCount": 12},
                    }
                ),
            ],
        ),
    }
    it = await exchange("anthropic", backend, scripts[backend][stream], body, stream=stream)
    if stream:
        text = "".join(e["delta"].get("text", "") for e in it.events if e["type"] == "content_block_delta")
        (end,) = (event for event in it.events if event["type"] == "message_delta")
        stop, usage_out = end["delta"], end["usage"]
    else:
        text, stop, usage_out = it.body["content"][0]["text"], it.body, it.body["usage"]
    assert text == "Two ships"
    assert (stop["stop_reason"], stop["stop_sequence"]) == ("stop_sequence", "STOP")
    assert usage_out["output_tokens"] == 9
    assert "stop" not in it.losses


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_told_to_anthropic_as_one(stream: bool) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot."}
    whole: JSON = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    script: Any = chat({"refusal": "I "}, {"refusal": "cannot."}) if stream else whole
    it = await exchange("anthropic", "openai-chat", script, stream=stream)
    end = next(event["delta"] for event in it.events if event["type"] == "message_delta") if stream else it.body
    assert end["stop_reason"] == "refusal"
    assert end["stop_details"] == {"type": "refusal", "category": None, "explanation": "I cannot."}
    assert it.losses == []


async def test_a_stop_sequence_of_blanks_ends_the_answer_of_a_provider_that_refuses_it() -> None:
    answer = {
        "type": "message",
        "content": [{"type": "text", "text": "one\ntwo"}],
        "stop_reason": "end_turn",
        "usage": {},
    }
    it = await exchange("openai-chat", "anthropic", answer, {"messages": [HI], "stop": ["\n"]})
    assert "stop_sequences" not in it.upstream
    assert it.body["choices"][0]["message"]["content"] == "one"


@pytest.mark.parametrize("protocol", ["openai-chat", "gemini", "ollama"])
async def test_an_empty_turn_is_relayed_to_hosts_that_answer_it(protocol: str) -> None:
    body: JSON = {"messages": [{"role": "user", "content": ""}]}
    it = await exchange(
        protocol, protocol, body={"contents": [{"parts": [{"text": ""}]}]} if protocol == "gemini" else body
    )
    assert (it.answer.status, len(it.sent)) == (200, 1)
