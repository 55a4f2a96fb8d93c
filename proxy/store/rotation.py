"""A new master key: every credential sealed anew, row by row, so that whatever cuts it off, the next run goes on.

With a key's file the new key stands first in it, before any row is sealed under it, and the old ones leave it last.
With the variable its owner does both: the new key first, the old one behind a comma, afterwards the new one alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..errors import StoreError
from . import credentials
from .crypto import KEY_VARIABLE, key_file, new_key, read_keys, write_keys
from .database import Store


class Rotated(Struct, frozen=True):
    """How many credentials were sealed anew, and the names of the keys that went; `by_hand`: that the owner removes."""

    count: int
    retired: tuple[str, ...]
    by_hand: bool


async def rotate(store: Store, env: Mapping[str, str]) -> Rotated:
    """Seal all under the first key; raises StoreError where there is no new one, or a credential cannot be opened."""
    file = key_file(env, store.key_file)
    keys = read_keys(env, store.key_file)
    if not keys:
        raise StoreError("there is no master key yet; the first credential makes one")
    if file is not None and len(keys) == 1:  # more than one: an earlier rotation was cut off, and goes on
        keys = [new_key(), *keys]
        write_keys(file, keys)
    if file is None and len(keys) == 1:
        raise StoreError(f"{KEY_VARIABLE} holds one key; put the new one before it: NEW,OLD")
    count = 0
    while True:
        async with store.reading() as connection:
            ring = await store.ring(connection)
            assert ring is not None  # noqa: S101 - the keys were just read
            numbers = await credentials.stale(connection, ring)
        if not numbers:  # nobody else has sealed one under an old key meanwhile
            break
        for number in numbers:
            async with store.writing() as connection:
                await credentials.reseal(connection, ring, number)
        count += len(numbers)
    if file is not None:
        write_keys(file, keys[:1])
    return Rotated(count, ring.names[1:], file is None)
