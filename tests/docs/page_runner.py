"""Runs the marked blocks of a page from its top to its end, in an empty folder and without network.

- `file`: the block is written to the file that its first line names.
- `run`: a `sh` or `python` block must succeed; of a `console` block each command must print what the page shows, where
  `…` stands for any text.
- `run: output`: what the `python` block before it must print.
- `run: server`: each command is started, and stops at the end of the page.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from .commands import SCRIPTS, command_lines
from .markdown import Block, Page

PORTS = ("9001", "8888", "8889", "9002", "9003")
"""The default ports of proxy and mock, and those of a second mock and of replicas; a run uses free ones in their
place."""

PATIENCE_S = 30
_END = "\x1e"

_SCRIPT = """\
#!{python}
import sys
from {module} import {function}
argv = sys.argv = ["{name}", *sys.argv[1:]]
serves = {condition}
if serves and "--port" not in argv:
    argv += ["--port", "{port}"]
sys.exit({function}())
"""


class Command(Struct, frozen=True):
    """A command of a `console` block, and the text that the page shows for it."""

    line: str
    shown: str


def console_commands(block: Block) -> list[Command]:
    """The commands of a `console` block with what is shown below each."""
    commands = []
    rest = block.text
    for line in command_lines(block):
        _, _, rest = rest.partition(f"$ {line}\n")
        shown = rest.partition("\n$ ")[0] if not rest.startswith("$ ") else ""
        commands.append(Command(line, shown))
    return commands


def is_shown(shown: str, printed: str) -> bool:
    """Returns whether the printed text is the shown one, in which `…` stands for any text."""
    pattern = ".*?".join(re.escape(part) for part in _trimmed(shown).split("…"))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


class PageRunner:
    """Runs one page in a folder; `complaints` tells what did not go as the page shows, `printed` what was printed."""

    def __init__(self, page: Page, folder: Path, bin_folder: Path) -> None:
        ports = {port: str(free_port()) for port in PORTS}
        text = page.text
        for port, free in ports.items():
            text = text.replace(port, free)
        self.page = Page(page.name, text)
        self.complaints: list[str] = []
        self.printed: dict[str, list[str]] = {}
        self._last_output = ""
        self._folder = folder
        self._env = _environment(folder, bin_folder)
        self._servers: list[subprocess.Popen[bytes]] = []
        write_scripts(bin_folder, ports)

    def run(self) -> list[str]:
        with self._stopping_servers():
            for block in self.page.blocks:
                if block.mark == "file":
                    self._write(block)
                elif block.mark == "run: server":
                    for line in command_lines(block):
                        self._start(block, line)
                elif block.mark == "run":
                    self._run(block)
                elif block.mark == "run: output" and not is_shown(block.text, self._last_output):
                    self.complaints.append(f"{block.place}: shown:\n{block.text}\nprinted:\n{self._last_output}")
        return self.complaints

    def _write(self, block: Block) -> None:
        if not block.title:
            self.complaints.append(f"{block.place}: its first line names no file")
            return
        file = self._folder / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, "utf-8")

    def _run(self, block: Block) -> None:
        if block.language == "python":
            printed, code = self._execute([sys.executable, "-c", block.text])
            self.printed[block.place], self._last_output = [printed], printed
            if code:
                self.complaints.append(f"{block.place}: exit code {code}\n{printed}")
        elif block.language == "console":
            commands = console_commands(block)
            self.printed[block.place] = outputs = self._shell([command.line for command in commands])
            for command, printed in zip(commands, outputs, strict=True):
                if not is_shown(command.shown, printed):
                    self.complaints.append(
                        f"{block.place}: $ {command.line}\nshown:\n{command.shown}\nprinted:\n{printed}"
                    )
        else:
            printed, code = self._execute(["bash", "-ec", block.text])
            if code:
                self.complaints.append(f"{block.place}: exit code {code}\n{printed}")

    def _shell(self, lines: list[str]) -> list[str]:
        """Runs the lines in one shell, and returns what each printed."""
        script = "".join(f"{line}\n_code=$?; printf '{_END}'; (exit $_code)\n" for line in lines)
        printed, _ = self._execute(["bash", "-c", script])
        return (printed.split(_END) + [""] * len(lines))[: len(lines)]

    def _execute(self, words: list[str]) -> tuple[str, int]:
        done = subprocess.run(  # noqa: S603 - the pages are our own
            words,
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        return done.stdout.decode(), done.returncode

    def _start(self, block: Block, line: str) -> None:
        log = self._folder / f".server-{len(self._servers)}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603 - the pages are our own
                ["bash", "-c", line.rstrip(" &")],  # noqa: S607
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        deadline = time.monotonic() + PATIENCE_S
        while "isten" not in log.read_text("utf-8", "replace"):
            if server.poll() is not None or time.monotonic() > deadline:
                self.complaints.append(f"{block.place}: {line} does not start:\n{log.read_text('utf-8', 'replace')}")
                return
            time.sleep(0.05)
        self.printed.setdefault(block.place, []).append(log.read_text("utf-8"))

    @contextmanager
    def _stopping_servers(self) -> Iterator[None]:
        try:
            yield
        finally:
            for server in self._servers:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(folder: Path, bin_folder: Path) -> dict[str, str]:
    """The variables of a new user: no keys, and an empty home."""
    path = f"{bin_folder}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "100"}


def write_scripts(folder: Path, ports: dict[str, str]) -> None:
    """Writes the console commands, which run this checkout, `python`, and a `curl` that waits for a server."""
    folder.mkdir(parents=True, exist_ok=True)
    serving = {
        "crosswire": ('argv[1:2] == ["serve"]', ports[PORTS[0]]),
        "crosswire-mock": ('argv[1:2] != ["check"]', ports[PORTS[1]]),
    }
    for name, target in SCRIPTS.items():
        module, _, function = target.partition(":")
        condition, port = serving.get(name, ("False", ""))
        _executable(
            folder / name,
            _SCRIPT.format(
                python=sys.executable,
                module=module,
                function=function,
                name=name,
                condition=condition,
                port=port,
            ),
        )
    python, curl = shlex.quote(sys.executable), shlex.quote(str(Path(__file__).with_name("curl.py")))
    _executable(folder / "python", f'#!/bin/sh\nexec {python} "$@"\n')
    _executable(folder / "curl", f'#!/bin/sh\nexec {python} {curl} "$@"\n')


def _executable(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    file.chmod(0o755)
