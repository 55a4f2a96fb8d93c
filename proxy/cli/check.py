"""`crosswire check`: reports every mistake of a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config.source import DEFAULT_FILE
from ..gateway.protocol_choice import protocols_of
from .config_source import config_of
from .exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", type=Path, default=DEFAULT_FILE, metavar="FILE", help="the config")
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
    print(f"{args.config}: no mistakes; {len(config.plan.backends)} backends, {models} models")
    return OK
