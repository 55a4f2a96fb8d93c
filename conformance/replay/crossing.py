"""Converts one recording to one target protocol and checks the request to a backend and the reply to a client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest
from crosswire.mockserver.scenarios.model import Tool, coarse_kind
from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import Failure, Loss, Reply, Text, Turn, is_committing
from crosswire.proxy.ir.loss_tables import LOSS_RULES
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext

from ..checks.tool_names import ToolMatches, match_tools
from ..client import CLIENTS
from ..client.protocol import HttpRequest, ParsedReply
from ..harness.clock import PROXY_CREATED
from .chunking import encode_stream, sequential_ids
from .decoding import DecodedRecording, first_sdk_complaint, json_or_none, recorded_request, url_params
from .error_kinds import kind_errors
from .opaque_blocks import untold_blocks
from .reply_judge import judge_reply
from .request_judge import Judgement, RequestJudge
from .round_trip import reply_round_trip
from .target_models import TARGET_MODELS
from .verdict import Outcome

OPAQUE = "opaque"
"""Feature of parts that pass through their own protocol without being decoded."""

EXCUSED_SUBJECTS = ("calls", "stop")
"""Complaints on these subjects are excused if the recorded reply causes one too, as it is passed on unchanged."""


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
        """Encodes the request for each model and the reply for a client, and checks all of them."""
        decoded, protocol = self._decoded, self._protocol
        losses: list[Loss] = []
        payloads: list[dict[str, Any]] = []
        judgements: dict[str, Judgement] = {}
        judge = RequestJudge(decoded, protocol)
        is_judged = decoded.request is decoded.any_request and not decoded.failed
        for target in decoded.targets(protocol):
            sent = decoded.sent if self._is_own else protocol.encode_request(decoded.any_request, target)
            payloads.append(_as_received(sent.payload))
            losses += sent.losses
            if is_judged:
                judgements[target.model] = judge.judge(sent, payloads[-1])
        reasons = _request_reasons(judgements)
        left_out = next((one.left_out for one in judgements.values() if one.left_out is not None), None)
        if left_out is not None and not reasons:
            return Outcome(left_out=left_out)
        refused = dict.fromkeys(feature for one in judgements.values() for feature in one.refused)
        mock = next((one.mock for one in judgements.values() if one.mock is not None), None)
        try:
            client = self._client(payloads[0])
        except Malformed as fault:
            if not refused:
                reasons.append(f"request: the protocol rejects its own encoding: {fault}")
                return Outcome(tuple(reasons), _features(losses), tuple(refused), mock)
            # a request that is refused is not sent: the reply is judged as that to a shorter one
            shortest = replace(decoded.any_request, turns=(Turn("user", (Text("Hello"),)),))
            target = decoded.targets(protocol)[0]
            client = self._client(_as_received(protocol.encode_request(shortest, target).payload))
        has_content = any(is_committing(event) for event in decoded.events)
        if isinstance(decoded.answer, Failure) and not has_content:
            reasons += self._failure_errors(decoded.answer)
        else:
            reply_losses, errors = self._reply_errors(client)
            reasons += errors
            losses += reply_losses
        features = _features(losses)
        if self._is_own and decoded.has_opaque_parts:
            features = (*features, OPAQUE)
        return Outcome(tuple(reasons), features, tuple(refused), mock)

    # ---- request -----------------------------------------------------------------------------------------------------

    def _client(self, payload: dict[str, Any]) -> _Client:
        """Returns the client that was recorded, or one of another protocol that sent the same and asks for usage."""
        request, protocol = self._decoded.any_request, self._protocol
        if self._streamed and protocol.name == "openai-chat" and not self._is_own:
            payload = {**payload, "stream_options": {"include_usage": True}}
        if self._is_own and self._decoded.request is request:
            recording = self._decoded.recording
            context = ReplyContext(request, "0" * 24, PROXY_CREATED, sequential_ids(), array=recording.array)
            return _Client(context, recorded_request(recording))
        address = protocol.address(TARGET_MODELS[protocol.name][0], self._streamed)
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
            content_type = "application/json" if client.context.array else protocol.stream_type
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
        values = received.events if self._streamed else (json_or_none(body),)
        reasons = [
            f"reply: {text}"
            for text in judge_reply(
                sent,
                decoded.protocol.name,
                received,
                protocol.name,
                losses,
                decoded.wire_values,
                values,
                matches,
                tools,
            )
        ]
        fatal = [loss for loss in losses if LOSS_RULES[loss.feature].action == "refuse"]
        if fatal:
            lost = ", ".join(f"{loss.feature} ({loss.path})" for loss in fatal)
            reasons.append(f"reply: the server sends an error in its place: cannot be told without a loss: {lost}")
        reasons += [f"reply: the client complains: {text}" for text in self._new_complaints(received)]
        if sent.error is not None and received.error is not None and sent.error.kind != "cut":
            reasons += kind_errors(sent.error, received.error)
        complaint = first_sdk_complaint(protocol.name, values, streamed=self._streamed)
        if complaint is not None and not (self._is_own and decoded.breaks_sdk_types):
            reasons.append(f"reply: the SDK's type: {complaint}")
        if self._is_own:
            if (difference := reply_round_trip(decoded, body, array=client.context.array)) is not None:
                reasons.append(difference)
        elif isinstance(decoded.answer, Reply) and not losses:
            reasons += [f"reply: {text}" for text in untold_blocks(decoded.answer, values)]
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
        if recorded.error is not None:
            excused.add("calls")  # a reply that breaks off may do so within the arguments of a call
        broken = any(not isinstance(json_or_none(call.arguments.encode() or b"{}"), dict) for call in recorded.calls)
        for complaint in received.complaints:
            if self._is_own and complaint in recorded.complaints:
                continue  # passed on as the host sent it
            subject = complaint.partition(":")[0]
            unasked = "usage" in complaint.lower() and (
                recorded.usage is None or (self._is_own and "not asked for" in complaint)  # some hosts send it unasked
            )
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
            reasons += kind_errors(recorded, reply.error)
        return reasons


def _as_received(value: Any) -> Any:
    """Returns a payload as the other side parses it."""
    return json.loads(msgspec.json.encode(value))


def _request_reasons(judgements: Mapping[str, Judgement]) -> list[str]:
    """Returns each reason once, with the model if it does not hold for every one."""
    found: dict[str, list[str]] = {}
    for model, judgement in judgements.items():
        for reason in judgement.reasons:
            found.setdefault(reason, []).append(model)
    return [
        f"request: {reason}" if len(models) == len(judgements) else f"request to {' and '.join(models)}: {reason}"
        for reason, models in found.items()
    ]


def _features(losses: Iterable[Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss.feature for loss in losses))
