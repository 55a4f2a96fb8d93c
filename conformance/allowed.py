"""What the matrix allows: `matrix.yaml`, read and checked. Whatever it does not list is a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert

FILE = Path(__file__).with_name("matrix.yaml")
KNOWN_FAILING = Path(__file__).with_name("known-failing.txt")


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """The vendor's rule, in its words, and where it stands."""

    rule: str
    url: str


class Side(Struct, frozen=True, forbid_unknown_fields=True):
    """What one dialect cannot say on one side: losses by the ledger's word, refusals by capability, fields it adds."""

    losses: dict[str, Reason] = {}
    refuses: dict[str, Reason] = {}
    adds: dict[str, Reason] = {}
    statuses: dict[int, int] = {}
    stream_errors: dict[str, Reason] = {}
    """Kinds of error that the protocol cannot tell from an internal one once a stream has begun."""


class DialectRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One dialect as a backend and as a frontend."""

    backend: Side = Side()
    frontend: Side = Side()


class Matrix(Struct, frozen=True, forbid_unknown_fields=True):
    """The axes that are no folder, and the rows."""

    frontends: tuple[str, ...]
    dialects: dict[str, DialectRow]


def read_matrix(file: Path = FILE) -> Matrix:
    """The matrix as its file says; raises msgspec.ValidationError where it is not of this shape."""
    data: Any = yaml.safe_load(file.read_text("utf-8"))
    return convert(data, Matrix)


def known_failing(file: Path = KNOWN_FAILING) -> dict[str, str]:
    """The globs of cells that are known to fail, each with the reason that stands above it."""
    found: dict[str, str] = {}
    reason = ""
    for line in file.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            reason = text.lstrip("# ")
        elif text:
            found[text] = reason
    return found
