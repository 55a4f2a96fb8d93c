"""Installs a gateway from the package registries, in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .profile import Profile


class NotInstalled(Exception):
    """A gateway could not be installed; the message says why."""


def install(profile: Profile, folder: Path) -> Path:
    """Installs the gateway of a profile below a folder, and returns the folder of its programs.

    One of the same packages that is there already stays.
    """
    wanted = profile.install
    assert wanted is not None, f"{profile.file} has no `install`"
    packages = [package.replace("{version}", profile.version) for package in (*wanted.pip, *wanted.npm)]
    programs = folder / "node_modules" / ".bin" if wanted.npm else folder / ("Scripts" if _IS_WINDOWS else "bin")
    made_of = json.dumps({"packages": packages, "overrides": wanted.overrides})
    note = folder / "installed.json"
    if note.is_file() and note.read_text("utf-8") == made_of:
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if wanted.npm:
        manifest = {"name": "gateway", "version": "1.0.0", "private": True, "overrides": wanted.overrides}
        (folder / "package.json").write_text(json.dumps(manifest), "utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", *packages], folder)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], folder)
        _run([str(programs / "python"), "-m", "pip", "install", "--quiet", *packages], folder)
    note.write_text(made_of, "utf-8")
    return programs


_IS_WINDOWS = sys.platform == "win32"


def _run(command: Sequence[str], folder: Path) -> None:
    """Runs a command there, without its output; raises NotInstalled with the end of that."""
    try:
        # the packages are those of a profile, which starts a program of the gateway anyway
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as problem:
        raise NotInstalled(f"{command[0]}: {problem.strerror}; install it first") from problem
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
