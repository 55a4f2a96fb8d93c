"""Tests of fitting a request to its model: what is taken away or replaced, what stays, and the losses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import (
    How,
    Loss,
    ReasoningConfig,
    Request,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from crosswire.proxy.ir.model_fit import fitted, nearest_effort
from crosswire.proxy.traits import EFFORTS, traits_of

TURNS = (Turn("system", (Text("be brief"),)), Turn("user", (Text("hi"),)))
TOOL = Tool("f")


def asked(**fields: Any) -> Request:
    return Request(protocol="x", model="m", turns=TURNS, **fields)


def low(effort: str | None = None, **fields: Any) -> ReasoningConfig:
    return ReasoningConfig(effort, **fields)


PROBABILITIES = {"logprobs": "logprobs", "top_logprobs": "logprobs", "logit_bias": "logit_bias"}
GONE: How = "dropped"
LESS = [Loss("reasoning", "reasoning", "approximated")]
SHORTER = [Loss("max_tokens", "max_tokens", "approximated")]
Case = tuple[str, dict[str, Any], dict[str, Any], list[Loss]]
CASES: dict[str, Case] = {
    "sampling that the model refuses": (
        "gpt-5-mini",
        {"sampling": Sampling(0, 0.9, presence_penalty=1, seed=7)},
        {"sampling": Sampling(seed=7)},
        [
            Loss("sampling.temperature", "temperature", GONE),
            Loss("sampling.top_p", "top_p", GONE),
            Loss("sampling.presence_penalty", "penalties", GONE),
        ],
    ),
    "the model's own values are no loss": (
        "gpt-5", {"sampling": Sampling(1, 1, frequency_penalty=0)}, {"sampling": Sampling()}, [],
    ),
    "sampling without thinking": (
        "gpt-5.1", {"sampling": Sampling(0.2)}, {"sampling": Sampling(0.2)}, [],
    ),
    "sampling while it thinks": (
        "gpt-5.1",
        {"sampling": Sampling(0.2), "reasoning": low("low")},
        {"sampling": Sampling()},
        [Loss("sampling.temperature", "temperature", GONE)],
    ),
    "sampling with thinking switched off": (
        "gpt-5.5", {"sampling": Sampling(0.2), "reasoning": low("none")}, {"sampling": Sampling(0.2)}, [],
    ),
    "stop sequences, at which the proxy cuts": ("o3", {"stop": ("a",)}, {"stop": ("a",)}, []),
    "probabilities": (
        "gpt-5",
        {"extra": {"logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 2}, "store": True}},
        {"extra": {"store": True}},
        [Loss(key, word, GONE) for key, word in PROBABILITIES.items()],
    ),
    "an effort that the model lacks": (
        "gpt-5.1", {"reasoning": low("minimal")}, {"reasoning": low("low")}, LESS,
    ),
    "no thinking where it cannot be switched off": (
        "gpt-5", {"reasoning": low("none")}, {"reasoning": low("minimal")},
        LESS,
    ),
    "a model that never thinks": (
        "gpt-5-chat-latest", {"reasoning": low("high")}, {"reasoning": None}, [Loss("reasoning", "reasoning", GONE)],
    ),
    "a budget for a model of levels": (
        "gpt-5.2", {"reasoning": low(budget=300)}, {"reasoning": low("low")}, LESS,
    ),
    "a switch of its own": ("claude-opus-4-7", {"reasoning": low("none")}, {"reasoning": low("none")}, []),
    "a forced call": (
        "claude-opus-5-5",
        {"tools": (TOOL,), "tool_choice": ToolChoice("named", ("f",))},
        {"tool_choice": ToolChoice("auto")},
        [Loss("tool_choice", "tool_choice", "approximated")],
    ),
    "a longer answer than the model gives": (
        "claude-sonnet-4-5", {"max_tokens": 100_000}, {"max_tokens": 64_000}, SHORTER,
    ),
    "a role that the model lacks": (
        "o1-mini",
        {},
        {"turns": (Turn("user", TURNS[0].blocks), TURNS[1])},
        [Loss("turns[0]", "role", "approximated")],
    ),
    "a model of which nothing is known": ("m", {"sampling": Sampling(0), "stop": ("a",)}, {"stop": ("a",)}, []),
}  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "expected", "losses"), CASES.values(), ids=CASES)
def test_a_request_is_fitted(model: str, fields: dict[str, Any], expected: dict[str, Any], losses: list[Loss]) -> None:
    found, lost = fitted(asked(**fields), traits_of(model))
    assert {name: getattr(found, name) for name in expected} == expected
    assert lost == losses


BESIDE_TOOLS = [
    ("gpt-5.6-terra", low("high"), low("none"), True),
    ("gpt-5.6-terra", None, low("none"), True),
    ("gpt-5.6-terra", low("none"), low("none"), False),
    ("gpt-5.4", low("high"), None, True),
    ("gpt-5.4", None, None, False),
    ("gpt-5", low("high"), low("high"), False),
]


@pytest.mark.parametrize(("model", "given", "sent", "lost"), BESIDE_TOOLS)
def test_effort_beside_tools(
    model: str, given: ReasoningConfig | None, sent: ReasoningConfig | None, lost: bool
) -> None:
    request = asked(reasoning=given, tools=(TOOL,))
    found, losses = fitted(request, traits_of(model), is_chat=True)
    assert (found.reasoning, bool(losses)) == (sent, lost)
    assert fitted(request, traits_of(model))[0] is request  # the other wire takes both
    assert fitted(asked(reasoning=given), traits_of(model), is_chat=True)[1] == []  # and so does a chat without tools


def test_a_request_that_fits_is_the_same() -> None:
    request = asked(reasoning=low("high"), max_tokens=5)
    assert fitted(request, traits_of("gpt-5"))[0] is request


NEAR = [
    ("minimal", ("low", "high"), "low"),
    ("medium", ("low", "high"), "high"),
    ("xhigh", ("low", "medium", "high", "max"), "high"),
    ("max", ("none", "low", "medium"), "medium"),
    ("none", ("minimal", "low"), "minimal"),
    ("low", ("none", "high"), "high"),
    ("high", ("none", "default"), "default"),
    ("heroic", ("low",), "heroic"),
]


@pytest.mark.parametrize(("wanted", "efforts", "found"), NEAR)
def test_the_nearest_effort(wanted: str, efforts: tuple[str, ...], found: str) -> None:
    assert nearest_effort(wanted, efforts) == found


@given(st.sampled_from(EFFORTS), st.sets(st.sampled_from(EFFORTS), min_size=1))
def test_an_effort_is_one_that_the_model_knows(wanted: str, efforts: set[str]) -> None:
    found = nearest_effort(wanted, efforts)
    assert found in efforts or efforts == {"none"}
    if wanted in efforts:
        assert found == wanted
