"""The private folder of one running proxy: the socket by which its processes, and `crosswire restart`, reach it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

SOCKET = "control"
MODELS = "models"
LOCK = "lock"

RUNTIME_VARIABLE = "XDG_RUNTIME_DIR"
"""The folder of a user's sockets: https://specifications.freedesktop.org/basedir-spec/latest/"""


class FolderError(Exception):
    """The folder cannot be used."""


def folder_of(port: int) -> Path:
    """The folder of the proxy of this user on this port."""
    top = os.environ.get(RUNTIME_VARIABLE) or tempfile.gettempdir()
    return Path(top) / f"crosswire-{os.getuid()}" / str(port)


class PrivateFolder:
    """The folder of one proxy, which nobody else can open; `close` empties it."""

    def __init__(self, port: int) -> None:
        """Raises FolderError where it is not this user's alone, or another proxy has it."""
        self.path = folder_of(port)
        try:
            for each in (self.path.parent, self.path):
                each.mkdir(mode=0o700, exist_ok=True)
                _check(each)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as fault:
            raise FolderError(f"{fault.filename} cannot be used: {fault.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise FolderError(f"another proxy with workers is running on port {port}") from None
        for name in (SOCKET, MODELS):
            (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Removes what is in it, and the lock with it."""
        for name in (SOCKET, MODELS, LOCK):
            (self.path / name).unlink(missing_ok=True)
        os.close(self._lock)
        try:
            self.path.rmdir()
        except OSError:  # a successor made its own files meanwhile
            return


def _check(folder: Path) -> None:
    """Raises FolderError where others may open this folder, or made it."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise FolderError(f"{folder} is not a folder of this user alone; remove it, or set {RUNTIME_VARIABLE}")
