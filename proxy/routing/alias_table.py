"""Names of models that stand for another name."""

from __future__ import annotations

from collections.abc import Mapping

from .patterns import Patterns, is_pattern, literal_length


class AliasTable:
    """Finds the alias of a name; one that is among `exact_names` always means itself."""

    def __init__(self, aliases: Mapping[str, str], exact_names: frozenset[str]) -> None:
        self._aliases = aliases
        self._exact_names = exact_names
        self.wild = tuple(sorted(filter(is_pattern, aliases), key=lambda name: -literal_length(name)))
        """The aliases with a wildcard, the more specific first."""
        self._patterns = Patterns(self.wild)

    def find(self, model: str) -> str | None:
        """Returns the key of `aliases` by which this name stands for another one; None where it means itself."""
        if not self._aliases or model in self._exact_names:
            return None
        if model in self._aliases:
            return model
        index = self._patterns.first_match(model)
        # a name that an alias leads to stands for itself: claude-* may mean a model of that family
        return None if index is None or model == self._aliases[self.wild[index]] else self.wild[index]

    def meaning(self, model: str) -> str:
        """Returns the name that an alias gives this one, else the name itself."""
        alias = self.find(model)
        return model if alias is None else self._aliases[alias]
