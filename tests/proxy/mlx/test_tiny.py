"""The shipped model answers dialogs whose names, words, tools and values dice drew a moment ago: no table could."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import SystemRandom
from typing import Any

import training
from proxy.backends.mlx.folder import TINY
from proxy.ir import Format, Reply, Request, Text, Tool, ToolCall, ToolResult, Turn
from training.probe import KINDS, Probe, probes

from .voice import voice

SHARE = 0.9
"""Of all probes that must be answered exactly; the shipped weights answer more, and dice may draw hard ones."""

SURE = ("greeting", "counting", "nothing", "unneeded")
"""Kinds that hang on no word that was drawn."""

EACH = 8


def request(probe: Probe) -> Request:
    """The probe as a client asks it."""
    turns = []
    for number, message in enumerate(probe.messages):
        match message:
            case {"tool_calls": [{"function": {"name": name, "arguments": given}}]}:
                turns.append(Turn("assistant", (ToolCall(f"c{number}", name, json.dumps(given)),)))
            case {"role": "tool", "content": text}:
                turns.append(Turn("user", (ToolResult(f"c{number - 1}", (Text(text),)),)))
            case {"role": role, "content": text}:
                turns.append(Turn(role, (Text(text),)))
    tools = tuple(Tool(t["function"]["name"], None, t["function"]["parameters"]) for t in probe.tools)
    form = None if probe.format is None else Format("json_schema", probe.format)
    return Request(dialect="probe", model="m", turns=tuple(turns), tools=tools, format=form, max_tokens=200)


def is_right(probe: Probe, reply: Reply) -> bool:
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text))
    calls: list[tuple[str, Any]] = [
        (block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)
    ]
    return calls == probe.calls and text == (probe.text or "")


async def test_it_answers_what_nobody_ever_asked() -> None:
    seed = SystemRandom().randrange(2**32)
    asked = list(probes(seed, EACH))
    async with voice(queue=1000) as local:
        replies = await asyncio.gather(*[local.reply(request(probe)) for probe in asked])
    right = Counter(probe.kind for probe, reply in zip(asked, replies, strict=True) if is_right(probe, reply))
    told = f"{right.total()} of {len(asked)} with seed {seed}: {dict(right)}"
    print(told, file=sys.stderr)
    assert all(right[kind] == EACH for kind in SURE), told
    assert right.total() >= SHARE * len(asked), told


def test_the_same_seed_asks_the_same_and_another_does_not() -> None:
    assert list(probes(1)) == list(probes(1))
    assert list(probes(1)) != list(probes(2))
    assert {probe.kind for probe in probes(1, 1)} == {make.__name__ for make in KINDS}


def test_the_shipped_template_is_the_one_it_learned_from() -> None:
    name = "chat_template.jinja"
    assert (TINY / name).read_text("utf-8") == Path(training.__file__).with_name(name).read_text("utf-8")
