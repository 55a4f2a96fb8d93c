"""The settings of traces show no key of the collector."""

from __future__ import annotations

from crosswire.proxy.config import Settings
from crosswire.proxy.observability.trace_settings import TraceSettings


def test_headers_are_masked() -> None:
    tracing = TraceSettings(endpoint="http://h", headers={"authorization": "Bearer secret-of-mine"})
    for shown in (repr(tracing), repr(Settings(tracing=tracing))):
        assert "secret-of-mine" not in shown
        assert "authorization" in shown
