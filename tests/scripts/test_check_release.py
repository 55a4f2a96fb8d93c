"""The release check, on made-up trees."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ..source_tree import ROOT

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "made-up"
version = "1.2.0"

[tool.setuptools]
py-modules = []
"""
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-02\n\n- A thing.\n\n## [1.1.0] - 2025-12-01\n"
FRESH = "raise SystemExit(0)\n"
STALE = "raise SystemExit('stale: losses.md; write them with: python docs/generate.py')\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "scripts/check_release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(tree: Path, *command: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *command], cwd=tree, check=True, capture_output=True)  # noqa: S603, S607


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that can be released."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "docs/generate.py").write_text(FRESH)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Release 1.2.0")
    return tmp_path


def printed(script: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str], *checks: str) -> tuple[int, str]:
    code = script.main(["--tree", str(tree), "--only", *checks])
    return code, capsys.readouterr().out


QUICK = ("changelog", "unreleased", "docs", "tree", "tag")


def test_a_tree_that_can_be_released(script: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = printed(script, tree, capsys, *QUICK)
    assert code == 0, out
    assert out.splitlines() == [
        "ok    changelog: version 1.2.0 of 2026-01-02",
        "ok    unreleased: nothing is unreleased",
        "ok    docs: the generated pages are fresh",
        "ok    tree: the working tree is clean",
        "ok    tag: the tag v1.2.0 is free",
    ]


@pytest.mark.parametrize(
    ("file", "text", "check", "message"),
    [
        ("CHANGELOG.md", CHANGELOG.replace("1.2.0", "1.3.0"), "changelog", "pyproject.toml has 1.2.0 and CHANGELOG.md"),
        ("CHANGELOG.md", CHANGELOG.replace(" - 2026-01-02", ""), "changelog", "1.2.0 has no date"),
        ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n", "changelog", "CHANGELOG.md has no release"),
        (
            "CHANGELOG.md",
            CHANGELOG.replace("[Unreleased]", "[Unreleased]\n\n- New."),
            "unreleased",
            "has entries under",
        ),
        ("docs/generate.py", STALE, "docs", "stale: losses.md; write them with"),
        ("more.txt", "", "tree", "the working tree has changes: more.txt; commit them"),
    ],
)
def test_each_check_fails(
    file: str, text: str, check: str, message: str, script: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / file).write_text(text)
    code, out = printed(script, tree, capsys, check)
    assert code == 1
    assert out.startswith(f"FAIL  {check}: ")
    assert message in out


def test_a_tag_that_exists(script: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tree, "tag", "v1.2.0")
    assert printed(script, tree, capsys, "tag") == (1, "FAIL  tag: the tag v1.2.0 exists; choose another version\n")


def test_a_tree_without_git(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    code, out = printed(script, tmp_path, capsys, "tree", "tag")
    assert code == 1
    assert out.count("FAIL") == 2


@pytest.mark.parametrize(
    ("wheel", "code", "message"),
    [
        ("made_up-1.2.0-py3-none-any.whl", 0, "the wheel builds: made_up-1.2.0-py3-none-any.whl"),
        ("made_up-1.1.0-py3-none-any.whl", 1, "not of version 1.2.0"),
        (None, 1, "the wheel does not build: no such backend"),
    ],
)
def test_the_wheel(
    wheel: str | None,
    code: int,
    message: str,
    script: ModuleType,
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A made-up build, because a real one fetches its backend."""

    def build(_: Path, *command: str) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ("-m", "build", "--wheel")
        if wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "error\nno such backend\n")
        (Path(command[command.index("--outdir") + 1]) / wheel).touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(script, "run", build)
    found, out = printed(script, tree, capsys, "wheel")
    assert found == code
    assert message in out
