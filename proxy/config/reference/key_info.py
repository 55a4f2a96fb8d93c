"""The record of one key of the config, in the reference of all keys."""

from __future__ import annotations

from msgspec import Struct


class KeyInfo(Struct, frozen=True, kw_only=True):
    """One key of the config.

    `default` is YAML for the value that an absent key has; None where there is no such value, and `without` says what
    holds then. `example` is YAML for a value.
    """

    path: str
    type: str
    default: str | None = None
    without: str = "none"
    example: str
    meaning: str


REQUIRED = "required"
"""The text in `without` of a key that must be there."""
