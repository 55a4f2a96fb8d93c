"""The four classic checks: two APIs crossed with each other's backends, printed for reading."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from mockserver.scenario import load

from .allowed import read_matrix
from .bench import Bench
from .cells import Cell, play

TITLES = {"gemini": "Gemini API", "openai-chat": "OpenAI API"}


class Check(Struct, frozen=True):
    """One check: who asks, whose backend, which story, the model, and the answer that must come."""

    frontend: str
    provider: str
    story: str
    model: str
    answer: str

    def __str__(self) -> str:
        kind = "text" if self.story == "text" else "function calling"
        backend = {"openai": "OpenAI", "gemini": "Gemini"}[self.provider]
        return f"{TITLES[self.frontend]} → {backend} backend, {kind} (model {self.model})"


CHECKS = (
    Check("gemini", "openai", "text", "gpt-5-nano", "Hello! How can I help you today?"),
    Check("gemini", "openai", "function_calling", "gpt-5-nano", "search"),
    Check("openai-chat", "gemini", "text", "gemini-2.5-flash", "Hello!"),
    Check("openai-chat", "gemini", "function_calling", "gemini-2.5-flash", "search"),
)


def play_classic(folder: Path) -> int:
    """Play the checks; 0 if each gave its answer, else 1."""
    scenarios, matrix = load(folder), read_matrix()
    failed = 0
    with Bench(scenarios) as bench:
        for number, check in enumerate(CHECKS):
            if number:
                print("---")
            cell = Cell(check.frontend, check.provider, check.story, stream=False)
            result = bench.wait(play(cell, bench, scenarios, matrix))
            heard = result.steps[0].heard if result.steps else None
            answer = "" if heard is None else heard.text or ", ".join(call.name for call in heard.calls)
            passed = result.outcome == "pass" and answer == check.answer
            failed += not passed
            print(f"{'✓' if passed else '✗'} {check}")
            print(f"  {answer}")
            for reason in result.reasons:
                print(f"  {reason}")
    print("All Tests Complete!")
    return 1 if failed else 0
