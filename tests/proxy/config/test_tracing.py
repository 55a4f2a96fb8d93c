"""The key `tracing`: its values, and each mistake in it."""

from __future__ import annotations

import pytest

from crosswire.proxy.config import load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.observability.trace_settings import TraceSettings

BACKENDS = "backends: {a: {protocol: ollama, base_url: 'http://h'}}"


def test_the_values() -> None:
    keys = "{endpoint: 'http://c:4318/v1/traces', headers: {A-Key: x}, sample: 0.5, service: s, queue: 9, timeout_s: 2}"
    settings = load(f"tracing: {keys}\n{BACKENDS}", "c.yaml", {}).settings
    assert settings.tracing == TraceSettings(
        endpoint="http://c:4318/v1/traces", headers={"a-key": "x"}, sample=0.5, service="s", queue=9, timeout_s=2
    )
    plain = load(f"tracing: {{endpoint: 'http://c/v1/traces'}}\n{BACKENDS}", "c.yaml", {}).settings
    assert plain.tracing == TraceSettings(endpoint="http://c/v1/traces")
    assert load(BACKENDS, "c.yaml", {}).settings.tracing is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("tracing: {}", "tracing.endpoint: is missing"),
        ("tracing: {endpoint: 'ftp://h'}", "tracing.endpoint: is not an http or https URL"),
        ("tracing: {endpoint: 'http://u:p@h/v1/traces'}", "put the key under tracing.headers"),
        ("tracing: {endpoint: 'http://h', sample: 2}", "tracing.sample: is more than 1"),
        ("tracing: {endpoint: 'http://h', sample: -1}", "tracing.sample: is not a number"),
        ("tracing: {endpoint: 'http://h', queue: 0}", "tracing.queue: is not a whole number"),
        ("tracing: {endpoint: 'http://h', headers: {'a b': x}}", "is not a valid header name"),
        ('tracing: {endpoint: "http://h", headers: {a: "x\\ny"}}', "is not a valid header value"),
        ("tracing: {endpoint: 'http://h', sampel: 1}", "tracing.sampel"),
    ],
)
def test_what_is_wrong_is_said(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match="tracing") as error:
        load(f"{line}\n{BACKENDS}", "c.yaml", {})
    assert complaint in str(error.value)
