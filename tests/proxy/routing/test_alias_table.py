"""The table of aliases: which names stand for others, and which always mean themselves."""

from __future__ import annotations

import pytest

from crosswire.proxy.routing.alias_table import AliasTable

TABLE = AliasTable(
    {"claude-*": "gpt-5", "claude-opus-*": "claude-opus-9", "fast": "gpt-5-nano", "own": "other"}, frozenset(("own",))
)

MEANINGS: dict[str, tuple[str | None, str]] = {
    "fast": ("fast", "gpt-5-nano"),
    "claude-haiku": ("claude-*", "gpt-5"),
    "claude-opus-4": ("claude-opus-*", "claude-opus-9"),  # the more specific of two patterns
    "claude-opus-9": (None, "claude-opus-9"),  # the alias leads to it
    "own": (None, "own"),  # a rule names it
    "gpt-5": (None, "gpt-5"),
    "": (None, ""),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_a_name_means(name: str) -> None:
    assert (TABLE.find(name), TABLE.meaning(name)) == MEANINGS[name]


def test_without_aliases_every_name_means_itself() -> None:
    assert AliasTable({}, frozenset()).find("fast") is None
