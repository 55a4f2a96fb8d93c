"""The pytest plugin in suites of its own: stories, SDKs, near misses, strictness, and nothing where it is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.commands import project

pytest_plugins = ["pytester"]

PLUGIN = "crosswire.conformance.plugin.fixtures"
QUIET = ("-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error", "-W", "ignore:Inheritance class:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_other_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_pytest_finds_the_plugin() -> None:
    assert project()["entry-points"]["pytest11"] == {"crosswire": PLUGIN}


SUITE = """
import pytest

CALLS = {}

def call(make):
    CALLS[make.__name__] = make
    return make

@call
def openai_chat():
    import openai
    with openai.OpenAI(max_retries=0) as sdk:
        done = sdk.chat.completions.create(model="gpt-5-nano", messages=[{"role": "user", "content": "Hi there"}])
    return done.choices[0].message.content

@call
def openai_responses():
    import openai
    with openai.OpenAI(max_retries=0) as sdk:
        return sdk.responses.create(model="gpt-5-nano", input="Hi there").output_text

@call
def anthropic():
    import anthropic
    with anthropic.Anthropic(max_retries=0) as sdk:
        done = sdk.messages.create(
            model="claude-opus-4-7", max_tokens=50, messages=[{"role": "user", "content": "Hi there"}]
        )
    return done.content[0].text

@call
def gemini():
    from google import genai
    with genai.Client() as sdk:
        return sdk.models.generate_content(model="gemini-2.5-flash", contents="Hi there").text

@call
def ollama():
    import ollama
    sdk = ollama.Client()
    try:
        return sdk.chat(model="llama3.2", messages=[{"role": "user", "content": "Hi there"}]).message.content
    finally:
        sdk._client.close()

@pytest.mark.parametrize("name", CALLS)
def test_mock(llm_mock, name):
    greeting = llm_mock.story("Hi there", "Hello from the mock.")
    assert CALLS[name]() == "Hello from the mock."
    llm_mock.assert_played(greeting, times=1)
    assert llm_mock.last.status == 200
    llm_mock.assert_asked("Hi there")
    llm_mock.assert_all_played()

@pytest.mark.parametrize("name", CALLS)
def test_proxy(llm_mock, crosswire_proxy, name):
    llm_mock.story("Hi there", ["Hello", {"stop": "end"}])
    assert CALLS[name]() == "Hello"
    (entry,) = llm_mock.requests
    assert entry.headers["host"] in llm_mock.url
"""
"""A suite that calls the five official SDKs without a word about addresses or keys."""


def test_the_official_sdks_reach_the_mock_and_the_proxy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.runpytest(*QUIET).assert_outcomes(passed=10)


CLIENT = """
import json, os, pytest
from urllib.request import Request, urlopen
from urllib.error import HTTPError

def ask(text, **more):
    body = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": text}], **more}
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]
    except HTTPError as error:
        with error:
            return error.code
"""
"""A client without a library."""


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (
            "llm_mock.story('Hello you', 'a'); ask('Hello them'); llm_mock.assert_asked('Hello you')",
            ["*no request has the text 'Hello you'*the nearest is 'Hello them'*first difference at character 6*"],
        ),
        (
            "llm_mock.story('Hello you', 'a', name='hello'); ask('Hello them'); llm_mock.assert_played('hello')",
            ["*the story hello was played 0 times*", "*400: no story matches*nearest: hello*first difference*"],
        ),
        (
            "llm_mock.story('a b', 'c', name='two', then=[('d e', 'f')]); ask('a b'); llm_mock.assert_all_played()",
            ["*not played: two, exchange 2*"],
        ),
        (
            "llm_mock.story('Hello you', 'a'); assert ask('Hello them') == 'a'",
            ["*Captured llm_mock teardown*", "*nearest: story-1*first difference at character 6*"],
        ),
        ("llm_mock.story('', 'a')", ["*no user text*"]),
        ("llm_mock.story('Hi', [{'sing': 'a'}])", ["*unknown item*"]),
        ("llm_mock.story('Hi', 'a'); llm_mock.story('Hi you', 'b')", ["*could match both*"]),
        ("llm_mock.last", ["*no request reached the mock*"]),
    ],
)
def test_what_goes_wrong_is_told(pytester: pytest.Pytester, test: str, told: list[str]) -> None:
    pytester.makepyfile(f"{CLIENT}\ndef test_it(llm_mock):\n    {test}\n")
    done = pytester.runpytest(*QUIET)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(told)


def test_stories_come_from_files_and_each_test_has_a_journal_of_its_own(pytester: pytest.Pytester) -> None:
    head = "why: w\nsource: s\nneeds: [text]\n"
    (pytester.path / "stories").mkdir()
    (pytester.path / "stories/tea.yaml").write_text(f'{head}ask: {{user: "Tea?"}}\nsay: [{{text: Yes}}]\n')
    busy = "{error: {kind: rate_limit}, times: 1}"
    (pytester.path / "one.yaml").write_text(f'{head}ask: {{user: "Milk?"}}\nsay: [{busy}, {{text: No}}]\n')
    pytester.makepyfile(
        CLIENT
        + """
@pytest.mark.llm_stories("stories", "one.yaml")
@pytest.mark.parametrize("again", [1, 2])
def test_files(llm_mock, again):
    assert [ask("Tea?"), ask("Milk?"), ask("Milk?")] == ["Yes", 429, "No"]
    assert [entry.story for entry in llm_mock.requests] == ["tea", "one", "one"]

def test_none(llm_mock):
    assert llm_mock.requests == []
    assert llm_mock.stories == {}

@pytest.mark.llm_mock(environment=False)
def test_environment(llm_mock, monkeypatch):
    assert os.environ.get("OPENAI_BASE_URL") != llm_mock.base_url("openai")

@pytest.mark.crosswire_config(aliases={"small": "gpt-5-nano"})
def test_config(llm_mock, crosswire_proxy):
    llm_mock.story("Hi there", "Hello")
    assert ask("Hi there", model="small") == "Hello"
    assert llm_mock.last.body["model"] == "gpt-5-nano"
"""
    )
    pytester.runpytest(*QUIET, "--strict-markers").assert_outcomes(passed=5)


def test_strict_fails_a_test_whose_request_was_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENT
        + """
@pytest.mark.llm_mock(strict=True)
def test_refused(llm_mock):
    llm_mock.story("Hi there", "Hello")
    assert ask("Hi there", max_token=3) == 400

@pytest.mark.llm_mock(strict=True)
def test_fine(llm_mock):
    llm_mock.story("Hi there", "Hello")
    assert ask("Hi there") == "Hello"
"""
    )
    done = pytester.runpytest(*QUIET)
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["*refused by openai-chat/*max_token*"])


def test_a_suite_that_does_not_use_it_loads_nothing_for_it() -> None:
    code = (
        "import sys, crosswire.conformance.plugin.fixtures; "
        "print(sorted(name for name in sys.modules if name.startswith(('crosswire.', 'aiohttp', 'msgspec', 'yaml'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    expected = ["crosswire.conformance", "crosswire.conformance.plugin", "crosswire.conformance.plugin.fixtures"]
    assert done.stdout.strip() == str(expected)
