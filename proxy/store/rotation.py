"""Rotation of the master key: every credential is encrypted anew, one by one, so that an interrupted run can continue.

A new key is written to the top of the key file before it is used, and the old ones are removed at the end. With the
environment variable the user does both: NEW,OLD before the rotation, NEW after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..errors import StoreError
from . import clients, credentials
from .crypto import KEY_VARIABLE, key_file, new_key, read_keys, write_keys
from .database import Store


class Rotation(Struct, frozen=True):
    """The number of credentials encrypted anew, and the names of the retired keys.

    `by_hand` is set if the user must remove these from the environment variable.
    """

    count: int
    retired: tuple[str, ...]
    by_hand: bool


async def rotate(store: Store, env: Mapping[str, str]) -> Rotation:
    """Encrypts all credentials under the new key.

    Raises StoreError if there is no new key in the variable, or a credential cannot be decrypted.
    """
    file = key_file(env, store.key_file)
    keys = read_keys(env, store.key_file)
    if not keys:
        raise StoreError("there is no master key yet; the first credential makes one")
    if file is not None and len(keys) == 1:  # more than one: an earlier rotation was interrupted, and continues
        keys = [new_key(), *keys]
        write_keys(file, keys)
    if file is None and len(keys) == 1:
        raise StoreError(f"{KEY_VARIABLE} holds one key; put the new one before it: NEW,OLD")
    count = 0
    while True:
        async with store.reading() as connection:
            ring = await store.ring(connection)
            assert ring is not None  # noqa: S101 - the keys were just read
            ids = await credentials.ids_under_old_keys(connection, ring)
        if not ids:  # none was added under an old key in the meantime
            break
        for number in ids:
            async with store.writing() as connection:
                await credentials.reencrypt(connection, ring, number)
        count += len(ids)
    async with store.writing() as connection:
        ring = await store.ring(connection)
        assert ring is not None  # noqa: S101 - the keys were just read
        await clients.reencrypt(connection, ring)
    if file is not None:
        write_keys(file, keys[:1])
    return Rotation(count, ring.names[1:], file is None)
