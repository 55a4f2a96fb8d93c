"""`crosswire traits`: shows what is known of a model: what it refuses, takes under another name, or does by default."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from ..config import Config
from ..config.source import load_config
from ..providers import PROVIDERS, find
from ..traits import Trait, describe, traits_of
from .exit_codes import OK, USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the upstream model's name")
    parser.add_argument("--provider", metavar="NAME", help="the provider that serves it, whose rules are added")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a config, whose key `traits` is added")
    parser.add_argument("--json", action="store_true", help="print the rows of the table as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    provider = find(args.provider) if args.provider else None
    if args.provider and provider is None:
        known = ", ".join(row.name for row in PROVIDERS)
        print(f"--provider: no provider is called {args.provider!r}; known: {known}", file=sys.stderr)
        return USAGE
    own: tuple[Trait, ...] = ()
    if args.config is not None:
        config: Config = load_config(args.config)
        own = config.settings.traits
    traits = traits_of(args.model, "" if provider is None else provider.name, frozenset(), own)
    if args.json:
        print(json.dumps([_row(row) for row in traits.rows], indent=2, ensure_ascii=False))
        return OK
    if not traits.rows:
        print(f"{args.model}: nothing is known; it is taken to follow its protocol")
        return OK
    print(args.model)
    for line in describe(traits):
        print(f"  {line}")
    return OK


def _row(row: Trait) -> dict[str, Any]:
    """Returns the row with the fields that say something."""
    return {key: value for key, value in to_builtins(row).items() if value not in (None, "", [], {}, False)}
