"""Decodes one recorded exchange with the proxy's protocol, and with the mock's parser and the suite's client."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.proxy.errors import STATUS, Malformed, RequestError
from crosswire.proxy.ir import Event, Failure, Opaque, Reply, Request, Text, Turn, fold
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import Protocol, UpstreamRequest, UpstreamTarget, UrlParams

from ..client import CLIENTS
from ..client.protocol import ClientProtocol, HttpRequest, ParsedReply
from .chunking import decode_stream, random_chunks, sequential_ids
from .recording import Recording
from .sdk_types import EVENT, REPLY, sdk_complaint
from .target_models import TARGET_MODELS


class Undecoded(Exception):
    """The recording cannot be decoded; the message says which part and why."""


def url_params(protocol: str, path: str) -> UrlParams:
    """Returns the parameters that the URL of a request carries; only Gemini's has any."""
    if protocol != "gemini":
        return UrlParams()
    address, _, query = path.partition("?")
    model, _, method = address.rpartition("/models/")[2].rpartition(":")
    return UrlParams(unquote(model), method, parse_qs(query).get("alt", [None])[-1])


def recorded_request(recording: Recording) -> HttpRequest:
    """Returns the recorded request as the suite's client would send it; the path may select a stream's framing."""
    address = PROTOCOLS[recording.protocol].address(recording.model, recording.streamed)
    return HttpRequest("POST", recording.path if recording.array else address, {}, recording.request or {})


