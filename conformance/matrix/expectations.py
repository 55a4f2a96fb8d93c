"""The losses, refusals and added fields that the matrix expects, from `expectations.yaml`; any other is a failure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from msgspec import Struct, ValidationError, convert
from msgspec.json import schema as json_schema
from msgspec.structs import fields

from crosswire.mockserver.scenarios.yaml_reader import YamlDocument

FILE = Path(__file__).with_name("expectations.yaml")
KNOWN_FAILING = Path(__file__).parents[1] / "known-failing.txt"


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's rule and its URL."""

    rule: str
    url: str


class LossCase(Struct, frozen=True, forbid_unknown_fields=True):
    """Cells that lose something: by globs of stories, and the paths of what they lose, with `[]` for any index.

    `peers` are the protocols of the other side, by default all others. `unless` is a quirk of providers that can say it
    after all, `models` a glob of the provider's models that cannot, `mode` restricts it to unary or streamed replies.
    """

    stories: tuple[str, ...]
    paths: tuple[str, ...]
    peers: tuple[str, ...] = ()
    unless: str = ""
    models: str = "*"
    mode: Literal["unary", "stream"] | None = None

    def applies(self, peer: str, quirks: Collection[str], model: str, *, stream: bool) -> bool:
        """Returns whether it is about cells of this kind, of whatever story."""
        modes = (None, "stream" if stream else "unary")
        is_kind = (not self.peers or peer in self.peers) and self.unless not in quirks and self.mode in modes
        return is_kind and fnmatchcase(model, self.models)

    def covers(self, story: str) -> bool:
        """Returns whether it is about cells of this story."""
        return any(fnmatchcase(story, glob) for glob in self.stories)


class Allowance(Reason, frozen=True, forbid_unknown_fields=True):
    """Losses that a protocol's own rule makes unavoidable. They are expected as well as allowed, see `check_losses`.

    `checked` is the date on which the rule was read.
    """

    checked: str
    cases: tuple[LossCase, ...]


class SideLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one protocol on one side: losses by feature, refusals by capability, added fields."""

    losses: dict[str, tuple[Allowance, ...]] = {}
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
    """Reads the expectations; raises msgspec.ValidationError with file and line for a file of another shape."""
    text = file.read_text("utf-8")
    try:
        return convert(yaml.safe_load(text), Expectations)
    except (ValidationError, yaml.YAMLError) as problem:
        raise ValidationError(_placed(file, text, str(problem))) from None


def _placed(file: Path, text: str, problem: str) -> str:
    """Returns what is wrong with the expectations with the line: of the first part that is no such part by itself."""
    doc = YamlDocument(str(file), text)
    if doc.mistakes:
        return str(doc.mistakes[0])
    if isinstance(doc.value, dict):
        for path, value, kind in _parts(doc.value):
            try:
                convert(value, kind)
            except ValidationError as found:
                message, _, inner = str(found).partition(" - at `$")
                path += inner.rstrip("`")
                return f"{file}:{doc.line(path)}: {path}: {message}"
    return f"{file}:1: {problem}"


def _parts(value: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yields the smallest parts of the expectations that have names: path, value and type; then the larger ones."""
    kinds = {field.name: field.type for field in fields(SideLimits)}
    protocols = value.get("protocols")
    for protocol, sides in protocols.items() if isinstance(protocols, dict) else ():
        for side, groups in sides.items() if isinstance(sides, dict) else ():
            for group, features in groups.items() if isinstance(groups, dict) else ():
                path = f"$.protocols.{protocol}.{side}.{group}"
                for feature, one in features.items() if isinstance(features, dict) and group in kinds else ():
                    yield f"{path}.{feature}", one, get_args(kinds[group])[1]
            yield f"$.protocols.{protocol}.{side}", groups, SideLimits
        yield f"$.protocols.{protocol}", sides, ProtocolLimits
    yield "$", value, Expectations


def expectations_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the expectations, made of their types."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Expectations of Crosswire's conformance suite",
        "description": "The losses, refusals and added fields that each protocol's own rules make unavoidable.",
    }
    return head | json_schema(Expectations)


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
