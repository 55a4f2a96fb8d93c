"""Plays one cell against a gateway, and judges it by the client's wire and the mock's journal."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.model import Ask
from crosswire.mockserver.scenarios.provider import Provider

from ..checks.case import CLIENT_KEY, Case
from ..client import CLIENTS
from ..client.conversation import expected_request
from ..client.protocol import HttpRequest, ParsedReply
from ..harness.testbed import HttpResponse
from ..harness.testbed_target import NoAnswer, TargetTestbed
from ..matrix.expectations import Expectations
from ..matrix.result import Cell, Result, Step, Transcript, path_below_base
from .exchange import Judged, judge_exchange
from .profile import Profile
from .rule import RULES
from .verdict import Exchanged, Finding, Message, Verdict

GEMINI_PATH = re.compile(r"/models/(?P<model>.+):(?P<method>[A-Za-z]+)$")
"""Model and method in a path of the one protocol that has them there."""

SHOWN_HEADERS = ("content-type", "retry-after", "location", "anthropic-version", "anthropic-beta")
"""Headers that a verdict shows, beside those that declare losses."""

MASK = "***"

READING_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""Exceptions of reading a value of an unexpected type."""


class Table(Struct, frozen=True):
    """All that a run plays with: the gateway, its profile, the scenarios, the expectations."""

    testbed: TargetTestbed
    url: str
    profile: Profile
    scenarios: Scenarios
    matrix: Expectations
    house: bool = False


async def judge_cell(cell: Cell, table: Table) -> Verdict:
    """Plays a cell step by step and returns the verdict; a cell that is not offered is not played."""
    verdict = Verdict(cell)
    scenarios, profile = table.scenarios, table.profile
    story, client = scenarios.stories[cell.story], CLIENTS[cell.frontend]
    conversation: list[tuple[Ask, ParsedReply | None]] = []
    result = Result(cell)
    for exchange in story.exchanges:
        provider = scenarios.providers[exchange.by or cell.provider]
        model = exchange.ask.model or story.model_for(provider) or "any-model"
        reason = profile.reason_not_offered(replace(cell, provider=provider.name), story, model)
        if reason is not None:
            verdict.outcome, verdict.reason = "not-offered", reason
            return verdict
    for at, exchange in enumerate(story.exchanges):
        provider = scenarios.providers[exchange.by or cell.provider]
        model = exchange.ask.model or story.model_for(provider) or "any-model"
        name = profile.model_name(provider.name, model) or model
        named = replace(exchange.ask, model=name) if exchange.ask.model else exchange.ask
        conversation.append((named, None))
        key = profile.frontends[cell.frontend].key or CLIENT_KEY
        built = client.build_request(conversation, model=name, stream=cell.stream, key=key)
        request = addressed(built, profile, cell.frontend, provider.name, name)
        since, _ = await table.testbed.journal(2**62)
        try:
            response = await table.testbed.send(
                request.method, table.url + request.path, request.headers, request.bytes()
            )
        except NoAnswer as problem:
            rule = RULES["answer"]
            found = Finding("wrong", rule.id, rule.by, str(problem), rule.says, rule.source or story.source, at)
            verdict.steps.append(Exchanged(_client_message(request, profile, cell.frontend), None, None, None))
            verdict.add(found)
            return verdict
        reply = client.parse_reply(
            response.status, response.headers, response.body, stream=cell.stream, request=request
        )
        _, entries = await table.testbed.journal(since)
        chats = _chat_entries(entries, scenarios, story.name)
        step = Step(
            _transcript(request, response, chats), reply, response, await _record(table, response), tuple(chats)
        )
        result.steps.append(step)
        verdict.steps.append(_exchanged(step, request, profile, cell.frontend))
        upstream = _speaking(chats[-1], scenarios) if chats else provider
        expected = expected_request(conversation, model=name, stream=cell.stream)
        case = Case(
            *(story, at, exchange, upstream if upstream.name == provider.name else provider, client),
            *(CLIENTS[upstream.protocol], table.matrix, expected, model),
        )
        judged = Judged(case, request, built.path, step, profile, verdict, result, table.house, provider, upstream)
        try:
            goes_on = judge_exchange(judged)
        except READING_ERRORS as problem:  # one reply must not end the run
            judged.find(
                "wrong", "shape", f"a value is of a type that cannot be read: {type(problem).__name__}: {problem}"
            )
            break
        if not goes_on:
            break
        conversation[-1] = (named, reply)
    return verdict


