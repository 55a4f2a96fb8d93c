"""The JSON of a backend's whole answer, repaired where a strict parser takes it by then, or that it is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import Malformed, UpstreamError, body_cut
from ..ir.repairs import Repairs
from ..wire import json_fields
from ..wire.framing import DONE
from ..wire.json_repair import JsonRepair
from .answer_repairs import without_mark_noted

Clean: TypeAlias = Callable[[bytes, Repairs], bytes]
"""Returns bytes of an answer as UTF-8 and without secrets."""


def parse_body(raw: bytes, repairs: Repairs, clean: Clean) -> tuple[Any, bytes]:
    """Returns the JSON value of a body, and its bytes for the client; raises UpstreamError where the body is cut."""
    raw = clean(without_mark_noted(raw, repairs), repairs)
    try:
        return json_fields.parse(raw), raw
    except Malformed:
        if json_fields.is_cut(raw):  # something before the backend ended the body in order
            raise UpstreamError(body_cut()) from None
        repaired = JsonRepair(repairs).of(raw)
        if repaired is None:
            raise
        return json_fields.parse(repaired), repaired


def parse_body_or_lines(body: bytes, repairs: Repairs, clean: Clean) -> tuple[Any, bytes]:
    """Returns the same; the frames of a stream, a line each, are an array of their values."""
    try:
        return parse_body(body, repairs, clean)
    except Malformed:
        lines = [line for line in clean(body, repairs).splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [parse_body(line, repairs, clean)[0] for line in lines if line.strip() != DONE], body
