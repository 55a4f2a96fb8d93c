"""Shell patterns over model names: which comes first, which text they catch, and which pattern leaves none to another.

The language is fnmatch's, case-sensitive: `*`, `?`, `[abc]`, `[!abc]`. It knows no backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate

_WILD = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*\]")
"""A wildcard; a `[` that is never closed is a letter, as in fnmatch."""

_SLOT = re.compile(r"\{([1-9][0-9]?)\}")

_STANDS = {"*": "\ue000", "?": "\ue001", "[": "\ue002"}
"""What stands for the wildcards of a pattern that another is held against: characters that no model's name has."""


def is_pattern(text: str) -> bool:
    """Whether it has a wildcard; without one it is a name."""
    return _WILD.search(text) is not None


def literals(pattern: str) -> int:
    """How many characters it spells: the more, the narrower."""
    return len(_WILD.sub("", pattern))


def wildcards(pattern: str) -> int:
    """How many texts it catches."""
    return sum(1 for _ in _WILD.finditer(pattern))


def head(pattern: str) -> str:
    """What it spells before its first wildcard."""
    return _WILD.split(pattern, maxsplit=1)[0]


def slots(text: str) -> list[int]:
    """The numbers of the caught texts that an upstream's name uses, such as 1 for `{1}`."""
    return [int(number) for number in _SLOT.findall(text)]


def fill(text: str, caught: Sequence[str]) -> str:
    """An upstream's name with the caught texts in place of `{1}`, `{2}` …"""
    return _SLOT.sub(lambda slot: caught[int(slot[1]) - 1], text) if "{" in text else text


class Patterns:
    """Patterns in their order of precedence, all tried at once.

    They become one expression, whose branches the engine tries in turn: that makes a thousand of them cheap.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._each = [re.compile(f"(?s:{_expression(pattern, caught=True)}\\Z)") for pattern in patterns]
        self._all = _one_of(_expression(pattern) for pattern in patterns)

    def first(self, text: str) -> int | None:
        """The index of the first that fits the whole text."""
        found = self._all.match(text)
        return None if found is None or found.lastindex is None else found.lastindex - 1

    def caught(self, index: int, text: str) -> tuple[str, ...]:
        """What the wildcards of this one, which fits, catch."""
        found = self._each[index].match(text)
        return () if found is None else found.groups()

    def hidden(self) -> Mapping[int, int]:
        """The patterns that no name reaches, because one before takes all of theirs: the index of each, and of that.

        What only several together hide is not found, and an equal pattern hides none.
        """
        every = _one_of(_expression(pattern, over=True) for pattern in self.patterns)
        places: dict[str, int] = {}
        found: dict[int, int] = {}
        for index, pattern in enumerate(self.patterns):
            if places.setdefault(pattern, index) < index:
                continue
            match = every.match(_WILD.sub(lambda wild: _STANDS[wild[0][0]], pattern))
            if match is not None and match.lastindex is not None and match.lastindex - 1 < index:
                found[index] = match.lastindex - 1
        return found


def _one_of(expressions: Iterable[str]) -> re.Pattern[str]:
    """An expression whose last group says which of these took the whole text; of none, one that nothing fits."""
    branches = "|".join(f"{expression}\\Z()" for expression in expressions)
    return re.compile(f"(?s:{branches or '(?!)'})")


def _expression(pattern: str, *, caught: bool = False, over: bool = False) -> str:
    """The regular expression of a pattern, with a group for each wildcard where `caught`.

    With `over` it takes the stand-in of a wildcard only where it takes all that this wildcard does. A `*` stops at the
    first place where the rest up to the next one fits, and never looks further, so that a long name costs little.
    """
    take = "({})" if caught else "(?:{})"
    one, no_stand = ("[^\ue000]", "(?![\ue000-\ue002])") if over else (".", "")
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
            parts.append(take.format(no_stand + _letters(match[0])))
        elif match.start() < last_star:
            parts.append(f"{end}(?>{take.format('.*?')}")
            end = ")"
        else:
            parts.append(f"{end}{take.format('.*')}")
            end = ""
    parts.append(re.escape(pattern[at:]))
    return "".join(parts)


def _letters(wild: str) -> str:
    """The expression of `[…]`, as fnmatch has it."""
    return translate(wild).removeprefix("(?s:")[:-3]
