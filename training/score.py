"""Scores a model by the share of random probes that it answers exactly: `python -m training.score [FOLDER]`.

The proxy's own local backend runs the model; without a folder it is the bundled one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path
from random import SystemRandom
from typing import Any

from crosswire.proxy.backends.mlx.backend import MlxBackend
from crosswire.proxy.backends.mlx.model_folder import TINY, read_folder
from crosswire.proxy.ir import Reply, Request, ResponseFormat, Text, Tool, ToolCall, ToolResult, Turn
from crosswire.proxy.routing import BackendConfig

from .probe import Probe, probes

QUEUE = 1000
"""Requests that may wait at the backend; a set of probes is sent at once."""

LOADED_S = 120
"""Seconds until the first request is answered, loading included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=TINY, help="the model's folder")
    parser.add_argument("--sets", type=int, default=6, help="sets of probes, each drawn at random")
    parser.add_argument("--each", type=int, default=8, help="probes of each kind in a set")
    args = parser.parse_args()
    asyncio.run(print_scores(args.folder, args.sets, args.each))


async def print_scores(folder: Path, sets: int, each: int) -> None:
    """Prints the score of each set with its seed, then the score of each kind of probe over all sets."""
    correct, asked = Counter[str](), Counter[str]()
    config = BackendConfig(name="local", protocol="mlx", base_url="", limits={"queue": QUEUE})
    backend = MlxBackend(config, read_folder(folder), first_s=LOADED_S)
    try:
        for _ in range(sets):
            seed = SystemRandom().randrange(2**32)
            drawn = list(probes(seed, each))
            right = await correct_probes(backend, drawn)
            print(f"seed {seed}: {len(right)} of {len(drawn)}", flush=True)
            correct.update(probe.kind for probe in right)
            asked.update(probe.kind for probe in drawn)
    finally:
        await backend.close()
    for kind, count in asked.items():
        print(f"{kind}: {correct[kind]} of {count}")
    print(f"all: {correct.total()} of {asked.total()}, {correct.total() / asked.total():.3f}")


async def correct_probes(backend: MlxBackend, drawn: list[Probe]) -> list[Probe]:
    """Sends all probes at once and returns those that are answered exactly."""
    numbers = itertools.count(1)

    async def reply(probe: Probe) -> Reply:
        request = request_of(probe)
        encoded = backend.encode(request, backend.target(request.model))
        return (await backend.reply(encoded, b"", {}, lambda prefix: f"{prefix}{next(numbers)}"))[0]

    replies = await asyncio.gather(*[reply(probe) for probe in drawn])
    return [probe for probe, answer in zip(drawn, replies, strict=True) if is_right(probe, answer)]


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
    """Returns whether the reply has exactly the probe's text and calls."""
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text))
    calls: list[tuple[str, Any]] = [
        (block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)
    ]
    return calls == probe.calls and text == (probe.text or "")


if __name__ == "__main__":
    main()
