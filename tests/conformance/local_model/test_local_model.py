"""The local model's expectations cover every story, and its checks find wrong tool calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.conformance.comparison import WRONG, Difference
from crosswire.conformance.harness.testbed import HttpResponse
from crosswire.conformance.local_model.checks import check_implied_local_losses, check_local_losses, tool_call_errors
from crosswire.conformance.local_model.expectations import PLAYS, REFUSES, read_local_expectations
from crosswire.conformance.local_model.template_request import template_differences
from crosswire.conformance.matrix.result import Cell, Lost, Result, Step, Transcript
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.model import NamedTool, Text, Tool, ToolCall, Turn

ROOT = Path(__file__).parents[3]
STORIES = load_scenarios(ROOT / "scenarios").stories
EXPECTATIONS = read_local_expectations()


@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if story.proxy is None])
def test_every_story_is_played_or_has_one_reason(name: str) -> None:
    assert len(EXPECTATIONS.status_of(STORIES[name])) == 1


def test_every_glob_names_a_story_and_every_refusal_a_need() -> None:
    plays = [EXPECTATIONS.status_of(story) for story in STORIES.values()]
    assert [PLAYS] in plays
    assert [REFUSES] in plays
    for entry in (
        *EXPECTATIONS.cannot,
        *(replace(EXPECTATIONS.cannot[0], stories=(glob,)) for glob in EXPECTATIONS.plays),
    ):
        for glob in entry.stories:
            one = replace(EXPECTATIONS, plays=(), cannot=(replace(entry, stories=(glob,)),))
            assert any(one.status_of(story) == [entry.why] for story in STORIES.values()), glob


WEATHER = Tool(
    "weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
REQUEST = ParsedRequest(tools=(WEATHER,))
CALL = ToolCall("call_1", "weather", '{"city": "Oslo"}')

ERRORS: dict[str, tuple[ParsedRequest, bool, tuple[ToolCall | Text, ...], str, str]] = {
    "text in place of a call": (REQUEST, True, (Text("Hello"),), "end", "expected a tool call"),
    "a call without tools": (ParsedRequest(), False, (CALL,), "tool", "no tool call is allowed"),
    "a call against the choice": (
        replace(REQUEST, tool_choice="none"),
        False,
        (CALL,),
        "tool",
        "no tool call is allowed",
    ),
    "another stop reason": (REQUEST, True, (CALL,), "end", "the stop reason end"),
    "a duplicate id": (REQUEST, True, (CALL, CALL), "tool", "two calls have the same id"),
    "two calls where one is allowed": (
        replace(REQUEST, parallel=False),
        True,
        (CALL, replace(CALL, id="call_2")),
        "tool",
        "2 calls, only one is allowed",
    ),
    "another tool": (replace(REQUEST, tool_choice=NamedTool("clock")), True, (CALL,), "tool", "expected clock"),
    "free text for a function": (REQUEST, True, (replace(CALL, kind="custom"),), "tool", "it is a function tool"),
    "a tool of another group": (REQUEST, True, (replace(CALL, namespace="port"),), "tool", "not among the tools"),
    "arguments that lack a key": (REQUEST, True, (replace(CALL, arguments="{}"),), "tool", "do not match its schema"),
    "arguments that are not JSON": (
        REQUEST,
        True,
        (replace(CALL, arguments='{"city'),),
        "tool",
        "do not match its schema",
    ),
}


@pytest.mark.parametrize(("sent", "call_expected", "blocks", "stop", "error"), ERRORS.values(), ids=list(ERRORS))
def test_wrong_calls_are_found(
    sent: ParsedRequest, call_expected: bool, blocks: tuple[ToolCall | Text, ...], stop: str, error: str
) -> None:
    calls = [block for block in blocks if isinstance(block, ToolCall)]
    assert any(
        error in found for found in tool_call_errors(calls, sent, call_expected, ParsedReply(blocks=blocks, stop=stop))
    )


NOTE = Tool("weather", kind="custom", namespace="port")
"""A custom tool of a group, with the name of a tool outside."""


@pytest.mark.parametrize("call", [CALL, ToolCall("call_2", "weather", "rain", kind="custom", namespace="port")])
def test_a_right_call_passes(call: ToolCall) -> None:
    sent = replace(REQUEST, tools=(WEATHER, NOTE))
    assert list(tool_call_errors([call], sent, True, ParsedReply(blocks=(call,), stop="tool"))) == []


# ---- losses ----------------------------------------------------------------------------------------------------------

SENT = ParsedRequest(model="m", turns=(Turn("user", (Text("Hello"),)),), tools=(WEATHER,), max_tokens=9, stop=("x",))
GIVEN: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": WEATHER.parameters}}],
    "calls": "auto",
    "callable": ["weather"],
    "max_tokens": 9,
    "stop": ["x"],
}

GIVENS: dict[str, tuple[ParsedRequest, dict[str, Any], set[str]]] = {
    "all of it": (SENT, {}, set()),
    "another text": (SENT, {"messages": [{"role": "user", "content": "Hullo"}]}, {WRONG}),
    "no tools": (SENT, {"tools": [], "calls": "none", "callable": []}, {WRONG}),
    "another bound": (SENT, {"max_tokens": 8}, {WRONG}),
    "a call that must be": (SENT, {"calls": "required"}, {"tool_choice"}),
    "thinking for an effort": (replace(SENT, reasoning="high"), {"thinking": True}, {"reasoning"}),
    "no user": (replace(SENT, user="u1"), {}, {"user"}),
    "no seed": (replace(SENT, sampling={"seed": 3}), {}, {"seed"}),
    "a field of one protocol": (replace(SENT, extra={"$.store": True}), {}, {"store"}),
}


@pytest.mark.parametrize(("sent", "keys", "features"), GIVENS.values(), ids=list(GIVENS))
def test_the_templates_input_is_compared(sent: ParsedRequest, keys: dict[str, Any], features: set[str]) -> None:
    found = template_differences(sent, CLIENTS["openai-chat"], {**GIVEN, **keys})
    assert {difference.feature for difference in found} == features


USER = Lost("request", "user", "p")

LOSSES: dict[str, tuple[list[str], list[str], str | None]] = {
    "none": ([], [], None),
    "declared and allowed": (["user"], ["user"], None),
    "undeclared": (["user"], [], "undeclared loss user"),
    "declared and not there": ([], ["user"], "a loss was declared that did not happen: user"),
    "not allowed": (["logprobs"], ["logprobs"], "is not allowed by expectations.yaml"),
    "of the reply": ([], ["citations"], None),
    "wrong": ([WRONG], [], "sent 1, received 2"),
}


@pytest.mark.parametrize(("missing", "declared", "fault"), LOSSES.values(), ids=list(LOSSES))
def test_losses_are_those_that_are_declared(missing: list[str], declared: list[str], fault: str | None) -> None:
    result = Result(Cell("openai-chat", "mlx", "text", False))
    response = HttpResponse(200, {"x-crosswire-loss": ",".join(declared)}, b"", False)
    record = {"losses": [{"feature": word, "path": "p", "how": "dropped"} for word in declared]}
    step = Step(Transcript("", "", "", ""), ParsedReply(), response, record)
    check_local_losses(result, step, [Difference(word, "p", 1, 2) for word in missing], [USER], {"citations"})
    assert (fault is None and result.reasons == []) or any(str(fault) in reason for reason in result.reasons)


def test_a_loss_that_a_rule_implies_must_happen() -> None:
    result = Result(Cell("openai-chat", "mlx", "text", False), lost=[USER])
    check_implied_local_losses(result, [USER])
    assert result.reasons == []
    check_implied_local_losses(result, [USER, Lost("request", "store", "$.store")])
    assert "$.store" in result.reasons[0]
    assert "did not happen" in result.reasons[0]
