"""Carries signatures through clients of other protocols, so that they return only to the provider that issued them.

A signature for a client of another protocol is wrapped in a token, base64("cw1" + issuer + NUL + signature), and put
into the signature field of the client's protocol; base64 because google-genai refuses anything else. The server keeps
no state.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error

from .model import Signature

_MARK = b"cw1"
"""First bytes of a token before base64."""

_PREFIX = b64encode(_MARK).decode()
"""First letters of every token: three bytes are exactly four base64 letters."""


def parse_token(text: str, protocol: str) -> Signature:
    """Parses a client's signature field: a token of ours, or a bare signature of the client's own protocol."""
    if text.startswith(_PREFIX):
        try:
            issuer, separator, value = b64decode(text, validate=True)[len(_MARK) :].decode().partition("\0")
        except (Error, UnicodeDecodeError):
            return Signature(text, protocol)
        if separator:
            return Signature(value, protocol, issuer)
    return Signature(text, protocol)


def for_client(signature: Signature, protocol: str) -> str:
    """Returns the text for a client of this protocol: the bare signature of its own protocol, else a token."""
    if signature.protocol == protocol or signature.issuer is None:
        return signature.value
    return b64encode(_MARK + signature.issuer.encode() + b"\0" + signature.value.encode()).decode()


def for_backend(signature: Signature, protocol: str, provider: str) -> str | None:
    """Returns the bare signature for this provider; None where another issued it, which is a `signature` loss."""
    if signature.issuer is not None:
        return signature.value if signature.issuer == provider else None
    return signature.value if signature.protocol == protocol else None
