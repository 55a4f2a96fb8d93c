"""The four classic checks: OpenAI and Gemini clients against each other's backends, printed for reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from crosswire.mockserver.scenarios.loader import load_scenarios

from ..harness.testbed import Testbed
from ..harness.testbed_apart import TestbedApart
from ..matrix.expectations import read_expectations
from ..matrix.result import Cell
from ..matrix.runner import play_cell

TITLES = {"gemini": "Gemini API", "openai-chat": "OpenAI API"}


class ClassicCheck(Struct, frozen=True):
    """One check: frontend, provider, story, model, and the expected reply."""

    frontend: str
    provider: str
    story: str
    model: str
    response: str

    def __str__(self) -> str:
        kind = "text" if self.story == "text" else "function calling"
        backend = {"openai": "OpenAI", "gemini": "Gemini"}[self.provider]
        return f"{TITLES[self.frontend]} → {backend} backend, {kind} (model {self.model})"


CHECKS = (
    ClassicCheck("gemini", "openai", "text", "gpt-5-nano", "Hello! How can I help you today?"),
    ClassicCheck("gemini", "openai", "function_calling", "gpt-5-nano", "search"),
    ClassicCheck("openai-chat", "gemini", "text", "gemini-2.5-flash", "Hello!"),
    ClassicCheck("openai-chat", "gemini", "function_calling", "gemini-2.5-flash", "search"),
)


def run_classic_checks(folders: Sequence[Path], *, apart: bool = False) -> int:
    """Plays and prints the checks; returns 0 if every reply is as expected, else 1."""
    scenarios, matrix = load_scenarios(*folders), read_expectations()
    failed = 0
    with TestbedApart(scenarios, folders) if apart else Testbed(scenarios) as testbed:
        for number, check in enumerate(CHECKS):
            if number:
                print("---")
            cell = Cell(check.frontend, check.provider, check.story, stream=False)
            result = testbed.wait(play_cell(cell, testbed, scenarios, matrix))
            reply = result.steps[0].reply if result.steps else None
            answer = "" if reply is None else reply.text or ", ".join(call.name for call in reply.calls)
            passed = result.outcome == "pass" and answer == check.response
            failed += not passed
            print(f"{'✓' if passed else '✗'} {check}")
            print(f"  {answer}")
            for reason in result.reasons:
                print(f"  {reason}")
    print("All Tests Complete!")
    return 1 if failed else 0
