"""Shell patterns for model names: first match, captured text, and patterns that are shadowed by earlier ones.

The syntax is that of fnmatch, case-sensitive: `*`, `?`, `[abc]`, `[!abc]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate

_WILD = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*\]")
"""A wildcard; a `[` that is never closed is an ordinary character, as in fnmatch."""

_PLACEHOLDER = re.compile(r"\{([1-9][0-9]?)\}")

_STAND_INS = {"*": "\ue000", "?": "\ue001", "[": "\ue002"}
"""Characters that stand for the wildcards of a pattern when it is matched against another; no model name has them."""


def is_pattern(text: str) -> bool:
    """Returns true if the text has a wildcard; without one it is a name."""
    return _WILD.search(text) is not None


def literal_length(pattern: str) -> int:
    """Returns the number of literal characters; the more, the more specific the pattern."""
    return len(_WILD.sub("", pattern))


def wildcard_count(pattern: str) -> int:
    """Returns the number of wildcards, and so of captures."""
    return sum(1 for _ in _WILD.finditer(pattern))


def literal_prefix(pattern: str) -> str:
    """Returns the text before the first wildcard."""
    return _WILD.split(pattern, maxsplit=1)[0]


def placeholders(text: str) -> list[int]:
    """Returns the numbers of the captures that an upstream model name uses, such as 1 for `{1}`."""
    return [int(number) for number in _PLACEHOLDER.findall(text)]


def fill_placeholders(text: str, caught: Sequence[str]) -> str:
    """Replaces `{1}`, `{2}` … in an upstream model name by the captured texts."""
    return _PLACEHOLDER.sub(lambda slot: caught[int(slot[1]) - 1], text) if "{" in text else text


class Patterns:
    """Patterns in order of precedence, matched together.

    They are compiled to one regular expression with a branch for each, which stays fast with a thousand patterns.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._each = [re.compile(f"(?s:{_pattern_regex(pattern, caught=True)}\\Z)") for pattern in patterns]
        self._all = _alternation(_pattern_regex(pattern) for pattern in patterns)

    def first_match(self, text: str) -> int | None:
        """Returns the index of the first pattern that matches the whole text."""
        found = self._all.match(text)
        return None if found is None or found.lastindex is None else found.lastindex - 1

    def captures(self, index: int, text: str) -> tuple[str, ...]:
        """Returns the texts that the wildcards of the pattern at `index` match."""
        found = self._each[index].match(text)
        return () if found is None else found.groups()

    def shadowed(self) -> Mapping[int, int]:
        """Returns the index of each unreachable pattern, and of the earlier one that matches all of its names.

        A pattern that only several earlier ones cover together is not found; an equal pattern is not counted.
        """
        every = _alternation(_pattern_regex(pattern, generalized=True) for pattern in self.patterns)
        places: dict[str, int] = {}
        found: dict[int, int] = {}
        for index, pattern in enumerate(self.patterns):
            if places.setdefault(pattern, index) < index:
                continue
            match = every.match(_WILD.sub(lambda wild: _STAND_INS[wild[0][0]], pattern))
            if match is not None and match.lastindex is not None and match.lastindex - 1 < index:
                found[index] = match.lastindex - 1
        return found


def _alternation(expressions: Iterable[str]) -> re.Pattern[str]:
    """Compiles one regex of these alternatives whose last group tells which one matched; without any, none matches."""
    branches = "|".join(f"{expression}\\Z()" for expression in expressions)
    return re.compile(f"(?s:{branches or '(?!)'})")


def _pattern_regex(pattern: str, *, caught: bool = False, generalized: bool = False) -> str:
    """Returns the regular expression of a pattern, with a group for each wildcard if `caught` is set.

    With `generalized`, the regex matches the stand-in of a wildcard only if it matches everything that wildcard does. A
    `*` stops at the first position where the pattern up to the next `*` matches and does not backtrack, so that long
    names stay cheap.
    """
    take = "({})" if caught else "(?:{})"
    one, no_stand = ("[^\ue000]", "(?![\ue000-\ue002])") if generalized else (".", "")
    wild = list(_WILD.finditer(pattern))
    last_star = max((match.start() for match in wild if match[0][0] == "*"), default=-1)
    parts: list[str] = []
    end, at = "", 0
    for match in wild:
        parts.append(re.escape(pattern[at : match.start()]))
        at = match.end()
        if match[0] == "?":
            parts.append(take.format(one))
        elif match[0][0] == "[":
            parts.append(take.format(no_stand + _class_regex(match[0])))
        elif match.start() < last_star:
            parts.append(f"{end}(?>{take.format('.*?')}")
            end = ")"
        else:
            parts.append(f"{end}{take.format('.*')}")
            end = ""
    parts.append(re.escape(pattern[at:]))
    return "".join(parts)


def _class_regex(wild: str) -> str:
    """Returns the regular expression of a `[…]` wildcard as fnmatch translates it."""
    return translate(wild).removeprefix("(?s:")[:-3]
