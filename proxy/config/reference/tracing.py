"""Reference of the keys of traces."""

from __future__ import annotations

from .key_info import KeyInfo

TRACING_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="tracing.endpoint",
        type="URL",
        without="required",
        example='"http://127.0.0.1:4318/v1/traces"',
        meaning="The full URL of a collector that takes OTLP over HTTP.",
    ),
    KeyInfo(
        path="tracing.headers",
        type="mapping of text",
        default="{}",
        example='{authorization: "${OTLP_AUTHORIZATION:-}"}',
        meaning="Headers of every export, such as the collector's key; they are masked wherever the config is shown.",
    ),
    KeyInfo(
        path="tracing.sample",
        type="number from 0 to 1",
        default="1.0",
        example="0.1",
        meaning="Share of the traces that begin here which are recorded; one that a client began is recorded if its "
        "`traceparent` says so.",
    ),
    KeyInfo(
        path="tracing.service",
        type="text",
        default="crosswire",
        example="crosswire-eu",
        meaning="Name of the service in the traces (`service.name`).",
    ),
    KeyInfo(
        path="tracing.queue",
        type="integer, at least 1",
        default="4096",
        example="20000",
        meaning="Spans that may wait to be sent; what comes beyond is dropped, and counted in "
        "`crosswire_log_dropped_total`.",
    ),
    KeyInfo(
        path="tracing.timeout_s",
        type="seconds",
        default="10",
        example="5",
        meaning="Time limit for one export with its retries, which no request waits for.",
    ),
)
