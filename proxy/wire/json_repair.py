"""Repairs JSON of a backend that no strict parser takes: NaN and Infinity, and halves of characters."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

from ..errors import Malformed
from ..ir.repairs import Repairs
from . import json_fields

_LONE = re.compile("[\ud800-\udfff]")
_HIGH, _LOW = ("\ud800", "\udbff"), ("\udc00", "\udfff")


class JsonRepair:
    """Repairs the texts of one answer; the first half of a character waits for the frame with the second."""

    def __init__(self, repairs: Repairs) -> None:
        self.repairs = repairs
        self._half = ""
        self._found: set[str] = set()

    def of(self, data: bytes) -> bytes | None:
        """Returns strict JSON for this text; None where it is strict already, or no JSON by any reading."""
        if data.count(b"[") + data.count(b"{") > json_fields.BRACKETS:
            return None
        self._found.clear()
        try:
            json_fields.parse(data)
        except Malformed:
            try:
                value = json.loads(data, parse_constant=self._no_number, parse_float=self._number)
                strict = json_fields.encode(self._strings(value))
            except (ValueError, OverflowError, RecursionError):
                return None
            self.repairs.extend(sorted(self._found))
            return strict
        return None

    def of_frame(self, data: bytes) -> bytes | None:
        """Returns strict JSON for a frame as `of` does, the object in an array around it, or nothing for another value.

        Hosts send numbers, texts and arrays between the frames of an answer, and errors in an array.
        """
        if (strict := self.of(data)) is not None:
            return strict
        try:
            value = json_fields.parse(data)
        except Malformed:
            return None
        if type(value) is dict:
            return None
        self.repairs.add("unknown_frame")
        objects = [item for item in value if type(item) is dict] if type(value) is list else []
        return json_fields.encode(objects[0]) if len(objects) == 1 else b""

    def _no_number(self, name: str) -> None:
        self._found.add("number")

    def _number(self, text: str) -> float | None:
        number = float(text)
        if isfinite(number):
            return number
        self._no_number(text)
        return None

    def _strings(self, value: Any) -> Any:
        if type(value) is str:
            return self._string(value) if _LONE.search(value) else value
        if type(value) is list:
            return [self._strings(item) for item in value]
        if type(value) is dict:
            return {_LONE.sub("\ufffd", key): self._strings(item) for key, item in value.items()}
        return value

    def _string(self, text: str) -> str:
        self._found.add("surrogate")
        if self._half and _LOW[0] <= text[0] <= _LOW[1]:
            text, self._half = self._half + text, ""
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if text and _HIGH[0] <= text[-1] <= _HIGH[1]:
            text, self._half = text[:-1], text[-1]
        return _LONE.sub("\ufffd", text)
