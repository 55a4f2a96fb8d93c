"""Difficulty score of a request: features in, points per part and a tier out.

Plain arithmetic on counts of the request; no model is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from ..ir import Block, Document, Image, Request, Text, ToolResult

Tier: TypeAlias = Literal["flash", "standard", "pro", "frontier"]

TIERS: tuple[Tier, ...] = ("flash", "standard", "pro", "frontier")
"""Tiers from the easiest to the hardest request; the first two go to the cheap model."""

CHEAP_TIERS: tuple[Tier, ...] = ("flash", "standard")

WEIGHTS: dict[str, float] = {
    "length": 25,
    "code": 20,
    "steps": 15,
    "questions": 5,
    "tools": 15,
    "results": 10,
    "images": 10,
    "reasoning": 25,
    "thinking": 25,
    "schema": 5,
}
"""Maximum points of each part."""

SATURATION: dict[str, float] = {
    "length": 8000,
    "code": 40,
    "steps": 6,
    "questions": 4,
    "tools": 8,
    "results": 6,
    "images": 3,
    "reasoning": 3,
    "thinking": 1,
    "schema": 1,
}
"""Value of each feature that gives the maximum points; points grow linearly up to it."""

THRESHOLDS: dict[str, float] = {"standard": 15, "pro": 35, "frontier": 70}
"""Minimum points of each tier; below all of them it is flash."""

SCANNED_CHARACTERS = 16_384
"""Characters of the last user message that are scanned for code, steps, questions and reasoning words."""

_FENCED = re.compile(r"^\s*```")
_CODE = re.compile(
    r"^\s*(?:(?:def|class|import|func|fn|public|private|const|let|var|SELECT) |from \S+ import |#include|return\b)"
    r"|[{};]\s*$"
)
_STEP = re.compile(
    r"^[ \t]*(?:\d{1,3}[.)]|[-*\u2022])[ \t]|\b(?:first|second|third|then|next|after that|finally|step \d+)\b",
    re.IGNORECASE | re.MULTILINE,
)
_REASONING = re.compile(
    r"\b(?:analy[sz]e|architecture|compare|debug|derive|design|diagnose|evaluate|explain why|infer|justify|optimi[sz]e"
    r"|plan|proof|prove|reason|refactor|root cause|step by step|trade-?offs?|why)\b",
    re.IGNORECASE,
)


class RequestFeatures(Struct, frozen=True):
    """Counts of a request that the score is computed from."""

    length: int = 0
    """Characters of user and assistant text. Instructions do not count, because trivial questions carry them too."""
    code: int = 0
    """Lines of code in the last user message."""
    steps: int = 0
    questions: int = 0
    reasoning: int = 0
    """Distinct words in the last user message that ask for reasoning."""
    tools: int = 0
    """Tool definitions."""
    results: int = 0
    """Tool results in the history."""
    images: int = 0
    """Images and documents."""
    thinking: int = 0
    """1 if reasoning of more than low effort is requested."""
    schema: int = 0
    """1 if the reply must match a JSON Schema."""


class Score(Struct, frozen=True):
    """Total points, the tier they give, and the points of each part that has any."""

    total: float
    tier: Tier
    parts: dict[str, float]


def request_features(request: Request) -> RequestFeatures:
    """Counts the features of this request."""
    length = results = images = 0
    last = ""
    for turn in request.turns:
        if turn.role not in ("user", "assistant"):
            continue
        texts = [block.text for block in turn.blocks if isinstance(block, Text)]
        length += sum(map(len, texts))
        results += sum(isinstance(block, ToolResult) for block in turn.blocks)
        images += _images(turn.blocks)
        if turn.role == "user" and texts:
            last = "\n".join(texts)
    thinking, kind = request.reasoning, request.format.kind if request.format is not None else None
    deep = thinking is not None and thinking.enabled is not False and thinking.effort not in ("none", "minimal", "low")
    return RequestFeatures(
        length=length,
        results=results,
        images=images,
        tools=len(request.tools),
        thinking=int(deep),
        schema=int(kind == "json_schema"),
        **_text_features(last[:SCANNED_CHARACTERS]),
    )


def score(features: RequestFeatures, weights: Mapping[str, float] = {}, thresholds: Mapping[str, float] = {}) -> Score:
    """Computes the score; WEIGHTS and THRESHOLDS apply to the entries that `weights` and `thresholds` lack."""
    parts = {}
    for part, full in SATURATION.items():
        points = weights.get(part, WEIGHTS[part]) * min(getattr(features, part) / full, 1)
        if points:
            parts[part] = round(points, 2)
    total = round(sum(parts.values()), 2)
    tier: Tier = "flash"
    for name in TIERS[1:]:
        if total >= thresholds.get(name, THRESHOLDS[name]):
            tier = name
    return Score(total, tier, parts)


def _images(blocks: tuple[Block, ...]) -> int:
    inner = sum(_images(block.blocks) for block in blocks if isinstance(block, ToolResult))
    return inner + sum(isinstance(block, Image | Document) for block in blocks)


def _text_features(text: str) -> dict[str, int]:
    """Counts the features of the last user message's text."""
    code, fenced = 0, False
    for line in text.split("\n"):
        if _FENCED.match(line):
            fenced = not fenced
        elif (fenced and line.strip()) or _CODE.search(line):
            code += 1
    return {
        "code": code,
        "steps": sum(1 for _ in _STEP.finditer(text)),
        "questions": text.count("?"),
        "reasoning": len({word.lower() for word in _REASONING.findall(text)}),
    }
