"""Names and tools beyond the limits are a 400 that names the key, from every client."""

from __future__ import annotations

from typing import Any

import pytest

from ..fake_backends import Canned
from ..proxy_fixture import config, one
from ..sample_messages import PROTOCOLS, ask, dumps, error_text


def tools(protocol: str, names: list[str]) -> dict[str, Any]:
    match protocol:
        case "openai-responses":
            return {"tools": [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in names]}
        case "anthropic":
            return {"tools": [{"name": name, "input_schema": {"type": "object"}} for name in names]}
        case "gemini":
            return {"tools": [{"functionDeclarations": [{"name": name} for name in names]}]}
    return {"tools": [{"type": "function", "function": {"name": name}} for name in names]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_names_and_tools(protocol: str) -> None:
    it = Canned(config(one("openai-chat", "http://up.test"), limits={"name_length": 20, "tools": 3}))
    cases: list[tuple[dict[str, Any], str]] = [
        (tools(protocol, ["a", "b", "c", "d"]), "limits.tools"),
        (tools(protocol, ["a", "x" * 21]), "limits.name_length"),
    ]
    if protocol != "gemini":
        cases.append(({"model": "m" * 21}, "limits.name_length"))
    for more, key in cases:
        answer, _ = await it.ask(protocol, dumps({**ask(protocol), **more}))
        assert answer is not None
        assert answer.status == 400
        assert key in error_text(protocol, 400, answer.body)
    answer, _ = await it.ask(protocol, dumps({**ask(protocol), **tools(protocol, ["a", "b", "x" * 20])}))
    assert answer is not None
    assert answer.status == 200, answer
    assert all(len(each.model or "") <= 20 for _, each in it.gateway.records.newest())
