"""Checks of errors and refusals: kind, status and message; a failed stream must not end cleanly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from crosswire.mockserver.scenarios.model import Cut, Garble, SayError, SayText, coarse_kind

from ..client.protocol import ParsedError, ParsedReply
from ..matrix.result import Result, Step
from .capabilities import must_refuse
from .case import Case


def check_refusal(result: Result, case: Case, step: Step) -> None:
    """Checks a request that reached no provider: the matrix must allow this refusal, or the story expect it."""
    check_complaints(result, step)
    error = step.reply.error
    wanted = case.exchange.hear.error
    if error is None:
        result.fail("a reply came although no request reached the provider")
    elif wanted is not None and wanted.kind is not None and coarse_kind(wanted.kind) == error.kind:
        result.reasons.append(error.message)
        _check_error_text(result, case, error)
    elif step.response.status == 400 and (
        features := _features_in(must_refuse(case.provider, case.story, case.matrix), error.message)
    ):
        result.outcome = "unsupported"
        result.refused += features
        result.reasons.append(error.message)
    else:
        result.fail(f"refused with {step.response.status}: {error.message}")


def check_refused_reply(result: Result, features: list[str], step: Step) -> None:
    """Checks a reply that was refused for content the client cannot receive.

    Before the first content the refusal is an HTTP status, later an error inside the stream.
    """
    check_complaints(result, step)
    message = step.reply.error.message if step.reply.error is not None else ""
    if not (named := _features_in(features, message)):
        result.fail(f"the error names none of {', '.join(features)}: {message}")
    response = step.response
    if response.status == 200 and not response.broken:
        result.fail("a failed stream ended cleanly")
    if response.status != 200 and (response.status, response.headers.get("x-should-retry")) != (502, "false"):
        result.fail(f"status {response.status}, x-should-retry {response.headers.get('x-should-retry')}")
    if result.outcome == "pass":
        result.outcome = "unsupported"
        result.refused += named
        result.reasons.append(message)


def check_complaints(result: Result, step: Step, excused: Iterable[str] = ()) -> None:
    """Fails the cell for every violation of the client's protocol in the reply, except the excused ones."""
    for complaint in step.reply.complaints:
        if complaint not in excused:
            result.fail(f"the reply breaks the client's protocol: {complaint}")


def check_error(result: Result, case: Case, step: Step, upstream_reply: ParsedReply) -> None:
    """Checks that an expected error has the right kind, status and text, and that no other error is received."""
    wanted = expected_error(case)
    error = step.reply.error
    if wanted is None:
        if error is not None:
            result.fail(f"unexpected error: {error.status} {error.kind}: {error.message}")
        elif step.response.broken:
            result.fail("the connection broke although the reply was complete")
        return
    if error is None:
        result.fail(f"no error received, expected {wanted[1]}")
        return
    status, kind = wanted
    internal = {**case.client_side.stream_errors, **case.matrix.protocols[case.upstream.name].frontend.stream_errors}
    reported_as_internal = step.response.status == 200 and coarse_kind(kind) in internal
    if error.kind != coarse_kind(kind) and not (reported_as_internal and error.kind == "internal"):
        result.fail(f"received an error of kind {error.kind}, expected {kind}")
    _check_error_text(result, case, error)
    if step.response.status == 200:
        if not step.response.broken:
            result.fail("a failed stream ended cleanly")
    else:
        expected = case.client_side.statuses.get(status, status)
        if step.response.status != expected:
            result.fail(f"status {step.response.status}, expected {expected}")
    # the proxy need not pass on a message that the provider's own client could not parse (a `raw` reply)
    parseable = upstream_reply.error is not None and not upstream_reply.complaints
    passed_on = parseable and coarse_kind(kind) in ("bad_request", "not_found", "rate_limit")
    if passed_on and upstream_reply.error is not None and upstream_reply.error.message not in error.message:
        result.fail(f"the provider's message was {upstream_reply.error.message!r}, the client's is {error.message!r}")


def expected_error(case: Case) -> tuple[int, str] | None:
    """Returns status and kind of the error that the client must receive: the story's `hear`, by default its `say`."""
    fault = first_fault(case.exchange.items_for(case.backend, case.provider.name) or ())
    hear = case.exchange.hear.error
    if hear is not None:
        return hear.status or (fault or (502, ""))[0], hear.kind or (fault or (0, "internal"))[1]
    return fault


def first_fault(items: Iterable[Any]) -> tuple[int, str] | None:
    """Returns (status, kind) of the error that the first fault of a `say` causes; None without a fault."""
    for item in items:
        match item:
            case SayError(kind=kind, status=status):
                return status or 502, kind
            case Cut() | Garble():
                return 502, "internal"
            case SayText():
                continue
    return None


def _check_error_text(result: Result, case: Case, error: ParsedError) -> None:
    """Checks that the error contains the text that the story expects."""
    text = case.exchange.hear.error.says.get(case.client.name) if case.exchange.hear.error is not None else None
    if text is not None and text not in json.dumps(error.native, ensure_ascii=False):
        result.fail(f"the error lacks the text {text!r}: {error.native}")


def _features_in(features: Iterable[str], message: str) -> list[str]:
    """Returns the features that an error message names."""
    return sorted(feature for feature in features if re.search(rf"\b{re.escape(feature)}\b", message))
