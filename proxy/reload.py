"""A new config while the proxy runs: read again at a signal or when its file changed, taken whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from .config import Config
from .errors import ConfigError
from .shared import Shared

log = logging.getLogger("crosswire")


class Reloader:
    """Reads the config by `load`, and lets the proxy adopt it if it has no mistake."""

    def __init__(self, shared: Shared, load: Callable[[], Config], file: Path | None) -> None:
        self._shared = shared
        self._load = load
        self._file = file
        self._seen = self._stamp()
        self._lock = asyncio.Lock()

    async def reload(self) -> bool:
        """Whether the config as it is now serves; where not, the one before it does, and it is said why."""
        async with self._lock:
            self._seen = self._stamp()
            old = self._shared.config.settings
            try:
                config = await asyncio.to_thread(self._load)
            except ConfigError as fault:
                self._shared.config_complaints = fault.complaints
                self._shared.metrics.reloaded(False)
                what = "\n  ".join(fault.complaints)
                log.warning("the new config was refused, the one before it serves:\n  %s", what)
                return False
            self._shared.adopt(config)
            self._shared.metrics.reloaded(True)
            log.warning("the new config serves from now on")
            for warning in config.warnings:
                log.warning("%s", warning)
            new = config.settings
            for key in ("host", "port", "body_limit", "records"):
                if getattr(new, key) != getattr(old, key):
                    log.warning("%s changes only at the next start", "listen" if key in ("host", "port") else key)
            return True

    async def watch(self) -> None:
        """Look at the file for ever, as often as the config says."""
        while True:
            interval = self._shared.config.settings.reload_s
            await asyncio.sleep(interval or 1.0)
            if interval and self._stamp() != self._seen:
                await self.reload()

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes with a file: its time, its size, and which file it is. None while there is none."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
