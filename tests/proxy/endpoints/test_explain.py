"""Explaining: the same decision as serving, for what a caller says of a request, and every mistake in that by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from crosswire.proxy.config import Config, load
from crosswire.proxy.endpoints.explain import KEYS, explain, table
from crosswire.proxy.errors import Malformed
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.routing import RoutingInput, decide
from tests.proxy.sample_messages import ask

TEXT = """\
backends:
  home: {protocol: ollama, base_url: "http://h", api_key: sk-never-shown}
  cloud: {protocol: anthropic, base_url: "http://c", models: {big: claude-x}}
  eyes: {protocol: openai-chat, base_url: "http://e", models: {see: see}, capabilities: [vision]}
routes:
  - {match: "team-*", backend: home, model: "{1}", fallback: [{backend: cloud, model: big}]}
modes:
  eco: {backend: home, models: {chat: cloud/big}}
smart:
  auto: {cheap: {backend: home, model: hermes3}, primary: {backend: cloud, model: big}, cascade: true}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    return load(TEXT, "c.yaml", {})


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"model": "big"}, RoutingInput("big", frontend="openai-chat")),
        ({"model": "zzz", "tools": True}, RoutingInput("zzz", frozenset(("text", "tools")))),
        ({"model": "zzz", "needs": ["vision", "tools"]}, RoutingInput("zzz", frozenset(("text", "tools", "vision")))),
        ({"model": "big", "pin": "home"}, RoutingInput("big", pin="home")),
        ({"model": "chat", "mode": "eco"}, RoutingInput("chat", mode="eco")),
        ({"model": "chat", "mode": "none"}, RoutingInput("chat", mode="none")),
        ({"model": "team-x", "down": ["home"]}, RoutingInput("team-x", down={"home": "is thought of as down"})),
        ({"model": "team-x"}, RoutingInput("team-x")),
        ({"model": "x", "frontend": "gemini"}, RoutingInput("x", frontend="gemini")),
    ],
)
def test_it_is_what_serving_decides(config: Config, body: dict[str, Any], facts: RoutingInput) -> None:
    found = explain(config, body)
    assert found.pop("model") == facts.model
    assert found.pop("needs") == sorted(facts.capabilities)
    assert isinstance(found.pop("traits"), list)
    decided = {key: value for key, value in found.items() if key != "added"}
    served = msgspec.to_builtins(decide(facts, config.plan))
    assert decided == {key: value for key, value in served.items() if key not in ("balance", "weights", "standings")}
    assert "sk-never-shown" not in str(found)


@pytest.mark.parametrize("frontend", PROTOCOLS)
def test_a_whole_request(config: Config, frontend: str) -> None:
    body = {
        "frontend": frontend,
        "model": "auto",
        "request": ask(frontend, "other", text="Prove it step by step: why?"),
    }
    found = explain(config, body)
    assert (found["model"], found["needs"]) == ("auto", ["text"])
    assert found["score"]["parts"]["reasoning"] > 0
    assert found["chosen"] is not None


def test_who_is_down_now(config: Config) -> None:
    found = explain(config, {"model": "team-x"}, {"home": "its breaker is open"})
    assert [(each["backend"], each["model"]) for each in found["chain"]] == [("cloud", "claude-x")]
    assert found["considered"][0]["why"] == "its breaker is open"


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        ({}, "model", "is required and must be a string"),
        ({"model": 1}, "model", "must be a string"),
        ({"model": "x", "modl": "y"}, "modl", "unknown key; did you mean model?"),
        ({"model": "x", "zzzzz": "y"}, "zzzzz", "unknown key; known: model, needs"),
        ({"model": "x", "needs": ["fly"]}, "needs", "unknown capability; known: text"),
        ({"model": "x", "needs": 1}, "needs", "must be a string or an array of strings"),
        ({"model": "x", "tools": "yes"}, "tools", "must be true or false"),
        ({"model": "x", "prompt": 1}, "prompt", "must be a string"),
        ({"model": "x", "mode": []}, "mode", "must be a string"),
        ({"model": "x", "pin": {}}, "pin", "must be a string"),
        ({"model": "x", "down": ["hoem"]}, "down", "names an unknown backend; known: home, cloud, eyes"),
        ({"model": "x", "frontend": "smtp"}, "frontend", "unknown protocol; known: openai-chat"),
        ({"request": [], "model": "x"}, "request", "must be an object"),
        ({"request": {}}, "request", "is required"),
        ({"request": {"contents": []}, "frontend": "gemini"}, "model", "is required, for a request of this protocol"),
        ({"request": ask("openai-chat", "x"), "prompt": "y"}, "prompt", "cannot be combined with request"),
    ],
)
def test_mistakes(config: Config, body: dict[str, Any], path: str, says: str) -> None:
    before = dict(body)
    with pytest.raises(Malformed) as caught:
        explain(config, body)
    assert caught.value.path.startswith(path)
    assert says in str(caught.value)
    assert body == before


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read(config: Config, key: str) -> None:
    """Each key of KEYS is known and checked for its type; an unknown key would be another mistake."""
    with pytest.raises(Malformed, match="must be"):
        explain(config, {"model": "x", key: 1.5})


