"""The clients that are known by their user agent, and the end of a broken stream that two of them need."""

from __future__ import annotations

import re

import pytest

from crosswire.proxy.known_clients import CLIENTS, client_of
from tests.complaints.exchange import exchange

from ..sample_messages import PROTOCOLS, stream, stream_kind
from ..scripted_upstream import chunked

USER_AGENTS: dict[str, str | None] = {
    "codex_cli_rs/0.160.0 (Debian 12; x86_64) xterm": "codex",
    "codex_exec/0.146.0 (Ubuntu 24.4.0; x86_64)": "codex",
    "codex-tui/0.156.0 (Mac OS 26.0.0; arm64) iTerm.app/3.6.1": "codex",
    "codex_vscode/0.171.0 (Mac OS 26.0.0; arm64) vscode/1.110.0": "codex",
    "Codex Desktop/0.171.0 (Mac OS 26.0.0; arm64) unknown": "codex",
    "GeminiCLI-tui/0.44.1/gemini-3.1-pro-preview (darwin; arm64; terminal)": "gemini-cli",
    "GeminiCLI/0.2.0 (linux; x64)": "gemini-cli",
    "QwenCode/0.14.1 (linux; x64)": "qwen-code",
    "opencode/1.2.3": "opencode",
    "OpenAI/Python 2.16.0": None,
    "Mozilla/5.0 (GeminiCLI-tui)": None,
    "": None,
    "codex_" + "x" * 1000: None,
}


@pytest.mark.parametrize(("user_agent", "name"), USER_AGENTS.items())
def test_who_it_is(user_agent: str, name: str | None) -> None:
    found = client_of(user_agent)
    assert (None if found is None else found.name) == name


def test_every_exception_has_its_reason_and_source() -> None:
    found = [(client, each) for client in CLIENTS for each in client.exemptions]
    assert {each.what for _, each in found} == {"caches", "ends_whole"}
    for client, each in found:
        assert client.user_agents, f"nobody can be told to be {client.name}"
        assert each.why
        assert re.match("https://", each.source)


ENDS_WHOLE: dict[str, tuple[str, str, str]] = {
    "gemini": ("GeminiCLI-tui/0.44.1/m (linux; x64; terminal)", "google-genai-sdk/1", '"error"'),
    "openai-responses": ("codex_exec/0.171.0 (Debian 12.0.0; x86_64) xterm", "OpenAI/Python 3.57.0", "response.failed"),
}
"""Frontend to a client that needs a whole body of a stream that failed too, one that must not get it, and the error."""


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", ENDS_WHOLE)
async def test_a_client_of_the_table_reads_the_error_from_a_whole_body(frontend: str, backend: str) -> None:
    agent, other_agent, error = ENDS_WHOLE[frontend]
    end = -4 if backend in ("openai-responses", "anthropic") else 2  # within the text
    script = [*list(chunked(stream(backend)[:end], stream_kind(backend)))[:-1], "close"]
    known = await exchange(frontend, backend, raw=[*script], stream=True, headers={"user-agent": agent})
    other = await exchange(frontend, backend, raw=[*script], stream=True, headers={"user-agent": other_agent})
    assert known.answer.whole
    assert not other.answer.whole
    assert error in known.answer.body.decode()
    assert known.answer.body.decode().count(error) == other.answer.body.decode().count(error)
    assert known.record["outcome"] != "answered"


async def test_agents_that_look_for_a_server_error_find_one() -> None:
    """Several try a broken stream again only where its text says so."""
    for end in ("close", "reset"):
        script = [*list(chunked(stream("openai-chat")[:2]))[:-1], end]
        found = await exchange("anthropic", "openai-chat", raw=script, stream=True)
        (error,) = [event for event in found.events if event.get("type") == "error"]
        assert re.search("server.?error", error["error"]["message"], re.IGNORECASE)
        assert error["request_id"] == found.answer.headers["x-request-id"]
