"""Compares what one side sent with what the other received, in neutral terms; each difference names a loss feature."""

from __future__ import annotations

from .blocks import is_text_document
from .difference import WRONG, Difference
from .reply import reply_differences, same_reply
from .request import EXTRA_FIELD_FEATURES, added_fields, request_differences
from .turns import order_differs

__all__ = [
    "EXTRA_FIELD_FEATURES",
    "WRONG",
    "Difference",
    "added_fields",
    "is_text_document",
    "order_differs",
    "reply_differences",
    "request_differences",
    "same_reply",
]
