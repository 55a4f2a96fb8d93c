"""Checks of response headers and request record: backend, model, losses, attempts; and no secrets in either."""

from __future__ import annotations

import json
from typing import Any

from crosswire.mockserver.protocols.protocol import ParsedRequest

from ..client.protocol import HttpRequest
from ..matrix.result import Result, Step, decision_summary
from .case import CLIENT_KEY, Case

FEATURE_HEADERS = ("anthropic-beta", "openai-beta")
"""Request headers that enable features of one protocol; only providers of that protocol may receive them."""


def check_feature_headers(result: Result, case: Case, request: HttpRequest, entry: dict[str, Any]) -> None:
    """Checks that feature headers reach providers of the client's protocol and no others."""
    for name in FEATURE_HEADERS:
        expected = request.headers.get(name) if case.same_protocol else None
        if entry["headers"].get(name) != expected:
            result.fail(f"the header {name} is {entry['headers'].get(name)!r} upstream, expected {expected!r}")


def check_secrets(result: Result, case: Case, step: Step, entry: dict[str, Any]) -> None:
    """Checks that the provider never receives the client's credential, nor the client the provider's."""
    if CLIENT_KEY in json.dumps([entry["path"], entry["headers"], entry["body"]]):
        result.fail("the client's credential reached the provider")
    if case.provider.auth.key in json.dumps([step.response.headers, step.transcript.client_response, step.record]):
        result.fail("the proxy's own credential reached the client")


def check_record(
    result: Result,
    case: Case,
    step: Step,
    entry: dict[str, Any],
    received: ParsedRequest | None,
) -> None:
    """Checks that headers and record name the real backend and model, and the body the requested model."""
    headers, record = step.response.headers, step.record
    if step.reply.error is None:
        if headers.get("x-crosswire-backend") != entry["backend"]:
            result.fail(f"the header names backend {headers.get('x-crosswire-backend')}, served by {entry['backend']}")
        if received is not None and headers.get("x-crosswire-model") != received.model:
            result.fail(f"the header names model {headers.get('x-crosswire-model')}, upstream got {received.model}")
        model = case.exchange.ask.model or case.model
        if step.reply.model not in (None, model):
            result.fail(f"the body names model {step.reply.model}, the request names {model}")
    if record is None:
        result.fail("there is no record of this request")
        return
    attempts = record.get("attempts") or []
    if len(attempts) != len(step.entries):
        result.fail(f"the record has {len(attempts)} attempts, the provider received {len(step.entries)} requests")
    if step.reply.error is None and record["backend_used"] != entry["backend"]:
        result.fail(f"the record names {record['backend_used']}, served by {entry['backend']}")
    if step.reply.error is None and received is not None and record["model_used"] != received.model:
        result.fail(f"the record names model {record['model_used']}, upstream got {received.model}")
    result.decision = decision_summary(record)
