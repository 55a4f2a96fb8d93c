"""A server as a process of its own: started, awaited until it listens, watched, and stopped."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL_S = 0.02
"""Seconds between two looks at what a starting process has printed."""

STOP_S = 5.0
"""Seconds that a process may take to stop before it is killed."""

SHOWN = 8000
"""Characters of a process's output that a message shows, its last ones."""


class ServerEnded(Exception):
    """A server's process did not start, or ended while it was needed; the message has exit code and output."""


class ChildProcess:
    """A process whose output, both streams, goes to a file."""

    def __init__(
        self, name: str, command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment` replaces this process's own for the other one."""
        self.name = name
        self._command = command
        self._output = output
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, ready: re.Pattern[str], within_s: float) -> str:
        """Starts the process; returns the first group of the line by which it says that it listens.

        Raises ServerEnded where it ends before, or says nothing in this time.
        """
        self.launch()
        assert self._process is not None
        for _ in range(round(within_s / POLL_S)):
            has_ended = self._process.poll() is not None
            if found := ready.search(self.printed()):
                return found[1]
            if has_ended:
                raise ServerEnded(f"{self.name} did not start: {self._ending()}")
            await asyncio.sleep(POLL_S)
        await self.stop()
        raise ServerEnded(f"{self.name} did not listen within {within_s:g} s{self._shown()}")

    def launch(self) -> None:
        """Starts the process without waiting for it; raises OSError where there is no such program."""
        with self._output.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own, or of the user's profile
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
            )

    @property
    def pid(self) -> int | None:
        """The number of the process; None before it was started."""
        return self._process.pid if self._process is not None else None

    def printed(self, since: int = 0) -> str:
        """Returns what the process has printed, from this position on, in bytes."""
        return self._output.read_bytes()[since:].decode("utf-8", "replace") if self._output.exists() else ""

    def position(self) -> int:
        """Returns how many bytes the process has printed."""
        return self._output.stat().st_size if self._output.exists() else 0

    def ending(self) -> str | None:
        """Returns how the process ended, with exit code and output; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"{self.name} is gone: {self._ending()}"

    def _ending(self) -> str:
        code = self._process.returncode if self._process is not None else None
        how = f"it was ended by signal {-code}" if code is not None and code < 0 else f"it ended with exit code {code}"
        return f"{how}{self._shown()}"

    def _shown(self) -> str:
        text = self.printed().strip()
        return f"; it printed:\n{text[-SHOWN:]}" if text else ", and printed nothing"

    async def stop(self) -> None:
        """Ends the process, by force where it does not end by itself."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        for _ in range(round(STOP_S / POLL_S)):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(POLL_S)
        self._process.kill()
        self._process.wait()
