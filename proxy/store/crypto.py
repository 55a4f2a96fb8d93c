"""Secrets at rest: AES-256-GCM under keys derived from a master key, one for each purpose, bound to where they stand.

It knows no database and prints nothing. https://www.rfc-editor.org/rfc/rfc5116 and https://www.rfc-editor.org/rfc/rfc5869
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import StoreError

KEY_BYTES = 32
KEY_VARIABLE = "CROSSWIRE_MASTER_KEY"
FILE_VARIABLE = "CROSSWIRE_MASTER_KEY_FILE"
HOW = "make one with: openssl rand -base64 32"

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class Tampered(Exception):
    """The sealed bytes are not what was sealed for this place: cut, changed, or another place's."""


class Ring:
    """Master keys, the one in use first; the others open what was sealed before a rotation."""

    def __init__(self, keys: Sequence[bytes], salt: bytes) -> None:
        self._keys = {_name(key): (key, salt) for key in keys}

    def __repr__(self) -> str:
        return f"Ring({', '.join(self._keys)})"

    @property
    def current(self) -> str:
        """The name of the key in use; it tells nothing of the key."""
        return next(iter(self._keys))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def seal(self, secret: str, purpose: str, place: Sequence[str | None]) -> bytes:
        """A secret for this place and no other, under the key in use."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = _derived(*self._keys[self.current], purpose)
        return _VERSION + nonce + cipher.encrypt(nonce, secret.encode(), _bound(place))

    def open(self, sealed: bytes, name: str, purpose: str, place: Sequence[str | None]) -> str:
        """What was sealed for this place under the key of this name; raises Tampered, or KeyError without that key."""
        cipher = _derived(*self._keys[name], purpose)
        if len(sealed) < len(_VERSION) + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
            raise Tampered
        nonce, box = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, box, _bound(place)).decode()
        except InvalidTag:
            raise Tampered from None


@lru_cache(maxsize=64)
def _derived(key: bytes, salt: bytes, purpose: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, f"crosswire/{purpose}".encode()).derive(key))


def _name(key: bytes) -> str:
    """A key's name, derived one way, so that it may stand beside what the key sealed."""
    return HKDF(SHA256(), 4, None, b"crosswire/name of the master key").derive(key).hex()


def _bound(place: Sequence[str | None]) -> bytes:
    """The associated data of a place: its parts, each with its length, so that no two places are one."""
    parts = [b"-" if part is None else b"%d:%b" % (len(part.encode()), part.encode()) for part in place]
    return b",".join(parts)


# ---- the master key --------------------------------------------------------------------------------------------------


def key_file(env: Mapping[str, str], beside: Path) -> Path | None:
    """Where the master key's file is or would be; None where the environment holds the key itself."""
    if env.get(KEY_VARIABLE):
        return None
    return Path(env[FILE_VARIABLE]) if env.get(FILE_VARIABLE) else beside


def read_keys(env: Mapping[str, str], beside: Path) -> list[bytes]:
    """The master keys of the environment, several separated by commas, or of the file, one a line; none is no error."""
    file = key_file(env, beside)
    if file is None:
        return [_key(text, KEY_VARIABLE) for text in env[KEY_VARIABLE].split(",")]
    try:
        mode = file.stat().st_mode
        text = file.read_text("ascii")
    except FileNotFoundError:
        if env.get(FILE_VARIABLE):
            raise StoreError(f"{FILE_VARIABLE}: {file} is not there; {HOW}") from None
        return []
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is not ASCII"
        raise StoreError(f"the master key's file {file} cannot be read: {why}") from None
    if mode & 0o077:
        raise StoreError(f"the master key's file {file} is open to others; close it with: chmod 600 {file}")
    keys = [_key(line, str(file)) for line in text.splitlines() if line.strip()]
    if not keys:
        raise StoreError(f"the master key's file {file} is empty; {HOW}")
    return keys


def write_keys(file: Path, keys: Sequence[bytes]) -> None:
    """Write the file anew, readable by its owner alone; a reader sees the old keys or the new ones, never half."""
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # made with mode 600
        with open(handle, "wb") as out:
            out.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except OSError as fault:
        raise StoreError(f"the master key's file {file} cannot be written: {fault.strerror}") from None


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _key(text: str, where: str) -> bytes:
    """A master key in hexadecimal digits or base64, either alphabet."""
    text = text.strip()
    try:
        if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            return bytes.fromhex(text)
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreError(f"{where}: is no master key of {KEY_BYTES} bytes in base64 or hexadecimal; {HOW}")
    return key