TABLES = {
    "a chain": (
        {"model": "team-x"},
        """\
team-x -> home (x)
mode: pattern; the route 'team-*' names 'home'
one after the other: home (x), cloud (claude-x)
  ✓ home   x  the route names it
  ✗ cloud  claude-x  the route falls back to it
  ✗ eyes   -  the model is mapped to another backend""",
    ),
    "a score": (
        {"model": "auto", "prompt": "Why?"},
        """\
auto -> home (hermes3)
mode: smart; tier flash (9.59 points): the cheap target of 'auto' is 'home'
one after the other while the answer is poor: home (hermes3), cloud (claude-x)
score: 9.59 points, tier flash: length 0.01, questions 1.25, reasoning 8.33
  ✓ home   hermes3  the score asks for it
  ✗ cloud  claude-x  takes over where the cheap model will not do
  ✗ eyes   -  the model is mapped to another backend""",
    ),
    "nothing that counts": (
        {"model": "auto", "down": ["home"]},
        """\
auto -> cloud (claude-x)
mode: smart; tier flash (0 points): the cheap target of 'auto' is 'home'; 'home' cannot: is thought of as down; \
'cloud' is the next
score: 0 points, tier flash: nothing that counts
added: max_tokens = 8192, the default for a model whose most is not known
  ✗ home   hermes3  is thought of as down
  ✓ cloud  claude-x  takes over where the cheap model will not do
  ✗ eyes   -  the model is mapped to another backend""",
    ),
    "a refusal": (
        {"model": "openai/x"},
        """\
openai/x is refused with 404: The model 'openai/x' asks for openai, and no backend here is of it; set OPENAI_API_KEY, \
or add a backend with provider: openai.
mode: failed; the prefix 'openai' is of 'openai', and no backend is
  ✗ home   -  is not of openai
  ✗ cloud  -  is not of openai
  ✗ eyes   -  is not of openai""",
    ),
}


@pytest.mark.parametrize(("body", "printed"), TABLES.values(), ids=list(TABLES))
def test_table(config: Config, body: dict[str, Any], printed: str) -> None:
    assert table(explain(config, body)) == printed


LONG = "Read what is said, and answer it. " * 200
MARKED = ["system[0].cache_control", "messages[0].content[0].cache_control"]


@pytest.mark.parametrize(
    ("cache", "user_agent", "text", "marked"),
    [
        ("auto", "", LONG, MARKED),
        ("auto", "", "Be brief.", []),
        (None, "curl/8.0", LONG, []),
        (None, "codex_exec/0.171.0", LONG, MARKED),
        ("off", "codex_exec/0.171.0", LONG, []),
    ],
)
def test_what_it_would_have_cached(cache: str | None, user_agent: str, text: str, marked: list[str]) -> None:
    setting = f", cache: {json.dumps(cache)}" if cache else ""
    cfg = load(f'backends: {{a: {{protocol: anthropic, base_url: "http://c"{setting}}}}}', "c.yaml", {})
    turns = [{"role": "system", "content": text}, {"role": "user", "content": "Hello!"}]
    body = {"model": "claude-x", "max_tokens": 9, "messages": turns}
    found = explain(cfg, {"request": body, "user_agent": user_agent})
    assert [each["path"] for each in found.get("added", [])] == marked
