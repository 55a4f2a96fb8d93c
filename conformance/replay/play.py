"""One recorded exchange through the protocols: decoded, said again in its own protocol, and in the four others.

The proxy's protocols do the work and the mock's readers judge it, from the recorded bytes on one side and from ours on
the other. It knows no wire name of any dialect and no socket.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conformance.meaning import Difference, reply_differences, request_differences
from conformance.naming import Names, names_of
from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Dialect, Heard, HttpAsk, Understood
from mockserver.dialects.contract import Malformed as Unreadable
from mockserver.speech import Tool, coarse
from proxy.errors import STATUS, Malformed, RequestError
from proxy.ir import SEMANTIC, Event, Failure, Loss, Opaque, Reply, Request, Text, Turn, fold
from proxy.protocols import PROTOCOLS
from proxy.protocols.contract import Asked, Protocol, Sent, Target, Where

from .difference import difference
from .judges import EVENT, REPLY, REQUEST, judge
from .recording import Recording
from .streams import decoded, encoded, ids, random_cuts
from .verdict import Outcome, Verdict

T = TypeVar("T")

MODELS: dict[str, str] = {
    "openai-chat": "gpt-5-nano",
    "openai-responses": "gpt-5-nano",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2",
}
"""The model that a request of another protocol is for: encoders may look at its name."""

CREATED = 1_770_000_000
"""What every answer says of its time."""

OPAQUE = "opaque"
"""The word for what went round in its own dialect without being understood."""

ADDED = ("*.own.stream_options", "*.blocks[[]*[]].name")
"""What our own requests say beside what the client said: that a stream shall tell its usage, and whose a result is."""

OLDER = (".own.functions",)
"""The mark of a request in words that were since replaced: it is sent in the newer ones, and answered in the older."""

STAMPED = (".own.created", ".own.created_at", ".native")
"""What an answer of ours says in its own words: when it was made, and of several words for one stop reason which."""

FILLED = ("*.own.*", "*.own")
"""Where an answer of ours may say more than the recorded one: what its protocol wants said, if only as null or zero."""

FINER: dict[str, tuple[str, ...]] = {"bad_request": ("not_found",), "internal": ("bad_request", "rate_limit")}
"""What an error's own code may make of its status: a 400 that names a model it lacks, an error inside a 200."""

AS_RECORDED = ("calls", "stop", "usage")
"""What a complaint may be about that the recorded answer drew first: an answer is told as it was given."""

OURS = ("authentication", "permission")
"""Errors about the key are the proxy's own trouble with its backend, never the client's: it hears `internal`."""


class _Undecoded(Exception):
    """The recording is not understood; the text says which part and why."""


def play(recording: Recording) -> Verdict:
    """The verdict on one recording; raises nothing, for what a protocol raises is part of it."""
    verdict = Verdict(
        file=recording.file,
        protocol=recording.protocol,
        capability=recording.capability,
        skipped=recording.skipped,
    )
    return verdict if recording.skipped else _Play(recording).verdict(verdict)


def where(protocol: str, path: str) -> Where:
    """What the address of a request says beside its body, which only Gemini's does."""
    if protocol != "gemini":
        return Where()
    address, _, query = path.partition("?")
    model, _, method = address.rpartition("/models/")[2].rpartition(":")
    return Where(unquote(model), method, parse_qs(query).get("alt", [None])[-1])


def asking(recording: Recording) -> HttpAsk:
    """The recorded request as the mock's client sent it; how a stream is framed may be told by the address alone."""
    address = PROTOCOLS[recording.protocol].address(recording.model, recording.streamed)
    return HttpAsk("POST", recording.path if recording.array else address, {}, recording.request or {})


def _json(value: Any) -> Any:
    """A payload as the other side parses it."""
    return json.loads(msgspec.json.encode(value))


