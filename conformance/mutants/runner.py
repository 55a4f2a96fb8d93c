"""Runs the trials of many mutants, each in a process of its own, several at a time, and judges them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from time import perf_counter
from typing import Any, Literal

from msgspec import Struct

from crosswire.mockserver.scenarios.loader import Scenarios

from .mutant import Mutant
from .trial import Finding, Trial, play_unchanged, try_mutant

TRIAL_TIMEOUT_S = 240.0
"""Seconds that a trial may take: a bound for hangs, generous on a busy machine."""

PRELOADED = ("aiohttp.web", "jsonpath_ng.ext.parser", "jsonschema", "pytest", "syrupy", "prometheus_client")
"""Libraries that every trial needs, imported once before."""

Outcome = Literal["killed", "survived", "expected to survive", "invalid"]


class Verdict(Struct, frozen=True):
    """The outcome for one mutant, with the check that failed, or why there is no outcome."""

    mutant: Mutant
    outcome: Outcome
    reason: str = ""
    cells: int = 0
    seconds: float = 0.0

    @property
    def is_expected(self) -> bool:
        """True if the mutant is killed and must be, or survives and may."""
        return self.outcome == ("expected to survive" if self.mutant.survives else "killed")


def judge_mutants(
    mutants: Sequence[Mutant],
    scenarios: Scenarios,
    jobs: int,
    show_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Verdict]:
    """Yields a verdict for every mutant: first those that no check found, in the order in which their trials end.

    A failing check counts only if it passes without the mutant; those are played again at the end.
    """
    for name in PRELOADED:
        __import__(name)
    killed: list[tuple[Mutant, Trial, float]] = []
    for done, (mutant, trial, seconds) in enumerate(_trials(mutants, scenarios, jobs), 1):
        if show_progress is not None:
            show_progress(done, len(mutants))
        if trial.finding is not None:
            killed.append((mutant, trial, seconds))
            continue
        outcome: Outcome = "survived"
        if trial.fault:
            outcome = "invalid"
        elif mutant.survives:
            outcome = "expected to survive"
        yield Verdict(mutant, outcome, trial.fault or mutant.survives, trial.cells, seconds)
    findings = [trial.finding for _, trial, _ in killed if trial.finding is not None]
    failing = _failing_without_mutant(findings, scenarios, jobs)
    for mutant, trial, seconds in killed:
        assert trial.finding is not None
        if trial.finding in failing:
            reason = f"{trial.finding}; but this fails without the mutant too: {failing[trial.finding]}"
            yield Verdict(mutant, "invalid", reason, trial.cells, seconds)
        else:
            yield Verdict(mutant, "killed", str(trial.finding), trial.cells, seconds)


def _failing_without_mutant(findings: Sequence[Finding], scenarios: Scenarios, jobs: int) -> dict[Finding, str]:
    """Returns the findings that the unchanged proxy has too, each with its reason there."""

    def part(number: int) -> Callable[[], dict[Finding, str]]:
        return lambda: play_unchanged(findings[number::jobs], scenarios)

    processes = [_Process(part(number)) for number in range(min(jobs, len(findings)))]
    failing: dict[Finding, str] = {}
    for process in processes:
        failing |= process.result()
    return failing


def _trials(mutants: Sequence[Mutant], scenarios: Scenarios, jobs: int) -> Iterator[tuple[Mutant, Trial, float]]:
    waiting = list(reversed(mutants))
    running: dict[Any, tuple[Mutant, _Process]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            process = _Process(_trial_of(mutant, scenarios))
            running[process.connection] = mutant, process
        ready = wait(list(running), timeout=1.0)
        late = [key for key, (_, process) in running.items() if process.seconds() > TRIAL_TIMEOUT_S]
        for key in {*ready, *late}:
            mutant, process = running.pop(key)
            yield mutant, _trial_result(mutant, process, late=key not in ready), process.seconds()


def _trial_of(mutant: Mutant, scenarios: Scenarios) -> Callable[[], Trial]:
    return lambda: try_mutant(mutant, scenarios)


def _trial_result(mutant: Mutant, process: _Process, *, late: bool) -> Trial:
    if late:
        process.kill()
        return Trial(fault=f"{mutant.name}: no result after {TRIAL_TIMEOUT_S:.0f} s")
    try:
        found: Trial = process.result()
    except RuntimeError as reason:
        return Trial(fault=f"{mutant.name}: the trial raised\n{reason}")
    return found


class _Process:
    """A forked process that calls a function and sends back its result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        context = get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(work, theirs), daemon=True)
        self._began = perf_counter()
        self._process.start()
        theirs.close()

    def seconds(self) -> float:
        return perf_counter() - self._began

    def result(self) -> Any:
        """Waits for the result; raises RuntimeError with the traceback where the function raised."""
        try:
            is_good, value = self.connection.recv()
        except EOFError:
            is_good, value = False, "the process ended without a result"
        self._process.join()
        if not is_good:
            raise RuntimeError(value)
        return value

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _work(work: Callable[[], Any], connection: Connection) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what the proxies log
        os.dup2(nowhere, stream)
    try:
        connection.send((True, work()))
    except BaseException:
        connection.send((False, traceback.format_exc()))
