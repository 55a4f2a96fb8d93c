"""A desk: an SDK's client somewhere, and the tape of what it heard. It knows no protocol but by its driver."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from . import DRIVERS
from .driver import Driver
from .tape import Taken, Tape


class Desk(Struct, frozen=True):
    """An SDK's client at the proxy, and the tape of what it heard."""

    driver: Driver
    client: Any
    tape: Tape
    base_url: str

    def judge(self, taken: Taken, *, stream: bool) -> None:
        """Hold a response against the SDK's types: SDKs construct their objects without looking at every field."""
        if not stream:
            self.driver.judge_reply(taken.body)
            return
        events = self.events(taken)
        assert events
        for event in events:
            self.driver.judge_event(event)

    def events(self, taken: Taken) -> list[str]:
        """What a response streamed, event by event, without the mark of its end."""
        text = taken.body.decode()
        if self.driver.line_framed:
            return text.splitlines()
        lines = text.replace("\r\n", "\n").split("\n")
        data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
        return [event for event in data if event != self.driver.done]


def desk_at(name: str, base_url: str) -> Desk:
    """A desk for this frontend; whoever opens it closes its client."""
    tape = Tape()
    return Desk(DRIVERS[name], DRIVERS[name].client(base_url, tape), tape, base_url)
