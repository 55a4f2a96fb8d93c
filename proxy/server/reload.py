"""Reloads the config while the proxy runs, at a signal or when its file changed; applied whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from ..config import Config
from ..errors import ConfigError

log = logging.getLogger("crosswire")

FileStamp: TypeAlias = "tuple[int, int, int] | None"
"""A file's modification time, size and inode; None while there is no file."""

Stamp: TypeAlias = tuple[FileStamp, ...]
"""The stamps of the config's file, and of the files that its secrets are in."""


class Counted(Protocol):
    """Counts new configs."""

    def reloaded(self, good: bool) -> None: ...


class Reloadable(Protocol):
    """A process, or several, that a new config can be applied to while it serves."""

    @property
    def config(self) -> Config: ...
    @property
    def metrics(self) -> Counted: ...

    config_complaints: tuple[str, ...]

    def now(self) -> float: ...
    def apply_config(self, config: Config) -> Awaitable[None] | None:
        """Serves by this config from now on, wholly or not at all."""
        ...


class Reloader:
    """Reads the config with `load` and applies it if it has no mistake; whatever is raised, the older one serves."""

    def __init__(self, runtime: Reloadable, load: Callable[[], Config], file: Path | None) -> None:
        self._runtime = runtime
        self._load = load
        self._file = file
        self._seen = self._stamp()
        self._loaded_at = runtime.now()
        self._lock = asyncio.Lock()

    async def reload(self) -> bool:
        """Applies the config as it is now; False where it has mistakes, which are logged while the one before it
        serves."""
        async with self._lock:
            self._seen = self._stamp()
            return await self._take(await self._loaded())

    async def reload_settled(self) -> bool:
        """Reloads once the file stays as it is for `reload_settle_s` seconds, so that no half-written one is taken."""
        async with self._lock:
            while True:
                if self._stamp() != self._seen:  # one that is as it was read last is not being written
                    self._seen = await self._settled()
                found = await self._loaded()
                if self._stamp() == self._seen:  # else it was written while it was read
                    return await self._take(found)

    async def watch(self) -> None:
        """Checks the file for ever, every `reload_s` seconds; nothing that is raised ends it."""
        while True:
            interval = self._runtime.config.settings.reload_s
            await asyncio.sleep(interval or 1.0)
            try:
                if interval and self._stamp() != self._seen:
                    await self.reload_settled()
                elif interval and self._commands_are_due():
                    await self._run_commands()
            except Exception:
                log.exception("the config file could not be looked at; it is looked at again")

    async def _run_commands(self) -> None:
        """Loads the config, which runs the commands that write secrets, and takes it if one of them wrote another."""
        async with self._lock:
            found = await self._loaded()
            sources = found.secret_sources if isinstance(found, Config) else None
            if sources != self._runtime.config.secret_sources:
                await self._take(found)

    async def _loaded(self) -> Config | Sequence[str]:
        """The config, or what is wrong with it."""
        self._loaded_at = self._runtime.now()
        try:
            return await asyncio.to_thread(self._load)
        except ConfigError as fault:
            return fault.complaints
        except Exception as fault:
            return _unexpected(fault)

    async def _take(self, found: Config | Sequence[str]) -> bool:
        """Applies a loaded config; returns False, and logs why, where it cannot be."""
        old = self._runtime.config.settings
        if isinstance(found, Config):
            try:
                if (applied := self._runtime.apply_config(found)) is not None:
                    await applied
            except ConfigError as fault:
                found = fault.complaints
            except Exception as fault:
                found = _unexpected(fault)
        if not isinstance(found, Config):
            self._runtime.config_complaints = tuple(found)
            self._runtime.metrics.reloaded(False)
            log.warning("the new config has errors, the previous one stays in use:")
            for complaint in found:
                log.warning("  %s", complaint)
            return False
        self._runtime.metrics.reloaded(True)
        log.warning("the new config is in use")
        for warning in found.warnings:
            log.warning("%s", warning)
        new = found.settings
        for key in ("host", "port", "records", "log_buffer", "state"):
            if getattr(new, key) != getattr(old, key):
                name = "listen" if key in ("host", "port") else key
                log.warning("a change of %s takes effect at the next start", name)
        return True

    async def _settled(self) -> Stamp:
        """Waits until the file is not being written, and returns its stamp."""
        seen = self._stamp()
        while True:
            await asyncio.sleep(self._runtime.config.settings.reload_settle_s)
            now = self._stamp()
            if now == seen:
                return seen
            seen = now

    def _stamp(self) -> Stamp:
        sources = self._runtime.config.secret_sources
        files = [self._file, *(source.file for source in sources if source.file is not None)]
        return tuple(_stamp_of(file) for file in files)

    def _commands_are_due(self) -> bool:
        """Returns whether a command that writes a secret is to be run again, which loading the config does."""
        every = [source.every_s for source in self._runtime.config.secret_sources if source.every_s is not None]
        return bool(every) and self._runtime.now() - self._loaded_at >= min(every)


def _stamp_of(file: Path | None) -> FileStamp:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unexpected(fault: Exception) -> tuple[str]:
    """The complaint for an exception that is no error of a config; its traceback is logged."""
    log.error("the config could not be loaded", exc_info=fault)
    return (f"it could not be loaded ({type(fault).__name__}); the log has the cause",)
