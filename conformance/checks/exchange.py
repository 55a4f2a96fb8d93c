"""Checks one exchange: request, reply, losses, errors, headers, record and secrets.

The checks use the mock's protocols, the record's fields and the matrix's expectations, and no code of the proxy.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from jsonpath_ng.ext.parser import parse as parse_path

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.mockserver.scenarios.model import Audio, Document, Image, ToolCall, ToolResult

from ..client.protocol import HttpRequest
from ..client.reply_checks import parse_json
from ..comparison import WRONG, Difference, order_differs, reply_differences, request_differences
from ..matrix.result import Result, Step, path_below_base
from .capabilities import must_refuse
from .case import Case
from .errors import check_complaints, check_error, check_refusal, check_refused_reply
from .headers import check_feature_headers, check_record, check_secrets
from .losses import check_added, check_losses, check_recorded_losses
from .tool_names import ToolMatches, match_tools

BLOCKS_OF_FEATURE: dict[str, tuple[type, ...]] = {
    "documents": (Document,),
    "document": (Document,),
    "audio": (Audio,),
    "image": (Image,),
}
"""Refused feature -> the types of blocks that carry it."""

FIELDS_OF_FEATURE: dict[str, tuple[str, ...]] = {"media_asked": ("modalities", "responseModalities")}
"""Refused feature -> the request fields that ask for it."""

INVALID_ARGUMENTS = re.compile(r"calls: the arguments of .* are no JSON object")
"""A complaint that is excused if the provider's reply causes it too: invalid JSON is passed on unchanged."""


def check_exchange(result: Result, case: Case, request: HttpRequest, step: Step) -> None:
    """Runs every check on one exchange and adds failures to the result."""
    if step.record is not None:
        check_recorded_losses(result, step)
    if not step.entries:
        check_refusal(result, case, step)
        return
    refused = {feature for feature in must_refuse(case.provider, case.story, case.matrix) if _is_sent(feature, case)}
    if refused and not case.same_protocol and not case.story.is_strict:
        result.fail(f"{', '.join(sorted(refused))} must be refused, but reached the provider")
    if len(step.entries) > 1 and case.exchange.decide is None:
        result.fail(f"{len(step.entries)} requests reached the provider, expected 1")
    entry = step.entries[-1]
    if entry["story"] != case.story.name or entry["step"] not in (case.step_index, None):
        result.fail(f"the provider did not recognise the request: {entry['note'] or entry['story']}")
        return
    if entry["note"]:
        result.fail(f"the provider: {entry['note']}")
    check_secrets(result, case, step, entry)
    check_feature_headers(result, case, request, entry)
    sent, received = _parse_requests(result, case, request, entry)
    of_request: list[Difference] = []
    matches: ToolMatches = {}
    if sent is not None and received is not None:
        matches = match_tools(sent, received)
        of_request = request_differences(sent, case.client, received, case.upstream, case.provider.name)
        check_added(result, case, sent, received)
        _check_stable_names(result, case, sent, received, matches)
    result.request_losses[case.step_index] = {difference.feature for difference in of_request} - {WRONG}
    upstream_reply = case.upstream.parse_reply(
        entry["status"],
        entry["reply_headers"],
        str(entry.get("sent", "")).encode(),
        stream=result.cell.stream,
        request=HttpRequest(entry["method"], entry["path"], entry["headers"], entry["body"] or {}),
    )
    unreportable = case.unreportable
    if unreportable and step.reply.error is not None and upstream_reply.error is None:
        check_refused_reply(result, unreportable, step)
        return
    # between equal protocols even an invalid reply is relayed unchanged; an error is always rewritten
    is_relayed = _is_relayed(step) and entry["status"] == 200
    complaints = upstream_reply.complaints
    excused = complaints if is_relayed else tuple(filter(INVALID_ARGUMENTS.match, complaints))
    check_complaints(result, step, excused=excused)
    offered = sent.tools if sent is not None else ()
    of_reply = reply_differences(
        upstream_reply, case.upstream, step.reply, case.client, matches, offered, case.provider.name
    )
    check_losses(result, case, step, of_request, of_reply)
    if case.story.is_strict and result.losses:
        result.fail(f"the story is strict, but {', '.join(result.losses)} was lost")
    check_record(result, case, step, entry, received)
    complete = (
        sent is not None
        and not request_differences(case.expected, case.client, sent, case.client)
        and not order_differs(case.expected, sent)
    )
    _check_expectations(result, case, step, entry, complete=complete)
    check_error(result, case, step, upstream_reply)


