"""What must be true where a story's own proxy decides: who was asked, with what, and that all say the same of it.

It knows the record's fields and the mock's journal. What was said and heard is judged as in any other cell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Malformed, Provider, key_given
from mockserver.scenario import Decide, Exchange, Story

from .steps import Result, Step, decided, path_below

ROUTE = "route"
"""Where a cell has a provider's name: here the story's own backends answer, whichever the proxy asks."""


LONGEST = 256
"""Characters of a header."""


def judge_route(
    result: Result, story: Story, exchange: Exchange, providers: Mapping[str, Provider], step: Step
) -> None:
    """Hold one exchange against what must be decided: the journal, the record, the headers and the client's answer."""
    decide = exchange.decide
    assert decide is not None
    found = (
        *_asked(story, decide, providers, step),
        *_recorded(story, decide, step),
        *_told(decide, step),
    )
    for reason in found:
        result.fail(reason)
    result.decision = decided(step.record or {})


def _asked(story: Story, decide: Decide, providers: Mapping[str, Provider], step: Step) -> Iterator[str]:
    """By the mock's journal: these backends in this order, with these models, each by its own key, and nobody else."""
    accounts = {name: providers[provider].account(name) for name, provider in story.backends.items()}
    asked = [(entry["backend"], _model(entry, accounts)) for entry in step.entries]
    if asked != list(decide.tried):
        yield f"asked were {shown(asked)}, the story says {shown(decide.tried)}"
    times = Counter[str]()
    for entry in step.entries:
        account = accounts.get(entry["backend"])
        if account is None or account.name != entry["provider"]:
            yield f"{entry['provider']} was asked, as the backend {entry['backend']}, which is none of the story's"
            continue
        keys = story.keys(entry["backend"], account.auth.key)
        due = keys[min(times[entry["backend"]], len(keys) - 1)]
        times[entry["backend"]] += 1
        if (given := key_given(entry["headers"], account.auth)) != due:
            owner = next((name for name, other in accounts.items() if other.auth.key == given), "nobody")
            yield f"{entry['backend']} was asked with the key of {owner}"
        elif due != account.auth.key:
            continue
        elif entry["story"] != story.name or entry["note"]:
            yield f"{entry['backend']} did not recognise the request: {entry['note'] or entry['story']}"
        told = json.dumps([entry["path"], entry["headers"], entry["body"]])
        for name, other in accounts.items():
            if name != entry["backend"] and other.auth.key in told:
                yield f"the key of {name} reached {entry['backend']}"
    answer = json.dumps([step.answer.headers, step.wires.client_response, step.record])
    for name, account in accounts.items():
        if account.auth.key in answer:
            yield f"the key of {name} reached the client"


def _model(entry: dict[str, Any], accounts: Mapping[str, Provider]) -> str | None:
    """The model that a request of the journal asks for, wherever its protocol says it."""
    account = accounts.get(entry["backend"])
    if account is None:
        return None
    try:
        return DIALECTS[account.protocol].read(path_below(entry, account), entry["headers"], entry["body"]).model
    except Malformed:
        return None


def _recorded(story: Story, decide: Decide, step: Step) -> Iterator[str]:
    """By the record: the decision, its candidates, and the attempts."""
    record = step.record
    if record is None:
        yield "there is no record of this request"
        return
    decision = record.get("decision") or {}
    if {record.get("mode"), decision.get("mode")} != {decide.mode}:
        yield f"decided by {decision.get('mode')} ({decision.get('because')}), the story says {decide.mode}"
    if decide.because is not None and decide.because not in str(decision.get("because")):
        yield f"decided because {decision.get('because')!r}, the story says {decide.because!r}"
    chosen = decision.get("chosen") or {}
    first = decide.tried[0] if decide.tried else (None, None)
    if (chosen.get("backend"), chosen.get("model")) != first:
        yield f"chosen was {shown([(chosen.get('backend'), chosen.get('model'))])}, the story says {shown([first])}"
    left = set(story.proxy["backends"] if story.proxy else ()) - {c["backend"] for c in decision.get("considered", ())}
    if left:
        yield f"nothing is said of {', '.join(sorted(left))}"
    attempts = [(attempt["backend"], attempt["model"]) for attempt in record.get("attempts") or ()]
    if attempts != list(decide.tried):
        yield f"the record has the attempts {shown(attempts)}, the story says {shown(decide.tried)}"
    used, answered = (record.get("backend_used"), record.get("model_used")), _answered(decide, step)
    if used != answered:
        yield f"the record says that {shown([used])} answered, it was {shown([answered])}"
    tier = (decision.get("score") or {}).get("tier")
    if tier != decide.tier:
        yield f"the request's tier is {tier}, the story says {decide.tier}"
    notes = decision.get("notes") or []
    if len(notes) != len(decide.notes) or not all(a in b for a, b in zip(decide.notes, notes, strict=True)):
        yield f"the decision notes {notes}, the story says {list(decide.notes)}"


def _answered(decide: Decide, step: Step) -> tuple[str | None, str | None]:
    """Who answered: the last that was asked, if a word of it reached the client."""
    return decide.tried[-1] if decide.tried and step.answer.status == 200 else (None, None)


def _told(decide: Decide, step: Step) -> Iterator[str]:
    """By the headers: who answered under which name, in which mode, after how many attempts."""
    headers = step.answer.headers
    backend, model = _answered(decide, step)
    wanted = {
        "x-crosswire-backend": backend,
        "x-crosswire-model": model,
        "x-crosswire-attempts": str(len(decide.tried)) if decide.tried else None,
    }
    for name, value in wanted.items():
        if headers.get(name) != value:
            yield f"the header {name} is {headers.get(name)}, the story says {value}"
    route = headers.get("x-crosswire-route", "")
    because = ((step.record or {}).get("decision") or {}).get("because")
    if route != f"{decide.mode}; {because}"[:LONGEST]:
        yield f"the header x-crosswire-route is {route!r}, decided was {decide.mode}; {because}"


def shown(pairs: Any) -> str:
    """Backends and models in a row."""
    return ", then ".join(f"{backend}: {model}" for backend, model in pairs) or "nobody"


# ---- the picture -----------------------------------------------------------------------------------------------------

TOLD = ("x-crosswire-backend", "x-crosswire-model", "x-crosswire-route", "x-crosswire-attempts", "x-should-retry")
"""The headers of a route's snapshot."""


def route_view(result: Result) -> dict[str, Any]:
    """What one cell shows of its decisions: each with its candidates, the attempts, and what the client was told."""
    return {"exchanges": [_exchange(step) for step in result.steps]}


def _exchange(step: Step) -> dict[str, Any]:
    record, heard = step.record or {}, step.heard
    attempts = [
        {key: attempt[key] for key in ("backend", "model", "outcome")} for attempt in record.get("attempts") or ()
    ]
    told = {name: step.answer.headers[name] for name in TOLD if name in step.answer.headers}
    out = {"decision": record.get("decision"), "attempts": attempts, "status": step.answer.status, "headers": told}
    losses = [loss["feature"] for loss in record.get("losses") or ()]
    if losses:
        out["losses"] = losses
    if heard.text:
        out["text"] = heard.text
    if heard.error is not None:
        out["error"] = {"kind": heard.error.kind, "message": heard.error.message}
    return out
