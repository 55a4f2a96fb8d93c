"""Claude models by family: the kinds of thinking, the efforts and the fields that each takes."""

from __future__ import annotations

import re

from msgspec import Struct

from ..rule import TODAY

EVERY_EFFORT = ("low", "medium", "high", "xhigh", "max")

MIGRATION = "https://platform.claude.com/docs/en/about-claude/models/migration-guide"
EFFORT = "https://platform.claude.com/docs/en/build-with-claude/effort"
MODELS = "https://platform.claude.com/docs/en/about-claude/models/overview"
PROBED = "https://github.com/elizaOS/eliza/pull/16175"
FORCED = "https://github.com/can1357/oh-my-pi/issues/12939"


class ClaudeModel(Struct, frozen=True, kw_only=True):
    """Traits of one family of models; a model of no family takes everything.

    `budget`, `adaptive` and `off` are the kinds of thinking (`enabled`, `adaptive`, `disabled`), `efforts` the values
    of the effort, `max_tokens` the most that may be asked for. `sampling` is whether sampling fields may differ from
    their defaults, `both_sampling` whether temperature and top_p may come together, `prefill` whether a request may
    end with a turn of the assistant, `forced_tools` whether `tool_choice` may force a call. `off_below` is the effort
    from which on thinking cannot be switched off.
    """

    name: re.Pattern[str]
    max_tokens: int
    source: str = MIGRATION
    checked: str = TODAY
    budget: bool = True
    adaptive: bool = True
    off: bool = True
    off_below: str | None = None
    efforts: tuple[str, ...] = EVERY_EFFORT
    sampling: bool = True
    both_sampling: bool = False
    prefill: bool = False
    forced_tools: bool = True


def _family(pattern: str) -> re.Pattern[str]:
    """Compiles a family's pattern: the whole name, a dated snapshot of it, or `-latest`."""
    return re.compile(rf"claude-(?:{pattern})(?:-latest|-\d{{8}})?$")


FAMILIES: tuple[ClaudeModel, ...] = (
    ClaudeModel(
        name=_family(r"3(?:-5)?-\w+"),
        max_tokens=8192,
        budget=False,
        adaptive=False,
        efforts=(),
        both_sampling=True,
        prefill=True,
        source=MODELS,
    ),
    ClaudeModel(
        name=_family(r"3-7-sonnet"),
        max_tokens=128_000,
        adaptive=False,
        efforts=(),
        both_sampling=True,
        prefill=True,
        source=MODELS,
    ),
    ClaudeModel(
        name=_family(r"sonnet-4(?:-0)?"),
        max_tokens=64_000,
        adaptive=False,
        efforts=(),
        both_sampling=True,
        prefill=True,
    ),
    ClaudeModel(
        name=_family(r"opus-4(?:-0)?"), max_tokens=32_000, adaptive=False, efforts=(), both_sampling=True, prefill=True
    ),
    ClaudeModel(name=_family(r"opus-4-1"), max_tokens=32_000, adaptive=False, efforts=(), prefill=True),
    ClaudeModel(
        name=_family(r"(?:sonnet|haiku)-4-5"),
        max_tokens=64_000,
        adaptive=False,
        efforts=(),
        prefill=True,
        source=PROBED,
    ),
    ClaudeModel(
        name=_family(r"opus-4-5"),
        max_tokens=64_000,
        adaptive=False,
        efforts=("low", "medium", "high"),
        prefill=True,
        source=EFFORT,
    ),
    ClaudeModel(
        name=_family(r"(?:opus|sonnet)-4-6"),
        max_tokens=128_000,
        efforts=("low", "medium", "high", "max"),
        source="https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6",
    ),
    ClaudeModel(name=_family(r"opus-4-[78]|sonnet-5"), max_tokens=128_000, budget=False, sampling=False),
    ClaudeModel(
        name=_family(r"opus-5|haiku-5-5"),
        max_tokens=128_000,
        budget=False,
        sampling=False,
        off_below="xhigh",
        source="https://github.com/anthropics/claude-code/issues/81084",
    ),
    ClaudeModel(name=_family(r"(?:fable|mythos)-5"), max_tokens=128_000, budget=False, sampling=False, off=False),
    ClaudeModel(
        name=_family(r"(?:fable|mythos)-5-[12]|(?:opus|sonnet)-5-5"),
        max_tokens=128_000,
        budget=False,
        sampling=False,
        off=False,
        forced_tools=False,
        source=FORCED,
    ),
)
"""Families of models; the first that matches counts."""


def family_of(model: str) -> ClaudeModel | None:
    """Returns the family of a model, or None for a model that is not known."""
    return next((family for family in FAMILIES if family.name.match(model)), None)
