"""Checks that a release can be tagged: version, changelog, generated pages, clean tree, wheel and tag.

Prints one line for each check and exits with 1 if one fails. It changes nothing but builds into a temporary folder.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?\s*$", re.MULTILINE)


class Failed(Exception):
    """A check failed; the message says what is wrong and what to do."""


def version_of(tree: Path) -> str:
    return str(tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def sections_of(tree: Path) -> list[tuple[str, str | None, str]]:
    """Version, date and text of each section of the changelog, the newest first."""
    parts = HEADING.split((tree / "CHANGELOG.md").read_text("utf-8"))[1:]
    return [
        (version, date, text.strip()) for version, date, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


# ---- the checks ------------------------------------------------------------------------------------------------------


def check_changelog(tree: Path) -> str:
    version = version_of(tree)
    released = [(name, date) for name, date, _ in sections_of(tree) if name.lower() != "unreleased"]
    if not released:
        raise Failed(f"CHANGELOG.md has no release; add ## [{version}] - YYYY-MM-DD")
    newest, date = released[0]
    if newest != version:
        raise Failed(f"pyproject.toml has {version} and CHANGELOG.md {newest}; make them equal")
    if date is None:
        raise Failed(f"CHANGELOG.md: {version} has no date; write ## [{version}] - YYYY-MM-DD")
    return f"version {version} of {date}"


def check_unreleased(tree: Path) -> str:
    if any(name.lower() == "unreleased" and text for name, _, text in sections_of(tree)):
        raise Failed(f"CHANGELOG.md has entries under Unreleased; move them to {version_of(tree)}")
    return "nothing is unreleased"


def check_generated_pages(tree: Path) -> str:
    done = run(tree, sys.executable, "docs/generate.py", "--check")
    if done.returncode:
        raise Failed(last_line(done))
    return "the generated pages are fresh"


def check_clean_tree(tree: Path) -> str:
    done = run(tree, "git", "status", "--porcelain")
    if done.returncode:
        raise Failed(last_line(done))
    if done.stdout:
        raise Failed(f"the working tree has changes: {', '.join(done.stdout.split()[1::2][:5])}; commit them")
    return "the working tree is clean"


def check_wheel(tree: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = run(tree, sys.executable, "-m", "build", "--wheel", "--outdir", folder, ".")
        if done.returncode:
            raise Failed(f"the wheel does not build: {last_line(done)}")
        names = [file.name for file in Path(folder).glob("*.whl")]
    version = version_of(tree)
    if not any(f"-{version}-" in name for name in names):
        raise Failed(f"the wheel is {', '.join(names) or 'missing'}, not of version {version}")
    return f"the wheel builds: {names[0]}"


def check_tag(tree: Path) -> str:
    tag = f"v{version_of(tree)}"
    done = run(tree, "git", "tag", "--list", tag)
    if done.returncode:
        raise Failed(last_line(done))
    if done.stdout.strip():
        raise Failed(f"the tag {tag} exists; choose another version")
    return f"the tag {tag} is free"


CHECKS: dict[str, Callable[[Path], str]] = {
    "changelog": check_changelog,
    "unreleased": check_unreleased,
    "docs": check_generated_pages,
    "tree": check_clean_tree,
    "wheel": check_wheel,
    "tag": check_tag,
}
"""Name to check; each returns a line for a success or raises Failed."""


# ---- the command line ------------------------------------------------------------------------------------------------


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)  # noqa: S603 - fixed commands


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check that a release can be tagged.")
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout")
    parser.add_argument("--only", nargs="*", choices=CHECKS, default=list(CHECKS), help="some of the checks")
    args = parser.parse_args(argv)
    failed = False
    for name in args.only:
        try:
            print(f"ok    {name}: {CHECKS[name](args.tree)}")
        except Failed as fault:
            failed = True
            print(f"FAIL  {name}: {fault}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
