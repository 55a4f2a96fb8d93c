"""The GitHub Action of the repository: its steps use its inputs, and its script judges a gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ...source_tree import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))

JUDGE = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Judge")


def test_every_input_is_used_and_every_used_one_exists() -> None:
    used = {name for step in ACTION["runs"]["steps"] for name in re.findall(r"inputs\.([a-z-]+)", str(step))}
    assert used == set(ACTION["inputs"])
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "an input within a script is run as code"


@pytest.mark.parametrize(
    ("story", "code", "reports"),
    [("text", 0, {"run.json", "report.html", "junit.xml", "summary.md", "badge.svg"}), ("nothing", 2, set[str]())],
)
def test_the_script_judges_and_writes_the_summary(story: str, code: int, reports: set[str], tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    shipped = (ROOT / "conformance" / "target" / "profiles" / "crosswire.yaml").read_text("utf-8")
    profile.write_text(re.sub(r"(?m)^frontends:\n(  .*\n)+", "frontends: {ollama: {}}\n", shipped), "utf-8")
    inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
    inputs |= {"profile": str(profile), "story": story}
    values = {
        name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], text)
        for name, text in JUDGE["env"].items()
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **values, "PATH": path, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", JUDGE["run"]]
    done = subprocess.run(script, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == code, done.stdout + done.stderr
    assert {file.name for file in (tmp_path / "conformance-reports").iterdir()} == reports
    if reports:
        assert "| crosswire | 0.1.0 |" in (tmp_path / "summary").read_text("utf-8")
