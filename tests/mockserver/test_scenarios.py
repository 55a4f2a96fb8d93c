"""Scenario files: parsing of every key, and every kind of mistake with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.mockserver.scenarios.model import (
    AllowedTools,
    Ask,
    Citation,
    Cut,
    Garble,
    Grammar,
    Image,
    Interleave,
    NamedTool,
    Pause,
    SayCall,
    SayError,
    SayImage,
    SayStop,
    SayText,
    SayThink,
    SayUsage,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from crosswire.mockserver.scenarios.story import Decide, HearError, Wire, new_texts, opening_text
from crosswire.mockserver.scenarios.yaml_reader import YamlDocument
from tests.mockserver.in_process_mock import FOLDER

PROVIDER = "protocol: openai-chat\nbase_path: /v1\nmodels: {m: m}\nauth: {header: authorization, key: k}\n"
STORY = "why: w\nsource: s\nneeds: [text]\nask: {user: Hi there}\nsay: [{text: Hello}]\n"


def folder(tmp_path: Path, **files: str) -> Scenarios:
    """Loads a valid provider and story, and the files given as `stories__name` or `providers__name`."""
    given = {"providers__openai": PROVIDER, "stories__hi": STORY} | files
    for name, text in given.items():
        file = tmp_path / f"{name.replace('__', '/')}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return load_scenarios(tmp_path)


def test_shipped_scenarios_have_no_mistakes() -> None:
    found = load_scenarios(FOLDER)
    assert found.mistakes == ()
    assert {"text", "function_calling"} <= set(found.stories)
    assert set(found.providers) >= {"openai", "openai-responses", "anthropic", "gemini", "ollama", "openrouter"}


SHARED = ("protocol", "models", "default_model", "max_tokens", "capabilities", "priority", "limits", "quirks")
"""Keys that a provider file and a backend of the proxy's config have in common."""


def test_config_for_the_mock_matches_the_provider_files() -> None:
    backends = YamlDocument("config-mock.yaml", (FOLDER / "config-mock.yaml").read_text()).value["backends"]
    providers = load_scenarios(FOLDER).providers
    assert set(backends) == set(providers)
    for name, provider in providers.items():
        written = YamlDocument(name, Path(provider.file).read_text()).value
        wanted = {key: written[key] for key in SHARED if key in written}
        wanted |= {"base_url": f"http://127.0.0.1:8888/{name}{provider.base_path}", "api_key": provider.auth.key}
        assert backends[name] == wanted


def test_every_story_has_a_known_prefix_and_a_reason() -> None:
    heads = {
        *("text", "tools", "error", "stream", "reasoning", "route", "image", "document", "audio", "json"),
        *("video", "media", "strict"),
    }
    for story in load_scenarios(FOLDER).stories.values():
        assert story.name in ("text", "function_calling") or story.name.partition("-")[0] in heads
        assert story.why.endswith(".")


