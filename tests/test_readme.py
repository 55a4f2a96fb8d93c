"""The README names what there is: folders, commands, and a provider file that loads."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

import yaml

from proxy.cli.main import COMMANDS, STORE_COMMANDS
from proxy.ir import CAPABILITIES
from proxy.protocols import PROTOCOLS

from .source_tree import PACKAGES, ROOT


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_every_folder() -> None:
    tracked = {file.parent.name for file in ROOT.glob("*/*") if file.is_file()}
    own_folders = {name for name in tracked if not name.startswith((".", "_")) and not name.endswith(".egg-info")}
    assert {*PACKAGES, "scenarios", "tests"} <= own_folders
    assert {name for name in own_folders if not re.search(rf"^{re.escape(name)}/ ", readme(), re.MULTILINE)} == set()


def test_the_readme_names_every_command() -> None:
    scripts = set(pyproject()["project"]["scripts"])
    found = set(COMMANDS) | set(STORE_COMMANDS)
    assert {"serve", "check"} <= found
    wanted = scripts | {f"crosswire {command}" for command in found}
    assert {command for command in wanted if f"`{command} " not in readme() and f"`{command}`" not in readme()} == set()


def test_the_readme_names_every_capability_of_its_provider_file() -> None:
    """The example of a provider file is one that loads."""
    (example,) = re.findall(r"`scenarios/providers/\w+\.yaml`:\n\n```yaml\n(.*?)```", readme(), re.DOTALL)
    shown = yaml.safe_load(example)
    assert set(shown["capabilities"]) <= set(CAPABILITIES)
    assert shown["protocol"] in PROTOCOLS
