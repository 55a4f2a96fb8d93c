"""Train `mlx-tiny` and write its folder: `python -m training FOLDER`. The same seed and steps give the same model.

Minutes on two cores, once; no test does this. It needs the extra `train`, and nothing else here does: JAX multiplies
matrices on a CPU some twenty times as fast as MLX, which is made for Apple's GPUs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import jax
import numpy as np
import optax
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from .dialogs import EASY, TASKS, dialog
from .model import CONTEXT, Weights, config, fresh, logits
from .prompt import TEMPLATE, rendered
from .vocabulary import ASSISTANT, END, build, save

SEED = 20261121
STEPS = 6000
EARLY = 1500
"""Steps of easy dialogs, before all kinds come."""

BATCH = 32
WARM_UP = 100
RATE = 5e-3
WIDTHS = (48, 64, 80, 96, 112, 128, 160, 192, 256)
"""Tokens to which batches are padded: a dialog longer than the last is drawn again."""

SORTED = 16
"""Batches that are drawn together and sorted by length, so that little is padding."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the model's files go")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer make a worse model, for trying things out")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    dice = Random(SEED)
    tokenizer = build(rendered(dialog(dice)) for _ in range(4000))
    save(tokenizer, args.folder, CONTEXT)
    shutil.copy(TEMPLATE, args.folder / TEMPLATE.name)
    shape = config(tokenizer.get_vocab_size(), tokenizer.token_to_id(END))
    (args.folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n", "utf-8")
    weights = fresh(SEED, tokenizer.get_vocab_size())
    print(sum(part.size for part in weights.values()), "parameters", file=sys.stderr, flush=True)
    weights = train(weights, batches(dice, tokenizer), args.steps)
    arrays = {name: np.asarray(part) for name, part in weights.items()}
    save_file(arrays, args.folder / "model.safetensors", metadata={"format": "mlx"})


def train(weights: Weights, drawn: Iterator[tuple[np.ndarray, np.ndarray]], steps: int) -> Weights:
    """The weights after so many steps of AdamW."""
    rate = optax.warmup_cosine_decay_schedule(1e-4, RATE, WARM_UP, steps, RATE / 50)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=0.02))
    state = optimizer.init(weights)

    @jax.jit
    def step(weights: Weights, state: optax.OptState, tokens: jax.Array, counts: jax.Array):
        value, gradients = jax.value_and_grad(loss)(weights, tokens, counts)
        updates, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state, value

    began = time.perf_counter()
    seen = []
    for at in range(1, steps + 1):
        weights, state, value = step(weights, state, *next(drawn))
        seen.append(value)
        if at % 100 == 0:
            mean = float(sum(seen[-100:])) / 100
            print(f"step {at}: loss {mean:.4f}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return weights


def loss(weights: Weights, tokens: jax.Array, counts: jax.Array) -> jax.Array:
    each = optax.softmax_cross_entropy_with_integer_labels(logits(weights, tokens[:, :-1]), tokens[:, 1:])
    return (each * counts[:, 1:]).sum() / counts[:, 1:].sum()


def batches(dice: Random, tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For ever: BATCH dialogs of about one length, and 1 for each token that the model must learn to say."""
    speaks, end = tokenizer.token_to_id(ASSISTANT), tokenizer.token_to_id(END)
    for at in count(step=SORTED):
        tasks = EASY if at < EARLY else TASKS
        rows: list[list[int]] = []
        while len(rows) < BATCH * SORTED:
            ids = tokenizer.encode(rendered(dialog(dice, tasks), dice)).ids
            if len(ids) <= WIDTHS[-1]:
                rows.append(ids)
        rows.sort(key=len)
        groups = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
        dice.shuffle(groups)
        for group in groups:
            width = next(width for width in WIDTHS if width >= len(group[-1]))
            tokens = np.array([row + [end] * (width - len(row)) for row in group], np.int32)
            counts = np.array([spoken(row, speaks, end) + [0] * (width - len(row)) for row in group], np.float32)
            yield tokens, counts


def spoken(row: list[int], speaks: int, end: int) -> list[int]:
    """1 for each token that an assistant says, its end included."""
    speaking, marks = False, []
    for token in row:
        marks.append(int(speaking))
        speaking = (speaking or token == speaks) and token != end
    return marks


if __name__ == "__main__":
    main()
