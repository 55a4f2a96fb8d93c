"""A stage without sockets: a client dialect talks to the mock directly. It knows no dialect by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Heard, HttpAsk, Provider
from mockserver.faults import End, Write, play
from mockserver.frames import CONTENT_TYPES
from mockserver.journal import Journal
from mockserver.scenario import Scenarios, Story, load
from mockserver.server import Mock
from mockserver.speech import Ask

FOLDER = Path(__file__).parents[2] / "scenarios"


@cache
def scenarios() -> Scenarios:
    return load(FOLDER)


def below_base(provider: Provider, asked: HttpAsk) -> str:
    """The path as the provider sees it below its base path; clients write the version part themselves."""
    parts = urlsplit(asked.path)
    path = parts.path
    if provider.base_path.endswith("/v1"):
        path = path.removeprefix("/v1")
    return path + (f"?{parts.query}" if parts.query else "")


def send(mock: Mock, provider: Provider, asked: HttpAsk, *, stream: bool) -> Heard:
    """One request and what its own strict client makes of the answer."""
    dialect = DIALECTS[provider.protocol]
    path = below_base(provider, asked)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    entry = mock.journal.open(provider.name, provider.name, asked.method, path, headers)
    entry.received = asked.bytes()
    spoken, wire, _ = mock.answer(entry, provider, dialect, path)
    sent = bytearray()
    for action in play(spoken, wire):
        match action:
            case Write(data):
                sent += data
            case End():
                break
            case _:
                pass
    entry.sent = sent
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    return dialect.hear(spoken.status, headers, bytes(sent), stream=stream, asked=asked)


def converse(story: Story, provider: Provider, *, stream: bool) -> list[tuple[Ask, Heard]]:
    """The whole story between a client and a provider of one dialect; stops at the first error."""
    mock = Mock(scenarios())
    mock.journal = Journal()
    dialect = DIALECTS[provider.protocol]
    done: list[tuple[Ask, Heard]] = []
    for exchange in story.exchanges:
        asked = dialect.ask(
            [*done, (exchange.ask, None)],
            model=provider.default_model or "",
            stream=stream,
            key=provider.auth.key,
        )
        heard = send(mock, provider, asked, stream=stream)
        assert mock.journal.entries[-1].story == story.name, mock.journal.entries[-1].note
        done.append((exchange.ask, heard))
        if heard.error is not None:
            break
    return done
