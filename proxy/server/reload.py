"""Reloads the config while the proxy runs, at a signal or when its file changed; applied whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from ..config import Config
from ..errors import ConfigError
from ..gateway.runtime import Runtime

log = logging.getLogger("crosswire")


class Reloader:
    """Reads the config with `load` and applies it if it has no mistake."""

    def __init__(self, runtime: Runtime, load: Callable[[], Config], file: Path | None) -> None:
        self._runtime = runtime
        self._load = load
        self._file = file
        self._seen = self._stamp()
        self._lock = asyncio.Lock()

    async def reload(self) -> bool:
        """Applies the config as it is now; False where it has mistakes, which are logged while the one before it
        serves."""
        async with self._lock:
            self._seen = self._stamp()
            old = self._runtime.config.settings
            try:
                config = await asyncio.to_thread(self._load)
            except ConfigError as fault:
                self._runtime.config_complaints = fault.complaints
                self._runtime.metrics.reloaded(False)
                what = "\n  ".join(fault.complaints)
                log.warning("the new config has errors, the previous one stays in use:\n  %s", what)
                return False
            self._runtime.apply_config(config)
            self._runtime.metrics.reloaded(True)
            log.warning("the new config is in use")
            for warning in config.warnings:
                log.warning("%s", warning)
            new = config.settings
            for key in ("host", "port", "body_limit", "records"):
                if getattr(new, key) != getattr(old, key):
                    log.warning(
                        "a change of %s takes effect at the next start", "listen" if key in ("host", "port") else key
                    )
            return True

    async def watch(self) -> None:
        """Checks the file for ever, every `reload_s` seconds."""
        while True:
            interval = self._runtime.config.settings.reload_s
            await asyncio.sleep(interval or 1.0)
            if interval and self._stamp() != self._seen:
                await self.reload()

    def _stamp(self) -> tuple[int, int, int] | None:
        """The file's modification time, size and inode; None while there is no file."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
