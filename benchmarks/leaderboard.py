"""The board of docs/leaderboard.md: gateways that the registries offer, each in an environment of its own.

    python -m benchmarks.leaderboard                       # install, judge, and write docs/leaderboard.md
    python -m benchmarks.leaderboard --gateway 'lite*'     # only some; the others keep their last runs
    python -m benchmarks.leaderboard --draw                # only write the page from the runs that there are

Environments and runs stay in `--folder`; no gateway is installed twice. Needs pip, npm and Node for those that are
packages of theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct

from crosswire.conformance.target.markdown import board, ranked, worst_causes
from crosswire.conformance.target.profile_parser import find_profile
from crosswire.conformance.target.verdict import TargetRun

ROOT = Path(__file__).resolve().parent.parent

PAGE = ROOT / "docs" / "leaderboard.md"

CAUSES = 3

STORIES = ",".join(
    (
        *("text", "text-system", "text-multi-turn", "text-sampling", "text-stop-sequence", "text-length"),
        *("text-usage-cached", "tools-one-call", "tools-parallel", "tools-loop", "tools-choice-named", "json-schema"),
        *("reasoning-effort", "reasoning-signed", "image-url", "error-429", "error-context-length", "stream-cut"),
    )
)
"""The core stories, which every gateway of models has to get right."""


class Installation(Struct, frozen=True):
    """Installation of a gateway: packages of pip, or of npm with the versions at which dependencies are held."""

    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    overrides: dict[str, str] = {}


INSTALLATIONS: dict[str, Installation] = {
    "crosswire": Installation(),
    "litellm": Installation(pip=("litellm[proxy]==1.108.7",)),
    "llm-rosetta": Installation(pip=("llm-rosetta[gateway]==0.13.0",)),
    "any-llm": Installation(pip=("any-llm-sdk[gateway,anthropic,gemini,ollama,openrouter]==1.12.1",)),
    # with the versions of its dependencies that npm takes by itself every stream ends in `TypeError: immutable`
    "portkey": Installation(npm=("@portkey-ai/gateway@1.15.2",), overrides={"@hono/node-server": "1.3.3"}),
    "claude-code-router": Installation(npm=("@musistudio/claude-code-router@2.0.0",)),
}
"""Name of a shipped profile -> how that gateway is installed; Crosswire itself is there."""

NOT_HAD = """\
Not on the board: Bifrost (`github.com/maximhq/bifrost`), GoModel (`github.com/enterpilot/gomodel`), Ferro Labs' AI
Gateway (`github.com/ferro-labs/ai-gateway`), One API (`github.com/songquanpeng/one-api`) and Envoy AI Gateway
(`github.com/envoyproxy/ai-gateway`), all compiled: the Go module proxy that was asked refused each with 403 Forbidden,
so that none could be built and tried. A profile that was never run is not shipped."""


def install(one: Installation, folder: Path) -> Path:
    """Installs a gateway below a folder, unless it is there, and returns the folder of its programs."""
    done = folder / "installed"
    programs = folder / "node_modules" / ".bin" if one.npm else folder / "bin"
    if done.exists():
        return programs
    folder.mkdir(parents=True, exist_ok=True)
    if one.npm:
        manifest = {"name": "gateway", "version": "1.0.0", "private": True, "overrides": one.overrides}
        (folder / "package.json").write_text(json.dumps(manifest), "utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", *one.npm], folder)
    elif one.pip:
        _run([sys.executable, "-m", "venv", str(folder)], folder)
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *one.pip], folder)
    done.touch()
    return programs


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)


def judge(name: str, programs: Path, stories: str, file: Path) -> int:
    """Judges a gateway, with its programs first on the PATH; returns the exit code of the run."""
    profile = find_profile(name)
    assert profile is not None, f"no profile {name} is shipped"
    command = [sys.executable, "-m", "crosswire.conformance", "run", "--profile", str(profile), "--start"]
    command += ["--story", stories, "--json", str(file)]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(command, env=environment, check=False).returncode


def page(runs: Sequence[TargetRun]) -> str:
    """Returns the page: the board, and for each gateway the causes that concern most of its cells."""
    stories = dict.fromkeys(cell.story for run in runs for cell in run.cells)
    lines = [
        "# Leaderboard",
        "",
        "LLM gateways, judged by `crosswire-matrix` with the [shipped profiles](judge-a-gateway.md): every frontend "
        "and provider that each has, unary and streamed, by the vendors' rules alone. "
        "`python -m benchmarks.leaderboard` installs them from the registries, each in an environment of its own, and "
        "writes this page.",
        "",
        f"{len(stories)} core stories: {', '.join(f'`{story}`' for story in stories)}.",
        "",
        *board(runs),
        "",
        "*Cells* are those that the gateway offers. *Fine* are right ones, losses that the client is told of, and "
        "refusals where the provider's protocol has no place for what was asked. "
        "[The outcomes](judge-a-gateway.md#the-outcomes).",
    ]
    most = max(len(run.cells) for run in runs)
    for run in ranked(runs):
        if len(run.cells) < most:
            lines += [
                "",
                f"The run of {run.gateway.name} was interrupted; {most - len(run.cells)} cells were not played.",
            ]
    for run in ranked(runs):
        if found := list(worst_causes(run, CAUSES)):
            lines += ["", f"## {run.gateway.name} {run.gateway.version}".rstrip(), "", *found]
    return "\n".join([*lines, "", NOT_HAD]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Installs, judges and writes the page; exit code 1 where a gateway gave no run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboard", description=__doc__.partition("\n")[0])
    parser.add_argument("--gateway", default="*", metavar="GLOB", help="only the gateways that match")
    parser.add_argument("--story", default=STORIES, metavar="GLOBS", help="other stories than the core ones")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "leaderboard", help="default: %(default)s")
    parser.add_argument("--draw", action="store_true", help="judge nothing, only write the page")
    args = parser.parse_args(argv)
    folder: Path = args.folder.absolute()
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    missing = []
    for name, one in INSTALLATIONS.items():
        file = folder / "runs" / f"{name}.json"
        if not args.draw and fnmatchcase(name, args.gateway):
            print(f"== {name}", flush=True)
            try:
                code = judge(name, install(one, folder / name), args.story, file)
            except (OSError, subprocess.CalledProcessError) as problem:
                print(f"{name} could not be installed: {problem}", file=sys.stderr)
                code = 3
            if code not in (0, 1):
                missing.append(name)
    files = [folder / "runs" / f"{name}.json" for name in INSTALLATIONS]
    runs = [msgspec.json.decode(file.read_bytes(), type=TargetRun) for file in files if file.is_file()]
    if not runs:
        print(f"no run in {folder / 'runs'}", file=sys.stderr)
        return 1
    PAGE.write_text(page(runs), "utf-8")
    print(f"Wrote {PAGE} with {len(runs)} gateways.")
    if missing:
        print(f"no run of {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
