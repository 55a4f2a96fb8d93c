"""The suite's clients read the losses that a proxy tells in the last event, and complain about them anywhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.conformance.client.told_losses import KEY, ToldLoss, ToldLosses
from crosswire.mockserver.framing import CONTENT_TYPES
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import ReplyContext
from crosswire.mockserver.scenarios.model import SayStop, SayText, Usage
from crosswire.mockserver.scenarios.provider import Auth, Provider

LOSS = {"word": "seed", "path": "sampling.seed", "how": "dropped"}
TOLD = ToldLosses((ToldLoss("seed", "sampling.seed", "dropped"),))

PLACES: dict[str, tuple[str, ...]] = {
    "openai-chat": ("usage",),
    "openai-responses": ("response",),
    "anthropic": (),
    "gemini": ("usageMetadata",),
    "ollama": (),
}
"""Protocol -> the keys that lead from the last event to the object that may tell of losses."""

WRONG_PLACES: dict[str, tuple[tuple[int, tuple[str | int, ...]], ...]] = {
    "openai-chat": ((0, ()), (-1, ()), (-2, ()), (-2, ("choices", 0)), (-2, ("choices", 0, "delta"))),
    "openai-responses": ((0, ("response",)), (-1, ()), (-1, ("response", "usage")), (-2, ())),
    "anthropic": ((0, ("message",)), (-1, ()), (-2, ("usage",)), (-2, ("delta",))),
    "gemini": ((0, ()), (-1, ()), (-1, ("candidates", 0))),
    "ollama": ((0, ()), (-1, ("message",))),
}
"""Protocol -> places in its streams that must not tell: the event's index, and the keys in it."""

LAST = {"anthropic": -2}
"""Protocol -> the index of the event that tells, where it is not the last one."""

SSE_PATH = "/v1beta/models/m:streamGenerateContent?alt=sse"
"""The path by which Gemini streams events, not an array."""


def rendered(protocol: str, *, stream: bool) -> bytes:
    context = ReplyContext(
        provider=Provider(name="p", protocol=protocol, auth=Auth("authorization", "k")),
        story="s",
        step=0,
        model="m",
        stream=stream,
        items=(SayText(("Hi", " you")),),
        stop=SayStop("end"),
        usage=Usage(10, 5),
        path=SSE_PATH,
        body={"stream": True, "stream_options": {"include_usage": True}} if stream else {},
    )
    return MOCK_PROTOCOLS[protocol].render_reply(context).body


def parse(protocol: str, body: bytes, *, stream: bool = True) -> ParsedReply:
    framing = "ndjson" if protocol == "ollama" else "sse"
    kind = CONTENT_TYPES[framing if stream else "json"]
    return CLIENTS[protocol].parse_reply(200, {"content-type": kind}, body, stream=stream)


def with_field(protocol: str, index: int, keys: tuple[str | int, ...], key: str, value: Any) -> bytes:
    """A stream of this protocol with one field more in one of its events."""
    lines = rendered(protocol, stream=True).decode().replace("\r\n", "\n").split("\n")
    places = [n for n, line in enumerate(lines) if line.removeprefix("data: ").startswith("{")]
    at = places[index]
    prefix = "data: " if lines[at].startswith("data: ") else ""
    event = json.loads(lines[at].removeprefix(prefix))
    holder = event
    for part in keys:
        holder = holder[part]
    holder[key] = value
    lines[at] = prefix + json.dumps(event)
    return "\n".join(lines).encode()


@pytest.mark.parametrize("protocol", CLIENTS)
def test_a_stream_without_the_key_tells_nothing(protocol: str) -> None:
    reply = parse(protocol, rendered(protocol, stream=True))
    assert (reply.told, reply.complaints) == (ToldLosses(), ())


@pytest.mark.parametrize("protocol", CLIENTS)
def test_the_last_event_tells(protocol: str) -> None:
    reply = parse(protocol, with_field(protocol, LAST.get(protocol, -1), PLACES[protocol], KEY, [LOSS]))
    assert (reply.told, reply.complaints) == (TOLD, ())


@pytest.mark.parametrize(
    ("protocol", "index", "keys"), [(protocol, *place) for protocol, places in WRONG_PLACES.items() for place in places]
)
def test_no_other_place_may_tell(protocol: str, index: int, keys: tuple[str | int, ...]) -> None:
    reply = parse(protocol, with_field(protocol, index, keys, KEY, [LOSS]))
    assert reply.told == ToldLosses()
    assert any(complaint.startswith(f"losses: `{KEY}` comes in a place") for complaint in reply.complaints)


@pytest.mark.parametrize("protocol", CLIENTS)
def test_no_other_key_of_a_proxy_is_known(protocol: str) -> None:
    body = with_field(protocol, LAST.get(protocol, -1), PLACES[protocol], "crosswire_notes", [LOSS])
    assert any("`crosswire_notes`" in complaint for complaint in parse(protocol, body).complaints)


@pytest.mark.parametrize("protocol", CLIENTS)
def test_a_body_tells_nothing(protocol: str) -> None:
    body = json.loads(rendered(protocol, stream=False))
    assert parse(protocol, json.dumps(body).encode(), stream=False).complaints == ()
    body[KEY] = [LOSS]
    reply = parse(protocol, json.dumps(body).encode(), stream=False)
    assert reply.told == ToldLosses()
    assert any(f"`{KEY}` comes in a place" in complaint for complaint in reply.complaints)


MALFORMED: dict[str, Any] = {
    "null": None,
    "an empty list": [],
    "an object": LOSS,
    "a word alone": ["seed"],
    "without a path": [{"word": "seed", "how": "dropped"}],
    "another key": [LOSS | {"value": 7}],
    "another action": [LOSS | {"how": "lost"}],
    "a number first": [{"left_out": 2}, LOSS],
    "none left out": [LOSS, {"left_out": 0}],
    "nothing but a number": [{"left_out": True}],
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_list_is_complained_about(value: Any) -> None:
    reply = parse("ollama", with_field("ollama", -1, (), KEY, value))
    assert any(complaint.startswith("losses: ") for complaint in reply.complaints)


def test_losses_may_be_left_out() -> None:
    reply = parse("ollama", with_field("ollama", -1, (), KEY, [LOSS, {"left_out": 3}]))
    assert (reply.told, reply.complaints) == (ToldLosses(TOLD.losses, 3), ())
