"""Reads which stories the local model plays, must refuse or cannot play, from `expectations.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import yaml
from msgspec import Struct, convert

from crosswire.mockserver.scenarios.story import Story

from ..matrix.expectations import Allowance, LossCase, Reason
from ..matrix.result import Lost

LOCAL_PROVIDER = "mlx"
"""Name of the local model among the providers of the matrix."""

EXACT_ON = ("linux", "x86_64")
"""The platform on which outputs are compared exactly; elsewhere sums of floats may round to another token."""

PLAYS, REFUSES = "plays", "refuses"
FILE = Path(__file__).with_name("expectations.yaml")


class Unplayable(Struct, frozen=True, forbid_unknown_fields=True):
    """Stories that the model cannot play, and the reason."""

    why: str
    stories: tuple[str, ...]


class LocalExpectations(Struct, frozen=True, forbid_unknown_fields=True):
    """Globs of stories that the model plays or cannot play, capabilities that it must refuse, and allowed losses."""

    models: dict[str, str]
    plays: tuple[str, ...]
    cannot: tuple[Unplayable, ...]
    refuses: dict[str, Reason]
    losses: dict[str, tuple[Allowance, ...]]

    def implied_losses(self, story: str, frontend: str, *, stream: bool) -> list[Lost]:
        """Returns the losses of this cell that the template implies: those that are allowed, and that must happen."""
        return [
            Lost("request", feature, path)
            for feature, expected in self._loss_cases()
            if expected.applies(frontend, (), "", stream=stream) and expected.covers(story)
            for path in expected.paths
        ]

    def _loss_cases(self) -> Iterator[tuple[str, LossCase]]:
        for feature, allowances in self.losses.items():
            for allowance in allowances:
                for expected in allowance.cases:
                    yield feature, expected

    def status_of(self, story: Story) -> list[str]:
        """Returns PLAYS, REFUSES, or the reasons why the story cannot be played; one entry if the file is complete."""
        found = [entry.why for entry in self.cannot if any(fnmatchcase(story.name, glob) for glob in entry.stories)]
        if any(fnmatchcase(story.name, glob) for glob in self.plays):
            found.append(PLAYS)
        return found or [REFUSES for _ in self.refused_needs(story)][:1]

    def is_exact(self, story: Story) -> bool:
        """Returns True if the model plays the story and replies the same each time: no exchange sets sampling."""
        samples = any(exchange.ask.temperature or exchange.ask.also for exchange in story.exchanges)
        return self.status_of(story) == [PLAYS] and not samples

    def refused_needs(self, story: Story) -> list[str]:
        """Returns the capabilities that the story needs and the model does not have."""
        return [need for need in story.needs if need in self.refuses]


def read_local_expectations(file: Path = FILE) -> LocalExpectations:
    """Reads the file; raises msgspec.ValidationError for one of another shape."""
    return convert(yaml.safe_load(file.read_text("utf-8")), LocalExpectations)


def is_installed() -> bool:
    """Returns True if the extra `local` is installed; MLX has no wheels for some platforms."""
    return all(find_spec(name) is not None for name in ("mlx_lm", "llguidance"))
