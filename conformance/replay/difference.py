"""Finds the first difference between two neutral values, except at paths that may differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

EMPTY_VALUES: dict[str, Any] = {
    ".extra": {},
    ".arguments": "{}",
    ".cache_read": 0,
    ".cache_write": 0,
    ".reasoning": 0,
}
"""Path suffix -> the value that equals an absent one there."""


def first_difference(one: Any, other: Any, *, but: Sequence[str] = (), added: Sequence[str] = ()) -> str | None:
    """Returns the path of the first difference with both values, or None.

    The paths of `but` may differ; at paths that match a glob of `added`, only the second value may be present.
    """
    return next(_differences(msgspec.to_builtins(one), msgspec.to_builtins(other), "", (but, added)), None)


def _differences(one: Any, other: Any, path: str, exceptions: tuple[Sequence[str], Sequence[str]]) -> Iterator[str]:
    but, added = exceptions
    if path in but or (one is None and any(fnmatchcase(path, pattern) for pattern in added)):
        return
    for suffix, empty in EMPTY_VALUES.items():
        if path.endswith(suffix):
            one, other = one or empty, other or empty
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}", exceptions)
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}[{at}]", exceptions)
    elif one != other:
        yield f"{path or 'value'}: {str(one)[:80]} against {str(other)[:80]}"
