"""Relays bytes between a client and a backend of the same protocol; at most the model's name is replaced."""

from __future__ import annotations

import re

import msgspec

from ..backends.relayed_stream import quiet_frames
from ..ir import Block, Opaque, Request, Text, ToolResult
from ..protocols.protocol import Protocol, UpstreamTarget
from ..routing import BackendConfig
from ..wire import json_fields
from ..wire.framing import FRAMINGS
from ..wire.json_members import member

_DATA_LINE = re.compile(rb"(data:[ ]?)(.*?)([\r\n]*)", re.DOTALL)


class Relay:
    """The relay of one request; where both names of the model are equal it changes no byte."""

    def __init__(self, protocol: Protocol, asked: str, upstream: str) -> None:
        self._protocol = protocol
        self._renames = asked != upstream
        if self._renames:
            self._asked_name = asked
            self._asked = msgspec.Raw(json_fields.encode(asked))
            self._upstream = msgspec.Raw(json_fields.encode(upstream))
            self._framing = FRAMINGS[protocol.framing](0)
            self._quiet = None if protocol.quiet_frame is None else quiet_frames(protocol.quiet_frame)
            key = json_fields.encode(protocol.model_out[0][-1])
            self._keys = (key + b":", key + b": ")

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
        name = frontend.name
        for turn in request.turns:
            for block in turn.blocks:
                if (type(block) is not Text or block.signature is not None) and _is_foreign(block, name):
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
        quick = self.renamed_at_once(whole)
        return quick if quick is not None else b"".join([self._line(line) for line in whole.splitlines(keepends=True)])

    def renamed_at_once(self, whole: bytes) -> bytes | None:
        """The same for quiet frames, by one replacement; None where its result may differ.

        It cannot if each frame has the backend's name before and the client's after it, and as many names were
        replaced as there are frames.
        """
        before = self._names_in(whole)
        if not before or any([name != before[0] for name in before]):
            return None
        if before[0] is msgspec.UNSET:
            return whole  # the frames name no model
        name = json_fields.encode(before[0])
        for key in self._keys:
            if whole.count(key + name) == len(before):
                renamed = whole.replace(key + name, key + bytes(self._asked))
                is_exact = self._names_in(renamed) == [self._asked_name] * len(before)
                return renamed if is_exact else None
        return None

    def _names_in(self, whole: bytes) -> list[str | msgspec.UnsetType | None] | None:
        """The model's name in each of these frames, if all are quiet."""
        objects = None if self._quiet is None else self._framing.objects(whole)
        frames = None if objects is None or self._quiet is None else self._quiet(*objects)
        return None if frames is None else [frame.model for frame in frames]

    def _line(self, line: bytes) -> bytes:
        if self._protocol.framing == "ndjson":
            text = line.rstrip(b"\r\n")
            return self._named(text) + line[len(text) :]
        match = _DATA_LINE.fullmatch(line)
        if match is None:
            return line
        return match[1] + self._named(match[2]) + match[3]

    def _named(self, body: bytes) -> bytes:
        for path in self._protocol.model_out:
            body = self._renamed(body, path)
        return body

    def _renamed(self, body: bytes, path: tuple[str, ...]) -> bytes:
        """A JSON object with the client's name at this path; the body itself where it has nothing there."""
        key, *rest = path
        found = member(body, key)
        if found is None:
            return body  # also [DONE], or one line of several
        start, end = found
        value = self._renamed(body[start:end], tuple(rest)) if rest else bytes(self._asked)
        return body[:start] + value + body[end:]


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
