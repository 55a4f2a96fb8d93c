"""The bodies of the last requests, for the operator's page: bounded, in memory alone, and without keys."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from ..ir import Failure

MOST = 256 * 1024
"""Bytes of a body that are kept."""

_EDGE = 4096
"""Bytes beyond the end of what is kept in which a key may lie, of which only the beginning is before the end."""

READ = MOST + _EDGE
"""Bytes of a body that are looked at."""

_KEY = re.compile(
    rb"\b(?:sk|pk|rk|xai|gsk|cw|hf|ghp|gho|glpat|AIza)[-_]?[A-Za-z0-9_-]{16,}"
    rb"|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    rb"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
"""Text that looks like a credential: keys by their makers' beginnings, bearer tokens, and JSON Web Tokens."""

_FIELD = re.compile(
    rb"""(\\*"(?:authorization(?:_token)?|(?:x[-_])?(?:goog[-_])?api[-_]?key|password|(?:client[-_])?secret"""
    rb"""|(?:access[-_]|refresh[-_])?token)\\*"\s*:\s*\\*")[^"\\]+""",
    re.IGNORECASE,
)
"""A field of JSON, also of JSON within a text, whose value is a credential."""


class Wire(Struct, frozen=True):
    """One body as it went over a wire, masked and cut to what is kept; of a failure without a body its message."""

    stage: str
    attempt: int
    """The number of the attempt that it belongs to, from 1; 0 before the first."""
    ms: float
    body: bytes
    is_cut: bool = False
    is_failure: bool = False


class Exchange:
    """The bodies of one request, from the client's to the answer that it got."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []

    @property
    def size(self) -> int:
        """The bytes that it takes."""
        return sum(len(wire.body) + 200 for wire in self.wires)

    def add(
        self, stage: str, attempt: int, ms: float, content: bytes | Failure, without_keys: Callable[[bytes], bytes]
    ) -> None:
        """Keeps a body with its keys masked."""
        if isinstance(content, Failure):
            body, is_failure = f"{content.kind}: {content.message}".encode(), True
        else:
            body, is_failure = content, False
        body, is_cut = masked(body, without_keys)
        self.wires.append(Wire(stage, attempt, round(ms, 3), body, is_cut, is_failure))


def masked(body: bytes, without_keys: Callable[[bytes], bytes]) -> tuple[bytes, bool]:
    """The beginning of a body without the config's keys and whatever looks like one; returns whether it was cut."""
    is_cut = len(body) > MOST
    text = without_keys(body[:READ] if is_cut else body)
    text = _FIELD.sub(rb"\1***", _KEY.sub(b"***", text))
    return (text[: max(0, min(MOST, len(text) - _EDGE))] if is_cut else text), is_cut


class BodyBuffer:
    """The last exchanges by their request's id, as many as fit into `memory` bytes; the oldest are dropped."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.used = 0
        self._exchanges: OrderedDict[str, tuple[Exchange, int]] = OrderedDict()

    def add(self, request_id: str, exchange: Exchange) -> None:
        """Keeps the bodies of a request that has ended."""
        if not exchange.wires:
            return
        if (before := self._exchanges.pop(request_id, None)) is not None:
            self.used -= before[1]
        size = exchange.size
        self._exchanges[request_id] = exchange, size
        self.used += size
        while self._exchanges and self.used > self.memory:
            self.used -= self._exchanges.popitem(last=False)[1][1]

    def get(self, request_id: str) -> Exchange | None:
        """The bodies of this request, if they are still there."""
        found = self._exchanges.get(request_id)
        return None if found is None else found[0]
