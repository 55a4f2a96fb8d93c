"""The README is short, and names what there is: folders, commands, guides."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

from .source_tree import PACKAGES, ROOT

MOST_BYTES = 8192
"""A README of this size is read; what does not fit belongs into docs/."""


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_the_readme_is_short() -> None:
    assert len(readme().encode()) <= MOST_BYTES


def test_the_readme_names_every_folder() -> None:
    tracked = {file.parent.name for file in ROOT.glob("*/*") if file.is_file()}
    own_folders = {name for name in tracked if not name.startswith((".", "_")) and not name.endswith(".egg-info")}
    assert {*PACKAGES, "scenarios", "tests", "docs"} <= own_folders
    named = set(re.findall(r"^(\w+)/ +\S", readme(), re.MULTILINE))
    assert named == own_folders


def test_the_readme_names_every_command() -> None:
    scripts = set(pyproject()["project"]["scripts"])
    assert {command for command in scripts if f"`{command}`" not in readme()} == set()
    assert {script for script in ("./run-matrix.sh", "./run-tests.sh") if f"\n{script} " not in readme()} == set()


def test_the_readme_has_one_line_of_status() -> None:
    (status,) = re.findall(r"<!-- status -->\n(.*?)\n<!-- /status -->", readme(), re.DOTALL)
    assert "\n" not in status
    assert re.search(r"[\d,]+ right, [\d,]+ lossy by a vendor's limit, [\d,]+ refused, 0 failed", status)
