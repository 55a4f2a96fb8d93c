"""`crosswire-mock verdict`: runs a client on stories of failures, one after the other, and says how it behaved.

Exit status: 0 no story went badly, 1 one did, 2 wrong command line, or a client that never asked the mock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from time import monotonic

from aiohttp import web
from msgspec import to_builtins

from .scenarios.folders import SHIPPED
from .scenarios.loader import Scenarios
from .scenarios.provider import Provider
from .scenarios.provider_parser import read_provider
from .scenarios.story import Story, opening_text
from .scenarios.story_parser import read_story
from .sdk_environment import mock_environment
from .server import MOCK, MockProvider, make_app
from .verdict import JUDGES, Seen, Trial, Verdict, judge

PROMPT = "{prompt}"
"""Stands in the command for the text to ask."""

PROMPT_VARIABLE = "PROMPT"
"""Variable that holds the text too, for clients that take none on their command line."""

MARKS = {"good": "✓", "bad": "✗", "untried": "–"}


def verdict_parser() -> argparse.ArgumentParser:
    """Returns the parser of `verdict`."""
    parser = argparse.ArgumentParser(
        prog="crosswire-mock verdict",
        description="Run a client once for each story of a failure, and say how it behaved. It must ask the text that "
        "stands for {prompt}, or in the variable PROMPT, and end with 0 only where it has a whole answer. The "
        "variables of the official SDKs point it at the mock.",
    )
    parser.add_argument("--story", default="*", metavar="GLOB", help=f"of {', '.join(JUDGES)}; default: all")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="SECONDS", help="time after which it is ended; default: 60"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="the client")
    return parser


def run_verdict(arguments: Sequence[str]) -> int:
    """Runs the command line of `verdict` and returns its exit status."""
    try:
        args = verdict_parser().parse_args(list(arguments))
    except SystemExit as exited:
        return 0 if exited.code in (0, None) else 2
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    names = [name for name in JUDGES if fnmatchcase(name, args.story)]
    if not command or not names:
        wrong = f"no story is called {args.story}" if command else "give the client's command behind --"
        print(f"crosswire-mock verdict: {wrong}; stories: {', '.join(JUDGES)}", file=sys.stderr)
        return 2
    try:
        verdicts = asyncio.run(_try_all(command, names, args.patience, told=not args.json))
    except OSError as problem:
        print(f"{command[0]}: cannot be run: {problem.strerror}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(to_builtins(verdicts), indent=2))
    if all(each.outcome == "untried" for each in verdicts):
        print(
            "Nothing was judged. Does the client ask {prompt} or the variable PROMPT, and does it call the address in "
            "OPENAI_BASE_URL, ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL or OLLAMA_HOST?",
            file=sys.stderr,
        )
        return 2
    return 1 if any(each.outcome == "bad" for each in verdicts) else 0


def verdict_scenarios() -> Scenarios:
    """Returns the shipped providers, and the stories by which clients are judged."""
    providers: dict[str, Provider] = {}
    for file in sorted((SHIPPED / "providers").glob("*.yaml")):
        provider, mistakes = read_provider(file.stem, str(file), file.read_text("utf-8"))
        if provider is None:
            raise ValueError("\n".join(map(str, mistakes)))
        providers[provider.name] = provider
    stories: dict[str, Story] = {}
    for name in JUDGES:
        file = SHIPPED / "verdict" / f"{name}.yaml"
        story, mistakes = read_story(name, str(file), file.read_text("utf-8"))
        if story is None:
            raise ValueError("\n".join(map(str, mistakes)))
        stories[name] = story
    return Scenarios(providers, stories)


async def _try_all(command: Sequence[str], names: Sequence[str], patience: float, *, told: bool) -> list[Verdict]:
    scenarios = verdict_scenarios()
    app = make_app(scenarios)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        variables = mock_environment(scenarios.providers, url)
        found = []
        for name in names:
            trial = await _try(app[MOCK], scenarios.stories[name], command, variables, patience)
            found.append(judge(trial))
            if told:
                print(f"{MARKS[found[-1].outcome]} {name:16} {found[-1].why}", flush=True)
        return found
    finally:
        await runner.cleanup()


async def _try(
    mock: MockProvider, story: Story, command: Sequence[str], variables: dict[str, str], patience: float
) -> Trial:
    """Runs the client on one story."""
    mock.reset()
    prompt = opening_text(story)
    began = monotonic()
    client = await asyncio.create_subprocess_exec(
        *(word.replace(PROMPT, prompt) for word in command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **variables, PROMPT_VARIABLE: prompt},
    )
    code: int | None = None
    try:
        code = await asyncio.wait_for(client.wait(), patience)
    except TimeoutError:
        pass
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    entries = [entry for entry in mock.journal.entries if entry.story == story.name]
    seen = tuple(Seen(entry.began, entry.ended, entry.status) for entry in entries)
    return Trial(story.name, seen, code, monotonic() - began)
