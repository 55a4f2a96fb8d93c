"""Sends requests of the suite's clients to the mock in process, without sockets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.faults import End, Write, reply_actions
from crosswire.mockserver.framing import CONTENT_TYPES
from crosswire.mockserver.journal import Journal
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.mockserver.scenarios.model import Ask
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Story
from crosswire.mockserver.server import MockProvider

FOLDER = Path(__file__).parents[2] / "scenarios"


@cache
def scenarios() -> Scenarios:
    """Returns the shipped scenarios."""
    return load_scenarios(FOLDER)


def below_base(provider: Provider, http_request: HttpRequest) -> str:
    """Returns the path of a request below the provider's base path; clients add the version part themselves."""
    parts = urlsplit(http_request.path)
    path = parts.path
    if provider.base_path.endswith("/v1"):
        path = path.removeprefix("/v1")
    return path + (f"?{parts.query}" if parts.query else "")


def send(mock: MockProvider, provider: Provider, http_request: HttpRequest, *, stream: bool) -> ParsedReply:
    """Sends one request and returns the reply as the client of the same protocol parses it."""
    protocol = MOCK_PROTOCOLS[provider.protocol]
    path = below_base(provider, http_request)
    headers = {name.lower(): value for name, value in http_request.headers.items()}
    entry = mock.journal.open(provider.name, provider.name, http_request.method, path, headers)
    entry.received = http_request.bytes()
    rendered, wire, _ = mock.respond(entry, provider, protocol, path)
    sent = bytearray()
    for action in reply_actions(rendered, wire):
        match action:
            case Write(data):
                sent += data
            case End():
                break
            case _:
                pass
    entry.sent = sent
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    return CLIENTS[provider.protocol].parse_reply(
        rendered.status, headers, bytes(sent), stream=stream, request=http_request
    )


def converse(story: Story, provider: Provider, *, stream: bool) -> list[tuple[Ask, ParsedReply]]:
    """Runs a story between a client and a provider of one protocol; stops at the first error."""
    mock = MockProvider(scenarios())
    mock.journal = Journal()
    done: list[tuple[Ask, ParsedReply]] = []
    for exchange in story.exchanges:
        http_request = CLIENTS[provider.protocol].build_request(
            [*done, (exchange.ask, None)],
            model=provider.default_model or "",
            stream=stream,
            key=provider.auth.key,
        )
        reply = send(mock, provider, http_request, stream=stream)
        assert mock.journal.entries[-1].story == story.name, mock.journal.entries[-1].note
        done.append((exchange.ask, reply))
        if reply.error is not None:
            break
    return done
