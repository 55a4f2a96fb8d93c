"""Checks of routing decisions: mock journal, request record and response headers must agree with the story.

Requests and replies of these exchanges get the same checks as in any other cell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest
from crosswire.mockserver.protocols.reply_context import sent_key
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Decide, Exchange, Story

from ..matrix.result import Result, Step, decision_summary, path_below_base

ROUTE = "route"
"""The provider's name in cells of routing stories, which bring their own backends."""

MAX_HEADER_LENGTH = 256
"""Characters of the longest header that the proxy writes."""


def check_route(
    result: Result, story: Story, exchange: Exchange, providers: Mapping[str, Provider], step: Step
) -> None:
    """Checks one exchange against the story's `decide`, by journal, record and headers."""
    decide = exchange.decide
    assert decide is not None
    found = (
        *_journal_errors(story, decide, providers, step),
        *_record_errors(story, decide, step),
        *_header_errors(decide, step),
    )
    for reason in found:
        result.fail(reason)
    result.decision = decision_summary(step.record or {})


def _journal_errors(story: Story, decide: Decide, providers: Mapping[str, Provider], step: Step) -> Iterator[str]:
    """Yields differences of the mock's journal: backends, their order, models and keys."""
    accounts = {name: providers[provider].account(name) for name, provider in story.backends.items()}
    requests = [(entry["backend"], _model_in_entry(entry, accounts)) for entry in step.entries]
    if requests != list(decide.tried):
        yield f"requests went to {describe_attempts(requests)}, the story expects {describe_attempts(decide.tried)}"
    uses = Counter[str]()
    for entry in step.entries:
        account = accounts.get(entry["backend"])
        if account is None or account.name != entry["provider"]:
            yield f"{entry['provider']} was called as the backend {entry['backend']}, which the story does not have"
            continue
        keys = story.keys(entry["backend"], account.auth.key)
        expected = keys[min(uses[entry["backend"]], len(keys) - 1)]
        uses[entry["backend"]] += 1
        if (given := sent_key(entry["headers"], account.auth)) != expected:
            owner = next((name for name, other in accounts.items() if other.auth.key == given), "no backend")
            yield f"{entry['backend']} received the key of {owner}"
        elif expected != account.auth.key:
            continue
        elif entry["story"] != story.name or entry["note"]:
            yield f"{entry['backend']} did not recognise the request: {entry['note'] or entry['story']}"
        received = json.dumps([entry["path"], entry["headers"], entry["body"]])
        for name, other in accounts.items():
            if name != entry["backend"] and other.auth.key in received:
                yield f"the key of {name} reached {entry['backend']}"
    response = json.dumps([step.response.headers, step.transcript.client_response, step.record])
    for name, account in accounts.items():
        if account.auth.key in response:
            yield f"the key of {name} reached the client"


def _model_in_entry(entry: dict[str, Any], accounts: Mapping[str, Provider]) -> str | None:
    """Returns the model that a request of the journal asks for, None where it cannot be parsed."""
    account = accounts.get(entry["backend"])
    if account is None:
        return None
    try:
        protocol = MOCK_PROTOCOLS[account.protocol]
        return protocol.parse_request(path_below_base(entry, account), entry["headers"], entry["body"]).model
    except MalformedRequest:
        return None


def _record_errors(story: Story, decide: Decide, step: Step) -> Iterator[str]:
    """Yields differences of the record: decision, candidates, attempts."""
    record = step.record
    if record is None:
        yield "there is no record of this request"
        return
    decision = record.get("decision") or {}
    if {record.get("mode"), decision.get("mode")} != {decide.mode}:
        yield f"the mode is {decision.get('mode')} ({decision.get('because')}), the story expects {decide.mode}"
    if decide.because is not None and decide.because not in str(decision.get("because")):
        yield f"the reason is {decision.get('because')!r}, the story expects {decide.because!r}"
    chosen = decision.get("chosen") or {}
    first = decide.tried[0] if decide.tried else (None, None)
    pair = (chosen.get("backend"), chosen.get("model"))
    if pair != first:
        yield f"the chosen candidate is {describe_attempts([pair])}, the story expects {describe_attempts([first])}"
    considered = {candidate["backend"] for candidate in decision.get("considered", ())}
    missing = set(story.proxy["backends"] if story.proxy else ()) - considered
    if missing:
        yield f"the decision does not mention {', '.join(sorted(missing))}"
    attempts = [(attempt["backend"], attempt["model"]) for attempt in record.get("attempts") or ()]
    if attempts != list(decide.tried):
        found = describe_attempts(attempts)
        yield f"the record has the attempts {found}, the story expects {describe_attempts(decide.tried)}"
    used, answered = (record.get("backend_used"), record.get("model_used")), _answering_attempt(decide, step)
    if used != answered:
        yield f"the record names {describe_attempts([used])} as the source, it was {describe_attempts([answered])}"
    tier = (decision.get("score") or {}).get("tier")
    if tier != decide.tier:
        yield f"the request's tier is {tier}, the story expects {decide.tier}"
    notes = decision.get("notes") or []
    if len(notes) != len(decide.notes) or not all(a in b for a, b in zip(decide.notes, notes, strict=True)):
        yield f"the decision's notes are {notes}, the story expects {list(decide.notes)}"


def _answering_attempt(decide: Decide, step: Step) -> tuple[str | None, str | None]:
    """Returns backend and model of the last attempt if its reply reached the client, else (None, None)."""
    return decide.tried[-1] if decide.tried and step.response.status == 200 else (None, None)


def _header_errors(decide: Decide, step: Step) -> Iterator[str]:
    """Yields differences of the response headers: backend, model, attempts, route."""
    headers = step.response.headers
    backend, model = _answering_attempt(decide, step)
    wanted = {
        "x-crosswire-backend": backend,
        "x-crosswire-model": model,
        "x-crosswire-attempts": str(len(decide.tried)) if decide.tried else None,
    }
    for name, value in wanted.items():
        if headers.get(name) != value:
            yield f"the header {name} is {headers.get(name)}, the story expects {value}"
    route = headers.get("x-crosswire-route", "")
    because = ((step.record or {}).get("decision") or {}).get("because")
    if route != f"{decide.mode}; {because}"[:MAX_HEADER_LENGTH]:
        yield f"the header x-crosswire-route is {route!r}, the decision is {decide.mode}; {because}"


def describe_attempts(pairs: Any) -> str:
    """Formats pairs of backend and model as one line of text."""
    return ", then ".join(f"{backend}: {model}" for backend, model in pairs) or "no backend"
