"""The machine that figures are of, in one line."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path


def machine() -> str:
    """Its processor, cores, system and Python, the load on it, and the day."""
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        found = [
            line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")
        ]
        name = found[0] if found else name
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{name}, {cores} cores, {platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, load {load:.1f} before, {date.today().isoformat()}"
    )
