"""Where two neutral values differ, and what may differ; it knows places by their names in the neutral form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

NOTHING: dict[str, Any] = {
    ".own": {},
    ".arguments": "{}",
    ".cache_read": 0,
    ".cache_write": 0,
    ".reasoning": 0,
}
"""Neutral places where nothing can be said in two ways: nothing left over, no arguments, a count of none."""


def difference(one: Any, other: Any, *, but: Sequence[str] = (), added: Sequence[str] = ()) -> str | None:
    """The first place where two neutral values differ, with both sides, or None.

    The places of `but` may differ; at the places that the globs of `added` name, only the second may say something.
    """
    return next(_differences(msgspec.to_builtins(one), msgspec.to_builtins(other), "", (but, added)), None)


def _differences(one: Any, other: Any, path: str, lax: tuple[Sequence[str], Sequence[str]]) -> Iterator[str]:
    but, added = lax
    if path in but or (one is None and any(fnmatchcase(path, pattern) for pattern in added)):
        return
    for place, nothing in NOTHING.items():
        if path.endswith(place):
            one, other = one or nothing, other or nothing
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}", lax)
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}[{at}]", lax)
    elif one != other:
        yield f"{path or 'it'}: {str(one)[:80]} against {str(other)[:80]}"
