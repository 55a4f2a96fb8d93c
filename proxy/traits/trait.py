"""Defines a trait, that is a row of the table, and merges the rows that apply to one model at one host.

A trait's words name what a request may hold in the terms of the neutral form, so that one row serves every protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from .host_table import HOSTS
from .model_table import MODELS
from .quirk_table import QUIRKS
from .row import EFFORTS, FIELDS, WORDS, Trait

__all__ = ["EFFORTS", "FIELDS", "WORDS", "Trait", "Traits", "describe", "traits_of"]


class Traits(Struct, frozen=True, kw_only=True, eq=False):
    """All traits of one model at one host, merged; a later row wins over an earlier one.

    `rows` are the rows that were merged, in order.
    """

    refuses: frozenset[str] = frozenset()
    refuses_while_thinking: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    forces: Mapping[str, str] = {}
    renames: Mapping[str, str] = {}
    defaults: Mapping[str, str] = {}
    limits: Mapping[str, float] = {}
    efforts: tuple[str, ...] | None = None
    rows: tuple[Trait, ...] = ()


PLAIN = Traits()
"""The traits of a model and a host that no row names."""


@lru_cache(2048)
def traits_of(model: str, host: str = "", quirks: frozenset[str] = frozenset(), own: tuple[Trait, ...] = ()) -> Traits:
    """Returns the merged traits of a model: of its host, of the quirks, of its name, and `own`, those of a config.

    `host` is the provider whose rows apply; empty where none does.
    """
    name = model.lower().removeprefix("ft:")  # OpenAI's names of fine-tuned models: ft:gpt-5-mini:my-org::id
    given = [row for row in own if row.matches(name, host)]
    rows = [row for row in HOSTS if row.provider == host and row.matches(name, host)] if host else []
    rows += [QUIRKS[word] for word in sorted(quirks) if word in QUIRKS]
    rows += [row for row in MODELS if row.matches(name, host)]
    for at, row in enumerate(given):
        if row.replaces:
            rows, given = [], given[at:]
            break
    rows += given
    return _merged(tuple(rows)) if rows else PLAIN


def _merged(rows: tuple[Trait, ...]) -> Traits:
    refuses: set[str] = set()
    thinking: set[str] = set()
    takes: set[str] = set()
    maps: dict[str, dict[str, Any]] = {name: {} for name in ("forces", "renames", "defaults", "limits")}
    efforts: tuple[str, ...] | None = None
    for row in rows:
        refuses, thinking, takes = (refuses - row.takes) | row.refuses, thinking - row.takes, takes - row.refuses
        thinking |= row.refuses_while_thinking
        takes |= row.takes
        for name, found in maps.items():
            found.update(getattr(row, name))
        efforts = row.efforts if row.efforts is not None else efforts
    return Traits(
        refuses=frozenset(refuses),
        refuses_while_thinking=frozenset(thinking),
        takes=frozenset(takes),
        **maps,
        efforts=efforts,
        rows=rows,
    )


def describe(traits: Traits) -> Iterator[str]:
    """Yields a line for everything that the traits say, for a person."""
    for column in ("refuses", "refuses_while_thinking", "takes"):
        for word in sorted(getattr(traits, column)):
            yield f"{column.replace('_', ' ')} {word}: {WORDS[word]}"
    for column in ("forces", "renames", "defaults", "limits"):
        for key, value in getattr(traits, column).items():
            shown = f"{value:g}" if isinstance(value, float | int) else value
            yield f"{column} {key} {'to' if column == 'renames' else '='} {shown}: {FIELDS[key]}"
    if traits.efforts is not None:
        yield f"efforts: {', '.join(traits.efforts) or 'none at all'}"
    for source in dict.fromkeys((row.source, row.date) for row in traits.rows if row.source):
        yield f"source: {source[0]} ({source[1]})" if source[1] else f"source: {source[0]}"


def pattern_of(text: str) -> str:
    """Returns the regular expression for a shell pattern of a config, which matches the whole name."""
    literal = re.escape(text.lower())
    return "^" + literal.replace(r"\*", ".*").replace(r"\?", ".") + "$"
