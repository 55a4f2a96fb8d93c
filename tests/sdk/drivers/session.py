"""An SDK's client at a proxy, and the recording of its responses."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from . import DRIVERS
from .driver import Driver
from .recording import RecordedResponse, Recording


class SdkSession(Struct, frozen=True):
    """An SDK's client at a proxy, and the recording of its responses."""

    driver: Driver
    client: Any
    recording: Recording
    base_url: str

    def validate(self, recorded: RecordedResponse, *, stream: bool) -> None:
        """Validates a response by the SDK's types; the SDK itself builds its objects without checking every field."""
        if not stream:
            self.driver.validate_reply(recorded.body)
            return
        events = self.events(recorded)
        assert events
        for event in events:
            self.driver.validate_event(event)

    def events(self, recorded: RecordedResponse) -> list[str]:
        """Returns the events of a streamed response, without the marker of its end."""
        text = recorded.body.decode()
        if self.driver.ndjson:
            return text.splitlines()
        lines = text.replace("\r\n", "\n").split("\n")
        data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
        return [event for event in data if event != self.driver.done_marker]


def open_session(name: str, base_url: str) -> SdkSession:
    """Opens a session for this frontend; the caller closes its client."""
    recording = Recording()
    return SdkSession(DRIVERS[name], DRIVERS[name].client(base_url, recording), recording, base_url)
