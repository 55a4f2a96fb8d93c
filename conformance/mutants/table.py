"""Reads the table of mutants: rows with their patches, rows made of a pattern, and the combinations that have none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert
from msgspec.structs import replace

from .mutant import Gap, Mutant, Survivors

FOLDER = Path(__file__).parent
PROTOCOLS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
DIRECTIONS = ("request", "reply")

PLACE = re.compile(r"<([a-z_]+)>")
"""A place in a pattern that a row fills, such as `<word>`."""

Combination = tuple[str, str, str]
"""A word of the loss table, a direction and a protocol."""


class Table(Struct, frozen=True):
    """All mutants and all gaps, in the order of the files."""

    mutants: tuple[Mutant, ...]
    gaps: tuple[Gap, ...]


def read_table(folder: Path = FOLDER) -> Table:
    """Reads all YAML files of the folder; raises msgspec.ValidationError or ValueError for a file of another shape."""
    mutants: list[Mutant] = []
    gaps: list[Gap] = []
    survivors: list[Survivors] = []
    for file in sorted(folder.glob("*.yaml")):
        for row in yaml.safe_load(file.read_text("utf-8")):
            if "define" in row:
                continue  # parts that other rows of the file repeat
            if "survivors" in row:
                survivors.append(convert(row, Survivors))
            elif "because" in row:
                gaps.append(convert(_all_protocols(row), Gap))
            else:
                mutants += [convert(_all_protocols(filled), Mutant) for filled in _filled(row)]
    names = [mutant.name for mutant in mutants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two mutants have the name {', '.join(twice)}")
    return Table(tuple(_marked(mutants, survivors)), tuple(gaps))


def _marked(mutants: Sequence[Mutant], survivors: Sequence[Survivors]) -> Iterator[Mutant]:
    """Yields the mutants, those that are expected to survive with the reason."""
    reasons = {glob: row.because for row in survivors for glob in row.survivors}
    for glob in reasons:
        if not any(fnmatchcase(mutant.name, glob) for mutant in mutants):
            raise ValueError(f"{glob} is listed as a survivor, but there is no such mutant")
    for mutant in mutants:
        found = [reason for glob, reason in reasons.items() if fnmatchcase(mutant.name, glob)]
        yield replace(mutant, survives=found[0]) if found else mutant


def _all_protocols(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "protocols": PROTOCOLS} if row.get("protocols") == "all" else row


def _filled(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a pattern, one for each combination of an entry of every list under `each`."""
    axes = row.get("each", {})
    rest = {key: value for key, value in row.items() if key != "each"}
    for entries in product(*axes.values()):
        entry: dict[str, Any] = {}
        for part in entries:
            entry |= part
        yield _fill(rest, entry)


def _fill(value: Any, entry: Mapping[str, Any]) -> Any:
    """Returns the value with every `<place>` filled; a text that is one place becomes the entry's value itself.

    Items of a list that become empty are left out.
    """
    match value:
        case str():
            whole = PLACE.fullmatch(value)
            if whole and whole[1] in entry:
                return entry[whole[1]]
            return PLACE.sub(lambda found: str(entry.get(found[1], found[0])), value)
        case list():
            filled = [_fill(inner, entry) for inner in value]
            return [inner for inner in filled if inner != ""]
        case dict():
            return {key: _fill(inner, entry) for key, inner in value.items()}
        case _:
            return value


def combinations_of_mutants(table: Table, words: Sequence[str]) -> set[Combination]:
    """Returns the combinations that have a mutant."""
    return {
        combination
        for mutant in table.mutants
        for combination in product((w for w in mutant.covers if w in words), (mutant.direction,), mutant.protocols)
    }


def combinations_of_gaps(table: Table) -> list[Combination]:
    """Returns the combinations that have a reason for having no mutant; one with two reasons comes twice."""
    return [combination for gap in table.gaps for combination in product(gap.words, gap.directions, gap.protocols)]


def sample(mutants: Sequence[Mutant], number: int, count: int) -> list[Mutant]:
    """Returns sample `number` of `count`, from 1: together the samples are all mutants."""
    return [mutant for at, mutant in enumerate(mutants) if at % count == number - 1]


def sample_of_commit(commit: str, count: int) -> int:
    """Returns the number of the sample that belongs to a commit's hash."""
    return int(sha256(commit.encode()).hexdigest(), 16) % count + 1