class DecodedRecording:
    """A recording and both decodings of its request and reply.

    `decode` sets `request` (None where only the reply was kept), `sent`, `batches` and `answer` to what the proxy's
    protocol decodes; `parsed_request` and `parsed_reply` are parsed by mock and suite.
    """

    request: Request | None
    sent: UpstreamRequest
    batches: list[list[Event]]
    answer: Reply | Failure

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.protocol: Protocol = PROTOCOLS[recording.protocol]
        self.client: ClientProtocol = CLIENTS[recording.protocol]
        self.failed = recording.status >= 300

    def decode(self) -> str | None:
        """Decodes request and reply with the proxy's protocol; returns why that failed, or None."""
        self.request = None
        try:
            if self.recording.request is not None:
                self.request = self._decode_request()
            self.sent = self.protocol.encode_request(self.any_request, self.targets(self.protocol)[0])
            self.batches = self._decode_reply()
        except Undecoded as fault:
            return str(fault)
        return None

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    @cached_property
    def any_request(self) -> Request:
        """The request, or the shortest possible one where only the reply was kept or the request has no turns."""
        if self.request is not None and self.request.turns:
            return self.request
        turns = (Turn("user", (Text("Hello"),)),)
        recording = self.recording
        return Request(protocol=self.protocol.name, model=recording.model, turns=turns, stream=recording.streamed)

    def targets(self, protocol: Protocol) -> tuple[UpstreamTarget, ...]:
        """Returns the backend that the recording names, or those of another protocol, one for each model."""
        models = (self.recording.model,) if protocol is self.protocol else TARGET_MODELS[protocol.name]
        return tuple(UpstreamTarget(model, protocol.name) for model in models)

    @property
    def has_opaque_parts(self) -> bool:
        """True if request or reply has parts that pass through their own protocol without being decoded."""
        request, answer = self.request, self.answer
        parts: list[Any] = [] if request is None else [*request.tools, *(b for t in request.turns for b in t.blocks)]
        if isinstance(answer, Reply):
            parts += answer.blocks
        return any(isinstance(part, Opaque) for part in parts)

    def _decode_request(self) -> Request | None:
        body = json.loads(json.dumps(self.recording.request))
        try:
            return self.protocol.decode_request(body, url_params(self.protocol.name, self.recording.path))
        except Malformed as fault:
            if self.failed:
                return None  # the provider rejected it too
            raise Undecoded(f"request: {fault}") from None

    def _decode_reply(self) -> list[list[Event]]:
        """Sets `answer` and returns the batches of a stream's events, an empty list for a unary reply."""
        recording = self.recording
        if self.failed:
            self.answer = self.protocol.decode_failure(
                recording.status, recording.reply, _seconds(recording.headers.get("retry-after"))
            )
            if self.answer.kind not in STATUS or not self.answer.message:
                raise Undecoded(f"error: unknown kind or empty message: {self.answer}")
            return []
        try:
            if recording.streamed:
                batches = self._decode_in_chunks()
                self.answer = fold(event for batch in batches for event in batch)
                return batches
            self.answer = self.protocol.decode_reply(json.loads(recording.reply), self.sent, sequential_ids())
        except Malformed as fault:
            raise Undecoded(f"reply: {fault}") from None
        except RequestError as fault:
            self.answer = fault.failure
        return []

    def _decode_in_chunks(self) -> list[list[Event]]:
        """Decodes the stream at once, byte by byte and in random chunks, which must give the same events."""
        body = self.recording.reply
        whole = list(decode_stream(self.protocol, self.sent, [body], array=self.recording.array))
        flat = [event for batch in whole for event in batch]
        singles = (body[at : at + 1] for at in range(len(body)))
        for name, chunks in (("byte by byte", singles), ("in random chunks", random_chunks(body, self.recording.file))):
            again = decode_stream(self.protocol, self.sent, chunks, array=self.recording.array)
            if [event for batch in again for event in batch] != flat:
                raise Undecoded(f"stream: different events when read {name}")
        return whole

    # ---- parsed by mock and suite ------------------------------------------------------------------------------------

    @cached_property
    def parsed_request(self) -> ParsedRequest | str:
        """The recorded request as parsed by the mock, or the reason why it is rejected."""
        recording = self.recording
        try:
            return MOCK_PROTOCOLS[self.protocol.name].parse_request(
                recording.path, {}, json.loads(json.dumps(recording.request))
            )
        except MalformedRequest as fault:
            return f"request: the mock rejects the recorded request: {fault}"

    @cached_property
    def parsed_reply(self) -> ParsedReply:
        """The recorded reply as parsed by the suite's client.

        Some hosts omit the end marker of a stream, and some recorders lose it; others send the marker alone. A stream
        with a stop reason or the marker counts as complete if the proxy decodes it as complete.
        """
        recording = self.recording
        body = recording.reply
        if recording.streamed and self.protocol.framing == "sse" and not recording.array:
            body += b"\n\n"  # recorders may lose the last blank line
        reply = self.client.parse_reply(
            recording.status,
            recording.headers,
            body,
            stream=recording.streamed,
            request=recorded_request(recording),
        )
        ended = reply.stop is not None or (recording.streamed and b"data: [DONE]" in body)
        complete = reply.error is not None and reply.error.kind == "cut" and ended
        reply = replace(reply, error=None) if complete and isinstance(self.answer, Reply) else reply
        # old servers send no stop reason
        return replace(reply, stop="end") if reply.stop is None and reply.error is None else reply

    @cached_property
    def wire_values(self) -> tuple[Any, ...]:
        """The JSON values of the recorded reply: its body, or the events of a stream."""
        return self.parsed_reply.events if self.recording.streamed else (json_or_none(self.recording.reply),)

    @cached_property
    def breaks_sdk_types(self) -> bool:
        """True if the SDK's type rejects the recorded reply itself, as it does with some compatible hosts."""
        streamed = self.recording.streamed
        return first_sdk_complaint(self.protocol.name, self.wire_values, streamed=streamed) is not None


def first_sdk_complaint(protocol: str, values: Any, *, streamed: bool) -> str | None:
    """Returns the first complaint of the SDK's types; an error inside a stream has no type of its own."""
    for value in values:
        if streamed and isinstance(value, dict) and ("error" in value or value.get("type") == "error"):
            continue
        if (complaint := sdk_complaint(protocol, EVENT if streamed else REPLY, value)) is not None:
            return complaint
    return None


def json_or_none(body: bytes) -> Any:
    """Returns the JSON value of a body, or None where it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