def addressed(request: HttpRequest, profile: Profile, frontend: str, provider: str, model: str) -> HttpRequest:
    """Returns the client's request as the profile has it: path, and the headers of frontend and provider."""
    offered = profile.frontends[frontend]
    path, _, query = request.path.partition("?")
    if offered.path:
        found = GEMINI_PATH.search(path)
        path = offered.path.replace("{model}", quote(model, safe="/:@"))
        path = path.replace("{method}", found["method"] if found else "")
    more = {**offered.headers, **profile.headers.get(provider, {})}
    headers = {name: value for name, value in request.headers.items() if name not in {key.lower() for key in more}}
    return replace(request, path=f"{path}?{query}" if query else path, headers=headers | more)


def _chat_entries(entries: list[dict[str, Any]], scenarios: Scenarios, story: str) -> list[dict[str, Any]]:
    """Returns the chat requests of an exchange, no lists and counts; those of the story alone if there are any."""
    chats = []
    for entry in entries:
        provider = _speaking(entry, scenarios)
        path = path_below_base(entry, provider)
        if MOCK_PROTOCOLS[provider.protocol].endpoint_of(entry["method"], path) in ("generate", None):
            chats.append(entry)
    return [entry for entry in chats if entry["story"] == story] or chats


def _speaking(entry: dict[str, Any], scenarios: Scenarios) -> Provider:
    """Returns the provider of a journal entry as it speaks the protocol of the entry's path."""
    provider = scenarios.providers[entry["provider"]]
    path = path_below_base(entry, provider)
    for name in (provider.protocol, *provider.dialects):
        if MOCK_PROTOCOLS[name].endpoint_of(entry["method"], path) is not None:
            return provider.speaking(name)
    return provider


async def _record(table: Table, response: HttpResponse) -> dict[str, Any] | None:
    """Returns the gateway's record of a request, by the path in the profile."""
    names = re.findall(r"\{([a-z0-9-]+)\}", table.profile.record)
    if not table.house or not table.profile.record or any(name not in response.headers for name in names):
        return None
    path = re.sub(r"\{([a-z0-9-]+)\}", lambda found: response.headers[found[1]], table.profile.record)
    found: dict[str, Any] | None = await table.testbed.get_json(table.url + path)
    return found


# ---- wires -----------------------------------------------------------------------------------------------------------


def _transcript(request: HttpRequest, response: HttpResponse, entries: list[dict[str, Any]]) -> Transcript:
    last = entries[-1] if entries else {}
    return Transcript(
        request.bytes().decode(),
        response.body.decode("utf-8", "replace"),
        last.get("received", ""),
        last.get("sent", ""),
    )


def _client_message(request: HttpRequest, profile: Profile, frontend: str) -> Message:
    secrets = {profile.frontends[frontend].key, *profile.frontends[frontend].headers.values()} - {""}
    body = request.bytes().decode()
    for secret in secrets:
        body = body.replace(secret, MASK)
    return Message(f"{request.method} {request.path}", _shown(request.headers, ()), body)


def _exchanged(step: Step, request: HttpRequest, profile: Profile, frontend: str) -> Exchanged:
    entry = step.entries[-1] if step.entries else None
    response, transcript = step.response, step.transcript
    ending = ", and the connection broke" if response.broken else ""
    return Exchanged(
        _client_message(request, profile, frontend),
        None
        if entry is None
        else Message(f"{entry['method']} {entry['path']}", _shown(entry["headers"], ()), transcript.upstream_request),
        None
        if entry is None
        else Message(f"status {entry['status']}", _shown(entry["reply_headers"], ()), transcript.upstream_response),
        Message(
            f"status {response.status}{ending}", _shown(response.headers, profile.losses), transcript.client_response
        ),
    )


def _shown(headers: dict[str, str], more: tuple[str, ...]) -> dict[str, str]:
    names = {*SHOWN_HEADERS, *(name.lower() for name in more)}
    return {name: value for name, value in headers.items() if name.lower() in names}
