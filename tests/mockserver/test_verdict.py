"""Verdicts on clients: each way to behave, and the command with a careful client and a careless one."""

from __future__ import annotations

import json
import sys

import pytest

from crosswire.mockserver.__main__ import main
from crosswire.mockserver.verdict import JUDGES, Seen, Trial, judge
from crosswire.mockserver.verdict_command import verdict_scenarios

ONE = (Seen(0.0, 0.1, 200),)

CASES: dict[str, tuple[Trial, str, str]] = {
    "waited": (Trial("retry-after", (Seen(0, 0.1, 429), Seen(2.2, 2.3, 200)), 0, 3), "good", "waited 2.1 s"),
    "did not wait": (
        Trial("retry-after", (Seen(0, 0.1, 429), Seen(0.6, 0.7, 200)), 0, 1),
        "bad",
        "ignored retry-after: asked again after 0.5 s",
    ),
    "told the limit": (Trial("retry-after", (Seen(0, 0.1, 429),), 1, 1), "good", "did not ask again"),
    "took half": (Trial("truncated", ONE, 0, 1), "bad", "accepted a truncated answer"),
    "told of half": (Trial("truncated", ONE * 3, 1, 1), "good", "after 3 requests"),
    "asked again in vain": (Trial("refused", ONE * 3, 1, 1), "bad", "retried what cannot succeed: 3 requests"),
    "passed over the refusal": (Trial("refused", ONE, 0, 1), "bad", "its request was refused"),
    "asked once": (Trial("refused", ONE, 1, 1), "good", "asked once"),
    "waits for ever": (Trial("silent", ONE, None, 9), "bad", "has no read timeout: it still waited after 9.0 s"),
    "made up an answer": (Trial("silent", ONE, 0, 9), "bad", "there was no answer"),
    "gave up": (Trial("silent", ONE * 2, 1, 9), "good", "gave up after 9.0 s and 2 requests"),
    "passed over the error": (Trial("error-in-stream", ONE, 0, 1), "bad", "ignored an error in band"),
    "told of the error": (Trial("error-in-stream", ONE, 1, 1), "good", "after 1 request"),
    "asked something else": (Trial("refused", (), 0, 1), "untried", "no request with the text"),
    "hung": (Trial("truncated", ONE, None, 9), "bad", "had to be ended after 9.0 s"),
}


@pytest.mark.parametrize(("trial", "outcome", "why"), CASES.values(), ids=CASES)
def test_each_way_to_behave(trial: Trial, outcome: str, why: str) -> None:
    found = judge(trial)
    assert (found.story, found.outcome) == (trial.story, outcome)
    assert why in found.why


def test_every_story_has_a_judge_and_is_valid() -> None:
    assert list(verdict_scenarios().stories) == list(JUDGES)


CLIENT = """
import json, os, sys
from urllib.request import Request, urlopen
careful = sys.argv[2] == "careful"
body = {"model": "gpt-5-nano", "stream": True, "messages": [{"role": "user", "content": sys.argv[1]}]}
headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
for _ in range(1 if careful else 2):
    try:
        text = urlopen(Request(url, json.dumps(body).encode(), headers)).read().decode()
        sys.exit(careful and "[DONE]" not in text)
    except OSError:
        pass
sys.exit(1)
"""


@pytest.mark.parametrize(("kind", "outcome"), [("careful", "good"), ("careless", "bad")])
def test_the_command_judges_a_client(kind: str, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--", sys.executable, "-c", CLIENT, "{prompt}", kind]
    stories = ["truncated", "refused"]
    for story in stories:
        assert main(["verdict", "--json", "--story", story, *command]) == (outcome == "bad")
        (found,) = json.loads(capsys.readouterr().out)
        assert (found["story"], found["outcome"]) == (story, outcome)


def test_a_client_that_never_asks_the_mock_is_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdict", "--story", "refused", "--", sys.executable, "-c", ""]) == 2
    assert "Nothing was judged. Does the client ask {prompt}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--story", "nothing", "--", "true"], ["--", "/no/such/program"]])
def test_a_wrong_call_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdict", *arguments]) == 2
    assert capsys.readouterr().err
