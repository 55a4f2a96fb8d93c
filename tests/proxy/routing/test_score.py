"""Tests of the score: features of a request, points of each part, and tiers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import (
    Image,
    Media,
    ReasoningConfig,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from crosswire.proxy.routing import THRESHOLDS, TIERS, WEIGHTS, RequestFeatures, request_features, score
from crosswire.proxy.routing.score import SATURATION


def said(text: str, **fields: Any) -> Request:
    return Request(protocol="anthropic", model="auto", turns=(Turn("user", (Text(text),)),), **fields)


CODE = "Mend this:\n```python\ndef f(x):\n    return x + 1\n\n```\nPlease."
IMAGE = Image(Media(mime="image/png", data="iVBORw0KGgo="))


@pytest.mark.parametrize(
    ("request_", "counted"),
    [
        pytest.param(said("Hello"), {"length": 5}, id="a greeting"),
        pytest.param(said(""), {}, id="nothing"),
        pytest.param(said(CODE), {"length": len(CODE), "code": 2}, id="code between fences"),
        pytest.param(said("int x = 1;\nreturn x;"), {"length": 20, "code": 2}, id="code without fences"),
        pytest.param(
            said("1. wash\n2. cut\n- cook, then serve"), {"length": 33, "steps": 4}, id="steps as a list and as a word"
        ),
        pytest.param(said("Who? When?"), {"length": 10, "questions": 2}, id="questions"),
        pytest.param(
            said("Prove it, prove it: why?"), {"length": 24, "reasoning": 2, "questions": 1}, id="each word once"
        ),
        pytest.param(said("x", tools=(Tool("a"), Tool("b"))), {"length": 1, "tools": 2}, id="tools"),
        pytest.param(said("x", reasoning=ReasoningConfig(effort="high")), {"length": 1, "thinking": 1}, id="thinking"),
        pytest.param(said("x", reasoning=ReasoningConfig(effort="low")), {"length": 1}, id="little thinking"),
        pytest.param(said("x", reasoning=ReasoningConfig(enabled=False)), {"length": 1}, id="no thinking"),
        pytest.param(said("x", reasoning=ReasoningConfig(budget=4000)), {"length": 1, "thinking": 1}, id="a budget"),
        pytest.param(said("x", format=ResponseFormat("json_schema")), {"length": 1, "schema": 1}, id="a schema"),
        pytest.param(
            Request(
                protocol="gemini",
                model="auto",
                turns=(
                    Turn("system", (Text("You are a long instruction. Why? Prove it." * 50),)),
                    Turn("user", (Text("Compare both."), IMAGE)),
                    Turn("assistant", (Text("Let me see."), ToolCall("1", "look"))),
                    Turn("user", (ToolResult("1", (Text("here"), IMAGE)),)),
                ),
            ),
            {"length": 24, "reasoning": 1, "results": 1, "images": 2},
            id="a history",
        ),
    ],
)
def test_request_features(request_: Request, counted: dict[str, int]) -> None:
    assert request_features(request_) == RequestFeatures(**counted)


@pytest.mark.parametrize(
    ("features", "total", "tier", "parts"),
    [
        pytest.param(RequestFeatures(), 0, "flash", {}, id="nothing"),
        pytest.param(RequestFeatures(length=800), 2.5, "flash", {"length": 2.5}, id="a tenth of full"),
        pytest.param(RequestFeatures(length=8000), 25, "standard", {"length": 25}, id="full"),
        pytest.param(RequestFeatures(length=80_000), 25, "standard", {"length": 25}, id="never more than full"),
        pytest.param(RequestFeatures(length=8000, tools=8), 40, "pro", {"length": 25, "tools": 15}, id="two parts"),
        pytest.param(RequestFeatures(thinking=1, reasoning=3, code=40), 70, "frontier",
                     {"code": 20, "reasoning": 25, "thinking": 25}, id="hard"),
    ],
)  # fmt: skip
def test_score(features: RequestFeatures, total: float, tier: str, parts: dict[str, float]) -> None:
    found = score(features)
    assert (found.total, found.tier, found.parts) == (total, tier, parts)


def test_single_weights_and_thresholds() -> None:
    features = RequestFeatures(length=8000, thinking=1)
    assert score(features, {"length": 0}).parts == {"thinking": 25}
    assert score(features, {}, {"frontier": 50}).tier == "frontier"
    assert score(features, {"length": 100}).total == 125


def test_the_tables_have_the_same_parts() -> None:
    assert set(WEIGHTS) == set(SATURATION) == set(RequestFeatures.__struct_fields__)
    assert tuple(THRESHOLDS) == TIERS[1:]
    assert list(THRESHOLDS.values()) == sorted(THRESHOLDS.values())


shapes = st.builds(RequestFeatures, **{part: st.integers(0, int(full * 2)) for part, full in SATURATION.items()})


@given(shapes, st.sampled_from(list(SATURATION)), st.integers(1, 1000))
def test_property_the_score_is_monotonic(features: RequestFeatures, part: str, more: int) -> None:
    grown = RequestFeatures(**{name: getattr(features, name) + (more if name == part else 0) for name in SATURATION})
    before, after = score(features), score(grown)
    assert after.total >= before.total
    assert TIERS.index(after.tier) >= TIERS.index(before.tier)
    assert before.total == pytest.approx(sum(before.parts.values()))
    assert 0 <= before.total <= sum(WEIGHTS.values())


@given(st.text())
def test_property_any_text_has_features(text: str) -> None:
    found = request_features(said(text))
    assert found.length == len(text)
    assert all(getattr(found, part) >= 0 for part in SATURATION)
