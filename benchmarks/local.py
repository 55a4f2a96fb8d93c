"""The local model beside mlx-lm's own batch generation, in one run: `python -m benchmarks.local [FOLDER]`.

It prints load time, first token, tokens a second alone and at 4, 8 and 16 at once, the ratio to `batch_generate` on the
same prompts, how late the event loop is while the model decodes, and the memory. No test asserts any of it.
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
    args = parser.parse_args(argv)
    found = asyncio.run(measured(args.folder))
    print(f"load            {found['load']:8.2f} s (imports included)")
    print(f"first token     {found['first'] * 1000:8.1f} ms")
    print(f"loop late by    {found['lag_median'] * 1000:8.2f} ms median, {found['lag_p99'] * 1000:.2f} ms p99")
    print(f"{'at once':>8} {'tokens/s':>10} {'mlx-lm':>10} {'ratio':>6}")
    for many in AT_ONCE:
        ours, theirs = found["ours", many], found["theirs", many]
        print(f"{many:8} {ours:10.0f} {theirs:10.0f} {ours / theirs:6.2f}")
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
        rates: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS):  # alternating, so that a noisy neighbour hits both sides alike
            watch = asyncio.ensure_future(watched(late))
            began = time.perf_counter()
            counts = await asyncio.gather(*[heard(engine, number + at) for at in range(many)])
            rates["ours"].append(sum(count for count, _ in counts) / (time.perf_counter() - began))
            watch.cancel()
            rates["theirs"].append(theirs.rate(range(number, number + many)))
            number += many
        found |= {(side, many): median(each) for side, each in rates.items()}
    found["lag_median"], found["lag_p99"] = median(late), quantiles(late, n=100)[98]
    await engine.close()
    return found


async def heard(engine: Engine, number: int) -> tuple[int, float]:
    """One answer's tokens, and the seconds to its first words."""
    began = time.perf_counter()
    generation = engine.submit(MlxRequest(model="m", messages=messages(number), max_tokens=MOST))
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

    def rate(self, numbers: Sequence[int]) -> float:
        """Tokens a second for these prompts at once."""
        began = time.perf_counter()
        render: Any = self._tokenizer.apply_chat_template
        prompts = [render(messages(each), add_generation_prompt=True, enable_thinking=False) for each in numbers]
        done = self._generate(self._model, self._tokenizer, prompts, max_tokens=MOST, return_token_ids=True)
        # the token that ends an answer counts, as ours does
        return sum(len(ids) + 1 for ids in done.token_ids) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
