"""Finds and loads the config: a file, else the environment, with what the store holds over it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import StoreError
from ..store.snapshot import EMPTY_SNAPSHOT, Snapshot
from . import Config, from_environment, load_file, store_url

DEFAULT_FILE = Path("crosswire.yaml")


def config_file(given: Path | None) -> Path | None:
    """The file that was named, else crosswire.yaml where it is here."""
    if given is not None:
        return given
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load_config(
    file: Path | None, stored: Snapshot | None = None, *, port: int | None = None, backend: str | None = None
) -> Config:
    """Loads the config of this file, or of the environment where there is none.

    Reads the store unless its content is given.
    """
    if stored is None:
        stored = read_configured_store(file)
    if file is not None:
        return load_file(file, os.environ, port=port, backend=backend, stored=stored)
    return from_environment(os.environ, port=port, backend=backend, stored=stored)


def read_configured_store(file: Path | None) -> Snapshot:
    """Reads the store that the file or the environment names; empty where none is named."""
    url = store_url(file, os.environ)
    if url is None:
        return EMPTY_SNAPSHOT
    try:
        from ..store.reader import read_store
    except ModuleNotFoundError as missing:
        raise missing_library(missing) from None
    return read_store(url)


def missing_library(missing: ModuleNotFoundError) -> StoreError:
    """The error where the libraries of the extra `store` are not installed."""
    return StoreError(f"the store needs {missing.name}; install it with: pip install 'crosswire[store]'")
