"""Enumerates the cells of the matrix: frontend × provider × story × unary or stream."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.story import Story

from ..checks.capabilities import missing, must_refuse, supports
from ..checks.routing import ROUTE
from .expectations import Expectations
from .result import Cell


def enumerate_cells(scenarios: Scenarios, matrix: Expectations) -> Iterator[Cell]:
    """Yields every cell of the scenarios that can be played or that the proxy must refuse."""
    for story in scenarios.stories.values():
        if story.proxy is not None:
            for frontend in (name for name in matrix.frontends if story.is_between(name, ROUTE)):
                yield from (Cell(frontend, ROUTE, story.name, stream) for stream in stream_modes(story))
            continue
        for provider in scenarios.providers.values():
            if story.model_for(provider) is None:
                continue
            if not supports(provider, story) and not missing(provider, story) <= must_refuse(provider, story, matrix):
                continue
            for frontend in matrix.frontends:
                if not story.is_between(frontend, provider.protocol):
                    continue
                yield from (Cell(frontend, provider.name, story.name, stream) for stream in stream_modes(story))


def stream_modes(story: Story) -> tuple[bool, ...]:
    """Returns the values of `stream` that a story is played with."""
    return (False, True) if story.only is None else (story.only == "stream",)


def matches(name: str, globs: str) -> bool:
    """Returns whether a name matches one of these globs, which commas separate."""
    return any(fnmatchcase(name, glob.strip()) for glob in globs.split(","))