def test_every_key_of_the_schema_is_parsed(tmp_path: Path) -> None:
    text = """\
why: w
source: s
needs: [tools, vision]
only: stream
clients: [openai-chat, gemini]
servers: [openai-chat]
across: true
refused: [image]
wire: {write: 1, newline: crlf, comments: true}
ask:
  model: small
  system: [one, two]
  turns:
    - user: before
    - assistant: [{text: said}, {call: {id: c0, name: w, arguments: {a: 1}}}]
    - results: {c0: done}
    - system: aside
  user: [{text: All shapes}, {image: {base64: QQ==, mime: image/png}}, and so on]
  tools:
    - {name: w, description: d, parameters: {type: object}, strict: true}
    - {name: g, namespace: n, grammar: {syntax: regex, definition: "a+"}}
    - {name: t, custom: true, among: true}
  tool_choice: {name: w}
  parallel: false
  stop: [a, b]
  also: {anthropic: {metadata: {user_id: u}}}
  headers: {x-a: b}
say:
  local:
    - think: [a, b]
      sealed: true
    - interleave: [{id: c1, name: w, arguments: [x, y]}, {id: c2, name: w}]
    - call: {id: c3, name: w, arguments: ""}
      sealed: true
    - pause: 0.5
    - {cut: reset, at: 7, times: 2}
    - garble: true
    - {error: {kind: rate_limit, status: 429, message: m, retry_after: 7, in: stream}, times: 1}
    - {stop: stop_sequence, matched: a}
    - usage: {input: 1, output: 2, cache_read: 3, cache_write: 4, reasoning: 5}
hear:
  error: {status: 502, kind: upstream_cut, says: {gemini: torn}}
  headers: {retry-after: "7"}
  after: x
  stop: end
  text: t
raw: {gemini: {status: 429, body: [{a: 1}]}, ollama: {frames: ["x", {done: true}]}}
expect: {openai-chat: {"$.model": small}}
then:
  - ask:
      results: {c1: {error: no}, c2: [{text: y}], c3: ""}
      tools: [{name: w}, {name: g}]
      tool_choice: {allowed: [w, g], mode: required}
    say:
      - {text: [p, q], cites: [{url: u, title: t, quote: z}]}
      - image: {mime: image/png, base64: QQ==}
      - custom: {id: c4, name: g, namespace: n, input: [a, a]}
"""
    found = folder(tmp_path, stories__all=text)
    assert found.mistakes == ()
    story = found.stories["all"]
    first, second = story.exchanges
    assert (story.only, story.wire) == ("stream", Wire(1, "crlf", True))
    assert opening_text(story) == "before"
    assert first.ask.system == ("one", "two")
    assert first.ask.turns[1] == Turn("assistant", (Text("said"), ToolCall("c0", "w", '{"a":1}')))
    assert first.ask.turns[2] == Turn("user", (ToolResult("c0", (Text("done"),)),))
    assert first.ask.user == (Text("All shapes"), Image("image/png", "QQ=="), Text("and so on"))
    assert first.ask.tools == (
        Tool("w", "d", {"type": "object"}, True),
        Tool("g", kind="custom", namespace="n", grammar=Grammar("regex", "a+")),
        Tool("t", kind="custom", among=True),
    )
    assert first.ask.tool_choice == NamedTool("w")
    assert second.ask.tool_choice == AllowedTools(("w", "g"), "required")
    assert first.ask.parallel is False
    assert first.items_for("local", "ollama") == (
        SayThink(("a", "b"), True),
        Interleave((SayCall("c1", "w", ("x", "y")), SayCall("c2", "w", ("{}",)))),
        SayCall("c3", "w", (), True),
        Pause(0.5),
        Cut("reset", 7, 2),
        Garble(),
        SayError("rate_limit", 429, "m", 7, True, 1),
        SayStop("stop_sequence", "a"),
        SayUsage(Usage(1, 2, 3, 4, 5)),
    )
    assert first.items_for("openai") is None
    assert [(r.id, r.at, r.name, r.error, r.text) for r in second.ask.results] == [
        ("c1", 0, "w", True, "no"),
        ("c2", 1, "w", False, "y"),
        ("c3", 2, "w", False, ""),
    ]
    assert second.items_for("any") == (
        SayText(("p", "q"), cites=(Citation("u", "t", "z"),)),
        SayImage("image/png", "QQ=="),
        SayCall("c4", "g", ("a", "a"), False, "custom", "n"),
    )
    assert first.hear.error == HearError(502, "upstream_cut", {"gemini": "torn"})
    assert not story.is_strict
    assert story.refused == ("image",)
    assert [story.is_between(client, "openai-chat") for client in ("gemini", "openai-chat", "ollama")] == [
        True,
        False,
        False,
    ]
    assert not story.is_between("openai-chat", "gemini")
    assert first.raw["ollama"].frames == ("x", {"done": True})


ROUTE = """\
why: w
source: s
needs: [text]
proxy:
  backends: {local: {provider: openai}, cloud: {provider: openai, models: {big: m}, api_key: [old, own]}}
  llm_custom_providers: {home: {provider: openai}}
  nearai: {provider: openai}
ask: {model: small, user: Route me}
say: {local: [{error: {kind: overloaded}}], cloud: [{text: Done}]}
decide:
  mode: smart
  tried: [local: small, cloud: big]
  tier: flash
  because: b
  notes: n
then:
  - ask: {model: big, user: Again}
    say: [{text: Done}]
    decide: {mode: pin, chosen: home, model: big}
"""


def test_route_story_is_parsed(tmp_path: Path) -> None:
    found = folder(tmp_path, **{"stories__route-x": ROUTE})
    assert found.mistakes == ()
    story = found.stories["route-x"]
    assert story.backends == dict.fromkeys(("local", "cloud", "home", "nearai"), "openai")
    first, second = story.exchanges
    assert first.decide == Decide("smart", (("local", "small"), ("cloud", "big")), "flash", "b", ("n",))
    assert second.decide == Decide("pin", (("home", "big"),))
    assert [story.keys(name, "k") for name in ("local", "cloud", "home")] == [("k",), ("old", "k"), ("k",)]
    assert found.stories["hi"].backends == {}


