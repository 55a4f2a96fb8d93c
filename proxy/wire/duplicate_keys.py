"""Finds keys that an object of a request's JSON holds twice: which of the two is meant, no reader could know.

Parsers differ in which one they keep, so a proxy that passed the text on could have checked another request than the
backend gets. "The behavior of software that receives such an object is unpredictable."
https://www.rfc-editor.org/rfc/rfc8259#section-4
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, to_builtins

from ..errors import Malformed
from .byte_count import SPARSE, count
from .json_fields import encode, parse_object

_SMALL = 4096
"""Bytes of a text that is written anew more quickly than looked at."""

_CONTAINERS = frozenset((dict, list, tuple))


def parse_request(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the object, and its text, in which no key is there twice; raises Malformed for one at the top.

    The text is the body itself but where an inner object repeats a key: then it is written anew.
    """
    fields = parse_object(body)
    if repeats_none(body, fields):
        return fields, body
    repeated = _repeated_keys(body)
    if repeated is None:
        return fields, body
    at_top, anywhere = repeated
    if at_top:
        raise Malformed(at_top[0], "is there twice; keep one of them")
    return fields, encode(fields) if anywhere else body


def repeats_none(body: bytes, parsed: dict[str, Any] | list[Any] | Struct, more: int = 0) -> bool:
    """Returns true if surely no key is there twice in a JSON text, of which all was parsed but so many colons more."""
    # a key that is there twice leaves one colon less in what was parsed than in the text; a colon may also be written
    # as an escape, which hides that
    if len(body) <= _SMALL:
        is_same = body.count(b":") == encode(parsed).count(b":") + more
    else:
        is_same = count(body, b":") == _colons_in(parsed, body) + more
    return is_same and (body.find(b"\\") < 0 or body.find(b"\\u003") < 0)


def _colons_in(parsed: dict[str, Any] | list[Any] | Struct, text: bytes) -> int:
    """The colons that the JSON text of a value has, which was parsed from this text."""
    if count(text, b"{") * SPARSE > len(text):
        return encode(parsed).count(b":")
    colons = 0
    containers: list[Any] = [to_builtins(parsed) if isinstance(parsed, Struct) else parsed]
    for each in containers:  # which grows meanwhile
        values: Iterable[Any] = each
        if type(each) is dict:
            colons += len(each) + "".join(each).count(":")
            values = each.values()
        for value in values:
            if type(value) is str:
                if ":" in value:
                    colons += count(value, ":")
            elif type(value) in _CONTAINERS:
                containers.append(value)
    return colons


def _repeated_keys(body: bytes) -> tuple[list[str], bool] | None:
    """Returns the keys that the outer object repeats, and whether any object does; None where that cannot be told."""
    repeated: list[str] = []
    anywhere = False

    def objects(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated, anywhere
        seen: set[str] = set()
        repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        anywhere = anywhere or bool(repeated)

    try:
        json.loads(body, object_pairs_hook=objects)  # the outer object comes last
    except (ValueError, RecursionError):
        return None
    return list(dict.fromkeys(repeated)), anywhere
