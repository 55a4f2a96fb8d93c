"""Converts one recording to one target protocol and checks the request to a backend and the reply to a client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest
from crosswire.mockserver.scenarios.model import Tool, coarse_kind
from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import COMMITTING, Failure, Loss, Opaque, Reply, Request
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest

from ..checks.tool_names import ToolMatches, match_tools
from ..client import CLIENTS
from ..client.protocol import HttpRequest, ParsedReply
from ..comparison import Difference, reply_differences, request_differences
from ..harness.clock import PROXY_CREATED
from .chunking import encode_stream, sequential_ids
from .decoding import MODELS, DecodedRecording, first_sdk_complaint, json_or_none, url_params
from .round_trip import reply_round_trip, request_round_trip
from .sdk_types import REQUEST, sdk_complaint
from .verdict import Outcome

OPAQUE = "opaque"
"""Feature of parts that pass through their own protocol without being decoded."""

MORE_SPECIFIC_KINDS: dict[str, tuple[str, ...]] = {
    "bad_request": ("not_found",),
    "internal": ("bad_request", "rate_limit"),
}
"""Kind of an error by status -> more specific kinds that its code may give."""

EXCUSED_SUBJECTS = ("calls", "stop", "usage")
"""Complaints on these subjects are excused if the recorded reply causes one too, as it is passed on unchanged."""

PROXY_AUTH_KINDS = ("authentication", "permission")
"""Kinds of errors about the proxy's own key, which the client receives as `internal`."""


class _Client(Struct, frozen=True):
    """One client as the proxy sees it (`context`) and as the suite sees it (`request`)."""

    context: ReplyContext
    request: HttpRequest


