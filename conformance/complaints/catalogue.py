"""Reads `catalogue.yaml`: complaints of users of LLM gateways, and the stories and tests that cover each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert

FILE = Path(__file__).with_name("catalogue.yaml")


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One complaint: the required behaviour, public reports, and the stories and tests that cover it.

    `seen` lists reports as repository#number or as text; `tests` are pytest node ids; `without` names a part that is
    not covered, `non_goal` says why the case is not covered at all.
    """

    must: str
    seen: str = ""
    stories: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    without: str | None = None
    non_goal: str | None = None

    def __post_init__(self) -> None:
        if bool(self.stories or self.tests) == (self.non_goal is not None):
            raise ValueError("give either stories or tests that cover the case, or a non_goal with the reason")


def read_catalogue(file: Path = FILE) -> dict[str, Case]:
    """Returns the cases by id, in the file's order; raises msgspec.ValidationError for a case of another shape."""
    data: Any = yaml.safe_load(file.read_text("utf-8"))
    return convert(data, dict[str, Case])
