"""The bundled model answers dialogs with random names, words, tools and values."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from random import SystemRandom

import training
from crosswire.proxy.backends.mlx.model_folder import TINY
from training.probe import KINDS, probes
from training.score import correct_probes

from .local_model import local_model

SHARE = 0.93
"""Share of the probes that must be answered exactly; the bundled weights answer more, but random probes may be hard."""

EASY_KINDS = ("greeting", "counting", "nothing", "unneeded")
"""Kinds of probes that do not depend on a random word; all of them must be answered."""

PROBES_PER_KIND = 8


async def test_it_answers_random_probes() -> None:
    seed = SystemRandom().randrange(2**32)
    drawn = list(probes(seed, PROBES_PER_KIND))
    async with local_model(queue=1000) as local:
        right = await correct_probes(local.backend, drawn)
    correct = Counter(probe.kind for probe in right)
    summary = f"{correct.total()} of {len(drawn)} with seed {seed}: {dict(correct)}"
    print(summary, file=sys.stderr)
    assert all(correct[kind] == PROBES_PER_KIND for kind in EASY_KINDS), summary
    assert correct.total() >= SHARE * len(drawn), summary


def test_probes_depend_on_the_seed_alone() -> None:
    assert list(probes(1)) == list(probes(1))
    assert list(probes(1)) != list(probes(2))
    assert {probe.kind for probe in probes(1, 1)} == {make.__name__ for make in KINDS}


def test_the_bundled_template_is_that_of_the_training() -> None:
    name = "chat_template.jinja"
    assert (TINY / name).read_text("utf-8") == Path(training.__file__).with_name(name).read_text("utf-8")