ROUTE_MISTAKES: list[tuple[str, str, int, str]] = [
    ("no-backends", ROUTE.replace("  backends: {local", "  backend: {local"), 4, "$.proxy: `backends` is missing"),
    ("no-provider", ROUTE.replace("{local: {provider: openai}", "{local: {}"), 5, "`provider` is missing"),
    ("provider-type", ROUTE.replace("home: {provider: openai}", "home: {provider: 7}"), 6, "expected a string"),
    (
        "unknown-provider",
        ROUTE.replace("home: {provider: openai}", "home: {provider: opnai}"),
        6,
        "unknown provider opnai",
    ),
    ("address", ROUTE.replace("nearai: {", "nearai: {base_url: x, "), 7, "$.proxy.nearai.base_url: is set by"),
    ("one-key", ROUTE.replace("local: {", "local: {api_key: k, "), 5, "expected a list, found 'k'"),
    ("no-own-key", ROUTE.replace("local: {", "local: {api_key: [k], "), 5, "contains 'own', the placeholder"),
    ("no-model", ROUTE.replace("{model: small, ", "{"), 8, "`model` is missing: routing depends on it"),
    ("say", ROUTE.replace("cloud: [{text", "clod: [{text"), 9, "did you mean `cloud`?"),
    ("mode", ROUTE.replace("mode: smart", "mode: smrt"), 11, "did you mean `smart`?"),
    ("no-mode", ROUTE.replace("  mode: smart\n", ""), 10, "$.decide: `mode` is missing"),
    ("tried", ROUTE.replace("[local: small,", "[local,"), 12, "expected one backend and its model"),
    ("tried-model", ROUTE.replace("local: small", "local: 4"), 12, "expected a string, found 4"),
    ("tried-unknown", ROUTE.replace("cloud: big]", "colud: big]"), 10, "unknown backend 'colud'"),
    ("tier", ROUTE.replace("flash", "flush"), 13, "did you mean `flash`?"),
    ("decide-key", ROUTE.replace("because: b", "becase: b"), 14, "did you mean `because`?"),
    ("last", ROUTE.replace("tier:", "chosen: local\n  model: small\n  tier:"), 12, "must end with {local: small}"),
    ("half", ROUTE.replace("chosen: home, ", ""), 19, "`chosen` and `model` must be given together"),
    ("nothing", ROUTE.replace("chosen: home, model: big", ""), 19, "for a refusal write `tried: []`"),
    ("no-decide", ROUTE[: ROUTE.rindex("    decide")], 17, "`decide` is missing"),
    ("no-proxy", STORY + "decide: {mode: pin, tried: []}\n", 1, "must start with route-"),
]


