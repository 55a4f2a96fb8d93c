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

from .load import load
from .ports import free_port
from .upstream import EVENTS

ROOT = Path(__file__).parent.parent
TARGETS = {"same": 0.9, "cross": 0.8}
CPU_TARGET = 1.5

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
    file = Path(folder) / f"{protocol}.yaml"
    file.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "backends": {"bench": backend}}))  # JSON is YAML
    return file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--seconds", type=float, default=4, help="of load a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, other_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {other_core})
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        ports: dict[tuple[str, int], int] = {}
        pids: dict[tuple[str, int], int] = {}
        for coalesce in sorted(set(MODES.values())):
            upstream = free_port()
            arguments = ["-m", "benchmarks.upstream", str(upstream), str(coalesce)]
            stack.enter_context(_running(arguments, other_core, "ready"))
            programs = {
                "relay": ("ready", None),
                "chat": ("Try it", "openai-chat"),
                "anthropic": ("Try it", "anthropic"),
            }
            for name, (ready, protocol) in programs.items():
                port = ports[name, coalesce] = free_port()
                arguments = ["-m", "benchmarks.relay", str(port), f"http://127.0.0.1:{upstream}"]
                if protocol is not None:
                    file = _config(folder, port, upstream, protocol)
                    arguments = ["-m", "crosswire.proxy", "serve", "--config", str(file)]
                pids[name, coalesce] = stack.enter_context(_running(arguments, proxy_core, ready))
        figures = uvloop.run(_measure(args, ports, pids))
    _print(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


async def _measure(
    args: argparse.Namespace, ports: dict[tuple[str, int], int], pids: dict[tuple[str, int], int]
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for mode, coalesce in MODES.items():
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
        for number in range(args.rounds + 1):  # the first warms up and is thrown away
            for name, (proxy, path, body) in CASES.items():
                asked = body if mode == "unary" else body | {"stream": True}
                data = json.dumps(asked, separators=(",", ":")).encode()
                pid = pids[proxy, coalesce]
                before = _cpu_seconds(pid)
                seconds = args.seconds if number else 1
                figure = await load(ports[proxy, coalesce], path, data, args.connections, seconds)
                figure["cpu_us"] = (_cpu_seconds(pid) - before) / max(figure["answers"], 1) * 1e6
                if number:
                    rounds[name].append(figure)
                print(f"{mode} {number}/{args.rounds} {name}: {figure['rps']:.0f}/s", file=sys.stderr, flush=True)
                await asyncio.sleep(0.05)
        figures[mode] = {
            name: {key: median(round_[key] for round_ in found) for key in found[0]} for name, found in rounds.items()
        }
    return figures


def _print(figures: dict[str, Any]) -> None:
    print("| unary, small chat request | requests/s | of the relay | target | CPU µs | p50 ms | p99 ms | not 200 |")
    print("|---|---|---|---|---|---|---|---|")
    relay = figures["unary"]["relay"]
    for name, figure in figures["unary"].items():
        target = TARGETS.get(name.partition(" ")[0], 1.0)
        ratio = figure["rps"] / relay["rps"]
        print(
            f"| {name} | {figure['rps']:.0f} | {ratio:.2f} | {target} | {figure['cpu_us']:.0f} | "
            f"{figure['p50_ms']:.1f} | {figure['p99_ms']:.1f} | {figure['wrong']:.0f} |"
        )
    for mode in list(MODES)[1:]:
        print()
        print(f"| streams of {EVENTS} events, {mode} | streams/s | CPU µs an event | of the relay | target | not 200 |")
        print("|---|---|---|---|---|---|")
        relay = figures[mode]["relay"]
        for name, figure in figures[mode].items():
            ratio = figure["cpu_us"] / relay["cpu_us"]
            print(
                f"| {name} | {figure['rps']:.0f} | {figure['cpu_us'] / EVENTS:.2f} | {ratio:.2f} | ≤ {CPU_TARGET} | "
                f"{figure['wrong']:.0f} |"
            )


if __name__ == "__main__":
    sys.exit(main())
