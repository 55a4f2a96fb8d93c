"""How much a request asks of a model: what it is made of in, a score with its parts and a tier out.

Pure arithmetic that a person can follow, on words of the request; it knows no backend and asks no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from ..ir import Block, Document, Image, Request, Text, ToolResult

Tier: TypeAlias = Literal["flash", "standard", "pro", "frontier"]

TIERS: tuple[Tier, ...] = ("flash", "standard", "pro", "frontier")
"""From the least to the most that a request may ask; the first two are for the cheap model."""

CHEAP: tuple[Tier, ...] = ("flash", "standard")

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
"""The points of each part at its fullest."""

FULL: dict[str, float] = {
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
"""How much of it makes a part full; half of it gives half of the points."""

THRESHOLDS: dict[str, float] = {"standard": 15, "pro": 35, "frontier": 70}
"""The points from which on a tier begins; what is below all of them is flash."""

READ = 16_384
"""Characters of the client's last words in which code, steps and words are looked for."""

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


class Shape(Struct, frozen=True):
    """What a request is made of, as far as the score looks at it: a count of each part."""

    length: int = 0
    """Characters that user and assistant said. Instructions do not count: they are there for the least question too."""
    code: int = 0
    """Lines of code in the client's last words."""
    steps: int = 0
    questions: int = 0
    reasoning: int = 0
    """Different words in the client's last words that ask for thinking."""
    tools: int = 0
    """Tools on offer."""
    results: int = 0
    """Results of tools in the history."""
    images: int = 0
    """Images and documents."""
    thinking: int = 0
    """1 where the client asks for more thinking than a little."""
    schema: int = 0
    """1 where the answer must fit a schema."""


class Score(Struct, frozen=True):
    """The points in all and of each part that has any, and the tier that they amount to."""

    total: float
    tier: Tier
    parts: dict[str, float]


def shape_of(request: Request) -> Shape:
    """What this request is made of."""
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
    return Shape(
        length=length,
        results=results,
        images=images,
        tools=len(request.tools),
        thinking=int(deep),
        schema=int(kind == "json_schema"),
        **_words(last[:READ]),
    )


def score(shape: Shape, weights: Mapping[str, float] = {}, thresholds: Mapping[str, float] = {}) -> Score:
    """The points of this shape; what `weights` and `thresholds` leave out is as the tables have it."""
    parts = {}
    for part, full in FULL.items():
        points = weights.get(part, WEIGHTS[part]) * min(getattr(shape, part) / full, 1)
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


def _words(text: str) -> dict[str, int]:
    """What only reading the client's words shows."""
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
