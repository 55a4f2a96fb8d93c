"""A cell: one frontend, one provider, one story, unary or stream; played over HTTP and judged.

It knows the mock's dialects; of the proxy it sees a base URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Dialect, Heard, HttpAsk, meant
from mockserver.scenario import Scenarios, Story
from mockserver.speech import Ask

from .allowed import Matrix
from .bench import Bench, Unfit
from .judge import CLIENT_KEY, Case, judge, lacks, plays, refusable
from .routes import ROUTE, judge_route
from .steps import Cell, Outcome, Result, Step, Wires

__all__ = ["ROUTE", "Cell", "Outcome", "Result", "Step", "Wires", "cells", "play"]


def cells(scenarios: Scenarios, matrix: Matrix) -> Iterator[Cell]:
    """Every cell that these scenarios and frontends span."""
    for story in scenarios.stories.values():
        if story.proxy is not None:
            for frontend in (name for name in matrix.frontends if story.is_between(name, ROUTE)):
                yield from (Cell(frontend, ROUTE, story.name, stream) for stream in _modes(story))
            continue
        for provider in scenarios.providers.values():
            if not plays(provider, story) and not lacks(provider, story) <= refusable(provider, story, matrix):
                continue
            for frontend in matrix.frontends:
                if not story.is_between(frontend, provider.protocol):
                    continue
                yield from (Cell(frontend, provider.name, story.name, stream) for stream in _modes(story))


def _modes(story: Story) -> tuple[bool, ...]:
    return (False, True) if story.only is None else (story.only == "stream",)


async def play(cell: Cell, bench: Bench, scenarios: Scenarios, matrix: Matrix, base_url: str | None = None) -> Result:
    """Play a cell against a base URL (the bench's own proxy by default) and judge it."""
    began = perf_counter()
    result = Result(cell)
    story, front = scenarios.stories[cell.story], DIALECTS[cell.frontend]
    conversation: list[tuple[Ask, Heard | None]] = []
    try:
        base_url = base_url or await _proxy(cell, bench, scenarios, matrix)
    except Unfit as refused:
        result.fail(f"the proxy refuses the config of {story.file}: {refused}")
        return result
    for at, exchange in enumerate(story.exchanges):
        conversation.append((exchange.ask, None))
        provider = None if story.proxy is not None else scenarios.providers[exchange.by or cell.provider]
        model = exchange.ask.model or story.models.get(provider.name if provider else "")
        model = model or next(iter(provider.models if provider else ()), "any-model")
        asked = front.ask(conversation, model=model, stream=cell.stream, key=CLIENT_KEY)
        step = await _exchange(bench, base_url, front, asked, cell.stream)
        result.steps.append(step)
        intended = meant(conversation, model=model, stream=cell.stream)
        backend = _last(story, step)
        provider = provider or scenarios.providers[story.backends[backend]].account(backend)
        back = DIALECTS[provider.protocol]
        judge(result, Case(story, at, exchange, provider, front, back, matrix, intended, model, backend), asked, step)
        if exchange.decide is not None:
            judge_route(result, story, exchange, scenarios.providers, step)
        if result.outcome in ("fail", "unsupported"):
            break
        conversation[-1] = (exchange.ask, step.heard)
    result.ms = (perf_counter() - began) * 1000
    return result


async def _proxy(cell: Cell, bench: Bench, scenarios: Scenarios, matrix: Matrix) -> str:
    """The URL of the proxy that a cell is played against."""
    story = scenarios.stories[cell.story]
    if story.proxy is not None:
        return await bench.routed(story)
    provider = scenarios.providers[cell.provider]
    # what this provider must refuse, another one would take
    return await bench.alone(provider) if refusable(provider, story, matrix) else bench.base_url


def _last(story: Story, step: Step) -> str:
    """Of a story's own backends the one that was asked last, or the first of them where none was; else none."""
    asked = [entry["backend"] for entry in step.entries if entry["backend"] in story.backends]
    return next(reversed(asked), next(iter(story.backends), ""))


async def _exchange(bench: Bench, base_url: str, front: Dialect, asked: HttpAsk, stream: bool) -> Step:
    since, _ = await bench.journal(2**62)
    answer = await bench.send(asked.method, base_url + asked.path, asked.headers, asked.bytes())
    heard = front.hear(answer.status, answer.headers, answer.body, stream=stream, asked=asked)
    id_ = answer.headers.get("x-request-id")
    record = await bench.get_json(f"{base_url}/crosswire/requests/{id_}") if id_ else None
    _, entries = await bench.journal(since)
    last = entries[-1] if entries else {}
    wires = Wires(
        client_request=asked.bytes().decode(),
        client_response=answer.body.decode("utf-8", "replace"),
        upstream_request=last.get("received", ""),
        upstream_response=last.get("sent", ""),
    )
    return Step(wires, heard, answer, record, tuple(entries))
