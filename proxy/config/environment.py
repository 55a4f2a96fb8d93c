"""The backends that the environment makes where there is no config file. It reads the mapping that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ..registry import ROWS, Row
from ..routing import Backend, Family
from .nodes import Reader
from .provider import Speech, made


def read_environment(reader: Reader, protocols: Mapping[str, Speech]) -> tuple[Backend, ...]:
    """The backends whose variables are set; an empty variable counts as unset."""
    return tuple(made(reader, row, protocols) for row in triggered() if reader.env.get(str(row.trigger)))


def with_families(backends: Iterable[Backend]) -> tuple[tuple[Backend, ...], tuple[Family, ...]]:
    """The backends, unreserved where their providers have names of their own, and those name families."""
    named = {row.name: row for row in ROWS if row.families}
    found = tuple(replace(backend, reserved=backend.name not in named) for backend in backends)
    here = {backend.name for backend in found}
    owners = [row for row in named.values() if row.name in here]
    return found, tuple(Family(pattern, row.name) for row in owners for pattern in row.families)


def triggered() -> tuple[Row, ...]:
    """The rows that a variable can make a backend of; of two with one variable the first."""
    by_variable: dict[str, Row] = {}
    for row in ROWS:
        if row.trigger is not None:
            by_variable.setdefault(row.trigger, row)
    return tuple(by_variable.values())


def nothing_set(reader: Reader) -> None:
    """Complain that nothing makes a backend, and name what would."""
    variables = ", ".join(str(row.trigger) for row in triggered())
    reader.complain(0, "", f"no backend: none of {variables} is set; set one of them, or give --config FILE")
