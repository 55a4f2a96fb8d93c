"""Replays one recorded exchange: decodes it, then encodes it in its own protocol and in the four others.

The proxy's protocols convert; the suite's parsers and the official SDKs' types check the result.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from crosswire.proxy.protocols import PROTOCOLS

from .crossing import Crossing
from .decoding import DecodedRecording
from .recording import Recording
from .verdict import Outcome, Verdict

T = TypeVar("T")


def replay_recording(recording: Recording) -> Verdict:
    """Returns the verdict on one recording; never raises: an exception of a protocol is part of the verdict."""
    verdict = Verdict(
        file=recording.file,
        protocol=recording.protocol,
        capability=recording.capability,
        skipped=recording.skipped,
    )
    return verdict if recording.skipped else _replay(recording, verdict)


def _replay(recording: Recording, verdict: Verdict) -> Verdict:
    decoded = DecodedRecording(recording)
    raised: list[str] = []
    undecoded = _guarded("decoding", decoded.decode, raised)
    if raised or undecoded is not None:
        return replace(verdict, undecoded=undecoded or raised[0], raised=tuple(raised))
    outcomes: dict[str, Outcome] = {}
    for name in PROTOCOLS:
        outcome = _guarded(f"to {name}", Crossing(decoded, name).run, raised)
        outcomes[name] = outcome or Outcome((f"raised: {raised[-1]}",))
    own = outcomes.pop(decoded.protocol.name)
    return replace(verdict, own=own, cross=outcomes, raised=tuple(raised))


def _guarded(stage: str, work: Callable[[], T], raised: list[str]) -> T | None:
    """Runs one stage; an exception is added to `raised`, so that the other stages still run."""
    try:
        return work()
    except Exception as fault:
        last = traceback.extract_tb(fault.__traceback__)[-1]
        place = "/".join(last.filename.split("/")[-3:])
        raised.append(f"{stage}: {type(fault).__name__}: {fault} ({place}:{last.lineno})"[:300])
        return None
