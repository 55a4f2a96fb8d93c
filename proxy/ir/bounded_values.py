"""Makes values fit a bound of the target: their length, or the letters that they may hold.

A value that does not fit becomes a digest of it, so that it stays the same in every request and distinct from others.
"""

from __future__ import annotations

from hashlib import sha256

from .model import Loss

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def alphanumeric_digest(text: str, length: int) -> str:
    """Returns a digest of this many letters and digits."""
    number = int.from_bytes(sha256(text.encode(errors="surrogatepass")).digest())
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)


def bounded_user(user: str, most: int | None, losses: list[Loss]) -> str:
    """Returns the name of the end user, or a digest of it where it is longer than the target allows."""
    if most is None or len(user) <= most:
        return user
    losses.append(Loss("user", "user", "approximated"))
    return f"user_{sha256(user.encode(errors='surrogatepass')).hexdigest()}"[:most]
