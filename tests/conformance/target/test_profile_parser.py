"""Profiles: every mistake has its file and line, shipped ones are right, and variables come from the environment."""

from __future__ import annotations

import pytest

from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target.cli import profile as profile_command
from crosswire.conformance.target.profile import Profile
from crosswire.conformance.target.profile_parser import find_profile, read_profile, shipped_profiles
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Story

from ..fault_proxies.harness import scenarios

PROFILE = """\
name: lighthouse
url: http://127.0.0.1:8889
frontends:
  openai-chat: {key: "${LIGHTHOUSE_KEY}"}
models:
  openai: "openai/{model}"
  anthropic: {claude-sonnet-4-5: sonnet}
cannot:
  - {why: no sound, needs: [audio]}
  - {why: no thinking with this model, stories: "reasoning-*", providers: anthropic}
"""


def providers() -> dict[str, Provider]:
    return dict(scenarios().providers)


def read(text: str, **environment: str) -> tuple[Profile | None, list[str]]:
    profile, mistakes = read_profile("profile.yaml", text, providers(), environment)
    return profile, list(map(str, mistakes))


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("name: lighthouse", "nam: lighthouse", "profile.yaml:1: $.nam: unknown key; did you mean `name`?"),
        ("http://127.0.0.1:8889", "127.0.0.1:8889", "profile.yaml:2: $.url: '127.0.0.1:8889' is no address"),
        ("openai-chat:", "openai-chatt:", "profile.yaml:4: $.frontends.openai-chatt: unknown name; did you mean"),
        ("{key:", "{path: v1, key:", "profile.yaml:4: $.frontends.openai-chat.path: 'v1' must start with a slash"),
        ("  openai: ", "  opnai: ", "profile.yaml:6: $.models.opnai: unknown name; did you mean `openai`?"),
        ("claude-sonnet-4-5", "claude-sonet-4-5", "profile.yaml:7: $.models.anthropic.claude-sonet-4-5: unknown name"),
        ("needs: [audio]", "needs: [sound]", "profile.yaml:9: $.cannot[0].needs[0]: 'sound' is not one of"),
        (", needs: [audio]", "", "profile.yaml:9: $.cannot[0]: names no cells"),
        (
            "LIGHTHOUSE_KEY",
            "HARBOUR_KEY",
            "profile.yaml:4: $.frontends.openai-chat.key: the environment has no variable",
        ),
    ],
)
def test_a_mistake_has_its_line(old: str, new: str, mistake: str) -> None:
    profile, mistakes = read(PROFILE.replace(old, new, 1), LIGHTHOUSE_KEY="secret")
    assert profile is None
    assert any(found.startswith(mistake) for found in mistakes), mistakes


@pytest.mark.parametrize(
    ("cell", "needs", "model", "reason"),
    [
        (Cell("openai-chat", "openai", "text", False), (), "gpt-5-nano", None),
        (Cell("gemini", "openai", "text", False), (), "gpt-5-nano", "the profile has no frontend gemini"),
        (Cell("openai-chat", "gemini", "text", False), (), "gemini-2.5-flash", "no model gemini-2.5-flash of gemini"),
        (Cell("openai-chat", "anthropic", "text", False), (), "claude-opus-4-7", "no model claude-opus-4-7"),
        (Cell("openai-chat", "openai", "audio-in", False), ("audio",), "gpt-5-nano", "no sound"),
        (Cell("openai-chat", "anthropic", "reasoning-x", False), (), "claude-sonnet-4-5", "no thinking"),
        (Cell("openai-chat", "openai", "reasoning-x", False), (), "gpt-5-nano", None),
    ],
    ids=str,
)
def test_what_is_not_offered(cell: Cell, needs: tuple[str, ...], model: str, reason: str | None) -> None:
    profile, mistakes = read(PROFILE, LIGHTHOUSE_KEY="secret")
    assert profile is not None, mistakes
    found = profile.reason_not_offered(cell, Story(cell.story, "", "", needs, ()), model)
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_names_and_variables_are_filled_in() -> None:
    profile, _ = read(PROFILE, LIGHTHOUSE_KEY="secret")
    assert profile is not None
    assert profile.frontends["openai-chat"].key == "secret"
    assert profile.model_name("openai", "gpt-5-nano") == "openai/gpt-5-nano"
    assert profile.model_name("anthropic", "claude-sonnet-4-5") == "sonnet"


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = find_profile(name)
    assert file is not None
    profile, mistakes = read_profile(str(file), file.read_text("utf-8"), providers())
    assert mistakes == []
    assert profile is not None
    assert profile.version, "name the version that it was run against"
    assert profile_command(["check", name]) == 0
    assert name in capsys.readouterr().out
