"""Finds where a member of a JSON object stands in its text, so that it is replaced and all else stays to the byte."""

from __future__ import annotations

import re

from ..errors import Malformed
from . import json_fields

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")


def member(body: bytes, key: str) -> tuple[int, int] | None:
    """Returns the start and the end of the value under this key; None where the text is no object, or has no such key.

    Of several members with the same key it is the last, as for a parser.
    """
    try:
        fields = json_fields.raw_object(body)
    except Malformed:
        return None
    if key not in fields:
        return None
    depth, start = 0, 0
    for token in _TOKEN.finditer(body):
        match body[token.start()]:
            case 0x7B | 0x5B:
                depth += 1
            case 0x7D | 0x5D:
                depth -= 1
            case _ if depth == 1 and (colon := _COLON.match(body, token.end())):
                if json_fields.parse(token.group()) == key:
                    start = colon.end()
            case _:
                pass
    return start, start + len(bytes(fields[key]))
