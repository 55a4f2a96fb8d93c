"""A PostgreSQL for the tests: the one whose URL is given, else one that is started where its programs are here."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

SCRIPT = Path(__file__).parents[2] / ".ci" / "postgres"
GIVEN = "CROSSWIRE_TEST_POSTGRES"
"""The URL of a server that there must be: with it nothing is left out."""

LACKING = 3


class Missing(Exception):
    """There is no server, and no programs to start one with."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server; raises Missing where there can be none."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    folder = tempfile.mkdtemp()
    cluster = f"{folder}/cluster"
    Path(folder).chmod(0o755)  # the server's own user must get through
    try:
        started = subprocess.run(  # noqa: S603 - the project's own script
            [SCRIPT, "start", cluster], capture_output=True, text=True, timeout=60
        )
        if started.returncode == LACKING:
            raise Missing(started.stderr.strip().splitlines()[-1])
        assert started.returncode == 0, started.stderr
        try:
            yield started.stdout.strip()
        finally:
            subprocess.run(  # noqa: S603
                [SCRIPT, "stop", cluster], capture_output=True, timeout=60, check=True
            )
    finally:
        shutil.rmtree(folder)


def fresh(url: str) -> str:
    """The URL of a new, empty database on that server."""
    name = f"t_{uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return f"{url.rpartition('/')[0]}/{name}"