class _Play:
    """One recording on its way: what was recorded, what both hands made of it, and what broke."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._protocol: Protocol = PROTOCOLS[recording.protocol]
        self._dialect: Dialect = DIALECTS[recording.protocol]
        self._raised: list[str] = []
        self._failed = recording.status >= 300

    def verdict(self, verdict: Verdict) -> Verdict:
        undecoded = self._guard("decoding", self._decode)
        if self._raised or undecoded is not None:
            return replace(verdict, undecoded=undecoded or self._raised[0], raised=tuple(self._raised))
        told: dict[str, Outcome] = {}
        for name in PROTOCOLS:
            outcome = self._guard(f"to {name}", self._through, name)
            told[name] = outcome or Outcome((f"raised: {self._raised[-1]}",))
        own = told.pop(self._protocol.name)
        return replace(verdict, own=own, cross=told, raised=tuple(self._raised))

    def _guard(self, stage: str, work: Callable[..., T], *arguments: str) -> T | None:
        """Do a part of the work; whatever a protocol raises is a finding about it, and the other parts still run."""
        try:
            return work(*arguments)
        except Exception as fault:
            last = traceback.extract_tb(fault.__traceback__)[-1]
            place = "/".join(last.filename.split("/")[-3:])
            self._raised.append(f"{stage}: {type(fault).__name__}: {fault} ({place}:{last.lineno})"[:300])
            return None

    # ---- in ----------------------------------------------------------------------------------------------------------

    def _decode(self) -> str | None:
        """Both hands read the recorded bytes; why they are not understood, or None."""
        self.request: Request | None = None
        try:
            if self._recording.request is not None:
                self.request = self._decoded_request()
            self.sent = self._protocol.encode_request(self._any_request, self._target(self._protocol))
            self.batches = self._decoded_reply()
        except _Undecoded as fault:
            return str(fault)
        self.events = [event for batch in self.batches for event in batch]
        return None

    def _decoded_request(self) -> Request | None:
        body = json.loads(json.dumps(self._recording.request))
        try:
            return self._protocol.decode_request(body, where(self._protocol.name, self._recording.path))
        except Malformed as fault:
            if self._failed:
                return None  # the provider refused it too
            raise _Undecoded(f"request: {fault}") from None

    @cached_property
    def _any_request(self) -> Request:
        """The request; where only the answer was kept, or no question asked, the shortest that could have been."""
        if self.request is not None and self.request.turns:
            return self.request
        turns = (Turn("user", (Text("Hello"),)),)
        recording = self._recording
        return Request(dialect=self._protocol.name, model=recording.model, turns=turns, stream=recording.streamed)

    def _target(self, protocol: Protocol) -> Target:
        """The backend that the recording names, or one of another protocol."""
        same = protocol is self._protocol
        return Target(self._recording.model if same else MODELS[protocol.name], protocol.name)

    def _decoded_reply(self) -> list[list[Event]]:
        """The answer as batches of events; one batch where it came whole: see `answer` for what it amounts to."""
        recording = self._recording
        self.answer: Reply | Failure
        if self._failed:
            self.answer = self._protocol.decode_failure(
                recording.status, recording.reply, _seconds(recording.headers.get("retry-after"))
            )
            if self.answer.kind not in STATUS or not self.answer.message:
                raise _Undecoded(f"error: no sane kind or no words: {self.answer}")
            return []
        try:
            if recording.streamed:
                batches = self._cut_every_way()
                self.answer = fold(event for batch in batches for event in batch)
                return batches
            self.answer = self._protocol.decode_reply(json.loads(recording.reply), self.sent, ids())
        except Malformed as fault:
            raise _Undecoded(f"reply: {fault}") from None
        except RequestError as fault:
            self.answer = fault.failure
        return []

    def _cut_every_way(self) -> list[list[Event]]:
        """The stream whole; byte by byte and at random cuts it must give the same events."""
        body = self._recording.reply
        whole = list(decoded(self._protocol, self.sent, [body], array=self._recording.array))
        flat = [event for batch in whole for event in batch]
        singles = (body[at : at + 1] for at in range(len(body)))
        for name, chunks in (("byte by byte", singles), ("at random cuts", random_cuts(body, self._recording.file))):
            again = decoded(self._protocol, self.sent, chunks, array=self._recording.array)
            if [event for batch in again for event in batch] != flat:
                raise _Undecoded(f"stream: other events {name}")
        return whole

    @cached_property
    def said_request(self) -> Understood | str:
        """What the mock reads in the recorded request, or what it complains of."""
        recording = self._recording
        try:
            return self._dialect.read(recording.path, {}, json.loads(json.dumps(recording.request)))
        except Unreadable as fault:
            return f"request: the mock cannot read the recorded one: {fault}"

    @cached_property
    def said(self) -> Heard:
        """What the mock hears in the recorded answer.

        Some hosts leave the end mark of a stream out, some recorders lose it; a stream that gave its stop reason is
        over all the same, if the proxy found so too.
        """
        recording = self._recording
        body = recording.reply
        if recording.streamed and self._protocol.framing == "sse" and not recording.array:
            body += b"\n\n"  # the last blank line is what recorders lose first
        asked = asking(recording)
        heard = self._dialect.hear(recording.status, recording.headers, body, stream=recording.streamed, asked=asked)
        over = heard.error is not None and heard.error.kind == "cut" and heard.stop is not None
        heard = replace(heard, error=None) if over and isinstance(self.answer, Reply) else heard
        # old servers end without saying why
        return replace(heard, stop="end") if heard.stop is None and heard.error is None else heard

    # ---- out ---------------------------------------------------------------------------------------------------------

    def _through(self, name: str) -> Outcome:
        """The request to a backend, and the answer to a client, of this protocol."""
        protocol = PROTOCOLS[name]
        own = protocol is self._protocol
        reasons: list[str] = []
        sent = self.sent if own else protocol.encode_request(self._any_request, self._target(protocol))
        payload = _json(sent.payload)
        losses = list(sent.losses)
        if self.request is self._any_request and not self._failed:
            reasons += self._request_reasons(protocol, sent, payload)
        try:
            client = self._client(protocol, payload)
        except Malformed as fault:
            return Outcome((*reasons, f"request: refuses what it encoded itself: {fault}"), _words(losses))
        if isinstance(self.answer, Failure) and not any(isinstance(event, SEMANTIC) for event in self.events):
            reasons += self._failure_reasons(protocol, self.answer)
        else:
            told, found = self._reply_reasons(protocol, client)
            reasons += found
            losses += told
        words = _words(losses)
        return Outcome(tuple(reasons), (*words, OPAQUE) if own and self._opaque else words)

    @property
    def _opaque(self) -> bool:
        request, answer = self.request, self.answer
        parts: list[Any] = [] if request is None else [*request.tools, *(b for t in request.turns for b in t.blocks)]
        if isinstance(answer, Reply):
            parts += answer.blocks
        return any(isinstance(part, Opaque) for part in parts)

    def _request_reasons(self, protocol: Protocol, sent: Sent, payload: dict[str, Any]) -> list[str]:
        """What is wrong with the request that this backend gets."""
        assert self.request is not None
        own = protocol is self._protocol
        reasons = []
        address = protocol.address(sent.target.model, self.request.stream)
        wrong = judge(protocol.name, REQUEST, payload)
        # the recorded request itself may be of a shape that only its host takes
        if wrong is not None and not (own and judge(protocol.name, REQUEST, self._recording.request) is not None):
            reasons.append(f"request: the SDK's type: {wrong}")
        if isinstance(self.said_request, str):
            return [*reasons, self.said_request]
        try:
            arrived = DIALECTS[protocol.name].read(address, {}, payload)
        except Unreadable as fault:
            return [*reasons, f"request: the mock cannot read ours: {fault}"]
        found = request_differences(self.said_request, self._dialect, arrived, DIALECTS[protocol.name])
        reasons += [f"request: {text}" for text in _undeclared(found, sent.losses)]
        if own:
            again = protocol.decode_request(_json(payload), where(protocol.name, address))
            # the path of the recorded request may name the model in other ways than ours
            again = replace(again, model=self.request.model)
            if (place := difference(self.request, again, but=OLDER, added=ADDED)) is not None:
                reasons.append(f"request: comes back otherwise at {place}")
        elif any(isinstance(p, Opaque) for p in _parts(self.request)) and not sent.losses:
            reasons.append("request: opaque parts, and no declared loss")
        return reasons

    def _client(self, protocol: Protocol, payload: dict[str, Any]) -> _Client:
        """A client of this protocol that asked the same; one of a stream asks for its usage."""
        request = self._any_request
        stream = self._recording.streamed
        if stream and protocol.name == "openai-chat":
            payload = {**payload, "stream_options": {"include_usage": True}}
        address = protocol.address(MODELS[protocol.name], stream)
        # a decoder owns what it reads
        again = protocol.decode_request(_json(payload), where(protocol.name, address))
        asked = Asked(replace(again, model=request.model, stream=stream), "0" * 24, CREATED, ids())
        return _Client(asked, HttpAsk("POST", address, {}, payload))

    def _reply_reasons(self, protocol: Protocol, client: _Client) -> tuple[list[Loss], list[str]]:
        """The losses on the way to a client of this protocol, and what is wrong with what it gets."""
        own = protocol is self._protocol
        dialect = DIALECTS[protocol.name]
        if self._recording.streamed:
            body, losses = encoded(protocol, client.asked, self.batches)
            kind = protocol.stream_type
        else:
            assert isinstance(self.answer, Reply)
            answer, losses = protocol.encode_reply(self.answer, client.asked)
            body, kind = msgspec.json.encode(answer), "application/json"
        arrived = dialect.hear(200, {"content-type": kind}, body, stream=self._recording.streamed, asked=client.sent)
        names, tools = self._known(protocol, client)
        found = reply_differences(self.said, self._dialect, arrived, dialect, names, tools)
        reasons = [f"reply: {text}" for text in _undeclared(found, losses)]
        reasons += [f"reply: the mock complains: {text}" for text in self._own_complaints(arrived)]
        if self.said.error is not None and arrived.error is not None and self.said.error.kind != "cut":
            reasons += _kind_reasons(self.said.error.kind, arrived.error.kind)
        values = arrived.events if self._recording.streamed else (_json_or_none(body),)
        wrong = _judged(protocol.name, values, streamed=self._recording.streamed)
        if wrong is not None and not (own and self._recorded_is_odd):
            reasons.append(f"reply: the SDK's type: {wrong}")
        if own:
            reasons += self._round_trip(body)
        elif _holds_opaque(self.answer) and not losses:
            reasons.append("reply: opaque blocks, and no declared loss")
        return losses, reasons

    def _known(self, protocol: Protocol, client: _Client) -> tuple[Names, tuple[Tool, ...]]:
        """How the tools of this client, which are those of the recorded request, were called there, and what it has."""
        if protocol is self._protocol or isinstance(self.said_request, str) or self.request is not self._any_request:
            return {}, ()
        try:
            asked = DIALECTS[protocol.name].read(client.sent.path, {}, client.sent.body)
        except Unreadable:
            return {}, ()  # which was said of the request
        return names_of(asked, self.said_request), asked.tools

    def _own_complaints(self, arrived: Heard) -> Iterator[str]:
        """What a strict client says against our answer, and does not say against the recorded one."""
        excused = {text.partition(":")[0] for text in self.said.complaints} & set(AS_RECORDED)
        broken = any(not isinstance(_json_or_none(call.arguments.encode() or b"{}"), dict) for call in self.said.calls)
        for complaint in arrived.complaints:
            about = complaint.partition(":")[0]
            unasked = self.said.usage is None and "usage" in complaint.lower()
            if about not in excused and not unasked and not (broken and "`input`" in complaint):
                yield complaint

    @cached_property
    def _recorded_is_odd(self) -> bool:
        """Whether the SDK's type refuses the recorded answer itself, as it does those of some compatible hosts."""
        streamed = self._recording.streamed
        values = self.said.events if streamed else (_json_or_none(self._recording.reply),)
        return _judged(self._protocol.name, values, streamed=streamed) is not None

    def _round_trip(self, body: bytes) -> list[str]:
        """Our own bytes decoded again: the same answer, but for its name and number."""
        try:
            if self._recording.streamed:
                again = fold(event for batch in decoded(self._protocol, self.sent, [body]) for event in batch)
            else:
                again = self._protocol.decode_reply(json.loads(body), self.sent, ids())
        except Malformed as fault:
            return [f"reply: refuses what it encoded itself: {fault}"]
        one, other = self.answer, again
        if isinstance(one, Failure) or isinstance(other, Failure):
            return [] if type(one) is type(other) else [f"reply: comes back as {other}"]
        one, other = (replace(reply, id=None, model=None) for reply in (one, other))
        place = difference(one, other, but=STAMPED, added=FILLED)
        return [] if place is None else [f"reply: comes back otherwise at {place}"]

    def _failure_reasons(self, protocol: Protocol, failure: Failure) -> list[str]:
        """What is wrong with an error that a client of this protocol gets before anything else."""
        body = msgspec.json.encode(protocol.encode_failure(failure, "req_1"))
        status = protocol.failure_status.get(failure.kind, failure.status)
        heard = DIALECTS[protocol.name].hear(status, {"content-type": "application/json"}, body, stream=False)
        reasons = [f"error: the mock complains: {text}" for text in heard.complaints]
        if heard.error is None:
            return [*reasons, "error: the mock hears none"]
        if heard.error.kind != coarse(failure.kind):
            reasons.append(f"error: {failure.kind} is heard as {heard.error.kind}")
        if self.said.error is not None and self.said.error.kind != "cut":
            reasons += _kind_reasons(self.said.error.kind, heard.error.kind)
        return reasons


