"""Makes values fit a bound of the target: their length, or the letters that they may hold.

A value that does not fit becomes a digest of it, so that it stays the same in every request and distinct from others.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from .model import Loss, Request

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def alphanumeric_digest(text: str, length: int) -> str:
    """Returns a digest of this many letters and digits."""
    number = int.from_bytes(sha256(text.encode(errors="surrogatepass")).digest())
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)


def bounded_temperature(request: Request, most: float, losses: list[Loss]) -> float | None:
    """Returns the temperature within 0 and the most that the target takes."""
    wanted = request.sampling.temperature
    if wanted is None or 0 <= wanted <= most:
        return wanted
    losses.append(Loss("sampling.temperature", "temperature", "approximated"))
    return min(max(wanted, 0), most)


IDENTIFIERS = {"safety_identifier": "user", "prompt_cache_key": "cache_control"}
"""Extra fields that hold an identifier, and the feature that they belong to."""


def bounded_user(user: str, most: int | None, losses: list[Loss]) -> str:
    """Returns the name of the end user, or a digest of it where it is longer than the target allows."""
    if most is None or len(user) <= most:
        return user
    losses.append(Loss("user", "user", "approximated"))
    return _digest("user_", user, most)


def with_bounded_identifiers(request: Request, limit: Callable[[str], int | None], losses: list[Loss]) -> Request:
    """Returns the request with digests in place of the identifiers that are longer than the target allows.

    `limit` returns the bound of a field, None where there is none.
    """
    changed: dict[str, Any] = {}
    if request.user is not None and (user := bounded_user(request.user, limit("user"), losses)) != request.user:
        changed["user"] = user
    extra = request.extra or {}
    for key in IDENTIFIERS:
        value, most = extra.get(key), limit(key)
        if type(value) is str and most is not None and len(value) > most:
            losses.append(Loss(key, IDENTIFIERS[key], "approximated"))
            changed["extra"] = {**changed.get("extra", extra), key: _digest("", value, most)}
    return replace(request, **changed) if changed else request


def _digest(prefix: str, text: str, most: int) -> str:
    return f"{prefix}{sha256(text.encode(errors='surrogatepass')).hexdigest()}"[:most]
