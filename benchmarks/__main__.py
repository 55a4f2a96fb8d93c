"""`python -m benchmarks`: the proxy beside a plain aiohttp relay, on one core, in one run; prints ratios.

The proxy and the relay share core 0 in turn; the upstream and the loader have the other. Rounds alternate, and each
figure is the median of its rounds, so that a noisy neighbour hits both sides alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from .levers import LEVERS
from .load import load
from .ports import free_port
from .upstream import EVENTS

ROOT = Path(__file__).parent.parent
TARGETS = {
    "unary": {"same": 0.60, "cross": 0.85},
    "an event a write": {"same": 0.75, "cross": 0.85},
    "four events a write": {"same": 0.9, "cross": 1.1},
}
"""By mode and kind of case, the proxy's CPU as a ratio to the relay's."""

CHAT_BODY = {
    "model": "bench",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello! Please say something nice about proxies."},
    ],
    "max_completion_tokens": 256,
    "temperature": 0.5,
}
ANTHROPIC_BODY = {
    "model": "bench",
    "max_tokens": 256,
    "temperature": 0.5,
    "system": "You are a helpful assistant.",
    "messages": [{"role": "user", "content": "Hello! Please say something nice about proxies."}],
}

MODES = {
    "unary": 1,
    "an event a write": 1,  # as tokens arrive
    "four events a write": 4,  # as a busy host may coalesce them
}
"""The cases to measure, each with the number of stream events that the upstream puts into one write."""

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: which proxy, path, body
    "relay": ("relay", "/v1/chat/completions", CHAT_BODY),
    "same (chat → chat)": ("chat", "/v1/chat/completions", CHAT_BODY),
    "same (anthropic → anthropic)": ("anthropic", "/v1/messages", ANTHROPIC_BODY),
    "cross (anthropic → chat)": ("chat", "/v1/messages", ANTHROPIC_BODY),
    "cross (chat → anthropic)": ("anthropic", "/v1/chat/completions", CHAT_BODY),
}


@contextmanager
def _running(arguments: list[str], core: int, ready: str) -> Iterator[int]:
    """A program of ours on one core, once it says it is ready; ended by its own id."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if ready in line:
                    break
            yield process.pid
        finally:
            process.terminate()
            process.wait(10)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _config(folder: str, port: int, upstream: int, protocol: str) -> Path:
    base = f"http://127.0.0.1:{upstream}" + ("/v1" if protocol == "openai-chat" else "")
    backend = {"protocol": protocol, "base_url": base, "api_key": "key", "models": {"bench": "bench"}}
    file = Path(folder) / f"{port}.yaml"
    file.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "backends": {"bench": backend}}))  # JSON is YAML
    return file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--seconds", type=float, default=4, help="of load a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this kind of load; may be repeated")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=LEVERS,
        help="measure also without this lever; may be repeated",
    )
    args = parser.parse_args()
    modes = {mode: MODES[mode] for mode in args.mode or MODES}
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, other_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {other_core})
    print(f"warm-up and {args.rounds} rounds of {args.seconds:g} s a case", file=sys.stderr)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        ports: dict[tuple[str, int], int] = {}
        pids: dict[tuple[str, int], int] = {}
        for coalesce in sorted(set(modes.values())):
            upstream = free_port()
            arguments = ["-m", "benchmarks.upstream", str(upstream), str(coalesce)]
            stack.enter_context(_running(arguments, other_core, "ready"))
            port = ports["relay", coalesce] = free_port()
            arguments = ["-m", "benchmarks.relay", str(port), f"http://127.0.0.1:{upstream}"]
            pids["relay", coalesce] = stack.enter_context(_running(arguments, proxy_core, "ready"))
            for name, protocol in (("chat", "openai-chat"), ("anthropic", "anthropic")):
                for lever in ("", *args.without):
                    port = ports[name + lever, coalesce] = free_port()
                    file = _config(folder, port, upstream, protocol)
                    module = ["benchmarks.levers", lever, "crosswire.proxy"] if lever else ["crosswire.proxy"]
                    arguments = ["-m", *module, "serve", "--config", str(file)]
                    pids[name + lever, coalesce] = stack.enter_context(_running(arguments, proxy_core, "Try it"))
        figures = uvloop.run(_measure(args, modes, ports, pids))
    _print(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


async def _measure(
    args: argparse.Namespace,
    modes: dict[str, int],
    ports: dict[tuple[str, int], int],
    pids: dict[tuple[str, int], int],
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    cases = {
        f"{name}, without {lever}" if lever else name: (proxy + lever, path, body)
        for name, (proxy, path, body) in CASES.items()
        for lever in ("", *(args.without if proxy != "relay" else ()))
    }
    for mode, coalesce in modes.items():
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for number in range(args.rounds + 1):  # the first warms up and is thrown away
            relay_us = 0.0
            for name, (proxy, path, body) in cases.items():
                asked = body if mode == "unary" else body | {"stream": True}
                data = json.dumps(asked, separators=(",", ":")).encode()
                pid = pids[proxy, coalesce]
                before = _cpu_seconds(pid)
                seconds = args.seconds if number else 1
                figure = await load(ports[proxy, coalesce], path, data, args.connections, seconds)
                figure["cpu_us"] = (_cpu_seconds(pid) - before) / max(figure["answers"], 1) * 1e6
                relay_us = figure["cpu_us"] if proxy == "relay" else relay_us
                figure["of_relay"] = figure["cpu_us"] / max(relay_us, 1e-6)
                if number:
                    rounds[name].append(figure)
                print(f"{mode} {number}/{args.rounds} {name}: {figure['rps']:.0f}/s", file=sys.stderr, flush=True)
                await asyncio.sleep(0.05)
        figures[mode] = {
            name: {key: median(round_[key] for round_ in found) for key in found[0]} for name, found in rounds.items()
        }
    return figures


def _print(figures: dict[str, Any]) -> None:
    for mode, cases in figures.items():
        events = 1 if mode == "unary" else EVENTS
        what = "small chat request, unary" if mode == "unary" else f"streams of {EVENTS} events, {mode}"
        unit = "a request" if mode == "unary" else "an event"
        print(f"| {what} | CPU µs {unit} | of the relay | target | a second | p50 ms | p99 ms | not 200 |")
        print("|---|---|---|---|---|---|---|---|")
        for name, figure in cases.items():
            target = TARGETS[mode].get(name.partition(" ")[0])
            print(
                f"| {name} | {figure['cpu_us'] / events:.2f} | {figure['of_relay']:.2f} | "
                f"{f'≤ {target}' if target else '–'} | {figure['rps']:.0f} | {figure['p50_ms']:.1f} | "
                f"{figure['p99_ms']:.1f} | {figure['wrong']:.0f} |"
            )
        print()


if __name__ == "__main__":
    sys.exit(main())
