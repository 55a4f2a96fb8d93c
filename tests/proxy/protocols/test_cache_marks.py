"""`cache: auto`: where marks are placed, for whom, and that they are told."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.protocols.anthropic.cache_marks import place_cache_marks
from tests.complaints.exchange import exchange

LONG = "All that an agent must know. " * 300
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CODEX = {"user-agent": "codex_cli_rs/0.160.0 (Debian 12; x86_64) xterm"}


def turns(count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "system", "content": LONG}]
    for i in range(count):
        found += [{"role": "user", "content": f"Question {i}."}, {"role": "assistant", "content": f"Answer {i}."}]
    return [*found, {"role": "user", "content": "The last question."}]


def marks(payload: dict[str, Any]) -> list[str]:
    """The places of all marks."""
    found = [f"tools[{i}]" for i, tool in enumerate(payload.get("tools", ())) if "cache_control" in tool]
    system = payload.get("system")
    found += [
        f"system[{i}]" for i, block in enumerate(system if type(system) is list else ()) if "cache_control" in block
    ]
    for i, message in enumerate(payload["messages"]):
        blocks = message["content"] if type(message["content"]) is list else ()
        found += [f"messages[{i}].content[{j}]" for j, block in enumerate(blocks) if "cache_control" in block]
    return found


async def asked(body: dict[str, Any], *, frontend: str = "openai-chat", backend: str = "anthropic", **more: Any) -> Any:
    return await exchange(frontend, backend, body=body, model="claude-sonnet-4-5", **more)


async def test_the_rule() -> None:
    found = await asked({"messages": turns(2), "tools": [TOOL]}, cache="auto")
    assert marks(found.upstream) == ["system[0]", "messages[2].content[0]", "messages[4].content[0]"]
    told = [each["path"] for each in found.record["added"] if each["value"] == "ephemeral"]
    assert told == [f"{place}.cache_control" for place in marks(found.upstream)]
    assert found.losses == []


async def test_tools_are_marked_where_there_is_no_system_text() -> None:
    body = {
        "messages": [{"role": "user", "content": LONG}],
        "tools": [TOOL, TOOL | {"function": TOOL["function"] | {"name": "g"}}],
    }
    found = await asked(body, cache="auto")
    assert marks(found.upstream) == ["tools[1]", "messages[0].content[0]"]


FOR_WHOM: dict[str, tuple[dict[str, Any], dict[str, str], bool]] = {
    "an agent": ({}, CODEX, True),
    "another agent": ({}, {"user-agent": "QwenCode/0.14.1 (linux; x64)"}, True),
    "any other client": ({}, {"user-agent": "OpenAI/Python 2.16.0"}, False),
    "a client without a name": ({}, {}, False),
    "all": ({"cache": "auto"}, {}, True),
    "nobody": ({"cache": "off"}, CODEX, False),
    "all of one backend": ({"keys": {"cache": "auto"}}, {}, True),
    "nobody of one backend": ({"cache": "auto", "keys": {"cache": "off"}}, CODEX, False),
}


@pytest.mark.parametrize(("keys", "headers", "marked"), FOR_WHOM.values(), ids=list(FOR_WHOM))
async def test_for_whom(keys: dict[str, Any], headers: dict[str, str], marked: bool) -> None:
    found = await asked({"messages": turns(1)}, headers=headers, **keys)
    assert bool(marks(found.upstream)) == marked


async def test_a_client_that_said_it_is_not_corrected() -> None:
    messages = turns(1)
    messages[1]["content"] = [{"type": "text", "text": "Q", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    found = await asked({"messages": messages}, cache="auto")
    assert marks(found.upstream) == ["messages[0].content[0]"]
    assert found.upstream["messages"][0]["content"][0]["cache_control"]["ttl"] == "1h"


async def test_a_client_of_the_same_protocol_says_it_itself() -> None:
    body = {"system": LONG, "messages": [{"role": "user", "content": "Hi."}]}
    found = await asked(body, frontend="anthropic", cache="auto", keys={"relay": "never"})
    assert marks(found.upstream) == []


async def test_a_short_request_stays_as_it_is() -> None:
    found = await asked({"messages": [{"role": "user", "content": "Hi."}]}, cache="auto")
    assert marks(found.upstream) == []


def test_thinking_and_empty_text_take_no_mark() -> None:
    blocks = [{"type": "text", "text": LONG}, {"type": "text", "text": ""}, {"type": "thinking", "thinking": "x"}]
    payload: dict[str, Any] = {"messages": [{"role": "user", "content": blocks}]}
    place_cache_marks(payload)
    assert marks(payload) == ["messages[0].content[0]"]


def test_a_message_without_a_block_that_takes_one_is_left_alone() -> None:
    payload: dict[str, Any] = {"system": LONG, "messages": [{"role": "user", "content": []}]}
    assert [each.path for each in place_cache_marks(payload)] == ["system[0].cache_control"]
