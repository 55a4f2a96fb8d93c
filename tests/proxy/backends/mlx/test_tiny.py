"""The bundled model answers dialogs with random names, words, tools and values."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import SystemRandom
from typing import Any

import training
from crosswire.proxy.backends.mlx.model_folder import TINY
from crosswire.proxy.ir import Reply, Request, ResponseFormat, Text, Tool, ToolCall, ToolResult, Turn
from training.probe import KINDS, Probe, probes

from .local_model import local_model

SHARE = 0.9
"""Share of the probes that must be answered exactly; the bundled weights answer more, but random probes may be hard."""

EASY_KINDS = ("greeting", "counting", "nothing", "unneeded")
"""Kinds of probes that do not depend on a random word; all of them must be answered."""

STEPS = ("next_step", "last_step", "passed_on", "told_by_result")
"""Kinds of probes with several steps, which were not in the training of the bundled weights."""

PROBES_PER_KIND = 8


def request_of(probe: Probe) -> Request:
    """Returns the probe as a request."""
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
    form = None if probe.format is None else ResponseFormat("json_schema", probe.format)
    return Request(protocol="probe", model="m", turns=tuple(turns), tools=tools, format=form, max_tokens=200)


def is_right(probe: Probe, reply: Reply) -> bool:
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text))
    calls: list[tuple[str, Any]] = [
        (block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)
    ]
    return calls == probe.calls and text == (probe.text or "")


async def test_it_answers_random_probes() -> None:
    seed = SystemRandom().randrange(2**32)
    all_probes = [probe for probe in probes(seed, PROBES_PER_KIND) if probe.kind not in STEPS]
    async with local_model(queue=1000) as local:
        replies = await asyncio.gather(*[local.reply(request_of(probe)) for probe in all_probes])
    correct = Counter(probe.kind for probe, reply in zip(all_probes, replies, strict=True) if is_right(probe, reply))
    summary = f"{correct.total()} of {len(all_probes)} with seed {seed}: {dict(correct)}"
    print(summary, file=sys.stderr)
    assert all(correct[kind] == PROBES_PER_KIND for kind in EASY_KINDS), summary
    assert correct.total() >= SHARE * len(all_probes), summary


def test_probes_depend_on_the_seed_alone() -> None:
    assert list(probes(1)) == list(probes(1))
    assert list(probes(1)) != list(probes(2))
    assert {probe.kind for probe in probes(1, 1)} == {make.__name__ for make in KINDS}


def test_the_bundled_template_is_that_of_the_training() -> None:
    name = "chat_template.jinja"
    assert (TINY / name).read_text("utf-8") == Path(training.__file__).with_name(name).read_text("utf-8")
