"""Signatures on their way through foreign clients: they go back to the provider that minted them, and nowhere else.

A seal given to a client of another dialect travels as one token, base64("cw1" + minter + NUL + seal), in that
protocol's own slot: base64 because google-genai refuses anything else. There is no memory on the server.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error

from .ir import Signature

_MARK = b"cw1"
_PREFIX = b64encode(_MARK).decode()
"""Three bytes are four base64 letters, so every token starts with these."""


def read(text: str, dialect: str) -> Signature:
    """The signature in a client's slot: one of our tokens, or a bare one of the client's own dialect."""
    if text.startswith(_PREFIX):
        try:
            minter, mark, value = b64decode(text, validate=True)[len(_MARK) :].decode().partition("\0")
        except (Error, UnicodeDecodeError):
            return Signature(text, dialect)
        if mark:
            return Signature(value, dialect, minter)
    return Signature(text, dialect)


def for_client(seal: Signature, dialect: str) -> str:
    """What a client of this dialect is given: the bare seal of its own dialect, else a token that names the minter."""
    if seal.dialect == dialect or seal.minter is None:
        return seal.value
    return b64encode(_MARK + seal.minter.encode() + b"\0" + seal.value.encode()).decode()


def for_backend(seal: Signature, dialect: str, provider: str) -> str | None:
    """The seal as its minter knows it, or None where this provider did not mint it: then it is a `signature` loss."""
    if seal.minter is not None:
        return seal.value if seal.minter == provider else None
    return seal.value if seal.dialect == dialect else None
