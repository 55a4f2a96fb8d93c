"""Encryption of secrets at rest: AES-256-GCM with keys derived from a master key per purpose, bound to their row.

https://www.rfc-editor.org/rfc/rfc5116 and https://www.rfc-editor.org/rfc/rfc5869
The library takes megabytes, so it is imported once there is a master key.
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
from typing import TYPE_CHECKING

from ..errors import StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
KEY_VARIABLE = "CROSSWIRE_MASTER_KEY"
FILE_VARIABLE = "CROSSWIRE_MASTER_KEY_FILE"
HOW_TO_MAKE_A_KEY = "make one with: openssl rand -base64 32"

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class TamperedError(Exception):
    """The encrypted bytes were truncated, changed, or encrypted for another binding."""


class KeyRing:
    """Master keys, the current one first; the others decrypt what was encrypted before a rotation."""

    def __init__(self, keys: Sequence[bytes], salt: bytes) -> None:
        self._keys = {_key_name(key): (key, salt) for key in keys}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @property
    def current(self) -> str:
        """The name of the current key; it reveals nothing of the key."""
        return next(iter(self._keys))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def encrypt(self, secret: str, purpose: str, binding: Sequence[str | None]) -> bytes:
        """Encrypts a secret under the current key; it can be decrypted only with the same purpose and binding."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = _cipher(*self._keys[self.current], purpose)
        return _VERSION + nonce + cipher.encrypt(nonce, secret.encode(), _associated_data(binding))

    def decrypt(self, sealed: bytes, name: str, purpose: str, binding: Sequence[str | None]) -> str:
        """Decrypts a secret of this purpose and binding with the key of this name.

        Raises TamperedError where the bytes do not fit, and KeyError where there is no such key.
        """
        cipher = _cipher(*self._keys[name], purpose)
        if len(sealed) < len(_VERSION) + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
            raise TamperedError
        from cryptography.exceptions import InvalidTag

        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, _associated_data(binding)).decode()
        except InvalidTag:
            raise TamperedError from None


@lru_cache(maxsize=64)
def _cipher(key: bytes, salt: bytes, purpose: str) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_derived(key, KEY_BYTES, salt, f"crosswire/{purpose}".encode()))


def _key_name(key: bytes) -> str:
    """Derives a key's name one way, so that it can be stored beside the encrypted secret."""
    return _derived(key, 4, None, b"crosswire/name of the master key").hex()


def _derived(key: bytes, size: int, salt: bytes | None, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), size, salt, info).derive(key)


def _associated_data(binding: Sequence[str | None]) -> bytes:
    """Encodes a binding as associated data; each part has its length, so that different bindings never coincide."""
    parts = [b"-" if part is None else b"%d:%b" % (len(part.encode()), part.encode()) for part in binding]
    return b",".join(parts)


# ---- the master key --------------------------------------------------------------------------------------------------


def key_file(env: Mapping[str, str], beside: Path) -> Path | None:
    """Returns the path of the master key's file, existing or not; None where the environment holds the key itself.

    `beside` is the default path.
    """
    if env.get(KEY_VARIABLE):
        return None
    return Path(env[FILE_VARIABLE]) if env.get(FILE_VARIABLE) else beside


def read_keys(env: Mapping[str, str], beside: Path) -> list[bytes]:
    """Reads the master keys from the variable, separated by commas, or from the file, one per line.

    Returns an empty list if there are none; raises StoreError if they are invalid, or the file is readable by others.
    """
    file = key_file(env, beside)
    if file is None:
        return [_parse_key(text, KEY_VARIABLE) for text in env[KEY_VARIABLE].split(",")]
    try:
        mode = file.stat().st_mode
        text = file.read_text("ascii")
    except FileNotFoundError:
        if env.get(FILE_VARIABLE):
            raise StoreError(f"{FILE_VARIABLE}: {file} does not exist; {HOW_TO_MAKE_A_KEY}") from None
        return []
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise StoreError(f"the master key's file {file} cannot be read: {why}") from None
    if mode & 0o077:
        raise StoreError(f"the master key's file {file} can be read by other users; fix it with: chmod 600 {file}")
    keys = [_parse_key(line, str(file)) for line in text.splitlines() if line.strip()]
    if not keys:
        raise StoreError(f"the master key's file {file} is empty; {HOW_TO_MAKE_A_KEY}")
    return keys


def write_keys(file: Path, keys: Sequence[bytes]) -> None:
    """Replaces the key file atomically; it is readable by its owner only."""
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # made with mode 600
        with open(handle, "wb") as out:
            out.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except OSError as error:
        raise StoreError(f"the master key's file {file} cannot be written: {error.strerror}") from None


def new_key() -> bytes:
    """Generates a random master key."""
    return secrets.token_bytes(KEY_BYTES)


def _parse_key(text: str, where: str) -> bytes:
    """Parses a master key in hexadecimal or base64 of either alphabet; raises StoreError otherwise."""
    text = text.strip()
    try:
        if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            return bytes.fromhex(text)
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{where}: is not a master key of {KEY_BYTES} bytes in base64 or hexadecimal; {HOW_TO_MAKE_A_KEY}"
        )
    return key