@pytest.mark.parametrize(("text", "line", "words"), [pytest.param(*row[1:], id=row[0]) for row in ROUTE_MISTAKES])
def test_mistakes_in_a_route_story(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = folder(tmp_path, **{"stories__route-bad": text})
    ours = [mistake for mistake in found.mistakes if mistake.file.endswith("route-bad.yaml")]
    assert any(mistake.line == line and words in mistake.message for mistake in ours), [
        str(mistake) for mistake in ours
    ]


def test_route_story_needs_the_route_prefix(tmp_path: Path) -> None:
    found = folder(tmp_path, stories__other=ROUTE, stories__plain=STORY + "decide: {mode: pin, tried: []}\n")
    messages = [mistake.message for mistake in found.mistakes]
    assert any("must start with route-" in message for message in messages)
    assert any("`decide` needs a `proxy`" in message for message in messages)


MISTAKES: list[tuple[str, str, int, str]] = [
    ("no-why", STORY.replace("why: w\n", ""), 1, "$: `why` is missing"),
    ("no-ask", STORY.replace("ask: {user: Hi there}\n", ""), 1, "`ask` is missing"),
    ("no-say", STORY.replace("say: [{text: Hello}]\n", ""), 1, "`say` is missing"),
    ("unknown-key", STORY + "sey: 1\n", 6, "$.sey: unknown key; did you mean `say`?"),
    ("unknown-ask", STORY.replace("user:", "usr:"), 4, "$.ask.usr: unknown key; did you mean `user`?"),
    ("unknown-item", STORY.replace("text: Hello", "txt: Hello"), 5, "$.say[0]: unknown item"),
    ("item-extra", STORY.replace("text: Hello", "text: Hello, signed: true"), 5, "$.say[0].signed: unknown key"),
    ("duplicate", STORY + "why: again\n", 6, "$.why: duplicate key, first defined on line 1"),
    ("deep-duplicate", STORY.replace("user: Hi there", "user: a, user: b"), 4, "$.ask.user: duplicate key"),
    ("no-bool", STORY.replace("user: Hi there", "user: Hi, parallel: no"), 4, "expected true or false, found 'no'"),
    ("on-bool", STORY.replace("user: Hi there", "user: Hi, parallel: on"), 4, "expected true or false, found 'on'"),
    ("number-text", STORY.replace("Hi there", "7"), 4, "$.ask.user: expected a list, found 7"),
    ("text-number", STORY.replace("user: Hi there", "user: Hi, temperature: hot"), 4, "expected a number"),
    (
        "bool-number",
        STORY.replace("user: Hi there", "user: Hi, seed: true"),
        4,
        "expected an integer, found True",
    ),
    ("client", STORY + "clients: [openai]\n", 6, "did you mean"),
    (
        "choice-among-none",
        STORY.replace("user: Hi there", "user: Hi, tool_choice: {allowed: [w]}"),
        4,
        "unknown tool 'w'",
    ),
    ("needs-word", STORY.replace("[text]", "[txt]"), 3, "'txt' is not one of"),
    ("needs-hint", STORY.replace("[text]", "[visoin]"), 3, "did you mean `vision`?"),
    ("only", STORY + "only: sometimes\n", 6, "$.only: 'sometimes' is not one of stream, unary"),
    ("stop", STORY.replace("[{text: Hello}]", "[{stop: finished}]"), 5, "'finished' is not one of"),
    (
        "kind",
        STORY.replace("[{text: Hello}]", "[{error: {kind: boom}}]"),
        5,
        "$.say[0].error.kind: 'boom' is not one of",
    ),
    ("cut", STORY.replace("[{text: Hello}]", "[{cut: halfway}]"), 5, "'halfway' is not one of eof, reset"),
    ("call-id", STORY.replace("{text: Hello}", "{call: {name: w}}"), 5, "$.say[0].call: `id` is missing"),
    (
        "same-id",
        STORY.replace("{text: Hello}", "{call: {id: a, name: w}}, {call: {id: a, name: w}}"),
        5,
        "two calls have",
    ),
    ("choice", STORY.replace("user: Hi there", "user: Hi, tool_choice: any"), 4, "'any' is not one of"),
    ("choice-name", STORY.replace("user: Hi there", "user: Hi, tool_choice: {name: x}"), 4, "unknown tool 'x'"),
    ("jsonpath", STORY + 'expect: {openai-chat: {"$.[": 1}}\n', 6, "invalid JSONPath"),
    ("write", STORY + "wire: {write: 0}\n", 6, "expected at least 1 byte per write"),
    ("write-word", STORY + "wire: {write: half}\n", 6, "half"),
    ("newline", STORY + "wire: {newline: cr}\n", 6, "'cr' is not one of lf, crlf"),
    ("empty-request", STORY.replace("{user: Hi there}", "{system: s}"), 4, "the request is empty"),
    ("empty-reply", STORY.replace("[{text: Hello}]", "[]"), 5, "$.say: the reply is empty"),
    ("no-text", STORY.replace("Hi there", '""'), 4, "no user text"),
    ("orphan", STORY + "then: [{ask: {results: {c9: x}}, say: [{text: y}]}]\n", 6, "unknown call id"),
    ("first-results", STORY.replace("user: Hi there", "user: Hi, results: {a: b}"), 4, "no previous reply"),
    ("part", STORY.replace("Hi there", "[{video: x}]"), 4, "'video' is not one of text, image"),
    ("turn", STORY.replace("user: Hi there", "user: Hi, turns: [{bot: x}]"), 4, "'bot' is not one of user, assistant"),
    ("list", "- a\n- b\n", 1, "$: expected a mapping, found a list"),
    ("empty", "", 1, "the file is empty"),
    ("broken", "why: [\nsource: s\n", 3, "invalid YAML"),
    ("tab", "why: w\n\tsource: s\n", 2, "invalid YAML"),
]


@pytest.mark.parametrize(("text", "line", "words"), [pytest.param(*row[1:], id=row[0]) for row in MISTAKES])
def test_mistakes_in_a_story_file(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = folder(tmp_path, stories__bad=text)
    assert "bad" not in found.stories
    ours = [mistake for mistake in found.mistakes if mistake.file.endswith("bad.yaml")]
    assert any(mistake.line == line and words in mistake.message for mistake in ours), [
        str(mistake) for mistake in ours
    ]


PROVIDER_MISTAKES: list[tuple[str, str, int, str]] = [
    ("protocol", PROVIDER.replace("openai-chat", "openai"), 1, "'openai' is not one of"),
    ("no-auth", PROVIDER.replace("auth:", "aut:"), 4, "$.aut: unknown key; did you mean `auth`?"),
    ("header", PROVIDER.replace("authorization", "cookie"), 4, "'cookie' is not one of"),
    ("base-path", PROVIDER.replace("/v1", "v1/"), 2, "must start with a slash"),
    ("capability", PROVIDER + "capabilities: [texts]\n", 5, "did you mean `text`?"),
    ("default", PROVIDER + "default_model: other\n", 5, "is not an upstream name in `models`"),
    ("url", PROVIDER + "base_url: http://x\n", 5, "$.base_url: unknown key"),
    ("reply", PROVIDER + "replies: {nowhere: [{text: x}]}\n", 1, "replies.nowhere: unknown story"),
    ("model-type", PROVIDER.replace("{m: m}", "{m: 4}"), 3, "expected a string, found 4"),
]


@pytest.mark.parametrize(("text", "line", "words"), [pytest.param(*row[1:], id=row[0]) for row in PROVIDER_MISTAKES])
def test_mistakes_in_a_provider_file(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = folder(tmp_path, providers__openai=text)
    assert any(m.line == line and words in m.message for m in found.mistakes), [str(m) for m in found.mistakes]


STRANGERS: list[tuple[str, str, str]] = [
    ("expect", "expect: {telnet: {$.model: m}}\n", "expect: telnet is no protocol and no provider; available: "),
    ("model", "models: {openai: n}\n", "no provider openai, and none of that protocol, has the model n; available: m"),
    ("model-of-nobody", "models: {telnet: m}\n", "no provider telnet, and none of that protocol, has the model m"),
]


@pytest.mark.parametrize(("text", "words"), [pytest.param(*row[1:], id=row[0]) for row in STRANGERS])
def test_names_that_no_provider_has_are_mistakes(tmp_path: Path, text: str, words: str) -> None:
    (mistake,) = folder(tmp_path, stories__other=STORY.replace("Hi there", "Ahoy") + text).mistakes
    assert mistake.file.endswith("other.yaml")
    assert mistake.line == 6
    assert words in mistake.message


def test_opening_contained_in_another_is_a_mistake(tmp_path: Path) -> None:
    found = folder(tmp_path, stories__longer=STORY.replace("Hi there", "Hi there you"))
    (mistake,) = found.mistakes
    assert mistake.file.endswith("hi.yaml")
    assert mistake.line == 4
    assert "occurs in that of longer" in mistake.message


def test_model_of_two_providers_is_a_mistake(tmp_path: Path) -> None:
    found = folder(tmp_path, providers__other=PROVIDER)
    assert any("model m is also defined by provider openai" in mistake.message for mistake in found.mistakes)


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    found = folder(tmp_path, stories__a=STORY + "x: 1\ny: 2\n", stories__b="why: w\n", providers__p="protocol: nix\n")
    assert len(found.mistakes) >= 6


def test_empty_folder(tmp_path: Path) -> None:
    assert [mistake.message for mistake in load_scenarios(tmp_path).mistakes] == [
        "no providers: the folder contains no *.yaml"
    ]


def test_file_that_is_not_utf8_is_a_mistake(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "stories" / "bytes.yaml").write_bytes(b"why: \xff\n")
    assert any("not UTF-8" in mistake.message for mistake in load_scenarios(tmp_path).mistakes)


SCALARS: list[tuple[str, object]] = [
    ("true", True),
    ("false", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("True", "True"),
    ("14:02", "14:02"),
    ("0777", "0777"),
    ("0x10", "0x10"),
    ("1_000", "1_000"),
    ("2026-01-01", "2026-01-01"),
    ("7", 7),
    ("-7", -7),
    ("0.5", 0.5),
    ("1e3", "1e3"),
    ("null", None),
    ("~", None),
    ('"7"', "7"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_yaml_scalars(text: str, value: object) -> None:
    found = YamlDocument("f", f"a: {text}\n").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_result_without_a_call_does_not_identify_a_step() -> None:
    call = Turn("assistant", (ToolCall("c1", "w", "{}"),))
    given = Turn("user", (ToolResult("c1", (Text("mine"),)), ToolResult("c2", (Text("unrelated"),))))
    assert new_texts(Ask(turns=(Turn("user", (Text("hi"),)), call, given))) == ("hi", "mine")
