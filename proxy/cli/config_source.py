"""The arguments by which a command names its config, and the config that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

from ..config import Config
from ..config.source import config_file, load_config, missing_library
from ..store.snapshot import Snapshot


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: crosswire.yaml if it is here, else the environment"
    )
    parser.add_argument("--backend", metavar="NAME", help="the backend for requests that no other backend can serve")


def config_of(args: argparse.Namespace, stored: Snapshot | None = None) -> Config:
    """The config of a command's arguments; reads the store unless its content is given."""
    return load_config(config_file(args.config), stored, port=args.port, backend=args.backend)


def counted(number: int, what: str) -> str:
    """Returns a number of things in words, such as `1 backend`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def store_commands() -> ModuleType:
    """The module of the store's commands; raises StoreError where the libraries of the extra `store` are missing."""
    try:
        from . import store
    except ModuleNotFoundError as missing:
        raise missing_library(missing) from None
    return store
