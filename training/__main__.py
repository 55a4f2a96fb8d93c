"""Trains `mlx-tiny` and writes its model folder: `python -m training FOLDER`. Same seed and steps give the same model.

Training takes minutes on two cores; no test runs it. It needs the extra `train`: JAX multiplies matrices on a CPU some
twenty times as fast as MLX, which is made for Apple's GPUs.
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
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from .dialogs import EASY, TASKS, dialog
from .model import CONTEXT, Weights, config, fresh, logits
from .prompt import TEMPLATE, rendered
from .vocabulary import ASSISTANT, END, build, save

SEED = 20261121
STEPS = 6000
EARLY = 1500
"""Number of first steps that use easy dialogs only."""

BATCH = 32
WARM_UP = 100
RATE = 5e-3
LOW_RATE = 2e-3
"""Highest learning rate of a training that goes on from an earlier model."""

KEPT = 200
"""Number of steps after which the weights are written, so that a training that is ended early leaves a model."""

WEIGHTS = "model.safetensors"
Batch: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Tokens and their weights in the loss, both of shape (rows, positions)."""

WIDTHS = (64, 96, 128, 160, 192, 224, 256)
"""Lengths in tokens to which batches are padded; a dialog longer than the last is discarded."""

SORTED = 16
"""Number of batches that are generated together and sorted by length, to keep padding small."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the model's files go")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer make a worse model, for trying things out")
    parser.add_argument("--from", dest="base", type=Path, help="a model's folder to go on from, with its tokenizer")
    parser.add_argument("--rate", type=float, help=f"highest learning rate (default: {RATE}, with --from {LOW_RATE})")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--batch", type=int, default=BATCH, help="dialogs in a step")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    dice = Random(args.seed)
    if args.base is None:
        tokenizer = build(rendered(dialog(dice)) for _ in range(4000))
    else:
        tokenizer = Tokenizer.from_file(str(args.base / "tokenizer.json"))
    save(tokenizer, args.folder, CONTEXT)
    shutil.copy(TEMPLATE, args.folder / TEMPLATE.name)
    shape = config(tokenizer.get_vocab_size(), tokenizer.token_to_id(END))
    (args.folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n", "utf-8")
    weights, rate = fresh(args.seed, tokenizer.get_vocab_size()), RATE
    if args.base is not None:
        weights, rate = {name: jnp.asarray(part) for name, part in load_file(args.base / WEIGHTS).items()}, LOW_RATE
    print(sum(part.size for part in weights.values()), "parameters", file=sys.stderr, flush=True)
    drawn = batches(dice, tokenizer, args.batch, EARLY if args.base is None else 0)
    for trained in train(weights, drawn, args.steps, args.rate or rate):
        arrays = {name: np.asarray(part) for name, part in trained.items()}
        save_file(arrays, args.folder / WEIGHTS, metadata={"format": "mlx"})


def train(weights: Weights, drawn: Iterator[Batch], steps: int, rate: float) -> Iterator[Weights]:
    """Yields the weights after every KEPT steps of AdamW, and at the end."""
    schedule = optax.warmup_cosine_decay_schedule(1e-4, rate, WARM_UP, steps, rate / 50)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=0.02))
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
        if at % 50 == 0:
            mean = float(sum(seen[-50:])) / 50
            print(f"step {at}: loss {mean:.4f}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        if at % KEPT == 0 or at == steps:
            yield weights


def loss(weights: Weights, tokens: jax.Array, counts: jax.Array) -> jax.Array:
    """Returns the mean cross entropy of the next token, weighted by `counts`."""
    each = optax.softmax_cross_entropy_with_integer_labels(logits(weights, tokens[:, :-1]), tokens[:, 1:])
    return (each * counts[:, 1:]).sum() / counts[:, 1:].sum()


def batches(dice: Random, tokenizer: Tokenizer, size: int, early: int) -> Iterator[Batch]:
    """Yields batches of `size` dialogs of similar length without end, with the loss mask of `assistant_mask`.

    The first `early` ones are easy.
    """
    assistant, end = tokenizer.token_to_id(ASSISTANT), tokenizer.token_to_id(END)
    for at in count(step=SORTED):
        tasks = EASY if at < early else TASKS
        rows: list[list[int]] = []
        while len(rows) < size * SORTED:
            ids = tokenizer.encode(rendered(dialog(dice, tasks), dice)).ids
            if len(ids) <= WIDTHS[-1]:
                rows.append(ids)
        rows.sort(key=len)
        groups = [rows[at : at + size] for at in range(0, len(rows), size)]
        dice.shuffle(groups)
        for group in groups:
            width = next(width for width in WIDTHS if width >= len(group[-1]))
            tokens = np.array([row + [end] * (width - len(row)) for row in group], np.int32)
            masks = [assistant_mask(row, assistant, end) + [0] * (width - len(row)) for row in group]
            yield tokens, np.array(masks, np.float32)


def assistant_mask(row: list[int], assistant: int, end: int) -> list[int]:
    """Returns 1 for each token of an assistant turn, its end token included, and 0 for all others."""
    in_turn, mask = False, []
    for token in row:
        mask.append(int(in_turn))
        in_turn = (in_turn or token == assistant) and token != end
    return mask


if __name__ == "__main__":
    main()
