"""Finds the programs that the files of `deploy/` are for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..source_tree import ROOT

DEPLOY = ROOT / "deploy"

PLACES = ("/usr/sbin", "/usr/local/sbin", str(Path.home() / "go/bin"), str(Path.home() / ".cache/crosswire-ci"))
"""Folders that `.ci/deploy-tools` and `.ci/reverse-proxies` install to, beside those of PATH."""


def program(name: str) -> str:
    """The path of an installed program; a test that needs one which is not there is skipped."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *PLACES)))
    if found is None:
        pytest.skip(f"{name} is not installed: .ci/deploy-tools {name}, .ci/reverse-proxies install")
    return found


def run(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Runs a program; returns its exit code and all that it printed."""
    done = subprocess.run(  # noqa: S603 - the programs are those of the tests
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=120, check=False
    )
    return done.returncode, done.stdout.decode()
