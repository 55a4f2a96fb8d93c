"""Reads the key `traits`: how models differ from what the table of traits knows, by a pattern of their names."""

from __future__ import annotations

from collections.abc import Collection

import yaml

from ..traits import EFFORTS, WORDS, Trait, pattern_of
from ..traits.row import DEFAULTS, FORCES, LIMITS, RENAMES
from .yaml_reader import ConfigReader, child_path

KEYS = (
    *("refuses", "refuses_while_thinking", "takes"),
    *("forces", "renames", "defaults", "limits", "efforts", "replaces"),
)
"""The keys of one pattern."""


def read_traits(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[Trait, ...]:
    """Reads the traits of all patterns, in the order of the file."""
    return tuple(
        _read_trait(reader, pattern, value, child_path(path, pattern))
        for pattern, value in reader.mapping(node, path, None, "a mapping of model patterns to traits").items()
    )


def _read_trait(reader: ConfigReader, pattern: str, node: yaml.Node, path: str) -> Trait:
    found = reader.mapping(node, path, KEYS)

    def words(key: str) -> frozenset[str]:
        return frozenset(reader.text_list(found[key], f"{path}.{key}", WORDS)) if key in found else frozenset()

    def texts(key: str, known: Collection[str]) -> dict[str, str]:
        inner = reader.mapping(found[key], f"{path}.{key}", known) if key in found else {}
        read = {name: reader.text(value, f"{path}.{key}.{name}") for name, value in inner.items()}
        return {name: value for name, value in read.items() if value is not None}

    limits = reader.mapping(found["limits"], f"{path}.limits", LIMITS) if "limits" in found else {}
    numbers = {name: reader.number(value, f"{path}.limits.{name}", 0) for name, value in limits.items()}
    levels = (*EFFORTS, "default")
    return Trait(
        models=pattern_of(pattern),
        refuses=words("refuses"),
        refuses_while_thinking=words("refuses_while_thinking"),
        takes=words("takes"),
        forces=texts("forces", FORCES),
        renames=texts("renames", RENAMES),
        defaults=texts("defaults", DEFAULTS),
        limits={name: value for name, value in numbers.items() if value is not None},
        efforts=tuple(reader.text_list(found["efforts"], f"{path}.efforts", levels)) if "efforts" in found else None,
        replaces=bool(reader.flag(found["replaces"], f"{path}.replaces")) if "replaces" in found else False,
        source="the config",
    )
