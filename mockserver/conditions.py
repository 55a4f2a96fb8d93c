"""Conditions under which replies are sent: latency, and faults that befall a share of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct

from .framing import JSON
from .protocols.reply_context import Failure, RenderedReply, ReplyPart
from .scenarios.model import DEFAULT_MESSAGES, Cut, Garble, Pause, kind_of_status

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%:([a-z]+|[0-9]{3})(?:=(\S+))?")

PLAIN_FAULTS = ("cut", "reset", "garble")
"""Faults without a value: the stream ends in its middle, the connection breaks there, a frame is no protocol."""

RETRY_AFTER = 1.0
"""Seconds of `retry-after` with statuses that invite to try again."""


class Latency(Struct, frozen=True):
    """Seconds to the first token, and tokens a second after it; 0 tokens a second means all at once."""

    ttft: float = 0.0
    tps: float = 0.0


class FaultShare(Struct, frozen=True):
    """A fault, and the share of the replies that it befalls, in percent; `value` is that of `slow`, in seconds."""

    percent: float
    kind: str
    value: float = 0.0


class Conditions(Struct, frozen=True):
    """The behaviour of a mock beyond its stories: replies to any other request, latency, and faults."""

    any: str | None = None
    latency: Latency = Latency()
    faults: tuple[FaultShare, ...] = ()
    seed: int = 0


def parse_latency(text: str) -> Latency:
    """Reads `ttft=300ms,tps=50`; raises ValueError that says what is wrong."""
    found: dict[str, float] = {}
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key == "ttft":
            found[key] = _seconds(value)
        elif key == "tps" and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) and float(value) > 0:
            found[key] = float(value)
        else:
            raise ValueError(f"{part!r} is no latency; write ttft=300ms,tps=50")
    return Latency(**found)


def parse_faults(text: str) -> tuple[FaultShare, ...]:
    """Reads `5%:429,1%:cut,2%:slow=3s`; raises ValueError that says what is wrong."""
    found = []
    for part in text.split(","):
        match = _SHARE.fullmatch(part.strip())
        kinds = f"a status, slow=3s, {', '.join(PLAIN_FAULTS)}"
        if match is None:
            raise ValueError(f"{part!r} is no fault; write a share and {kinds}, such as 5%:429")
        percent, kind, value = match.groups()
        is_status = kind.isdecimal() and 400 <= int(kind) <= 599
        if not (is_status or kind in PLAIN_FAULTS or kind == "slow") or (value is not None) != (kind == "slow"):
            raise ValueError(f"{part!r}: {kind} is no fault; known: {kinds}")
        found.append(FaultShare(float(percent), kind, _seconds(value) if value else 0.0))
    if sum(each.percent for each in found) > 100:
        raise ValueError("the shares are more than 100%")
    return tuple(found)


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time; write 300ms or 1.5s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def drawn_fault(faults: Sequence[FaultShare], random: Random) -> FaultShare | None:
    """Draws the fault that befalls a reply, or none."""
    at = random.random() * 100
    for fault in faults:
        if at < fault.percent:
            return fault
        at -= fault.percent
    return None


def failure_of_fault(fault: FaultShare) -> Failure | None:
    """Returns the error of a fault that is a status; None for any other."""
    if not fault.kind.isdecimal():
        return None
    status = int(fault.kind)
    kind = kind_of_status(status)
    return Failure(status, kind, DEFAULT_MESSAGES[kind], retry_after=RETRY_AFTER if status in (429, 503) else None)


def with_fault(rendered: RenderedReply, fault: FaultShare) -> RenderedReply:
    """Returns a reply with a fault in its middle."""
    parts = list(rendered.parts)
    if fault.kind == "slow":
        return _with_parts(rendered, [Pause(fault.value), *parts])
    added = Garble() if fault.kind == "garble" else Cut("reset" if fault.kind == "reset" else "eof")
    middle = 0 if rendered.framing == JSON else max(1, len(parts) // 2)
    return _with_parts(rendered, [*parts[:middle], added, *parts[middle:]])


def with_latency(rendered: RenderedReply, latency: Latency, tokens: int) -> RenderedReply:
    """Returns a reply whose first frame waits for the first token, and whose later frames come one a token."""
    wait = 1 / latency.tps if latency.tps else 0.0
    if rendered.framing == JSON:
        return _with_parts(rendered, [Pause(latency.ttft + tokens * wait), *rendered.parts])
    return _with_parts(rendered, _spread(rendered.parts, latency.ttft, wait))


def _spread(parts: Sequence[ReplyPart], first: float, wait: float) -> Iterator[ReplyPart]:
    pause = first
    for part in parts:
        if isinstance(part, bytes):
            if pause:
                yield Pause(pause)
            pause = wait
        yield part


def _with_parts(rendered: RenderedReply, parts: Sequence[ReplyPart] | Iterator[ReplyPart]) -> RenderedReply:
    return RenderedReply(rendered.status, rendered.headers, tuple(parts), rendered.framing)
