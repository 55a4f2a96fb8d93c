"""Builds the snapshot views of results: upstream requests, client replies, routing, and the local model's outputs.

Each view shows its first result in full and every other one only where it differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..harness.ids import mask_ids
from ..matrix.result import Result, Step
from .store import json_deviation

LOSS_HEADER = "x-crosswire-loss"

CLIENT_HEADERS = ("content-type", "retry-after", "x-should-retry", "x-crosswire-attempts", LOSS_HEADER)
"""The response headers of a client's view."""

ROUTE_HEADERS = (
    *("x-crosswire-backend", "x-crosswire-model", "x-crosswire-route", "x-crosswire-attempts"),
    "x-should-retry",
)
"""The response headers of a route's view."""


def upstream_view(results: list[Result]) -> dict[str, Any]:
    """Returns the requests that reached one provider, by frontend and mode."""
    return _by_name(results, _upstream_requests, _frontend_and_mode)


def client_view(results: list[Result]) -> dict[str, Any]:
    """Returns the replies that one client received, by mode and provider."""
    unary = [result for result in results if not result.cell.stream]
    stream = [result for result in results if result.cell.stream]
    modes = (("unary", unary), ("stream", stream))
    return {mode: _by_name(some, _client_replies, lambda result: result.cell.provider) for mode, some in modes if some}


def route_view(results: list[Result]) -> dict[str, Any]:
    """Returns decisions, candidates, attempts and what the client received of a routing story, by frontend and mode."""

    def view(result: Result) -> dict[str, Any]:
        return {"exchanges": [_routed_exchange(step) for step in result.steps]}

    return _by_name(results, view, _frontend_and_mode)


def local_view(results: list[Result]) -> dict[str, Any]:
    """Returns prompts and outputs of a story on the local model; a view that differs is shown in full."""
    first, *others = [(_frontend_and_mode(result), _local_answers(result)) for result in results]
    return {first[0]: first[1], **{name: "the same" if view == first[1] else view for name, view in others}}


def _by_name(
    results: list[Result], view: Callable[[Result], dict[str, Any]], name: Callable[[Result], str]
) -> dict[str, Any]:
    first, *others = results
    base = view(first)
    out: dict[str, Any] = {name(first): base}
    for result in others:
        out[name(result)] = json_deviation(base, view(result)) or "the same"
    return out


def _frontend_and_mode(result: Result) -> str:
    return f"{result.cell.frontend} {'stream' if result.cell.stream else 'unary'}"


# ---- upstream --------------------------------------------------------------------------------------------------------


def _upstream_requests(result: Result) -> dict[str, Any]:
    return {"decision": result.decision, "requests": [_upstream_request(step) for step in result.steps]}


def _upstream_request(step: Step) -> Any:
    if not step.entries:
        return "nothing reached the provider"
    path = step.entries[-1]["path"]
    return {"path": path, "body": json.loads(mask_ids(step.transcript.upstream_request) or "null")}


# ---- client ----------------------------------------------------------------------------------------------------------


def _client_replies(result: Result) -> dict[str, Any]:
    return {
        "losses": result.losses,
        "answers": [_client_reply(number, step, result) for number, step in enumerate(result.steps)],
    }


def _client_reply(number: int, step: Step, result: Result) -> dict[str, Any]:
    if result.cell.stream and result.refused and step is result.steps[-1] and step.entries and step.reply.error:
        # how much of the reply was sent before what is refused, and so whether any was, TCP decides
        return {"refused": step.reply.error.message}
    shown = {name: value for name, value in step.response.headers.items() if name in CLIENT_HEADERS}
    if result.cell.stream and step.response.status == 200 and LOSS_HEADER in shown:
        # how many losses of the reply are known when the headers are sent, TCP decides
        known = result.request_losses.get(number, set())
        shown[LOSS_HEADER] = ",".join(feature for feature in shown[LOSS_HEADER].split(",") if feature in known)
        shown = {name: value for name, value in shown.items() if value}
    return {"status": step.response.status, "headers": shown, "body": _client_body(step, result)}


TOLD_LOSSES = re.compile(r',"crosswire_losses":\[(?:\{[^{}]*\},?)*\]')
"""The losses that the last event of a stream tells; every path is without braces."""


def _client_body(step: Step, result: Result) -> Any:
    # the model's name is checked in every cell; here it would make all views differ
    model = step.response.headers.get("x-crosswire-model") or step.reply.model or ""
    text = mask_ids(step.transcript.client_response)
    if model:
        text = text.replace(f'"{model}"', '"(model)"')
    if result.cell.stream and step.response.status == 200:
        # which losses the headers told, and which are left to the last event, TCP decides
        text = TOLD_LOSSES.sub("", text)
        is_sse = step.response.headers.get("content-type", "").startswith("text/event-stream")
        events = text.split("\n\n" if is_sse else "\n")
        if not step.response.broken:
            return events
        # a relay drops the comments that come in one read with the error
        return [*(event for event in events if not event.startswith(":")), "(the connection broke)"]
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- route -----------------------------------------------------------------------------------------------------------


def _routed_exchange(step: Step) -> dict[str, Any]:
    record, reply = step.record or {}, step.reply
    attempts = [
        {key: attempt[key] for key in ("backend", "model", "outcome")} for attempt in record.get("attempts") or ()
    ]
    shown = {name: step.response.headers[name] for name in ROUTE_HEADERS if name in step.response.headers}
    decision = _without_age(record.get("decision"))
    out = {"decision": decision, "attempts": attempts, "status": step.response.status, "headers": shown}
    losses = [loss["feature"] for loss in record.get("losses") or ()]
    if losses:
        out["losses"] = losses
    if reply.text:
        out["text"] = reply.text
    if reply.error is not None:
        out["error"] = {"kind": reply.error.kind, "message": reply.error.message}
    return out


# ---- local model -----------------------------------------------------------------------------------------------------


def _local_answers(result: Result) -> list[dict[str, Any]]:
    return [
        {"prompt": step.transcript.upstream_request, "said": model_output(step.transcript.upstream_response)}
        for step in result.steps
    ]


def model_output(lines: str) -> str:
    """Returns the text in the lines of a model's log, with each part in its own brackets, and the stop reason."""
    out, part = "", "text"
    for line in map(json.loads, lines.splitlines()):
        pieces = line.get("said") or [{"part": key, "text": value} for key, value in line.items() if key in _BRACKETS]
        for piece in pieces:
            if piece["part"] != part:
                out += _BRACKETS[part][1] + _BRACKETS[piece["part"]][0]
                part = piece["part"]
            out += piece["text"]
        out += f"{_BRACKETS[part][1]} ({line['stop']})" if "stop" in line else ""
    return out


_BRACKETS = {"text": ("", ""), "thinking": ("[", "]"), "call": ("«", "»")}


def _without_age(decision: Any) -> Any:
    """Returns the decision without how long ago its targets were measured, which differs from run to run."""
    if not decision or not decision.get("standings"):
        return decision
    standings = [{key: value for key, value in each.items() if key != "measured_s"} for each in decision["standings"]]
    return {**decision, "standings": standings}