class Crossing:
    """Converts a decoded recording to a target protocol, which may be its own."""

    def __init__(self, decoded: DecodedRecording, target: str) -> None:
        self._decoded = decoded
        self._protocol = PROTOCOLS[target]
        self._is_own = self._protocol is decoded.protocol
        self._streamed = decoded.recording.streamed

    def run(self) -> Outcome:
        """Encodes request and reply in the target protocol and checks both."""
        decoded, protocol = self._decoded, self._protocol
        reasons: list[str] = []
        target = decoded.target(protocol)
        sent = decoded.sent if self._is_own else protocol.encode_request(decoded.any_request, target)
        payload = _as_received(sent.payload)
        losses = list(sent.losses)
        if decoded.request is decoded.any_request and not decoded.failed:
            reasons += self._request_errors(sent, payload)
        try:
            client = self._client(payload)
        except Malformed as fault:
            return Outcome((*reasons, f"request: the protocol rejects its own encoding: {fault}"), _features(losses))
        has_content = any(isinstance(event, COMMITTING) for event in decoded.events)
        if isinstance(decoded.answer, Failure) and not has_content:
            reasons += self._failure_errors(decoded.answer)
        else:
            reply_losses, errors = self._reply_errors(client)
            reasons += errors
            losses += reply_losses
        features = _features(losses)
        return Outcome(tuple(reasons), (*features, OPAQUE) if self._is_own and decoded.has_opaque_parts else features)

    # ---- request -----------------------------------------------------------------------------------------------------

    def _request_errors(self, sent: UpstreamRequest, payload: dict[str, Any]) -> list[str]:
        """Returns what is wrong with the request that a backend receives."""
        decoded, protocol = self._decoded, self._protocol
        request, parsed = decoded.request, decoded.parsed_request
        assert request is not None
        reasons = []
        address = protocol.address(sent.target.model, request.stream)
        complaint = sdk_complaint(protocol.name, REQUEST, payload)
        # the recorded request itself may be of a shape that only its host accepts
        is_odd = self._is_own and sdk_complaint(protocol.name, REQUEST, decoded.recording.request) is not None
        if complaint is not None and not is_odd:
            reasons.append(f"request: the SDK's type: {complaint}")
        if isinstance(parsed, str):
            return [*reasons, parsed]
        try:
            received = MOCK_PROTOCOLS[protocol.name].parse_request(address, {}, payload)
        except MalformedRequest as fault:
            return [*reasons, f"request: the mock rejects the encoded request: {fault}"]
        found = request_differences(parsed, decoded.client, received, CLIENTS[protocol.name])
        reasons += [f"request: {text}" for text in _undeclared(found, sent.losses)]
        if self._is_own:
            if (difference := request_round_trip(decoded, request, _as_received(payload), address)) is not None:
                reasons.append(difference)
        elif any(isinstance(part, Opaque) for part in _parts(request)) and not sent.losses:
            reasons.append("request: opaque parts without a declared loss")
        return reasons

    def _client(self, payload: dict[str, Any]) -> _Client:
        """Returns a client of the target protocol that sent the same request; a streaming one asks for its usage."""
        request, protocol = self._decoded.any_request, self._protocol
        if self._streamed and protocol.name == "openai-chat":
            payload = {**payload, "stream_options": {"include_usage": True}}
        address = protocol.address(MODELS[protocol.name], self._streamed)
        # the decoder modifies its input, hence the copy
        again = protocol.decode_request(_as_received(payload), url_params(protocol.name, address))
        again = replace(again, model=request.model, stream=self._streamed)
        return _Client(
            ReplyContext(again, "0" * 24, PROXY_CREATED, sequential_ids()), HttpRequest("POST", address, {}, payload)
        )

    # ---- reply -------------------------------------------------------------------------------------------------------

    def _reply_errors(self, client: _Client) -> tuple[list[Loss], list[str]]:
        """Returns the losses on the way to a client of the target protocol, and what is wrong with what it receives."""
        decoded, protocol = self._decoded, self._protocol
        if self._streamed:
            body, losses = encode_stream(protocol, client.context, decoded.batches)
            content_type = protocol.stream_type
        else:
            assert isinstance(decoded.answer, Reply)
            answer, losses = protocol.encode_reply(decoded.answer, client.context)
            body, content_type = msgspec.json.encode(answer), "application/json"
        target = CLIENTS[protocol.name]
        received = target.parse_reply(
            200, {"content-type": content_type}, body, stream=self._streamed, request=client.request
        )
        sent = decoded.parsed_reply
        matches, tools = self._tool_matches(client)
        found = reply_differences(sent, decoded.client, received, target, matches, tools)
        reasons = [f"reply: {text}" for text in _undeclared(found, losses)]
        reasons += [f"reply: the client complains: {text}" for text in self._new_complaints(received)]
        if sent.error is not None and received.error is not None and sent.error.kind != "cut":
            reasons += _kind_errors(sent.error.kind, received.error.kind)
        values = received.events if self._streamed else (json_or_none(body),)
        complaint = first_sdk_complaint(protocol.name, values, streamed=self._streamed)
        if complaint is not None and not (self._is_own and decoded.breaks_sdk_types):
            reasons.append(f"reply: the SDK's type: {complaint}")
        if self._is_own:
            if (difference := reply_round_trip(decoded, body)) is not None:
                reasons.append(difference)
        elif _holds_opaque(decoded.answer) and not losses:
            reasons.append("reply: opaque blocks without a declared loss")
        return losses, reasons

    def _tool_matches(self, client: _Client) -> tuple[ToolMatches, tuple[Tool, ...]]:
        """Returns the matches between this client's tools and those of the recorded request, and its tools."""
        decoded = self._decoded
        if self._is_own or isinstance(decoded.parsed_request, str) or decoded.request is not decoded.any_request:
            return {}, ()
        try:
            parsed = MOCK_PROTOCOLS[self._protocol.name].parse_request(client.request.path, {}, client.request.body)
        except MalformedRequest:
            return {}, ()  # reported by the checks of the request
        return match_tools(parsed, decoded.parsed_request), parsed.tools

    def _new_complaints(self, received: ParsedReply) -> Iterator[str]:
        """Yields the complaints about the proxy's reply that the recorded reply does not cause."""
        recorded = self._decoded.parsed_reply
        excused = {text.partition(":")[0] for text in recorded.complaints} & set(EXCUSED_SUBJECTS)
        broken = any(not isinstance(json_or_none(call.arguments.encode() or b"{}"), dict) for call in recorded.calls)
        for complaint in received.complaints:
            subject = complaint.partition(":")[0]
            unasked = recorded.usage is None and "usage" in complaint.lower()
            if subject not in excused and not unasked and not (broken and "`input`" in complaint):
                yield complaint

    def _failure_errors(self, failure: Failure) -> list[str]:
        """Returns what is wrong with an error that a client of the target protocol receives before any content."""
        protocol = self._protocol
        body = msgspec.json.encode(protocol.encode_failure(failure, "req_1"))
        status = protocol.failure_status.get(failure.kind, failure.status)
        headers = {"content-type": "application/json"}
        reply = CLIENTS[protocol.name].parse_reply(status, headers, body, stream=False)
        reasons = [f"error: the client complains: {text}" for text in reply.complaints]
        if reply.error is None:
            return [*reasons, "error: the client finds no error"]
        if reply.error.kind != coarse_kind(failure.kind):
            reasons.append(f"error: {failure.kind} is received as {reply.error.kind}")
        recorded = self._decoded.parsed_reply.error
        if recorded is not None and recorded.kind != "cut":
            reasons += _kind_errors(recorded.kind, reply.error.kind)
        return reasons


def _as_received(value: Any) -> Any:
    """Returns a payload as the other side parses it."""
    return json.loads(msgspec.json.encode(value))


def _parts(request: Request) -> Iterator[Any]:
    yield from request.tools
    for turn in request.turns:
        yield from turn.blocks


def _holds_opaque(answer: Reply | Failure) -> bool:
    return isinstance(answer, Reply) and any(isinstance(block, Opaque) for block in answer.blocks)


def _undeclared(found: Iterable[Difference], losses: Sequence[Loss]) -> list[str]:
    """Returns the differences that no loss declares: by feature, or by field name for a field without a counterpart."""
    declared = {loss.feature for loss in losses}
    fields = {_field(loss.path) for loss in losses}
    return [
        str(entry)
        for entry in found
        if entry.feature not in declared and not (entry.path.startswith("$") and _field(entry.path) in fields)
    ]


def _field(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def _features(losses: Iterable[Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss.feature for loss in losses))


def _kind_errors(sent: str, received: str) -> list[str]:
    expected = "internal" if sent in PROXY_AUTH_KINDS else sent
    if received == expected or received in MORE_SPECIFIC_KINDS.get(sent, ()):
        return []
    return [f"error: the provider sent {sent}, the client receives {received}"]
