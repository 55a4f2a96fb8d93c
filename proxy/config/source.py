"""Finds and loads the config: a file, else the environment, with what the store holds over it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import StoreError
from ..store.snapshot import EMPTY_SNAPSHOT, Snapshot
from . import DEFAULT_STORE_URL, Config, StoreAddress, from_environment, load_file, store_address

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
    return _read(store_address(file, os.environ))


def _read(address: StoreAddress | None) -> Snapshot:
    if address is None:
        return EMPTY_SNAPSHOT
    try:
        from ..store.reader import read_store
    except ModuleNotFoundError as missing:
        raise missing_library(missing) from None
    return read_store(address.url, create=address.create)


class ConfigLoader:
    """Loads the config of a running proxy, again and again; where its store fails, with what was read of it last.

    `report` is told why the store cannot be read, and None once it can.
    """

    def __init__(self, file: Path | None, *, port: int | None = None, backend: str | None = None) -> None:
        self._file = file
        self._port = port
        self._backend = backend
        self._address: StoreAddress | None = None
        self._last: Snapshot | None = None
        self.report: Callable[[str | None], None] = lambda complaint: None

    def load(self) -> Config:
        """Loads the config; raises ConfigError where it has mistakes, or its store was never read."""
        snapshot, address, complaint = self._read()
        config = load_config(self._file, snapshot, port=self._port, backend=self._backend)
        self._last, self._address = snapshot, address
        self.report(complaint)
        return config

    def _read(self) -> tuple[Snapshot, StoreAddress | None, str | None]:
        last, address = self._last, store_address(self._file, os.environ)
        # the default store is none once its file is gone, which is a failure of a store that was there
        is_same = last is not None and (address == self._address or (address is None and _is_default(self._address)))
        try:
            snapshot = _read(address if not is_same else self._address)
            if is_same and last is not None and last.revision and not snapshot.revision:
                raise StoreError("store: is gone, though it was there before")
        except StoreError as fault:
            if not is_same or last is None:
                raise
            return last, self._address, str(fault)
        return snapshot, address if not is_same else self._address, None


def _is_default(address: StoreAddress | None) -> bool:
    return address is not None and address.url == DEFAULT_STORE_URL


def missing_library(missing: ModuleNotFoundError) -> StoreError:
    """The error where the libraries of the extra `store` are not installed."""
    return StoreError(f"the store needs {missing.name}; install it with: pip install 'crosswire[store]'")
