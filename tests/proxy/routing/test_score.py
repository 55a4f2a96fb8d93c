"""The score: what is counted of a request, the points of each part, and the tier."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ir import Format, Image, Media, Request, Text, Thinking, Tool, ToolCall, ToolResult, Turn
from proxy.routing import THRESHOLDS, TIERS, WEIGHTS, Shape, score, shape_of
from proxy.routing.score import FULL


def said(text: str, **fields: Any) -> Request:
    return Request(dialect="anthropic", model="auto", turns=(Turn("user", (Text(text),)),), **fields)


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
        pytest.param(said("x", reasoning=Thinking(effort="high")), {"length": 1, "thinking": 1}, id="thinking"),
        pytest.param(said("x", reasoning=Thinking(effort="low")), {"length": 1}, id="little thinking"),
        pytest.param(said("x", reasoning=Thinking(enabled=False)), {"length": 1}, id="no thinking"),
        pytest.param(said("x", reasoning=Thinking(budget=4000)), {"length": 1, "thinking": 1}, id="a budget"),
        pytest.param(said("x", format=Format("json_schema")), {"length": 1, "schema": 1}, id="a schema"),
        pytest.param(
            Request(
                dialect="gemini",
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
def test_shape(request_: Request, counted: dict[str, int]) -> None:
    assert shape_of(request_) == Shape(**counted)


@pytest.mark.parametrize(
    ("shape", "total", "tier", "parts"),
    [
        pytest.param(Shape(), 0, "flash", {}, id="nothing"),
        pytest.param(Shape(length=800), 2.5, "flash", {"length": 2.5}, id="a tenth of full"),
        pytest.param(Shape(length=8000), 25, "standard", {"length": 25}, id="full"),
        pytest.param(Shape(length=80_000), 25, "standard", {"length": 25}, id="never more than full"),
        pytest.param(Shape(length=8000, tools=8), 40, "pro", {"length": 25, "tools": 15}, id="two parts"),
        pytest.param(Shape(thinking=1, reasoning=3, code=40), 70, "frontier",
                     {"code": 20, "reasoning": 25, "thinking": 25}, id="hard"),
    ],
)  # fmt: skip
def test_score(shape: Shape, total: float, tier: str, parts: dict[str, float]) -> None:
    found = score(shape)
    assert (found.total, found.tier, found.parts) == (total, tier, parts)


def test_single_weights_and_thresholds() -> None:
    shape = Shape(length=8000, thinking=1)
    assert score(shape, {"length": 0}).parts == {"thinking": 25}
    assert score(shape, {}, {"frontier": 50}).tier == "frontier"
    assert score(shape, {"length": 100}).total == 125


def test_the_tables_speak_of_the_same_parts() -> None:
    assert set(WEIGHTS) == set(FULL) == set(Shape.__struct_fields__)
    assert tuple(THRESHOLDS) == TIERS[1:]
    assert list(THRESHOLDS.values()) == sorted(THRESHOLDS.values())


shapes = st.builds(Shape, **{part: st.integers(0, int(full * 2)) for part, full in FULL.items()})


@given(shapes, st.sampled_from(list(FULL)), st.integers(1, 1000))
def test_more_of_anything_never_asks_for_less(shape: Shape, part: str, more: int) -> None:
    grown = Shape(**{name: getattr(shape, name) + (more if name == part else 0) for name in FULL})
    before, after = score(shape), score(grown)
    assert after.total >= before.total
    assert TIERS.index(after.tier) >= TIERS.index(before.tier)
    assert before.total == pytest.approx(sum(before.parts.values()))
    assert 0 <= before.total <= sum(WEIGHTS.values())


@given(st.text())
def test_any_text_has_a_shape(text: str) -> None:
    found = shape_of(said(text))
    assert found.length == len(text)
    assert all(getattr(found, part) >= 0 for part in FULL)
