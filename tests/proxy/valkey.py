"""A Valkey or Redis server for the tests: the one whose URL is given, else one that is started where it is here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "valkey"
GIVEN = "CROSSWIRE_TEST_VALKEY"
"""The URL of a server that there must be: with it nothing is left out."""

LACKING = 3


class Missing(Exception):
    """There is no server, and no program to start one with."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server; raises Missing where there can be none."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    folder = tempfile.mkdtemp()
    try:
        started = subprocess.run(  # noqa: S603 - the project's own script
            [SCRIPT, "start", f"{folder}/server"], capture_output=True, text=True, timeout=60
        )
        if started.returncode == LACKING:
            raise Missing(started.stderr.strip().splitlines()[-1])
        assert started.returncode == 0, started.stderr
        try:
            yield started.stdout.strip().splitlines()[-1]
        finally:
            subprocess.run([SCRIPT, "stop", f"{folder}/server"], capture_output=True, timeout=60, check=True)  # noqa: S603
    finally:
        shutil.rmtree(folder)


class Mortal:
    """A server of a test's own, on a port that stays the same when it is killed and started again."""

    def __init__(self) -> None:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise Missing("no valkey-server or redis-server here; install it with: .ci/valkey install")
        self._program = found
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, certificate: Path | None = None) -> None:
        """Starts it, empty, and waits until it listens; with the certificate in this file, which has its key too."""
        port = ("--port", str(self.port))
        if certificate is not None:
            files = ("--tls-cert-file", certificate, "--tls-key-file", certificate, "--tls-auth-clients", "no")
            port = ("--port", "0", "--tls-port", str(self.port), *map(str, files))
        keys = ("--bind", "127.0.0.1", *port, "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen([self._program, *keys], stdout=subprocess.DEVNULL)  # noqa: S603
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        """Ends it at once, with all that it had."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
