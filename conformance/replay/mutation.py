"""Mutated exchanges: every field of a recorded body as every JSON type, through decoders and encoders.

A request that is wrong must raise Malformed or a RequestError, which become a 4xx; a reply or a frame that is wrong the
same in its decoder, which becomes a failover. Any other exception would be an error of the proxy's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from crosswire.proxy.errors import Malformed, RequestError
from crosswire.proxy.ir import Event, Reply, Request, Text, Turn
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire.framing import FRAME_LIMIT, FRAMINGS, Frame

from .chunking import sequential_ids
from .decoding import url_params
from .recording import Recording, read_recording

VALUES: tuple[Any, ...] = (None, True, 7, -1.5, "x", "", [], [None], ["x"], [{}], {}, {"x": None}, {"x": [5]})
"""A value of each JSON type, and of each kind of container."""

MISSING = object()

Place = tuple[str | int, ...]


def places(value: Any, start: Place = ()) -> Iterator[Place]:
    """The path of every field and of every element at every depth."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*start, key)
        yield from places(inner, (*start, key))


def shape(body: Any, place: Place) -> str:
    """The place without its indices and with the type of each object on its way: equal shapes are decoded alike."""
    parts = []
    for key in place:
        kind = body.get("type") or body.get("role") if isinstance(body, dict) else None
        parts.append("*" if isinstance(key, int) else f"{kind}.{key}" if isinstance(kind, str) else str(key))
        body = body[key]
    return "/".join(parts)


def mutated(body: Any, place: Place, value: Any) -> Any:
    """A copy of the body with this value at this place, or without the place."""
    changed = copy.deepcopy(body)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if value is MISSING:
        del holder[place[-1]]
    else:
        holder[place[-1]] = copy.deepcopy(value)
    return changed


def mutations(body: Any, seen: set[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Every mutation of the body with its name; with `seen`, of each shape only once, whatever body it is in."""
    for place in places(body):
        if seen is not None:
            name = shape(body, place)
            if name in seen:
                continue
            seen.add(name)
        for value in (*VALUES, MISSING):
            yield _name(place, value), mutated(body, place, value)


# ---- one body through everything -------------------------------------------------------------------------------------


def request_fault(protocol: str, body: dict[str, Any], url: UrlParams) -> str | None:
    """The exception that a request must not raise, by its decoder or by the encoder of any backend; None if none."""

    def work() -> None:
        try:
            request = PROTOCOLS[protocol].decode_request(_owned(body), url)
        except Malformed:
            return
        for name, other in PROTOCOLS.items():
            try:
                msgspec.json.encode(other.encode_request(request, _target(name)).payload)
            except RequestError:
                continue

    return _fault_of(work)


def reply_fault(protocol: str, body: Any) -> str | None:
    """The exception that a reply must not raise, by its decoder or by the encoder of any client."""

    def work() -> None:
        if type(body) is not dict:
            return
        try:
            reply: Reply = PROTOCOLS[protocol].decode_reply(_owned(body), _sent(protocol), sequential_ids())
        except Malformed:
            return
        for name, other in PROTOCOLS.items():
            answer, _ = other.encode_reply(reply, _context(name))
            msgspec.json.encode(answer)

    return _fault_of(work)


def stream_fault(protocol: str, frames: Sequence[Frame]) -> str | None:
    """The exception that a stream must not raise, by its decoder or by the encoder of any client."""

    def work() -> None:
        decoder = PROTOCOLS[protocol].stream_decoder(_sent(protocol), sequential_ids())
        batches: list[list[Event]] = []
        try:
            batches += [decoder.feed(frame) for frame in frames]
            batches.append(decoder.close())
        except Malformed:
            pass
        for name, other in PROTOCOLS.items():
            encoder = other.stream_encoder(_context(name))
            for batch in batches:
                encoder.encode(batch)

    return _fault_of(work)


def error_fault(protocol: str, status: int, body: Any) -> str | None:
    """The exception that an error's body must not raise."""
    return _fault_of(lambda: PROTOCOLS[protocol].decode_failure(status, msgspec.json.encode(body), None))


def _fault_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except RequestError:
        return None
    except Exception as fault:
        last: Any = fault.__traceback__
        while last.tb_next is not None:
            last = last.tb_next
        file = "/".join(last.tb_frame.f_code.co_filename.split("/")[-2:])
        return f"{type(fault).__name__}: {str(fault)[:100]} ({file}:{last.tb_lineno})"
    return None


def _owned(body: dict[str, Any]) -> dict[str, Any]:
    """A copy as the parser would make it: a decoder owns what it reads."""
    owned: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return owned


def _target(protocol: str) -> UpstreamTarget:
    return UpstreamTarget("m", protocol, 100)


def _sent(protocol: str) -> UpstreamRequest:
    return UpstreamRequest({}, (), _target(protocol))


def _context(protocol: str) -> ReplyContext:
    request = Request(protocol=protocol, model="m", turns=(Turn("user", (Text("x"),)),), stream=True)
    return ReplyContext(request, "1", 1, sequential_ids())


# ---- random mutations of recordings ----------------------------------------------------------------------------------


def mutate_recordings(folder: Path, files: Sequence[Path], number: int, seed: int) -> list[str]:
    """Runs this many mutations of recordings, the same ones for a seed; returns the faults, each once."""
    dice = Random(seed)
    found: dict[str, str] = {}
    parsed: dict[Path, Recording] = {}
    for _ in range(number):
        file = dice.choice(files)
        if file not in parsed:
            parsed[file] = read_recording(file, folder)
        if (case := _random_case(parsed[file], dice)) is not None:
            name, fault = case
            if fault is not None:
                found.setdefault(fault, f"{file.relative_to(folder)}: {name}")
    return [f"{fault} <- {name}" for fault, name in found.items()]


def _random_case(recording: Recording, dice: Random) -> tuple[str, str | None] | None:
    """The name of a mutation of this exchange and its fault; None where the exchange has nothing to mutate."""
    if recording.skipped is not None or recording.array:
        return None
    protocol = recording.protocol
    if recording.request is not None and dice.random() < 0.4:
        if (changed := _random_mutation(recording.request, dice)) is None:
            return None
        return changed[0], request_fault(protocol, changed[1], url_params(protocol, recording.path))
    frames = [Frame(recording.reply)]
    if recording.streamed:
        framing = FRAMINGS[PROTOCOLS[protocol].framing](FRAME_LIMIT)
        frames = [*framing.parse(framing.cut(recording.reply)), *framing.rest()]
    at = dice.randrange(len(frames)) if frames else 0
    try:
        changed = _random_mutation(msgspec.json.decode(frames[at].data), dice)
    except (msgspec.DecodeError, UnicodeError, IndexError):
        return None
    if changed is None:
        return None
    name, body = changed
    if recording.streamed:
        frame = Frame(msgspec.json.encode(body), frames[at].event)
        return f"frame {at}: {name}", stream_fault(protocol, [*frames[:at], frame, *frames[at + 1 :]])
    if recording.status < 300:
        return name, reply_fault(protocol, body)
    return name, error_fault(protocol, recording.status, body)


def _random_mutation(body: Any, dice: Random) -> tuple[str, Any] | None:
    found = list(places(body))
    if not found:
        return None
    place, value = dice.choice(found), dice.choice((*VALUES, MISSING))
    return _name(place, value), mutated(body, place, value)


def _name(place: Place, value: Any) -> str:
    return f"{'.'.join(map(str, place))} = {'missing' if value is MISSING else repr(value)}"
