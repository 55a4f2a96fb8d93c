"""Tests of frames that go to the client before the task of their stream wakes up: nobody can tell them from others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crosswire.proxy.gateway.direct_writes import DirectWrites
from crosswire.proxy.gateway.stream_writer import StreamTranscoder
from crosswire.proxy.ir.stream import Texts

from ..proxy_fixture import config, one, read_answer, request, stage
from ..sample_messages import PROTOCOLS, ask, path, said, stream
from ..scripted_upstream import LAST, chunk, head, upstream

WORDS = tuple(f" word{n}" for n in range(12))
PAIRS = [(name, name) for name in PROTOCOLS] + [(name, PROTOCOLS[n - 1]) for n, name in enumerate(PROTOCOLS)]


def script(backend: str) -> list[Any]:
    """The answer, each frame by itself."""
    kind = "application/x-ndjson" if backend == "ollama" else "text/event-stream"
    parts: list[Any] = [head(kind)]
    for frame in stream(backend, words=WORDS):
        parts += [chunk(frame), 0.005]
    return [*parts, LAST]


@pytest.mark.parametrize(("frontend", "backend"), PAIRS)
async def test_most_frames_of_a_text_go_on_so(frontend: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    take = DirectWrites.take

    def noted(self: DirectWrites, whole: bytes, texts: Texts | None) -> bool:
        taken.append(take(self, whole, texts))
        return taken[-1]

    monkeypatch.setattr(DirectWrites, "take", noted)
    async with upstream(script(backend)) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    assert answer.whole
    assert said(frontend, answer.body) == "".join(WORDS)
    assert sum(taken) >= len(WORDS) - 3


@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
async def test_a_fault_of_our_own_is_told_in_band(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def broken(self: StreamTranscoder, whole: bytes, texts: Texts | None) -> bytes | None:
        calls.append(whole)
        if len(calls) == 1:  # maybe the first words, before which the answer would be a 500
            return None
        raise RuntimeError("planted")

    monkeypatch.setattr(StreamTranscoder, "transcode_plain", broken)
    async with upstream(script(backend)) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path("openai-chat", stream=True), ask("openai-chat", stream=True))
        record = await it.record(answer)
    assert (answer.status, answer.whole, record["outcome"]) == (200, False, "internal")
    assert b'"code":"internal"' in answer.body


async def test_a_client_that_leaves_ends_the_call() -> None:
    frames = stream("openai-chat", words=WORDS)
    held = [head(), *(chunk(frame) for frame in frames[:6]), 0.05, *(chunk(frame) for frame in frames[6:8]), "hold"]
    async with upstream(held) as up, stage(config(one("openai-chat", up.url))) as it:
        reader, writer = await it.connect()
        writer.write(request(path("openai-chat", stream=True), ask("openai-chat", stream=True)))
        await reader.readuntil(b" word5")
        writer.close()
        await asyncio.wait_for(up.left.wait(), 5)


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize(("frontend", "backend"), PAIRS)
async def test_a_stream_that_is_cut_anywhere_is_the_same(frontend: str, backend: str, size: int) -> None:
    kind = "application/x-ndjson" if backend == "ollama" else "text/event-stream"
    raw = b"".join(stream(backend, words=WORDS[:4]))
    cut = [head(kind), *(chunk(raw[n : n + size]) for n in range(0, len(raw), size)), LAST]
    answers = []
    for one_script in (script(backend), cut):
        async with upstream(one_script) as up, stage(config(one(backend, up.url))) as it:
            reader, writer = await it.connect()
            writer.write(request(path(frontend, stream=True), ask(frontend, stream=True)))
            answers.append(await read_answer(reader))
            writer.close()
    assert answers[1].whole
    assert said(frontend, answers[1].body) == "".join(WORDS[:4])
    assert said(frontend, answers[0].body).startswith(said(frontend, answers[1].body))
