"""No field of any shape, whatever its type, raises anything but what becomes a 4xx or a failover.

Every mutation of the documented shapes and of the stories' wire bodies, in both directions; of the stories each shape
only once, for most are alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.replay.cli import main
from crosswire.conformance.replay.mutation import (
    error_fault,
    mutated,
    mutations,
    places,
    reply_fault,
    request_fault,
    shape,
    stream_fault,
)
from crosswire.mockserver.journal import Entry
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Story
from crosswire.mockserver.server import MockProvider
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UrlParams
from crosswire.proxy.wire.framing import FRAMINGS, Frame

from ...proxy.sample_requests import RICH
from .recorded_exchanges import EXCHANGES

ROOT = Path(__file__).parents[3]
EVIDENCE = sorted((ROOT / "tests/evidence").rglob("*.json"))
GEMINI = UrlParams("m", "generateContent", "sse")


def frames_of(protocol: str, stream: bytes) -> list[Frame]:
    framing = FRAMINGS[PROTOCOLS[protocol].framing](2**24)
    return [*framing.parse(framing.cut(stream)), *framing.rest()]


def stream_faults(protocol: str, stream: bytes, seen: set[str]) -> Iterator[str]:
    """The faults of every mutation of each frame; of frames that are alike the first is mutated."""
    frames = frames_of(protocol, stream)
    for at, frame in enumerate(frames):
        try:
            body = json.loads(frame.data)
        except ValueError:
            continue
        for name, changed in mutations(body, seen):
            put = Frame(json.dumps(changed).encode(), frame.event)
            if (fault := stream_fault(protocol, [*frames[:at], put, *frames[at + 1 :]])) is not None:
                yield f"{fault} <- frame {at}: {name}"


@pytest.mark.parametrize("file", EVIDENCE, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_field_of_the_documented_shapes(file: Path) -> None:
    case, protocol = json.loads(file.read_text("utf-8")), file.parent.name
    url = GEMINI if protocol == "gemini" else UrlParams()
    faults: list[str] = []
    if "stream" in case:
        faults += stream_faults(protocol, case["stream"].encode(), set())
    for name, changed in mutations(case["body"]) if "body" in case else ():
        match case["kind"]:
            case "request":
                fault = request_fault(protocol, changed, url)
            case "error":
                fault = error_fault(protocol, case["status"], changed)
            case _:
                fault = reply_fault(protocol, changed)
        faults += [f"{fault} <- {name}"] if fault else []
    assert faults == []


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_field_of_a_request_that_uses_nearly_every_key(protocol: str) -> None:
    url = GEMINI if protocol == "gemini" else UrlParams()
    checked = ((name, request_fault(protocol, body, url)) for name, body in mutations(RICH[protocol]))
    assert [f"{fault} <- {name}" for name, fault in checked if fault] == []


# ---- the stories -----------------------------------------------------------------------------------------------------


def exchanges_of(story: Story, provider: Provider, mock: MockProvider, *, stream: bool) -> Iterator[tuple[Any, bytes]]:
    """The body of each request of a story at this provider, and the mock's answer where it is a 200."""
    client, conversation = CLIENTS[provider.protocol], []
    for exchange in story.exchanges:
        conversation.append((exchange.ask, None))
        model = exchange.ask.model or story.model_for(provider)
        try:
            request = client.build_request(conversation, model=model, stream=stream, key=provider.auth.key)
            entry = Entry(1, provider.name, provider.name, "POST", request.path, dict(request.headers))
            entry.received = request.bytes()
            reply, _, _ = mock.respond(entry, provider, MOCK_PROTOCOLS[provider.protocol], request.path)
        except ValueError:
            return  # this protocol has no place for it
        yield request.body, reply.body if reply.status == 200 else b""
        if reply.status != 200:
            return
        read = client.parse_reply(reply.status, reply.headers, reply.body, stream=stream, request=request)
        conversation[-1] = (exchange.ask, read)


def _json_or_none(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_field_of_the_stories_wire_bodies(protocol: str) -> None:
    scenarios = load_scenarios(ROOT / "scenarios")
    mock = MockProvider(scenarios)
    url = GEMINI if protocol == "gemini" else UrlParams()
    requests: set[str] = set()
    replies: set[str] = set()
    frames: set[str] = set()
    faults: list[str] = []
    for provider in scenarios.providers.values():
        for story in scenarios.stories.values() if provider.protocol == protocol else ():
            if story.proxy is not None:
                continue
            for stream in (False, True):
                for sent, answer in exchanges_of(story, provider, mock, stream=stream):
                    for name, body in mutations(sent, requests):
                        fault = request_fault(protocol, body, url)
                        faults += [f"{fault} <- {story.name}: {name}"] if fault else []
                    if stream:
                        faults += [f"{fault} of {story.name}" for fault in stream_faults(protocol, answer, frames)]
                    else:
                        for name, body in mutations(_json_or_none(answer), replies):
                            fault = reply_fault(protocol, body)
                            faults += [f"{fault} <- {story.name}: {name}"] if fault else []
    assert min(len(requests), len(replies), len(frames)) > 20
    assert faults == []


# ---- the tool itself -------------------------------------------------------------------------------------------------


def test_places_and_shapes() -> None:
    body = {"a": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}], "b": None}
    assert list(places(body)) == [
        *(("a",), ("a", 0), ("a", 0, "type"), ("a", 0, "text"), ("a", 1), ("a", 1, "type"), ("a", 1, "text")),
        ("b",),
    ]
    assert shape(body, ("a", 1, "text")) == "a/*/text.text"
    assert mutated(body, ("a", 1, "text"), []) == {**body, "a": [body["a"][0], {"type": "text", "text": []}]}


def test_a_mutation_that_raises_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert request_fault("openai-chat", body, UrlParams()) is None
    assert request_fault("openai-chat", {"model": 1}, UrlParams()) is None  # Malformed: a 400
    monkeypatch.setattr("crosswire.proxy.wire.json_fields.describe", lambda value: value["x"])
    assert "TypeError" in (request_fault("openai-chat", {"model": 1}, UrlParams()) or "")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, exchange in EXCHANGES.items():
        file = tmp_path / place / "0.json"
        file.parent.mkdir(parents=True)
        capability = place.partition("/")[2].removesuffix("-stream")
        case = {"capability": capability, "model": "m", "status": 200, "response_headers": {}, **exchange}
        file.write_text(json.dumps(case))
    assert main([str(tmp_path), "--mutate", "200", "--seed", "7"]) == 0
    assert capsys.readouterr().out == "200 mutations with seed 7: 0 faults\n"
    assert main([str(tmp_path), "--mutate", "20"]) == 0
    assert "20 mutations with seed " in capsys.readouterr().out
