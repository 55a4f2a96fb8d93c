"""Reads fields of a URL's query."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ClientError, failure


def query_int(query: Mapping[str, str], name: str, default: int, most: int, *, least: int = 1) -> int:
    """A whole number of the query, at most `most`, as providers cap it; raises ClientError where it is none."""
    text = query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < least:
        raise query_error(name, f"must be a whole number from {least}")
    return min(int(text), most)


def query_error(name: str, what: str) -> ClientError:
    """The 400 for a field of the query."""
    return ClientError(failure("bad_request", f"{name}: {what}.", param=name))
