"""A program that is measured: started on one core, with its CPU, its memory and the time until it listens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from msgspec import Struct

from .ports import listens

ROOT = Path(__file__).parent.parent

START_S = 240.0
"""Seconds in which a program must listen: some gateways import for a minute."""


class Program(Struct, frozen=True):
    """A running program: its process id, and the seconds from its start until it listened."""

    pid: int
    start_s: float

    def cpu_s(self) -> float:
        """The seconds of CPU of the process and its children, to the nanosecond where the system tells them so."""
        return sum(map(_cpu_s, self._tree()))

    def rss_kib(self) -> int:
        """The memory in KiB that the process and its children have now."""
        return sum(_rss_kib(pid) for pid in self._tree())

    def _tree(self) -> list[int]:
        found = [self.pid]
        for pid in found:  # which grows meanwhile
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, file.read_text().split())
        return found


def _cpu_s(pid: int) -> float:
    # "time spent on the cpu (in nanoseconds)" https://docs.kernel.org/scheduler/sched-stats.html
    files = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    if files:
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    core: int,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator[Program]:
    """Starts a program on a core and waits until it listens on its port; ends it by its own id."""
    # a program that is installed keeps its bytecode, so one that is measured may as well
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**inherited, **(environment or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ) as process:
        printed: list[str] = []
        reader = threading.Thread(target=_read, args=(process, printed), daemon=True)
        reader.start()
        try:
            while not listens(port):
                if process.poll() is not None or perf_counter() - began > START_S:
                    raise RuntimeError(f"{' '.join(command)} does not listen:\n{''.join(printed[-20:])}")
                sleep(0.002)
            yield Program(process.pid, perf_counter() - began)
        finally:
            process.terminate()
            process.wait(30)


def _read(process: subprocess.Popen[str], printed: list[str]) -> None:
    """Reads what the program prints, so that its pipe never fills."""
    assert process.stdout is not None
    for line in process.stdout:
        printed.append(line)
        del printed[:-200]


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module with the interpreter of this process."""
    return [sys.executable, "-m", name, *arguments]
