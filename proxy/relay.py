"""Passing on between two equal protocols: the client's own bytes, with at most the model's name changed.

It knows where a protocol names the model, and nothing else of what the bytes say.
"""

from __future__ import annotations

import re

import msgspec

from . import wire
from .errors import Malformed
from .ir import Block, Request, ToolResult
from .protocols.contract import Protocol, Target
from .routing import Backend

_DATA_LINE = re.compile(rb"(data:[ ]?)(.*?)([\r\n]*)", re.DOTALL)


class Relay:
    """The relay of one request; without a difference in names it changes no byte."""

    def __init__(self, protocol: Protocol, asked: str, upstream: str) -> None:
        self._protocol = protocol
        self._renames = asked != upstream
        if self._renames:
            self._asked = msgspec.Raw(wire.encode(asked))
            self._upstream = msgspec.Raw(wire.encode(upstream))

    @staticmethod
    def between(frontend: Protocol, request: Request, backend: Backend, target: Target) -> Relay | None:
        """The relay for this request to this backend, or None where it must be converted like any other pair."""
        if frontend.name != backend.protocol or backend.relay == "never":
            return None
        if backend.quirks and frontend.touches(request, backend.quirks):
            return None
        if any(_is_foreign(block) for turn in request.turns for block in turn.blocks):
            return None
        return Relay(frontend, request.model, target.model)

    def request(self, body: bytes) -> bytes:
        """The client's body, naming the model as upstream does; Gemini names it in the address alone."""
        if not self._renames or not self._protocol.model_in:
            return body
        fields = wire.raw_object(body)
        for key in self._protocol.model_in:
            fields[key] = self._upstream
        return wire.encode(fields)

    def reply(self, body: bytes) -> bytes:
        """The backend's body, naming the model as the client did."""
        return self._named(body) if self._renames else body

    def frames(self, whole: bytes) -> bytes:
        """Whole frames of the backend's stream, naming the model as the client did."""
        if not self._renames:
            return whole
        return b"".join([self._line(line) for line in whole.splitlines(keepends=True)])

    def _line(self, line: bytes) -> bytes:
        if self._protocol.framing == "ndjson":
            text = line.rstrip(b"\r\n")
            return self._named(text) + line[len(text) :]
        match = _DATA_LINE.fullmatch(line)
        if match is None:
            return line
        return match[1] + self._named(match[2]) + match[3]

    def _named(self, body: bytes) -> bytes:
        try:
            fields = wire.raw_object(body)
        except Malformed:
            return body  # [DONE], or one line of several: nothing that names a model
        changed = False
        for path in self._protocol.model_out:
            changed = self._rename(fields, path) or changed
        return wire.encode(fields) if changed else body

    def _rename(self, fields: dict[str, msgspec.Raw], path: tuple[str, ...]) -> bool:
        key, *rest = path
        if key not in fields:
            return False
        if not rest:
            fields[key] = self._asked
            return True
        try:
            inner = wire.raw_object(bytes(fields[key]))
        except Malformed:
            return False
        if not self._rename(inner, tuple(rest)):
            return False
        fields[key] = msgspec.Raw(wire.encode(inner))
        return True


def _is_foreign(block: Block) -> bool:
    """Whether a block holds a seal that travels as our token: only its minter may see what is inside."""
    if isinstance(block, ToolResult):
        return any(_is_foreign(inner) for inner in block.blocks)
    seal = getattr(block, "seal", None)
    return seal is not None and seal.minter is not None
