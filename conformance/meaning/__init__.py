"""What was said on one side and what arrived on the other, compared in neutral terms; each difference has a word."""

from __future__ import annotations

from .difference import WRONG, Difference
from .reply import reply_differences, same_reply
from .request import EXTRA_WORDS, added, request_differences
from .turns import places_differ

__all__ = [
    "EXTRA_WORDS",
    "WRONG",
    "Difference",
    "added",
    "places_differ",
    "reply_differences",
    "request_differences",
    "same_reply",
]
