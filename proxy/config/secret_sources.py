"""Secrets that a config names by a file or a command, instead of holding them: `{file: …}`, `{command: …}`."""

from __future__ import annotations

import secrets
import shlex
import subprocess
from hashlib import blake2b
from pathlib import Path

import yaml
from msgspec import Struct

from .yaml_reader import ConfigReader

SECRET_KEYS = ("file", "command", "every_s")

COMMAND_S = 10.0
"""Seconds that a command may take."""

EVERY_S = 300.0
"""Seconds after which a command is run again, where the config says no others."""

LONGEST = 16 * 1024
"""Bytes of a secret that are read."""


class SecretSource(Struct, frozen=True):
    """A file that is looked at for changes, or a command that is run again every so many seconds."""

    file: Path | None = None
    every_s: float | None = None
    digest: bytes = b""
    """The keyed hash of the secret, by which a change is seen."""


_HASH_KEY = secrets.token_bytes(32)


def read_secret_source(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    """Reads the secret that a mapping of `file` or `command` stands for; notes the source, so that it is read again."""
    found = reader.mapping(node, path, SECRET_KEYS)
    if ("file" in found) == ("command" in found):
        reader.complain(node, path, "needs either file or command")
        return None
    if "file" in found:
        if "every_s" in found:
            reader.complain(found["every_s"], f"{path}.every_s", "is for commands; a file is looked at every reload_s")
        name = reader.text(found["file"], f"{path}.file", "give a path")
        return None if name is None else _read_file(reader, found["file"], f"{path}.file", Path(name).expanduser())
    arguments = _arguments(reader, found["command"], f"{path}.command")
    every = reader.number(found["every_s"], f"{path}.every_s", 1) if "every_s" in found else EVERY_S
    if not arguments or every is None:
        return None
    text = _run(reader, found["command"], f"{path}.command", arguments)
    reader.secret_sources.append(SecretSource(every_s=every, digest=_digest(text or "")))
    return text


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), key=_HASH_KEY, digest_size=16).digest()


def _read_file(reader: ConfigReader, node: yaml.Node, path: str, file: Path) -> str | None:
    reader.secret_sources.append(SecretSource(file=file))
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST).decode("ascii").strip()
    except OSError as fault:
        reader.complain(node, path, f"cannot be read: {fault.strerror}; give a file that the proxy may read")
        return None
    except UnicodeDecodeError:
        reader.complain(node, path, "is not ASCII; the file must hold the bare key")
        return None
    return text


def _arguments(reader: ConfigReader, node: yaml.Node, path: str) -> list[str]:
    """The program and its arguments, as a list or as one line; no shell reads them."""
    if isinstance(node, yaml.SequenceNode):
        texts = [reader.text(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        found = [text for text in texts if text is not None]
    else:
        line = reader.text(node, path, "give a program and its arguments")
        try:
            found = [] if line is None else shlex.split(line)
        except ValueError:
            reader.complain(node, path, "has a quote that does not end")
            return []
    if not found:
        reader.complain(node, path, "is empty; give a program and its arguments")
    return found


def _run(reader: ConfigReader, node: yaml.Node, path: str, arguments: list[str]) -> str | None:
    """The output of a command. What it wrote is never part of an error, for it may be the secret."""
    try:
        done = subprocess.run(  # noqa: S603 - the config is the operator's own, and no shell is asked
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=False
        )
    except OSError as fault:
        reader.complain(node, path, f"cannot be run: {fault.strerror}")
        return None
    except subprocess.TimeoutExpired:
        reader.complain(node, path, f"took more than {COMMAND_S:g} s")
        return None
    if done.returncode:
        reader.complain(node, path, f"ended with {done.returncode}; run it by hand to see why")
        return None
    try:
        return done.stdout[:LONGEST].decode("ascii").strip()
    except UnicodeDecodeError:
        reader.complain(node, path, "wrote what is not ASCII; it must write the bare key")
        return None
