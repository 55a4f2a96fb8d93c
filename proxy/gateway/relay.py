"""Relays bytes between a client and a backend of the same protocol; at most the model's name is replaced."""

from __future__ import annotations

import re

import msgspec

from ..errors import Malformed
from ..ir import Block, Opaque, Request, ToolResult
from ..protocols.protocol import Protocol, UpstreamTarget
from ..routing import BackendConfig
from ..wire import json_fields

_DATA_LINE = re.compile(rb"(data:[ ]?)(.*?)([\r\n]*)", re.DOTALL)


class Relay:
    """The relay of one request; where both names of the model are equal it changes no byte."""

    def __init__(self, protocol: Protocol, asked: str, upstream: str) -> None:
        self._protocol = protocol
        self._renames = asked != upstream
        if self._renames:
            self._asked = msgspec.Raw(json_fields.encode(asked))
            self._upstream = msgspec.Raw(json_fields.encode(upstream))

    @staticmethod
    def between(
        frontend: Protocol, request: Request, body: bytes, backend: BackendConfig, target: UpstreamTarget
    ) -> Relay | None:
        """The relay for this request and its body to this backend, or None where the request must be converted."""
        if frontend.name != backend.protocol or backend.relay == "never":
            return None
        if frontend.dialect_quirk is not None and frontend.dialect_quirk not in target.traits.takes:
            return None
        if (target.traits.rows or frontend.to_chat) and frontend.needs_reencoding(request, target, body):
            return None
        if any(_is_foreign(block, frontend.name) for turn in request.turns for block in turn.blocks):
            return None
        return Relay(frontend, request.model, target.model)

    def request(self, body: bytes) -> bytes:
        """The client's body with the upstream's name of the model, where the body names it."""
        if not self._renames or not self._protocol.model_in:
            return body
        fields = json_fields.raw_object(body)
        for key in self._protocol.model_in:
            fields[key] = self._upstream
        return json_fields.encode(fields)

    def reply(self, body: bytes) -> bytes:
        """The backend's body with the client's name of the model."""
        return self._named(body) if self._renames else body

    def frames(self, whole: bytes) -> bytes:
        """Whole frames of the backend's stream with the client's name of the model."""
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
            fields = json_fields.raw_object(body)
        except Malformed:
            return body  # [DONE], or one line of several
        changed = False
        for path in self._protocol.model_out:
            changed = self._rename(fields, path) or changed
        return json_fields.encode(fields) if changed else body

    def _rename(self, fields: dict[str, msgspec.Raw], path: tuple[str, ...]) -> bool:
        key, *rest = path
        if key not in fields:
            return False
        if not rest:
            fields[key] = self._asked
            return True
        try:
            inner = json_fields.raw_object(bytes(fields[key]))
        except Malformed:
            return False
        if not self._rename(inner, tuple(rest)):
            return False
        fields[key] = msgspec.Raw(json_fields.encode(inner))
        return True


def _is_foreign(block: Block, protocol: str) -> bool:
    """Returns whether only the proxy wrote a block so, for a client, so that no backend can read it.

    Such are a signature in a token of the proxy, which only its issuer may get unwrapped, and a call that another
    provider's hosted tool made.
    """
    if isinstance(block, ToolResult):
        return any(_is_foreign(inner, protocol) for inner in block.blocks)
    if isinstance(block, Opaque):
        return block.protocol != protocol
    signature = getattr(block, "signature", None)
    return signature is not None and signature.issuer is not None
