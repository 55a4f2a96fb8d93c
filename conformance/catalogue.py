"""What users of LLM gateways complain about, and where each case is proven: `catalogue.yaml`, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert

FILE = Path(__file__).with_name("catalogue.yaml")


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One complaint: what must be on the wire, who met it, and the stories and tests that hold it.

    `seen` names public reports as repository#number or in words; a test is a node id of pytest; `without` is a part of
    what is asked for that is left out, and why.
    """

    must: str
    seen: str = ""
    stories: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    without: str | None = None
    non_goal: str | None = None

    def __post_init__(self) -> None:
        if bool(self.stories or self.tests) == (self.non_goal is not None):
            raise ValueError("name stories or tests that prove it, or say why it is a non_goal; not both")


def read_catalogue(file: Path = FILE) -> dict[str, Case]:
    """The cases by id, in the file's order; raises msgspec.ValidationError where one is not of this shape."""
    data: Any = yaml.safe_load(file.read_text("utf-8"))
    return convert(data, dict[str, Case])