class _Client(Struct, frozen=True):
    """The same client twice: as the proxy knows it, and as the mock does."""

    asked: Asked
    sent: HttpAsk


# ---- small questions -------------------------------------------------------------------------------------------------


def _parts(request: Request) -> Iterator[Any]:
    yield from request.tools
    for turn in request.turns:
        yield from turn.blocks


def _holds_opaque(answer: Reply | Failure) -> bool:
    return isinstance(answer, Reply) and any(isinstance(block, Opaque) for block in answer.blocks)


def _undeclared(found: Iterable[Difference], losses: Sequence[Loss]) -> list[str]:
    """The differences that no loss declares: by its word, or for a field without a noun by the field's own name."""
    declared = {loss.feature for loss in losses}
    fields = {_field(loss.path) for loss in losses}
    return [
        str(entry)
        for entry in found
        if entry.word not in declared and not (entry.path.startswith("$") and _field(entry.path) in fields)
    ]


def _field(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def _words(losses: Iterable[Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss.feature for loss in losses))


def _kind_reasons(said: str, arrived: str) -> list[str]:
    expected = "internal" if said in OURS else said
    if arrived == expected or arrived in FINER.get(said, ()):
        return []
    return [f"error: the provider said {said}, the client hears {arrived}"]


def _judged(dialect: str, values: Iterable[Any], *, streamed: bool) -> str | None:
    """The first complaint of the SDK's types; an error in band has no type of its own."""
    for value in values:
        if streamed and isinstance(value, dict) and ("error" in value or value.get("type") == "error"):
            continue
        if (wrong := judge(dialect, EVENT if streamed else REPLY, value)) is not None:
            return wrong
    return None


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
