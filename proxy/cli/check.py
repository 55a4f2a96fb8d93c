"""`crosswire check`: reports every mistake of a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config.source import config_file
from ..gateway.protocol_choice import protocols_of
from .config_source import config_of, counted
from .exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="default: crosswire.yaml if it is here, else the environment",
    )
    parser.set_defaults(run=run, backend=None, port=None)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    for warning in config.warnings:
        print(f"warning: {warning}")
    for note in config.notes:
        print(f"note: {note}")
    for backend in config.plan.backends:
        if len(spoken := [each.protocol for each in protocols_of(backend)]) > 1:
            print(f"backends.{backend.name}: {', '.join(spoken)}; a request goes by the one that loses least")
    models = sum(len(backend.models) for backend in config.plan.backends)
    said = f"{counted(len(config.plan.backends), 'backend')}, {counted(models, 'model')}"
    print(f"{config_file(args.config) or 'the environment alone'}: no mistakes; {said}")
    return OK