def _is_sent(feature: str, case: Case) -> bool:
    """Returns True if the conversation has sent the feature by now; exchanges before it must pass."""
    if feature in FIELDS_OF_FEATURE:
        fields = json.dumps(case.exchange.ask.also.get(case.client.name, {}))
        return any(f'"{name}"' in fields for name in FIELDS_OF_FEATURE[feature])
    if feature not in BLOCKS_OF_FEATURE:
        return True
    blocks = [block for turn in case.expected.turns for block in turn.blocks]
    inner = [block for result in blocks if isinstance(result, ToolResult) for block in result.blocks]
    return any(isinstance(block, BLOCKS_OF_FEATURE[feature]) for block in (*blocks, *inner))


def _is_relayed(step: Step) -> bool:
    return any(attempt["relayed"] for attempt in (step.record or {}).get("attempts", []))


def _parse_requests(
    result: Result, case: Case, request: HttpRequest, entry: dict[str, Any]
) -> tuple[ParsedRequest | None, ParsedRequest | None]:
    """Parses the client's request and the one that the provider received, each with the mock's parser."""
    try:
        sent = MOCK_PROTOCOLS[case.client.name].parse_request(request.path, request.headers, request.body)
        return sent, MOCK_PROTOCOLS[case.upstream.name].parse_request(
            path_below_base(entry, case.provider), entry["headers"], entry["body"]
        )
    except MalformedRequest as problem:
        result.fail(f"a request cannot be parsed: {problem}")
        return None, None


def _check_stable_names(
    result: Result, case: Case, sent: ParsedRequest, received: ParsedRequest, matches: ToolMatches
) -> None:
    """Checks that a tool or call id has the same name upstream in every exchange, so that histories match."""
    calls = [[b for turn in one.turns for b in turn.blocks if isinstance(b, ToolCall)] for one in (sent, received)]
    pairs = [(f"tool {full_name}", tool.name) for full_name, tool in matches.items()]
    if len(calls[0]) == len(calls[1]):
        pairs += [(f"call {one.id}", other.id) for one, other in zip(*calls, strict=True) if one.id]
    for what, name in pairs:
        before = result.renamed.setdefault(f"{what} at {case.provider.name}", name)
        if before != name:
            result.fail(f"{what} was {before!r} upstream before, now it is {name!r}")


def _expected_fields(case: Case) -> dict[str, Any]:
    """Returns what a story expects of the request to this provider, by its own name or else its protocol's."""
    expect = case.exchange.expect
    name = case.provider.name if case.provider.name in expect else case.upstream.name
    return expect.get(name) or {}


def _check_expectations(result: Result, case: Case, step: Step, entry: dict[str, Any], *, complete: bool) -> None:
    """Checks the story's `hear`, and its `expect` if the client's protocol could express the complete request."""
    expected = _expected_fields(case) if complete else {}
    for path, want in expected.items():
        found = [match.value for match in _json_path(path).find(entry["body"])]
        if found != want if isinstance(want, list) else any(value != want for value in found) or not found:
            result.fail(f"upstream {path} is {found}, the story expects {want}")
    hear, reply = case.exchange.hear, step.reply
    for name, value in hear.headers.items():
        if step.response.headers.get(name) != value:
            result.fail(f"header {name} is {step.response.headers.get(name)}, the story expects {value}")
    if hear.text is not None and reply.text != hear.text:
        result.fail(f"received the text {reply.text!r}, the story expects {hear.text!r}")
    if hear.after is not None and not hear.after.startswith(reply.text):
        result.fail(f"received {reply.text!r} before the error, the story expects {hear.after!r}")
    if hear.calls is not None:
        calls = [{"name": call.name, "arguments": parse_json(call.arguments.encode())} for call in reply.calls]
        if calls != list(hear.calls):
            result.fail(f"received the calls {calls}, the story expects {list(hear.calls)}")
    if hear.stop is not None and case.client.merged_stops.get(hear.stop, hear.stop) != reply.stop:
        result.fail(f"the stop reason is {reply.stop}, the story expects {hear.stop}")


@cache
def _json_path(text: str) -> Any:
    return parse_path(text)
