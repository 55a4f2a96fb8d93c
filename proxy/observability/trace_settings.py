"""The settings of traces: where spans go, which share of them, and how many may wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class TraceSettings(Struct, frozen=True, kw_only=True):
    """The collector that spans are sent to, by OTLP over HTTP, and the bounds of their cost. Times are in seconds."""

    endpoint: str
    """The full URL, such as http://127.0.0.1:4318/v1/traces."""
    headers: Mapping[str, str] = {}
    """Headers of every export; the values are secrets."""
    sample: float = 1.0
    """The share of the traces that begin here which are recorded. One that a client began is recorded if it says so."""
    service: str = "crosswire"
    """The name of this service in the traces."""
    queue: int = 4096
    """Spans that may wait to be sent; what comes beyond is dropped and counted."""
    timeout_s: float = 10
    """Time limit for one export with all its retries."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Returns the fields with the headers' values masked."""
        fields = {field: getattr(self, field) for field in self.__struct_fields__}
        return list({**fields, "headers": dict.fromkeys(self.headers, "…")}.items())

    def __repr__(self) -> str:
        return f"TraceSettings({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"
