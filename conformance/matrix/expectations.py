"""The losses, refusals and added fields that the matrix allows, from `expectations.yaml`; any other is a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert

FILE = Path(__file__).with_name("expectations.yaml")
KNOWN_FAILING = Path(__file__).parents[1] / "known-failing.txt"


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's rule and its URL."""

    rule: str
    url: str


class SideLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one protocol on one side: losses by feature, refusals by capability, added fields."""

    losses: dict[str, Reason] = {}
    refuses: dict[str, Reason] = {}
    adds: dict[str, Reason] = {}
    statuses: dict[int, int] = {}
    stream_errors: dict[str, Reason] = {}
    """Kinds of error that the protocol reports as an internal one once a stream has begun."""


class ProtocolLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one protocol as a backend and as a frontend."""

    backend: SideLimits = SideLimits()
    frontend: SideLimits = SideLimits()


class Expectations(Struct, frozen=True, forbid_unknown_fields=True):
    """The frontends of the matrix, and the limits of every protocol."""

    frontends: tuple[str, ...]
    protocols: dict[str, ProtocolLimits]


def read_expectations(file: Path = FILE) -> Expectations:
    """Reads the expectations; raises msgspec.ValidationError for a file of another shape."""
    data: Any = yaml.safe_load(file.read_text("utf-8"))
    return convert(data, Expectations)


def read_known_failing(file: Path = KNOWN_FAILING) -> dict[str, str]:
    """Reads the globs of cells that are known to fail, each with the reason in the comment above it."""
    found: dict[str, str] = {}
    reason = ""
    for line in file.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            reason = text.lstrip("# ")
        elif text:
            found[text] = reason
    return found
