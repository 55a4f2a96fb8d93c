"""`crosswire schema`: prints a JSON Schema that is shipped, for editors and checks of YAML files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .exit_codes import OK, USAGE

SCHEMAS = Path(__file__).parents[2] / "schemas"
"""The schemas that ship with the package; in a checkout the folder `schemas/`."""

ENDING = ".schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="config, story, provider, profile or expectations; without one a list"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    files = {file.name.removesuffix(ENDING): file for file in sorted(SCHEMAS.glob(f"*{ENDING}"))}
    if args.name is None:
        print(*(f"{name:12}  {file}" for name, file in files.items()), sep="\n")
        return OK
    if args.name not in files:
        print(f"{args.name}: is no schema that is shipped; known: {', '.join(files)}", file=sys.stderr)
        return USAGE
    print(files[args.name].read_text("utf-8"), end="")
    return OK


def schema_file(name: str) -> Path:
    """Returns the file of a schema that is shipped."""
    return SCHEMAS / f"{name}{ENDING}"
