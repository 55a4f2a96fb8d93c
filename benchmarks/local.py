"""The local model beside mlx-lm's own batch generation, in one run: `python -m benchmarks.local [FOLDER]`.

It prints load time, first token, tokens a second alone and at 4, 8 and 16 at once, the ratio to `batch_generate` on the
same prompts, both by the clock and by the CPU, which a busy machine disturbs less, how late the event loop is while the
model decodes, and the memory. `--requests N` asks N times, 16 at once, and prints the memory on the way. No test
asserts any of it.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from crosswire.proxy.backends.mlx.engine import Done, Engine, EngineLimits, Prompt
from crosswire.proxy.backends.mlx.model_folder import TINY, read_folder
from crosswire.proxy.backends.mlx.request import MlxRequest
from crosswire.proxy.ir import Failure

AT_ONCE = (1, 4, 8, 16)
ROUNDS = 5
MOST = 96


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=TINY, help="a model's folder (default: the shipped one)"
    )
    parser.add_argument("--requests", type=int, help="only ask so many times, and print the memory on the way")
    args = parser.parse_args(argv)
    if args.requests is not None:
        asyncio.run(steady(args.folder, args.requests))
        return
    found = asyncio.run(measured(args.folder))
    print(f"load            {found['load']:8.2f} s (imports included)")
    print(f"first token     {found['first'] * 1000:8.1f} ms")
    print(f"loop late by    {found['lag_median'] * 1000:8.2f} ms median, {found['lag_p99'] * 1000:.2f} ms p99")
    print(
        f"{'at once':>8} {'tokens/s':>10} {'mlx-lm':>10} {'ratio':>6} {'µs CPU/token':>14} {'mlx-lm':>8} {'ratio':>6}"
    )
    for many in AT_ONCE:
        ours, theirs, cpu, their_cpu = (found[side, many] for side in ("ours", "theirs", "our cpu", "their cpu"))
        wall = f"{many:8} {ours:10.0f} {theirs:10.0f} {ours / theirs:6.2f}"
        print(f"{wall} {cpu * 1e6:14.0f} {their_cpu * 1e6:8.0f} {their_cpu / cpu:6.2f}")
    unit = 1024 if sys.platform == "linux" else 1024 * 1024
    print(f"memory          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:8.0f} MB at most")


def messages(number: int) -> list[dict[str, Any]]:
    """A prompt that no other of the run begins like, and whose answer is long."""
    return [{"role": "system", "content": f"{number} of you."}, {"role": "user", "content": "Count to 20."}]


async def measured(folder: Path) -> dict[Any, float]:
    """All figures; by side and number at once, tokens a second."""
    from crosswire.proxy.backends.mlx.backend import load_runtime

    began = time.perf_counter()
    engine = Engine(read_folder(folder), EngineLimits(), load_runtime)
    await heard(engine, 0)
    found: dict[Any, float] = {"load": time.perf_counter() - began}
    firsts = [(await heard(engine, 1 + number))[1] for number in range(20)]
    found["first"] = median(firsts)
    late: list[float] = []
    theirs = Theirs(folder)
    number = 100
    for many in AT_ONCE:
        rates: dict[str, list[float]] = {"ours": [], "theirs": [], "our cpu": [], "their cpu": []}
        for _ in range(ROUNDS):  # alternating, so that a noisy neighbour hits both sides alike
            began, used = time.perf_counter(), time.process_time()
            counts = await asyncio.gather(*[heard(engine, number + at) for at in range(many)])
            tokens = sum(count for count, _ in counts)
            rates["ours"].append(tokens / (time.perf_counter() - began))
            rates["our cpu"].append((time.process_time() - used) / tokens)
            began, used = time.perf_counter(), time.process_time()
            tokens = theirs.tokens(range(number, number + many))
            rates["theirs"].append(tokens / (time.perf_counter() - began))
            rates["their cpu"].append((time.process_time() - used) / tokens)
            # in a round of its own: mlx-lm's batches are not watched either, and watching takes time
            watch = asyncio.ensure_future(watched(late))
            await asyncio.gather(*[heard(engine, number + many + at) for at in range(many)])
            watch.cancel()
            number += 2 * many
        found |= {(side, many): median(each) for side, each in rates.items()}
    found["lag_median"], found["lag_p99"] = median(late), quantiles(late, n=100)[98]
    await engine.close()
    return found


async def steady(folder: Path, requests: int) -> None:
    """Prints the memory after every tenth of so many requests."""
    from crosswire.proxy.backends.mlx.backend import load_runtime

    engine = Engine(read_folder(folder), EngineLimits(cache_bytes=16 * 2**20), load_runtime)
    for tenth in range(10):
        for number in range(tenth * requests // 10, (tenth + 1) * requests // 10, 16):
            await asyncio.gather(*[heard(engine, number + at, 8) for at in range(16)])
        print(f"{(tenth + 1) * requests // 10:8} requests {resident() / 2**20:8.0f} MB", flush=True)
    await engine.close()


def resident() -> int:
    """The bytes that this process has in memory now; at most so far where the system tells no more."""
    try:
        # https://docs.kernel.org/filesystems/proc.html
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def heard(engine: Engine, number: int, most: int = MOST) -> tuple[int, float]:
    """One answer's tokens, and the seconds to its first words."""
    began = time.perf_counter()
    generation = engine.submit(MlxRequest(model="m", messages=messages(number), max_tokens=most))
    assert not isinstance(generation, Failure)
    first = 0.0
    while True:
        said = await generation.outputs.get()
        if isinstance(said, Failure):
            raise RuntimeError(said.message)
        if isinstance(said, Done):
            return said.usage.output or 0, first
        if not isinstance(said, Prompt) and not first:
            first = time.perf_counter() - began


async def watched(late: list[float]) -> None:
    """Measures for ever how much later than scheduled the loop wakes."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)


class Theirs:
    """mlx-lm's own `batch_generate`; prompts are rendered and tokenised within the time, as ours are."""

    def __init__(self, folder: Path) -> None:
        import mlx_lm

        self._generate: Any = mlx_lm.batch_generate
        self._model, self._tokenizer = mlx_lm.load(str(folder), tokenizer_config={"trust_remote_code": False})[:2]

    def tokens(self, numbers: Sequence[int]) -> int:
        """The number of tokens with which it answered these prompts at once."""
        render: Any = self._tokenizer.apply_chat_template
        prompts = [render(messages(each), add_generation_prompt=True, enable_thinking=False) for each in numbers]
        done = self._generate(self._model, self._tokenizer, prompts, max_tokens=MOST, return_token_ids=True)
        # the token that ends an answer counts, as ours does
        return sum(len(ids) + 1 for ids in done.token_ids)


if __name__ == "__main__":
    main()
