"""A folder of a user's own model loads, streams, calls tools under the grammar, is cancelled and reports usage."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.errors import ClientError, UpstreamError
from crosswire.proxy.ir import BlockDelta, ReasoningConfig, Reply, ReplyEnd, Tool, ToolCall, ToolChoice

from .local_model import local_model, make_request
from .own_model import OWN_KEYS, ROLES, THINKS_ALWAYS, THINKS_IF_TOLD, TOOLS, make_model

FORECAST = Tool(
    "forecast",
    "The weather in a city.",
    {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"enum": [1, 2, 3]}},
        "required": ["city", "days"],
    },
)
CALLS = {"tools": (FORECAST,), "tool_choice": ToolChoice("required"), "parallel": False}
"""One call is required; a model with random weights would go on calling."""


@pytest.fixture(scope="module", params=OWN_KEYS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / str(request.param), str(request.param))


async def test_it_streams_calls_and_reports_usage(folder: Path) -> None:
    async with local_model(folder) as local:
        events = [event async for event in local.events(make_request("What is the weather?", max_tokens=12))]
        end = events[-1]
        assert isinstance(end, ReplyEnd)
        assert end.usage is not None
        assert (end.usage.output or 0) in range(1, 13)
        assert end.usage.prompt is not None
        assert end.usage.prompt > 10
        assert [type(event) for event in events].count(BlockDelta) >= 1
        reply = await local.reply(make_request("What is the weather in Oslo?", **CALLS))
        check_calls(reply)


def check_calls(reply: Reply) -> None:
    calls = [block for block in reply.blocks if isinstance(block, ToolCall)]
    assert calls
    for call in calls:
        given = json.loads(call.arguments)
        assert call.name == "forecast"
        assert given["city"] in ("Oslo", "Rome")
        assert given["days"] in (1, 2, 3)
    assert reply.stop == "tool"


async def test_a_cancelled_request_makes_room_for_the_next(folder: Path) -> None:
    async with local_model(folder, batch=1) as local:
        events = local.events(make_request("Go on for ever.", max_tokens=400))
        async for event in events:
            if isinstance(event, BlockDelta):
                break
        await events.aclose()  # type: ignore[attr-defined]
        reply = await asyncio.wait_for(local.reply(make_request("And now?", max_tokens=3)), 30)
        assert reply.usage is not None
        assert reply.usage.output is not None


async def test_quantised_weights(tmp_path: Path) -> None:
    async with local_model(make_model(tmp_path / "four-bits", "llama", bits=4)) as local:
        check_calls(await local.reply(make_request("What is the weather in Rome?", **CALLS)))


TEMPLATES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "told to think": (THINKS_IF_TOLD, {"reasoning": ReasoningConfig(enabled=True)}, []),
    "told not to think": (THINKS_IF_TOLD, {}, ["Text"]),
    "always thinking": (THINKS_ALWAYS, {}, ["Reasoning"]),
}


@pytest.mark.parametrize(("template", "keys", "kinds"), TEMPLATES.values(), ids=list(TEMPLATES))
async def test_templates_that_think(template: str, keys: dict[str, Any], kinds: list[str], tmp_path: Path) -> None:
    async with local_model(make_model(tmp_path / "model", template=template)) as local:
        reply = await local.reply(make_request("What is the weather?", max_tokens=8, **keys))
        assert [type(block).__name__ for block in reply.blocks][:1] == kinds or not kinds


async def test_a_template_without_tools_answers_without_them_and_refuses_them_with_the_reason(tmp_path: Path) -> None:
    async with local_model(make_model(tmp_path / "model", template=ROLES.replace("<tool_call>", "["))) as local:
        with pytest.raises(ClientError, match="ask without tools"):
            await local.reply(make_request("What is the weather?", **CALLS))
        assert (await local.reply(make_request("What is the weather?", max_tokens=4))).usage is not None


LOAD_FAULTS: dict[str, dict[str, Any]] = {
    "an architecture that mlx-lm lacks": {"model_type": "abacus", "architectures": []},
    "sizes of another model": {"intermediate_size": 100},
}


@pytest.mark.parametrize("keys", LOAD_FAULTS.values(), ids=list(LOAD_FAULTS))
async def test_a_model_that_cannot_be_loaded_is_unreachable_and_says_why(keys: dict[str, Any], tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model", template=TOOLS + ROLES)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
    async with local_model(folder) as local:
        with pytest.raises(UpstreamError, match="cannot be loaded"):
            await local.reply(make_request("Hello!"))
        assert local.backend.state.startswith("cannot be loaded: ")
