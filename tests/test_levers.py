"""The levers of speed: with and without each of them a client and a record get the same, to the byte."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.levers import LEVERS

from .proxy.proxy_fixture import config, one, read_answer, request, stage
from .proxy.sample_messages import PROTOCOLS, ask, dumps, path
from .proxy.scripted_upstream import chunk, chunked, head, http, upstream

EVIDENCE = Path(__file__).parent / "evidence"

Case = tuple[str, list[Any], bool]
"""A name, what the backend writes, and whether it streams."""

OTHERS = tuple(sorted(LEVERS.keys() - {"server", "frames", "replies"}))
"""The levers that are taken away together: each has tests of its own."""

KIND = {"ollama": "application/x-ndjson"}


def cases(protocol: str) -> Iterator[Case]:
    """Every answer that the vendor's documentation shows; streams frame by frame, at once, and cut anywhere."""
    for file in sorted((EVIDENCE / protocol).glob("*.json")):
        found = json.loads(file.read_text("utf-8"))
        if found["kind"] == "reply":
            yield file.stem, [http(dumps(found["body"]))], False
        elif found["kind"] == "stream":
            raw, kind = found["stream"].encode(), KIND.get(protocol, "text/event-stream")
            end = b"\n" if protocol == "ollama" else b"\n\n"
            frames = [frame + end for frame in raw.split(end) if frame]
            yield f"{file.stem}, by frame", chunked(frames, kind), True
            yield f"{file.stem}, at once", chunked([raw], kind), True
            yield (
                f"{file.stem}, by fours",
                chunked([b"".join(frames[n : n + 4]) for n in range(0, len(frames), 4)], kind),
                True,
            )
            yield f"{file.stem}, cut", chunked([raw[n : n + 61] for n in range(0, len(raw), 61)], kind), True
            yield f"{file.stem}, broken off", [head(kind), chunk(raw[: len(raw) * 2 // 3]), "close"], True
            yield f"{file.stem}, no JSON within", chunked([*frames[:-3], b"data: {]" + end, *frames[-3:]], kind), True


async def seen(frontend: str, backend: str, model: str) -> list[Any]:
    """The answers that clients of this protocol get, case by case, with their records."""
    found: list[Any] = []
    for name, script, streams in cases(backend):
        async with upstream(script) as up, stage(config(one(backend, up.url, models={"m": model}))) as it:
            reader, writer = await it.connect()
            writer.write(request(path(frontend, stream=streams), ask(frontend, stream=streams)))
            answer = await asyncio.wait_for(read_answer(reader), 10)
            writer.close()
            record = await it.record(answer)
            for attempt in record["attempts"]:
                del attempt["ms"]
            for timed in ("stages", "total_ms", "ttft_ms", "id", "request_id"):
                del record[timed]
            body = answer.body.replace(answer.headers.pop("x-request-id").encode(), b"id")
            for varying in ("date", "request-id", "content-length"):
                answer.headers.pop(varying, None)
            # comments of a backend go on with the read that they came in, so it depends on the network which do
            body = re.sub(rb"(?m)^:.*\n\n", b"", body)
            found.append((name, answer.status, answer.headers, answer.whole, body, record))
    return found


@pytest.mark.parametrize("levers", [("server",), ("frames",), ("replies",), OTHERS], ids=lambda levers: levers[0])
@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "converted"])
@pytest.mark.parametrize("model", ["m", "another"])
async def test_nobody_notices_a_lever(
    levers: tuple[str, ...], backend: str, relayed: bool, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontend = backend if relayed else "anthropic" if backend == "openai-chat" else "openai-chat"
    with_it = await seen(frontend, backend, model)
    for thing, attribute, value in (replacement for lever in levers for replacement in LEVERS[lever]):
        monkeypatch.setattr(thing, attribute, value)
    without_it = await seen(frontend, backend, model)
    assert with_it
    for one_, other in zip(with_it, without_it, strict=True):
        assert one_ == other
